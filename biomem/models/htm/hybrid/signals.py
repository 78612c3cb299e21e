"""What is made of scores, errors and values of a record: fused scores, rescaled errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from biomem.errors import ParameterError
from biomem.models.htm.hybrid.params import FUSIONS
from biomem.typing import Array

__all__ = ["fuse_scores", "fused", "metric_of", "rescaled"]


def fused(scores: list[float], rule: str, threshold: float) -> float:
    """Return the score of a record from those of its HTMs, NaN where they have none."""
    present, high, top = 0, 0, math.nan
    for score in scores:
        if math.isnan(score):
            continue
        present += 1
        high += score >= threshold
        top = score if present == 1 else max(top, score)
    if present == 0 or rule == "max":
        return top
    return float(high > 0) if rule == "any" else float(2 * high > present)


def fuse_scores(scores: Any, rule: str, threshold: float = 0.5) -> np.ndarray:
    """Return `fused` of every record.

    Parameters
    ----------
    scores : array-like, shape ``(..., unit)``
    rule : {"max", "any", "majority"}
    threshold : float

    Raises
    ------
    ParameterError
        An unknown rule.
    """
    if rule not in FUSIONS:
        raise ParameterError(f"fuse_scores: rule must be one of {FUSIONS}, got {rule!r}")
    scores = np.asarray(scores, float)
    present = ~np.isnan(scores)
    high = (np.where(present, scores, -1.0) >= threshold).sum(axis=-1)
    n = present.sum(axis=-1)
    top = np.where(present, scores, -np.inf).max(axis=-1, initial=-np.inf)
    out = {"max": top, "any": high > 0, "majority": 2 * high > n}[rule]
    return np.where(n > 0, out, np.nan).astype(float)


def metric_of(values: list[float], resolutions: list[float]) -> float:
    """Return the value of an HTM's record: what tells a flat stretch from a live one."""
    if len(values) == 1:
        return values[0]
    total, n = 0.0, 0
    for v, r in zip(values, resolutions, strict=True):
        if not math.isnan(v):
            total += v / r
            n += 1
    return total / n


def rescaled(error: float, recent: Array, clock: int) -> float:
    """Return the size of an error in spreads of the recent values, at most 1.

    Parameters
    ----------
    error : float
    recent : array, shape ``(window,)``
        Ring of values; that of record i stands at ``i % window``.
    clock : int
        Index of the newest of them.
    """
    if math.isnan(error):
        return math.nan
    if error == 0.0:
        return 0.0
    window = len(recent)
    n = min(clock + 1, window)
    mean = 0.0
    for i in range(clock + 1 - n, clock + 1):
        mean += recent[i % window]
    mean /= n
    variance = 0.0
    for i in range(clock + 1 - n, clock + 1):
        gap = recent[i % window] - mean
        variance += gap * gap
    spread = math.sqrt(variance / n)
    return min(abs(error) / spread, 1.0) if spread > 0 else 1.0
