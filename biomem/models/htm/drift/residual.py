"""The rescaled prediction residual of arXiv 2504.18599, the input of its test."""

from __future__ import annotations

from typing import Any

import numpy as np

from biomem.errors import InputError, ParameterError
from biomem.typing import FloatArray

__all__ = ["rescaled_residual"]


def rescaled_residual(
    predicted: Any, values: Any, window: int = 15, scale: float = 1.0
) -> FloatArray:
    """Return how far each value lies from its prediction, in spreads of the recent values.

    ``min(|predicted - value| / (scale * std), 1)``, with the population standard deviation of the
    last `window` values, the record's own included; fewer at the start. Source: equations 3 and 4.

    When not to use it: for anything but comparison with that paper. The spread follows a drift and
    so hides it, and a residual as wide as the spread means a useless prediction, not a drift. A
    `DriftMonitor` measures against a baseline that stands still.

    Parameters
    ----------
    predicted, values : array-like, shape ``(records,)`` or ``(records, streams)``
        What was predicted for each record, and what came; finite.
    window : int
        Records of the spread, >= 2; `PAPER_WINDOWS` has those of the paper.
    scale : float
        Spreads that count as 1, > 0.

    Returns
    -------
    array
        Scores in [0, 1], of the shape of `values`; 0 where the spread and the residual are 0.

    Raises
    ------
    InputError
        Arrays of different shapes, or not finite.
    """
    predicted, values = np.asarray(predicted, float), np.asarray(values, float)
    if predicted.shape != values.shape or values.ndim not in (1, 2):
        raise InputError(
            "rescaled_residual: predicted and values must have one shape, (records,) or (records, "
            f"streams), got {predicted.shape} and {values.shape}"
        )
    if not (np.isfinite(predicted).all() and np.isfinite(values).all()):
        raise InputError("rescaled_residual: predicted and values must be finite")
    if window < 2 or scale <= 0:
        raise ParameterError(
            "rescaled_residual: window must be >= 2 and scale > 0, got "
            f"window={window!r} and scale={scale!r}"
        )
    if len(values) == 0:
        return values.copy()
    padded = np.concatenate([np.full((window - 1, *values.shape[1:]), np.nan), values])
    rows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    spread = scale * np.nanstd(rows, axis=-1)
    distance = np.abs(predicted - values)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(distance == 0, 0.0, distance / spread)
    return np.minimum(score, 1.0)
