"""NAB's range rule, plain and compiled."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.models.htm.likelihood import cpu, range_rule

RULES = [pytest.param(range_rule, id="reference"), pytest.param(cpu.range_rule, id="numba")]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "outside"),
    [
        (1e9, math.inf, -math.inf, False),
        (1e9, 3.0, 3.0, False),
        (20.5, 10.0, 20.0, False),
        (20.500001, 10.0, 20.0, True),
        (9.5, 10.0, 20.0, False),
        (9.499999, 10.0, 20.0, True),
        (15.0, 10.0, 20.0, False),
        (1e308, -1e308, 1.0, True),
        (1.7e308, -1e308, 1e308, False),
    ],
)
def test_by_hand(rule, value: float, minimum: float, maximum: float, outside: bool) -> None:
    assert rule(value, minimum, maximum) is outside


@pytest.mark.parametrize("rule", RULES)
def test_fraction_widens_the_range(rule) -> None:
    assert rule(21.0, 10.0, 20.0, 0.05)
    assert not rule(21.0, 10.0, 20.0, 0.2)


@given(*[st.floats(allow_nan=False)] * 3)
def test_kernel_equals_reference(value: float, minimum: float, maximum: float) -> None:
    assert cpu.range_rule(value, minimum, maximum) == range_rule(value, minimum, maximum)
