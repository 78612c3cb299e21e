"""What is read from a liquid: one row of numbers per run.

All take the spikes and membranes of the liquid's neurons over one presentation, shapes
``(time, batch, neuron)``, and return ``(batch, feature)``.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.errors import require

__all__ = ["Counts", "Feature", "LastState", "Membrane", "Trace"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts(Params):
    """Spikes of every neuron, in one window or in several, one after the other.

    Parameters
    ----------
    windows : int
        Equal parts of the presentation, >= 1; the first take what does not divide.
    mean : bool
        Per tick instead of in all.
    """

    windows: int = 1
    mean: bool = False

    def __post_init__(self) -> None:
        require(self, "windows", isinstance(self.windows, int) and self.windows >= 1, ">= 1")

    def read(
        self, spikes: NDArray[np.bool_], v: NDArray[np.floating], dt: float
    ) -> NDArray[np.float64]:
        """Return the features of every run."""
        parts = np.array_split(spikes, self.windows)
        counts = [part.sum(axis=0) / (max(len(part), 1) if self.mean else 1) for part in parts]
        return np.concatenate(counts, axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace(Params):
    """Spikes filtered with an exponential, as they stand at the end.

    Parameters
    ----------
    tau : float
        Time constant, s.
    """

    tau: float = 30e-3

    def __post_init__(self) -> None:
        require(self, "tau", math.isfinite(self.tau) and self.tau > 0, "finite, > 0 s")

    def read(
        self, spikes: NDArray[np.bool_], v: NDArray[np.floating], dt: float
    ) -> NDArray[np.float64]:
        """Return the features of every run."""
        age = np.arange(len(spikes))[::-1]
        weights = np.exp(-dt * age / self.tau)
        return np.asarray(np.tensordot(weights, spikes.astype(np.float64), axes=1), np.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Membrane(Params):
    """Membranes at the end."""

    def read(
        self, spikes: NDArray[np.bool_], v: NDArray[np.floating], dt: float
    ) -> NDArray[np.float64]:
        """Return the features of every run."""
        return v[-1].astype(np.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LastState(Params):
    """Spikes of the last tick."""

    def read(
        self, spikes: NDArray[np.bool_], v: NDArray[np.floating], dt: float
    ) -> NDArray[np.float64]:
        """Return the features of every run."""
        return spikes[-1].astype(np.float64)


Feature = Counts | Trace | Membrane | LastState
