"""Parameters of the two uses of a sequential test, SPRT and CUSUM."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, Self, TypeAlias

from biomem.engine.params import Params
from biomem.errors import require
from biomem.models.htm.drift.design import (
    Design,
    cusum_limit,
    design,
    guard,
    sprt_alpha,
    wald_limits,
)
from biomem.models.htm.drift.increments import BernoulliTest, SequentialTest

__all__ = [
    "PAPER_THRESHOLD",
    "PAPER_WINDOWS",
    "SIGNS",
    "CUSUMParams",
    "SPRTParams",
    "SequentialParams",
    "Side",
    "check_common",
]

Side: TypeAlias = Literal["up", "down", "both"]

SIGNS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"up": (1,), "down": (-1,), "both": (1, -1)}
)

PAPER_THRESHOLD = 0.65
PAPER_WINDOWS: Mapping[str, int] = MappingProxyType({"abrupt": 15, "slow": 35, "periodic": 25})
"""Windows of the rescaled residual in arXiv 2504.18599, table 1, by the kind of drift."""


def positive(x: Any) -> bool:
    """Return whether `x` is a finite number above zero."""
    return isinstance(x, int | float) and not isinstance(x, bool) and 0 < x < math.inf


def whole(x: Any, least: int) -> bool:
    """Return whether `x` is an integer of at least `least`."""
    return isinstance(x, int) and not isinstance(x, bool) and x >= least


def check_common(params: Any) -> None:
    """Validate the fields that `SPRTParams`, `CUSUMParams` and `DriftMonitorParams` share."""
    require(params, "test", isinstance(params.test, SequentialTest), "a SequentialTest")
    ok = params.side in SIGNS and (params.side == "up" or params.test.mirrored)
    allowed = "'up', 'down' or 'both'" if params.test.mirrored else "'up'"
    require(params, "side", ok, f"{allowed} for {type(params.test).__name__}")
    require(
        params,
        "false_alarm_every",
        positive(params.false_alarm_every) and params.false_alarm_every > 1,
        "a number of records > 1",
    )
    require(params, "streams", whole(params.streams, 1), "an integer >= 1")
    require(params, "clip", params.clip is None or positive(params.clip), "None or > 0")
    require(params, "min_records", whole(params.min_records, 1), "an integer >= 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequentialParams(Params):
    """What an SPRT and a CUSUM have in common; see `SPRTParams` and `CUSUMParams`."""

    test: SequentialTest = dataclasses.field(default_factory=BernoulliTest)
    side: Side = "up"
    false_alarm_every: float = 10_000.0
    streams: int = 1
    clip: float | None = 3.0
    min_records: int = 5

    def __post_init__(self) -> None:
        check_common(self)

    @property
    def signs(self) -> tuple[int, ...]:
        """Direction of every side, +1 up and -1 down."""
        return SIGNS[self.side]

    @property
    def per_stream(self) -> float:
        """Records of one stream between two of its false alarms."""
        return float(self.false_alarm_every * self.streams)

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit of the statistic."""
        raise TypeError("SequentialParams is the base class; use SPRTParams or CUSUMParams")

    @property
    def largest(self) -> float:
        """Largest size of an increment: `clip`, but at most half the upper limit."""
        return guard(self.limits[1], self.clip)

    @property
    def design(self) -> Design:
        """What to expect of one stream with these parameters."""
        return design(self.test, self.signs, *self.limits, self.largest)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SPRTParams(SequentialParams):
    """Parameters of `SPRT`: what is compared, and the error rates of one decision.

    Parameters
    ----------
    test : SequentialTest
        What is compared, and the smallest shift worth an alarm.
    side : {"up", "down", "both"}
        Direction of the drift; with both, each side gets half of `alpha`.
    false_alarm_every : float
        Wanted mean number of records between false alarms, over all streams together; `alpha` is
        derived from it. An hour of records each 10 s is 360.
    streams : int
        Streams that share this budget.
    clip : float or None
        Largest size of the increment of one record, and never more than half the upper limit:
        one record alone is an anomaly, not a drift. None: Wald's test as it stands.
    min_records : int
        Records since the restart before a drift may be decided.
    alpha : float or None
        Chance that one decision is a false alarm; given, it replaces `false_alarm_every`.
    beta : float
        Chance that one decision misses a drift of the stated size.
    repeat : bool
        Restart after either decision, for monitoring. Otherwise the first decision stands.

    Examples
    --------
    >>> SPRTParams.paper().design.false_alarm_every > 15_000
    True
    """

    alpha: float | None = None
    beta: float = 0.01
    repeat: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "beta", positive(self.beta) and self.beta < 0.5, "in (0, 0.5)")
        ok = self.alpha is None or (positive(self.alpha) and self.alpha < 0.5)
        require(self, "alpha", ok, "None or in (0, 0.5)")
        require(self, "repeat", isinstance(self.repeat, bool), "True or False")

    @property
    def chance(self) -> float:
        """Chance that one decision is a false alarm, both sides together."""
        if self.alpha is not None:
            return self.alpha
        return sprt_alpha(self.test, self.signs, self.per_stream, self.beta, self.clip)

    @property
    def limits(self) -> tuple[float, float]:
        """Wald's limits of the statistic, lower and upper."""
        return wald_limits(self.chance / len(self.signs), self.beta)

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Return the setting of arXiv 2504.18599, table 1.

        Its input is the residual rescaled by `rescaled_residual`, with a window from
        `PAPER_WINDOWS`. It needs 965 records for a decision without drift and 587 with it by Wald's
        formulas, some ten more in truth, and asks whether the prediction is no better than the
        rolling spread of the values.
        """
        settings: dict[str, Any] = {
            "test": BernoulliTest(p0=0.45, p1=0.50, threshold=PAPER_THRESHOLD),
            "alpha": 0.05,
            "beta": 0.005,
            "clip": None,
            "min_records": 1,
        }
        return cls(**{**settings, **changes})


@dataclasses.dataclass(frozen=True, kw_only=True)
class CUSUMParams(SequentialParams):
    """Parameters of `CUSUM`: what is compared, and how rare false alarms shall be.

    Parameters
    ----------
    test : SequentialTest
        What is compared, and the smallest shift worth an alarm.
    side : {"up", "down", "both"}
        Direction of the drift.
    false_alarm_every : float
        Wanted mean number of records between false alarms, over all streams together; the limit
        is derived from it. An hour of records each 10 s is 360.
    streams : int
        Streams that share this budget.
    clip : float or None
        Largest size of the increment of one record, and never more than half the limit: one
        record alone is an anomaly, not a drift. None: no bound.
    min_records : int
        Records since the statistic last was 0 before a drift may be decided.
    limit : float or None
        Limit of the statistic; given, it replaces `false_alarm_every`.

    Examples
    --------
    >>> design = CUSUMParams(false_alarm_every=1000, streams=20).design
    >>> round(design.false_alarm_every / 1000), round(design.delay)
    (20, 47)
    """

    limit: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "limit", self.limit is None or positive(self.limit), "None or > 0")

    @property
    def limits(self) -> tuple[float, float]:
        """Zero and the limit of the statistic."""
        if self.limit is not None:
            return 0.0, float(self.limit)
        return 0.0, cusum_limit(self.test, self.signs, self.per_stream, self.clip)
