"""Parameters of the HTM anomaly detector: the chain of its five parts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams

__all__ = ["HTMDetectorParams", "resolution_for"]

BUCKETS = 130
"""Buckets the expected range is divided into, NAB's figure."""

MAX_SEGMENTS = 4096
"""Segments of a detector that runs for ever; on NAB they cost 0.3 points, the scatter of seeds."""


def resolution_for(minimum: float, maximum: float) -> float:
    """Return the encoder resolution for values expected in ``[minimum, maximum]``.

    The range is widened by a fifth on either side and divided into 130 buckets; never below
    0.001 (NAB's rule).
    """
    padding = 0.2 * (maximum - minimum)
    return max(0.001, ((maximum + padding) - (minimum - padding)) / BUCKETS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HTMDetectorParams(Params):
    """Encoders, Spatial Pooler, Temporal Memory, anomaly likelihood and range rule of a detector.

    `for_range` and `nab` fill this in from the range of the values; write it out only to change
    a part.

    Parameters
    ----------
    value : RDSE
        Encoder of the value.
    time : DateTimeEncoder or None
        Encoder of the wall-clock time; None for streams without timestamps or daily rhythm.
    spatial_pooler : SpatialPoolerParams
        Its ``input_shape`` must be the number of bits of both encoders together.
    temporal_memory : TemporalMemoryParams
        Its ``n_columns`` must be that of the Spatial Pooler.
    likelihood : AnomalyLikelihoodParams
    range_rule : bool
        Report the score 1.0 for a value far outside everything seen before (NAB's spatial rule).
        It finds most of what is found on NAB, so results should be stated with and without it.
    range_fraction : float
        Margin of that rule, as a fraction of the range seen.

    Raises
    ------
    ParameterError
        Parts that do not fit together.
    """

    value: RDSE
    time: DateTimeEncoder | None = None
    spatial_pooler: SpatialPoolerParams
    temporal_memory: TemporalMemoryParams
    likelihood: AnomalyLikelihoodParams = dataclasses.field(default_factory=AnomalyLikelihoodParams)
    range_rule: bool = False
    range_fraction: float = 0.05

    def __post_init__(self) -> None:
        bits = self.n_bits
        if self.spatial_pooler.n_inputs != bits:
            raise ParameterError(
                f"HTMDetectorParams.spatial_pooler.input_shape must be ({bits},), the bits of the "
                f"encoders, got {self.spatial_pooler.input_shape!r}"
            )
        columns = self.spatial_pooler.n_columns
        if self.temporal_memory.n_columns != columns:
            raise ParameterError(
                f"HTMDetectorParams.temporal_memory.n_columns must be {columns}, the columns of "
                f"the Spatial Pooler, got {self.temporal_memory.n_columns}"
            )
        require(
            self,
            "range_fraction",
            math.isfinite(self.range_fraction) and self.range_fraction >= 0,
            "finite and >= 0",
        )

    @property
    def n_bits(self) -> int:
        """Number of input bits of the Spatial Pooler."""
        return self.value.size + (0 if self.time is None else self.time.size)

    @classmethod
    def for_range(
        cls,
        minimum: float,
        maximum: float,
        *,
        probation: int = 388,
        time_of_day: bool = True,
        table: bool = False,
        range_rule: bool = False,
        max_segments: int | None = MAX_SEGMENTS,
    ) -> Self:
        """Return the parameters for values expected in ``[minimum, maximum]``.

        Parameters
        ----------
        minimum, maximum : float
            Expected range; values outside it are encoded as well, in further buckets.
        probation : int
            Records at the start for which the score says nothing yet.
        time_of_day : bool
            Encode the time of day beside the value.
        table : bool
            NuPIC's table form of the value encoder: exactly 21 bits, clipped to 1000 buckets.
        range_rule : bool
            See the class.
        max_segments : int or None
            Bound of the Temporal Memory, which a stream that never ends needs: a noisy one would
            go on taking memory, and time, for what it will not see again. None: no bound.
        """
        if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
            raise ParameterError(
                "HTMDetectorParams.for_range: minimum <= maximum must be finite, got "
                f"{minimum!r} and {maximum!r}"
            )
        value = RDSE(
            size=400,
            active_bits=21,
            resolution=resolution_for(float(minimum), float(maximum)),
            seed=42,
            table=table,
        )
        time = DateTimeEncoder(time_of_day=(21, 9.49)) if time_of_day else None
        bits = value.size + (0 if time is None else time.size)
        return cls(
            value=value,
            time=time,
            spatial_pooler=SpatialPoolerParams.nab((bits,)),
            temporal_memory=TemporalMemoryParams.nab(max_segments=max_segments),
            likelihood=AnomalyLikelihoodParams.for_probation(probation),
            range_rule=range_rule,
        )

    @classmethod
    def nab(cls, minimum: float, maximum: float, records: int, **changes: Any) -> Self:
        """Return the "numenta" set of the Numenta Anomaly Benchmark for one file of its corpus.

        It looks ahead: `minimum`, `maximum` and `records` are those of the whole file, as NAB
        allows. A live detector cannot know them; use `for_range` there.
        """
        probation = max(1, min(int(0.15 * records), 750))
        params = cls.for_range(
            minimum, maximum, probation=probation, table=True, range_rule=True, max_segments=None
        )
        return params.replace(**changes) if changes else params
