"""Drift monitor: a sequential test against a baseline that stands still.

Per stream, over the records that are not missing::

    PROBATION    records left out
    BASELINE     n_b records, then the estimates: centre c, scale s, threshold, rate, phi
    NORMAL       v = mean of a batch of records (of one, unless dependence = "batch")
                 y = (v - c) - phi last                       phi = 0 unless dependence = "whiten"
                 last = v - c, but phi last where |y| > 4 s: an outlier is no sign of what follows
                 u = y / s                                    mean, variance, density
                     [y > threshold]                          Bernoulli
                     v, with weight w * rate                  Poisson
                 S <- SPRT or CUSUM of ``gain * l(u)``        model.py
    DRIFT        the one record on which the test decides for a drift
    COOLDOWN     n_c records left out
    REBASELINE   n_b records, then the estimates, and NORMAL again

``gain = (1 - phi) / (1 + phi)`` with the lag-one correlation phi of the increments over the
baseline when dependence = "scale", else 1: that many fewer records the sum is worth. The threshold
is the value that the share p0 of the baseline exceeds. A baseline that rolled along would absorb
a slow drift; this one is frozen until a drift is decided.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model
from biomem.models.htm.drift import model as sequential
from biomem.models.htm.drift.baseline import BOUND
from biomem.models.htm.drift.estimates import OUTLIER, Estimates, Watch, deviation, estimate, read
from biomem.models.htm.drift.increments import (
    BernoulliTest,
    Coefficients,
    PoissonTest,
    VarianceTest,
)
from biomem.models.htm.drift.model import FEATURES, Rules, SequentialState
from biomem.models.htm.drift.monitor_params import DriftMonitorParams
from biomem.typing import Array, FloatArray

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = [
    "DriftMonitor",
    "DriftMonitorOutput",
    "DriftMonitorState",
    "Phase",
]


class Phase(enum.IntEnum):
    """What a monitor does with the records of a stream."""

    PROBATION = 0
    BASELINE = 1
    NORMAL = 2
    DRIFT = 3
    COOLDOWN = 4
    REBASELINE = 5


class DriftMonitorState(NamedTuple):
    """Phase, baseline and test of each stream."""

    phase: Annotated[Array, Field("batch", dtype="int8")]
    count: Annotated[Array, Field("batch", dtype="int64", doc="records of the phase so far")]
    values: Annotated[Array, Field("batch", "baseline", doc="records of the baseline")]
    weights: Annotated[Array, Field("batch", "exposures", doc="their exposures, if tested")]
    estimates: Estimates
    held: Annotated[Array, Field("batch", doc="sum of the batch so far")]
    held_n: Annotated[Array, Field("batch", dtype="int64", doc="records of the batch so far")]
    last: Annotated[
        Array, Field("batch", doc="value before, less the centre, that the next is predicted from")
    ]
    test: SequentialState
    total: Annotated[Array, Field("batch", "side", doc="sum of what is watched since the onset")]
    mass: Annotated[Array, Field("batch", "side", doc="weight of that sum")]


class DriftMonitorOutput(NamedTuple):
    """Phase and evidence of one record. Outside NORMAL and DRIFT the evidence is empty.

    What is watched, `before` and `after`: the mean (mean, density), the standard deviation
    (variance), the share of exceedances (Bernoulli), the rate (Poisson).
    """

    phase: Annotated[Array, Field(dtype="int8", doc="see Phase")]
    drift: Annotated[Array, Field(dtype="int8", doc="1 on the record that raises the alarm")]
    direction: Annotated[Array, Field(dtype="int8", doc="leading side: 1 up, -1 down; else 0")]
    statistic: Annotated[Array, Field(doc="S of the leading side")]
    lower: Annotated[Array, Field(doc="lower limit B of S")]
    upper: Annotated[Array, Field(doc="upper limit A of S")]
    n: Annotated[Array, Field(dtype="int64", doc="tested since the restart")]
    onset: Annotated[Array, Field(dtype="int64", doc="estimated first record of the drift, or -1")]
    before: Annotated[Array, Field(doc="what is watched, over the baseline")]
    after: Annotated[Array, Field(doc="what is watched, since the onset")]


class DriftMonitor(Model):
    """Raises an alarm when a stream has changed for good, with the evidence.

    Input is ``(value, weight)`` per record: any number that says how the stream does, such as the
    value, a prediction error or an anomaly score; and its weight: 1, 0 where the record is missing
    (the value is then ignored), the exposure of a count. Output is `DriftMonitorOutput`;
    `drift_events` makes events of it.

    When not to use it: for single anomalies (they are kept from raising a drift), for a stream
    that is never in one state for the length of a baseline, and on a value with a daily cycle
    longer than the baseline: watch the anomaly score or the prediction error instead.

    Parameters
    ----------
    params : DriftMonitorParams

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> from biomem.models.htm.drift import MeanTest
    >>> monitor = DriftMonitor(test=MeanTest(delta=1.0), side="both", baseline=200)
    >>> values = np.random.default_rng(1).normal(20.0, 3.0, 600)
    >>> values[400:] -= 4.0
    >>> out = Simulator(monitor).run(np.stack([values, np.ones(600)], axis=-1))
    >>> int(np.flatnonzero(out["drift"][:, 0])[0])
    409
    """

    Params = DriftMonitorParams
    State = DriftMonitorState
    Output = DriftMonitorOutput
    Input = Field("feature", doc="value, weight")
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.drift.cpu:monitor_scan"}

    params: DriftMonitorParams

    @functools.cached_property
    def coefficients(self) -> Coefficients:
        """Increments of the test."""
        return self.params.test.coefficients(self.params.signs)

    @functools.cached_property
    def rules(self) -> Rules:
        """Limits and conduct of the test."""
        p = self.params
        return Rules(*p.limits, p.largest, p.min_records, p.method == "cusum", True)

    @property
    def watch(self) -> Watch:
        """What of the records the test is about."""
        kinds = ((BernoulliTest, Watch.EXCEEDANCE), (PoissonTest, Watch.RATE))
        for kind, watch in (*kinds, (VarianceTest, Watch.SPREAD)):
            if isinstance(self.params.test, kind):
                return watch
        return Watch.MEAN

    @property
    def sizes(self) -> Mapping[str, int]:
        """Value and weight, sides and effects of the test, records of the baseline."""
        p = self.params
        return {
            "feature": len(FEATURES),
            "side": len(p.signs),
            "effect": len(p.test.effects),
            "baseline": p.baseline,
            "exposures": p.baseline if p.test.weighted else 0,
        }

    def init_state(self, batch: int, rng: Rng | None = None) -> DriftMonitorState:
        """Return monitors that have seen nothing; nothing is drawn."""
        sizes = self.sizes
        zero, one = [np.zeros(batch) for _ in range(7)], [np.ones(batch) for _ in range(2)]
        pair = (batch, sizes["side"])
        first = Phase.PROBATION if self.params.probation else Phase.BASELINE
        return DriftMonitorState(
            phase=np.full(batch, first, np.int8),
            count=np.zeros(batch, np.int64),
            values=np.zeros((batch, sizes["baseline"])),
            weights=np.zeros((batch, sizes["exposures"])),
            estimates=Estimates(
                centre=zero[0],
                scale=one[0],
                threshold=zero[1],
                rate=zero[2],
                phi=zero[3],
                gain=one[1],
                length=np.ones(batch, np.int64),
                before=zero[4],
            ),
            held=zero[5],
            held_n=np.zeros(batch, np.int64),
            last=zero[6],
            test=sequential.initial(batch, sizes["side"], sizes["effect"]),
            total=np.zeros(pair),
            mass=np.zeros(pair),
        )

    def step(
        self, state: DriftMonitorState, x: Array, tick: int
    ) -> tuple[DriftMonitorState, DriftMonitorOutput]:
        """Take one record of every stream; `x` has shape ``(batch, 2)``."""
        value, weight = x[:, 0], x[:, 1]
        present = weight > 0
        normal = state.phase == Phase.NORMAL
        missing = state.test.missing + ~present
        state = state._replace(test=state.test._replace(missing=missing))
        with np.errstate(over="ignore"):
            tested, y = self._test(state, value, weight, present & normal, tick)
        drift = normal & (y.drift == 1)
        y = y._replace(
            phase=np.where(drift, Phase.DRIFT, state.phase).astype(np.int8),
            direction=np.where(normal, y.direction, 0).astype(np.int8),
            statistic=np.where(normal, y.statistic, 0.0),
            n=np.where(normal, y.n, 0),
            onset=np.where(normal, y.onset, -1),
        )
        return self._move(tested, value, weight, present, drift, tick), y

    def _test(
        self,
        state: DriftMonitorState,
        value: FloatArray,
        weight: FloatArray,
        take: Array,
        tick: int,
    ) -> tuple[DriftMonitorState, DriftMonitorOutput]:
        """Test the records `take`, and tell what there is to tell of every stream."""
        p, e, watch = self.params, state.estimates, self.watch
        held, held_n = np.where(take, state.held + value, state.held), state.held_n + take
        full = take & (held_n >= e.length)
        v = np.where(full, held / np.maximum(held_n, 1), 0.0)
        gap = np.clip(v - e.centre, -BOUND, BOUND)
        phi = e.phi if p.dependence == "whiten" else 0.0
        y = gap - phi * state.last
        outlier = np.abs(y) > OUTLIER * e.scale
        u, w = read(watch, e, y, v, weight)
        step = e.gain[:, None, None] * sequential.increments(
            self.coefficients, u, w, self.rules.clip
        )
        test, shown = sequential.advance(self.rules, p.signs, state.test, step, full, tick)

        quantity = {
            Watch.MEAN: gap,
            Watch.SPREAD: y * y,
            Watch.EXCEEDANCE: u,
            Watch.RATE: v,
        }[watch]
        added = np.where(full, weight if watch == Watch.RATE else 1.0, 0.0)
        total = state.total + np.where(full, quantity, 0.0)[:, None]
        mass = state.mass + added[:, None]
        rows = np.arange(len(v))
        side = np.where(shown.direction == p.signs[0], 0, len(p.signs) - 1)
        known = (shown.onset <= tick) & (mass[rows, side] > 0)
        ratio = total[rows, side] / np.where(known, mass[rows, side], 1.0)
        after = {
            Watch.MEAN: e.centre + ratio,
            Watch.SPREAD: np.sqrt(np.maximum(ratio, 0.0)),
        }.get(watch, ratio)
        begun = full[:, None] & (test.onset > tick)
        lower, upper = (np.full(len(v), limit) for limit in self.rules[:2])
        out = DriftMonitorOutput(
            phase=state.phase,
            drift=(shown.decision == sequential.DRIFT).astype(np.int8),
            direction=shown.direction,
            statistic=shown.statistic,
            lower=lower,
            upper=upper,
            n=shown.n,
            onset=shown.onset,
            before=e.before,
            after=np.where(known & (state.phase == Phase.NORMAL), after, e.before),
        )
        new = state._replace(
            held=np.where(full, 0.0, held),
            held_n=np.where(full, 0, held_n),
            last=np.where(full, np.where(outlier, phi * state.last, gap), state.last),
            test=test,
            total=np.where(begun, 0.0, total),
            mass=np.where(begun, 0.0, mass),
        )
        return new, out

    def _move(
        self,
        state: DriftMonitorState,
        value: FloatArray,
        weight: FloatArray,
        present: Array,
        drift: Array,
        tick: int,
    ) -> DriftMonitorState:
        """Count the record in its phase, and change the phase where that is complete."""
        p = self.params
        phase, count = state.phase.copy(), state.count.copy()
        values, weights = state.values.copy(), state.weights.copy()
        estimates = Estimates(*(np.array(field) for field in state.estimates))
        held, held_n, last = state.held.copy(), state.held_n.copy(), state.last.copy()
        settled = np.zeros(len(phase), bool)
        for b in np.flatnonzero(present):
            now = phase[b]
            if drift[b]:
                phase[b] = Phase.COOLDOWN if p.cooldown else Phase.REBASELINE
                count[b] = 0
                continue
            if now == Phase.NORMAL:
                continue
            if now in (Phase.BASELINE, Phase.REBASELINE):
                values[b, count[b]] = value[b]
                if p.test.weighted:
                    weights[b, count[b]] = weight[b]
            count[b] += 1
            if now == Phase.PROBATION and count[b] >= p.probation:
                phase[b], count[b] = Phase.BASELINE, 0
            elif now == Phase.COOLDOWN and count[b] >= p.cooldown:
                phase[b], count[b] = Phase.REBASELINE, 0
            elif count[b] == p.baseline and now in (Phase.BASELINE, Phase.REBASELINE):
                found = estimate(
                    p, self.watch, self.coefficients, values[b].tolist(), weights[b].tolist()
                )
                for field, number in zip(estimates, found, strict=True):
                    field[b] = number
                last[b] = deviation(float(value[b]), found.centre)
                phase[b], count[b], held[b], held_n[b] = Phase.NORMAL, 0, 0.0, 0
                settled[b] = True
        again = np.repeat(settled[:, None], state.total.shape[1], axis=1)
        return state._replace(
            phase=phase,
            count=count,
            values=values,
            weights=weights,
            estimates=estimates,
            held=held,
            held_n=held_n,
            last=last,
            test=sequential.restart(state.test, again, tick + 1),
            total=np.where(again, 0.0, state.total),
            mass=np.where(again, 0.0, state.mass),
        )

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return normal values that shift half-way, one record in eight missing."""
        size = ticks * batch
        value = rng.normal(0, np.arange(size)).reshape(ticks, batch)
        value[ticks // 2 :] += 2.0
        weight = rng.uniform(1, np.arange(size)).reshape(ticks, batch) > 1 / 8
        return np.stack([value, weight], axis=-1)
