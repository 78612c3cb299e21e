"""Volleys of spikes whose order alone tells the class."""

from __future__ import annotations

import dataclasses

import numpy as np

from biomem.datasets.tasks.base import Draws, whole
from biomem.datasets.tasks.spikes.base import ItemDraws, SpikeTask, at_least
from biomem.datasets.tasks.spoken import EventBatch
from biomem.engine.random import Rng
from biomem.errors import require

__all__ = ["SpikeOrder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeOrder(SpikeTask):
    """Tell classes by the order in which channels fire, and by nothing else.

    A presentation is a number of volleys at random moments. In a volley every channel fires once,
    evenly spaced over `span`, in the order of the class; what runs past the end comes in again at
    the start. A liquid that responds to coincidences tells the classes; nothing linear does:

    - Each channel fires ``n_volleys`` times in every class: spike counts say nothing at all.
    - A single bin, such as the last, has the same distribution in every class.
    - The mean of every bin of every channel is the same in every class, so least squares on the
      whole raster, or on any linear filter of it, has nothing to find. On few samples the largest
      of its outputs, which are noise then, is right somewhat more often than chance, since the
      outputs vary more within a class than across; never in more than half of the cases.
    - The volley of all channels together looks alike in every class.

    When not to use it: to measure a memory that outlasts a volley; see `DelayedMatch`.

    Parameters
    ----------
    n_channels : int
        At least 16, so that drawn orders differ; default 64.
    n_volleys : int
        Volleys of a presentation; default 10.
    span : float
        Length of a volley, s, at most the duration; default 40 ms.
    jitter : float
        Standard deviation of every spike's time, s; default 1 ms.
    deletion : float
        Chance that a spike fails, in [0, 1).

    Examples
    --------
    >>> task = SpikeOrder(batch_size=2, jitter=0.0)
    >>> x, y = task(0, Rng(0))
    >>> x.shape, sorted(set(x.sum(axis=0).ravel().tolist()))
    ((500, 2, 64), [10.0])
    """

    n_channels: int = 64
    n_volleys: int = 10
    span: float = 40e-3
    jitter: float = 1e-3
    deletion: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_channels", 16)
        whole(self, "n_volleys")
        at_least(self, "span", 0, strictly=True)
        require(self, "span", self.span <= self.duration, f"<= duration = {self.duration} s")
        at_least(self, "jitter", 0)
        require(self, "deletion", 0 <= self.deletion < 1, "in [0, 1)")

    @property
    def n_inputs(self) -> int:
        """Channels."""
        return self.n_channels

    @property
    def offsets(self) -> np.ndarray:
        """Time of each channel after the start of a volley, s, shape ``(class, channel)``."""
        rng, n = Rng(self.template_seed), self.n_channels
        places = [Draws(rng, k).permutation(0, n) for k in range(self.n_classes)]
        return np.stack(places) * (self.span / n)

    def _events(self, draws: ItemDraws, y: np.ndarray) -> EventBatch:
        shape = self.n_volleys, self.n_channels
        times = self.duration * draws.uniform(2, self.n_volleys).astype(np.float64)[..., None]
        times = times + self.offsets[y][:, None]
        if self.jitter:
            times = times + self.jitter * draws.normal(3, *shape)
        times = times % self.duration
        if self.deletion:
            times[draws.uniform(4, *shape) < self.deletion] = np.nan
        channels = np.tile(np.arange(self.n_channels), self.n_volleys)
        return self._binned(times.reshape(len(y), -1), channels, draws, y)
