"""What a run of `biomem.stream.drift` is asked for, and the detector that follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from biomem.errors import ParameterError, require
from biomem.models.htm.classifier import SDRClassifierParams
from biomem.models.htm.drift import (
    PAPER_WINDOWS,
    BernoulliTest,
    DriftMonitorParams,
    MeanTest,
    SequentialTest,
    VarianceTest,
)
from biomem.models.htm.hybrid import HTMDriftParams
from biomem.models.htm.hybrid.params import ACTIONS
from biomem.stream.options import ReadOptions
from biomem.stream.run_options import RunOptions

__all__ = ["SIGNALS", "TESTS", "DriftOptions"]

SIGNALS = ("log_likelihood", "raw", "value", "residual")
"""What can be watched."""

TESTS = ("share", "mean", "variance")

_SHIFTS = {"share": 0.15, "mean": 1.0, "variance": 0.4142135623730951}
_MONITORED = ("signal", "test", "shift", "side", "false_alarm_every", "baseline", "cooldown")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftOptions(RunOptions):
    """How drifts are looked for.

    Parameters
    ----------
    preset : {"live", "paper"}
        ``"live"``: our setting. ``"paper"``: that of arXiv 2504.18599 (`HTMDriftParams.paper`), for
        comparisons; it reads range, probation, kind, flatline, on_drift and seed only.
    minimum, maximum : float, optional
        Expected range of the values. Default: what the records of the probation span; they are
        held back until then.
    probation : int, optional
        Records at the start that the HTM learns from before anything is judged. Default 388.
    signal : {"log_likelihood", "raw", "value", "residual"}
        What is watched: how unusual the series is, or is for its HTM at this very record; the
        value itself; or the error of a forecast of the next value.
    test : {"share", "mean", "variance"}
        What of it may not change: how often it exceeds what 5 % of the baseline exceed; its mean;
        its spread.
    shift : float, optional
        Smallest change worth an alarm: of that share (default 0.15), of the mean in standard
        deviations (1), of the standard deviation as a share of it (0.41: twice the variance).
    side : {"up", "down", "both"}, optional
        Direction. Default: up for the scores and for the spread, both for value and error.
    false_alarm_every : float
        Wanted mean number of records between false alarms.
    baseline : int
        Records after the probation that tell what there is without a drift.
    cooldown : int
        Records after a drift that are left out, before a new baseline.
    kind : {"abrupt", "slow", "periodic"}
        Of drift the paper's window is for; preset ``"paper"`` only.
    flatline : int
        Records in a row with one value that count as a sensor standing still; 0: never.
    on_drift : tuple of {"reset", "rebaseline", "faster", "forget"}
        What a drift does to the HTM: begin a new sequence, judge scores anew, learn faster for 500
        records, forget what was learned.
    seed : int
        Of the HTM's random draws.

    Raises
    ------
    ParameterError
        An option outside what is listed here.
    """

    presets: ClassVar[Mapping[str, ReadOptions]] = {"live": ReadOptions(), "paper": ReadOptions()}

    signal: str = "log_likelihood"
    test: str = "share"
    shift: float | None = None
    side: str | None = None
    false_alarm_every: float = 10_000.0
    baseline: int = 500
    cooldown: int = 50
    kind: str = "abrupt"
    flatline: int = 0
    on_drift: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "signal", self.signal in SIGNALS, f"one of {', '.join(SIGNALS)}")
        require(self, "test", self.test in TESTS, f"one of {', '.join(TESTS)}")
        require(self, "kind", self.kind in PAPER_WINDOWS, f"one of {', '.join(PAPER_WINDOWS)}")
        ok = self.side in (None, "up", "down", "both")
        require(self, "side", ok, "up, down or both")
        ok = type(self.flatline) is int and self.flatline >= 0
        require(self, "flatline", ok, "a whole number of records >= 0")
        ok = isinstance(self.on_drift, tuple) and all(a in ACTIONS for a in self.on_drift)
        ok = ok and len(set(self.on_drift)) == len(self.on_drift)
        require(self, "on_drift", ok, f"different ones of {', '.join(ACTIONS)}")
        ok = self.shift is None or 0 < self.shift < float("inf")
        require(self, "shift", ok, "a number > 0")
        if self.test == "share":
            ok = self.shift is None or self.shift < 0.95
            require(self, "shift", ok, "below 0.95 for a share, which is 0.05 to begin with")
        changed = [name for name in _MONITORED if getattr(self, name) != _default(name)]
        if self.preset == "paper" and changed:
            raise ParameterError(
                f"DriftOptions.{changed[0]}: the paper preset has a test of its own; leave it out, "
                "or use the live preset"
            )
        try:
            self.monitor  # noqa: B018
        except ParameterError as error:
            raise ParameterError(
                str(error).replace("DriftMonitorParams.", "DriftOptions.")
            ) from None

    @property
    def monitor(self) -> DriftMonitorParams:
        """Parameters of the monitor of the live preset."""
        side = self.side
        if side is None:
            signed = self.signal in ("value", "residual") and self.test == "mean"
            side = "both" if signed else "up"
        return DriftMonitorParams(
            test=self._test,
            side=side,  # type: ignore[arg-type]
            false_alarm_every=self.false_alarm_every,
            probation=self.prefix,
            baseline=self.baseline,
            cooldown=self.cooldown,
        )

    @property
    def _test(self) -> SequentialTest:
        shift = _SHIFTS[self.test] if self.shift is None else self.shift
        if self.test == "share":
            return BernoulliTest(p0=0.05, p1=0.05 + shift)
        return MeanTest(delta=shift) if self.test == "mean" else VarianceTest(ratio=1 + shift)

    def detector(self, minimum: float, maximum: float, *, timed: bool) -> HTMDriftParams:
        """Return the parameters of the detector for values in ``[minimum, maximum]``.

        Parameters
        ----------
        timed : bool
            There are timestamps to encode.
        """
        ranges = {"value": (minimum, maximum)}
        if self.preset == "paper":
            return HTMDriftParams.paper(
                ranges,
                drift=self.kind,  # type: ignore[arg-type]
                probation=self.prefix,
                time_of_day=timed,
                flatline=self.flatline,
                on_drift=self.on_drift,
            )
        predictor = SDRClassifierParams(size=1) if self.signal == "residual" else None
        return HTMDriftParams.for_ranges(
            ranges,
            probation=self.prefix,
            time_of_day=timed,
            signal=self.signal,
            monitor=self.monitor,
            predictor=predictor,
            flatline=self.flatline,
            on_drift=self.on_drift,
        )


def _default(name: str) -> object:
    return next(f.default for f in dataclasses.fields(DriftOptions) if f.name == name)
