"""What a task is: a batch for every step, as a pure function of ``(seed, step)``."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from biomem.engine.random import Rng, Stream, below, uniform32
from biomem.errors import InputError, ParameterError, require

__all__ = ["Batch", "Draws", "Task", "classification_metrics", "one_hot"]


class Batch(NamedTuple):
    """Sequences and what should be said about them.

    Attributes
    ----------
    x : float32 array, shape ``(time, batch, feature)``
    y : array
        Integer classes or float32 values: ``(batch, ...)`` where the answer is due at the last
        tick, ``(time, batch, ...)`` where one is due at every tick.
    """

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A source of batches: ``task(step, rng)`` returns the batch of that step.

    Called twice with the same arguments it returns the same arrays, whatever was drawn between,
    so a resumed training run sees the batches it would have seen. A task with a finite set of
    samples has a length, the batches of an epoch.

    Parameters
    ----------
    batch_size : int
        Sequences in a batch, >= 1.
    """

    batch_size: int = 128

    def __post_init__(self) -> None:
        whole(self, "batch_size")

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """Features per tick."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Classes, or values to be answered."""

    @abstractmethod
    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return the batch of training step `step` under the key of `rng`."""

    def replace(self, **changes: Any) -> Any:
        """Return the task with other settings."""
        return dataclasses.replace(self, **changes)


def whole(owner: object, name: str, least: int = 1) -> None:
    """Require that a field is an integer of at least `least`."""
    value = getattr(owner, name)
    ok = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
    require(owner, name, bool(ok), f"an integer >= {least}")


class Draws:
    """Arrays of random numbers that belong to one step of one source.

    Parameters
    ----------
    rng : Rng
    step : int
        The tick under which everything is drawn.

    Notes
    -----
    `purpose` keeps the draws of a step apart: the same purpose returns the same words again.
    """

    def __init__(self, rng: Rng, step: int) -> None:
        if step < 0:
            raise ParameterError(f"step must be >= 0, got {step!r}")
        self.rng, self.step = rng, step

    def words(self, purpose: int, count: int) -> np.ndarray:
        """Return `count` uint32 words."""
        entities = np.arange(-(-count // 4))
        w = self.rng.words(Stream.GENERIC, entities, tick=self.step, batch=purpose)
        return w.reshape(-1)[:count]

    def uniform(self, purpose: int, *shape: int) -> np.ndarray:
        """Return float32 uniform in [0, 1), 24 bits each."""
        return uniform32(self.words(purpose, math.prod(shape))).reshape(shape)

    def integers(self, purpose: int, n: int, *shape: int) -> np.ndarray:
        """Return int64 uniform in [0, n)."""
        return below(self.words(purpose, math.prod(shape)), n).reshape(shape)

    def normal(self, purpose: int, *shape: int) -> np.ndarray:
        """Return float32 standard normal: both halves of Box and Muller's pair, two words each."""
        count = math.prod(shape)
        u = uniform32(self.words(purpose, count + count % 2)).reshape(-1, 2)
        radius = np.sqrt(np.float32(-2.0) * np.log(np.float32(1.0) - u[:, 0]))
        angle = np.float32(2.0 * math.pi) * u[:, 1]
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return pairs.reshape(-1)[:count].reshape(shape)

    def permutation(self, purpose: int, n: int) -> np.ndarray:
        """Return a permutation of ``range(n)``: the order of 64-bit words."""
        w = self.words(purpose, 2 * n).astype(np.uint64)
        return np.argsort(w[0::2] << np.uint64(32) | w[1::2], kind="stable")


def one_hot(classes: np.ndarray, n: int) -> np.ndarray:
    """Return float32 unit vectors along a new last axis.

    >>> one_hot(np.array([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    out = np.zeros((*classes.shape, n), np.float32)
    np.put_along_axis(out, classes[..., None], 1.0, axis=-1)
    return out


def classification_metrics(logits: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Return cross-entropy, nat, and accuracy of logits ``(..., class)`` for classes ``(...)``."""
    if logits.shape[:-1] != classes.shape:
        raise InputError(
            f"logits of shape {logits.shape} do not fit classes of shape {classes.shape}"
        )
    z = np.asarray(logits, np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(z, classes[..., None], axis=-1)[..., 0]
    entropy = np.log(np.exp(z).sum(axis=-1)) - chosen
    return {
        "cross_entropy": float(entropy.mean()),
        "accuracy": float((logits.argmax(axis=-1) == classes).mean()),
    }
