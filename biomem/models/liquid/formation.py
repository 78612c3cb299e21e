"""Weights from the forming of resistive devices: random, never programmed.

A weight is a pair of devices, each put into some conducting state by one forming step::

    W = const (G+ - G-)        G in microsiemens

Source: N. Lin et al., "Resistive memory-based zero-shot liquid state machine for multimodal event
data learning", Nat. Comput. Sci. 5 (2025) 37; the spread of 6.6 uS is that of the maps published
with a sibling program of the group, not a figure of the paper.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream
from biomem.errors import require

__all__ = ["RandomFormation"]

DISTRIBUTIONS = ("difference", "normal", "lognormal", "gamma", "histogram")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomFormation(Params):
    """Distribution of weights made by forming.

    Parameters
    ----------
    dist : {"difference", "normal", "lognormal", "gamma", "histogram"}
        ``difference`` draws ``G+ - G-`` itself, normal; the others draw every device: normal cut
        at 0, lognormal, gamma, or uniform within the bins of a measured histogram.
    mean, sd : float
        Of the difference, or of one device, uS. Not used by ``histogram``.
    edges, counts : tuples of float
        Bins of the histogram, uS, and how often each was measured.
    p_unformed : float
        Share of devices left unformed, in [0, 1].
    g_unformed : float
        Their conductance, uS, >= 0.
    """

    dist: str = "difference"
    mean: float = 0.0
    sd: float = 6.6
    edges: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    p_unformed: float = 0.0
    g_unformed: float = 0.0

    def __post_init__(self) -> None:
        require(self, "dist", self.dist in DISTRIBUTIONS, f"one of {DISTRIBUTIONS}")
        require(self, "mean", math.isfinite(self.mean), "finite")
        require(self, "sd", math.isfinite(self.sd) and self.sd > 0, "finite, > 0 uS")
        if self.dist in ("lognormal", "gamma"):
            require(self, "mean", self.mean > 0, "> 0 uS for a device")
        if self.dist == "difference":
            require(self, "p_unformed", self.p_unformed == 0, "0 where no device is drawn")
        require(self, "p_unformed", 0 <= self.p_unformed <= 1, "in [0, 1]")
        ok = math.isfinite(self.g_unformed) and self.g_unformed >= 0
        require(self, "g_unformed", ok, "finite, >= 0 uS")
        if self.dist == "histogram":
            rising = all(a < b for a, b in zip(self.edges, self.edges[1:], strict=False))
            sound = len(self.edges) == len(self.counts) + 1 >= 2 and rising and self.edges[0] >= 0
            require(self, "edges", sound, "rising from >= 0, one more than `counts`")
            some = min(self.counts) >= 0 and sum(self.counts) > 0
            require(self, "counts", some, ">= 0, not all 0")

    def pairs(self, rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return ``G+ - G-``, uS, of an array of pairs."""
        entity = np.arange(math.prod(shape))
        if self.dist == "difference":
            drawn = self.mean + self.sd * rng.normal(Stream.NET_WEIGHT, entity)
        else:
            drawn = self._device(rng, entity, 0) - self._device(rng, entity, 1)
        return drawn.reshape(shape)

    def _device(self, rng: Rng, entity: NDArray[np.int64], which: int) -> NDArray[np.float64]:
        u = rng.uniform(Stream.NET_WEIGHT, entity, batch=2 * which)
        g = self._quantile(u)
        if self.p_unformed:
            formed = rng.uniform(Stream.NET_WEIGHT, entity, batch=2 * which + 1) >= self.p_unformed
            g = np.where(formed, g, self.g_unformed)
        return g

    def _quantile(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy import special

        mean, sd = self.mean, self.sd
        if self.dist == "normal":
            below = special.ndtr(-mean / sd)
            return np.maximum(mean + sd * special.ndtri(below + u * (1 - below)), 0.0)
        if self.dist == "lognormal":
            variance = math.log1p((sd / mean) ** 2)
            return mean * np.exp(math.sqrt(variance) * special.ndtri(u) - variance / 2)
        if self.dist == "gamma":
            shape = (mean / sd) ** 2
            return special.gammaincinv(shape, u) * (mean / shape)
        share = np.concatenate([[0.0], np.cumsum(self.counts)]) / sum(self.counts)
        return np.interp(u, share, self.edges)
