"""Temporal Memory for one CPU thread: `biomem.models.htm.temporal_memory.model`, compiled.

What makes it fast is an index from each cell to the synapses that listen to it: a tick touches
the synapses of the few cells that were active, not the pool. Everything else follows the
reference line by line, and equals it bit for bit.

Terms: a *synapse* number is its flat position ``segment * stride + slot``. The synapses onto one
cell form a doubly linked list; the segments of one cell a singly linked one; all segments a ring
by recency, with segment s at node s + 1 and node 0 between newest and oldest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from biomem.engine.random import Stream
from biomem.engine.random_cpu import below, words
from biomem.models.htm.temporal_memory.params import EPSILON, Constants, constants
from biomem.models.htm.temporal_memory.state import (
    CLOCK,
    EVENTS,
    PREDICTED,
    SEGMENTS,
    SYNAPSES,
    Index,
    TemporalMemoryOutput,
    TemporalMemoryState,
)
from biomem.typing import Array

__all__ = ["Constants", "constants", "reset", "scan", "tick"]

_LEAST_USED = int(Stream.TM_LEAST_USED)
_GROW = int(Stream.TM_GROW)
# `overlap` packs two counts: potential in the low half, connected in the high half.
_LOW = 0xFFFF
_LISTS = 8


class Scratch(NamedTuple):
    """Working memory of one tick."""

    active: Array
    winners: Array
    taken: Array
    ranks: Array


@njit(cache=True)
def build_index(state, c):
    """Return `state` with its index built from the persistent arrays."""
    rows, stride = state.syn_pre.shape
    n_cells = c.n_columns * c.cells_per_column
    index = Index(
        np.zeros(n_cells, np.int32),
        np.full(n_cells, -1, np.int32),
        np.full(n_cells, -1, np.int32),
        np.zeros(n_cells, np.int32),
        np.full(rows, -1, np.int32),
        np.zeros(rows, np.int32),
        np.zeros(rows + 1, np.int32),
        np.zeros(rows + 1, np.int32),
        np.full(rows * stride, -1, np.int32),
        np.full(rows * stride, -1, np.int32),
    )
    state = _with_index(state, index)
    for segment in np.argsort(state.seg_used):
        cell = state.seg_cell[segment]
        if cell < 0:
            continue
        _list_segment(index, segment, cell)
        _append_newest(index, segment)
        for slot in range(state.seg_nsyn[segment]):
            _link(index, segment * stride + slot, state.syn_pre[segment, slot])
    return state


@njit(cache=True)
def _with_index(state, index):
    return TemporalMemoryState(
        state.seg_cell,
        state.seg_nsyn,
        state.seg_used,
        state.syn_pre,
        state.syn_perm,
        state.free,
        state.counters,
        state.active_cells,
        state.winner_cells,
        index,
    )


@njit(cache=True)
def _with_cells(state, active_cells, winner_cells):
    return TemporalMemoryState(
        state.seg_cell,
        state.seg_nsyn,
        state.seg_used,
        state.syn_pre,
        state.syn_perm,
        state.free,
        state.counters,
        active_cells,
        winner_cells,
        state.index,
    )


@njit(cache=True)
def reset(state):
    """Begin a new sequence; see `model.reset`."""
    return _with_cells(state, np.empty(0, np.int32), np.empty(0, np.int32))


@njit(cache=True)
def _longer(array, size, fill):
    out = np.full(size, fill, array.dtype)
    out[: array.size] = array
    return out


@njit(cache=True)
def _wider(array, rows, fill):
    out = np.full((rows, array.shape[1]), fill, array.dtype)
    out[: array.shape[0]] = array
    return out


@njit(cache=True)
def reserve(state, c, n_new):
    """Return a pool with room for `n_new` segments, or as much as the limit allows."""
    rows, live = state.seg_cell.size, state.counters[SEGMENTS]
    target = rows
    while target - live < n_new and target < c.max_segments:
        target = min(2 * target, c.max_segments)
    if target == rows:
        return state
    free = np.empty(target, np.int32)
    for i in range(target - rows):
        free[i] = target - 1 - i
    free[target - rows :] = state.free
    index, stride = state.index, state.syn_pre.shape[1]
    return TemporalMemoryState(
        _longer(state.seg_cell, target, -1),
        _longer(state.seg_nsyn, target, 0),
        _longer(state.seg_used, target, -1),
        _wider(state.syn_pre, target, -1),
        _wider(state.syn_perm, target, 0.0),
        free,
        state.counters,
        state.active_cells,
        state.winner_cells,
        Index(
            index.cell_mark,
            index.cell_synapse,
            index.cell_segment,
            index.cell_n_segments,
            _longer(index.next_segment, target, -1),
            _longer(index.overlap, target, 0),
            _longer(index.older, target + 1, 0),
            _longer(index.newer, target + 1, 0),
            _longer(index.next_synapse, target * stride, -1),
            _longer(index.previous_synapse, target * stride, -1),
        ),
    )


@njit(cache=True, _nrt=False)
def _link(index, synapse, cell):
    head = index.cell_synapse[cell]
    index.next_synapse[synapse] = head
    index.previous_synapse[synapse] = ~cell
    if head >= 0:
        index.previous_synapse[head] = synapse
    index.cell_synapse[cell] = synapse


@njit(cache=True, _nrt=False)
def _relink(index, synapse, to):
    """Let the list run through `to` where it ran through `synapse`; -1 leaves it out."""
    before, after = index.previous_synapse[synapse], index.next_synapse[synapse]
    through = to if to >= 0 else after
    if before >= 0:
        index.next_synapse[before] = through
    else:
        index.cell_synapse[~before] = through
    if after >= 0:
        index.previous_synapse[after] = to if to >= 0 else before
    if to >= 0:
        index.previous_synapse[to] = before
        index.next_synapse[to] = after


@njit(cache=True, _nrt=False)
def _list_segment(index, segment, cell):
    index.next_segment[segment] = index.cell_segment[cell]
    index.cell_segment[cell] = segment
    index.cell_n_segments[cell] += 1


@njit(cache=True, _nrt=False)
def _unlist_segment(index, segment, cell):
    here = index.cell_segment[cell]
    if here == segment:
        index.cell_segment[cell] = index.next_segment[segment]
    else:
        while index.next_segment[here] != segment:
            here = index.next_segment[here]
        index.next_segment[here] = index.next_segment[segment]
    index.cell_n_segments[cell] -= 1


@njit(cache=True, _nrt=False)
def _append_newest(index, segment):
    node, last = segment + 1, index.older[0]
    index.newer[last] = node
    index.older[node] = last
    index.newer[node] = 0
    index.older[0] = node


@njit(cache=True, _nrt=False)
def _leave_ring(index, segment):
    node = segment + 1
    index.newer[index.older[node]] = index.newer[node]
    index.older[index.newer[node]] = index.older[node]


@njit(cache=True, _nrt=False)
def _stamp(state, segment):
    state.counters[CLOCK] += 1
    state.seg_used[segment] = state.counters[CLOCK]
    _append_newest(state.index, segment)


@njit(cache=True, _nrt=False)
def destroy_segment(state, segment):
    """Free the row of a segment and take it out of every list."""
    index, stride = state.index, state.syn_pre.shape[1]
    for slot in range(state.seg_nsyn[segment]):
        _relink(index, segment * stride + slot, -1)
        state.syn_pre[segment, slot] = -1
        state.syn_perm[segment, slot] = 0.0
    state.counters[SYNAPSES] -= state.seg_nsyn[segment]
    _unlist_segment(index, segment, state.seg_cell[segment])
    _leave_ring(index, segment)
    state.seg_nsyn[segment] = 0
    state.seg_cell[segment] = -1
    state.seg_used[segment] = -1
    state.free[state.seg_cell.size - state.counters[SEGMENTS]] = segment
    state.counters[SEGMENTS] -= 1


@njit(cache=True, _nrt=False)
def _compact(state, segment, n):
    """Close the gaps (cell -1) among the first `n` slots; return how many synapses are left."""
    pre, perm = state.syn_pre[segment], state.syn_perm[segment]
    base = segment * state.syn_pre.shape[1]
    kept = 0
    for slot in range(n):
        if pre[slot] < 0:
            continue
        if kept != slot:
            _relink(state.index, base + slot, base + kept)
            pre[kept], perm[kept] = pre[slot], perm[slot]
            pre[slot] = -1
        kept += 1
    perm[kept:n] = 0.0
    state.seg_nsyn[segment] = kept
    state.counters[SYNAPSES] -= n - kept
    return kept


@njit(cache=True, _nrt=False)
def adapt_segment(state, c, segment, increment, decrement):
    """Move the permanences; return whether the segment is still there."""
    index = state.index
    pre, perm = state.syn_pre[segment], state.syn_perm[segment]
    base, n = segment * state.syn_pre.shape[1], state.seg_nsyn[segment]
    lost = 0
    for slot in range(n):
        change = increment if index.cell_mark[pre[slot]] != 0 else -decrement
        moved = min(max(perm[slot] + change, np.float32(0)), np.float32(1))
        perm[slot] = moved
        lost += moved < EPSILON
    if lost:
        for slot in range(n):
            if perm[slot] < EPSILON:
                _relink(index, base + slot, -1)
                pre[slot] = -1
        n = _compact(state, segment, n)
    if n < c.destroy_below:
        destroy_segment(state, segment)
        return False
    return True


@njit(cache=True, _nrt=False)
def _destroy_weakest(state, segment, count):
    """Destroy up to `count` weakest synapses onto cells that were no winners, ties the older."""
    index = state.index
    pre, perm = state.syn_pre[segment], state.syn_perm[segment]
    base, n = segment * state.syn_pre.shape[1], state.seg_nsyn[segment]
    for _ in range(count):
        weakest = -1
        for slot in range(n):
            if (
                pre[slot] >= 0
                and index.cell_mark[pre[slot]] <= 0
                and (weakest < 0 or perm[slot] < perm[weakest])
            ):
                weakest = slot
        if weakest < 0:
            break
        _relink(index, base + weakest, -1)
        pre[weakest] = -1
    return _compact(state, segment, n)


@njit(cache=True, _nrt=False)
def _draw_ranks(c, segment, scratch, wanted, now):
    """Draw `wanted` winners into ``scratch.ranks``, ascending, none of them marked as taken."""
    taken, ranks = scratch.taken, scratch.ranks
    n = draw = 0
    w0 = w1 = w2 = w3 = np.uint32(0)
    while n < wanted:
        lane = draw & 3
        if lane == 0:
            w0, w1, w2, w3 = words(c.key, _GROW, draw >> 2, segment, now)
        word = (w0 if lane == 0 else w1) if lane < 2 else (w2 if lane == 2 else w3)
        draw += 1
        rank = below(word, taken.size)
        if taken[rank]:
            continue
        taken[rank] = True
        at = n
        while at > 0 and ranks[at - 1] > rank:
            ranks[at] = ranks[at - 1]
            at -= 1
        ranks[at] = rank
        n += 1


@njit(cache=True, _nrt=False)
def _all_ranks(scratch):
    """List every winner not marked as taken: what `_draw_ranks` ends with if all are wanted."""
    n = 0
    for rank in range(scratch.taken.size):
        if not scratch.taken[rank]:
            scratch.ranks[n] = rank
            n += 1


@njit(cache=True, _nrt=False)
def grow_synapses(state, c, scratch, segment, wanted, now):
    """Add up to `wanted` synapses onto winners the segment does not yet listen to."""
    if wanted <= 0:
        return
    index, winners, stride = state.index, state.winner_cells, state.syn_pre.shape[1]
    n, n_candidates = state.seg_nsyn[segment], winners.size
    scratch.taken[:] = False
    for slot in range(n):
        mark = index.cell_mark[state.syn_pre[segment, slot]]
        if mark > 0:
            scratch.taken[mark - 1] = True
            n_candidates -= 1
    wanted = min(wanted, n_candidates)
    if wanted <= 0:
        return
    if n + wanted > c.max_synapses:
        n = _destroy_weakest(state, segment, n + wanted - c.max_synapses)
        wanted = min(wanted, c.max_synapses - n)
        if wanted <= 0:
            return
    if wanted == n_candidates:
        _all_ranks(scratch)
    else:
        _draw_ranks(c, segment, scratch, wanted, now)
    for i in range(wanted):
        cell = winners[scratch.ranks[i]]
        state.syn_pre[segment, n] = cell
        state.syn_perm[segment, n] = c.initial
        _link(index, segment * stride + n, cell)
        n += 1
    state.seg_nsyn[segment] = n
    state.counters[SYNAPSES] += wanted


@njit(cache=True, _nrt=False)
def _least_valuable(state, c, cell):
    """Return the segment of `cell` that makes room: least recent or weakest, ties the lower."""
    best, least = -1, np.inf
    segment = state.index.cell_segment[cell]
    while segment >= 0:
        value = np.float64(state.seg_used[segment])
        if not c.prune_lru:
            value = 0.0
            for slot in range(state.seg_nsyn[segment]):
                value += np.float64(state.syn_perm[segment, slot]) ** 2
        if value < least or (value == least and segment < best):
            best, least = segment, value
        segment = state.index.next_segment[segment]
    return best


@njit(cache=True, _nrt=False)
def create_segment(state, c, cell):
    """Return the number of a new, empty segment, or -1 where none can make room."""
    index = state.index
    while index.cell_n_segments[cell] >= c.max_segments_per_cell:
        destroy_segment(state, _least_valuable(state, c, cell))
    if state.counters[SEGMENTS] == state.seg_cell.size:
        node = index.newer[0]
        while node > 0 and index.overlap[node - 1] & _LOW >= c.min_threshold:
            node = index.newer[node]
        if node == 0:
            return -1
        destroy_segment(state, node - 1)
    top = state.seg_cell.size - state.counters[SEGMENTS] - 1
    segment = np.int64(state.free[top])
    state.free[top] = -1
    state.seg_cell[segment] = cell
    state.counters[SEGMENTS] += 1
    _list_segment(index, segment, cell)
    _stamp(state, segment)
    return segment


@njit(cache=True, _nrt=False)
def least_used_cell(state, c, column, now):
    """Return the winner of a bursting column that no segment matches."""
    first = column * c.cells_per_column
    if c.keep_winner:
        for cell in range(first, first + c.cells_per_column):
            if state.index.cell_mark[cell] > 0:
                return cell
    counts = state.index.cell_n_segments
    fewest, ties = counts[first], 0
    for cell in range(first, first + c.cells_per_column):
        if counts[cell] < fewest:
            fewest, ties = counts[cell], 0
        ties += counts[cell] == fewest
    nth = below(words(c.key, _LEAST_USED, column, 0, now)[0], ties)
    cell = first
    while counts[cell] != fewest or nth > 0:
        nth -= counts[cell] == fewest
        cell += 1
    return cell


@njit(cache=True)
def activate_dendrites(state, c):
    """Count the hits of every segment into `overlap`.

    Returns
    -------
    touched : int32 array
        Segments with any hit, in no order.
    matching : int64 array
        ``cell << 32 | segment`` of the matching segments, ascending.
    """
    index = state.index
    overlap, next_synapse = index.overlap, index.next_synapse
    perm = state.syn_perm.reshape(-1)
    shift = 0
    while 1 << shift < state.syn_pre.shape[1]:
        shift += 1
    touched = np.empty(state.counters[SEGMENTS] + 1, np.int32)
    # Several lists are followed at once: each hop waits for memory, and the waits overlap.
    cursors = np.empty(_LISTS, np.int32)
    n_cursors = n_cells = n_touched = n_events = 0
    active = state.active_cells
    while n_cells < active.size and n_cursors < _LISTS:
        head = index.cell_synapse[active[n_cells]]
        n_cells += 1
        if head >= 0:
            cursors[n_cursors] = head
            n_cursors += 1
    while n_cursors > 0:
        i = 0
        while i < n_cursors:
            synapse = cursors[i]
            segment = synapse >> shift
            count = overlap[segment]
            touched[n_touched] = segment
            n_touched += count == 0
            overlap[segment] = count + 1 + (np.int32(perm[synapse] >= c.connected) << 16)
            n_events += 1
            following = next_synapse[synapse]
            while following < 0 and n_cells < active.size:
                following = index.cell_synapse[active[n_cells]]
                n_cells += 1
            if following < 0:
                n_cursors -= 1
                cursors[i] = cursors[n_cursors]
            else:
                cursors[i] = following
                i += 1
    state.counters[EVENTS] += n_events
    touched = touched[:n_touched]
    matching = np.empty(n_touched, np.int64)
    n = 0
    for segment in touched:
        if overlap[segment] & _LOW >= c.min_threshold:
            matching[n] = np.int64(state.seg_cell[segment]) << 32 | segment
            n += 1
    matching = matching[:n]
    matching.sort()
    return touched, matching


@njit(cache=True, _nrt=False)
def _is_active(state, c, key):
    return state.index.overlap[key & 0xFFFFFFFF] >> 16 >= c.activation_threshold


@njit(cache=True, _nrt=False)
def _use_active(state, c, matching):
    """Stamp the active segments; return how many columns they predict."""
    n_predicted, previous = 0, -1
    for key in matching:
        if _is_active(state, c, key):
            column = (key >> 32) // c.cells_per_column
            n_predicted += column != previous
            previous = column
            if c.learn:
                segment = key & 0xFFFFFFFF
                _leave_ring(state.index, segment)
                _stamp(state, segment)
    return n_predicted


@njit(cache=True, _nrt=False)
def _punish(state, c, matching):
    if c.learn and c.punishment > 0:
        for key in matching:
            adapt_segment(state, c, key & 0xFFFFFFFF, -c.punishment, np.float32(0))


@njit(cache=True, _nrt=False)
def _learn_on(state, c, scratch, segment, now):
    if c.learn and adapt_segment(state, c, segment, c.increment, c.decrement):
        wanted = c.max_new_synapses - (state.index.overlap[segment] & _LOW)
        grow_synapses(state, c, scratch, segment, wanted, now)


@njit(cache=True, _nrt=False)
def _burst(state, c, scratch, column, own, now):
    """Return the winner of a bursting column, and let the segment learn that should."""
    if own.size:
        best = own[0]
        for key in own[1:]:
            if (
                state.index.overlap[key & 0xFFFFFFFF] & _LOW
                > state.index.overlap[best & 0xFFFFFFFF] & _LOW
            ):
                best = key
        _learn_on(state, c, scratch, best & 0xFFFFFFFF, now)
        return best >> 32
    winner = least_used_cell(state, c, column, now)
    n_new = min(c.max_new_synapses, state.winner_cells.size)
    if c.learn and n_new:
        segment = create_segment(state, c, winner)
        if segment >= 0:
            grow_synapses(state, c, scratch, segment, n_new, now)
    return winner


@njit(cache=True, _nrt=False)
def _activate_cells(state, c, scratch, columns, matching, now):
    """Walk the columns; return how many cells are active, how many win, how many columns burst."""
    active, winners = scratch.active, scratch.winners
    n_active = n_winners = n_bursts = begin = 0
    for column in columns:
        first = np.int64(column) * c.cells_per_column
        silent = begin
        while begin < matching.size and matching[begin] >> 32 < first:
            begin += 1
        _punish(state, c, matching[silent:begin])
        end, n_before = begin, n_winners
        while end < matching.size and matching[end] >> 32 < first + c.cells_per_column:
            key = matching[end]
            if _is_active(state, c, key):
                cell = key >> 32
                if n_winners == n_before or winners[n_winners - 1] != cell:
                    active[n_active] = winners[n_winners] = cell
                    n_active += 1
                    n_winners += 1
                _learn_on(state, c, scratch, key & 0xFFFFFFFF, now)
            end += 1
        if n_winners == n_before:
            for cell in range(first, first + c.cells_per_column):
                active[n_active] = cell
                n_active += 1
            winners[n_winners] = _burst(state, c, scratch, np.int64(column), matching[begin:end], now)
            n_winners += 1
            n_bursts += 1
        begin = end
    _punish(state, c, matching[begin:])
    return n_active, n_winners, n_bursts


@njit(cache=True)
def tick(state, c, active_columns, now):
    """Advance by one tick, writing to the buffers of `state`.

    Parameters
    ----------
    state : TemporalMemoryState
        Consumed.
    c : Constants
        From `constants`.
    active_columns : int32 array, shape ``(n_active,)``
        Ascending, distinct and in range: not checked here.
    now : int
        Index of the tick.

    Returns
    -------
    state : TemporalMemoryState
    anomaly : float
    """
    if state.index.cell_mark.size == 0:
        state = build_index(state, c)
    if c.learn and state.winner_cells.size:
        state = reserve(state, c, active_columns.size)
    # A mark tells in one look-up whether a cell was active and which winner it was.
    mark = state.index.cell_mark
    mark[state.active_cells] = -1
    for rank in range(state.winner_cells.size):
        mark[state.winner_cells[rank]] = rank + 1
    touched, matching = activate_dendrites(state, c)
    state.counters[PREDICTED] = _use_active(state, c, matching)
    most = active_columns.size * c.cells_per_column
    scratch = Scratch(
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(state.winner_cells.size, np.bool_),
        np.empty(c.max_synapses, np.int32),
    )
    n_active, n_winners, n_bursts = _activate_cells(
        state, c, scratch, active_columns, matching, now
    )
    mark[state.active_cells] = 0
    state.index.overlap[touched] = 0
    anomaly = n_bursts / active_columns.size if active_columns.size else 0.0
    active, winners = scratch.active[:n_active].copy(), scratch.winners[:n_winners].copy()
    return _with_cells(state, active, winners), anomaly


@njit(cache=True)
def _scan(state, c, xs, now, ys):
    columns = np.empty(xs.shape[1], np.int32)
    for t in range(xs.shape[0]):
        n = 0
        for column in range(xs.shape[1]):
            if xs[t, column]:
                columns[n] = column
                n += 1
        state, ys.anomaly[t, 0] = tick(state, c, columns[:n], now + t)
        ys.n_predicted[t, 0] = state.counters[PREDICTED]
        ys.n_active_cells[t, 0] = state.active_cells.size
        ys.n_segments[t, 0] = state.counters[SEGMENTS]
        ys.n_synapses[t, 0] = state.counters[SYNAPSES]
    return state


def scan(
    model: Any, state: TemporalMemoryState, xs: np.ndarray, tick: int
) -> tuple[TemporalMemoryState, TemporalMemoryOutput]:
    """Advance over a chunk of shape ``(time, 1, n_columns)``; consumes `state`."""
    shape = (xs.shape[0], 1)
    ys = TemporalMemoryOutput(np.empty(shape), *(np.empty(shape, np.int64) for _ in range(4)))
    return _scan(state, constants(model.params), xs[:, 0], tick, ys), ys
