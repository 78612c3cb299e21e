"""Parameters of the SDR classifier."""

from __future__ import annotations

import dataclasses
import math

from biomem.engine.params import Params
from biomem.errors import ParameterError, require

__all__ = ["SDRClassifierParams"]


def _whole(x: object, least: int) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= least


def _number(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SDRClassifierParams(Params):
    """What is predicted, how far ahead, and how fast it is learned.

    The weights take ``4 * len(horizons) * size * buckets`` bytes: 17 MB per horizon for the cells
    of a full Temporal Memory and 64 buckets.

    Parameters
    ----------
    size : int
        Bits of a pattern.
    most_active : int
        Largest number of active bits a pattern may have; default `size`.
    horizons : tuple of int
        How many records ahead, >= 1, ascending. The first one is what errors are reported of.
    minimum, maximum : float
        Range of the values; those outside count to the outer buckets.
    buckets : int
        Equal parts of that range.
    alpha : float
        Step of the gradient, > 0. With a pattern of n active bits, ``alpha * n`` well below 2 is
        stable.
    rate : float
        Weight of a new value in the mean of its bucket, in (0, 1].
    distribution : bool
        Give the whole distribution with every record, not only what follows from it.
    """

    size: int
    most_active: int | None = None
    horizons: tuple[int, ...] = (1,)
    minimum: float = 0.0
    maximum: float = 1.0
    buckets: int = 64
    alpha: float = 0.01
    rate: float = 0.3
    distribution: bool = False

    def __post_init__(self) -> None:
        require(self, "size", _whole(self.size, 1), "an integer >= 1")
        ok = self.most_active is None or _whole(self.most_active, 1)
        require(self, "most_active", ok, "None or an integer >= 1")
        ok = isinstance(self.horizons, tuple) and all(_whole(h, 1) for h in self.horizons)
        ok = ok and list(self.horizons) == sorted(set(self.horizons))
        require(self, "horizons", ok, "a tuple of ascending integers >= 1")
        require(self, "buckets", _whole(self.buckets, 2), "an integer >= 2")
        if not (_number(self.minimum) and _number(self.maximum) and self.minimum < self.maximum):
            raise ParameterError(
                "SDRClassifierParams: minimum < maximum must be finite, got "
                f"{self.minimum!r} and {self.maximum!r}"
            )
        require(self, "alpha", _number(self.alpha) and self.alpha > 0, "finite and > 0")
        require(self, "rate", _number(self.rate) and 0 < self.rate <= 1, "in (0, 1]")
        require(self, "distribution", isinstance(self.distribution, bool), "True or False")

    @property
    def room(self) -> int:
        """Largest number of active bits."""
        return self.size if self.most_active is None else min(self.most_active, self.size)

    @property
    def width(self) -> float:
        """Width of a bucket."""
        return (self.maximum - self.minimum) / self.buckets

    @property
    def lags(self) -> int:
        """Patterns kept."""
        return max(self.horizons, default=0) + 1
