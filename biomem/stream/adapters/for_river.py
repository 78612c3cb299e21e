"""Our detectors as detectors of river (``pip install river``)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from river import base

from biomem.models.htm.drift import (
    BernoulliTest,
    DriftMonitor,
    DriftMonitorParams,
    MeanTest,
    SequentialTest,
    VarianceTest,
)
from biomem.stream.adapters.live import Live, LiveOptions

__all__ = ["HTMAnomaly", "HTMDrift", "MonitorDrift"]


class HTMAnomaly(base.AnomalyDetector):
    """HTM anomaly detector, one HTM per feature.

    The first `prefix` records settle the features and their ranges, for good; scores are 0 until
    then and say nothing until `probation` records have been learned. `score_one` gives the score
    the record will have when it is learned next, and changes nothing. The order of the records
    matters: HTM learns sequences.

    Parameters
    ----------
    prefix
        Records from which features and ranges are learned.
    probation
        Records whose likelihood is not judged.
    light
        HTMs of a tenth of the size, for many features.
    joint
        One HTM for all features instead of one each.
    time
        Feature that holds the time, a datetime or seconds; its time of day is learned with the
        values.
    range_rule
        Score 1 for a value far outside everything before.
    seed
        Of the initial permanences.

    Examples
    --------
    >>> import math
    >>> detector = HTMAnomaly(prefix=50, probation=100, light=True)
    >>> for t in range(400):
    ...     x = {"load": math.sin(t / 4)}
    ...     score = detector.score_one(x)
    ...     detector.learn_one(x)
    >>> score < 0.3
    True
    """

    def __init__(
        self,
        prefix: int = 200,
        probation: int = 388,
        light: bool = False,
        joint: bool = False,
        time: str | None = None,
        range_rule: bool = False,
        seed: int = 0,
    ) -> None:
        self.prefix = prefix
        self.probation = probation
        self.light = light
        self.joint = joint
        self.time = time
        self.range_rule = range_rule
        self.seed = seed
        self._live = Live(
            LiveOptions(
                prefix=prefix,
                probation=probation,
                light=light,
                joint=joint,
                time=time,
                range_rule=range_rule,
                seed=seed,
            )
        )

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"prefix": 20, "probation": 40, "light": True}

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Learn a record."""
        self._live.learn(x)

    def score_one(self, x: dict[Any, Any]) -> float:
        """Return how anomalous the record would be as the next one, in [0, 1]."""
        ys = self._live.peek(x)
        return _number(ys.score[0, 0]) if ys is not None else 0.0

    @property
    def _raw_memory_usage(self) -> int:
        return _bytes(self._live)


class HTMDrift(base.DriftDetector):
    """HTM and a sequential test on the scores of one value: a drift is a change in how it behaves.

    For a change of level or spread use `MonitorDrift`: it needs no model of the series.

    Parameters
    ----------
    prefix
        Records from which the range is learned.
    probation
        Records the HTM learns from before anything is judged.
    baseline
        Records after that which tell how the scores are spread without a drift.
    false_alarm_every
        Wanted mean number of records between false alarms.
    signal
        What is watched: ``"raw"``, ``"log_likelihood"``, ``"score"`` or ``"value"``.
    light
        An HTM of a tenth of the size.
    seed
        Of the initial permanences.

    Examples
    --------
    >>> detector = HTMDrift(light=True)
    >>> detector.update(3.0)
    >>> detector.drift_detected
    False
    """

    def __init__(
        self,
        prefix: int = 200,
        probation: int = 388,
        baseline: int = 500,
        false_alarm_every: float = 10_000.0,
        signal: str = "raw",
        light: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.prefix = prefix
        self.probation = probation
        self.baseline = baseline
        self.false_alarm_every = false_alarm_every
        self.signal = signal
        self.light = light
        self.seed = seed
        self._live = Live(
            LiveOptions(
                prefix=prefix,
                probation=probation,
                light=light,
                signal=signal,
                baseline=baseline,
                false_alarm_every=false_alarm_every,
                seed=seed,
            )
        )

    def update(self, x: float) -> None:
        """Take a value; NaN is missing and changes nothing."""
        ys = self._live.learn({"value": x})
        self._drift_detected = ys is not None and bool(ys.drift[0, 0, 0])


class MonitorDrift(base.DriftDetector):
    """Sequential test of a value against a frozen baseline: `DriftMonitor`.

    Parameters
    ----------
    baseline
        Records that tell what there is without a drift.
    false_alarm_every
        Wanted mean number of records between false alarms.
    test
        ``"mean"``, ``"variance"`` or ``"bernoulli"``.
    shift
        Smallest change worth an alarm: of the mean in standard deviations; the factor of the
        standard deviation less 1; of the share of values above what 5 % of the baseline exceed.
    side
        ``"up"``, ``"down"`` or ``"both"``.
    cooldown
        Records after a drift before the baseline is learned anew.

    Examples
    --------
    >>> import random
    >>> rng, found = random.Random(1), []
    >>> detector = MonitorDrift(baseline=200)
    >>> for t in range(600):
    ...     detector.update(rng.gauss(0.0 if t < 400 else 2.0, 1.0))
    ...     if detector.drift_detected:
    ...         found.append(t)
    >>> len(found), 400 <= found[0] < 420
    (1, True)
    """

    def __init__(
        self,
        baseline: int = 500,
        false_alarm_every: float = 10_000.0,
        test: str = "mean",
        shift: float = 1.0,
        side: str = "both",
        cooldown: int = 50,
    ) -> None:
        super().__init__()
        self.baseline = baseline
        self.false_alarm_every = false_alarm_every
        self.test = test
        self.shift = shift
        self.side = side
        self.cooldown = cooldown
        self._params = DriftMonitorParams(
            test=_test(test, shift),
            side=side,  # type: ignore[arg-type]
            baseline=baseline,
            false_alarm_every=false_alarm_every,
            cooldown=cooldown,
        )
        self._monitor: DriftMonitor | None = None
        self._state = DriftMonitor(self._params).init_state(1)
        self._tick = 0

    def update(self, x: float) -> None:
        """Take a value; NaN is missing and changes nothing."""
        from biomem.models.htm.drift.cpu import monitor_scan

        if self._monitor is None:
            self._monitor = DriftMonitor(self._params)
        missing = math.isnan(x)
        record = np.array([[[0.0 if missing else float(x), 0.0 if missing else 1.0]]])
        self._state, ys = monitor_scan(self._monitor, self._state, record, self._tick)
        self._tick += 1
        self._drift_detected = bool(ys.drift[0, 0])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_monitor": None}


def _test(name: str, shift: float) -> SequentialTest:
    if name == "variance":
        return VarianceTest(ratio=1 + shift)
    if name == "bernoulli":
        return BernoulliTest(p1=0.05 + shift)
    return MeanTest(delta=shift)


def _number(score: float) -> float:
    return 0.0 if math.isnan(score) else float(score)


def _bytes(live: Live) -> int:
    kept = live.__getstate__()
    arrays = kept["detector"]["state"].values() if "detector" in kept else ()
    return sum(a.nbytes for a in arrays) + 64 * sum(len(r) for r in kept["held"])
