"""Temporal Memory for one CPU thread: `biomem.models.htm.temporal_memory.model`, compiled.

What makes it fast are links from each cell to the synapses onto it: a tick reads the synapses of
the few cells that were active, not the pool. Everything else follows the reference line by line
and equals it bit for bit.

Terms. The *number* of a synapse is its flat position ``segment * slots + slot``. The *list* of a
cell holds ``number << 1 | connected`` for each synapse onto it; it lies in `lists` behind a word
with its room, and moves to the free end (``lists[0]``) when that is used up. The segments of one
cell are chained; all segments form a *ring* by recency, with segment s at node s + 1 and node 0
between the newest and the oldest.

Functions that allocate nothing borrow their arrays (``_nrt=False``): counting references to the
twenty arrays of a state at every call would cost more than the work. All of it stands in this one
file because numba's cache watches only the file of the function it compiles.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.engine.random import Stream
from biomem.engine.random_cpu import below, words
from biomem.models.htm.temporal_memory.params import EPSILON, Constants, constants
from biomem.models.htm.temporal_memory.state import (
    CLOCK,
    EVENTS,
    PREDICTED,
    SEGMENTS,
    SYNAPSES,
    Links,
    TemporalMemoryOutput,
    TemporalMemoryState,
)
from biomem.typing import Array

__all__ = ["Constants", "constants", "reset", "scan", "tick"]

_LEAST_USED = int(Stream.TM_LEAST_USED)
_GROW = int(Stream.TM_GROW)
# `overlap` packs two counts: potential in the low half, connected in the high half.
_LOW = 0xFFFF


class Scratch(NamedTuple):
    """Working memory of one tick."""

    active: Array
    winners: Array
    taken: Array
    ranks: Array
    before: Array
    grown: Array
    n_grown: Array


@njit(cache=True)
def _with(state, active_cells, winner_cells, links):
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
        links,
    )


@njit(cache=True)
def reset(state):
    """Begin a new sequence; see `state.reset`."""
    return _with(state, np.empty(0, np.int32), np.empty(0, np.int32), state.links)


@njit(cache=True)
def build_links(state, c):
    """Return `state` with links built from the persistent arrays."""
    rows, slots = state.syn_pre.shape
    n_cells = c.n_columns * c.cells_per_column
    links = Links(
        np.zeros(n_cells, np.int32),
        np.zeros(n_cells, np.int32),
        np.zeros(n_cells, np.int32),
        np.full(n_cells, -1, np.int32),
        np.zeros(n_cells, np.int32),
        np.full(rows, -1, np.int32),
        np.zeros(rows, np.int32),
        np.zeros(rows + 1, np.int32),
        np.zeros(rows + 1, np.int32),
        np.full(rows * slots, -1, np.int32),
        np.ones(1, np.int32),
    )
    for segment in np.argsort(state.seg_used):
        if state.seg_cell[segment] >= 0:
            _list_segment(links, segment, state.seg_cell[segment])
            _append_newest(links, segment)
    state = _with(state, state.active_cells, state.winner_cells, links)
    return list_synapses(state, c, np.arange(rows).astype(np.int32))


@njit(cache=True)
def _longer(array, size, fill):
    out = np.empty(size, array.dtype)
    for i in range(array.size):
        out[i] = array[i]
    for i in range(array.size, size):
        out[i] = fill
    return out


@njit(cache=True)
def _wider(array, rows, fill):
    slots = array.shape[1]
    return _longer(array.reshape(array.size), rows * slots, fill).reshape(rows, slots)


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
    for i in range(rows):
        free[target - rows + i] = state.free[i]
    links = state.links
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
        Links(
            links.cell_mark,
            links.cell_list,
            links.cell_n_synapses,
            links.cell_segment,
            links.cell_n_segments,
            _longer(links.next_segment, target, -1),
            _longer(links.overlap, target, 0),
            _longer(links.older, target + 1, 0),
            _longer(links.newer, target + 1, 0),
            _longer(links.place, target * state.syn_pre.shape[1], -1),
            links.lists,
        ),
    )


@njit(cache=True, _nrt=False, forceinline=True)
def _room(links, cell):
    start = links.cell_list[cell]
    return links.lists[start - 1] if start > 0 else 0


@njit(cache=True, _nrt=False)
def _move_list(links, cell, lists, room):
    """Copy the list of `cell` to the free end of `lists`, with a new room."""
    begin, start = links.cell_list[cell], lists[0] + 1
    lists[0] = start + room
    lists[start - 1] = room
    for i in range(links.cell_n_synapses[cell]):
        lists[start + i] = links.lists[begin + i]
    links.cell_list[cell] = start


@njit(cache=True, _nrt=False, forceinline=True)
def _fitting(n):
    """Return the least room for `n` > 0 synapses."""
    room = 3
    while room < n:
        room = 2 * room + 1
    return room


@njit(cache=True)
def _repack(links, needed):
    """Return the lists without the gaps that moved ones left, `needed` more and as much again.

    A list that has become shorter gives its room back: else each would for ever keep that of its
    longest, and all of them together grow as long as the stream goes on.
    """
    total = 1
    for cell in range(links.cell_list.size):
        if links.cell_n_synapses[cell] > 0:
            total += 1 + _fitting(links.cell_n_synapses[cell])
    lists = np.empty(2 * total + needed, np.int32)
    lists[0] = 1
    for cell in range(links.cell_list.size):
        if links.cell_n_synapses[cell] > 0:
            _move_list(links, cell, lists, _fitting(links.cell_n_synapses[cell]))
        else:
            links.cell_list[cell] = 0
    return Links(
        links.cell_mark,
        links.cell_list,
        links.cell_n_synapses,
        links.cell_segment,
        links.cell_n_segments,
        links.next_segment,
        links.overlap,
        links.older,
        links.newer,
        links.place,
        lists,
    )


@njit(cache=True, _nrt=False)
def _list_while_room(state, c, segments, begin):
    """List the synapses of ``segments[begin:]``; return where it stopped and the room it lacked."""
    links, pre = state.links, state.syn_pre
    for i in range(begin, segments.size):
        segment = segments[i]
        for slot in range(state.seg_nsyn[segment]):
            synapse = segment * pre.shape[1] + slot
            if links.place[synapse] >= 0:
                continue
            cell = pre[segment, slot]
            n, room = links.cell_n_synapses[cell], _room(links, cell)
            if n == room:
                room = 2 * room + 1 if room else 3
                if links.lists[0] + 1 + room > links.lists.size:
                    return i, 1 + room
                _move_list(links, cell, links.lists, room)
            links.place[synapse] = n
            connected = state.syn_perm[segment, slot] >= c.connected
            links.lists[links.cell_list[cell] + n] = synapse << 1 | connected
            links.cell_n_synapses[cell] = n + 1
    return segments.size, 0


@njit(cache=True)
def list_synapses(state, c, segments):
    """Return `state` with every synapse of `segments` in the list of its presynaptic cell."""
    done, lacking = _list_while_room(state, c, segments, 0)
    while lacking:
        links = _repack(state.links, lacking)
        state = _with(state, state.active_cells, state.winner_cells, links)
        done, lacking = _list_while_room(state, c, segments, done)
    return state


@njit(cache=True, _nrt=False, forceinline=True)
def _unlist_synapse(links, synapse, cell):
    place = links.place[synapse]
    if place >= 0:
        start, last = links.cell_list[cell], links.cell_n_synapses[cell] - 1
        moved = links.lists[start + last]
        links.lists[start + place] = moved
        links.place[moved >> 1] = place
        links.place[synapse] = -1
        links.cell_n_synapses[cell] = last


@njit(cache=True, _nrt=False, forceinline=True)
def _relist_synapse(links, synapse, cell, to, connected):
    """Write the list entry of a synapse anew: under the number `to`, connected or not."""
    place = links.place[synapse]
    if place >= 0:
        links.lists[links.cell_list[cell] + place] = to << 1 | connected
        links.place[synapse] = -1
        links.place[to] = place


@njit(cache=True, _nrt=False)
def _list_segment(links, segment, cell):
    links.next_segment[segment] = links.cell_segment[cell]
    links.cell_segment[cell] = segment
    links.cell_n_segments[cell] += 1


@njit(cache=True, _nrt=False)
def _unlist_segment(links, segment, cell):
    here = links.cell_segment[cell]
    if here == segment:
        links.cell_segment[cell] = links.next_segment[segment]
    else:
        while links.next_segment[here] != segment:
            here = links.next_segment[here]
        links.next_segment[here] = links.next_segment[segment]
    links.cell_n_segments[cell] -= 1


@njit(cache=True, _nrt=False, forceinline=True)
def _append_newest(links, segment):
    node, last = segment + 1, links.older[0]
    links.newer[last] = node
    links.older[node] = last
    links.newer[node] = 0
    links.older[0] = node


@njit(cache=True, _nrt=False, forceinline=True)
def _leave_ring(links, segment):
    node = segment + 1
    links.newer[links.older[node]] = links.newer[node]
    links.older[links.newer[node]] = links.older[node]


@njit(cache=True, _nrt=False, forceinline=True)
def _stamp(state, segment):
    state.counters[CLOCK] += 1
    state.seg_used[segment] = state.counters[CLOCK]
    _append_newest(state.links, segment)


@njit(cache=True, _nrt=False)
def destroy_segment(state, segment):
    """Free the row of a segment and take it out of every list."""
    links, stride = state.links, state.syn_pre.shape[1]
    for slot in range(state.seg_nsyn[segment]):
        _unlist_synapse(links, segment * stride + slot, state.syn_pre[segment, slot])
        state.syn_pre[segment, slot] = -1
        state.syn_perm[segment, slot] = 0.0
    state.counters[SYNAPSES] -= state.seg_nsyn[segment]
    _unlist_segment(links, segment, state.seg_cell[segment])
    _leave_ring(links, segment)
    state.seg_nsyn[segment] = 0
    state.seg_cell[segment] = -1
    state.seg_used[segment] = -1
    state.free[state.seg_cell.size - state.counters[SEGMENTS]] = segment
    state.counters[SEGMENTS] -= 1


@njit(cache=True, _nrt=False)
def _compact(state, c, segment, n):
    """Close the gaps (cell -1) among the first `n` slots; return how many synapses are left."""
    pre, perm = state.syn_pre, state.syn_perm
    base, kept = segment * pre.shape[1], 0
    for slot in range(n):
        cell = pre[segment, slot]
        if cell < 0:
            continue
        if kept != slot:
            connected = perm[segment, slot] >= c.connected
            _relist_synapse(state.links, base + slot, cell, base + kept, connected)
            pre[segment, kept], perm[segment, kept] = cell, perm[segment, slot]
            pre[segment, slot] = -1
        kept += 1
    for slot in range(kept, n):
        perm[segment, slot] = 0.0
    state.seg_nsyn[segment] = kept
    state.counters[SYNAPSES] -= n - kept
    return kept


@njit(cache=True, _nrt=False)
def _settle(state, c, scratch, segment, n):
    """Bring the lists in line with moved permanences; return how many synapses are left."""
    links, pre, perm = state.links, state.syn_pre, state.syn_perm
    base, lost = segment * pre.shape[1], 0
    for slot in range(n):
        cell, old, new = pre[segment, slot], scratch.before[slot], perm[segment, slot]
        if new < EPSILON:
            _unlist_synapse(links, base + slot, cell)
            pre[segment, slot] = -1
            lost += 1
        elif (old >= c.connected) != (new >= c.connected):
            _relist_synapse(links, base + slot, cell, base + slot, new >= c.connected)
    return _compact(state, c, segment, n) if lost else n


@njit(cache=True, _nrt=False, forceinline=True)
def adapt_segment(state, c, scratch, segment, increment, decrement):
    """Move the permanences; return whether the segment is still there."""
    links, pre, perm, before = state.links, state.syn_pre, state.syn_perm, scratch.before
    n = state.seg_nsyn[segment]
    n_events = 0
    for slot in range(n):
        old = perm[segment, slot]
        change = increment if links.cell_mark[np.uint32(pre[segment, slot])] != 0 else -decrement
        new = min(max(old + change, np.float32(0)), np.float32(1))
        before[slot] = old
        perm[segment, slot] = new
        n_events += (new < EPSILON) | ((old >= c.connected) != (new >= c.connected))
    if n_events:
        n = _settle(state, c, scratch, segment, n)
    if n < c.destroy_below:
        destroy_segment(state, segment)
        return False
    return True


@njit(cache=True, _nrt=False)
def _destroy_weakest(state, c, segment, count):
    """Destroy up to `count` weakest synapses onto cells that were no winners, ties the older."""
    links, pre, perm = state.links, state.syn_pre, state.syn_perm
    base, n = segment * pre.shape[1], state.seg_nsyn[segment]
    for _ in range(count):
        weakest = -1
        for slot in range(n):
            cell = pre[segment, slot]
            if (
                cell >= 0
                and links.cell_mark[cell] <= 0
                and (weakest < 0 or perm[segment, slot] < perm[segment, weakest])
            ):
                weakest = slot
        if weakest < 0:
            break
        _unlist_synapse(links, base + weakest, pre[segment, weakest])
        pre[segment, weakest] = -1
    return _compact(state, c, segment, n)


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
    links, winners = state.links, state.winner_cells
    n, n_candidates = state.seg_nsyn[segment], winners.size
    for rank in range(winners.size):
        scratch.taken[rank] = False
    for slot in range(n):
        mark = links.cell_mark[state.syn_pre[segment, slot]]
        if mark > 0:
            scratch.taken[mark - 1] = True
            n_candidates -= 1
    wanted = min(wanted, n_candidates)
    if wanted <= 0:
        return
    if n + wanted > c.max_synapses:
        n = _destroy_weakest(state, c, segment, n + wanted - c.max_synapses)
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
        n += 1
    scratch.grown[scratch.n_grown[0]] = segment
    scratch.n_grown[0] += 1
    state.seg_nsyn[segment] = n
    state.counters[SYNAPSES] += wanted


@njit(cache=True, _nrt=False)
def _least_valuable(state, c, cell):
    """Return the segment of `cell` that makes room: least recent or weakest, ties the lower."""
    best, least = -1, np.inf
    segment = state.links.cell_segment[cell]
    while segment >= 0:
        value = np.float64(state.seg_used[segment])
        if not c.prune_lru:
            value = 0.0
            for slot in range(state.seg_nsyn[segment]):
                value += np.float64(state.syn_perm[segment, slot]) ** 2
        if value < least or (value == least and segment < best):
            best, least = segment, value
        segment = state.links.next_segment[segment]
    return best


@njit(cache=True, _nrt=False)
def create_segment(state, c, cell):
    """Return the number of a new, empty segment, or -1 where none can make room."""
    links = state.links
    while links.cell_n_segments[cell] >= c.max_segments_per_cell:
        destroy_segment(state, _least_valuable(state, c, cell))
    if state.counters[SEGMENTS] == state.seg_cell.size:
        node = links.newer[0]
        while node > 0 and links.overlap[node - 1] & _LOW >= c.min_threshold:
            node = links.newer[node]
        if node == 0:
            return -1
        destroy_segment(state, node - 1)
    top = state.seg_cell.size - state.counters[SEGMENTS] - 1
    segment = np.int64(state.free[top])
    state.free[top] = -1
    state.seg_cell[segment] = cell
    state.counters[SEGMENTS] += 1
    _list_segment(links, segment, cell)
    _stamp(state, segment)
    return segment


@njit(cache=True, _nrt=False)
def least_used_cell(state, c, column, now):
    """Return the winner of a bursting column that no segment matches."""
    first = column * c.cells_per_column
    if c.keep_winner:
        for cell in range(first, first + c.cells_per_column):
            if state.links.cell_mark[cell] > 0:
                return cell
    counts = state.links.cell_n_segments
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


@njit(cache=True, _nrt=False)
def _count_overlaps(state):
    links, overlap, lists = state.links, state.links.overlap, state.links.lists
    # Unsigned numbers, here and in `adapt_segment`, spare numba's test for negative indices.
    shift = np.uint32(1)
    while 1 << shift < 2 * state.syn_pre.shape[1]:
        shift += np.uint32(1)
    for cell in state.active_cells:
        start, n = links.cell_list[cell], links.cell_n_synapses[cell]
        state.counters[EVENTS] += n
        for entry in lists[start : start + n]:
            overlap[np.uint32(entry) >> shift] += 1 + ((entry & 1) << 16)


@njit(cache=True, _nrt=False)
def _find_matching(state, c, found, ends, keys):
    """Sort the matching segments by counting per column, then by insertion within columns."""
    overlap, seg_cell = state.links.overlap, state.seg_cell
    n = 0
    for segment in range(overlap.size):
        found[n] = segment
        n += overlap[segment] & _LOW >= c.min_threshold
    for i in range(n):
        ends[seg_cell[found[i]] // c.cells_per_column + 1] += 1
    for column in range(c.n_columns):
        ends[column + 1] += ends[column]
    for i in range(n):
        segment = found[i]
        cell = seg_cell[segment]
        column = cell // c.cells_per_column
        keys[ends[column]] = np.int64(cell) << 32 | segment
        ends[column] += 1
    for i in range(1, n):
        key, at = keys[i], i
        while at > 0 and keys[at - 1] > key:
            keys[at] = keys[at - 1]
            at -= 1
        keys[at] = key
    return n


@njit(cache=True)
def activate_dendrites(state, c):
    """Count the hits of every segment into `overlap`.

    Returns
    -------
    int64 array
        ``cell << 32 | segment`` of the matching segments, ascending.
    """
    _count_overlaps(state)
    found = np.empty(state.seg_cell.size + 1, np.int32)
    keys = np.empty(state.seg_cell.size, np.int64)
    ends = np.zeros(c.n_columns + 1, np.int32)
    return keys[: _find_matching(state, c, found, ends, keys)]


@njit(cache=True, _nrt=False, forceinline=True)
def _is_active(state, c, key):
    return state.links.overlap[key & 0xFFFFFFFF] >> 16 >= c.activation_threshold


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
                _leave_ring(state.links, segment)
                _stamp(state, segment)
    return n_predicted


@njit(cache=True, _nrt=False)
def _punish(state, c, scratch, matching):
    if c.learn and c.punishment > 0:
        for key in matching:
            adapt_segment(state, c, scratch, key & 0xFFFFFFFF, -c.punishment, np.float32(0))


@njit(cache=True, _nrt=False, forceinline=True)
def _learn_on(state, c, scratch, segment, now):
    if c.learn and adapt_segment(state, c, scratch, segment, c.increment, c.decrement):
        wanted = c.max_new_synapses - (state.links.overlap[segment] & _LOW)
        if wanted > 0:
            grow_synapses(state, c, scratch, segment, wanted, now)


@njit(cache=True, _nrt=False)
def _burst(state, c, scratch, column, own, now):
    """Return the winner of a bursting column, and let the segment learn that should."""
    if own.size:
        best = own[0]
        for key in own[1:]:
            if (
                state.links.overlap[key & 0xFFFFFFFF] & _LOW
                > state.links.overlap[best & 0xFFFFFFFF] & _LOW
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
        _punish(state, c, scratch, matching[silent:begin])
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
            winners[n_winners] = _burst(
                state, c, scratch, np.int64(column), matching[begin:end], now
            )
            n_winners += 1
            n_bursts += 1
        begin = end
    _punish(state, c, scratch, matching[begin:])
    return n_active, n_winners, n_bursts


@njit(cache=True, _nrt=False)
def _mark(state):
    """Let one look-up tell whether a cell was active, and which winner it was."""
    for cell in state.active_cells:
        state.links.cell_mark[cell] = -1
    for rank in range(state.winner_cells.size):
        state.links.cell_mark[state.winner_cells[rank]] = rank + 1


@njit(cache=True, _nrt=False)
def _wipe(state):
    for cell in state.active_cells:
        state.links.cell_mark[cell] = 0
    for segment in range(state.seg_cell.size):
        state.links.overlap[segment] = 0


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
    if state.links.cell_mark.size == 0:
        state = build_links(state, c)
    if c.learn and state.winner_cells.size:
        state = reserve(state, c, active_columns.size)
    _mark(state)
    matching = activate_dendrites(state, c)
    state.counters[PREDICTED] = _use_active(state, c, matching)
    most = active_columns.size * c.cells_per_column
    scratch = Scratch(
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(state.winner_cells.size, np.bool_),
        np.empty(c.max_synapses, np.int32),
        np.empty(c.max_synapses, np.float32),
        np.empty(matching.size + active_columns.size, np.int32),
        np.zeros(1, np.int64),
    )
    n_active, n_winners, n_bursts = _activate_cells(
        state, c, scratch, active_columns, matching, now
    )
    _wipe(state)
    anomaly = n_bursts / active_columns.size if active_columns.size else 0.0
    state = list_synapses(state, c, scratch.grown[: scratch.n_grown[0]])
    active, winners = scratch.active[:n_active].copy(), scratch.winners[:n_winners].copy()
    return _with(state, active, winners, state.links), anomaly


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
