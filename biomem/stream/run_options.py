"""What every run over a telemetry source is asked for, whatever it looks for there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from biomem.engine.params import Params
from biomem.errors import CheckpointMismatch, ParameterError, require
from biomem.stream.options import ReadOptions

__all__ = ["PROBATION", "RunOptions"]

PROBATION = 388
"""Default probation of a run that does not look ahead, records."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions(Params):
    """What `DetectOptions` and `DriftOptions` have in common; see there."""

    presets: ClassVar[Mapping[str, ReadOptions]] = {"live": ReadOptions()}
    """Names of the presets, and how each reads a file unless told otherwise."""
    ahead: ClassVar[tuple[str, ...]] = ()
    """Presets that take the range from the whole file."""
    reported: ClassVar[tuple[str, ...]] = ()
    """Options that may differ on resuming: they only say what is reported."""

    preset: str = "live"
    minimum: float | None = None
    maximum: float | None = None
    probation: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require(self, "preset", self.preset in self.presets, f"one of {', '.join(self.presets)}")
        name = type(self).__name__
        given = [bound for bound in ("minimum", "maximum") if getattr(self, bound) is not None]
        if given and self.preset in self.ahead:
            raise ParameterError(
                f"{name}.{given[0]}: the {self.preset} preset takes the range from the file; leave "
                "it out, or use the live preset"
            )
        if len(given) == 1:
            raise ParameterError(f"{name}: give both minimum and maximum, or neither")
        for bound in given:
            value = getattr(self, bound)
            require(self, bound, math.isfinite(value) and abs(value) <= 1e150, "within +-1e150")
        if given and not self.minimum <= self.maximum:  # type: ignore[operator]
            raise ParameterError(
                f"{name}.minimum must be <= maximum, got {self.minimum!r} > {self.maximum!r}"
            )
        require(
            self,
            "probation",
            self.probation is None or (type(self.probation) is int and self.probation >= 1),
            "a whole number of records >= 1",
        )
        require(self, "seed", type(self.seed) is int and 0 <= self.seed < 1 << 64, "in [0, 2**64)")

    @property
    def range(self) -> tuple[float, float] | None:
        """The expected range, if it was given."""
        return None if self.minimum is None else (self.minimum, self.maximum)  # type: ignore[return-value]

    @property
    def looks_ahead(self) -> bool:
        """Whether the range and the length come from the whole file."""
        return self.preset in self.ahead

    @property
    def prefix(self) -> int:
        """Records at the start that tell the range if it is not given."""
        return self.probation or PROBATION

    def check_same(self, former: dict[str, Any], origin: str) -> None:
        """Refuse to go on from a checkpoint that was made with options of other results.

        Raises
        ------
        CheckpointMismatch
            With the options that differ, and both values.
        """
        now = self.to_dict()
        changed = [
            f"{name} was {former.get(name)!r} and is {now[name]!r}"
            for name in now
            if name not in self.reported and former.get(name) != now[name]
        ]
        if changed:
            raise CheckpointMismatch(
                f"{origin} was made with other options: {'; '.join(changed)}; resume with the "
                "same, or start anew"
            )
