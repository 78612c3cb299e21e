"""HTM with a sequential test: anomalies and drifts of one record stream of one or more fields.

Each HTM takes the records in which any of its fields is present::

    x       = encode(v_1) ++ ... ++ encode(v_c) ++ encode(time)      absent fields: no bits
    A       = spatial_pooler(x)
    raw     = |A not predicted| / |A|                                temporal_memory
    L       = likelihood(raw, m)            m = v_1, or the mean of the present v_i / resolution_i
    score   = 1 if any field is outside by the range rule, else log-scaled L
    error   = v - what was expected of this record                   classifier, if there is one
    monitor <- the selected signal, weight 1                         drift/monitor.py
    HTM    <- the chosen actions, if that raised a drift              actions.py

A record without any of its fields leaves an HTM as it is, and its monitor counts it as missing; a
reset that comes with it waits for the next. One HTM per field shares nothing with the others but
parameters, seeds and the clock, so each equals an `HTMDetector` of that field alone bit for bit.

Source: "A Hybrid Framework for Real-Time Data Drift and Anomaly Identification Using Hierarchical
Temporal Memory and Statistical Tests", arXiv 2504.18599; the parts as their rooms state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from biomem.engine.model import Field, Model
from biomem.engine.sdr import SDR
from biomem.engine.work import Work
from biomem.errors import InputError
from biomem.models.htm.classifier import model as classifier
from biomem.models.htm.drift.monitor import DriftMonitor, DriftMonitorState, Phase
from biomem.models.htm.encoders.date_time import EARLIEST, LATEST
from biomem.models.htm.hybrid.actions import after_drift
from biomem.models.htm.hybrid.params import JUDGED, HTMDriftParams
from biomem.models.htm.hybrid.signals import fused, metric_of, rescaled
from biomem.models.htm.hybrid.state import HTMDriftOutput, UnitState, empty_output, state_of
from biomem.models.htm.likelihood import model as likelihood
from biomem.models.htm.likelihood import range_rule
from biomem.models.htm.likelihood.model import AnomalyLikelihood, LikelihoodState
from biomem.models.htm.spatial_pooler import SpatialPooler
from biomem.models.htm.spatial_pooler import model as spatial_pooler
from biomem.models.htm.temporal_memory import TemporalMemory
from biomem.models.htm.temporal_memory import model as temporal_memory
from biomem.models.htm.temporal_memory.state import reset
from biomem.typing import Array

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["HTMDriftDetector"]


class HTMDriftDetector(Model):
    """Detects anomalies and drifts in the fields of a record stream, learning all the time.

    Input is ``(time, reset, value of each field, presence of each field)`` per record; `records`
    makes it from columns, NaN being absent. Output is `HTMDriftOutput`. `biomem.stream` and
    `drift_events` make events of it.

    When not to use it: where a threshold on the value says it all; for a drift in a quantity that
    needs no model (`DriftMonitor` alone is a thousand times faster and does not wait for an HTM to
    learn); and for slow drifts, which an HTM learns along with: watch the value then.

    Parameters
    ----------
    params : HTMDriftParams
        From `HTMDriftParams.for_ranges` unless parts are to be changed.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> from biomem.models.htm.hybrid import HTMDriftParams
    >>> params = HTMDriftParams.for_ranges({"load": (0.0, 9.0), "heat": (20.0, 80.0)})
    >>> model = HTMDriftDetector(params)
    >>> xs = model.records([[1.0, 40.0], [1.5, np.nan]], times=[0.0, 60.0])
    >>> out = Simulator(model, backend="numpy").run(xs)
    >>> out["raw"][:, 0]
    array([[ 1.,  1.],
           [ 1., nan]])
    """

    Params = HTMDriftParams
    State = state_of(1)
    Output = HTMDriftOutput
    Input = Field("feature", doc="time, reset, value of each field, presence of each field")
    batched = False
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.hybrid.cpu:scan"}

    params: HTMDriftParams

    def __init__(
        self,
        params: HTMDriftParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights=weights, **changes)
        p = self.params
        # As many HTMs as there are fields: the declaration belongs to the instance.
        self.State = state_of(p.n_units)  # type: ignore[misc]
        self.spatial_pooler = SpatialPooler(p.spatial_pooler, weights=self.weights)
        self.temporal_memory = TemporalMemory(p.detector.temporal_memory)
        self.likelihood = AnomalyLikelihood(p.detector.likelihood)
        self.monitor = DriftMonitor(p.monitor)
        self.encoders = p.value_encoders
        self.classifiers = p.classifiers

    @property
    def sizes(self) -> Mapping[str, int]:
        """Axes of the parts, the HTMs (units), their channels and the fields."""
        p = self.params
        return {
            **self.monitor.sizes,
            **self.likelihood.sizes,
            **self.temporal_memory.sizes,
            **self.spatial_pooler.sizes,
            **classifier.sizes(self.classifiers[0]),
            "feature": 2 + 2 * len(p.fields),
            "field": len(p.fields),
            "unit": p.n_units,
            "channel": p.n_channels,
            "window": p.window,
            "single": 1,
        }

    def records(self, values: Any, times: Any = None, resets: Any = None) -> np.ndarray:
        """Return inputs of shape ``(records, 1, feature)`` for `Simulator.run`.

        Parameters
        ----------
        values : array-like, shape ``(records, fields)``, or ``(records,)`` for one field
            NaN: the field is missing in that record.
        times : array-like, shape ``(records,)``, optional
            Wall-clock seconds or datetime64; needed with a time encoder.
        resets : array-like of bool, shape ``(records,)``, optional
            Where a record does not continue the one before; default nowhere.

        Raises
        ------
        InputError
            Arrays of other shapes, no times where time is encoded.
        """
        n = len(self.params.fields)
        values = np.asarray(values, float)
        if values.ndim == 1 and n == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] != n:
            raise InputError(
                f"HTMDriftDetector.records: values must have shape (records, {n}), got "
                f"{values.shape}"
            )
        if times is None and self.params.detector.time is not None:
            raise InputError(
                "HTMDriftDetector.records: times must be given, since the parameters encode the "
                "time; use time_of_day=False for streams without timestamps"
            )
        if times is not None and np.asarray(times).dtype.kind == "M":
            times = np.asarray(times).astype("datetime64[us]").astype(np.float64) / 1e6
        xs = np.zeros((len(values), 1, 2 + 2 * n))
        for column, (name, given) in enumerate((("times", times), ("resets", resets))):
            if given is None:
                continue
            array = np.asarray(given, float)
            if array.shape != (len(values),):
                raise InputError(
                    f"HTMDriftDetector.records: {name} must have shape ({len(values)},), got "
                    f"{array.shape}"
                )
            xs[:, 0, column] = array
        present = ~np.isnan(values)
        xs[:, 0, 2 : 2 + n] = np.where(present, values, 0.0)
        xs[:, 0, 2 + n :] = present
        return xs

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Return the Spatial Pooler's pools, the same for every HTM, drawn from its own seed."""
        return dict(SpatialPooler(self.params.spatial_pooler).weights)

    def init_state(self, batch: int, rng: Rng) -> Any:
        """Return HTMs that have seen nothing; the Spatial Poolers' permanences are drawn."""
        p, channels = self.params, self.params.n_channels
        offset = p.detector.value.offset
        units = [
            UnitState(
                spatial_pooler=self.spatial_pooler.init_state(batch, rng),
                temporal_memory=self.temporal_memory.init_state(batch, rng),
                likelihood=self.likelihood.init_state(1, rng),
                predictor=classifier.initial(self.classifiers[u], 1),
                monitor=self._initial_monitor(),
                centre=np.full(channels, math.nan if offset is None else offset),
                minimum=np.full(channels, math.inf),
                maximum=np.full(channels, -math.inf),
                last=np.full(channels, math.nan),
                same=np.zeros(channels, np.int64),
                recent=np.zeros(p.window),
                clock=np.zeros(1, np.int64),
                pending=np.zeros(1, bool),
                judged=np.zeros(1, np.int64),
                again=np.zeros(1, bool),
                faster=np.zeros(1, np.int64),
            )
            for u in range(p.n_units)
        ]
        return self.State(*units)

    def _initial_monitor(self) -> DriftMonitorState:
        """Return a monitor that has seen nothing, or one whose baseline is given."""
        state = self.monitor.init_state(1)
        if not self.params.given:
            return state
        test = self.params.monitor.test
        threshold = np.full(1, float(getattr(test, "threshold", 0.0)))
        before = getattr(test, "p0", 1.0 if hasattr(test, "ratio") else 0.0)
        known = {
            "threshold": threshold,
            "rate": np.ones(1),
            "before": np.full(1, float(getattr(test, "rate0", before))),
        }
        return state._replace(
            phase=np.full(1, Phase.NORMAL, np.int8), estimates=state.estimates._replace(**known)
        )

    def rebuild(self, state: Any) -> Any:
        """Recompute the accelerators of the parts."""
        return type(state)(
            *(
                unit._replace(
                    spatial_pooler=self.spatial_pooler.rebuild(unit.spatial_pooler),
                    temporal_memory=self.temporal_memory.rebuild(unit.temporal_memory),
                )
                for unit in state
            )
        )

    def step(self, state: Any, x: Array, tick: int) -> tuple[Any, HTMDriftOutput]:
        """Take one record; ``x`` has shape ``(1, 2 + 2 fields)``."""
        p, n = self.params, len(self.params.fields)
        seconds, begins = float(x[0, 0]), x[0, 1] != 0
        values = [
            float(v) if there else math.nan
            for v, there in zip(x[0, 2 : 2 + n], x[0, 2 + n :], strict=True)
        ]
        y = empty_output((1,), self.sizes)
        units = []
        for u, unit in enumerate(state):
            mine = slice(0, n) if p.joint else slice(u, u + 1)
            unit = unit._replace(pending=unit.pending | begins)
            signal = math.nan
            if any(not math.isnan(v) for v in values[mine]):
                unit, signal = self._advance(unit, u, values[mine], seconds, tick, y)
            y.ready[0, u] = unit.judged[0] > p.detector.likelihood.first_estimate
            if p.flatline:
                y.flat[0, mine] = unit.same >= p.flatline
            unit = unit._replace(monitor=self._watch(unit, u, signal, tick, y))
            units.append(after_drift(self, u, unit) if y.drift[0, u] else unit)
        y.score[0] = fused(y.unit_score[0].tolist(), p.fusion, p.threshold)
        return type(state)(*units), y

    def _advance(
        self,
        unit: UnitState,
        u: int,
        values: list[float],
        seconds: float,
        tick: int,
        y: HTMDriftOutput,
    ) -> tuple[UnitState, float]:
        """Take a record that unit `u` has a field of; return its signal too."""
        p, d = self.params, self.params.detector
        clock = int(unit.clock[0])
        first = 0 if p.joint else u
        encoders = self.encoders[first : first + len(values)]
        there = [not math.isnan(v) for v in values]
        centre = [
            c if math.isfinite(c) else v for c, v in zip(unit.centre.tolist(), values, strict=True)
        ]
        parts = [
            encoder.encode(v if known else None, c if encoder.table else None)
            for encoder, v, known, c in zip(encoders, values, there, centre, strict=True)
        ]
        if d.time is not None:
            parts.append(d.time.encode(seconds if EARLIEST <= seconds < LATEST else None))
        pattern = SDR.concat(parts)
        faster = unit.faster[0] > 0
        pooler, columns = spatial_pooler.advance(
            p.faster_pooler if faster else p.spatial_pooler,
            self.weights,
            unit.spatial_pooler,
            pattern.indices,
            clock,
        )
        memory = reset(unit.temporal_memory) if unit.pending[0] else unit.temporal_memory
        memory, raw = temporal_memory.advance(
            p.faster_memory if faster else d.temporal_memory, memory, columns, clock
        )
        metric = metric_of(values, [encoder.r for encoder in encoders])
        history = LikelihoodState(*(array[0] for array in unit.likelihood))
        judged = int(unit.judged[0])
        history, chance = likelihood.advance(d.likelihood, history, raw, metric, judged)
        minimum, maximum = unit.minimum.copy(), unit.maximum.copy()
        last, same = unit.last.copy(), unit.same.copy()
        outside = False
        for j in np.flatnonzero(there):
            v, low, high = values[j], float(minimum[j]), float(maximum[j])
            outside |= d.range_rule and range_rule(v, low, high, d.range_fraction)
            minimum[j], maximum[j] = min(low, v), max(high, v)
            same[j] = same[j] + 1 if v == last[j] else 1
            last[j] = v
        score = 1.0 if outside else chance.log_likelihood
        predictor = classifier.ClassifierState(*(array[0] for array in unit.predictor))
        predictor, forecast = classifier.advance(
            self.classifiers[u], predictor, memory.active_cells, metric, tick
        )
        recent = unit.recent.copy()
        recent[clock % p.window] = metric
        error = float(forecast.error[0]) if len(forecast.error) else math.nan
        signal = {
            "none": math.nan,
            "raw": raw,
            "log_likelihood": chance.log_likelihood,
            "score": score,
            "exceedance": float(score >= p.threshold),
            "value": metric,
            "residual": error,
        }.get(p.signal)
        if signal is None:
            signal = rescaled(error, recent, clock)
        if unit.again[0] and judged < d.likelihood.first_estimate and p.signal in JUDGED:
            signal = math.nan
        y.raw[0, u], y.likelihood[0, u] = raw, chance.likelihood
        y.log_likelihood[0, u], y.unit_score[0, u] = chance.log_likelihood, score
        for name in ("expected", "likeliest", "spread", "error", "distribution"):
            getattr(y, name)[0, u] = getattr(forecast, name)
        new = unit._replace(
            spatial_pooler=pooler,
            temporal_memory=memory,
            likelihood=LikelihoodState(*(np.asarray(array)[None] for array in history)),
            predictor=classifier.ClassifierState(*(array[None] for array in predictor)),
            centre=np.array(centre),
            minimum=minimum,
            maximum=maximum,
            last=last,
            same=same,
            recent=recent,
            clock=unit.clock + 1,
            pending=np.zeros(1, bool),
            judged=unit.judged + 1,
            faster=np.maximum(unit.faster - 1, 0),
        )
        return new, signal

    def _watch(
        self, unit: UnitState, u: int, signal: float, tick: int, y: HTMDriftOutput
    ) -> DriftMonitorState:
        """Let the monitor of unit `u` take its signal, NaN standing for none."""
        missing = math.isnan(signal)
        record = np.array([[0.0 if missing else signal, 0.0 if missing else 1.0]])
        monitor, shown = self.monitor.step(unit.monitor, record, tick)
        if self.params.given:
            monitor = monitor._replace(
                phase=np.full(1, Phase.NORMAL, np.int8), count=np.zeros(1, np.int64)
            )
        y.signal[0, u] = signal
        for name, array in shown._asdict().items():
            getattr(y, name)[0, u] = array[0]
        return monitor

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return noisy daily cycles at half-hour steps, with one gap; one in eight is missing."""
        t = np.arange(ticks)
        hours = 0.5 * t
        n = len(self.params.fields)
        values = np.empty((ticks, n))
        for i, field in enumerate(self.params.fields):
            middle, half = (field.minimum + field.maximum) / 2, (field.maximum - field.minimum) / 2
            cycle = 0.8 * np.sin(2 * np.pi * hours / 24 + i) + 0.05 * rng.normal(i, t)
            values[:, i] = middle + half * cycle
            values[rng.uniform(n + i, t) < 1 / 8, i] = np.nan
        return self.records(values, hours * 3600, t == ticks // 3)

    def work(self, state: Any, ticks: int, batch: int) -> Work:
        """Return the synaptic events of all Temporal Memories since tick 0."""
        total = Work()
        for unit in state:
            total = total + self.temporal_memory.work(unit.temporal_memory, ticks, batch)
        return total
