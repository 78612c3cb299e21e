from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.datasets.tasks import (
    Adding,
    Copy,
    DelayedMatch,
    Draws,
    ListOps,
    Parity,
    Pathfinder,
    SpokenLikeAdding,
)
from biomem.datasets.tasks.base import classification_metrics, one_hot
from biomem.engine.random import Rng
from biomem.errors import InputError, ParameterError

TASKS = [
    Copy(batch_size=4),
    Adding(batch_size=4, n_steps=9),
    Parity(batch_size=4, lengths=(2, 3)),
    DelayedMatch(batch_size=4, lengths=(2, 5)),
    ListOps(batch_size=4, min_length=8, max_length=30),
    Pathfinder(batch_size=4),
    SpokenLikeAdding(batch_size=4, n_channels=50),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)
def test_a_batch_is_a_function_of_seed_and_step_alone(task):
    one = task(4, Rng(3))
    task(6, Rng(3)), task(4, Rng(4))
    again = task.replace()(4, Rng(3))
    for a, b in zip(one, again, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert one.x.dtype == np.float32
    assert one.x.shape[1:] == (4, task.n_inputs)
    assert one.y.dtype.kind in "if"
    lanes = one.y.shape[1] if isinstance(task, Copy) else len(one.y)
    assert lanes == 4
    differs = [task(6, Rng(3)), task(4, Rng(4))]
    assert all(d.x.shape != one.x.shape or not np.array_equal(d.x, one.x) for d in differs)
    lanes_differ = any(not np.array_equal(one.x[:, 0], one.x[:, i]) for i in (1, 2, 3))
    assert lanes_differ


@pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)
def test_a_task_reads_back_from_its_repr_and_refuses_no_batch(task):
    assert eval(repr(task), {type(task).__name__: type(task)}) == task
    with pytest.raises(ParameterError, match=r"batch_size must be an integer >= 1, got 0"):
        task.replace(batch_size=0)
    with pytest.raises(ParameterError, match="step must be >= 0"):
        task(-1, Rng(0))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(1, 400))
def test_permutations_hold_everything_once(seed, step, n):
    order = Draws(Rng(seed), step).permutation(0, n)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_draws_have_their_distributions_and_purposes_of_their_own():
    draws = Draws(Rng(1), 7)
    u, z = draws.uniform(0, 100_000), draws.normal(1, 100_001)
    assert u.dtype == z.dtype == np.float32
    assert abs(u.mean() - 0.5) < 0.004
    assert abs(z.mean()) < 0.015
    assert abs(z.std() - 1) < 0.01
    assert abs(np.corrcoef(z[:-1:2], z[1::2])[0, 1]) < 0.015
    assert abs((np.abs(z) > 1.96).mean() - 0.05) < 0.004
    counts = np.bincount(draws.integers(2, 10, 100_000), minlength=10)
    assert ((counts > 9_600) & (counts < 10_400)).all()
    assert not np.array_equal(draws.uniform(0, 8), draws.uniform(3, 8))
    np.testing.assert_array_equal(draws.uniform(0, 8), u[:8])


def test_metrics_are_those_of_their_definition():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [800.0, 0.0]])
    got = classification_metrics(logits, np.array([0, 0, 0]))
    want = (np.log1p(np.exp(-2)) + np.log1p(np.exp(1)) + 0) / 3
    assert got["cross_entropy"] == pytest.approx(want, rel=1e-12)
    assert got["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(InputError, match=r"\(3, 2\) do not fit classes of shape \(2,\)"):
        classification_metrics(logits, np.array([0, 0]))
    assert one_hot(np.array([[2, 0]]), 3).tolist() == [[[0, 0, 1], [1, 0, 0]]]


def test_the_tasks_import_no_torch():
    code = "import sys, biomem.datasets.tasks; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
