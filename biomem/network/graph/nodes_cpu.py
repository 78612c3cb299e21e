"""Compiled primitives: products with matrices, convolutions, neurons.

A sum adds up its products input by input, as the reference does, so the bits are the same. Inputs
that are zero are passed over where they are many, which changes no sum. Outputs are padded to whole
vectors with zeros.
"""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import find
from biomem.backends.simd_llvm import VECTOR_BYTES
from biomem.backends.simd_ordered import HIGH, WIDE, add_scaled
from biomem.network.graph import tables_cpu as t

__all__ = ["ROWS", "advance", "convolve", "multiply"]

N, V_AT, I_AT, FORM, FIRES, INCLUSIVE = t.N, t.V_AT, t.I_AT, t.FORM, t.FIRES, t.INCLUSIVE
RESET, RESET_TICK, MULTIPLE, LOWER = t.RESET, t.RESET_TICK, t.MULTIPLE, t.LOWER
EULER, DECAY, TO_VALUE, SUBTRACT = t.EULER, t.DECAY, t.TO_VALUE, t.SUBTRACT
SAME_ONCE, NEXT, HELD = t.SAME_ONCE, t.NEXT, t.HELD
KEEP, SHARE, GAIN, REST, LEVEL, BACK = t.KEEP, t.SHARE, t.GAIN, t.REST, t.LEVEL, t.BACK
CURRENT = t.CURRENT

ROWS = 64
"""Rows that pass a panel of a matrix one after another, so that it stays in the cache."""

DENSE = 3
"""Rows of which more than one input in so many is not zero are multiplied whole, four at once."""


@njit(cache=True, nogil=True)
def multiply(x, x_at, n_in, panels, bias, out, picks, values):
    """Set ``out = x[:, x_at : x_at + n_in] @ weights + bias``, row by row.

    Parameters
    ----------
    x, out : arrays, shapes (row, any) and (row, padded outputs)
    panels, bias : see `Matrix`
    picks : int32 array, shape (ROWS + 1, >= n_in + 1)
        Scratch; its last row counts up from 0.
    values : array, as many rows as `picks` but one
        Scratch.
    """
    rows, stride, width = len(out), out.shape[1], x.shape[1]
    lanes, room = VECTOR_BYTES // out.itemsize, picks.shape[1]
    sums, given = out.reshape(-1), x.reshape(-1)
    some, scales, every = picks.reshape(-1), values.reshape(-1), picks[ROWS]
    words, counts = np.zeros((n_in + 63) // 64, np.uint64), np.zeros(ROWS, np.int64)
    for begin in range(0, rows, ROWS):
        end = min(begin + ROWS, rows)
        for k in range(end - begin):
            counts[k] = find(x[begin + k, x_at : x_at + n_in], words, picks[k], values[k])
        for place in range(begin * stride, end * stride):
            sums[place] = 0
        at = panel = 0
        while at < stride:
            wide = WIDE if stride - at >= WIDE * lanes else 1
            r = begin
            while r < end:
                k, to = r - begin, r * stride + at
                found = 0
                for o in range(k, min(k + HIGH, end - begin)):
                    found += counts[o]
                if r + HIGH <= end and found * DENSE > HIGH * n_in:
                    add_scaled(
                        HIGH, wide, sums, to, stride, panels, panel, every, 0,
                        given, r * width + x_at, width, every, n_in,
                    )  # fmt: skip
                    r += HIGH
                else:
                    add_scaled(
                        1, wide, sums, to, stride, panels, panel, some, k * room,
                        scales, k * room, 0, every, counts[k],
                    )  # fmt: skip
                    r += 1
            at += wide * lanes
            panel += wide * lanes * n_in
        for r in range(begin, end):
            for i in range(stride):
                out[r, i] = out[r, i] + bias[i]


@njit(cache=True, nogil=True)
def convolve(images, start, places, width, step, panels, bias, every, out):
    """Correlate padded images with kernels; `out` has the channels of a window together.

    Parameters
    ----------
    images : array, shape (image, number)
    start, width, step : int, int, pair of int
        First number of the channels that are read; numbers of a row; strides down and across.
    places : int32 array
        Where in an image the inputs of the first window stand, one by one.
    panels, bias : see `Matrix`
    every : int32 array
        Counts up from 0.
    out : array, shape (image, row, column, padded outputs)
    """
    down, across = out.shape[1], out.shape[2]
    stride, n_in = out.shape[3], len(places)
    lanes = VECTOR_BYTES // out.itemsize
    sums, given = out.reshape(-1), images.reshape(-1)
    for place in range(len(sums)):
        sums[place] = 0
    at = panel = 0
    while at < stride:
        wide = WIDE if stride - at >= WIDE * lanes else 1
        for line in range(len(out) * down):
            first = line // down * images.shape[1] + start + line % down * step[0] * width
            j = 0
            while j < across:
                high = HIGH if j + HIGH <= across else 1
                add_scaled(
                    high, wide, sums, (line * across + j) * stride + at, stride,
                    panels, panel, every, 0, given, first + j * step[1], step[1], places, n_in,
                )  # fmt: skip
                j += high
        at += wide * lanes
        panel += wide * lanes * n_in
    for place in range(len(out) * down * across):
        for i in range(stride):
            sums[place * stride + i] = sums[place * stride + i] + bias[i]


@njit(cache=True, nogil=True)
def _move(form, value, x, keep, share, gain, rest):
    """Move leaky values one tick on."""
    if form == EULER:
        for k in range(len(value)):
            value[k] = value[k] + keep[k] * ((rest[k] - value[k]) + gain[k] * x[k])
    elif form == DECAY:
        for k in range(len(value)):
            kept = rest[k] + keep[k] * (value[k] - rest[k])
            value[k] = kept + share[k] * (gain[k] * x[k])
    else:
        for k in range(len(value)):
            value[k] = value[k] + gain[k] * x[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _fire(settings, v, fired, level, back, above, z):
    """Reset what the tick before left, fire, reset what fires now; `above`: see ``same_once``."""
    reset, when, inclusive = settings[RESET], settings[RESET_TICK], settings[INCLUSIVE]
    if when >= NEXT and reset == SUBTRACT:
        for k in range(len(v)):
            v[k] = v[k] - fired[k] * level[k]
    elif when == HELD and reset == TO_VALUE:
        for k in range(len(v)):
            v[k] = back[k] if fired[k] > 0 else v[k]
    for k in range(len(v)):
        reached = v[k] - above[k] * level[k]
        fires = reached > level[k] or (inclusive and reached == level[k])
        z[k] = 1 if fires else 0
    if settings[MULTIPLE]:
        for k in range(len(v)):
            count = np.floor(v[k] / level[k])
            z[k] = z[k] * count if count > 0 else 0
    if when <= SAME_ONCE and reset == SUBTRACT:
        for k in range(len(v)):
            v[k] = v[k] - z[k] * level[k]
    elif when <= SAME_ONCE and reset == TO_VALUE:
        for k in range(len(v)):
            v[k] = back[k] if z[k] > 0 else v[k]
    if settings[LOWER]:
        for k in range(len(v)):
            v[k] = -level[k] if v[k] < -level[k] else v[k]


@njit(cache=True, nogil=True)
def _copy(source, to):
    for k in range(len(source)):
        to[k] = source[k]


@njit(cache=True, nogil=True)
def advance(settings, numbers, x, v, i, fired, z, trace):
    """Advance one node's neurons.

    Parameters
    ----------
    settings, numbers : see `Cells`
    x, z : arrays, shape (tick * stream, padded neurons)
        Input and output.
    v, i, fired : arrays, shape (stream, place)
        Of all neurons of the graph, written to.
    trace : array, shape (tick * stream, neuron) or (0, neuron)
        Receives the membranes.
    """
    n, a = settings[N], settings[V_AT]
    level, back = numbers[LEVEL], numbers[BACK]
    above = np.zeros(n, v.dtype)
    for r in range(len(x)):
        b = r % len(v)
        membrane, last, given, out = v[b, a : a + n], fired[b, a : a + n], x[r, :n], z[r, :n]
        if settings[I_AT] >= 0:
            own = i[b, settings[I_AT] : settings[I_AT] + n]
            _move(
                settings[FORM], own, given, numbers[CURRENT + KEEP], numbers[CURRENT + SHARE],
                numbers[CURRENT + GAIN], numbers[CURRENT + REST],
            )  # fmt: skip
            given = own
        if settings[FIRES]:
            if settings[RESET] == TO_VALUE and settings[RESET_TICK] == NEXT:
                for k in range(n):
                    membrane[k] = back[k] if last[k] > 0 else membrane[k]
            elif settings[RESET_TICK] == SAME_ONCE:
                for k in range(n):
                    still = membrane[k] > level[k]
                    still |= settings[INCLUSIVE] and membrane[k] == level[k]
                    above[k] = 1 if still else 0
        _move(
            settings[FORM],
            membrane,
            given,
            numbers[KEEP],
            numbers[SHARE],
            numbers[GAIN],
            numbers[REST],
        )
        if settings[FIRES]:
            _fire(settings, membrane, last, level, back, above, out)
            _copy(out, last)
        else:
            _copy(membrane, out)
        if len(trace) > 0:
            _copy(membrane, trace[r])
