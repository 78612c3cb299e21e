"""The rate of random spikes stands for a number."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from biomem.engine.random import Rng, Stream
from biomem.errors import InputError, require
from biomem.network.encoders.base import Encoder, positive, series_of, shares_of
from biomem.typing import BoolArray, FloatArray

__all__ = ["RateEncoder"]

_BLOCK = 1 << 20
"""Draws made at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateEncoder(Encoder):
    """Spike at random, the more often the larger the number.

    A number x in [0, 1] spikes in a tick with a chance of ``x * max_rate * dt`` (Bernoulli), or
    of ``1 - exp(-x * max_rate * dt)``, which is that of at least one spike of a Poisson process
    (a tick holds one at most).

    When not to use it: where time matters or is short. To tell x from x + d takes some
    ``x / (d**2 * max_rate)`` seconds; `LatencyEncoder` takes one spike.

    Parameters
    ----------
    max_rate : float
        Rate that stands for 1, Hz. Bernoulli: at most ``1 / dt``.
    dt : float
        Tick, s.
    kind : {"bernoulli", "poisson"}

    Examples
    --------
    >>> encoder = RateEncoder(max_rate=200.0)
    >>> spikes = encoder.encode([[0.0, 0.5, 1.0]], Rng(1), ticks=1000)
    >>> spikes.shape, int(spikes[:, 0, 0].sum())
    ((1000, 1, 3), 0)

    References
    ----------
    D. Heeger, "Poisson model of spike generation", Stanford University handout (2000).
    """

    max_rate: float = 100.0
    dt: float = 1e-3
    kind: Literal["bernoulli", "poisson"] = "bernoulli"

    def __post_init__(self) -> None:
        positive(self, "dt")
        positive(self, "max_rate")
        require(self, "kind", self.kind in ("bernoulli", "poisson"), "'bernoulli' or 'poisson'")
        fits = self.kind == "poisson" or self.max_rate * self.dt <= 1
        require(self, "max_rate", fits, f"at most 1 / dt = {1 / self.dt:g} Hz")

    def channels(self, n: int) -> int:
        """Return `n`."""
        return n

    def encode(
        self,
        x: ArrayLike,
        rng: Rng | int = 0,
        *,
        ticks: int | None = None,
        tick: int = 0,
        lane: int = 0,
    ) -> BoolArray:
        """Return spikes of shape ``(time, batch, unit)``.

        Parameters
        ----------
        x : array, shape ``(batch, unit)`` or ``(time, batch, unit)``
            In [0, 1].
        rng : Rng or int
            The seed.
        ticks : int, optional
            How long `x` of shape ``(batch, unit)`` lasts; needed just then.
        tick, lane : int
            Where this piece begins in a longer series or a larger batch.

        Raises
        ------
        InputError
            Values out of [0, 1], another shape, or `ticks` where it is not due.
        """
        values = shares_of(self, x, (2, 3))
        if (values.ndim == 2) != (ticks is not None) or (ticks is not None and ticks < 0):
            raise InputError(
                "RateEncoder.encode: x of shape (batch, unit) needs ticks >= 0, of shape "
                f"(time, batch, unit) takes none; got shape {values.shape} and ticks={ticks}"
            )
        rng = rng if isinstance(rng, Rng) else Rng(rng)
        n_ticks = len(values) if ticks is None else ticks
        batch, n = values.shape[-2:]
        chance = values * self.max_rate * self.dt
        if self.kind == "poisson":
            chance = -np.expm1(-chance)
        bound = np.broadcast_to((chance * 2.0**32).astype(np.uint64), (n_ticks, batch, n))
        spikes = np.empty((n_ticks, batch, n), np.bool_)
        lanes, quads = lane + np.arange(batch)[:, None], np.arange(-(-n // 4))
        step = max(1, _BLOCK // max(1, 4 * batch * len(quads)))
        for start in range(0, n_ticks, step):
            when = np.arange(start, min(start + step, n_ticks))
            drawn = rng.words(
                Stream.NET_ENCODE, quads, tick=tick + when[:, None, None], batch=lanes
            )
            words = drawn.reshape(len(when), batch, -1)[..., :n]
            spikes[when[0] : when[-1] + 1] = words < bound[when[0] : when[-1] + 1]
        return spikes

    def decode(self, spikes: ArrayLike) -> FloatArray:
        """Return the estimate of ``x``, shape ``(batch, unit)``, from its share of ticks."""
        share = series_of(self, "spikes", spikes).mean(axis=0)
        if self.kind == "poisson":
            with np.errstate(divide="ignore"):
                share = -np.log1p(-share)
        return share / (self.max_rate * self.dt)
