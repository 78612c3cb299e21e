"""An HTM in front of drift detectors: what it makes of every record is watched beside the value."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from biomem.errors import InputError, ParameterError
from biomem.models.htm.classifier.params import SDRClassifierParams
from biomem.models.htm.drift import DriftMonitor, MeanTest, VarianceTest
from biomem.models.htm.fleet.params import HTMFleetParams
from biomem.models.htm.hybrid import HTMDriftDetector, HTMDriftParams
from biomem.stream.baselines import AnyOf, DriftDetector, ModelDrift
from biomem.typing import BoolArray, FloatArray

if TYPE_CHECKING:
    from biomem.engine.simulator import Simulator

__all__ = ["SIGNALS", "HTMDrift"]

SIGNALS = ("value", "raw", "log_likelihood", "score", "error", "signal")
"""What can be watched of a record: its value, the scores and the forecast error of the HTM, and the
`signal` that `HTMDriftParams` names."""

OUTPUTS = {"score": "unit_score", "error": "error"}


class HTMDrift(DriftDetector):
    """HTM and sequential tests: drifts of the value, and of how well an HTM foretells it.

    Every stream has an HTM of its own, which learns all the time. A drift is what one of the
    detectors finds in the signal that it watches; each starts again by itself.

    When not to use it: for a quantity that needs no model, where the detector on the value alone
    finds as much two hundred times faster; or before an HTM can have learned: its forecast error
    means little for the first few hundred records, and a cycle has to be seen many times.

    Parameters
    ----------
    params : HTMDriftParams
        Of one field. Its own monitor and fusion have no part in this.
    watch : mapping of str to DriftDetector
        By the signal watched, one of `SIGNALS`. All of one batch, which is that of this detector.

    Raises
    ------
    ParameterError
        More fields than one, an unknown signal, a forecast error without a predictor, detectors
        of different batches.
    """

    def __init__(self, params: HTMDriftParams, watch: Mapping[str, DriftDetector]) -> None:
        batches = {detector.batch for detector in watch.values()}
        if len(batches) != 1:
            raise ParameterError(
                f"HTMDrift: watch must hold detectors of one batch, got batches {sorted(batches)}"
            )
        unknown = [name for name in watch if name not in SIGNALS]
        if unknown:
            raise ParameterError(f"HTMDrift: a signal must be one of {SIGNALS}, got {unknown[0]!r}")
        if len(params.fields) != 1:
            raise ParameterError(
                f"HTMDrift: params must have one field, got {len(params.fields)}; use one for each"
            )
        if "error" in watch and (params.predictor is None or not params.predictor.horizons):
            raise ParameterError(
                "HTMDrift: to watch the signal 'error', params.predictor must forecast, got "
                f"{params.predictor!r}"
            )
        super().__init__(batches.pop())
        self.params = params
        self.watch = dict(watch)

    @functools.cached_property
    def _model(self) -> HTMDriftDetector:
        return HTMDriftDetector(self.params)

    @functools.cached_property
    def _simulators(self) -> list[Simulator]:
        from biomem.engine.simulator import Simulator

        return [Simulator(self._model, progress=False) for _ in range(self.batch)]

    @classmethod
    def for_range(
        cls,
        minimum: float,
        maximum: float,
        *,
        false_alarm_every: float = 10_000.0,
        limit: float | None = None,
        method: Literal["sprt", "cusum"] = "sprt",
        probation: int = 300,
        baseline: int = 500,
        batch: int = 1,
    ) -> Self:
        """Return our setting: mean and variance of the value, and spread of the forecast error.

        A light HTM without time. Three repeated SPRTs (or CUSUMs) share the rate of false alarms:
        of the mean and of the variance of the value, either way, and of the spread of the
        forecast error, upwards: that it shrinks is learning.

        Parameters
        ----------
        minimum, maximum : float
            Range the values are expected in.
        false_alarm_every : float
            Wanted mean number of records between false alarms of a stream.
        limit : float, optional
            Upper limit of all three; given, it replaces `false_alarm_every`.
        method : {"sprt", "cusum"}
        probation : int
            Records at the start for which the forecast error is left alone.
        baseline : int
            Records that each test takes for what is normal.
        batch : int
        """
        light = HTMFleetParams.light(minimum, maximum, probation=probation, time_of_day=False)
        params = HTMDriftParams.for_ranges(
            {"value": (minimum, maximum)},
            probation=probation,
            detector=light.detector,
            predictor=SDRClassifierParams(size=1, buckets=20),
        )

        def monitor(test: Any, **changes: Any) -> ModelDrift:
            settings = {
                "test": test,
                "method": method,
                "false_alarm_every": false_alarm_every,
                "streams": 3,
                "limit": limit,
                "baseline": baseline,
            }
            return ModelDrift(DriftMonitor(**{**settings, **changes}), batch)

        value = AnyOf(monitor(MeanTest(), side="both"), monitor(VarianceTest(), side="both"))
        error = monitor(VarianceTest(), side="up", probation=probation)
        return cls(params, {"value": value, "error": error})

    def signals(self, xs: Any) -> dict[str, FloatArray]:
        """Let the HTMs take a chunk of records, and return all that can be watched of it.

        Parameters
        ----------
        xs : array-like, shape ``(time, batch)``
            NaN is a missing record.

        Returns
        -------
        dict of str to array, shape ``(time, batch)``
            By the names in `SIGNALS`; NaN where there is nothing.
        """
        xs = np.asarray(xs, float)
        if xs.ndim != 2 or xs.shape[1] != self.batch or np.isinf(xs).any():
            raise InputError(
                f"HTMDrift.signals: xs must be finite or NaN, of shape (time, batch={self.batch}), "
                f"got {xs.shape}"
            )
        found = {name: np.full(xs.shape, math.nan) for name in SIGNALS} | {"value": xs}
        for b, simulator in enumerate(self._simulators):
            out = simulator.run(self._model.records(xs[:, b]))
            for name in SIGNALS[1:]:
                columns = np.asarray(out[OUTPUTS.get(name, name)]).reshape(len(xs), -1)
                if columns.shape[1]:
                    found[name][:, b] = columns[:, 0]
        return found

    def judge(self, signals: Mapping[str, FloatArray]) -> BoolArray:
        """Let the detectors take what `signals` returned, and return where one found a drift."""
        return np.logical_or.reduce([d.run(signals[name]) for name, d in self.watch.items()])

    def _run(self, xs: FloatArray) -> BoolArray:
        return self.judge(self.signals(xs))
