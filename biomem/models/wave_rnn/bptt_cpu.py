"""Backpropagation through time of the convolutional Wave-RNN, compiled.

With ``delta = sigma'(z) dL/dh'``, the correlation is undone by the correlation with the kernel
transposed over channels and reversed over taps, and::

    dL/dU[o, k, j] = sum over ticks, streams, i of delta[o, i] h[k, (i + j - f // 2) mod n]

Forward keeps one state every ``sqrt(ticks)``; backward computes the states between two of them
once more. That is a third more arithmetic than keeping all of them, but a stretch of states stays
in the second cache, where keeping them would send a gigabyte through memory for a batch of
sequential MNIST. Gradients are summed within a fixed number of groups of streams, in double
precision over streams, so they do not depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from biomem.backends import to_numpy
from biomem.backends.jit import njit
from biomem.backends.simd import copy
from biomem.backends.simd_tiles import dots, lane_sum, tile
from biomem.backends.threads import spread
from biomem.models.wave_rnn.cpu import (
    advance,
    close_rings,
    correlate_rows,
    load,
    unpack,
)
from biomem.models.wave_rnn.packing_cpu import RELU, TANH, Plan, Taps, plan_of, taps_of

if TYPE_CHECKING:
    from biomem.models.wave_rnn.model import WaveRNN
    from biomem.typing import FloatArray, IntArray

__all__ = ["Gradients", "Trace", "backward", "forward"]

FLUSH = 2.0**26
"""Gradients below this many times the smallest normal number count as zero."""

GROUPS = 8
"""Groups of streams whose gradients are summed apart."""


class Trace(NamedTuple):
    """What `forward` leaves for `backward`."""

    plan: Plan
    back: Taps
    states: FloatArray
    xs: FloatArray
    kept: IntArray
    segment: int


class Gradients(NamedTuple):
    """Gradients in the shapes of what they belong to; `x` is None unless asked for."""

    ring: FloatArray
    bias: FloatArray
    drive: FloatArray
    h: FloatArray
    x: FloatArray | None


@njit(cache=True, nogil=True)
def _forward(plan, h, xs, kept, segment, states, outputs, start, stop):
    rings = plan.rings
    history = np.zeros(2 * rings.size, h.dtype)
    for b in range(start, stop):
        load(history, 0, rings, h[b])
        then = 0
        for t in range(xs.shape[0]):
            if states.shape[0] > 0 and t % segment == 0:
                copy(states[t // segment, b], history[then : then + rings.size])
            at = rings.size - then
            advance(plan, history, at, history, then, xs[t, b])
            then = at
            if kept[t] >= 0:
                unpack(history, at, rings, outputs[kept[t], b])
        unpack(history, then, rings, h[b])


@njit(cache=True, nogil=True)
def _differentiate(delta, at, grad, h, h_at, tiny, rings):
    """Set one row of deltas: the gradient times the slope, zero outside the rings.

    What is below `tiny` becomes zero: vanishing gradients end as subnormal numbers, on which
    arithmetic is many times slower.
    """
    # Views, since numba cannot vectorise what it indexes with an offset that might be negative.
    one, zero = h.dtype.type(1), h.dtype.type(0)
    for o in range(rings.c):
        ring, end = o * rings.row + rings.pad, (o + 1) * rings.row
        z = h[h_at + ring : h_at + ring + rings.n]
        g = grad[ring : ring + rings.n]
        d = delta[at + ring : at + end]
        if rings.activation == RELU:
            for i in range(rings.n):
                d[i] = zero if z[i] <= zero or abs(g[i]) <= tiny else g[i]
        elif rings.activation == TANH:
            for i in range(rings.n):
                d[i] = zero if abs(g[i]) <= tiny else g[i] * (one - z[i] * z[i])
        else:
            for i in range(rings.n):
                d[i] = zero if abs(g[i]) <= tiny else g[i]
        for i in range(rings.n, d.size):
            d[i] = zero


@njit(cache=True)
def _panel(left):
    return 6 if left >= 6 else 4 if left >= 4 else 3 if left >= 3 else 1


@njit(cache=True, nogil=True)
def _add_ring(sums, delta, at, h, h_at, offsets, rings):
    """Add one tick's products of deltas and states to the vectors of partial sums."""
    vectors, taps = (rings.row - 2 * rings.pad) // rings.lanes, offsets.size
    o = 0
    while o < rings.c:
        high = 4 if rings.c - o >= 4 else 1
        q = 0
        while q < taps:
            wide = _panel(taps - q)
            dots(
                high, wide, sums, (o * taps + high * q) * rings.lanes,
                delta, at + o * rings.row + rings.pad, rings.row,
                h, h_at, offsets, q, vectors,
            )  # fmt: skip
            q += wide
        o += high


@njit(cache=True, nogil=True)
def _take_ring(sums, total, rings):
    """Add the partial sums to ``total[channel, row]`` and start them anew."""
    taps, o = total.shape[1], 0
    while o < rings.c:
        high = 4 if rings.c - o >= 4 else 1
        q = 0
        while q < taps:
            wide = _panel(taps - q)
            at = (o * taps + high * q) * rings.lanes
            for i in range(high):
                for j in range(wide):
                    total[o + i, q + j] += lane_sum(
                        sums, at + (i * wide + j) * rings.lanes, rings.lanes
                    )
            q += wide
        o += high
    sums[:] = 0


@njit(cache=True, nogil=True)
def _add_drive(sums, delta, features, first, count, places, rings):
    """Add ``features[first + s, o] * delta[s]`` over a stretch to the row of each feature o."""
    n, vectors = features.shape[1], rings.size // rings.lanes
    flat, o = features.reshape(-1), 0
    while o < n:
        high = 4 if n - o >= 4 else 2 if n - o >= 2 else 1
        v = 0
        while v < vectors:
            wide, at = min(4, vectors - v), v * rings.lanes
            row = o * rings.size + at
            tile(
                high, wide, sums, row, rings.size, sums, row, rings.size, sums, 0, sums, 0, 0,
                delta, at, places, 0, count, flat, first * n + o, 1, n, False,
            )  # fmt: skip
            v += wide
        o += high


@njit(cache=True, nogil=True)
def _input_gradient(grad, delta, drive, count, places, sums, rings):
    """Set ``grad[s, q]`` to the product of delta s with the weights of feature q."""
    for s in range(count):
        for q in range(grad.shape[1]):
            sums[: rings.lanes] = 0
            dots(1, 1, sums, 0, delta, places[s], 0, drive, 0, places, q, rings.size // rings.lanes)
            grad[s, q] = lane_sum(sums, 0, rings.lanes)


@njit(cache=True, nogil=True)
def _backward(trace, g_out, g_last, ring, drive, g_h, g_x, offsets, start, stop):
    plan, rings, segment = trace.plan, trace.plan.rings, trace.segment
    size, n_in, ticks = rings.size, trace.xs.shape[2], trace.xs.shape[0]
    dtype = g_last.dtype
    steps = np.arange(max(segment + 1, n_in)) * size
    history, delta = np.zeros((segment + 1) * size, dtype), np.zeros(segment * size, dtype)
    grad, inject, silent = np.zeros(size, dtype), np.zeros(size, dtype), np.zeros(size, dtype)
    tiny = np.finfo(dtype).tiny * dtype.type(FLUSH)
    ring_sums = np.zeros(ring.size * rings.lanes, dtype)
    drive_sums = np.zeros((n_in + 1) * size, dtype)
    features = np.ones((ticks, n_in + 1), dtype)
    for b in range(start, stop):
        for t in range(ticks):
            copy(features[t, :n_in], trace.xs[t, b])
        load(grad, 0, rings, g_last[b])
        if trace.kept[ticks - 1] >= 0:
            load(inject, 0, rings, g_out[trace.kept[ticks - 1], b])
            for i in range(size):
                grad[i] += inject[i]
        for part in range(trace.states.shape[0] - 1, -1, -1):
            first = part * segment
            count = min(segment, ticks - first)
            copy(history[:size], trace.states[part, b])
            for s in range(count):
                advance(plan, history, (s + 1) * size, history, s * size, trace.xs[first + s, b])
            for s in range(count - 1, -1, -1):
                at = s * size
                _differentiate(delta, at, grad, history, at + size, tiny, rings)
                _add_ring(ring_sums, delta, at, history, at, offsets, rings)
                close_rings(delta, at, rings)
                before = first + s - 1
                begin = silent
                if before >= 0 and trace.kept[before] >= 0:
                    load(inject, 0, rings, g_out[trace.kept[before], b])
                    begin = inject
                correlate_rows(
                    grad, 0, begin, silent, silent, 0, delta, at, trace.back, rings, False
                )
            _add_drive(drive_sums, delta, features, first, count, steps, rings)
            if g_x.shape[0] > 0:
                _input_gradient(
                    g_x[first : first + count, b], delta, plan.drive, count, steps, inject, rings
                )
        unpack(grad, 0, rings, g_h[b])
        _take_ring(ring_sums, ring, rings)
        for i in range(drive_sums.size):
            drive[i] += drive_sums[i]
        drive_sums[:] = 0


def forward(
    model: WaveRNN, h: FloatArray, xs: FloatArray, kept: IntArray, *, trace: bool
) -> tuple[FloatArray, FloatArray, Trace | None]:
    """Run a convolutional network over a chunk.

    Parameters
    ----------
    model : WaveRNN
        With ``tie_weights="conv"``.
    h : array, shape ``(batch, channel, unit)``
        Not written to.
    xs : array, shape ``(time, batch, input)``
        Kept by the trace, so not to be changed before `backward`.
    kept : array of int, shape ``(time,)``
        Where the state after each tick goes in the outputs; -1: nowhere.
    trace : bool
        Whether `backward` will follow.

    Returns
    -------
    outputs : array, shape ``(kept.max() + 1, batch, channel, unit)``
    h : array
        The state after the last tick.
    trace : Trace or None
    """
    plan, p = plan_of(model), model.params
    ticks, batch = xs.shape[:2]
    segment = math.isqrt(ticks - 1) + 1
    parts = -(-ticks // segment) if trace else 0
    states = np.empty((parts, batch, plan.rings.size), p.dtype)
    outputs = np.empty((int(kept.max()) + 1, batch, p.n_channels, p.n_units), p.dtype)
    last = h.copy()

    def run(start: int, stop: int) -> None:
        _forward(plan, last, xs, kept, segment, states, outputs, start, stop)

    spread(run, batch, ticks * batch * p.n_neurons * p.n_channels * p.kernel_size)
    if not trace:
        return outputs, last, None
    turned = to_numpy(model.weights["ring_weight"]).transpose(1, 0, 2)[:, :, ::-1]
    back = taps_of(np.ascontiguousarray(turned), plan.rings)
    return outputs, last, Trace(plan, back, states, xs, kept, segment)


def backward(trace: Trace, g_outputs: FloatArray, g_last: FloatArray, *, with_x: bool) -> Gradients:
    """Return the gradients of a run, given those of its outputs and of its last state.

    Parameters
    ----------
    trace : Trace
    g_outputs, g_last : array
        Shaped like `forward`'s outputs and last state.
    with_x : bool
        Whether the gradient of the input is wanted too.
    """
    rings, taps = trace.plan.rings, 2 * trace.plan.rings.half + 1
    ticks, batch, n_in = trace.xs.shape
    groups = min(GROUPS, batch)
    ring = np.zeros((groups, rings.c, rings.c * taps))
    drive = np.zeros((groups, (n_in + 1) * rings.size))
    g_h = np.empty_like(g_last)
    g_x = np.empty((ticks if with_x else 0, batch, n_in), g_last.dtype)
    reach = np.arange(taps) - rings.half + rings.pad
    offsets = (np.arange(rings.c)[:, None] * rings.row + reach).ravel()

    def run(start: int, stop: int) -> None:
        for g in range(start, stop):
            streams = batch * g // groups, batch * (g + 1) // groups
            _backward(trace, g_outputs, g_last, ring[g], drive[g], g_h, g_x, offsets, *streams)

    spread(run, groups, 3 * ticks * batch * rings.c**2 * rings.n * taps)
    rows = drive.sum(axis=0).reshape(n_in + 1, rings.c, rings.row)
    rows = rows[..., rings.pad : rings.pad + rings.n].astype(g_last.dtype)
    return Gradients(
        ring=ring.sum(axis=0).reshape(rings.c, rings.c, taps).astype(g_last.dtype),
        bias=rows[n_in],
        drive=np.ascontiguousarray(np.moveaxis(rows[:n_in], 0, 2)),
        h=g_h,
        x=g_x if with_x else None,
    )
