"""Frozen Poisson spike trains, shown again with every spike moved a little."""

from __future__ import annotations

import dataclasses

import numpy as np

from biomem.datasets.tasks.base import Draws, whole
from biomem.datasets.tasks.spikes.base import ItemDraws, SpikeTask, at_least
from biomem.datasets.tasks.spoken import EventBatch
from biomem.engine.random import Rng
from biomem.errors import require

__all__ = ["JitteredTemplates"]

_FINE = 1e-3
"""Grid on which templates are drawn, s: they do not depend on the bin they are shown in."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JitteredTemplates(SpikeTask):
    """Tell which of a few Poisson spike patterns is shown, with jitter: the classic of liquids.

    When not to use it: to show that a liquid is needed. A linear read-out of coarse bins tells
    templates apart too; `SpikeOrder` leaves it at chance.

    Parameters
    ----------
    n_channels : int
    rate : float
        Of a template, Hz, at most 1000; default 20.
    jitter : float
        Standard deviation of every spike's time, s; the usual range is 2 ... 16 ms. Spikes moved
        out of the presentation are lost.

    Examples
    --------
    >>> task = JitteredTemplates(batch_size=2)
    >>> task(0, Rng(0)).x.shape
    (500, 2, 64)

    References
    ----------
    W. Maass, T. Natschlaeger, H. Markram, "Real-time computing without stable states", Neural
    Computation 14 (2002) 2531, section 4.
    """

    n_channels: int = 64
    rate: float = 20.0
    jitter: float = 4e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_channels")
        at_least(self, "rate", 0, strictly=True)
        require(self, "rate", self.rate <= 1 / _FINE, f"<= {1 / _FINE:g} Hz")
        at_least(self, "jitter", 0)

    @property
    def n_inputs(self) -> int:
        """Channels."""
        return self.n_channels

    def template(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the times, s, and channels of a class, in order of time."""
        bins = max(1, round(self.duration / _FINE))
        draws = Draws(Rng(self.template_seed), label)
        fires = draws.uniform(0, bins, self.n_channels) < self.rate * _FINE
        tick, channel = np.nonzero(fires)
        within = draws.uniform(1, bins, self.n_channels)[fires].astype(np.float64)
        times = (tick + within) * (self.duration / bins)
        order = np.argsort(times, kind="stable")
        return times[order], channel[order]

    def _events(self, draws: ItemDraws, y: np.ndarray) -> EventBatch:
        drawn = [self.template(k) for k in range(self.n_classes)]
        most = max(len(times) for times, _ in drawn)
        times = np.full((self.n_classes, most), np.nan)
        channels = np.zeros((self.n_classes, most), np.int64)
        for k, (when, where) in enumerate(drawn):
            times[k, : len(when)] = when
            channels[k, : len(where)] = where
        moved = times[y]
        if self.jitter:
            moved = moved + self.jitter * draws.normal(2, most)
        return self._binned(moved, channels[y], draws, y)
