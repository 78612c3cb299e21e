"""Drift detectors in one form, our own and the customary ones, to compare them or to swap them.

Every one takes records of many streams, tells which of them have drifted, and starts again there.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from biomem.engine.model import Model
from biomem.errors import BackendUnavailable, InputError, ParameterError
from biomem.typing import BoolArray, FloatArray

__all__ = [
    "AnyOf",
    "DriftDetector",
    "ModelDrift",
    "RiverDrift",
    "Threshold",
    "WindowDrift",
    "threshold_for",
]

STATISTICS = ("ks", "wasserstein", "psi")


class DriftDetector(ABC):
    """Tells, record by record, which of many streams have drifted.

    Parameters
    ----------
    batch : int
        Number of streams; they share nothing.
    """

    def __init__(self, batch: int = 1) -> None:
        if not (isinstance(batch, int) and batch >= 1):
            raise ParameterError(
                f"{type(self).__name__}: batch must be an integer >= 1, got {batch!r}"
            )
        self.batch = batch

    def run(self, xs: Any) -> BoolArray:
        """Take a chunk of records and return where a drift was found.

        Parameters
        ----------
        xs : array-like, shape ``(time, batch)``; ``(time,)`` for one stream
            NaN is a missing record, which changes nothing.

        Returns
        -------
        array of bool, of the shape of `xs`

        Raises
        ------
        InputError
            Wrong shape, or infinite values.
        """
        given = np.asarray(xs, float)
        wide = given[:, None] if given.ndim == 1 and self.batch == 1 else given
        if wide.ndim != 2 or wide.shape[1] != self.batch:
            raise InputError(
                f"{type(self).__name__}: xs must have shape (time, batch={self.batch}), "
                f"got {given.shape}"
            )
        if np.isinf(wide).any():
            raise InputError(f"{type(self).__name__}: xs must be finite, NaN where missing")
        return self._run(np.ascontiguousarray(wide)).reshape(given.shape)

    def update(self, x: Any) -> BoolArray:
        """Take one record of every stream, shape ``(batch,)``, and return which have drifted."""
        return self.run(np.reshape(np.asarray(x, float), (1, -1)))[0]

    @abstractmethod
    def _run(self, xs: FloatArray) -> BoolArray:
        """Take a checked chunk ``(time, batch)``."""


class ModelDrift(DriftDetector):
    """A model of biomem that takes ``(value, weight)`` and tells of drifts, in this form.

    Parameters
    ----------
    model : SPRT, CUSUM or DriftMonitor
        Any model with that input, and an output ``drift`` or ``decision`` that is 1 on a drift.
    """

    def __init__(self, model: Model, batch: int = 1) -> None:
        from biomem.engine.simulator import Simulator

        super().__init__(batch)
        self._simulator = Simulator(model, batch=batch, progress=False)

    def _run(self, xs: FloatArray) -> BoolArray:
        present = ~np.isnan(xs)
        records = np.stack([np.where(present, xs, 0.0), present], axis=-1)
        out = self._simulator.run(records)
        return np.asarray(out["drift" if "drift" in out else "decision"]) == 1


class AnyOf(DriftDetector):
    """Several detectors on the same streams; a drift is what one of them finds.

    Parameters
    ----------
    *detectors : DriftDetector
        Of the same batch; each starts again by itself.
    """

    def __init__(self, *detectors: DriftDetector) -> None:
        batches = {detector.batch for detector in detectors}
        if len(batches) != 1:
            raise ParameterError(
                f"AnyOf: detectors must be one or more, of one batch, got batches {sorted(batches)}"
            )
        super().__init__(batches.pop())
        self._detectors = detectors

    def _run(self, xs: FloatArray) -> BoolArray:
        return np.logical_or.reduce([detector.run(xs) for detector in self._detectors])


class WindowDrift(DriftDetector):
    """The last records against a reference: Kolmogorov-Smirnov, Wasserstein or PSI.

    When not to use it: for drifts slower than the two windows, if the reference rolls along; for
    records that depend on each other, or a mean that swings, which look like a change.

    Parameters
    ----------
    statistic : {"ks", "wasserstein", "psi"}
        Largest gap between the two distributions; area between them, in standard deviations of
        the reference; population stability index.
    threshold : float
        A drift is where the statistic reaches it; see `threshold_for`.
    window : int
        Records compared.
    reference : int or None
        Records they are compared with: the first ones since the restart, for good. None: those
        right before the window, as many as there are in it, rolling along.
    every : int
        Records between two comparisons.
    bins : int
        Of the PSI.
    """

    def __init__(
        self,
        statistic: Literal["ks", "wasserstein", "psi"],
        threshold: float,
        *,
        window: int = 50,
        reference: int | None = None,
        every: int = 1,
        bins: int = 10,
        batch: int = 1,
    ) -> None:
        super().__init__(batch)
        if statistic not in STATISTICS:
            raise ParameterError(
                f"WindowDrift: statistic must be one of {STATISTICS}, got {statistic!r}"
            )
        sizes = {"window": (window, 2), "every": (every, 1), "bins": (bins, 2)}
        sizes["reference"] = (window if reference is None else reference, 2)
        for name, (size, least) in sizes.items():
            if not (isinstance(size, int) and size >= least):
                raise ParameterError(
                    f"WindowDrift: {name} must be an integer >= {least}, got {size!r}"
                )
        if not threshold > 0:
            raise ParameterError(f"WindowDrift: threshold must be > 0, got {threshold!r}")
        self._rolling = reference is None
        self._kept = np.zeros((batch, sizes["reference"][0]))
        self._recent = np.zeros((batch, window))
        self._count = np.zeros(batch, np.int64)
        self._settings = STATISTICS.index(statistic), bins, every, float(threshold)
        self.statistic = np.zeros(batch)
        """Last value of the statistic of every stream; 0 before the first and after a drift."""

    def _run(self, xs: FloatArray) -> BoolArray:
        from biomem.stream import baselines_cpu

        out = np.empty(xs.shape, bool)
        baselines_cpu.scan(
            self._kept,
            self._recent,
            self._count,
            self.statistic,
            *self._settings,
            self._rolling,
            xs,
            out,
        )
        return out


class RiverDrift(DriftDetector):
    """A drift detector of river for every stream.

    Parameters
    ----------
    name : str
        Name of a class in ``river.drift``: ``"ADWIN"``, ``"PageHinkley"``, ``"KSWIN"``.
    **settings
        Its arguments.

    Raises
    ------
    BackendUnavailable
        river is not installed.
    """

    def __init__(self, name: str, batch: int = 1, **settings: Any) -> None:
        super().__init__(batch)
        try:
            from river import drift
        except ImportError as error:
            raise BackendUnavailable(
                "RiverDrift needs river, which is not installed: pip install river"
            ) from error
        made = getattr(drift, name, None)
        if made is None:
            raise ParameterError(f"RiverDrift: river.drift has no detector {name!r}")
        self._detectors = [made(**settings) for _ in range(batch)]

    def _run(self, xs: FloatArray) -> BoolArray:
        out = np.zeros(xs.shape, bool)
        for b, detector in enumerate(self._detectors):
            for t, x in enumerate(xs[:, b].tolist()):
                if not math.isnan(x):
                    detector.update(x)
                    out[t, b] = detector.drift_detected
        return out


class Threshold(NamedTuple):
    """A setting, and how many records apart its false alarms came."""

    setting: float
    false_alarm_every: float
    alarms: int


def threshold_for(
    make: Callable[[float], DriftDetector],
    records: FloatArray,
    false_alarm_every: float,
    low: float,
    high: float,
    *,
    tolerance: float = 0.05,
    most: int = 12,
) -> Threshold:
    """Return the setting of a detector that keeps a rate of false alarms on records without drift.

    Parameters
    ----------
    make : callable
        Makes a fresh detector for a setting; a larger setting must mean fewer alarms.
    records : array, shape ``(time, batch)``
        Records without drift: as many as make some hundred false alarms.
    false_alarm_every : float
        Wanted mean number of records between false alarms.
    low, high : float
        Settings to look between.
    tolerance : float
        Relative error of the rate at which to stop.
    most : int
        Runs over the records at the most.

    Raises
    ------
    ParameterError
        The wanted rate is not between those at `low` and `high`.
    """
    bounds, found = [low, high], Threshold(math.nan, math.nan, 0)
    size = int(np.isfinite(records).sum())
    for step in range(most):
        setting = bounds[step] if step < 2 else (low + high) / 2
        alarms = int(make(setting).run(records).sum())
        every = size / max(alarms, 0.5)
        if (step == 0 and every > false_alarm_every) or (step == 1 and every < false_alarm_every):
            raise ParameterError(
                f"threshold_for: no setting in [{low!r}, {high!r}] gives a false alarm every "
                f"{false_alarm_every:g} records; at {setting!r} there is one every {every:.4g}"
            )
        gap = abs(math.log(every / false_alarm_every))
        if not gap >= abs(math.log(found.false_alarm_every / false_alarm_every)):
            found = Threshold(setting, every, alarms)
        if gap < tolerance:
            break
        if step >= 2:
            low, high = (setting, high) if every < false_alarm_every else (low, setting)
    return found
