"""Dendrites on a GPU: which segments of many streams respond to the cells of the tick before.

For some 256 streams and more; below that a CPU core is faster. Segments lie in rows
``(streams, segment, slot)``, as in the state of a fleet. One thread per synapse, so that reads are
coalesced; hits are few, and their atomic sums are of integers, whatever their order. Equals
`activate_dendrites` of `biomem.models.htm.temporal_memory.model`; what a tick learns stays on the
host.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda, int32

from biomem.backends import namespace
from biomem.backends.cuda import Launch, device_kernel
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams, constants

__all__ = ["Response", "dendrites", "tm_mark", "tm_missed", "tm_overlap", "tm_respond"]

THREADS = 256
MATCHING, ACTIVE = 1, 2


def _cells(draw: np.random.Generator, streams: int, cells: int, most: int) -> np.ndarray:
    rows = np.full((streams, most), -1, np.int32)
    for row in rows:
        n = draw.integers(0, most + 1)
        row[:n] = np.sort(draw.permutation(cells)[:n])
    return rows


def _mark_reference(cells: np.ndarray, active: np.ndarray) -> None:
    for b, row in enumerate(cells):
        active[b, row[row >= 0]] = 1


def _mark_case(seed: int) -> Launch:
    cells = _cells(np.random.default_rng(seed), 3, 50, 9)
    return Launch(blocks=2, threads=5, args=(cells, np.zeros((3, 50), np.uint8)))


@device_kernel(
    "tm_mark", "void(int32[:, ::1], uint8[:, ::1])", reference=_mark_reference, case=_mark_case
)
def tm_mark(cells, active):
    """Set the flags of the cells of each stream; -1 is no cell."""
    most = cells.shape[1]
    for i in range(cuda.grid(1), cells.size, cuda.gridsize(1)):
        cell = cells[i // most, i % most]
        if cell >= 0:
            active[i // most, cell] = 1


def _overlap_reference(
    active: np.ndarray,
    syn_pre: np.ndarray,
    syn_perm: np.ndarray,
    connected: np.float32,
    overlap: np.ndarray,
) -> None:
    for b in range(len(active)):
        hits = np.append(active[b], 0)[syn_pre[b]].astype(bool)
        overlap[b] += hits.sum(axis=1)
        overlap[b] += (hits & (syn_perm[b] >= connected)).sum(axis=1) << 16


def _overlap_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    streams, segments, slots, cells = 3, 11, 8, 40
    args = (
        (draw.random((streams, cells)) < 0.4).astype(np.uint8),
        draw.integers(-1, cells, (streams, segments, slots)).astype(np.int32),
        draw.choice(np.array([0.2, 0.5, 0.7], np.float32), (streams, segments, slots)),
        np.float32(0.5),
        np.zeros((streams, segments), np.int32),
    )
    return Launch(blocks=3, threads=16, args=args)


@device_kernel(
    "tm_overlap",
    "void(uint8[:, ::1], int32[:, :, ::1], float32[:, :, ::1], float32, int32[:, ::1])",
    reference=_overlap_reference,
    case=_overlap_case,
)
def tm_overlap(active, syn_pre, syn_perm, connected, overlap):
    """Add each segment's active synapses to `overlap`: all below bit 16, connected ones above."""
    segments, slots = syn_pre.shape[1], syn_pre.shape[2]
    for i in range(cuda.grid(1), syn_pre.size, cuda.gridsize(1)):
        slot, row = i % slots, i // slots
        segment, b = row % segments, row // segments
        cell = syn_pre[b, segment, slot]
        if cell >= 0 and active[b, cell] != 0:
            hit = int32(65537) if syn_perm[b, segment, slot] >= connected else int32(1)
            cuda.atomic.add(overlap, (b, segment), hit)


def _respond_reference(
    overlap: np.ndarray,
    seg_cell: np.ndarray,
    cells_per_column: int,
    activation: int,
    minimum: int,
    response: np.ndarray,
    predicted: np.ndarray,
) -> None:
    live = seg_cell >= 0
    active = live & (overlap >> 16 >= activation)
    response[:] = np.where(active, ACTIVE, live & (overlap & 0xFFFF >= minimum))
    b, segment = np.nonzero(active)
    predicted[b, seg_cell[b, segment] // cells_per_column] = 1


def _respond_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    streams, segments, columns, per_column = 3, 20, 6, 4
    potential = draw.integers(0, 12, (streams, segments))
    args = (
        (potential | draw.integers(0, potential + 1) << 16).astype(np.int32),
        draw.integers(-1, columns * per_column, (streams, segments)).astype(np.int32),
        np.int64(per_column),
        np.int64(6),
        np.int64(4),
        np.zeros((streams, segments), np.uint8),
        np.zeros((streams, columns), np.uint8),
    )
    return Launch(blocks=2, threads=8, args=args)


@device_kernel(
    "tm_respond",
    "void(int32[:, ::1], int32[:, ::1], int64, int64, int64, uint8[:, ::1], uint8[:, ::1])",
    reference=_respond_reference,
    case=_respond_case,
)
def tm_respond(overlap, seg_cell, cells_per_column, activation, minimum, response, predicted):
    """Tell matching (1) and active (2) segments, and set the flags of the predicted columns."""
    segments = overlap.shape[1]
    for i in range(cuda.grid(1), overlap.size, cuda.gridsize(1)):
        b, segment = i // segments, i % segments
        hits, cell, kind = overlap[b, segment], seg_cell[b, segment], 0
        if cell >= 0:
            if hits >> 16 >= activation:
                kind = ACTIVE
                # Threads that meet here write the same.
                predicted[b, cell // cells_per_column] = 1
            elif hits & 0xFFFF >= minimum:
                kind = MATCHING
        response[b, segment] = kind


def _missed_reference(columns: np.ndarray, predicted: np.ndarray, missed: np.ndarray) -> None:
    for b, row in enumerate(columns):
        missed[b] = (predicted[b, row[row >= 0]] == 0).sum()


def _missed_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    args = (
        _cells(draw, 7, 20, 5),
        (draw.random((7, 20)) < 0.5).astype(np.uint8),
        np.zeros(7, np.int32),
    )
    return Launch(blocks=2, threads=2, args=args)


@device_kernel(
    "tm_missed",
    "void(int32[:, ::1], uint8[:, ::1], int32[::1])",
    reference=_missed_reference,
    case=_missed_case,
)
def tm_missed(columns, predicted, missed):
    """Count each stream's active columns that nobody predicted."""
    for b in range(cuda.grid(1), columns.shape[0], cuda.gridsize(1)):
        n = int32(0)
        for j in range(columns.shape[1]):
            if columns[b, j] >= 0 and predicted[b, columns[b, j]] == 0:
                n += int32(1)
        missed[b] = n


class Response(NamedTuple):
    """What the segments of many streams make of the cells of the tick before."""

    overlap: Any
    """int32 ``(streams, segment)``: active synapses below bit 16, connected ones above."""
    segments: Any
    """uint8 ``(streams, segment)``: 1 matching, 2 active."""
    predicted: Any
    """uint8 ``(streams, column)``: 1 where a cell is predicted."""


def dendrites(
    params: TemporalMemoryParams, active_cells: Any, seg_cell: Any, syn_pre: Any, syn_perm: Any
) -> Response:
    """Return the response of every stream's segments; arrays lie on the device, in rows.

    Parameters
    ----------
    params : TemporalMemoryParams
    active_cells : int32 array, shape ``(streams, most)``
        Of the tick before, padded with -1.
    seg_cell : int32 array, shape ``(streams, segment)``
    syn_pre, syn_perm : int32 and float32 arrays, shape ``(streams, segment, slot)``
    """
    c, xp, streams = constants(params), namespace(syn_pre), len(syn_pre)
    active = xp.zeros((streams, c.n_columns * c.cells_per_column), dtype=xp.uint8)
    overlap = xp.zeros(seg_cell.shape, dtype=xp.int32)
    response = xp.empty(seg_cell.shape, dtype=xp.uint8)
    predicted = xp.zeros((streams, c.n_columns), dtype=xp.uint8)
    tm_mark[_blocks(active_cells), THREADS](active_cells, active)
    tm_overlap[_blocks(syn_pre), THREADS](active, syn_pre, syn_perm, c.connected, overlap)
    tm_respond[_blocks(seg_cell), THREADS](
        overlap,
        seg_cell,
        c.cells_per_column,
        c.activation_threshold,
        c.min_threshold,
        response,
        predicted,
    )
    return Response(overlap, response, predicted)


def _blocks(array: Any) -> int:
    return max(1, -(-array.size // THREADS))
