"""Temporal Memory: which cells of a column fire depends on what came before.

Each cell owns segments; a segment holds synapses onto other cells and recognises one earlier state
of the layer. A column whose cell was predicted fires only that cell; an unforeseen column fires
all of its cells. The raw anomaly score is the share of active columns that nobody predicted.

One tick, with *A* the active columns and *W* the winner cells of the tick before:

1. **Dendrites.** For each segment count the presynaptic cells active in the tick before:
   ``potential`` all of them, ``connected`` those with permanence >= `connected_permanence`.
   Active: connected >= `activation_threshold`. Matching: potential >= `min_threshold`.
2. **Anomaly.** ``|A without predicted columns| / |A|``, and 0 when A is empty.
3. **Cells**, columns ascending. *Predicted*: cells with an active segment become active and
   winners, and each of these segments learns. *Bursting*: all cells become active; the best
   matching segment learns and its cell wins; where nothing matches, a cell with the fewest
   segments wins and grows a new segment onto *W*. *Silent but matching*: segments are punished.

A segment learns by rewarding synapses whose cell was active, penalising the others, and growing
``max_new_synapses - potential`` new synapses onto *W*.

When not to use it: order without a clock only. Durations, gaps and real-valued magnitudes reach it
solely through the encoder; and one stream cannot keep a GPU busy.

Choices, where htm.core and NuPIC differ or leave the result to the history of a random generator:

- Growing removes already connected candidates first and then samples without replacement (NuPIC).
  Candidate *r*, the r-th winner, has the key ``words(TM_GROW, entity=r // 4, batch=segment,
  tick)[r % 4]``; the smallest keys win, ties by the lower r. No order of evaluation matters.
- Where the row is full, the weakest synapses onto cells outside *W* make room, ties by the older.
- A segment destroyed while adapting is not grown upon (htm.core reuses the freed number).
- The best matching segment has the largest potential, ties by the lowest (cell, segment).
- The least used cell is drawn among ties with ``words(TM_LEAST_USED, entity=column, tick)[0]``
  (htm.core always takes the lowest, and piles every sequence onto cell 0).
- Recency is a count of uses, so that no two segments are equally old: active segments are used in
  (cell, segment) order when a learning tick begins, new ones when they are made.
- Memory can be bounded (`max_segments`). A segment that matches in this tick is never the one to
  make room; if every segment matches, no new one is made.
- Freed segment numbers are reused last in, first out; the stack is part of the state.

References
----------
J. Hawkins, S. Ahmad, "Why neurons have thousands of synapses, a theory of sequence memory in
neocortex", Front. Neural Circuits 10:23 (2016). Y. Cui, S. Ahmad, J. Hawkins, "Continuous online
sequence learning with an unsupervised neural network model", Neural Comput. 28 (2016) 2474.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from biomem.engine.model import Field, Model
from biomem.engine.random import Rng, Stream, below, words
from biomem.engine.work import Work
from biomem.errors import InputError
from biomem.models.htm.temporal_memory.dendrites import (
    Dendrites,
    activate_dendrites,
    cell_mask,
    predicted_columns,
)
from biomem.models.htm.temporal_memory.params import (
    EPSILON,
    Constants,
    TemporalMemoryParams,
    constants,
    row_stride,
)
from biomem.models.htm.temporal_memory.state import (
    CLOCK,
    EVENTS,
    PREDICTED,
    SEGMENTS,
    SYNAPSES,
    TemporalMemoryOutput,
    TemporalMemoryState,
    init_state,
    no_links,
    reserve,
    reset,
)
from biomem.typing import Array, IntArray

__all__ = [
    "Dendrites",
    "TemporalMemory",
    "TemporalMemoryOutput",
    "TemporalMemoryState",
    "activate_dendrites",
    "advance",
    "init_state",
    "predicted_columns",
    "reset",
]


def advance(
    params: TemporalMemoryParams,
    state: TemporalMemoryState,
    active_columns: IntArray,
    tick: int,
) -> tuple[TemporalMemoryState, float]:
    """Advance by one tick; the reference.

    Parameters
    ----------
    params : TemporalMemoryParams
    state : TemporalMemoryState
        Read, never written to.
    active_columns : int32 array, shape ``(n_active,)``
        Ascending, without repeats.
    tick : int
        Index of the tick; decides the draws.

    Returns
    -------
    state : TemporalMemoryState
        The links of the compiled kernel are left out.
    anomaly : float
        Raw anomaly score, in [0, 1].

    Raises
    ------
    InputError
        Columns that are not integers in range, ascending and distinct.
    """
    c = constants(params)
    columns = _checked(c, active_columns)
    state = _editable(state)
    if c.learn and state.winner_cells.size:
        state = reserve(c, state, columns.size)
    return _Tick(c, state, activate_dendrites(params, state), tick).run(columns)


def _checked(c: Constants, active_columns: Any) -> IntArray:
    columns = np.asarray(active_columns)
    if columns.ndim != 1 or (columns.size and columns.dtype.kind not in "iu"):
        raise InputError(
            "active_columns must be a one-dimensional array of integers, got "
            f"{columns.dtype} of shape {columns.shape}; np.flatnonzero turns a mask into it"
        )
    ascending = (columns[1:] > columns[:-1]).all()
    if not ascending or (columns.size and not 0 <= columns[0] <= columns[-1] < c.n_columns):
        raise InputError(
            f"active_columns must be ascending and distinct, in [0, {c.n_columns}), got {columns}"
        )
    return columns.astype(np.int32)


def _editable(state: TemporalMemoryState) -> TemporalMemoryState:
    copies = {name: getattr(state, name).copy() for name in state._fields if name != "links"}
    return TemporalMemoryState(**copies, links=no_links())


class _Tick:
    """One tick in the making: the working copy of the state and what the tick began with."""

    def __init__(self, c: Constants, state: TemporalMemoryState, dendrites: Dendrites, tick: int):
        self.c, self.state, self.dendrites, self.tick = c, state, dendrites, tick
        self.was_active = cell_mask(c, state.active_cells)
        self.was_winner = cell_mask(c, state.winner_cells)
        self.matches = dendrites.potential >= c.min_threshold

    def run(self, columns: IntArray) -> tuple[TemporalMemoryState, float]:
        c, state, dendrites = self.c, self.state, self.dendrites
        column_of = state.seg_cell // c.cells_per_column
        predicted = np.unique(column_of[dendrites.active])
        if c.learn:
            for segment in dendrites.active:
                self.use(segment)
        punished = c.learn and c.punishment > 0
        owners = column_of[dendrites.matching]
        active_cells: list[int] = []
        winner_cells: list[int] = []
        for column in np.union1d(columns, owners) if punished else columns:
            own = dendrites.matching[owners == column]
            if column not in columns:
                for segment in own:
                    self.punish(segment)
            elif column in predicted:
                cells = self.activate_predicted_column(own)
                active_cells.extend(cells)
                winner_cells.extend(cells)
            else:
                first = int(column) * c.cells_per_column
                active_cells.extend(range(first, first + c.cells_per_column))
                winner_cells.append(self.burst_column(int(column), own))
        state.counters[EVENTS] += dendrites.potential.sum()
        state.counters[PREDICTED] = predicted.size
        state = state._replace(
            active_cells=np.array(active_cells, np.int32),
            winner_cells=np.array(winner_cells, np.int32),
        )
        missed = np.setdiff1d(columns, predicted).size
        return state, missed / columns.size if columns.size else 0.0

    def activate_predicted_column(self, own: IntArray) -> list[int]:
        active = own[self.dendrites.connected[own] >= self.c.activation_threshold]
        cells = np.unique(self.state.seg_cell[active]).tolist()
        if self.c.learn:
            for segment in active:
                self.learn_on(segment)
        return cells

    def burst_column(self, column: int, own: IntArray) -> int:
        if own.size:
            best = own[np.argmax(self.dendrites.potential[own])]
            winner = int(self.state.seg_cell[best])
            if self.c.learn:
                self.learn_on(best)
            return winner
        winner = self.least_used_cell(column)
        n_new = min(self.c.max_new_synapses, self.state.winner_cells.size)
        if self.c.learn and n_new:
            segment = self.create_segment(winner)
            if segment >= 0:
                self.grow_synapses(segment, n_new)
        return winner

    def least_used_cell(self, column: int) -> int:
        first, k = column * self.c.cells_per_column, self.c.cells_per_column
        if self.c.keep_winner:
            kept = np.flatnonzero(self.was_winner[first : first + k])
            if kept.size:
                return first + int(kept[0])
        owned = self.state.seg_cell[
            (self.state.seg_cell >= first) & (self.state.seg_cell < first + k)
        ]
        counts = np.bincount(owned - first, minlength=k)
        ties = np.flatnonzero(counts == counts.min())
        word = words(self.c.key, Stream.TM_LEAST_USED, column, self.tick)[0]
        return first + int(ties[below(word, ties.size)])

    def learn_on(self, segment: int) -> None:
        if self.adapt_segment(segment, self.c.increment, self.c.decrement):
            wanted = self.c.max_new_synapses - int(self.dendrites.potential[segment])
            self.grow_synapses(segment, wanted)

    def punish(self, segment: int) -> None:
        self.adapt_segment(segment, -self.c.punishment, np.float32(0))

    def adapt_segment(self, segment: int, increment: np.float32, decrement: np.float32) -> bool:
        """Move the permanences; return whether the segment is still there."""
        pre, perm = self.row(segment)
        moved = np.where(self.was_active[pre], perm + increment, perm - decrement)
        moved = np.clip(moved, np.float32(0), np.float32(1))
        keep = moved >= EPSILON
        self.write_row(segment, pre[keep], moved[keep])
        if self.state.seg_nsyn[segment] < self.c.destroy_below:
            self.destroy_segment(segment)
            return False
        return True

    def grow_synapses(self, segment: int, wanted: int) -> None:
        pre, perm = self.row(segment)
        winners = self.state.winner_cells
        ranks = np.flatnonzero(~np.isin(winners, pre))
        wanted = min(wanted, ranks.size)
        if wanted <= 0:
            return
        overrun = pre.size + wanted - self.c.max_synapses
        if overrun > 0:
            others = np.flatnonzero(~self.was_winner[pre])
            weakest = others[np.argsort(perm[others], kind="stable")[:overrun]]
            pre, perm = np.delete(pre, weakest), np.delete(perm, weakest)
            wanted = min(wanted, self.c.max_synapses - pre.size)
        chosen = self.draw_ranks(segment, ranks, wanted)
        self.write_row(
            segment,
            np.concatenate([pre, winners[chosen]]),
            np.concatenate([perm, np.full(wanted, self.c.initial)]),
        )

    def draw_ranks(self, segment: int, candidates: IntArray, wanted: int) -> list[int]:
        """Draw winners until `wanted` of the candidates have come up; return them ascending."""
        left, chosen, draw = set(candidates.tolist()), [], 0
        while len(chosen) < wanted:
            word = words(self.c.key, Stream.TM_GROW, draw // 4, self.tick, segment)[draw % 4]
            rank = int(below(word, self.state.winner_cells.size))
            if rank in left:
                left.remove(rank)
                chosen.append(rank)
            draw += 1
        return sorted(chosen)

    def create_segment(self, cell: int) -> int:
        """Return the number of a new, empty segment, or -1 where none can make room."""
        state = self.state
        while (own := np.flatnonzero(state.seg_cell == cell)).size >= self.c.max_segments_per_cell:
            self.destroy_segment(own[np.argmin([self.value(int(s)) for s in own])])
        if state.counters[SEGMENTS] == state.seg_cell.size:
            idle = np.flatnonzero(~self.matches)
            if not idle.size:
                return -1
            self.destroy_segment(idle[np.argmin(state.seg_used[idle])])
        top = state.seg_cell.size - int(state.counters[SEGMENTS]) - 1
        segment = int(state.free[top])
        state.free[top] = -1
        state.seg_cell[segment] = cell
        state.counters[SEGMENTS] += 1
        self.use(segment)
        return segment

    def value(self, segment: int) -> float:
        """Return what `prune` ranks the segments of a cell by."""
        if self.c.prune_lru:
            return float(self.state.seg_used[segment])
        # One by one, as the kernel adds: NumPy's pairwise sum may differ in the last bit.
        return sum(float(p) * float(p) for p in self.row(segment)[1])

    def destroy_segment(self, segment: int) -> None:
        state = self.state
        self.write_row(segment, state.syn_pre[segment, :0], state.syn_perm[segment, :0])
        state.seg_cell[segment] = -1
        state.seg_used[segment] = -1
        state.free[state.seg_cell.size - int(state.counters[SEGMENTS])] = segment
        state.counters[SEGMENTS] -= 1

    def use(self, segment: int) -> None:
        self.state.counters[CLOCK] += 1
        self.state.seg_used[segment] = self.state.counters[CLOCK]

    def row(self, segment: int) -> tuple[IntArray, Array]:
        n = self.state.seg_nsyn[segment]
        return self.state.syn_pre[segment, :n], self.state.syn_perm[segment, :n]

    def write_row(self, segment: int, pre: IntArray, perm: Array) -> None:
        state, n = self.state, pre.size
        state.counters[SYNAPSES] += n - state.seg_nsyn[segment]
        state.seg_nsyn[segment] = n
        state.syn_pre[segment, :n], state.syn_pre[segment, n:] = pre.copy(), -1
        state.syn_perm[segment, :n], state.syn_perm[segment, n:] = perm.copy(), 0.0


class TemporalMemory(Model):
    """Learns sequences of sparse column patterns and scores how unforeseen each one is.

    Input is a mask of the active columns, normally the output of a Spatial Pooler. See the module
    for the equations, and for what it is not for.

    Examples
    --------
    >>> import numpy as np
    >>> model = TemporalMemory(
    ...     n_columns=64, cells_per_column=4, activation_threshold=3, min_threshold=2,
    ...     max_new_synapses=4, max_synapses_per_segment=8,
    ... )
    >>> state = model.init_state(1)
    >>> patterns = np.eye(8, dtype=bool).repeat(8, axis=1)   # 8 patterns of 8 columns
    >>> scores = []
    >>> for tick in range(80):
    ...     state, y = model.step(state, patterns[None, tick % 8], tick)
    ...     scores.append(float(y.anomaly[0]))
    >>> scores[0], scores[-1]
    (1.0, 0.0)
    """

    Params = TemporalMemoryParams
    State = TemporalMemoryState
    Output = TemporalMemoryOutput
    Input = Field("column", dtype="bool")
    batched = False
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.temporal_memory.cpu:scan"}

    params: TemporalMemoryParams

    @property
    def sizes(self) -> Mapping[str, int]:
        """Fixed axes; the others grow with the pool."""
        return {"column": self.params.n_columns, "slot": row_stride(self.params), "counter": 5}

    def init_state(self, batch: int = 1, rng: Rng | None = None) -> TemporalMemoryState:
        """Return an empty memory. Nothing is drawn; ``params.seed`` keys the draws of the run."""
        return init_state(self.params)

    def step(
        self, state: TemporalMemoryState, x: Array, tick: int
    ) -> tuple[TemporalMemoryState, TemporalMemoryOutput]:
        """Advance by one tick; ``x`` has shape ``(1, n_columns)``. See `advance`."""
        state, anomaly = advance(self.params, state, np.flatnonzero(x[0]), tick)
        counts = (PREDICTED, SEGMENTS, SYNAPSES)
        n_predicted, n_segments, n_synapses = (state.counters[[i]] for i in counts)
        return state, TemporalMemoryOutput(
            anomaly=np.array([anomaly]),
            n_predicted=n_predicted,
            n_active_cells=np.array([state.active_cells.size]),
            n_segments=n_segments,
            n_synapses=n_synapses,
        )

    def rebuild(self, state: TemporalMemoryState) -> TemporalMemoryState:
        """Leave the links out; the kernel builds them when it needs them."""
        return state._replace(links=no_links())

    def work(self, state: TemporalMemoryState, ticks: int, batch: int) -> Work:
        """Return the synaptic events since tick 0: presynaptic cells active on live segments."""
        return Work(synaptic_events=int(state.counters[EVENTS]))
