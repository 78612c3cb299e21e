"""Compiled scan of the Wave-RNN.

One stream runs through a whole chunk before the next begins, so its state stays in the nearest
cache. Each unit adds up its taps in one order, whatever the chunk, the batch, the tile or the
thread: the bits of a run do not depend on them.
"""

from __future__ import annotations

import math

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import copy, fma
from biomem.backends.simd_tiles import dots, lane_sum, tile
from biomem.backends.threads import spread
from biomem.models.wave_rnn.model import WaveRNN, WaveRNNOutput, WaveRNNState
from biomem.models.wave_rnn.packing_cpu import RELU, TANH, plan_of

__all__ = [
    "activate",
    "advance",
    "close_rings",
    "correlate_rows",
    "drive_row",
    "load",
    "scan",
    "unpack",
]

HISTORY = 4
"""States kept before they are read out together, so that each readout weight is loaded once."""


@njit(cache=True, nogil=True)
def drive_row(out, at, plan, x):
    """Set one padded state to the bias plus the input's share."""
    lanes, size = plan.rings.lanes, plan.rings.size
    vectors, v = size // lanes, 0
    while v < vectors:
        wide, place = min(4, vectors - v), v * lanes
        tile(
            1, wide, out, at + place, 0, plan.bias, place, 0,
            plan.drive, size, x, 0, x.size,
            plan.bias, 0, plan.taps.offset, 0, 0, x, 0, 0, 0, False,
        )  # fmt: skip
        v += wide


@njit(cache=True, nogil=True)
def correlate_rows(out, at, start, drive, x, inputs, rows, rows_at, taps, rings, rectify):
    """Set a padded state to a start, the input's share, and the correlation of another state."""
    vectors = (rings.row - 2 * rings.pad) // rings.lanes
    for k in range(taps.channel.size):
        high, first = taps.height[k], taps.first[k]
        row = taps.channel[k] * rings.row + rings.pad
        v = 0
        while v < vectors:
            wide = 3 if vectors - v == 5 else min(4, vectors - v)
            place = row + v * rings.lanes
            tile(
                high, wide, out, at + place, rings.row, start, place, rings.row,
                drive, rings.size, x, 0, inputs,
                rows, rows_at + rings.pad + v * rings.lanes, taps.offset, first, taps.first[k + 1],
                taps.value, taps.tap[k] - first * high, 1, high, rectify,
            )  # fmt: skip
            v += wide


@njit(cache=True, nogil=True)
def close_rings(h, at, rings):
    """Fill the halos of a padded state from the other end of each ring, and zero the rest."""
    for o in range(rings.c):
        ring = at + o * rings.row + rings.pad
        end = ring + rings.n
        for i in range(end, ring - 2 * rings.pad + rings.row):
            h[i] = 0
        for k in range(rings.half):
            h[ring - 1 - k] = h[end - 1 - k]
            h[end + k] = h[ring + k]


@njit(cache=True, nogil=True)
def activate(h, at, rings):
    """Apply tanh to the units of a padded state; what tiles rectify is left as it is."""
    if rings.activation == TANH:
        for o in range(rings.c):
            ring = at + o * rings.row + rings.pad
            units = h[ring : ring + rings.n]
            for i in range(rings.n):
                units[i] = math.tanh(units[i])


@njit(cache=True, nogil=True)
def advance(plan, out, at, rows, rows_at, x):
    """Compute a padded state of a convolutional network from the one at ``rows[rows_at:]``."""
    rings = plan.rings
    correlate_rows(
        out, at, plan.bias, plan.drive, x, x.size, rows, rows_at, plan.taps, rings,
        rings.activation == RELU,
    )  # fmt: skip
    activate(out, at, rings)
    close_rings(out, at, rings)


@njit(cache=True, nogil=True)
def _recur_untied(out, at, start, rows, rows_at, untied, rings):
    width = untied.shape[2]
    taps = 2 * rings.half + 1
    total = np.empty(width, out.dtype)
    zero = out.dtype.type(0)
    for o in range(rings.c):
        ring = o * rings.row + rings.pad
        copy(total, start[ring : ring + width])
        for k in range(rings.c):
            for j in range(taps):
                source = rows_at + k * rings.row + rings.pad + j - rings.half
                x = rows[source : source + width]
                w = untied[o, k * taps + j]
                for i in range(width):
                    total[i] = fma(w[i], x[i], total[i])
        units = out[at + ring : at + ring + width]
        for i in range(width):
            units[i] = zero if rings.activation == RELU and total[i] <= zero else total[i]


@njit(cache=True, nogil=True)
def _read(plan, h, places, count, y, t, b, sums):
    """Read the states at ``h[places[:count]]`` out into ``y[t[i], b]``."""
    lanes, size = plan.rings.lanes, plan.rings.size
    n_first, hidden = plan.first_bias.size, plan.second_bias.size > 0
    layer = np.empty((HISTORY, n_first), h.dtype)
    wide = 4 if count == 4 else 1
    for q in range(0, count, wide):
        o = 0
        while o < n_first:
            high = 4 if n_first - o >= 4 else 1
            sums[:] = 0
            dots(
                high, wide, sums, 0, plan.first_layer, o * size, size,
                h, 0, places, q, size // lanes,
            )  # fmt: skip
            for i in range(high):
                for j in range(wide):
                    total = lane_sum(sums, (i * wide + j) * lanes, lanes)
                    layer[q + j, o + i] = total + plan.first_bias[o + i]
            o += high
    for q in range(count):
        if not hidden:
            copy(y[t[q], b], layer[q])
            continue
        for o in range(plan.second_bias.size):
            total = plan.second_bias[o]
            for i in range(n_first):
                z = layer[q, i]
                total = fma(plan.second_layer[o, i], z if not z <= 0 else z * 0, total)
            y[t[q], b, o] = total


@njit(cache=True, nogil=True)
def unpack(h, at, rings, out):
    """Copy a padded state to ``(channel, unit)``, which dense weights see as one ring."""
    flat = out.reshape(-1)
    for o in range(rings.c):
        ring = at + o * rings.row + rings.pad
        copy(flat[o * rings.n : (o + 1) * rings.n], h[ring : ring + rings.n])


@njit(cache=True, nogil=True)
def load(h, at, rings, state):
    """Set a padded state, halos included, from ``(channel, unit)``."""
    flat = state.reshape(-1)
    for o in range(rings.c):
        ring = at + o * rings.row + rings.pad
        copy(h[ring : ring + rings.n], flat[o * rings.n : (o + 1) * rings.n])
    close_rings(h, at, rings)


@njit(cache=True, nogil=True)
def _scan(plan, state, xs, tick, y, recorded, start, stop):
    rings = plan.rings
    size = rings.size
    untied, record = plan.untied.size > 0, recorded.shape[2] > 0
    slots = HISTORY if plan.every < HISTORY else 1
    history = np.zeros((slots + 1) * size, state.dtype)
    pre = np.zeros(size, state.dtype)
    places, ticks = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
    sums = np.zeros(16 * rings.lanes, state.dtype)
    for b in range(start, stop):
        load(history, 0, rings, state[b])
        now, waiting = 0, 0
        for t in range(xs.shape[0]):
            then, now = now, (now + 1) % (slots + 1)
            at = now * size
            x = xs[t, b]
            if untied:
                drive_row(pre, 0, plan, x)
                _recur_untied(history, at, pre, history, then * size, plan.untied, rings)
                activate(history, at, rings)
                close_rings(history, at, rings)
            else:
                advance(plan, history, at, history, then * size, x)
            if record:
                unpack(history, at, rings, recorded[t, b])
            if (tick + t + 1) % plan.every == 0:
                places[waiting], ticks[waiting] = at, t
                waiting += 1
            # A state stands for `slots` more ticks; what waits is read while all of it does.
            full = waiting == slots or (waiting > 0 and t - ticks[0] == slots)
            if full or (waiting > 0 and t == xs.shape[0] - 1):
                _read(plan, history, places, waiting, y, ticks, b, sums)
                waiting = 0
        unpack(history, now * size, rings, state[b])


@njit(cache=True, nogil=True)
def _scan_dense(plan, state, xs, tick, y, recorded, start, stop):
    rings = plan.rings
    size, n, batch = rings.size, rings.n, stop - start
    rectify = rings.activation == RELU
    columns = np.arange(n) * size
    weights = plan.untied.reshape(-1)
    history = np.zeros(2 * batch * size, state.dtype)
    pre = np.zeros(4 * size, state.dtype)
    places, ticks = np.zeros(1, np.int64), np.zeros(1, np.int64)
    sums = np.zeros(16 * rings.lanes, state.dtype)
    for b in range(batch):
        load(history, b * size, rings, state[start + b])
    for t in range(xs.shape[0]):
        then, now = (t % 2) * batch * size, ((t + 1) % 2) * batch * size
        b = 0
        while b < batch:
            high = 4 if batch - b >= 4 else 2 if batch - b >= 2 else 1
            for i in range(high):
                drive_row(pre, i * size, plan, xs[t, start + b + i])
            v, vectors = 0, size // rings.lanes
            while v < vectors:
                wide, at = min(4, vectors - v), v * rings.lanes
                tile(
                    high, wide, history, now + b * size + at, size, pre, at, size,
                    pre, 0, pre, 0, 0,
                    weights, at, columns, 0, n, history, then + b * size, size, 1, rectify,
                )  # fmt: skip
                v += wide
            b += high
        for b in range(batch):
            at = now + b * size
            activate(history, at, rings)
            close_rings(history, at, rings)
            if recorded.shape[2] > 0:
                unpack(history, at, rings, recorded[t, start + b])
            if (tick + t + 1) % plan.every == 0:
                places[0], ticks[0] = at, t
                _read(plan, history, places, 1, y, ticks, start + b, sums)
    last = (xs.shape[0] % 2) * batch * size
    for b in range(batch):
        unpack(history, last + b * size, rings, state[start + b])


def scan(
    model: WaveRNN, state: WaveRNNState, xs: np.ndarray, tick: int
) -> tuple[WaveRNNState, WaveRNNOutput]:
    """Advance over a chunk ``(time, batch, input)``; the state's buffer is reused."""
    p, plan = model.params, plan_of(model)
    ticks, batch = xs.shape[:2]
    y = np.zeros((ticks, batch, p.n_outputs), p.dtype)
    recorded = np.empty((ticks, batch, model.sizes["recorded"], p.n_units), p.dtype)
    kernel = _scan_dense if p.tie_weights == "dense" else _scan

    def run(start: int, stop: int) -> None:
        kernel(plan, state.h, xs, tick, y, recorded, start, stop)

    spread(run, batch, model.work(state, ticks, batch).macs)
    return state, WaveRNNOutput(y, recorded)
