"""A population of tuned units stands for a number."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from biomem.engine.random import Rng
from biomem.errors import InputError, require
from biomem.network.encoders.base import Encoder, positive
from biomem.network.encoders.latency import LatencyEncoder
from biomem.network.encoders.rate import RateEncoder
from biomem.typing import BoolArray, FloatArray

__all__ = ["PopulationEncoder"]


# Frozen, so one may be the default of many.
_RATE = RateEncoder()


@dataclasses.dataclass(frozen=True, kw_only=True)
class PopulationEncoder(Encoder):
    """Spread every number over a population of tuned units, then encode what each responds.

    Unit i of a number is tuned to the centre ``low + i * spacing``, evenly spaced from `low` to
    `high`. Gaussian: ``exp(-d**2 / 2)`` with ``d = (x - centre) / (width * spacing)``. Cosine:
    ``(1 + cos(pi * d)) / 2`` for ``|d| < 1``, else 0.

    When not to use it: on many numbers at once; the channels multiply.

    Parameters
    ----------
    n : int
        Units per number, >= 2.
    low, high : float
        Range of the numbers; what lies outside excites the units at that end less and less.
    shape : {"gaussian", "cosine"}
    width : float
        In spacings, > 0; cosine: > 1/2, so that no number goes unheard.
    then : RateEncoder or LatencyEncoder
        Turns responses into spikes.

    Examples
    --------
    >>> encoder = PopulationEncoder(n=5, then=LatencyEncoder(duration=0.01))
    >>> np.round(encoder.activity([[0.25]]), 2).tolist()
    [[0.32, 1.0, 0.32, 0.01, 0.0]]
    >>> encoder.encode([[0.25]]).shape
    (10, 1, 5)

    References
    ----------
    S. Bohte, H. La Poutre, J. Kok, "Unsupervised clustering with spiking neurons by sparse
    temporal coding and multilayer RBF networks", IEEE Trans. Neural Networks 13 (2002) 426,
    section III; width 1 / 1.5. A. Georgopoulos, A. Schwartz, R. Kettner, Science 233 (1986) 1416.
    """

    n: int = 8
    low: float = 0.0
    high: float = 1.0
    shape: Literal["gaussian", "cosine"] = "gaussian"
    width: float = 2.0 / 3.0
    then: RateEncoder | LatencyEncoder = _RATE

    def __post_init__(self) -> None:
        whole = isinstance(self.n, int) and not isinstance(self.n, bool)
        require(self, "n", whole and self.n >= 2, "an integer >= 2")
        require(self, "low", math.isfinite(self.low), "finite")
        above = math.isfinite(self.high) and self.high > self.low
        require(self, "high", above, f"finite, > low = {self.low}")
        require(self, "shape", self.shape in ("gaussian", "cosine"), "'gaussian' or 'cosine'")
        positive(self, "width")
        heard = self.shape == "gaussian" or self.width > 0.5
        require(self, "width", heard, "> 1/2 spacing for shape 'cosine'")
        known = isinstance(self.then, RateEncoder | LatencyEncoder)
        require(self, "then", known, "a RateEncoder or a LatencyEncoder")

    @property
    def centres(self) -> FloatArray:
        """What each unit is tuned to, shape ``(n,)``."""
        return np.linspace(self.low, self.high, self.n)

    def channels(self, n: int) -> int:
        """Return ``self.n * n``, the units of a number side by side."""
        return self.n * n

    def activity(self, x: ArrayLike) -> FloatArray:
        """Return responses in [0, 1], shape ``(..., unit * n)``, to numbers ``(..., unit)``."""
        values = np.asarray(x, np.float64)
        if values.ndim == 0 or not np.isfinite(values).all():
            raise InputError("PopulationEncoder: x must be finite numbers of shape (..., unit)")
        spacing = (self.high - self.low) / (self.n - 1)
        d = (values[..., None] - self.centres) / (self.width * spacing)
        if self.shape == "gaussian":
            response = np.exp(-0.5 * d * d)
        else:
            response = np.where(np.abs(d) < 1, 0.5 + 0.5 * np.cos(np.pi * np.clip(d, -1, 1)), 0.0)
        return response.reshape(*values.shape[:-1], -1)

    def encode(self, x: ArrayLike, rng: Rng | int = 0, **options: Any) -> BoolArray:
        """Return spikes of shape ``(time, batch, unit * n)``.

        Parameters
        ----------
        x : array, shape ``(batch, unit)``, or ``(time, batch, unit)`` for rates
        rng : Rng or int
        **options
            Those of ``then.encode``, such as `ticks` for rates.
        """
        return self.then.encode(self.activity(x), rng, **options)

    def decode(self, spikes: ArrayLike) -> FloatArray:
        """Return the centre of mass of the decoded responses, shape ``(batch, unit)``.

        Pulled towards the middle near both ends, where units beyond are missing; NaN where
        nothing spiked.
        """
        response = self.then.decode(spikes)
        response = response.reshape(*response.shape[:-1], -1, self.n)
        with np.errstate(invalid="ignore"):
            return (response @ self.centres) / response.sum(axis=-1)
