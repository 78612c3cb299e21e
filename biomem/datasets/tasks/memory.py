"""Drawn tasks that measure memory: copy, adding, parity, delayed match."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from biomem.datasets.tasks.base import Batch, Draws, Task, classification_metrics, one_hot, whole
from biomem.engine.random import Rng
from biomem.errors import ParameterError, require

__all__ = ["Adding", "Copy", "Curriculum", "DelayedMatch", "Parity"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy(Task):
    """Repeat a list of symbols after a delay.

    The input is `n_recall` symbols from ``1 ... n_symbols``, `n_blank` blanks (0), a delimiter
    (``n_symbols + 1``) and blanks, one-hot. The target is blank but for the last `n_recall`
    ticks, where the list is due. Guessing leaves ``n_recall * ln(n_symbols) / n_steps`` nat.

    Parameters
    ----------
    n_recall : int
        Length of the list, >= 1.
    n_symbols : int
        Size of the alphabet, >= 2.
    n_blank : int
        Blanks between the list and the delimiter, >= 0.
    cue : {"before", "with"}
        Whether the delimiter stands alone before the recall, or is the input of its first tick.

    Examples
    --------
    >>> Copy(n_recall=5, n_blank=19).n_steps, Copy(n_blank=80, cue="with").n_steps
    (30, 100)

    References
    ----------
    T. A. Keller et al., "Traveling Waves Encode the Recent Past and Enhance Sequence Learning",
    ICLR 2024, section 3.1 (``cue="with"``); its published code uses ``cue="before"``.
    """

    n_recall: int = 10
    n_symbols: int = 8
    n_blank: int = 30
    cue: Literal["before", "with"] = "before"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_recall")
        whole(self, "n_symbols", 2)
        whole(self, "n_blank", 0)
        require(self, "cue", self.cue in ("before", "with"), "'before' or 'with'")

    @property
    def n_inputs(self) -> int:
        """Blank, symbols, delimiter."""
        return self.n_symbols + 2

    @property
    def n_outputs(self) -> int:
        """As many as the inputs; the delimiter is never due."""
        return self.n_symbols + 2

    @property
    def n_steps(self) -> int:
        """Ticks of a sequence."""
        return 2 * self.n_recall + self.n_blank + (self.cue == "before")

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return one-hot ``x`` and classes ``y`` of shape ``(time, batch)``."""
        shape = self.n_recall, self.batch_size
        symbols = 1 + Draws(rng, step).integers(0, self.n_symbols, *shape)
        seen = np.zeros((self.n_steps, self.batch_size), np.int64)
        seen[: self.n_recall] = symbols
        seen[self.n_recall + self.n_blank] = self.n_symbols + 1
        due = np.zeros_like(seen)
        due[-self.n_recall :] = symbols
        return Batch(one_hot(seen, self.n_inputs), due)

    def metrics(self, logits: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return plain figures and the one the paper prints.

        Parameters
        ----------
        logits : array, shape ``(time, batch, n_outputs)``
        batch : Batch

        Returns
        -------
        dict
            ``cross_entropy`` (nat, mean over ticks and batch), ``recall`` (accuracy over the
            last `n_recall` ticks), and ``paper_mse``, which is the cross-entropy divided once
            more by the batch size: what the paper's tables call MSE.
        """
        entropy = classification_metrics(logits, batch.y)["cross_entropy"]
        tail = slice(-self.n_recall, None)
        return {
            "cross_entropy": entropy,
            "recall": classification_metrics(logits[tail], batch.y[tail])["accuracy"],
            "paper_mse": entropy / batch.y.shape[1],
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adding(Task):
    """Add two marked numbers.

    Feature 0 is uniform in [0, 1), feature 1 marks one tick of the first half and one of the
    second; the target is the sum of the marked numbers, due at the last tick. Answering the mean
    has a squared error of 1/6; 0.05 counts as solved.

    Parameters
    ----------
    n_steps : int
        Ticks of a sequence, >= 2.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), 5.4.
    """

    n_steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "n_steps", 2)

    @property
    def n_inputs(self) -> int:
        """Number and marker."""
        return 2

    @property
    def n_outputs(self) -> int:
        """The sum."""
        return 1

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return ``x`` and the sums ``y`` of shape ``(batch, 1)``."""
        draws, batch, half = Draws(rng, step), self.batch_size, self.n_steps // 2
        x = np.zeros((self.n_steps, batch, 2), np.float32)
        x[:, :, 0] = draws.uniform(0, self.n_steps, batch)
        first = draws.integers(1, half, batch)
        second = half + draws.integers(2, self.n_steps - half, batch)
        lanes = np.arange(batch)
        x[first, lanes, 1] = 1.0
        x[second, lanes, 1] = 1.0
        y = x[first, lanes, 0] + x[second, lanes, 0]
        return Batch(x, y[:, None])

    def metrics(self, values: np.ndarray, batch: Batch) -> dict[str, float]:
        """Return the mean squared error of answers of shape ``(batch, 1)``."""
        return {"mse": float(((np.asarray(values, np.float64) - batch.y) ** 2).mean())}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LastBits(Task):
    """Questions about the bits before the end, one head for every N in `lengths`.

    Parameters
    ----------
    lengths : tuple of int
        The N of every head, each >= 1.
    longest : int, optional
        The N that sets the length of the sequences; default the largest of `lengths`.
    """

    batch_size: int = 256
    lengths: tuple[int, ...] = (2,)
    longest: int | None = None

    _stretch = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = bool(self.lengths) and all(isinstance(n, int) and n >= 1 for n in self.lengths)
        require(self, "lengths", ok, "a tuple of integers >= 1")
        ok = self.longest is None or self.longest >= max(self.lengths)
        require(self, "longest", ok, f">= {max(self.lengths)}, the largest of lengths")

    @property
    def n_inputs(self) -> int:
        """One bit."""
        return 1

    @property
    def n_outputs(self) -> int:
        """Two classes for every head."""
        return 2

    @property
    def n_heads(self) -> int:
        """Questions answered at the end of a sequence."""
        return len(self.lengths)

    def n_steps(self, step: int, rng: Rng) -> int:
        """Return the ticks of the sequences of `step`, drawn anew for every batch."""
        n = max(self.lengths) if self.longest is None else self.longest
        low, high = n + 2, int(self._stretch * n) + 2
        return low + int(Draws(rng, step).integers(0, max(1, high - low), 1)[0])

    def _batch(self, bits: np.ndarray, labels: list[np.ndarray]) -> Batch:
        return Batch(bits[:, :, None].astype(np.float32), np.stack(labels, axis=1).astype(np.int64))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity(_LastBits):
    """N-parity: whether the number of ones among the last N bits is odd.

    Every batch draws its own share of ones, uniform in [0, 1), and its own length, uniform in
    [N + 2, 2.5 N + 2).

    Parameters
    ----------
    lengths : tuple of int
        The N of every head.
    longest : int, optional
        The N that sets the length of the sequences; default the largest of `lengths`.

    Examples
    --------
    >>> x, y = Parity(lengths=(2, 3), batch_size=4)(0, Rng(0))
    >>> bool(((x[-3:, :, 0].sum(axis=0) % 2) == y[:, 1]).all())
    True

    References
    ----------
    S. Khajehabdollahi et al., "Emergent mechanisms for long timescales depend on training
    curriculum and affect performance in memory tasks", ICLR 2024, section 2.
    """

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return bits ``x`` and classes ``y`` of shape ``(batch, head)``."""
        draws = Draws(rng, step)
        share = draws.uniform(1, 1)
        bits = draws.uniform(2, self.n_steps(step, rng), self.batch_size) < share
        return self._batch(bits, [bits[-n:].sum(axis=0) % 2 for n in self.lengths])


@dataclasses.dataclass(frozen=True, kw_only=True)
class DelayedMatch(_LastBits):
    """N-delayed match to sample: whether the N-th bit from the end equals the last one.

    The last bit is the first from the end, so N = 1 is always a match. Bits are balanced; every
    batch draws its length, uniform in [N + 2, 4 N + 2).

    Parameters
    ----------
    lengths : tuple of int
        The N of every head.
    longest : int, optional
        The N that sets the length of the sequences; default the largest of `lengths`.
    """

    _stretch = 4.0

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return bits ``x`` and classes ``y`` (1 = match) of shape ``(batch, head)``."""
        bits = Draws(rng, step).uniform(2, self.n_steps(step, rng), self.batch_size) < 0.5
        return self._batch(bits, [bits[-n] == bits[-1] for n in self.lengths])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curriculum:
    """The order in which the N of a task are learned; iterates over tuples of N.

    Parameters
    ----------
    kind : {"single", "cumulative", "sliding"}
        One head at a time; all heads up to the newest; the `width` newest heads.
    first, last : int
        The smallest N, and the largest.
    width : int
        Heads of the sliding window; each stage drops `stride` old ones and adds as many.
    stride : int
        New heads per stage of the sliding window.

    Examples
    --------
    >>> list(Curriculum(kind="cumulative", last=4))
    [(2,), (2, 3), (2, 3, 4)]
    >>> list(Curriculum(kind="sliding", last=6, width=3, stride=2))
    [(2, 3, 4), (4, 5, 6)]
    """

    kind: Literal["single", "cumulative", "sliding"] = "cumulative"
    first: int = 2
    last: int = 5
    width: int = 3
    stride: int = 1

    def __post_init__(self) -> None:
        kinds = ("single", "cumulative", "sliding")
        require(self, "kind", self.kind in kinds, f"one of {kinds}")
        for name in ("first", "width", "stride"):
            whole(self, name)
        whole(self, "last", self.first)
        if self.kind == "sliding" and self.width > self.last - self.first + 1:
            raise ParameterError(
                f"Curriculum.width must be <= {self.last - self.first + 1}, the number of N, "
                f"got {self.width}"
            )

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        if self.kind == "sliding":
            for low in range(self.first, self.last - self.width + 2, self.stride):
                yield tuple(range(low, low + self.width))
            return
        for n in range(self.first, self.last + 1):
            yield (n,) if self.kind == "single" else tuple(range(self.first, n + 1))
