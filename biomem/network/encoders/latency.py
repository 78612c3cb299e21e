"""The time of one spike stands for a number."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from biomem.engine.random import Rng
from biomem.errors import require
from biomem.network.encoders.base import Encoder, positive, series_of, shares_of
from biomem.typing import BoolArray, FloatArray

__all__ = ["LatencyEncoder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatencyEncoder(Encoder):
    """Spike once, the earlier the larger the number; not at all below a threshold.

    Linear: x = 1 spikes in the first tick, ``x = threshold`` in the last. Logarithmic: after
    ``tau * ln(x / (x - threshold))``, the time a leaky membrane driven by x takes to reach the
    threshold; what would come after `duration` stays silent.

    When not to use it: on noisy channels (a lost spike is a lost number), or where nothing marks
    the beginning.

    Parameters
    ----------
    duration : float
        Of the presentation, s; a whole number of ticks, two or more.
    dt : float
        Tick, s.
    kind : {"linear", "log"}
    threshold : float
        In [0, 1); above 0 for "log".
    tau : float
        Of "log", s.

    Examples
    --------
    >>> encoder = LatencyEncoder(duration=5e-3)
    >>> encoder.encode([[1.0, 0.5, 0.0]]).argmax(axis=0).tolist()
    [[0, 2, 0]]

    References
    ----------
    S. Thorpe, A. Delorme, R. Van Rullen, "Spike-based strategies for rapid processing", Neural
    Networks 14 (2001) 715.
    """

    duration: float = 0.1
    dt: float = 1e-3
    kind: Literal["linear", "log"] = "linear"
    threshold: float = 0.01
    tau: float = 20e-3

    def __post_init__(self) -> None:
        for name in ("dt", "duration", "tau"):
            positive(self, name)
        ticks = self.duration / self.dt
        fits = ticks >= 1.5 and abs(ticks - round(ticks)) < 1e-9 * ticks
        require(self, "duration", fits, f"two or more whole ticks of dt = {self.dt} s")
        require(self, "kind", self.kind in ("linear", "log"), "'linear' or 'log'")
        require(self, "threshold", 0 <= self.threshold < 1, "in [0, 1)")
        reached = self.kind == "linear" or self.threshold > 0
        require(self, "threshold", reached, "> 0 for kind 'log'")

    @property
    def ticks(self) -> int:
        """Ticks of a presentation."""
        return round(self.duration / self.dt)

    def channels(self, n: int) -> int:
        """Return `n`."""
        return n

    def encode(self, x: ArrayLike, rng: Rng | int = 0) -> BoolArray:
        """Return spikes of shape ``(ticks, batch, unit)``; nothing is drawn.

        Parameters
        ----------
        x : array, shape ``(batch, unit)``
            In [0, 1].
        """
        values = shares_of(self, x, (2,))
        if self.kind == "linear":
            loud = values >= self.threshold
            late = (1.0 - values) / (1.0 - self.threshold)
            when = np.rint((self.ticks - 1) * late)
        else:
            loud = values > self.threshold
            above = np.where(loud, values, 1.0)
            when = np.floor(self.tau * np.log(above / (above - self.threshold)) / self.dt)
            loud &= when < self.ticks
        spikes = np.zeros((self.ticks, *values.shape), np.bool_)
        lane, unit = np.nonzero(loud)
        spikes[when[loud].astype(np.int64), lane, unit] = True
        return spikes

    def decode(self, spikes: ArrayLike) -> FloatArray:
        """Return the numbers whose first spikes these are; 0 for the silent.

        Linear: to within ``(1 - threshold) / (2 * (ticks - 1))``. Logarithmic: the number that
        spikes in the middle of the tick, 1 at most.
        """
        given = series_of(self, "spikes", spikes).astype(np.bool_)
        when = given.argmax(axis=0)
        if self.kind == "linear":
            x = 1.0 - when * ((1.0 - self.threshold) / (self.ticks - 1))
        else:
            x = np.minimum(self.threshold / -np.expm1(-(when + 0.5) * self.dt / self.tau), 1.0)
        return np.where(given.any(axis=0), x, 0.0)
