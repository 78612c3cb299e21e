"""Temporal Memory of one stream of a fleet, compiled: bounded, in rows of an arena.

Equals `biomem.models.htm.temporal_memory.model` bit for bit. The single detector's kernel keeps
lists of the synapses onto every cell, which grow; here each tick reads all presynaptic cells of
the stream instead. For the few hundred segments a stream of a fleet has that is as fast, needs no
memory of its own, and leaves nothing to rebuild after a load.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.engine.random import Stream
from biomem.engine.random_cpu import below, words
from biomem.models.htm.temporal_memory.params import EPSILON, Constants
from biomem.models.htm.temporal_memory.state import CLOCK, EVENTS, PREDICTED, SEGMENTS, SYNAPSES
from biomem.typing import Array

__all__ = ["Memory", "MemoryScratch", "make_memory_scratch", "remember"]

_LEAST_USED = int(Stream.TM_LEAST_USED)
_GROW = int(Stream.TM_GROW)
_ZERO, _ONE = np.float32(0), np.float32(1)


class Memory(NamedTuple):
    """Rows of one stream: the fields of `TemporalMemoryState`, cells padded with -1; its key."""

    seg_cell: Array
    seg_nsyn: Array
    seg_used: Array
    syn_pre: Array
    syn_perm: Array
    free: Array
    counters: Array
    active_cells: Array
    winner_cells: Array
    key: np.uint64


class MemoryScratch(NamedTuple):
    """Buffers of one thread.

    `mark` is shifted by one, so that the cell -1 of an unused slot has a place; per cell it holds
    the rank of a winner plus one, -1 for another active cell, 0 between ticks. `n_segments` is by
    cell of one column, `potential` by segment.
    """

    mark: Array
    n_segments: Array
    potential: Array
    matching: Array
    taken: Array
    ranks: Array
    active: Array
    winners: Array


def make_memory_scratch(c: Constants, most_columns: int) -> MemoryScratch:
    """Return buffers for streams of at most `most_columns` active columns."""
    n_cells, most = c.n_columns * c.cells_per_column, most_columns * c.cells_per_column
    return MemoryScratch(
        mark=np.zeros(n_cells + 1, np.int32),
        n_segments=np.zeros(c.cells_per_column, np.int32),
        potential=np.zeros(c.max_segments, np.int32),
        matching=np.zeros(c.max_segments, np.int64),
        taken=np.zeros(most, np.bool_),
        ranks=np.zeros(max(most, c.max_synapses), np.int32),
        active=np.zeros(most, np.int32),
        winners=np.zeros(most, np.int32),
    )


@njit(cache=True, _nrt=False)
def _count(cells):
    n = 0
    while n < cells.size and cells[n] >= 0:
        n += 1
    return n


@njit(cache=True, _nrt=False)
def _mark(memory, scratch, n_active, n_winners):
    for i in range(n_active):
        scratch.mark[memory.active_cells[i] + 1] = -1
    for rank in range(n_winners):
        scratch.mark[memory.winner_cells[rank] + 1] = rank + 1


@njit(cache=True, _nrt=False)
def _respond(memory, c, scratch):
    """Count every segment's active synapses; return how many segments match."""
    mark, seg_nsyn = scratch.mark, memory.seg_nsyn
    n_matching = events = 0
    for segment in range(seg_nsyn.size):
        pre, hits = memory.syn_pre[segment], np.int32(0)
        for slot in range(seg_nsyn[segment]):
            hits += mark[np.uint32(pre[slot] + 1)] != 0
        scratch.potential[segment] = hits
        events += hits
        if hits >= c.min_threshold:
            scratch.matching[n_matching] = np.int64(memory.seg_cell[segment]) << 32 | segment
            n_matching += 1
    memory.counters[EVENTS] += events
    return n_matching


@njit(cache=True, _nrt=False)
def _sort(keys):
    """Sort in place, by Shell's method with Ciura's gaps: keys are few, and none are copied."""
    for gap in (701, 301, 132, 57, 23, 10, 4, 1):
        for i in range(gap, keys.size):
            key, at = keys[i], i
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key


@njit(cache=True, _nrt=False)
def _is_active(memory, c, scratch, segment):
    if scratch.potential[segment] < c.activation_threshold:
        return False
    connected = 0
    for slot in range(memory.seg_nsyn[segment]):
        hit = scratch.mark[memory.syn_pre[segment, slot] + 1] != 0
        connected += hit and memory.syn_perm[segment, slot] >= c.connected
    return connected >= c.activation_threshold


@njit(cache=True, _nrt=False)
def _use(memory, segment):
    memory.counters[CLOCK] += 1
    memory.seg_used[segment] = memory.counters[CLOCK]


@njit(cache=True, _nrt=False)
def _use_active(memory, c, scratch, matching):
    """Stamp the active segments and flag them in `matching`; return the columns they predict."""
    n_predicted, previous = 0, -1
    for i in range(matching.size):
        segment = matching[i] & 0xFFFFFFFF
        if _is_active(memory, c, scratch, segment):
            column = (matching[i] >> 32) // c.cells_per_column
            n_predicted += column != previous
            previous = column
            matching[i] |= 1 << 31
            if c.learn:
                _use(memory, segment)
    return n_predicted


@njit(cache=True, _nrt=False)
def _destroy_segment(memory, segment):
    for slot in range(memory.seg_nsyn[segment]):
        memory.syn_pre[segment, slot] = -1
        memory.syn_perm[segment, slot] = _ZERO
    memory.counters[SYNAPSES] -= memory.seg_nsyn[segment]
    memory.seg_nsyn[segment] = 0
    memory.seg_cell[segment] = -1
    memory.seg_used[segment] = -1
    memory.free[memory.seg_cell.size - memory.counters[SEGMENTS]] = segment
    memory.counters[SEGMENTS] -= 1


@njit(cache=True, _nrt=False)
def _compact(memory, segment):
    """Drop the synapses that have faded, keeping the order of the others."""
    pre, perm, n, kept = memory.syn_pre, memory.syn_perm, memory.seg_nsyn[segment], 0
    for slot in range(n):
        cell, value = pre[segment, slot], perm[segment, slot]
        pre[segment, slot], perm[segment, slot] = -1, _ZERO
        if value >= EPSILON:
            pre[segment, kept], perm[segment, kept] = cell, value
            kept += 1
    memory.counters[SYNAPSES] -= n - kept
    memory.seg_nsyn[segment] = kept
    return kept


@njit(cache=True, _nrt=False)
def _adapt(memory, c, scratch, segment, increment, decrement):
    """Move the permanences; return whether the segment is still there."""
    pre, perm, mark = memory.syn_pre[segment], memory.syn_perm[segment], scratch.mark
    n, faded = memory.seg_nsyn[segment], 0
    for slot in range(n):
        change = increment if mark[np.uint32(pre[slot] + 1)] != 0 else -decrement
        moved = min(max(perm[slot] + change, _ZERO), _ONE)
        perm[slot] = moved
        faded += moved < EPSILON
    if faded:
        n = _compact(memory, segment)
    if n < c.destroy_below:
        _destroy_segment(memory, segment)
        return False
    return True


@njit(cache=True, _nrt=False)
def _destroy_weakest(memory, scratch, segment, count):
    """Destroy up to `count` weakest synapses onto cells that were no winners, ties the older."""
    pre, perm = memory.syn_pre, memory.syn_perm
    for _ in range(count):
        n, weakest = memory.seg_nsyn[segment], -1
        for slot in range(n):
            if scratch.mark[pre[segment, slot] + 1] <= 0 and (
                weakest < 0 or perm[segment, slot] < perm[segment, weakest]
            ):
                weakest = slot
        if weakest < 0:
            return
        perm[segment, weakest] = _ZERO
        _compact(memory, segment)


@njit(cache=True, _nrt=False)
def _draw_ranks(memory, scratch, segment, wanted, n_winners, now):
    """Draw `wanted` winners into ``scratch.ranks``, ascending, none of them marked as taken."""
    taken, ranks = scratch.taken, scratch.ranks
    n = draw = 0
    w0 = w1 = w2 = w3 = np.uint32(0)
    while n < wanted:
        lane = draw & 3
        if lane == 0:
            w0, w1, w2, w3 = words(memory.key, _GROW, draw >> 2, segment, now)
        word = (w0 if lane == 0 else w1) if lane < 2 else (w2 if lane == 2 else w3)
        draw += 1
        rank = below(word, n_winners)
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
def _all_ranks(scratch, n_winners):
    """List every winner not marked as taken: what `_draw_ranks` ends with if all are wanted."""
    n = 0
    for rank in range(n_winners):
        if not scratch.taken[rank]:
            scratch.ranks[n] = rank
            n += 1


@njit(cache=True, _nrt=False)
def _grow(memory, c, scratch, segment, wanted, n_winners, now):
    """Add up to `wanted` synapses onto winners the segment does not yet listen to."""
    n, n_candidates = memory.seg_nsyn[segment], n_winners
    for rank in range(n_winners):
        scratch.taken[rank] = False
    for slot in range(n):
        mark = scratch.mark[memory.syn_pre[segment, slot] + 1]
        if mark > 0:
            scratch.taken[mark - 1] = True
            n_candidates -= 1
    wanted = min(wanted, n_candidates)
    if wanted <= 0:
        return
    if n + wanted > c.max_synapses:
        _destroy_weakest(memory, scratch, segment, n + wanted - c.max_synapses)
        n = memory.seg_nsyn[segment]
        wanted = min(wanted, c.max_synapses - n)
    if wanted == n_candidates:
        _all_ranks(scratch, n_winners)
    else:
        _draw_ranks(memory, scratch, segment, wanted, n_winners, now)
    for i in range(wanted):
        memory.syn_pre[segment, n + i] = memory.winner_cells[scratch.ranks[i]]
        memory.syn_perm[segment, n + i] = c.initial
    memory.seg_nsyn[segment] = n + wanted
    memory.counters[SYNAPSES] += wanted


@njit(cache=True, _nrt=False)
def _least_valuable(memory, c, cell):
    """Return the segment of `cell` that makes room: least recent or weakest, ties the lower."""
    best, least = -1, np.inf
    for segment in range(memory.seg_cell.size):
        if memory.seg_cell[segment] != cell:
            continue
        value = np.float64(memory.seg_used[segment])
        if not c.prune_lru:
            value = 0.0
            for slot in range(memory.seg_nsyn[segment]):
                value += np.float64(memory.syn_perm[segment, slot]) ** 2
        if value < least:
            best, least = segment, value
    return best


@njit(cache=True, _nrt=False)
def _least_recent(memory, c, scratch):
    """Return the least recently used segment that does not match, or -1."""
    best = -1
    for segment in range(memory.seg_used.size):
        if scratch.potential[segment] < c.min_threshold and (
            best < 0 or memory.seg_used[segment] < memory.seg_used[best]
        ):
            best = segment
    return best


@njit(cache=True, _nrt=False)
def _create(memory, c, scratch, cell):
    """Return the number of a new, empty segment, or -1 where none can make room."""
    n_segments = 0
    for owner in memory.seg_cell:
        n_segments += owner == cell
    if n_segments >= c.max_segments_per_cell:
        _destroy_segment(memory, _least_valuable(memory, c, cell))
    if memory.counters[SEGMENTS] == memory.seg_cell.size:
        segment = _least_recent(memory, c, scratch)
        if segment < 0:
            return segment
        _destroy_segment(memory, segment)
    top = memory.seg_cell.size - memory.counters[SEGMENTS] - 1
    segment = np.int64(memory.free[top])
    memory.free[top] = -1
    memory.seg_cell[segment] = cell
    memory.counters[SEGMENTS] += 1
    _use(memory, segment)
    return segment


@njit(cache=True, _nrt=False)
def _least_used_cell(memory, c, scratch, column, now):
    """Return the winner of a bursting column that no segment matches."""
    first = column * c.cells_per_column
    if c.keep_winner:
        for cell in range(first, first + c.cells_per_column):
            if scratch.mark[cell + 1] > 0:
                return cell
    counts = scratch.n_segments
    for i in range(counts.size):
        counts[i] = 0
    for owner in memory.seg_cell:
        if first <= owner < first + counts.size:
            counts[owner - first] += 1
    fewest, ties = counts[0], 0
    for count in counts:
        if count < fewest:
            fewest, ties = count, 0
        ties += count == fewest
    nth = below(words(memory.key, _LEAST_USED, column, 0, now)[0], ties)
    i = 0
    while counts[i] != fewest or nth > 0:
        nth -= counts[i] == fewest
        i += 1
    return first + i


@njit(cache=True, _nrt=False)
def _learn_on(memory, c, scratch, segment, n_winners, now):
    if c.learn and _adapt(memory, c, scratch, segment, c.increment, c.decrement):
        wanted = c.max_new_synapses - scratch.potential[segment]
        if wanted > 0:
            _grow(memory, c, scratch, segment, wanted, n_winners, now)


@njit(cache=True, _nrt=False)
def _punish(memory, c, scratch, matching):
    if c.learn and c.punishment > 0:
        for key in matching:
            _adapt(memory, c, scratch, key & 0x7FFFFFFF, -c.punishment, _ZERO)


@njit(cache=True, _nrt=False)
def _burst(memory, c, scratch, column, own, n_winners, now):
    """Return the winner of a bursting column, and let the segment learn that should."""
    if own.size:
        best = own[0]
        for key in own[1:]:
            if scratch.potential[key & 0x7FFFFFFF] > scratch.potential[best & 0x7FFFFFFF]:
                best = key
        _learn_on(memory, c, scratch, best & 0x7FFFFFFF, n_winners, now)
        return best >> 32
    winner = _least_used_cell(memory, c, scratch, column, now)
    n_new = min(c.max_new_synapses, n_winners)
    if c.learn and n_new:
        segment = _create(memory, c, scratch, winner)
        if segment >= 0:
            _grow(memory, c, scratch, segment, n_new, n_winners, now)
    return winner


@njit(cache=True, _nrt=False)
def _activate(memory, c, scratch, columns, matching, n_before, now):
    """Walk the columns; return how many cells are active, how many win, how many columns burst."""
    active, winners, per_column = scratch.active, scratch.winners, c.cells_per_column
    n_active = n_winners = n_bursts = begin = 0
    for column in columns:
        first = np.int64(column) * per_column
        silent = begin
        while begin < matching.size and matching[begin] >> 32 < first:
            begin += 1
        _punish(memory, c, scratch, matching[silent:begin])
        end, won = begin, n_winners
        while end < matching.size and matching[end] >> 32 < first + per_column:
            key = matching[end]
            if key & 1 << 31:
                if n_winners == won or winners[n_winners - 1] != key >> 32:
                    active[n_active] = winners[n_winners] = key >> 32
                    n_active += 1
                    n_winners += 1
                _learn_on(memory, c, scratch, key & 0x7FFFFFFF, n_before, now)
            end += 1
        if n_winners == won:
            for cell in range(first, first + per_column):
                active[n_active] = cell
                n_active += 1
            own = matching[begin:end]
            winners[n_winners] = _burst(memory, c, scratch, np.int64(column), own, n_before, now)
            n_winners += 1
            n_bursts += 1
        begin = end
    _punish(memory, c, scratch, matching[begin:])
    return n_active, n_winners, n_bursts


@njit(cache=True, _nrt=False)
def _replace(cells, fresh, n, n_old):
    for i in range(n):
        cells[i] = fresh[i]
    for i in range(n, n_old):
        cells[i] = -1


@njit(cache=True, _nrt=False)
def remember(memory, c, scratch, columns, begins, now):
    """Advance one stream by one tick, in place; return the raw anomaly score.

    Parameters
    ----------
    memory : Memory
    c : Constants
        Of the Temporal Memory; its key is not read.
    scratch : MemoryScratch
    columns : int32 array
        Active columns, ascending.
    begins : bool
        A new sequence begins: the cells of the tick before are forgotten first.
    now : int
        Index of the tick in this stream.
    """
    n_active, n_winners = _count(memory.active_cells), _count(memory.winner_cells)
    old_active, old_winners = n_active, n_winners
    if begins:
        n_active = n_winners = 0
    _mark(memory, scratch, n_active, n_winners)
    matching = scratch.matching[: _respond(memory, c, scratch)]
    _sort(matching)
    memory.counters[PREDICTED] = _use_active(memory, c, scratch, matching)
    now_active, now_winners, n_bursts = _activate(
        memory, c, scratch, columns, matching, n_winners, now
    )
    for i in range(n_active):
        scratch.mark[memory.active_cells[i] + 1] = 0
    _replace(memory.active_cells, scratch.active, now_active, old_active)
    _replace(memory.winner_cells, scratch.winners, now_winners, old_winners)
    return n_bursts / columns.size if columns.size else 0.0
