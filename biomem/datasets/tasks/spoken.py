"""Spoken digits as events: the Spiking Heidelberg Digits, sums of two, and a drawn likeness."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biomem.datasets.tasks.base import Batch, Draws, Task, classification_metrics, whole
from biomem.datasets.tasks.images import Split, finite_samples
from biomem.engine.events import Events
from biomem.engine.random import Rng
from biomem.errors import DataError, require

__all__ = ["SHD", "EventBatch", "SHDAdding", "SpokenLikeAdding", "read_shd"]

N_CHANNELS = 700


class EventBatch(NamedTuple):
    """A batch as events; several may fall on one place, where they add up.

    Attributes
    ----------
    tick, lane, channel : int64 arrays, shape ``(events,)``
        In the order of ticks, then lanes, then channels.
    y : int64 array, shape ``(batch,)``
    """

    tick: np.ndarray
    lane: np.ndarray
    channel: np.ndarray
    y: np.ndarray

    def to_batch(self, n_steps: int, n_channels: int) -> Batch:
        """Return counts ``x`` of shape ``(n_steps, batch, n_channels)``."""
        shape = n_steps, len(self.y), n_channels
        flat = np.ravel_multi_index((self.tick, self.lane, self.channel), shape)
        x = np.bincount(flat, minlength=math.prod(shape)).reshape(shape)
        return Batch(x.astype(np.float32), self.y)

    def to_events(self, n_steps: int, n_channels: int) -> Events:
        """Return the counts as sparse input of a simulator, ``Simulator.run(events)``."""
        where = self.tick, self.lane, self.channel
        return Events.from_coordinates(*where, shape=(n_steps, len(self.y)), n_channels=n_channels)


def _sorted(tick: Any, lane: Any, channel: Any, y: np.ndarray) -> EventBatch:
    order = np.lexsort((channel, lane, tick))
    return EventBatch(tick[order], lane[order], channel[order], y)


class Recordings(NamedTuple):
    """All recordings of an SHD file.

    Attributes
    ----------
    times : float16 array, shape ``(events,)``
        Seconds within the recording.
    units : uint16 array, shape ``(events,)``
        Cochlear channel in [0, 700).
    offsets : int64 array, shape ``(recordings + 1,)``
        Recording ``i`` holds the events ``offsets[i]:offsets[i + 1]``.
    labels : int64 array, shape ``(recordings,)``
        0 ... 9 English, 10 ... 19 German digits.
    """

    times: np.ndarray
    units: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray


def read_shd(path: str | Path) -> Recordings:
    """Read a file of the Spiking Heidelberg Digits, about 0.3 GB in memory for the training set.

    Layout (HDF5): ``spikes/times`` and ``spikes/units`` of variable length, ``labels``.

    Raises
    ------
    DataError
        No such file, another layout, or values out of range.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            times, units = file["spikes/times"][:], file["spikes/units"][:]
            labels = np.asarray(file["labels"][:], np.int64)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no file of the SHD layout: {error}") from error
    sizes = [len(t) for t in times]
    if sizes != [len(u) for u in units] or len(sizes) != len(labels) or not sizes:
        raise DataError(f"{path}: times, units and labels must be equally many and not none")
    found = Recordings(
        np.concatenate(times).astype(np.float16),
        np.concatenate(units).astype(np.uint16),
        np.concatenate([[0], np.cumsum(sizes)]),
        labels,
    )
    if found.units.max(initial=0) >= N_CHANNELS or not 0 <= labels.min() <= labels.max() < 20:
        raise DataError(f"{path}: units must be in [0, {N_CHANNELS}) and labels in [0, 20)")
    if not (found.times >= 0).all():
        raise DataError(f"{path}: times must be >= 0 s, got {found.times.min()}")
    return found


_read = functools.lru_cache(maxsize=2)(read_shd)


@functools.lru_cache(maxsize=4)
def _rows(n: int, split: Split) -> np.ndarray:
    """Return the recordings of a split: each training one validates with a chance of 0.2."""
    if split == "test":
        return np.arange(n)
    # The generator and the draw of the published split, so that figures compare.
    validates = np.random.default_rng(0).binomial(1, 0.2, n).astype(bool)
    return np.flatnonzero(validates == (split == "validation"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SHD(Task):
    """The Spiking Heidelberg Digits: 700 channels, one second, 20 classes, due at the end.

    Parameters
    ----------
    folder : path
        With ``shd_train.h5`` and ``shd_test.h5``.
    split : {"train", "validation", "test"}
        A fifth of the training recordings validates, always the same ones.
    width : float
        Bin, s; a second must hold a whole number of them. Events from 1 s on are left out.
    batch_size : int
        Default 8.

    References
    ----------
    B. Cramer, Y. Stradmann, J. Schemmel, F. Zenke, "The Heidelberg spiking data sets for the
    systematic evaluation of spiking neural networks", IEEE TNNLS 33 (2022) 2744.
    """

    folder: str | Path
    batch_size: int = 8
    split: Split = "train"
    width: float = 10e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("train", "validation", "test")
        require(self, "split", self.split in names, f"one of {names}")
        bins = 1.0 / self.width if self.width > 0 else 0.0
        good = bins >= 1 and abs(bins - round(bins)) < 1e-9 * bins
        require(self, "width", good, "a whole fraction of a second")

    @property
    def n_inputs(self) -> int:
        """Channels."""
        return N_CHANNELS

    @property
    def n_outputs(self) -> int:
        """Ten digits in two languages."""
        return 20

    @property
    def n_steps(self) -> int:
        """Bins of a sequence."""
        return round(1.0 / self.width)

    def __len__(self) -> int:
        n = len(self._chosen())
        return max(1, n // self.batch_size) if self.split == "train" else -(-n // self.batch_size)

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return counts ``x`` and classes ``y`` of shape ``(batch,)``."""
        return self.events(step, rng).to_batch(self.n_steps, self.n_inputs)

    def events(self, step: int, rng: Rng) -> EventBatch:
        """Return the batch of `step` as events."""
        chosen = self._chosen()
        train = self.split == "train"
        rows = chosen[finite_samples(len(chosen), len(self), self.batch_size, train, step, rng)]
        tick, lane, channel = self._binned(rows)
        return _sorted(tick, lane, channel, self._data().labels[rows])

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return cross-entropy and accuracy of logits of shape ``(batch, n_outputs)``."""
        return classification_metrics(logits, batch.y)

    def _binned(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        data = self._data()
        edges = np.linspace(0.0, 1.0, round(1.0 / self.width) + 1)
        parts = []
        for lane, row in enumerate(rows):
            part = slice(data.offsets[row], data.offsets[row + 1])
            tick = np.digitize(data.times[part].astype(np.float64), edges) - 1
            kept = tick < len(edges) - 1
            channel = data.units[part][kept].astype(np.int64)
            parts.append((tick[kept], np.full(len(channel), lane), channel))
        tick, lane, channel = (np.concatenate(column) for column in zip(*parts, strict=True))
        return tick, lane, channel

    def _chosen(self) -> np.ndarray:
        return _rows(len(self._data().labels), self.split)

    def _data(self) -> Recordings:
        name = "shd_test.h5" if self.split == "test" else "shd_train.h5"
        return _read(Path(self.folder) / name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SHDAdding(SHD):
    """Two spoken digits one after the other; the sum of both, 0 ... 18, is due at the end.

    Pairs are drawn with replacement, whatever the languages; two seconds in bins of `width`. The
    length is that of `SHD`, though no epoch shows every recording.

    References
    ----------
    A. Spieler et al., "The Expressive Leaky Memory Neuron", ICLR 2024, section 4.1.
    """

    @property
    def n_outputs(self) -> int:
        """The sums."""
        return 19

    @property
    def n_steps(self) -> int:
        """Bins of a sequence."""
        return 2 * round(1.0 / self.width)

    def events(self, step: int, rng: Rng) -> EventBatch:
        """Return the batch of `step` as events."""
        chosen, size = self._chosen(), self.batch_size
        pairs = chosen[Draws(rng, step).integers(2, len(chosen), 2, size)]
        tick, lane, channel = self._binned(pairs.reshape(-1))
        second, lane = np.divmod(lane, size)
        y = (self._data().labels[pairs] % 10).sum(axis=0)
        return _sorted(tick + second * (self.n_steps // 2), lane, channel, y)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpokenLikeAdding(Task):
    """Two drawn digits one after the other as events; the sum of both is due at the end.

    A likeness of `SHDAdding` that needs no data: each digit is a template of a few bands that
    glide over the channels, as formants do. A recording draws its events along the bands, with
    jitter of every event in time and channel, a pace and a pitch of its own, and background.

    When not to use it: in place of SHD. Figures on it compare models, not with the literature.

    Parameters
    ----------
    n_digits : int
        Templates; sums are 0 ... 2 (n_digits - 1).
    n_channels : int
    width, duration : float
        Bin and length of one digit, s.
    n_bands, n_events : int
        Bands of a template and events of a recording along them.
    jitter_time : float
        Standard deviation, s.
    jitter_channel : float
        Standard deviation, as a share of all channels.
    warp, shift : float
        Pace within 1 +- `warp`; pitch within +- `shift` of all channels.
    background : float
        Further events without a band, as a share of `n_events`.
    template_seed : int
        Of the digits; training and test must share it.

    Examples
    --------
    >>> task = SpokenLikeAdding(batch_size=4)
    >>> batch = task(0, Rng(0))
    >>> batch.x.shape, batch.y.shape
    ((100, 4, 700), (4,))
    """

    batch_size: int = 32
    n_digits: int = 10
    n_channels: int = N_CHANNELS
    width: float = 10e-3
    duration: float = 0.5
    n_bands: int = 3
    n_events: int = 180
    jitter_time: float = 10e-3
    jitter_channel: float = 0.01
    warp: float = 0.1
    shift: float = 0.02
    background: float = 0.1
    template_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_digits", 2)
        for name in ("n_channels", "n_bands", "n_events"):
            whole(self, name)
        require(self, "width", 0 < self.width <= self.duration, "> 0 s and <= duration")
        for name in ("jitter_time", "jitter_channel", "warp", "shift", "background"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "finite and >= 0")
        require(self, "warp", self.warp < 1, "below 1")

    @property
    def n_inputs(self) -> int:
        """Channels."""
        return self.n_channels

    @property
    def n_outputs(self) -> int:
        """The sums."""
        return 2 * self.n_digits - 1

    @property
    def n_steps(self) -> int:
        """Bins of two digits."""
        return 2 * round(self.duration / self.width)

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return counts ``x`` and sums ``y`` of shape ``(batch,)``."""
        return self.events(step, rng).to_batch(self.n_steps, self.n_inputs)

    def digits(self, step: int, rng: Rng) -> np.ndarray:
        """Return the digits of the batch of `step`, shape ``(2, batch)``."""
        return Draws(rng, step).integers(0, self.n_digits, 2, self.batch_size)

    def events(self, step: int, rng: Rng) -> EventBatch:
        """Return the batch of `step` as events."""
        draws, digits = Draws(rng, step), self.digits(step, rng)
        lead, n = digits.shape, self.n_events
        noise = round(self.background * n)
        band = draws.integers(1, self.n_bands, *lead, n)
        along = draws.uniform(2, *lead, n)
        start, end, low, high, bend = self._templates()[:, digits[..., None], band]
        pace = 1.0 + self.warp * (2.0 * draws.uniform(3, *lead, 1) - 1.0)
        pitch = self.shift * (2.0 * draws.uniform(4, *lead, 1) - 1.0)
        jitter = draws.normal(5, 2, *lead, n)
        time = (start + (end - start) * along) * pace + self.jitter_time / self.duration * jitter[0]
        place = low + (high - low) * along + bend * np.sin(np.pi * along)
        place = place + pitch + self.jitter_channel * jitter[1]
        back = draws.uniform(6, 2, *lead, noise)
        time, place = np.concatenate([time, back[0]], -1), np.concatenate([place, back[1]], -1)
        return self._discrete(time, place, digits.sum(axis=0))

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return cross-entropy and accuracy of logits of shape ``(batch, n_outputs)``."""
        return classification_metrics(logits, batch.y)

    def _templates(self) -> np.ndarray:
        """Return start, end, low, high and bend of every digit's bands, in units of 1."""
        u = Draws(Rng(self.template_seed), 0).uniform(0, 5, self.n_digits, self.n_bands)
        start = 0.05 + 0.45 * u[0]
        end = start + 0.2 + 0.25 * u[1]
        return np.stack([start, end, 0.1 + 0.8 * u[2], 0.1 + 0.8 * u[3], 0.4 * (u[4] - 0.5)])

    def _discrete(self, time: np.ndarray, place: np.ndarray, y: np.ndarray) -> EventBatch:
        """Bin events of shape ``(2, batch, events)``; those outside a digit's time are lost."""
        bins = self.n_steps // 2
        tick = np.floor(time * bins).astype(np.int64)
        channel = np.floor(place * self.n_channels).astype(np.int64)
        kept = (tick >= 0) & (tick < bins) & (channel >= 0) & (channel < self.n_channels)
        second, lane, _ = np.nonzero(kept)
        return _sorted(tick[kept] + second * bins, lane, channel[kept], y)
