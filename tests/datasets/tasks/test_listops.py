from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.datasets.tasks import ListOps
from biomem.engine.random import Rng
from biomem.errors import ParameterError


def evaluate(expression: str) -> tuple[int, int]:
    """Return value and deepest nesting, by a stack of open brackets."""
    functions = {
        "[MAX": max,
        "[MIN": min,
        "[MED": lambda v: int(statistics.median(v)),
        "[SM": lambda v: sum(v) % 10,
    }
    stack: list[tuple[str, list[int]]] = []
    deepest, words = 0, expression.split()
    for i, word in enumerate(words):
        if word in functions:
            stack.append((word, []))
            deepest = max(deepest, len(stack))
        elif word == "]":
            name, values = stack.pop()
            assert len(values) >= 2
            value = functions[name](values)
            if not stack:
                assert i == len(words) - 1
                return value, deepest
            stack[-1][1].append(value)
        else:
            stack[-1][1].append(int(word))
    raise AssertionError("an open bracket is left")


@given(
    low=st.integers(4, 40),
    more=st.integers(0, 60),
    max_args=st.integers(4, 10),
    seed=st.integers(0, 2**64 - 1),
)
def test_labels_are_the_values_of_the_expressions(low, more, max_args, seed):
    task = ListOps(batch_size=6, min_length=low, max_length=low + more, max_args=max_args)
    expressions, batch = task.expressions(1, Rng(seed)), task(1, Rng(seed))
    for text, label in zip(expressions, batch.y, strict=True):
        value, deepest = evaluate(text)
        assert value == label
        assert low <= len(text.split()) <= low + more
        assert deepest <= task.max_depth


def test_the_sequence_is_the_expression_behind_zeros():
    task = ListOps(batch_size=5, min_length=8, max_length=30)
    x, _ = task(0, Rng(0))
    assert x.shape == (30, 5, 15)
    for lane, text in enumerate(task.expressions(0, Rng(0))):
        n = len(text.split())
        assert not x[: 30 - n, lane].any()
        np.testing.assert_array_equal(x[30 - n :, lane].sum(-1), 1.0)
        assert x[-1, lane, 14] == 1.0


def test_nesting_is_bounded_and_the_longest_published_lengths_are_reached():
    task = ListOps(batch_size=8)
    for text in task.expressions(3, Rng(1)):
        _, deepest = evaluate(text)
        assert 500 <= len(text.split()) <= 2000
        assert 4 <= deepest <= 10
    shallow = ListOps(batch_size=8, min_length=60, max_length=60, max_depth=2, max_args=8)
    assert all(evaluate(t)[1] <= 2 for t in shallow.expressions(0, Rng(0)))


def test_every_operator_and_digit_occurs_and_every_label():
    task = ListOps(batch_size=400, min_length=6, max_length=20)
    tokens, y = task.tokens(0, Rng(0))
    assert set(np.unique(tokens)) == set(range(-1, 15))
    assert set(np.unique(y)) == set(range(10))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"min_length": 3}, r"min_length must be an integer >= 4"),
        ({"max_length": 10}, r"max_length must be an integer >= 500"),
        ({"max_args": 3}, r"max_args must be an integer >= 4"),
        ({"max_depth": 1}, r"max_depth must be an integer >= 2"),
        ({"max_depth": 2, "max_args": 4}, r"max_length must be <= 20 at this depth"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(changes, named):
    with pytest.raises(ParameterError, match=named):
        ListOps(**changes)
