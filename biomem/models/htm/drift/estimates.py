"""What a monitor takes of a record, and what a baseline comes to: the equations, pure.

The module ``monitor.py`` states them. Every sum runs from the oldest record to the newest, so
that a kernel can repeat it to the last bit.
"""

from __future__ import annotations

import enum
import itertools
import math
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from biomem.engine.model import Field
from biomem.models.htm.drift import model as sequential
from biomem.models.htm.drift.baseline import BOUND, MAD, lag_one, middle, moments, usable
from biomem.models.htm.drift.increments import Coefficients
from biomem.typing import Array, FloatArray

if TYPE_CHECKING:
    from biomem.models.htm.drift.monitor_params import DriftMonitorParams

__all__ = [
    "FURTHEST",
    "LEAST_BATCHES",
    "MOST_PHI",
    "OUTLIER",
    "Estimates",
    "Watch",
    "deviation",
    "estimate",
    "read",
]

FURTHEST = 1e9
OUTLIER = 4.0
MOST_PHI = 0.95
LEAST_BATCHES = 20


class Watch(enum.IntEnum):
    """What of the records a test is about."""

    MEAN = 0
    SPREAD = 1
    EXCEEDANCE = 2
    RATE = 3


class Estimates(NamedTuple):
    """What a baseline came to."""

    centre: Annotated[Array, Field("batch", doc="mean or median of the baseline")]
    scale: Annotated[Array, Field("batch", doc="spread of what is tested, in units of the value")]
    threshold: Annotated[Array, Field("batch", doc="exceedance is further above the centre")]
    rate: Annotated[Array, Field("batch", doc="counts per exposure")]
    phi: Annotated[Array, Field("batch", doc="lag-one correlation that was corrected for")]
    gain: Annotated[Array, Field("batch", doc="factor of the increments")]
    length: Annotated[Array, Field("batch", dtype="int64", doc="records per tested batch")]
    before: Annotated[Array, Field("batch", doc="what is watched, over the baseline")]


def _location(params: DriftMonitorParams, values: list[float]) -> tuple[float, float]:
    if params.estimator == "moments":
        return usable(*moments(values))
    centre = middle(sorted(values))
    return usable(centre, MAD * middle(sorted(abs(x - centre) for x in values)))


def _batches(values: list[float], length: int) -> list[float]:
    out = []
    for start in range(0, len(values) - length + 1, length):
        total = 0.0
        for x in values[start : start + length]:
            total += x
        out.append(total / length)
    return out


def deviation(x: float, centre: float) -> float:
    """Return how far `x` lies from `centre`, within `BOUND`."""
    return min(max(x - centre, -BOUND), BOUND)


def estimate(
    params: DriftMonitorParams, watch: Watch, c: Coefficients, values: list[float], weights: Any
) -> Estimates:
    """Return what the baseline `values`, with exposures `weights` of a rate, came to."""
    phi, gain, length, rate, threshold = 0.0, 1.0, 1, 0.0, 0.0
    centre, scale = _location(params, values)
    if params.dependence == "batch":
        phi = min(max(lag_one(values, centre), 0.0), MOST_PHI)
        length = max(1, min(math.ceil(3 / (1 - phi)), len(values) // LEAST_BATCHES))
        values = _batches(values, length)
        centre, scale = _location(params, values)
    tested = [deviation(x, centre) for x in values]
    if params.dependence == "whiten":
        phi = min(max(lag_one(tested, 0.0), -MOST_PHI), MOST_PHI)
        tested = [y - phi * last for last, y in itertools.pairwise(tested)]
        scale = usable(0.0, _location(params, tested)[1])[1]
    before = scale if watch == Watch.SPREAD else centre
    if watch == Watch.EXCEEDANCE:
        share = 1 - params.test.p0  # type: ignore[attr-defined]
        threshold = sorted(tested)[math.ceil(share * len(tested)) - 1] + 0.0
        above = sum(y > threshold for y in tested)
        before = above / len(tested)
    if watch == Watch.RATE:
        counts, exposure = 0.0, 0.0
        for x, w in zip(values, weights, strict=True):
            counts += x
            exposure += w
        rate = before = min(max(counts, 1.0) / exposure, BOUND)
    found = Estimates(centre, scale, threshold, rate, phi, gain, length, before)
    if params.dependence == "scale":
        u, w = read(watch, found, np.array(tested), np.array(values), np.array(weights))
        steps = sequential.increments(c, u, w, params.largest)[:, 0, 0].tolist()
        phi = min(max(lag_one(steps, moments(steps)[0]), 0.0), MOST_PHI)
        found = found._replace(phi=phi, gain=(1 - phi) / (1 + phi))
    return found


def read(
    watch: Watch, e: Estimates, y: FloatArray, v: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return what the test takes of a record, and its weight."""
    if watch == Watch.EXCEEDANCE:
        return (y > e.threshold).astype(float), np.ones_like(y)
    if watch == Watch.RATE:
        return v, weight * e.rate
    return np.clip(y / e.scale, -FURTHEST, FURTHEST), np.ones_like(y)
