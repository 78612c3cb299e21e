"""Bars that move over a small event camera."""

from __future__ import annotations

import dataclasses

import numpy as np

from biomem.datasets.tasks.base import whole
from biomem.datasets.tasks.spikes.base import ItemDraws, SpikeTask, at_least
from biomem.datasets.tasks.spoken import EventBatch
from biomem.errors import require

__all__ = ["MovingBars"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingBars(SpikeTask):
    """Tell the direction in which a bar moves over ``side * side`` pixels: a likeness of N-MNIST.

    The bar is as long as the picture's diagonal. Every pixel fires once as its front edge passes
    (brighter) and, with two polarities, once as its back edge does (darker), so only times tell
    the direction. Each item has a speed and a delay of its own.

    When not to use it: in place of N-MNIST. Figures on it compare models, not with the
    literature.

    Parameters
    ----------
    n_classes : int
        Directions, evenly spaced over the circle; default 10.
    side : int
        Pixels of a side; default 16.
    polarities : {1, 2}
        Channels are ``(polarity, y, x)`` in C order, brighter first; default 1, brighter only.
    thickness : float
        Of the bar, pixels.
    spread : float
        Speed within 1 +- `spread` of the one that crosses the picture in 0.7 of the duration.
    jitter : float
        Standard deviation of every event's time, s.
    deletion : float
        Chance that an event is missed, in [0, 1).

    Examples
    --------
    >>> from biomem.engine.random import Rng
    >>> task = MovingBars(batch_size=2, width=10e-3, duration=0.3)
    >>> task(0, Rng(0)).x.shape
    (30, 2, 256)
    """

    n_classes: int = 10
    duration: float = 0.3
    side: int = 16
    polarities: int = 1
    thickness: float = 2.0
    spread: float = 0.2
    jitter: float = 2e-3
    deletion: float = 0.1
    background: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "side", 2)
        require(self, "polarities", self.polarities in (1, 2), "1 or 2")
        for name in ("thickness", "jitter"):
            at_least(self, name, 0)
        require(self, "spread", 0 <= self.spread < 1, "in [0, 1)")
        require(self, "deletion", 0 <= self.deletion < 1, "in [0, 1)")

    @property
    def n_inputs(self) -> int:
        """Pixels times polarities."""
        return self.polarities * self.side**2

    def _events(self, draws: ItemDraws, y: np.ndarray) -> EventBatch:
        batch, n = len(y), self.n_inputs
        angle = 2 * np.pi * y / self.n_classes
        place = np.arange(self.side) - (self.side - 1) / 2
        along = np.cos(angle)[:, None, None] * place + np.sin(angle)[:, None, None] * place[:, None]
        diagonal = np.sqrt(2.0) * self.side
        u = draws.uniform(2, 2).astype(np.float64)
        speed = diagonal / (0.7 * self.duration) * (1 + self.spread * (2 * u[:, 0] - 1))
        behind = self.thickness * np.arange(self.polarities)
        path = along[:, None] + diagonal / 2 + behind[:, None, None]
        times = (path / speed[:, None, None, None]).reshape(batch, n)
        times = times + 0.1 * self.duration * u[:, 1:]
        if self.jitter:
            times = times + self.jitter * draws.normal(3, n)
        if self.deletion:
            times[draws.uniform(4, n) < self.deletion] = np.nan
        return self._binned(times, np.arange(n), draws, y)
