"""A fleet on the CPU: records of any streams, in one compiled call, without the interpreter lock.

`advance` reads a list of records and writes to the rows of their streams. Streams share nothing
they write to but the buffers of the calling thread, so threads may take disjoint streams, and
their number cannot change a result.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.detector.model import HTMDetectorOutput
from biomem.models.htm.detector.params import resolution_for
from biomem.models.htm.encoders.cpu import encode_record
from biomem.models.htm.encoders.record import EncoderConstants
from biomem.models.htm.encoders.record import constants as encoder_constants
from biomem.models.htm.fleet.memory_cpu import (
    Memory,
    MemoryScratch,
    make_memory_scratch,
    remember,
)
from biomem.models.htm.fleet.model import HELD, HTMFleetModel, HTMFleetState
from biomem.models.htm.likelihood import cpu as likelihood
from biomem.models.htm.spatial_pooler import cpu as spatial_pooler
from biomem.models.htm.spatial_pooler.model import SpatialPoolerState
from biomem.models.htm.temporal_memory import params as temporal_memory
from biomem.typing import Array

__all__ = ["Constants", "Scratch", "advance", "constants_of", "make_scratch", "scan"]


class Constants(NamedTuple):
    """Constants of every part."""

    encoder: EncoderConstants
    spatial_pooler: spatial_pooler.Constants
    temporal_memory: temporal_memory.Constants
    likelihood: likelihood.Constants
    range_rule: bool
    range_fraction: float
    range_records: int


class Scratch(NamedTuple):
    """Buffers of one thread."""

    bits: Array
    spatial_pooler: spatial_pooler.Scratch
    memory: MemoryScratch


_pool = spatial_pooler.tick
_judge = likelihood.tick
_outside = likelihood.range_rule
_resolution_for = njit(cache=True)(resolution_for)


@njit(cache=True)
def _encode(state, b, value, seconds, c, bits):
    encoder = EncoderConstants(
        c.size,
        state.resolution[b],
        c.value_size,
        c.value_bits,
        c.seed,
        c.truncate,
        c.table,
        c.part,
        c.part_bits,
        c.part_size,
        c.part_resolution,
        c.custom_days,
        c.holidays,
    )
    return encode_record(value, seconds, state.centre[b], encoder, bits)


@njit(cache=True)
def _columns(state, b, c, scratch, inputs, tick):
    pooler = state.pooler
    row = b if c.learn else 0
    rows = SpatialPoolerState(
        pooler.permanences[row],
        pooler.overlap_duty[row],
        pooler.active_duty[row],
        pooler.min_overlap_duty[row],
        pooler.boost[row],
        pooler.inhibition_radius[row],
        pooler.connected[row],
    )
    return _pool(rows, c, scratch, inputs, tick)


@njit(cache=True, _nrt=False)
def _raw(state, b, c, scratch, columns, begins, tick):
    memory = state.memory
    rows = Memory(
        memory.seg_cell[b],
        memory.seg_nsyn[b],
        memory.seg_used[b],
        memory.syn_pre[b],
        memory.syn_perm[b],
        memory.free[b],
        memory.counters[b],
        memory.active_cells[b],
        memory.winner_cells[b],
        state.seed[b],
    )
    return remember(rows, c, scratch, columns, begins, tick)


@njit(cache=True)
def _take(state, b, c, scratch, record, tick):
    """Take one record of stream `b`: `biomem.models.htm.detector.cpu`, on rows."""
    value, seconds = record[0], record[1]
    if not math.isfinite(state.centre[b]):
        state.centre[b] = value
    n = _encode(state, b, value, seconds, c.encoder, scratch.bits)
    columns = _columns(state, b, c.spatial_pooler, scratch.spatial_pooler, scratch.bits[:n], tick)
    raw = _raw(state, b, c.temporal_memory, scratch.memory, columns, record[2] != 0, tick)
    plain, log = _judge(state.likelihood, b, c.likelihood, raw, value, tick)
    score = log
    if c.range_rule and _outside(value, state.minimum[b], state.maximum[b], c.range_fraction):
        score = 1.0
    state.minimum[b] = min(state.minimum[b], value)
    state.maximum[b] = max(state.maximum[b], value)
    return raw, plain, log, score


@njit(cache=True)
def _hold(state, b, c, scratch, record, n):
    """Hold a record back; with the last of them, learn the range and all of them."""
    held = state.held[b]
    held[n] = record
    if n + 1 < c.range_records:
        return HELD
    state.resolution[b] = _resolution_for(held[:, 0].min(), held[:, 0].max())
    y = HELD
    for i in range(c.range_records):
        y = _take(state, b, c, scratch, held[i], i)
    return y


@njit(cache=True, nogil=True)
def advance(state, constants, scratch, order, streams, records, ys):
    """Take records in turn, writing to the rows of their streams.

    Parameters
    ----------
    state : HTMFleetState
    constants, scratch
        From `constants_of` and `make_scratch`.
    order : int64 array
        Which records to take, in this order.
    streams : int64 array, shape ``(n,)``
        Row of each record.
    records : float64 array, shape ``(n, 3)``
        Value, time, reset.
    ys : HTMDetectorOutput
        Fields of shape ``(n,)``, written to at `order`.
    """
    for i in order:
        b = streams[i]
        n = state.records[b]
        state.records[b] = n + 1
        if math.isnan(state.resolution[b]):
            y = _hold(state, b, constants, scratch, records[i], n)
        else:
            y = _take(state, b, constants, scratch, records[i], n)
        ys.raw[i], ys.likelihood[i], ys.log_likelihood[i], ys.score[i] = y


_constants: weakref.WeakKeyDictionary[HTMFleetModel, Constants] = weakref.WeakKeyDictionary()


def constants_of(model: HTMFleetModel) -> Constants:
    """Return the constants of a model, made once."""
    constants = _constants.get(model)
    if constants is None:
        p = model.params.detector
        constants = _constants[model] = Constants(
            encoder=encoder_constants(p.value, p.time),
            spatial_pooler=spatial_pooler.make_constants(p.spatial_pooler, model.weights["pools"]),
            temporal_memory=temporal_memory.constants(p.temporal_memory),
            likelihood=likelihood.constants_of(p.likelihood),
            range_rule=p.range_rule,
            range_fraction=p.range_fraction,
            range_records=model.params.range_records,
        )
    return constants


def make_scratch(model: HTMFleetModel) -> Scratch:
    """Return the buffers of one thread."""
    c = constants_of(model)
    return Scratch(
        bits=np.empty(c.encoder.most_bits, np.int32),
        spatial_pooler=spatial_pooler.make_scratch(c.spatial_pooler),
        memory=make_memory_scratch(c.temporal_memory, model.most_columns),
    )


def scan(
    model: HTMFleetModel, state: HTMFleetState, xs: np.ndarray, tick: int
) -> tuple[HTMFleetState, HTMDetectorOutput]:
    """Advance over a chunk ``(time, batch, 4)``; consumes `state`."""
    shape = xs.shape[:2]
    flat = xs.reshape(-1, xs.shape[2])
    ys: Any = HTMDetectorOutput(*(np.full(len(flat), np.nan) for _ in HTMDetectorOutput._fields))
    present = np.flatnonzero(flat[:, 3])
    streams = np.arange(len(flat)) % shape[1]
    records = np.ascontiguousarray(flat[:, :3])
    advance(state, constants_of(model), make_scratch(model), present, streams, records, ys)
    return state, HTMDetectorOutput(*(y.reshape(shape) for y in ys))
