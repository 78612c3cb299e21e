"""Numba kernels of the sequential tests; equal bit for bit to ``model.py``.

`tick` takes the increments of one record of one stream and is what a monitor calls from its own
kernel; `scan` is the engine's entry for a whole chunk of streams. Nothing here allocates, so every
function borrows its arrays (``_nrt=False``): counting references would cost more than the work.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from biomem.models.htm.drift import model as reference
from biomem.models.htm.drift.increments import BINS as _BINS
from biomem.models.htm.drift.increments import EXCEEDANCE as _EXCEEDANCE

if TYPE_CHECKING:
    from biomem.typing import FloatArray

__all__ = ["empty_output", "increment", "read", "restart", "scan", "tick"]


@njit(cache=True, _nrt=False)
def read(c, x):
    """Return a record as the test `c` reads it."""
    if c.reading == _EXCEEDANCE:
        return 1.0 if x > c.threshold else 0.0
    return x


@njit(cache=True, _nrt=False)
def increment(c, side, effect, u, weight, clip):
    """Return the clipped increment of a record that was read as `u`."""
    if c.reading == _BINS:
        low, high = 0, c.edges.shape[0]
        while low < high:
            middle = (low + high) // 2
            if u < c.edges[middle]:
                high = middle
            else:
                low = middle + 1
        raw = c.table[low]
    else:
        p = c.polynomial
        raw = p[side, effect, 0] * weight + (p[side, effect, 1] + p[side, effect, 2] * u) * u
    return min(max(raw, -clip), clip)


@njit(cache=True, _nrt=False)
def _mixture(sums, b, side):
    top = sums[b, side, 0]
    effects = sums.shape[2]
    if effects == 1:
        return top
    for k in range(1, effects):
        top = max(top, sums[b, side, k])
    total = 0.0
    for k in range(effects):
        total += math.exp(sums[b, side, k] - top)
    return top + math.log(total / effects)


@njit(cache=True, _nrt=False)
def restart(state, b, side, record):
    """Begin one side of stream `b` anew at `record`."""
    for k in range(state.sums.shape[2]):
        state.sums[b, side, k] = 0.0
    state.accepted[b, side] = False
    state.n[b, side] = 0
    state.lowest[b, side] = 0.0
    state.onset[b, side] = record


@njit(cache=True, _nrt=False)
def _emit(ys, t, b, decision, direction, total, n, onset):
    ys.decision[t, b] = decision
    ys.direction[t, b] = direction
    ys.statistic[t, b] = total
    ys.n[t, b] = n
    ys.onset[t, b] = onset


@njit(cache=True, _nrt=False)
def tick(state, b, c, rules, signs, u, weight, gain, present, record, ys, t):
    """Take one record of stream `b`, in place, and write row ``[t, b]`` of the output.

    Parameters
    ----------
    state : SequentialState
        Arrays of all streams; row `b` is written to.
    c : Coefficients
    rules : Rules
    signs : array of int, shape ``(side,)``
    u, weight : float
        The record as `read` returns it, and its weight (1 unless the test is weighted).
    gain : float
        Factor of the increments, after clipping.
    present : bool
    record : int
    ys : SequentialOutput

    Returns
    -------
    decision : int
    """
    live = present and state.standing[b] == 0
    state.missing[b] += not present
    sides, effects = state.sums.shape[1], state.sums.shape[2]
    drift, all_accepted = False, True
    leading, highest, crossed_before = -1, -math.inf, False
    for side in range(sides):
        moving = live and not state.accepted[b, side]
        if moving:
            for k in range(effects):
                state.sums[b, side, k] += gain * increment(c, side, k, u, weight, rules.clip)
            state.n[b, side] += 1
        total = _mixture(state.sums, b, side)
        crossed = moving and total >= rules.upper and state.n[b, side] >= rules.min_records
        if moving:
            if total < state.lowest[b, side]:
                state.lowest[b, side] = total
                state.onset[b, side] = record + 1
            if total <= rules.lower and not rules.separate:
                state.accepted[b, side] = True
        all_accepted = all_accepted and state.accepted[b, side]
        better = crossed == crossed_before and total > highest
        if leading < 0 or better or (crossed and not crossed_before):
            leading, highest, crossed_before = side, total, crossed
        drift = drift or crossed

    decision = 0
    if drift:
        decision = 1
        state.drifts[b] += 1
    elif live and all_accepted:
        decision = -1
        state.accepts[b] += 1
    if not rules.repeat and decision != 0:
        state.standing[b] = decision
    _emit(
        ys,
        t,
        b,
        decision if rules.repeat else state.standing[b],
        signs[leading] if drift else 0,
        highest,
        state.n[b, leading],
        state.onset[b, leading],
    )
    for side in range(sides):
        again = decision != 0 and rules.repeat
        if live and rules.separate and not again:
            again = _mixture(state.sums, b, side) <= rules.lower
        if again:
            restart(state, b, side, record + 1)
    return decision


@njit(cache=True, _nrt=False)
def _scan(state, c, rules, signs, weighted, xs, first, ys):
    for t in range(xs.shape[0]):
        for b in range(xs.shape[1]):
            weight = xs[t, b, 1]
            tick(
                state,
                b,
                c,
                rules,
                signs,
                read(c, xs[t, b, 0]),
                weight if weighted else 1.0,
                1.0,
                weight > 0,
                first + t,
                ys,
                t,
            )


def empty_output(shape: tuple[int, int]) -> reference.SequentialOutput:
    """Return unfilled outputs for ``(time, batch)``."""
    kinds = (np.int8, np.int8, np.float64, np.int64, np.int64)
    return reference.SequentialOutput(*(np.empty(shape, kind) for kind in kinds))


def scan(
    model: Any, state: reference.SequentialState, xs: FloatArray, tick: int
) -> tuple[reference.SequentialState, reference.SequentialOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, 2)``, in place."""
    ys = empty_output(xs.shape[:2])
    signs = np.array(model.params.signs)
    weighted = model.params.test.weighted
    _scan(state, model.coefficients, model.rules, signs, weighted, xs, tick, ys)
    return state, ys
