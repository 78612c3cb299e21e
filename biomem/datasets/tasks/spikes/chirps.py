"""Chirps as a cochlea would hear them."""

from __future__ import annotations

import dataclasses

import numpy as np

from biomem.datasets.tasks.base import Draws, whole
from biomem.datasets.tasks.spikes.base import ItemDraws, SpikeTask, at_least
from biomem.datasets.tasks.spoken import EventBatch
from biomem.engine.random import Rng
from biomem.errors import require

__all__ = ["Chirps"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chirps(SpikeTask):
    """Tell chirps by the path of their pitch over the channels of a cochlea: a likeness of digits.

    A class has the start, the end and the bend of a path over logarithmic pitch; even classes
    rise, odd ones fall. Spikes are drawn along the path and its octave-like copy above, scattered
    over neighbouring channels as a cochlear filter scatters them.

    When not to use it: in place of N-TIDIGITS or SHD. Figures on it compare models, not with the
    literature.

    Parameters
    ----------
    n_classes : int
        Default 10.
    n_channels : int
        Default 64.
    n_spikes : int
        Of a chirp; default 200.
    sharpness : float
        Standard deviation of the scatter, channels.
    shift : float
        Pitch of an item within +- `shift` channels.
    warp : float
        Pace of an item within 1 +- `warp`.

    Examples
    --------
    >>> task = Chirps(batch_size=2, width=5e-3)
    >>> task(0, Rng(0)).x.shape
    (100, 2, 64)
    """

    n_classes: int = 10
    n_channels: int = 64
    n_spikes: int = 200
    sharpness: float = 1.5
    shift: float = 2.0
    warp: float = 0.1
    background: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_channels", 2)
        whole(self, "n_spikes")
        for name in ("sharpness", "shift"):
            at_least(self, name, 0)
        require(self, "warp", 0 <= self.warp < 1, "in [0, 1)")

    @property
    def n_inputs(self) -> int:
        """Channels."""
        return self.n_channels

    @property
    def paths(self) -> np.ndarray:
        """Start, end and bend of each class, as shares of the channels; shape ``(class, 3)``."""
        u = Draws(Rng(self.template_seed), 0).uniform(0, self.n_classes, 3)
        low, high = 0.05 + 0.25 * u[:, 0], 0.45 + 0.25 * u[:, 1]
        rises = np.arange(self.n_classes) % 2 == 0
        start, end = np.where(rises, low, high), np.where(rises, high, low)
        return np.stack([start, end, 0.4 * (u[:, 2] - 0.5)], axis=1)

    def _events(self, draws: ItemDraws, y: np.ndarray) -> EventBatch:
        n = self.n_spikes
        start, end, bend = self.paths[y].T[..., None].astype(np.float64)
        along = draws.uniform(2, n).astype(np.float64)
        own = 2 * draws.uniform(3, 2).astype(np.float64) - 1
        times = self.duration * (0.05 + 0.8 * along) * (1 + self.warp * own[:, :1])
        pitch = start + (end - start) * along + bend * np.sin(np.pi * along)
        upper = 0.25 * (draws.uniform(4, n) < 1 / 3)
        place = self.n_channels * (pitch + upper) + self.shift * own[:, 1:]
        place = np.floor(place + self.sharpness * draws.normal(5, n))
        times[(place < 0) | (place >= self.n_channels)] = np.nan
        return self._binned(times, np.clip(place, 0, self.n_channels - 1), draws, y)
