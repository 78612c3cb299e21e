"""What the drawn spiking tasks share: items by index, and events cut into bins."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from biomem.datasets.tasks.base import Batch, Task, classification_metrics, whole
from biomem.datasets.tasks.spoken import EventBatch
from biomem.engine.random import Rng, Stream, below, uniform32
from biomem.errors import ParameterError, require

__all__ = ["ItemDraws", "SpikeTask", "at_least"]


class ItemDraws:
    """Arrays of random numbers, a row for each item; a row depends on its item alone.

    Parameters
    ----------
    rng : Rng
    items : array of int, shape ``(batch,)``
        Each is the tick its row is drawn under.

    Notes
    -----
    `purpose` keeps the draws of an item apart: the same purpose returns the same words again.
    """

    def __init__(self, rng: Rng, items: np.ndarray) -> None:
        self.rng, self.items = rng, items

    def words(self, purpose: int, *shape: int) -> np.ndarray:
        """Return uint32 words of shape ``(batch, *shape)``."""
        count = math.prod(shape)
        entities = np.arange(-(-count // 4))
        w = self.rng.words(Stream.GENERIC, entities, tick=self.items[:, None], batch=purpose)
        return w.reshape(len(self.items), -1)[:, :count].reshape(-1, *shape)

    def uniform(self, purpose: int, *shape: int) -> np.ndarray:
        """Return float32 uniform in [0, 1), 24 bits each."""
        return uniform32(self.words(purpose, *shape))

    def integers(self, purpose: int, n: int, *shape: int) -> np.ndarray:
        """Return int64 uniform in [0, n)."""
        return below(self.words(purpose, *shape), n)

    def normal(self, purpose: int, *shape: int) -> np.ndarray:
        """Return float32 standard normal (Box-Muller, two words each)."""
        u = self.uniform(purpose, *shape, 2)
        radius = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - u[..., 0]))
        return radius * np.cos(np.float32(2.0 * math.pi) * u[..., 1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeTask(Task):
    """Classes of spike trains, due at the end; any item by its index.

    ``task(step, rng)`` shows the items ``step * batch_size ...``. Item `i` under a key is always
    the same, whatever the batch it stands in.

    Parameters
    ----------
    batch_size : int
    n_classes : int
    duration : float
        Of a presentation, s.
    width : float
        Bin, s; `duration` must hold a whole number of them.
    background : float
        Rate of further spikes in every channel that mean nothing, Hz.
    template_seed : int
        Of the classes; training and test must share it.
    """

    batch_size: int = 32
    n_classes: int = 4
    duration: float = 0.5
    width: float = 1e-3
    background: float = 0.0
    template_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_classes", 2)
        whole(self, "template_seed", 0)
        at_least(self, "duration", 0, strictly=True)
        at_least(self, "width", 0, strictly=True)
        bins = self.duration / self.width
        fits = bins >= 1 and abs(bins - round(bins)) < 1e-9 * bins
        require(self, "width", fits, f"a whole fraction of duration = {self.duration} s")
        at_least(self, "background", 0)

    @property
    def n_outputs(self) -> int:
        """Classes."""
        return self.n_classes

    @property
    def n_steps(self) -> int:
        """Bins of a presentation."""
        return round(self.duration / self.width)

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return counts ``x`` and classes ``y`` of shape ``(batch,)``."""
        return self.events(step, rng).to_batch(self.n_steps, self.n_inputs)

    def events(self, step: int, rng: Rng) -> EventBatch:
        """Return the batch of `step` as events."""
        return self.items(self._shown(step), rng)

    def items(self, indices: ArrayLike, rng: Rng) -> EventBatch:
        """Return the items of these indices, in [0, 2**48 - 1), as events.

        Parameters
        ----------
        indices : array of int, shape ``(batch,)``
        rng : Rng
        """
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ParameterError(
                f"{type(self).__name__}.items: indices must be a list of integers, "
                f"got dtype {chosen.dtype} and shape {chosen.shape}"
            )
        draws = ItemDraws(rng, chosen)
        y = self._classes(draws)
        return self._events(draws, y)

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return cross-entropy and accuracy of logits of shape ``(batch, n_outputs)``."""
        return classification_metrics(logits, batch.y)

    @abstractmethod
    def _events(self, draws: ItemDraws, y: np.ndarray) -> EventBatch:
        """Return the items of these classes; purposes 0 and 1 of `draws` are spoken for."""

    def _shown(self, step: int) -> np.ndarray:
        if step < 0:
            raise ParameterError(f"step must be >= 0, got {step!r}")
        return step * self.batch_size + np.arange(self.batch_size)

    def _classes(self, draws: ItemDraws) -> np.ndarray:
        return draws.integers(0, self.n_classes)

    def _binned(
        self, times: np.ndarray, channels: Any, draws: ItemDraws, y: np.ndarray
    ) -> EventBatch:
        """Cut times, s, of shape ``(batch, spikes)`` into bins and add the background.

        What lies outside the presentation, and what is NaN, is no spike.
        """
        kept = (times >= 0) & (times < self.duration)
        lane, _ = np.nonzero(kept)
        # The last bin also takes what rounding would put behind it.
        tick = np.minimum((times[kept] / self.width).astype(np.int64), self.n_steps - 1)
        channel = np.broadcast_to(channels, times.shape)[kept].astype(np.int64)
        if self.background:
            chance = -math.expm1(-self.background * self.width)
            noise = draws.uniform(1, self.n_steps, self.n_inputs) < chance
            more_lane, more_tick, more_channel = np.nonzero(noise)
            lane = np.concatenate([lane, more_lane])
            tick = np.concatenate([tick, more_tick])
            channel = np.concatenate([channel, more_channel])
        order = np.lexsort((channel, lane, tick))
        return EventBatch(tick[order], lane[order], channel[order], y)


def at_least(owner: object, name: str, least: float, *, strictly: bool = False) -> None:
    """Require that a field is a finite number of at least `least`, or above it."""
    value = getattr(owner, name)
    ok = isinstance(value, int | float | np.number) and math.isfinite(value)
    ok = ok and (value > least if strictly else value >= least)
    require(owner, name, bool(ok), f"finite and {'>' if strictly else '>='} {least}")
