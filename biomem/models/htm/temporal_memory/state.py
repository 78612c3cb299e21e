"""State of the Temporal Memory: one pool of segments, the cells of the last tick."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from biomem.engine.model import Field
from biomem.models.htm.temporal_memory.params import (
    Constants,
    TemporalMemoryParams,
    constants,
    row_stride,
)
from biomem.typing import Array

__all__ = ["Links", "TemporalMemoryOutput", "TemporalMemoryState", "init_state", "reset"]

INITIAL_SEGMENTS = 64

# Entries of `TemporalMemoryState.counters`.
SEGMENTS, SYNAPSES, CLOCK, EVENTS, PREDICTED = range(5)


class Links(NamedTuple):
    """Accelerators of the compiled kernel. Empty arrays: not built, the kernel does it on use.

    Nothing here influences a result, so the order inside a list is free.
    """

    cell_mark: Annotated[
        Array,
        Field("i_cell", dtype="int32", kind="derived", doc="scratch, 0 between ticks"),
    ]
    cell_list: Annotated[
        Array,
        Field("i_cell", dtype="int32", kind="derived", doc="where its list begins, or 0"),
    ]
    cell_n_synapses: Annotated[
        Array, Field("i_cell", dtype="int32", kind="derived", doc="length of its list")
    ]
    cell_segment: Annotated[
        Array,
        Field("i_cell", dtype="int32", kind="derived", doc="first segment of the cell, or -1"),
    ]
    cell_n_segments: Annotated[
        Array, Field("i_cell", dtype="int32", kind="derived", doc="segments of the cell")
    ]
    next_segment: Annotated[
        Array, Field("i_segment", dtype="int32", kind="derived", doc="next of the same cell")
    ]
    overlap: Annotated[
        Array,
        Field("i_segment", dtype="int32", kind="derived", doc="scratch, 0 between ticks"),
    ]
    older: Annotated[
        Array,
        Field("i_recency", dtype="int32", kind="derived", doc="ring by recency, 0 is its end"),
    ]
    newer: Annotated[Array, Field("i_recency", dtype="int32", kind="derived", doc="the same ring")]
    place: Annotated[
        Array,
        Field("i_synapse", dtype="int32", kind="derived", doc="in the list of its cell, or -1"),
    ]
    lists: Annotated[
        Array,
        Field("i_entry", dtype="int32", kind="derived", doc="synapses onto each cell"),
    ]


class TemporalMemoryState(NamedTuple):
    """Segments and synapses in one pool that grows by doubling, and the cells of the last tick.

    Row ``s`` of the synapses holds segment ``s``, oldest synapse first; unused slots hold cell -1
    and permanence 0.
    """

    seg_cell: Annotated[Array, Field("segment", dtype="int32", doc="owner; -1 marks a free row")]
    seg_nsyn: Annotated[Array, Field("segment", dtype="int32", doc="synapses in the row")]
    seg_used: Annotated[
        Array, Field("segment", dtype="int64", doc="clock of the last use; -1 in a free row")
    ]
    syn_pre: Annotated[
        Array, Field("segment", "slot", dtype="int32", doc="presynaptic cell; -1 unused")
    ]
    syn_perm: Annotated[Array, Field("segment", "slot", dtype="float32", doc="permanence")]
    free: Annotated[
        Array, Field("segment", dtype="int32", doc="stack of free rows, top last; -1 above it")
    ]
    counters: Annotated[
        Array,
        Field(
            "counter",
            dtype="int64",
            doc="segments, synapses, uses so far, synaptic events so far, predicted columns",
        ),
    ]
    active_cells: Annotated[Array, Field("active", dtype="int32", doc="ascending")]
    winner_cells: Annotated[Array, Field("winner", dtype="int32", doc="ascending, all active")]
    links: Links


class TemporalMemoryOutput(NamedTuple):
    """What one tick tells."""

    anomaly: Annotated[Array, Field(doc="share of active columns that were not predicted")]
    n_predicted: Annotated[
        Array, Field(dtype="int64", doc="columns that had been predicted for this tick")
    ]
    n_active_cells: Annotated[Array, Field(dtype="int64")]
    n_segments: Annotated[Array, Field(dtype="int64")]
    n_synapses: Annotated[Array, Field(dtype="int64")]


def init_state(params: TemporalMemoryParams) -> TemporalMemoryState:
    """Return the state of a Temporal Memory that has seen nothing."""
    rows = min(INITIAL_SEGMENTS, constants(params).max_segments)
    slots = row_stride(params)
    return TemporalMemoryState(
        seg_cell=np.full(rows, -1, np.int32),
        seg_nsyn=np.zeros(rows, np.int32),
        seg_used=np.full(rows, -1, np.int64),
        syn_pre=np.full((rows, slots), -1, np.int32),
        syn_perm=np.zeros((rows, slots), np.float32),
        free=np.arange(rows - 1, -1, -1, dtype=np.int32),
        counters=np.zeros(5, np.int64),
        active_cells=np.empty(0, np.int32),
        winner_cells=np.empty(0, np.int32),
        links=no_links(),
    )


def no_links() -> Links:
    """Return the links that say: not built."""
    return Links(*(np.empty(0, np.int32) for _ in Links._fields))


def reset(state: TemporalMemoryState) -> TemporalMemoryState:
    """Begin a new sequence: forget the cells of the last tick, keep all that was learned."""
    none = np.empty(0, np.int32)
    return state._replace(active_cells=none, winner_cells=none)


def reserve(c: Constants, state: TemporalMemoryState, n_new: int) -> TemporalMemoryState:
    """Return a pool with room for `n_new` segments, or as much as `max_segments` allows."""
    rows, live = state.seg_cell.size, int(state.counters[SEGMENTS])
    target = rows
    while target - live < n_new and target < c.max_segments:
        target = min(2 * target, c.max_segments)
    extra = target - rows
    fresh = np.arange(target - 1, rows - 1, -1, dtype=np.int32)

    def longer(array: Array, fill: float) -> Array:
        return np.concatenate([array, np.full((extra, *array.shape[1:]), fill, array.dtype)])

    return state._replace(
        seg_cell=longer(state.seg_cell, -1),
        seg_nsyn=longer(state.seg_nsyn, 0),
        seg_used=longer(state.seg_used, -1),
        syn_pre=longer(state.syn_pre, -1),
        syn_perm=longer(state.syn_perm, 0.0),
        free=np.concatenate([fresh, state.free]),
    )
