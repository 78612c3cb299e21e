"""Numba kernels of the SDR classifier, equal bit for bit to ``model.py``.

`tick` takes one record of one stream and is what a detector calls from its own kernel; `scan` is
the engine's entry for a chunk of streams.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.classifier import model as reference
from biomem.models.htm.classifier.params import SDRClassifierParams
from biomem.typing import Array, FloatArray

__all__ = ["Constants", "constants_of", "empty_output", "scan", "tick"]


class Constants(NamedTuple):
    """The parameters in the form the kernel takes; `p` is scratch of one float per bucket."""

    horizons: Array
    minimum: float
    width: float
    buckets: int
    lags: int
    alpha: float
    rate: float
    distribution: bool
    p: Array
    change: Array


def constants_of(params: SDRClassifierParams) -> Constants:
    """Return the kernel's constants for `params`, with scratch of their own."""
    return Constants(
        horizons=np.array(params.horizons, np.int64),
        minimum=float(params.minimum),
        width=float(params.width),
        buckets=params.buckets,
        lags=params.lags,
        alpha=float(params.alpha),
        rate=float(params.rate),
        distribution=params.distribution,
        p=np.empty(params.buckets),
        change=np.empty(params.buckets, np.float32),
    )


_bucket_of = njit(cache=True)(reference.bucket_of)


@njit(cache=True, _nrt=False)
def _softmax(weights, pattern, n, known, p):
    for k in range(known):
        p[k] = 0.0
    for i in range(n):
        row = weights[pattern[i]]
        for k in range(known):
            p[k] += row[k]
    top = p[0]
    for k in range(1, known):
        top = max(top, p[k])
    whole = 0.0
    for k in range(known):
        p[k] = math.exp(p[k] - top)
        whole += p[k]
    for k in range(known):
        p[k] /= whole


@njit(cache=True, _nrt=False)
def _learn(weights, pattern, n, known, bucket, c):
    _softmax(weights, pattern, n, known, c.p)
    for k in range(known):
        c.change[k] = c.alpha * ((1.0 if k == bucket else 0.0) - c.p[k])
    for i in range(n):
        row = weights[pattern[i]]
        for k in range(known):
            row[k] += c.change[k]


@njit(cache=True, _nrt=False)
def _tell(state, b, k, known, c, ys, t):
    """Write what distribution ``c.p`` says of horizon number `k`, and return what it expects."""
    mean, expected, best = state.mean[b], 0.0, 0
    for j in range(known):
        expected += c.p[j] * mean[j]
        if c.p[j] > c.p[best]:
            best = j
    variance = 0.0
    for j in range(known):
        gap = mean[j] - expected
        variance += c.p[j] * (gap * gap)
    ys.expected[t, b, k] = expected
    ys.likeliest[t, b, k] = mean[best]
    ys.spread[t, b, k] = math.sqrt(variance)
    if c.distribution:
        for j in range(known):
            ys.distribution[t, b, k, j] = c.p[j]
    return expected


@njit(cache=True, _nrt=False)
def tick(state, b, c, pattern, value, record, ys, t):
    """Take one record of stream `b`, in place, and write row ``[t, b]`` of the output.

    Parameters
    ----------
    state : ClassifierState
        Arrays of all streams; row `b` is written to.
    c : Constants
    pattern : int32 array
        Active bits, ascending; no more than the state has room for.
    value : float
        Finite.
    record : int
        Larger than that of every record before.
    ys : ClassifierOutput
        As `empty_output` makes it.
    """
    bucket = _bucket_of(value, c.minimum, c.width, c.buckets)
    if state.seen[b, bucket]:
        state.mean[b, bucket] = c.rate * value + (1.0 - c.rate) * state.mean[b, bucket]
    else:
        state.mean[b, bucket] = value
    state.seen[b, bucket] = True
    place = record % c.lags
    for k in range(c.horizons.size):
        h = c.horizons[k]
        state.known[b, k] = max(state.known[b, k], bucket + 1)
        slot = (record - h) % c.lags
        if record < h or state.records[b, slot] != record - h:
            continue
        ys.error[t, b, k] = value - state.forecasts[b, slot, k]
        before, n = state.patterns[b, slot], state.lengths[b, slot]
        _learn(state.weights[b, k], before, n, state.known[b, k], bucket, c)
    n = pattern.size
    for i in range(state.patterns.shape[2]):
        state.patterns[b, place, i] = pattern[i] if i < n else -1
    state.lengths[b, place] = n
    state.records[b, place] = record
    for k in range(c.horizons.size):
        known = state.known[b, k]
        _softmax(state.weights[b, k], pattern, n, known, c.p)
        state.forecasts[b, place, k] = _tell(state, b, k, known, c, ys, t)


def empty_output(params: SDRClassifierParams, *shape: int) -> reference.ClassifierOutput:
    """Return outputs that say nothing, for records of `shape`."""
    horizons = len(params.horizons)
    return reference.ClassifierOutput(
        *(np.full((*shape, horizons), np.nan) for _ in range(4)),
        distribution=np.zeros((*shape, horizons, params.buckets if params.distribution else 0)),
    )


@njit(cache=True)
def _scan(state, c, xs, first, ys):
    bits = np.empty(state.patterns.shape[2], np.int32)
    for t in range(xs.shape[0]):
        for b in range(xs.shape[1]):
            if xs[t, b, 1] == 0:
                continue
            n = 0
            for i in range(xs.shape[2] - 2):
                if xs[t, b, i + 2] != 0 and n < bits.size:
                    bits[n] = i
                    n += 1
            tick(state, b, c, bits[:n], xs[t, b, 0], first + t, ys, t)


def scan(
    model: Any, state: reference.ClassifierState, xs: FloatArray, tick: int
) -> tuple[reference.ClassifierState, reference.ClassifierOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, 2 + size)``, in place."""
    ys = empty_output(model.params, *xs.shape[:2])
    if model.params.horizons:
        _scan(state, constants_of(model.params), xs, tick, ys)
    return state, ys
