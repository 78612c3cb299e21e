"""Location, spread and dependence of a baseline, in loops that numba compiles as they stand.

Every sum runs from the oldest record to the newest. Given lists, the functions compute with
Python's floats, which are the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["BOUND", "MAD", "lag_one", "middle", "moments", "usable"]

BOUND = 1e150
"""Values further from the baseline than this count as this far, so that squares are finite."""

MAD = 1.482602218505602
"""Standard deviation of a normal law in units of its median absolute deviation."""


def moments(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation, by Welford's recurrence."""
    mean, total, n = 0.0, 0.0, 0
    for x in values:
        n += 1
        gap = x - mean
        mean += gap / n
        total += gap * (x - mean)
    return mean, math.sqrt(max(total, 0.0) / max(n - 1, 1))


def middle(ordered: Sequence[float]) -> float:
    """Return the median of ascending values; adding zero leaves one kind of zero."""
    n = len(ordered)
    return (ordered[(n - 1) // 2] + 0.0) / 2 + (ordered[n // 2] + 0.0) / 2


def lag_one(values: Sequence[float], mean: float) -> float:
    """Return the autocorrelation of neighbours, 0 where the values do not spread."""
    total, product, last = 0.0, 0.0, 0.0
    for x in values:
        gap = x - mean
        product += gap * last
        total += gap * gap
        last = gap
    if not 0 < total < math.inf or not abs(product) < math.inf:
        return 0.0
    return product / total


def usable(centre: float, scale: float) -> tuple[float, float]:
    """Return `centre` and `scale`, finite, and for a flat baseline the least that can be told."""
    if not abs(centre) < math.inf:
        return 0.0, 1.0
    if scale > 0:
        return centre, min(scale, BOUND)
    return centre, max(1e-9 * abs(centre), 1e-12)
