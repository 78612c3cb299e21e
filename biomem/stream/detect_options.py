"""What a run of `biomem.stream.detect` is asked for, and the detector that follows from it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from biomem.engine.params import Params
from biomem.errors import CheckpointMismatch, ParameterError, require
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.stream.options import ReadOptions

__all__ = ["PRESETS", "PROBATION", "DetectOptions"]

PROBATION = 388
"""Default probation of the live preset, records: half to learn, half to estimate from."""

PRESETS: dict[str, ReadOptions] = {
    "live": ReadOptions(),
    # NAB scores every row, and its detectors know no gaps.
    "nab": ReadOptions(late="keep", duplicate="keep", gap_factor=None),
}
"""Names of the presets, and how each reads a file unless told otherwise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectOptions(Params):
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

    preset: str = "live"
    minimum: float | None = None
    maximum: float | None = None
    probation: int | None = None
    range_rule: bool | None = None
    threshold: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        require(self, "preset", self.preset in PRESETS, f"one of {', '.join(PRESETS)}")
        given = [name for name in ("minimum", "maximum") if getattr(self, name) is not None]
        if given and self.preset == "nab":
            raise ParameterError(
                f"DetectOptions.{given[0]}: the nab preset takes the range from the file; leave it "
                "out, or use the live preset"
            )
        if len(given) == 1:
            raise ParameterError("DetectOptions: give both minimum and maximum, or neither")
        for name in given:
            value = getattr(self, name)
            require(self, name, math.isfinite(value) and abs(value) <= 1e150, "within +-1e150")
        if given and not self.minimum <= self.maximum:  # type: ignore[operator]
            raise ParameterError(
                f"DetectOptions.minimum must be <= maximum, got {self.minimum!r} > {self.maximum!r}"
            )
        require(
            self,
            "probation",
            self.probation is None or (type(self.probation) is int and self.probation >= 1),
            "a whole number of records >= 1",
        )
        require(self, "threshold", 0.0 < self.threshold <= 1.0, "in (0, 1]")
        require(self, "seed", type(self.seed) is int and 0 <= self.seed < 1 << 64, "in [0, 2**64)")

    @property
    def range(self) -> tuple[float, float] | None:
        """The expected range, if it was given."""
        return None if self.minimum is None else (self.minimum, self.maximum)  # type: ignore[return-value]

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
                probation=self.probation or PROBATION,
                time_of_day=timed,
                range_rule=bool(self.range_rule),
            )
        changes: dict[str, Any] = {}
        if self.range_rule is not None:
            changes["range_rule"] = self.range_rule
        if self.probation is not None:
            changes["likelihood"] = AnomalyLikelihoodParams.for_probation(self.probation)
        return HTMDetectorParams.nab(minimum, maximum, records or 1, **changes)

    def check_same(self, former: dict[str, Any], origin: str) -> None:
        """Refuse to go on from a checkpoint that was made with options of other results.

        The threshold may differ: it only says what is reported.

        Raises
        ------
        CheckpointMismatch
            With the options that differ, and both values.
        """
        now = self.to_dict()
        changed = [
            f"{name} was {former.get(name)!r} and is {now[name]!r}"
            for name in now
            if name != "threshold" and former.get(name) != now[name]
        ]
        if changed:
            raise CheckpointMismatch(
                f"{origin} was made with other options: {'; '.join(changed)}; resume with the "
                "same, or start anew"
            )
