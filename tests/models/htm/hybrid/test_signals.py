"""Fused scores and rescaled errors against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.errors import ParameterError
from biomem.models.htm.drift import rescaled_residual
from biomem.models.htm.hybrid import fuse_scores
from biomem.models.htm.hybrid.signals import fused, metric_of, rescaled

SCORES = st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1)), min_size=1, max_size=6)


@given(
    rows=st.lists(SCORES, min_size=1, max_size=4), rule=st.sampled_from(["max", "any", "majority"])
)
def test_the_vector_form_is_the_scalar_form(rows, rule: str) -> None:
    for row in rows:
        got, want = fuse_scores([row], rule, 0.5)[0], fused(row, rule, 0.5)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("row", "largest", "either", "most"),
    [
        ([0.2, 0.6, 0.1], 0.6, 1.0, 0.0),
        ([0.2, 0.6, 0.9], 0.9, 1.0, 1.0),
        ([0.2, np.nan, 0.5], 0.5, 1.0, 0.0),
        ([np.nan, 0.4], 0.4, 0.0, 0.0),
        ([np.nan, np.nan], np.nan, np.nan, np.nan),
    ],
)
def test_rules(row, largest: float, either: float, most: float) -> None:
    for rule, want in (("max", largest), ("any", either), ("majority", most)):
        np.testing.assert_array_equal(fuse_scores(row, rule), want)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ParameterError, match="rule must be one of"):
        fuse_scores([0.1], "mean")


def test_rescaled_is_the_papers_residual() -> None:
    rng = np.random.default_rng(2)
    values, error = rng.normal(5, 2, 50), rng.normal(0, 1, 50)
    error[7] = 0.0
    ring, got = np.zeros(6), []
    for clock in range(50):
        ring[clock % 6] = values[clock]
        got.append(rescaled(error[clock], ring, clock))
    np.testing.assert_allclose(got, rescaled_residual(values - error, values, window=6), rtol=1e-9)
    assert np.isnan(rescaled(np.nan, ring, 3))


def test_a_flat_stretch_of_a_joint_record_is_flat() -> None:
    assert metric_of([3.0], [0.5]) == 3.0
    assert metric_of([3.0, np.nan, 4.0], [0.5, 1.0, 2.0]) == 4.0
