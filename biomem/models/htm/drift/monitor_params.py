"""Parameters of the drift monitor."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

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
from biomem.models.htm.drift.increments import (
    BernoulliTest,
    PoissonTest,
    SequentialTest,
    VarianceTest,
)
from biomem.models.htm.drift.params import SIGNS, Side, check_common, positive, whole

__all__ = ["DEPENDENCE", "LEAST_BASELINE", "DriftMonitorParams"]

DEPENDENCE = ("none", "scale", "batch", "whiten")
METHODS = ("cusum", "sprt")
ESTIMATORS = ("moments", "median")
LEAST_BASELINE = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftMonitorParams(Params):
    """What a monitor watches, how rare its false alarms shall be, and what it does after one.

    Parameters
    ----------
    test : SequentialTest
        What is watched, in units of the baseline. `BernoulliTest`: exceedances of the value that
        the share `p0` of the baseline exceeds (its own threshold is not used). `MeanTest`,
        `VarianceTest`, `DensityTest`: values standardised by the baseline. `PoissonTest`: counts
        per exposure, relative to the baseline's rate.
    side : {"up", "down", "both"}
        Direction of the drift.
    method : {"cusum", "sprt"}
        A CUSUM, or an SPRT that restarts after every decision.
    false_alarm_every : float
        Wanted mean number of records between false alarms, over all streams together, for records
        that do not depend on each other and a baseline that is known well. `calibrate` sets the
        limit from records themselves.
    streams : int
        Streams that share this budget.
    limit : float or None
        Upper limit of the statistic; given, it replaces `false_alarm_every`.
    beta : float
        Chance that one decision of an SPRT misses a drift of the stated size.
    clip : float
        Largest size of the increment of one record. Never more than half the limit (a third when
        whitening, which lets one record count twice): a point anomaly is not a drift.
    min_records : int
        Records since the restart before a drift may be decided, >= 2.
    probation : int
        Records at the start that are left out, for a source that still learns.
    baseline : int
        Records the baseline is estimated from, >= 40. It then stands still until a drift. The
        statistic of a small shift needs many: their number should exceed ``(4 / delta)^2``.
    estimator : {"moments", "median"}
        Mean and standard deviation, or median and 1.4826 times the median absolute deviation,
        which a few outliers in the baseline cannot move.
    dependence : {"none", "scale", "batch", "whiten"}
        What to do about records that resemble their predecessors, with the lag-one correlation
        phi of the baseline. ``"scale"``: multiply increments by ``(1 - phi) / (1 + phi)``, phi that
        of the increments and >= 0. ``"batch"``: test means of ``ceil(3 / (1 - phi))`` records, at
        most a twentieth of the baseline. ``"whiten"``: test ``x_t - phi x_{t-1}``. After the latter
        two, effect sizes are in units of what is then tested.
    cooldown : int
        Records after a drift that are left out, before the baseline is estimated anew.

    Examples
    --------
    >>> DriftMonitorParams(false_alarm_every=50_000).limits
    (0.0, 7.86...)
    """

    test: SequentialTest = dataclasses.field(default_factory=BernoulliTest)
    side: Side = "up"
    method: Literal["cusum", "sprt"] = "cusum"
    false_alarm_every: float = 10_000.0
    streams: int = 1
    limit: float | None = None
    beta: float = 0.01
    clip: float = 3.0
    min_records: int = 5
    probation: int = 0
    baseline: int = 500
    estimator: Literal["moments", "median"] = "moments"
    dependence: Literal["none", "scale", "batch", "whiten"] = "scale"
    cooldown: int = 50

    def __post_init__(self) -> None:
        check_common(self)
        for name, allowed in (
            ("method", METHODS),
            ("estimator", ESTIMATORS),
            ("dependence", DEPENDENCE),
        ):
            require(self, name, getattr(self, name) in allowed, f"one of {allowed}")
        if isinstance(self.test, PoissonTest):
            ok, why = self.dependence in ("none", "scale"), "counts cannot be averaged or whitened"
            require(self, "dependence", ok, "'none' or 'scale' for a PoissonTest", why)
        if isinstance(self.test, VarianceTest):
            why = "means of records hide their spread"
            ok = self.dependence != "batch"
            require(self, "dependence", ok, "'none', 'scale' or 'whiten' for a VarianceTest", why)
        require(self, "limit", self.limit is None or positive(self.limit), "None or > 0")
        require(self, "beta", positive(self.beta) and self.beta < 0.5, "in (0, 0.5)")
        require(self, "clip", positive(self.clip), "> 0")
        for name, least in (
            ("min_records", 2),
            ("probation", 0),
            ("baseline", LEAST_BASELINE),
            ("cooldown", 0),
        ):
            require(self, name, whole(getattr(self, name), least), f"an integer >= {least}")

    @property
    def signs(self) -> tuple[int, ...]:
        """Direction of every side, +1 up and -1 down."""
        return SIGNS[self.side]

    @property
    def agree(self) -> int:
        """Increments that it takes at the least to reach the limit."""
        return 3 if self.dependence == "whiten" else 2

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit of the statistic."""
        per_stream = float(self.false_alarm_every * self.streams)
        if self.method == "cusum":
            if self.limit is not None:
                return 0.0, float(self.limit)
            return 0.0, cusum_limit(self.test, self.signs, per_stream, self.clip, self.agree)
        if self.limit is not None:
            chance = min((1 - self.beta) * math.exp(-self.limit), 0.5)
            return wald_limits(chance, self.beta)[0], float(self.limit)
        alpha = sprt_alpha(self.test, self.signs, per_stream, self.beta, self.clip, self.agree)
        return wald_limits(alpha / len(self.signs), self.beta)

    @property
    def largest(self) -> float:
        """Largest size of an increment."""
        return guard(self.limits[1], self.clip, self.agree)

    @property
    def design(self) -> Design:
        """What to expect of one stream, if its records are independent and the baseline true."""
        return design(self.test, self.signs, *self.limits, self.largest)
