"""Parameters of the ensemble: its members, the likelihood they share, and its quiet time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Self

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.models.htm.detector.params import HTMDetectorParams, resolution_for
from biomem.models.htm.drift.baseline import MAD, middle
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams

__all__ = ["HTMEnsembleParams", "HTMMember"]

MAX_SEGMENTS = 16_384
"""Of each HTM of the pair: twice what the longest series of NAB makes it learn."""

APART = 1_000
"""Between the seeds of like HTMs of a trio: trios of seeds 0, 1, 2, ... share none."""

FURTHEST = 1e300
"""Spreads from the centre at which a member's scale ends."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HTMMember(Params):
    """One HTM of an ensemble, and the scale it sees the value on.

    Parameters
    ----------
    detector : HTMDetectorParams
        Its likelihood and its range rule have no part in the ensemble's score.
    centre, scale : float or None
        Both given: the HTM sees ``asinh((value - centre) / scale)``, which tells values near the
        centre apart however far the furthest are. Both None: the value itself.
    """

    detector: HTMDetectorParams
    centre: float | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        if (self.centre is None) != (self.scale is None):
            raise ParameterError(
                "HTMMember: give centre and scale or neither, got "
                f"{self.centre!r} and {self.scale!r}"
            )
        if self.centre is not None and self.scale is not None:
            require(self, "centre", math.isfinite(self.centre), "finite")
            require(self, "scale", 0 < self.scale < math.inf, "finite and > 0")

    def seen(self, value: float) -> float:
        """Return what this HTM is given of a value."""
        if self.centre is None or self.scale is None:
            return value
        return math.asinh(min(max((value - self.centre) / self.scale, -FURTHEST), FURTHEST))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HTMEnsembleParams(Params):
    """Members, shared likelihood, range rule and quiet time of an `HTMEnsemble`.

    Parameters
    ----------
    members : tuple of HTMMember
    likelihood : AnomalyLikelihoodParams
        Of the mean raw score.
    range_rule, range_fraction
        As in `HTMDetectorParams`.
    quiet : int
        A score no higher than one of the `quiet` records before it is halved: what goes on is told
        once. 0: every score is told as it is.

    Raises
    ------
    ParameterError
        No members, or a value out of range.
    """

    members: tuple[HTMMember, ...]
    likelihood: AnomalyLikelihoodParams = dataclasses.field(default_factory=AnomalyLikelihoodParams)
    range_rule: bool = False
    range_fraction: float = 0.05
    quiet: int = 30

    def __post_init__(self) -> None:
        ok = isinstance(self.members, tuple) and all(isinstance(m, HTMMember) for m in self.members)
        require(self, "members", ok and len(self.members) > 0, "a tuple of HTMMember, not empty")
        ok = math.isfinite(self.range_fraction) and self.range_fraction >= 0
        require(self, "range_fraction", ok, "finite and >= 0")
        ok = isinstance(self.quiet, int) and not isinstance(self.quiet, bool) and self.quiet >= 0
        require(self, "quiet", ok, "an integer >= 0")

    @classmethod
    def pair(
        cls,
        minimum: float,
        maximum: float,
        known: Sequence[float],
        *,
        probation: int = 388,
        time_of_day: bool = True,
        range_rule: bool = True,
        table: bool = False,
        seed: int = 0,
        **changes: Any,
    ) -> Self:
        """Return two HTMs: one of value and time, one of the squashed value.

        Both have the Temporal Memory of NAB's "numentaTM". The second, which sees no time, counts
        in spreads of what is known: to it a series with rare high peaks is not flat between them.
        `trio` scores higher on NAB and takes a third more time.

        Parameters
        ----------
        minimum, maximum : float
            Range the values are expected in.
        known : sequence of float
            Values of a stated prefix, such as the probation: median and median absolute deviation
            of the second HTM's scale.
        probation : int
            Records at the start for which the score says nothing yet.
        time_of_day : bool
            Give the first HTM the time of day.
        range_rule : bool
            Score 1 for a value far outside everything seen before.
        table : bool
            NuPIC's table form of the value encoders.
        seed : int
            Added to the seeds of both layers.
        **changes
            Other parameters of the class.
        """
        values = [float(v) for v in known]
        if not values or not all(map(math.isfinite, values)):
            raise ParameterError("HTMEnsembleParams.pair: known must hold finite values, and some")
        centre = middle(sorted(values))
        scale = MAD * middle(sorted(abs(v - centre) for v in values))
        if scale <= 0:
            mean = math.fsum(values) / len(values)
            scale = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values)) or 1.0
        squashed = [math.asinh((v - centre) / scale) for v in (minimum, maximum)]
        plain = _detector(minimum, maximum, time_of_day, table, probation, seed)
        other = _detector(squashed[0], squashed[1], False, table, probation, seed)
        values_of_class = {
            "members": (
                HTMMember(detector=plain),
                HTMMember(detector=other, centre=centre, scale=scale),
            ),
            "likelihood": AnomalyLikelihoodParams.for_probation(probation, historic_window=4000),
            "range_rule": range_rule,
        }
        return cls(**{**values_of_class, **changes})

    @classmethod
    def trio(
        cls,
        minimum: float,
        maximum: float,
        known: Sequence[float],
        *,
        probation: int = 388,
        copies: int = 1,
        seed: int = 0,
        **changes: Any,
    ) -> Self:
        """Return our best setting on NAB: two of the first HTM of `pair`, one of the second.

        What like HTMs do not agree on is chance. The likelihood averages 12 scores instead of 10
        and leaves the first quarter of the records out of its estimates.

        Members run one after the other: time and memory are three times `copies` those of one HTM.
        One core takes some 3 500 records/s of NAB with one copy and 1 200 with three.

        Parameters
        ----------
        minimum, maximum, known, probation, seed
            As in `pair`.
        copies : int
            Trios whose mean is taken, each from its own seeds. On NAB more copies score no
            better, and hang little less on the seed: one is enough.
        **changes
            Other arguments of `pair`, or parameters of the class.
        """
        if not isinstance(copies, int) or isinstance(copies, bool) or copies < 1:
            raise ParameterError(
                f"{cls.__name__}.trio: copies must be an integer >= 1, got {copies!r}"
            )
        pairs = [
            cls.pair(minimum, maximum, known, probation=probation, seed=seed + APART * k, **changes)
            for k in range(2 * copies)
        ]
        first = pairs[0]
        members = (
            *(p.members[0] for p in pairs),
            *(p.members[1] for p in pairs[:copies]),
        )
        judge = first.likelihood.replace(averaging_window=12, forgotten=0.25)
        return first.replace(
            members=changes.get("members", members),
            likelihood=changes.get("likelihood", judge),
        )


def _detector(
    minimum: float, maximum: float, timed: bool, table: bool, probation: int, seed: int
) -> HTMDetectorParams:
    value = RDSE(
        size=400,
        active_bits=21,
        resolution=resolution_for(minimum, maximum),
        seed=42,
        table=table,
    )
    time = DateTimeEncoder(time_of_day=(21, 9.49)) if timed else None
    pooler = SpatialPoolerParams.nab((value.size + (0 if time is None else time.size),))
    memory = TemporalMemoryParams.nab_tm_cpp(max_segments=MAX_SEGMENTS)
    return HTMDetectorParams(
        value=value,
        time=time,
        spatial_pooler=pooler.replace(seed=pooler.seed + seed),
        temporal_memory=memory.replace(seed=memory.seed + seed),
        likelihood=AnomalyLikelihoodParams.for_probation(probation, historic_window=1000),
    )
