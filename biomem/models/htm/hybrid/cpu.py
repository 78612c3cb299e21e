"""Each HTM with its predictor and its monitor in one compiled loop over a chunk of records.

HTMs share nothing but the input, so they run one after the other, each over the whole chunk;
their scores are fused at the end. Equal bit for bit to ``model.py``.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.classifier import cpu as classifier
from biomem.models.htm.classifier.model import ClassifierOutput
from biomem.models.htm.drift import cpu as drift
from biomem.models.htm.drift.monitor import DriftMonitorOutput, Phase
from biomem.models.htm.encoders.cpu import datetime_bits, rdse_bits, table_bits
from biomem.models.htm.encoders.date_time import EARLIEST, LATEST
from biomem.models.htm.encoders.record import EncoderConstants
from biomem.models.htm.encoders.record import constants as encoder_constants
from biomem.models.htm.hybrid.actions import after_drift
from biomem.models.htm.hybrid.model import HTMDriftDetector
from biomem.models.htm.hybrid.params import SIGNALS
from biomem.models.htm.hybrid.signals import fuse_scores, rescaled
from biomem.models.htm.hybrid.state import HTMDriftOutput, empty_output
from biomem.models.htm.likelihood import cpu as likelihood
from biomem.models.htm.spatial_pooler import cpu as spatial_pooler
from biomem.models.htm.temporal_memory import cpu as temporal_memory
from biomem.typing import Array

__all__ = ["advance", "constants_of", "scan"]

NONE, RAW, LOG_LIKELIHOOD, SCORE, EXCEEDANCE, VALUE, RESIDUAL, RESCALED = range(len(SIGNALS))
_NORMAL = int(Phase.NORMAL)


class Constants(NamedTuple):
    """Constants of one HTM."""

    encoder: EncoderConstants
    resolutions: Array
    spatial_pooler: spatial_pooler.Constants
    faster_pooler: spatial_pooler.Constants
    temporal_memory: temporal_memory.Constants
    faster_memory: temporal_memory.Constants
    likelihood: likelihood.Constants
    predictor: classifier.Constants
    monitor: drift.MonitorConstants
    first: int
    fields: int
    predicts: bool
    range_rule: bool
    range_fraction: float
    signal: int
    threshold: float
    given: bool
    flatline: int
    ready: int
    acts: bool


class Rows(NamedTuple):
    """Where one HTM writes what it says, ``[t, 0, ...]``."""

    scores: Array
    ready: Array
    flat: Array
    signal: Array
    forecasts: ClassifierOutput
    monitor: DriftMonitorOutput


_pool = spatial_pooler.tick
_remember = temporal_memory.tick
_begin = temporal_memory.reset
_judge = likelihood.tick
_outside = likelihood.range_rule
_predict = classifier.tick
_watch = drift.monitor_tick
_settle = drift.settle
_rescaled = njit(cache=True)(rescaled)


@njit(cache=True)
def _encode(unit, c, row, bits):
    """Write the pattern of a record, and return its number of bits and its metric value."""
    e, n = c.encoder, 0
    channels = unit.centre.size
    total, present = 0.0, 0
    for j in range(channels):
        value = row[2 + c.first + j]
        if row[2 + c.fields + c.first + j] == 0:
            continue
        present += 1
        total += value if channels == 1 else value / c.resolutions[j]
        if not math.isfinite(unit.centre[j]):
            unit.centre[j] = value
        offset = j * e.value_size
        if e.table.shape[0] > 0:
            centre = unit.centre[j]
            n = table_bits(value, c.resolutions[j], centre, e.table, bits, n, offset)
        else:
            n = rdse_bits(
                value,
                c.resolutions[j],
                e.value_size,
                e.value_bits,
                e.seed,
                e.truncate,
                bits,
                n,
                offset,
            )
    if EARLIEST <= row[0] < LATEST:
        n = datetime_bits(row[0], e, bits, n, channels * e.value_size)
    return n, (total if channels == 1 else total / present)


@njit(cache=True, _nrt=False)
def _see(unit, c, row):
    """Widen the ranges by a record, count repeats, and return whether it was outside."""
    outside = False
    for j in range(unit.centre.size):
        if row[2 + c.fields + c.first + j] == 0:
            continue
        value = row[2 + c.first + j]
        if c.range_rule and _outside(value, unit.minimum[j], unit.maximum[j], c.range_fraction):
            outside = True
        unit.minimum[j] = min(unit.minimum[j], value)
        unit.maximum[j] = max(unit.maximum[j], value)
        unit.same[j] = unit.same[j] + 1 if value == unit.last[j] else 1
        unit.last[j] = value
    return outside


@njit(cache=True)
def _signal(c, raw, log, score, value, error, recent, clock):
    if c.signal == RAW:
        return raw
    if c.signal == LOG_LIKELIHOOD:
        return log
    if c.signal == SCORE:
        return score
    if c.signal == EXCEEDANCE:
        return 1.0 if score >= c.threshold else 0.0
    if c.signal == VALUE:
        return value
    if c.signal == RESIDUAL:
        return error
    if c.signal == RESCALED:
        return _rescaled(error, recent, clock)
    return math.nan


@njit(cache=True)
def _scan(unit, c, scratch, bits, evidence, xs, start, first, ys):
    """Advance from row `start` to the end or to a drift that is acted on; return the next row."""
    memory = unit.temporal_memory
    for t in range(start, xs.shape[0]):
        row, record = xs[t, 0], first + t
        if row[1] != 0:
            unit.pending[0] = True
        present = False
        for j in range(unit.centre.size):
            present = present or row[2 + c.fields + c.first + j] != 0
        signal = math.nan
        if present:
            clock, judged = unit.clock[0], unit.judged[0]
            faster = unit.faster[0] > 0
            pooling = c.faster_pooler if faster else c.spatial_pooler
            remembering = c.faster_memory if faster else c.temporal_memory
            n, metric = _encode(unit, c, row, bits)
            columns = _pool(unit.spatial_pooler, pooling, scratch, bits[:n], clock)
            if unit.pending[0]:
                memory = _begin(memory)
                unit.pending[0] = False
            memory, raw = _remember(memory, remembering, columns, clock)
            plain, log = _judge(unit.likelihood, 0, c.likelihood, raw, metric, judged)
            score = 1.0 if _see(unit, c, row) else log
            error = math.nan
            if c.predicts:
                cells = memory.active_cells
                _predict(unit.predictor, 0, c.predictor, cells, metric, record, ys.forecasts, t)
                error = ys.forecasts.error[t, 0, 0]
            unit.recent[clock % unit.recent.size] = metric
            signal = _signal(c, raw, log, score, metric, error, unit.recent, clock)
            if unit.again[0] and judged < c.ready and LOG_LIKELIHOOD <= c.signal <= EXCEEDANCE:
                signal = math.nan
            unit.clock[0], unit.judged[0] = clock + 1, judged + 1
            unit.faster[0] = max(unit.faster[0] - 1, 0)
            ys.scores[0, t], ys.scores[1, t] = raw, plain
            ys.scores[2, t], ys.scores[3, t] = log, score
        ys.ready[t] = unit.judged[0] > c.ready
        if c.flatline > 0:
            for j in range(unit.centre.size):
                ys.flat[t, j] = unit.same[j] >= c.flatline
        ys.signal[t] = signal
        there = not math.isnan(signal)
        value, weight = (signal, 1.0) if there else (0.0, 0.0)
        if _watch(unit.monitor, 0, c.monitor, value, weight, record, evidence, ys.monitor, t):
            _settle(unit.monitor, 0, c.monitor, record)
        if c.given:
            unit.monitor.phase[0] = _NORMAL
            unit.monitor.count[0] = 0
        if c.acts and ys.monitor.drift[t, 0] != 0:
            return memory, t + 1
    return memory, xs.shape[0]


_constants: weakref.WeakKeyDictionary[HTMDriftDetector, tuple[Constants, ...]] = (
    weakref.WeakKeyDictionary()
)


def constants_of(model: HTMDriftDetector) -> tuple[Constants, ...]:
    """Return the constants of every HTM of a model, made once."""
    found = _constants.get(model)
    if found is None:
        p, d = model.params, model.params.detector
        pools = model.weights["pools"]
        pooler = spatial_pooler.make_constants(p.spatial_pooler, pools)
        faster_pooler = spatial_pooler.make_constants(p.faster_pooler, pools)
        resolutions = np.array([encoder.r for encoder in model.encoders])
        found = _constants[model] = tuple(
            Constants(
                encoder=encoder_constants(d.value, d.time),
                resolutions=resolutions if p.joint else resolutions[u : u + 1],
                spatial_pooler=pooler,
                faster_pooler=faster_pooler,
                temporal_memory=temporal_memory.constants(d.temporal_memory),
                faster_memory=temporal_memory.constants(p.faster_memory),
                likelihood=likelihood.constants_of(d.likelihood),
                predictor=classifier.constants_of(model.classifiers[u]),
                monitor=drift.monitor_constants(model.monitor),
                first=0 if p.joint else u,
                fields=len(p.fields),
                predicts=p.predictor is not None and len(p.predictor.horizons) > 0,
                range_rule=d.range_rule,
                range_fraction=float(d.range_fraction),
                signal=SIGNALS.index(p.signal),
                threshold=float(p.threshold),
                given=p.given,
                flatline=p.flatline,
                ready=d.likelihood.first_estimate,
                acts=len(p.on_drift) > 0,
            )
            for u in range(p.n_units)
        )
    return found


def _rows(ys: HTMDriftOutput, scores: Array, u: int, mine: slice) -> Rows:
    """Return where unit `u` writes: always dense, or the kernel would be compiled once more."""

    def dense(name: str, where: slice | int) -> Array:
        return np.ascontiguousarray(getattr(ys, name)[:, 0, where])

    one = slice(u, u + 1)
    return Rows(
        scores=scores,
        ready=dense("ready", u),
        flat=dense("flat", mine),
        signal=dense("signal", u),
        forecasts=ClassifierOutput(*(dense(name, one) for name in ClassifierOutput._fields)),
        monitor=DriftMonitorOutput(*(dense(name, one) for name in DriftMonitorOutput._fields)),
    )


def _store(ys: HTMDriftOutput, rows: Rows, u: int, mine: slice) -> None:
    """Copy what unit `u` wrote to the outputs."""
    ys.raw[:, 0, u], ys.likelihood[:, 0, u] = rows.scores[0], rows.scores[1]
    ys.log_likelihood[:, 0, u], ys.unit_score[:, 0, u] = rows.scores[2], rows.scores[3]
    ys.ready[:, 0, u], ys.signal[:, 0, u] = rows.ready, rows.signal
    ys.flat[:, 0, mine] = rows.flat
    for part in (rows.forecasts, rows.monitor):
        for name, values in part._asdict().items():
            getattr(ys, name)[:, 0, u : u + 1] = values


def scan(
    model: HTMDriftDetector, state: Any, xs: np.ndarray, tick: int
) -> tuple[Any, HTMDriftOutput]:
    """Advance over a chunk ``(time, 1, 2 + 2 fields)``; consumes `state`."""
    return advance(model, constants_of(model), state, xs, tick)


def advance(
    model: HTMDriftDetector, constants: tuple[Constants, ...], state: Any, xs: np.ndarray, tick: int
) -> tuple[Any, HTMDriftOutput]:
    """Advance as `scan` does, with the constants given."""
    p = model.params
    ys = empty_output(xs.shape[:2], model.sizes)
    units = []
    for u, (unit, c) in enumerate(zip(state, constants, strict=True)):
        scores = np.full((4, len(xs)), np.nan)
        mine = slice(0, c.fields) if p.joint else slice(u, u + 1)
        rows = _rows(ys, scores, u, mine)
        most = c.encoder.value_bits * p.n_channels + int(c.encoder.part_bits.sum())
        scratch, bits = spatial_pooler.make_scratch(c.spatial_pooler), np.empty(most, np.int32)
        evidence, done = drift.empty_evidence(1), 0
        while done < len(xs):
            memory, done = _scan(unit, c, scratch, bits, evidence, xs, done, tick, rows)
            unit = unit._replace(temporal_memory=memory)
            if c.acts and done > 0 and rows.monitor.drift[done - 1, 0]:
                unit = after_drift(model, u, unit)
        units.append(unit)
        _store(ys, rows, u, mine)
    ys.score[:, 0] = fuse_scores(ys.unit_score[:, 0], p.fusion, p.threshold)
    return type(state)(*units), ys
