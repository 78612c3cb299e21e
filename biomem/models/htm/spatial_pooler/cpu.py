"""Spatial Pooler, compiled: the reference of `model`, bit for bit, in microseconds per record.

What makes it fast: overlaps are column sums of a 0/1 byte matrix ``[input, column]``, which
vectorise; winners come from bisecting for the k-th largest key (floats of one sign order like
their bits); only the winners' permanences are read, by one straight loop that lowers all of them
and a short one that raises the few under active inputs instead (`layout` says how it finds them).
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from biomem.backends.jit import njit
from biomem.models.htm.spatial_pooler.layout import Constants as Constants
from biomem.models.htm.spatial_pooler.layout import Scratch as Scratch
from biomem.models.htm.spatial_pooler.layout import make_constants, make_scratch
from biomem.models.htm.spatial_pooler.model import (
    UPDATE_PERIOD,
    SpatialPooler,
    SpatialPoolerOutput,
    SpatialPoolerState,
)

__all__ = ["Constants", "Scratch", "make_constants", "make_scratch", "scan", "tick"]

_ZERO = np.float32(0)
_ONE = np.float32(1)
_BLOCK = 252
"""Inputs summed in bytes before the sums are widened: a multiple of 4 that cannot overflow."""


@intrinsic
def _ones(typingctx: Any, word: Any) -> Any:  # pyright: ignore[reportUnusedParameter]
    """Count the set bits of a uint64 with the processor's own instruction."""

    def codegen(_context: Any, builder: ir.IRBuilder, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@njit(cache=True)
def _count_overlaps(connected, active_inputs, sums, overlaps):
    """Sum the connection rows of the active inputs: `model.overlap`."""
    overlaps[:] = 0
    for first in range(0, active_inputs.size, _BLOCK):
        last = min(active_inputs.size, first + _BLOCK)
        sums[:] = 0
        quads = first + (last - first) // 4 * 4
        for j in range(first, quads, 4):
            i0, i1 = active_inputs[j], active_inputs[j + 1]
            i2, i3 = active_inputs[j + 2], active_inputs[j + 3]
            for c in range(overlaps.size):
                sums[c] += connected[i0, c] + connected[i1, c] + connected[i2, c] + connected[i3, c]
        for j in range(quads, last):
            i0 = active_inputs[j]
            for c in range(overlaps.size):
                sums[c] += connected[i0, c]
        for c in range(overlaps.size):
            overlaps[c] += np.int32(sums[c])


@njit(cache=True)
def _kth_largest(keys, k):
    """Return the largest v that at least `k` of the non-negative `keys` reach."""
    top = np.int32(0)
    for c in range(keys.size):
        top = max(top, keys[c])
    low, high = np.int64(0), np.int64(top) + 1
    while high - low > 1:
        middle = np.int32((low + high) >> 1)
        count = 0
        for c in range(keys.size):
            count += keys[c] >= middle
        if count >= k:
            low = np.int64(middle)
        else:
            high = np.int64(middle)
    return np.int32(low)


@njit(cache=True)
def _inhibit_globally(keys, k, floor, flags, winners):
    """Write the `k` columns first by (key descending, index ascending), less those < `floor`."""
    n_columns = keys.size
    bar = _kth_largest(keys, k)
    above = 0
    for c in range(n_columns):
        above += keys[c] > bar
        flags[c] = keys[c] >= bar
    ties, n = k - above, 0
    words = flags.view(np.uint64)
    for w in range(words.size):
        if words[w] != np.uint64(0):
            for c in range(8 * w, min(8 * w + 8, n_columns)):
                if flags[c] and (keys[c] > bar or ties > 0):
                    if keys[c] == bar:
                        ties -= 1
                    if keys[c] >= floor:
                        winners[n] = c
                        n += 1
    return n


@njit(cache=True)
def _span(centre, radius, size, wrap):
    """Return the first coordinate of a neighbourhood along an axis and how many follow."""
    if wrap:
        if 2 * radius + 1 >= size:
            return 0, size
        return centre - radius, 2 * radius + 1
    first = max(0, centre - radius)
    return first, min(size, centre + radius + 1) - first


@njit(cache=True)
def _wrap(at, size):
    """Return ``at % size`` for what `_span` yields, at most one turn off; without a division."""
    if at < 0:
        return at + size
    return at - size if at >= size else at


@njit(cache=True)
def _count_ahead(keys, c, first, last):
    """Count the columns from `first` to before `last` that come before `c`."""
    count = 0
    for other in range(first, last):
        count += (keys[other] > keys[c]) | ((keys[other] == keys[c]) & (other < c))
    return count


@njit(cache=True)
def _inhibit_locally(keys, radius, floor, constants, winners):
    """Write the columns with fewer than k larger keys in their area: `model.inhibit`."""
    rows, columns = constants.sheet
    full = min(rows * columns, (2 * radius + 1) ** constants.rank)
    density = constants.density
    if constants.n_active > 0:
        density = min(0.5, constants.n_active / full)
    n = 0
    for c in range(keys.size):
        if keys[c] < floor:
            continue
        row0, n_rows = _span(c // columns, radius, rows, constants.wrap)
        col0, n_cols = _span(c % columns, radius, columns, constants.wrap)
        k = max(1, int(density * (n_rows * n_cols) + 0.5))
        ahead = 0
        for r in range(row0, row0 + n_rows):
            base = _wrap(r, rows) * columns
            first, last = base + col0, base + col0 + n_cols
            ahead += _count_ahead(keys, c, max(first, base), min(last, base + columns))
            ahead += _count_ahead(keys, c, first + columns, base + columns)
            ahead += _count_ahead(keys, c, base, last - columns)
            if ahead >= k:
                break
        if ahead < k:
            winners[n] = c
            n += 1
    return n


@njit(cache=True)
def _lift(row, connected, constants, c):
    """Lift all of column `c` until `stimulus` synapses connect: `model.raise_to_stimulus`."""
    count = 0
    for s in range(row.size):
        count += row[s] >= constants.connected_at
    if count >= constants.stimulus:
        return
    marginal = np.empty(1, np.int32)
    marginal[0] = _kth_largest(row.view(np.int32), constants.stimulus)
    lift = constants.perm_connected - marginal.view(np.float32)[0]
    _raise_all(row, connected, constants, lift, c)


@njit(cache=True)
def _raise_all(row, connected, constants, amount, c):
    """Add `amount` to every synapse of column `c`, up to 1."""
    pool = constants.pools[c]
    for s in range(row.size):
        if pool[s] >= 0:
            row[s] = min(row[s] + amount, _ONE)
            connected[pool[s], c] = row[s] >= constants.connected_at


@njit(cache=True)
def _adapt(permanences, connected, constants, scratch, active_inputs, winners):
    """Move the winners' permanences towards the input: `model.adapt`."""
    slots, moved, crossed = scratch.slots, scratch.moved, scratch.crossed
    inc, dec, at = constants.active_inc, constants.inactive_dec, constants.connected_at
    crossings = crossed.view(np.uint64)
    for w in range(winners.size):
        c = winners[w]
        row = permanences[c]
        # The straight pass comes first: it brings the row into the cache for the scattered one.
        for s in range(row.size):
            moved[s] = max(row[s] - dec, _ZERO)
        n = _find_slots(constants, c, active_inputs, slots)
        for j in range(n):
            moved[slots[j]] = min(row[slots[j]] + inc, _ONE)
        n_crossed = 0
        for s in range(row.size):
            crossed[s] = (row[s] >= at) ^ (moved[s] >= at)
            n_crossed += crossed[s]
            row[s] = moved[s]
        if n_crossed > 0:
            for word in range(crossings.size):
                if crossings[word] != np.uint64(0):
                    for s in range(8 * word, min(8 * word + 8, row.size)):
                        if crossed[s]:
                            connected[constants.pools[c, s], c] ^= 1
        if constants.stimulus > 0:
            _lift(row, connected, constants, c)


@njit(cache=True)
def _find_slots(constants, c, active_inputs, slots):
    """Write the synapses of column `c` to active inputs; return how many there are."""
    n = 0
    for j in range(active_inputs.size):
        i = active_inputs[j]
        word, shift = constants.pool_bits[c, i >> 6], np.uint64(i & 63)
        below = word & ((np.uint64(1) << shift) - np.uint64(1))
        slots[n] = constants.pool_rank[c, i >> 6] + _ones(below)  # pyright: ignore[reportCallIssue]
        n += np.int64((word >> shift) & np.uint64(1))
    return n


@njit(cache=True)
def _update_duty_cycles(state, overlaps, winners, period):
    """Average both duty cycles; return how many columns are weak: `model.update_duty_cycle`."""
    keep, gain = np.float32((period - 1) / period), np.float32(1 / period)
    overlap_duty, active_duty, least = state.overlap_duty, state.active_duty, state.min_overlap_duty
    weak = 0
    for c in range(overlaps.size):
        duty = overlap_duty[c] * keep + (gain if overlaps[c] > 0 else _ZERO)
        overlap_duty[c] = duty
        weak += duty < least[c]
        active_duty[c] *= keep
    for w in range(winners.size):
        active_duty[winners[w]] += gain
    return weak


@njit(cache=True)
def _exponential(x):
    """`model.exponential`, operation by operation."""
    y = x * (1.0 / 256.0)
    e = 1.0
    for n in range(12, 0, -1):
        e = 1.0 + e * y * (1.0 / n)
    for _ in range(8):
        e = e * e
    return e


@njit(cache=True)
def _boost(state, constants, radius):
    """Renew the boosts from the active duty cycles: `model.boost_factors`."""
    duty, boost = state.active_duty, state.boost
    rows, columns = constants.sheet
    target = constants.target
    for c in range(duty.size):
        if not constants.global_inhibition:
            row0, n_rows = _span(c // columns, radius, rows, constants.wrap)
            col0, n_cols = _span(c % columns, radius, columns, constants.wrap)
            total = 0.0
            for r in range(row0, row0 + n_rows):
                for s in range(col0, col0 + n_cols):
                    total += np.float64(duty[_wrap(r, rows) * columns + _wrap(s, columns)])
            target = total / (n_rows * n_cols)
        x = constants.boost_strength * (target - np.float64(duty[c]))
        boost[c] = np.float32(_exponential(x))


@njit(cache=True)
def _inhibition_radius(connected, constants):
    """Return half the mean extent of connected inputs: `model.inhibition_radius`."""
    n_inputs, n_columns = connected.shape
    extent = 0
    first, last = np.empty(n_columns, np.int32), np.empty(n_columns, np.int32)
    for axis in range(constants.rank):
        first[:] = n_inputs
        last[:] = -1
        for i in range(n_inputs):
            at = constants.input_at[axis, i]
            for c in range(n_columns):
                if connected[i, c]:
                    first[c] = min(first[c], at)
                    last[c] = max(last[c], at)
        for c in range(n_columns):
            if last[c] >= 0:
                extent += last[c] - first[c] + 1
    span = extent / (n_columns * constants.rank)
    return int(max(1.0, (span * constants.columns_per_input - 1.0) / 2.0) + 0.5)


@njit(cache=True)
def _renew(state, constants):
    """Renew what changes slowly: the inhibition radius and the minimum duty cycles."""
    duty, least = state.overlap_duty, state.min_overlap_duty
    if constants.global_inhibition:
        least[:] = constants.min_share * duty.max()
        return
    radius = _inhibition_radius(state.connected, constants)
    state.inhibition_radius[0] = radius
    rows, columns = constants.sheet
    for c in range(duty.size):
        row0, n_rows = _span(c // columns, radius, rows, constants.wrap)
        col0, n_cols = _span(c % columns, radius, columns, constants.wrap)
        largest = _ZERO
        for r in range(row0, row0 + n_rows):
            for s in range(col0, col0 + n_cols):
                largest = max(largest, duty[_wrap(r, rows) * columns + _wrap(s, columns)])
        least[c] = constants.min_share * largest


@njit(cache=True)
def _learn(state, constants, scratch, active_inputs, winners, tick):
    """Apply every learning step of `model.advance` to the state's buffers."""
    _adapt(state.permanences, state.connected, constants, scratch, active_inputs, winners)
    period = min(constants.duty_period, tick + 1)
    if _update_duty_cycles(state, scratch.overlaps, winners, period) > 0:
        for c in range(state.boost.size):
            if state.overlap_duty[c] < state.min_overlap_duty[c]:
                row, bump = state.permanences[c], constants.weak_bump
                _raise_all(row, state.connected, constants, bump, c)
    if constants.boosting:
        _boost(state, constants, state.inhibition_radius[0])
    if (tick + 1) % UPDATE_PERIOD == 0:
        _renew(state, constants)


@njit(cache=True)
def tick(state, constants, scratch, active_inputs, tick):
    """Advance one stream by one record, writing to the buffers of `state` and `scratch`.

    Parameters
    ----------
    state, constants, scratch : SpatialPoolerState, Constants, Scratch
    active_inputs : array of int32, ascending
    tick : int
        Records seen before this one.

    Returns
    -------
    array of int32
        The active columns, ascending: a view of `scratch`, valid until the next call.
    """
    overlaps, keys = scratch.overlaps, scratch.keys
    _count_overlaps(state.connected, active_inputs, scratch.sums, overlaps)
    floor, winners = constants.stimulus_key, scratch.winners
    if constants.boosting:
        values = keys.view(np.float32)
        for c in range(keys.size):
            values[c] = np.float32(overlaps[c]) * state.boost[c]
    else:
        keys = overlaps
    if constants.global_inhibition:
        n = _inhibit_globally(keys, constants.n_winners, floor, scratch.flags, winners)
    else:
        n = _inhibit_locally(keys, state.inhibition_radius[0], floor, constants, winners)
    if constants.learn:
        _learn(state, constants, scratch, active_inputs, winners[:n], tick)
    return winners[:n]


@njit(cache=True)
def _scan(state, constants, scratch, xs, active, first_tick):
    for t in range(xs.shape[0]):
        n = 0
        for i in range(xs.shape[2]):
            scratch.inputs[n] = i
            n += xs[t, 0, i]
        winners = tick(state, constants, scratch, scratch.inputs[:n], first_tick + t)
        for w in range(winners.size):
            active[t, 0, winners[w]] = True


_constants: weakref.WeakKeyDictionary[SpatialPooler, Constants] = weakref.WeakKeyDictionary()


def scan(
    model: SpatialPooler, state: SpatialPoolerState, xs: NDArray[np.bool_], tick: int
) -> tuple[SpatialPoolerState, SpatialPoolerOutput]:
    """Advance over a chunk ``(time, 1, input)``; consumes `state`."""
    constants = _constants.get(model)
    if constants is None:
        constants = _constants[model] = make_constants(model.params, model.weights["pools"])
    active = np.zeros((len(xs), 1, model.params.n_columns), bool)
    _scan(state, constants, make_scratch(constants), xs, active, tick)
    return state, SpatialPoolerOutput(active)
