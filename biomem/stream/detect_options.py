"""What a run of `biomem.stream.detect` is asked for, and the detector that follows from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from biomem.errors import require
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.stream.options import ReadOptions
from biomem.stream.run_options import PROBATION, RunOptions

__all__ = ["PRESETS", "PROBATION", "DetectOptions"]

PRESETS: dict[str, ReadOptions] = {
    "live": ReadOptions(),
    # NAB scores every row, and its detectors know no gaps.
    "nab": ReadOptions(late="keep", duplicate="keep", gap_factor=None),
}
"""Names of the presets, and how each reads a file unless told otherwise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectOptions(RunOptions):
    """How anomalies are looked for.

    Parameters
    ----------
    preset : {"live", "nab"}
        ``"live"`` never looks ahead. ``"nab"``: the detector of the Numenta Anomaly Benchmark,
        which knows the smallest and largest value and the length of the whole file beforehand:
        for comparisons, not for operation.
    minimum, maximum : float, optional
        Expected range of the values, live preset only. Default: what the records of the probation
        span; they are held back until then.
    probation : int, optional
        Records at the start that raise no alarm and whose likelihood is 0.5. Default 388; nab:
        15 % of the file, at most 750.
    range_rule : bool, optional
        Score 1.0 for a value far outside everything seen before. Default: nab only.
    threshold : float
        Scores from here on are anomalous; in (0, 1].
    seed : int
        Of the detector's random draws.

    Raises
    ------
    ParameterError
        An option outside what is listed here.
    """

    presets: ClassVar[Mapping[str, ReadOptions]] = PRESETS
    ahead = ("nab",)
    reported = ("threshold",)

    range_rule: bool | None = None
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "threshold", 0.0 < self.threshold <= 1.0, "in (0, 1]")

    def detector(
        self, minimum: float, maximum: float, *, records: int | None, timed: bool
    ) -> HTMDetectorParams:
        """Return the parameters of the detector for values in ``[minimum, maximum]``.

        Parameters
        ----------
        records : int or None
            Length of the file; nab preset only.
        timed : bool
            There are timestamps to encode.
        """
        if self.preset == "live":
            return HTMDetectorParams.for_range(
                minimum,
                maximum,
                probation=self.prefix,
                time_of_day=timed,
                range_rule=bool(self.range_rule),
            )
        changes: dict[str, Any] = {}
        if self.range_rule is not None:
            changes["range_rule"] = self.range_rule
        if self.probation is not None:
            changes["likelihood"] = AnomalyLikelihoodParams.for_probation(self.probation)
        return HTMDetectorParams.nab(minimum, maximum, records or 1, **changes)
