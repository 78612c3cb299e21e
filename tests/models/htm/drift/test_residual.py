"""The input of the paper's test, against its equations in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.errors import InputError, ParameterError
from biomem.models.htm.drift import PAPER_WINDOWS, rescaled_residual


@pytest.mark.parametrize("window", PAPER_WINDOWS.values())
def test_equals_the_equations_in_a_loop(window: int) -> None:
    rng = np.random.default_rng(0)
    values, predicted = rng.normal(size=(2, 100))
    want = []
    for t in range(100):
        spread = np.std(values[max(0, t - window + 1) : t + 1])
        want.append(min(abs(predicted[t] - values[t]) / spread if spread else np.inf, 1.0))
    np.testing.assert_allclose(rescaled_residual(predicted, values, window), want, rtol=1e-12)
    both = rescaled_residual(np.stack([predicted] * 2, 1), np.stack([values] * 2, 1), window)
    np.testing.assert_allclose(both, np.stack([want] * 2, 1), rtol=1e-12)


def test_windows_are_the_papers() -> None:
    assert dict(PAPER_WINDOWS) == {"abrupt": 15, "slow": 35, "periodic": 25}


def test_flat_values_predicted_right_are_no_residual() -> None:
    assert rescaled_residual([3.0, 3.0, 4.0], [3.0, 3.0, 3.0]).tolist() == [0.0, 0.0, 1.0]
    assert rescaled_residual([], []).shape == (0,)


@pytest.mark.parametrize(
    "arrays", [([1.0], [1.0, 2.0]), ([np.nan], [1.0]), (1.0, 1.0), (np.ones((1, 1, 1)),) * 2]
)
def test_refuses_what_are_no_two_series(arrays: tuple) -> None:
    with pytest.raises(InputError, match="rescaled_residual: predicted and values must"):
        rescaled_residual(*arrays)


@pytest.mark.parametrize("setting", [{"window": 1}, {"scale": 0.0}])
def test_refuses_a_window_or_scale_of_nothing(setting: dict) -> None:
    with pytest.raises(ParameterError, match="window must be >= 2 and scale > 0"):
        rescaled_residual([1.0], [1.0], **setting)
