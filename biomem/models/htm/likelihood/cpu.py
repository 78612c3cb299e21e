"""Numba kernels of the anomaly likelihood; equal bit for bit to ``model.py``.

`tick` takes one record of one stream and is what a detector calls from its own kernel; `scan`
is the engine's entry for a whole chunk of streams.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import copy
from biomem.models.htm.likelihood import model as reference
from biomem.models.htm.likelihood import ranges

if TYPE_CHECKING:
    from biomem.typing import FloatArray

__all__ = ["Constants", "constants_of", "range_rule", "scan", "tick"]

NULL_MEAN, NULL_STD = reference.NULL_MEAN, reference.NULL_STD
MEAN_FLOOR, VARIANCE_FLOOR = reference.MEAN_FLOOR, reference.VARIANCE_FLOOR
FLAT_VARIANCE = reference.FLAT_VARIANCE
RED, YELLOW = reference.RED, reference.YELLOW
SQRT2 = reference.SQRT2
LOG_OFFSET, LOG_SCALE = reference.LOG_OFFSET, reference.LOG_SCALE


class Constants(NamedTuple):
    """The parameters in the form the kernels take."""

    learning: int
    first: int
    size: int
    period: int
    window: int
    forgotten: float
    two_sided: bool


def constants_of(params: reference.AnomalyLikelihoodParams) -> Constants:
    """Return the kernel's constants for `params`."""
    return Constants(
        learning=params.learning_period,
        first=params.first_estimate,
        size=params.historic_window,
        period=params.reestimation_period,
        window=params.averaging_window,
        forgotten=float(params.forgotten),
        two_sided=params.two_sided,
    )


range_rule = njit(cache=True)(ranges.range_rule)


@njit(cache=True)
def _tail(x, mean, std, two_sided):
    if two_sided and x < mean:
        x = 2.0 * mean - x
    return 0.5 * math.erfc((x - mean) / (std * SQRT2))


@njit(cache=True)
def _unroll(ring, stop, count):
    """Return the `count` records before record `stop`, oldest first."""
    out = np.empty(count)
    size = ring.shape[0]
    start = (stop - count) % size
    head = min(count, size - start)
    copy(out, ring[start : start + head])
    copy(out[head:], ring[: count - head])
    return out


@njit(cache=True)
def _recent(ring, stop, count):
    """Return the sum of the `count` records before record `stop`, added oldest first."""
    total = 0.0
    for i in range(stop - count, stop):
        total += ring[i % ring.shape[0]]
    return total


@njit(cache=True)
def _estimate(raws, values, c, tick):
    count = min(tick, c.size)
    early = max(c.learning, int(c.forgotten * tick))
    skip = min(tick, max(0, early - max(0, tick - c.size)))
    left = count - skip
    if left <= 0:
        return NULL_MEAN, NULL_STD
    raw = _unroll(raws, tick, count)
    value = _unroll(values, tick, left)
    average = np.empty(left)
    # Two independent sums per loop: each is sequential, so together they hide its latency.
    total, total_value = 0.0, 0.0
    for j in range(left):
        end = skip + j + 1
        n = min(end, c.window)
        window = 0.0
        for k in range(end - n, end):
            window += raw[k]
        average[j] = window / n
        total += average[j]
        total_value += value[j]
    mean, mean_value = total / left, total_value / left
    total, total_value = 0.0, 0.0
    for j in range(left):
        d = average[j] - mean
        total += d * d
        d = value[j] - mean_value
        total_value += d * d
    if total_value / left < FLAT_VARIANCE:
        return NULL_MEAN, NULL_STD
    return max(mean, MEAN_FLOOR), math.sqrt(max(total / left, VARIANCE_FLOOR))


@njit(cache=True)
def tick(state, b, constants, raw, value, record):
    """Take one record of stream `b`, in place, and return both forms of its likelihood.

    Parameters
    ----------
    state : LikelihoodState
        Arrays of all streams; row `b` is written to.
    b : int
        Stream.
    constants : Constants
    raw, value : float
        Raw anomaly score and metric value of the record.
    record : int
        Index of the record, counted from 0.

    Returns
    -------
    likelihood, log_likelihood : float
    """
    c = constants
    raws, values = state.raws[b], state.values[b]
    reported = 0.5
    if record >= c.first:
        if record == c.first or record % c.period == 0:
            mean, std = _estimate(raws, values, c, record)
            state.mean[b] = mean
            state.std[b] = std
            n = min(record, c.window)
            state.tail[b] = _tail(_recent(raws, record, n) / n, mean, std, c.two_sided)
        n = min(record + 1, c.window)
        total = _recent(raws, record, n - 1) + raw
        tail = _tail(total / n, state.mean[b], state.std[b], c.two_sided)
        reported = YELLOW if tail <= RED and state.tail[b] <= RED else tail
        state.tail[b] = tail
    raws[record % c.size] = raw
    values[record % c.size] = value
    likelihood = 1.0 - reported
    scaled = math.log(LOG_OFFSET - likelihood) / LOG_SCALE
    return likelihood, scaled if scaled > 0.0 else 0.0


@njit(cache=True)
def _scan(state, constants, xs, start, likelihoods, logs):
    for b in range(xs.shape[1]):
        for t in range(xs.shape[0]):
            likelihoods[t, b], logs[t, b] = tick(
                state, b, constants, xs[t, b, 0], xs[t, b, 1], start + t
            )


def scan(
    model: reference.AnomalyLikelihood,
    state: reference.LikelihoodState,
    xs: FloatArray,
    tick: int,
) -> tuple[reference.LikelihoodState, reference.LikelihoodOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, 2)``, in place."""
    ys = reference.LikelihoodOutput(np.empty(xs.shape[:2]), np.empty(xs.shape[:2]))
    _scan(state, constants_of(model.params), xs, tick, *ys)
    return state, ys
