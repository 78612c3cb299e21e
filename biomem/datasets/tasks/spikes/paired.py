"""One code, two senses: pairs of spike patterns for contrastive and zero-shot learning."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from biomem.datasets.tasks.base import Draws, whole
from biomem.datasets.tasks.spikes.base import ItemDraws, SpikeTask, at_least
from biomem.datasets.tasks.spoken import EventBatch
from biomem.engine.random import Rng
from biomem.errors import require

__all__ = ["PairedBatch", "PairedTemplates"]

_BLOCKS = 5
"""Stretches of a presentation within which rates are constant."""


class PairedBatch(NamedTuple):
    """Two presentations of each class, one for each sense.

    Attributes
    ----------
    x, partner : float32 arrays, shapes ``(time, batch, n_channels[0])``, ``(..., n_channels[1])``
    y : int64 array, shape ``(batch,)``
    """

    x: np.ndarray
    partner: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedTemplates(SpikeTask):
    """Pair what two senses report of one class, seen in training or not.

    A class is a code of `n_latent` numbers. A sense turns it into the rates of its channels in
    five stretches of time, ``rate * exp(gain * M code)`` with a fixed random M of its own, so
    what is learned of some classes holds for others. Spikes are Poisson; an item's code is that
    of its class with `noise`, drawn for each sense apart, so only the class pairs them.

    When not to use it: in place of N-MNIST with N-TIDIGITS. `oracle` tells what can be reached.

    Parameters
    ----------
    n_classes : int
        Default 10.
    classes : tuple of int, optional
        Those shown, such as ``range(7)`` in training and the rest in testing; default all.
    n_channels : tuple of int
        Of both senses; default ``(64, 64)``.
    n_latent : int
    rate : float
        Rate of a channel that the code leaves alone, Hz.
    gain : float
        Spread of the logarithm of rates over classes.
    noise : float
        Standard deviation of an item's code around that of its class, whose spread is 1.

    Examples
    --------
    >>> seen = PairedTemplates(batch_size=4, classes=(0, 1, 2, 3, 4, 5, 6), width=5e-3)
    >>> batch = seen(0, Rng(0))
    >>> batch.x.shape, batch.partner.shape, int(batch.y.max()) < 7
    ((100, 4, 64), (100, 4, 64), True)
    """

    n_classes: int = 10
    classes: tuple[int, ...] | None = None
    n_channels: tuple[int, int] = (64, 64)
    n_latent: int = 4
    rate: float = 10.0
    gain: float = 0.5
    noise: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_latent")
        pair = isinstance(self.n_channels, tuple) and len(self.n_channels) == 2
        good = pair and all(isinstance(n, int) and n >= 1 for n in self.n_channels)
        require(self, "n_channels", good, "two integers >= 1")
        good = all(k in range(self.n_classes) for k in self._drawn) and len(self._drawn) > 0
        require(self, "classes", good, f"one or more of range({self.n_classes})")
        for name in ("gain", "noise"):
            at_least(self, name, 0)
        at_least(self, "rate", 0, strictly=True)

    @property
    def _drawn(self) -> tuple[int, ...]:
        return tuple(range(self.n_classes)) if self.classes is None else tuple(self.classes)

    @property
    def n_inputs(self) -> int:
        """Channels of the first sense."""
        return self.n_channels[0]

    @property
    def codes(self) -> np.ndarray:
        """Code of every class, shape ``(class, latent)``."""
        draws = Draws(Rng(self.template_seed), 0)
        return draws.normal(0, self.n_classes, self.n_latent).astype(np.float64)

    def rates(self, sense: int, codes: np.ndarray) -> np.ndarray:
        """Return rates, Hz, of shape ``(..., stretch, channel)`` for codes ``(..., latent)``."""
        shape = self.n_latent, _BLOCKS, self.n_channels[sense]
        mixing = Draws(Rng(self.template_seed), 1 + sense).normal(0, *shape).astype(np.float64)
        drive = np.tensordot(codes, mixing / np.sqrt(self.n_latent), axes=1)
        return self.rate * np.exp(self.gain * drive)

    def __call__(self, step: int, rng: Rng) -> PairedBatch:  # type: ignore[override]
        """Return the presentations of both senses and their classes."""
        draws = ItemDraws(rng, self._shown(step))
        y = self._classes(draws)
        first, second = (self._sense(sense, draws, y).astype(np.float32) for sense in (0, 1))
        return PairedBatch(first, second, y)

    def oracle(self, x: np.ndarray, sense: int = 0) -> np.ndarray:
        """Return the class whose template is nearest: the most likely one without `noise`.

        Parameters
        ----------
        x : array, shape ``(time, batch, n_channels[sense])``
        sense : {0, 1}

        Returns
        -------
        int64 array, shape ``(batch,)``
            Out of `classes`.
        """
        shown = np.array(self._drawn)
        hazard = self._hazard(self.rates(sense, self.codes[shown]))
        fires = np.log(-np.expm1(-hazard))
        likelihood = np.tensordot(x, fires + hazard, axes=((0, 2), (1, 2)))
        return shown[(likelihood - hazard.sum(axis=(1, 2))).argmax(axis=1)]

    def _classes(self, draws: ItemDraws) -> np.ndarray:
        return np.array(self._drawn)[draws.integers(0, len(self._drawn))]

    def _events(self, draws: ItemDraws, y: np.ndarray) -> EventBatch:
        tick, lane, channel = np.nonzero(self._sense(0, draws, y))
        return EventBatch(tick, lane, channel, y)

    def _hazard(self, rates: np.ndarray) -> np.ndarray:
        """Return the expected spikes of every bin, shape ``(..., time, channel)``."""
        stretch = np.arange(self.n_steps) * _BLOCKS // self.n_steps
        return (rates[..., stretch, :] + self.background) * self.width

    def _sense(self, sense: int, draws: ItemDraws, y: np.ndarray) -> np.ndarray:
        """Return the spikes of one sense, boolean, shape ``(time, batch, channel)``."""
        own = self.noise * draws.normal(2 + 2 * sense, self.n_latent).astype(np.float64)
        hazard = self._hazard(self.rates(sense, self.codes[y] + own))
        fires = draws.uniform(3 + 2 * sense, *hazard.shape[1:]) < -np.expm1(-hazard)
        return fires.transpose(1, 0, 2)
