"""Distributions of weights and delays, drawn from the counter-based generator before a run."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream
from biomem.errors import require

__all__ = ["Distribution", "Gamma", "Lognormal", "Normal", "Uniform", "draw"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normal(Params):
    """Normal distribution, cut to ``[low, high]`` where given by moving what lies beyond.

    Parameters
    ----------
    mean, sd : float
    low, high : float, optional
    """

    mean: float = 0.0
    sd: float = 1.0
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        require(self, "mean", math.isfinite(self.mean), "finite")
        require(self, "sd", math.isfinite(self.sd) and self.sd >= 0, "finite, >= 0")
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        require(self, "low", low <= high, f"<= high = {self.high}")

    def values(self, rng: Rng, stream: Stream, entity: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one value per entity."""
        drawn = self.mean + self.sd * rng.normal(stream, entity)
        if self.low is None and self.high is None:
            return drawn
        return np.clip(drawn, self.low, self.high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform(Params):
    """Uniform distribution on ``[low, high)``."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        require(self, "low", math.isfinite(self.low), "finite")
        ok = math.isfinite(self.high) and self.high >= self.low
        require(self, "high", ok, f"finite, >= low = {self.low}")

    def values(self, rng: Rng, stream: Stream, entity: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one value per entity."""
        return self.low + (self.high - self.low) * rng.uniform(stream, entity)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gamma(Params):
    """Gamma distribution of given mean; a negative mean mirrors it.

    Parameters
    ----------
    mean : float
    cv : float
        Standard deviation as a share of the mean, > 0.
    """

    mean: float = 1.0
    cv: float = 1.0

    def __post_init__(self) -> None:
        require(self, "mean", math.isfinite(self.mean), "finite")
        require(self, "cv", math.isfinite(self.cv) and self.cv > 0, "finite, > 0")

    def values(self, rng: Rng, stream: Stream, entity: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one value per entity."""
        from scipy.special import gammaincinv

        shape = 1.0 / self.cv**2
        return gammaincinv(shape, rng.uniform(stream, entity)) * (self.mean / shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lognormal(Params):
    """Lognormal distribution of given mean; a negative mean mirrors it.

    Parameters
    ----------
    mean : float
    cv : float
        Standard deviation as a share of the mean, >= 0.
    """

    mean: float = 1.0
    cv: float = 0.5

    def __post_init__(self) -> None:
        require(self, "mean", math.isfinite(self.mean), "finite")
        require(self, "cv", math.isfinite(self.cv) and self.cv >= 0, "finite, >= 0")

    def values(self, rng: Rng, stream: Stream, entity: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return one value per entity."""
        variance = math.log1p(self.cv**2)
        z = rng.normal(stream, entity)
        return self.mean * np.exp(math.sqrt(variance) * z - variance / 2)


Distribution = Normal | Uniform | Gamma | Lognormal


def draw(what: Any, rng: Rng, stream: Stream, n: int) -> NDArray[np.float64]:
    """Return one value for each of `n` entities, of a number or of a distribution."""
    if isinstance(what, Params):
        return what.values(rng, stream, np.arange(n))  # type: ignore[attr-defined]
    # A view of one number: a constant of a million synapses takes no memory.
    return np.broadcast_to(np.float64(what), (n,))
