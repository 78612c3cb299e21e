"""Pictures read as sequences: MNIST pixel by pixel, CIFAR-10 row by row with noise behind."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from biomem.datasets.tasks.base import Batch, Draws, Task, classification_metrics
from biomem.engine.random import Rng
from biomem.errors import DataError, require

__all__ = ["NoisyCIFAR10", "SequentialMNIST", "Split"]

Split = Literal["train", "validation", "test"]

_SPLIT_KEY = 0x6D6E6973
"""Key under which the validation samples are chosen: the same ones whatever the training seed."""


class _Images(NamedTuple):
    pictures: np.ndarray  # (sample, ...), uint8
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Finite(Task):
    """Samples of a finite set: shuffled anew each epoch in training, in order elsewhere.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Training leaves out the last, incomplete batch of an epoch; the others keep it.
    """

    split: Split = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("train", "validation", "test")
        require(self, "split", self.split in names, f"one of {names}")

    @property
    def n_samples(self) -> int:
        """Samples of the split."""
        raise AttributeError(type(self).__name__)

    def __len__(self) -> int:
        n, size = self.n_samples, self.batch_size
        return max(1, n // size) if self.split == "train" else -(-n // size)

    def samples(self, step: int, rng: Rng) -> np.ndarray:
        """Return the indices within the split that step `step` shows."""
        train = self.split == "train"
        return finite_samples(self.n_samples, len(self), self.batch_size, train, step, rng)

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return cross-entropy and accuracy of logits of shape ``(batch, n_outputs)``."""
        return classification_metrics(logits, batch.y)


def finite_samples(
    n: int, per_epoch: int, batch_size: int, shuffled: bool, step: int, rng: Rng
) -> np.ndarray:
    """Return the indices in ``range(n)`` that a step shows, with every epoch in a new order."""
    epoch, place = divmod(step, per_epoch)
    part = slice(place * batch_size, (place + 1) * batch_size)
    return (_shuffled(rng, epoch, n) if shuffled else np.arange(n))[part]


@functools.lru_cache(maxsize=4)
def _shuffled(rng: Rng, epoch: int, n: int) -> np.ndarray:
    order = Draws(rng, epoch).permutation(0, n)
    order.flags.writeable = False
    return order


@functools.lru_cache(maxsize=4)
def _held_out(n: int, n_held: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices that train and those that validate, each ascending."""
    order = Draws(Rng(_SPLIT_KEY), 0).permutation(0, n)
    return np.sort(order[n_held:]), np.sort(order[:n_held])


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequentialMNIST(_Finite):
    """MNIST, one pixel a tick, 784 ticks of one feature in [0, 1]; the digit is due at the end.

    The 60,000 training pictures are split into 57,000 and 3,000 for validation, always the same
    ones; the 10,000 test pictures stay apart.

    Parameters
    ----------
    permuted : bool
        Show the pixels in a fixed random order (psMNIST), drawn from `permutation_seed`.
    permutation_seed : int
    path : path, optional
        ``mnist.npz`` with ``x_train, y_train, x_test, y_test``; default that file in the folder
        named by the environment variable BIOMEM_DATA.

    Raises
    ------
    DataError
        At the first batch: no such file, or arrays of other shapes.
    """

    permuted: bool = False
    permutation_seed: int = 0
    path: str | Path | None = None

    @property
    def n_inputs(self) -> int:
        """One pixel."""
        return 1

    @property
    def n_outputs(self) -> int:
        """Ten digits."""
        return 10

    @property
    def n_steps(self) -> int:
        """Pixels of a picture."""
        return 784

    @property
    def n_samples(self) -> int:
        """Pictures of the split."""
        return len(self._data().labels)

    @property
    def order(self) -> np.ndarray:
        """Pixel shown at each tick."""
        if not self.permuted:
            return np.arange(784)
        return Draws(Rng(self.permutation_seed), 0).permutation(1, 784)

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return pixels ``x`` and digits ``y`` of shape ``(batch,)``."""
        data, chosen = self._data(), self.samples(step, rng)
        pixels = data.pictures[chosen][:, self.order]
        x = pixels.T[:, :, None].astype(np.float32) / np.float32(255.0)
        return Batch(x, data.labels[chosen].astype(np.int64))

    def _data(self) -> _Images:
        return _mnist(_found(self.path, "mnist.npz"), self.split)


@functools.lru_cache(maxsize=4)
def _mnist(path: Path, split: Split) -> _Images:
    part = "test" if split == "test" else "train"
    try:
        with np.load(path, allow_pickle=False) as file:
            pictures, labels = file[f"x_{part}"], file[f"y_{part}"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is no MNIST archive: {error}") from error
    if pictures.shape[1:] != (28, 28) or labels.shape != pictures.shape[:1]:
        raise DataError(
            f"{path}: x_{part} must have shape (n, 28, 28) and y_{part} (n,), "
            f"got {pictures.shape} and {labels.shape}"
        )
    pictures = pictures.reshape(-1, 784)
    if split != "test":
        rows = _held_out(len(labels), len(labels) // 20)[split == "validation"]
        pictures, labels = pictures[rows], labels[rows]
    return _Images(pictures, labels)


def _found(path: str | Path | None, name: str) -> Path:
    if path is not None:
        return Path(path)
    root = os.environ.get("BIOMEM_DATA")
    if not root:
        raise DataError(f"no {name}: pass path=, or set BIOMEM_DATA to the folder that holds it")
    return Path(root) / name


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisyCIFAR10(_Finite):
    """CIFAR-10, a row of 96 values a tick, followed by noise; the class is due at the end.

    A row holds its 32 red, 32 green and 32 blue values in [0, 1]; the noise is standard normal.
    47,000 pictures train, 3,000 validate, 10,000 test.

    Parameters
    ----------
    folder : path
        Of the *binary* version of CIFAR-10: ``data_batch_1.bin`` ... ``data_batch_5.bin`` and
        ``test_batch.bin``. The Python version, pickles, is read too where the binary files are
        absent, by a reader that runs no code from them.
    n_steps : int
        Ticks of a sequence, >= 32; default 1000, so 968 of noise.
    noise : {"fresh", "block"}
        Noise drawn for every sample of every step, or one block for all samples and splits, as in
        the code of the wave-RNN paper. Evaluation splits repeat their fresh noise.
    noise_seed : int
        Of the block.

    Raises
    ------
    DataError
        At the first batch: a missing file, or one of the wrong size.
    """

    folder: str | Path
    n_steps: int = 1000
    noise: Literal["fresh", "block"] = "fresh"
    noise_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_steps = isinstance(self.n_steps, int) and self.n_steps >= 32
        require(self, "n_steps", whole_steps, "an integer >= 32, the rows of a picture")
        require(self, "noise", self.noise in ("fresh", "block"), "'fresh' or 'block'")

    @property
    def n_inputs(self) -> int:
        """One row of a picture in three colours."""
        return 96

    @property
    def n_outputs(self) -> int:
        """Ten classes."""
        return 10

    @property
    def n_samples(self) -> int:
        """Pictures of the split."""
        return len(self._data().labels)

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return rows and noise ``x`` and classes ``y`` of shape ``(batch,)``."""
        data, chosen = self._data(), self.samples(step, rng)
        rows = data.pictures[chosen].reshape(-1, 3, 32, 32).transpose(2, 0, 1, 3)
        x = np.empty((self.n_steps, len(chosen), 96), np.float32)
        x[:32] = rows.reshape(32, len(chosen), 96)
        x[:32] /= np.float32(255.0)
        if self.noise == "block":
            x[32:] = _noise_block(self.noise_seed, self.n_steps - 32)
        else:
            x[32:] = Draws(rng, step).normal(1, self.n_steps - 32, len(chosen), 96)
        return Batch(x, data.labels[chosen].astype(np.int64))

    def _data(self) -> _Images:
        return _cifar10(Path(self.folder), self.split)


@functools.lru_cache(maxsize=2)
def _noise_block(seed: int, ticks: int) -> np.ndarray:
    return Draws(Rng(seed), 0).normal(2, ticks, 1, 96)


@functools.lru_cache(maxsize=3)
def _cifar10(folder: Path, split: Split) -> _Images:
    from biomem.datasets.cifar import read_cifar10

    pictures, labels = read_cifar10(folder, "test" if split == "test" else "train")
    if split != "test":
        rows = _held_out(len(labels), len(labels) * 3 // 50)[split == "validation"]
        pictures, labels = pictures[rows], labels[rows]
    return _Images(pictures, labels)
