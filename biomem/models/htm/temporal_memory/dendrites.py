"""Dendrites of the Temporal Memory: which segments the active cells excite."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from biomem.models.htm.temporal_memory.params import Constants, TemporalMemoryParams, constants
from biomem.models.htm.temporal_memory.state import TemporalMemoryState
from biomem.typing import BoolArray, IntArray

__all__ = ["Dendrites", "activate_dendrites", "cell_mask", "predicted_columns"]


class Dendrites(NamedTuple):
    """Response of the segments to the active cells of the tick before."""

    connected: IntArray
    """Active connected synapses, by segment."""
    potential: IntArray
    """Active synapses, connected or not, by segment."""
    matching: IntArray
    """Matching segments in (cell, segment) order."""
    active: IntArray
    """Active segments in (cell, segment) order; a subset of `matching`."""


def activate_dendrites(params: TemporalMemoryParams, state: TemporalMemoryState) -> Dendrites:
    """Return how the segments respond to the cells that are active in `state`."""
    c = constants(params)
    on = cell_mask(c, state.active_cells)
    hits = on[state.syn_pre]
    potential = hits.sum(axis=1)
    connected = (hits & (state.syn_perm >= c.connected)).sum(axis=1)
    matching = np.flatnonzero(potential >= c.min_threshold)
    matching = matching[np.argsort(state.seg_cell[matching], kind="stable")]
    active = matching[connected[matching] >= c.activation_threshold]
    return Dendrites(connected, potential, matching, active)


def predicted_columns(params: TemporalMemoryParams, state: TemporalMemoryState) -> IntArray:
    """Return the columns that `state` predicts for the next tick, ascending."""
    active = activate_dendrites(params, state).active
    return np.unique(state.seg_cell[active] // params.cells_per_column)


def cell_mask(c: Constants, cells: IntArray) -> BoolArray:
    """Return a mask over cells, with a last entry for "cell -1", which is never set."""
    mask = np.zeros(c.n_columns * c.cells_per_column + 1, bool)
    mask[cells] = True
    return mask
