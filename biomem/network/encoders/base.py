"""What every spike encoder is, and the checks they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.params import Params
from biomem.engine.random import Rng
from biomem.errors import InputError, require
from biomem.typing import FloatArray

__all__ = ["Encoder", "positive", "series_of", "shares_of"]


class Encoder(Params, ABC):
    """What turns numbers into spikes of shape ``(time, batch, channel)``."""

    @abstractmethod
    def channels(self, n: int) -> int:
        """Return how many channels of spikes `n` numbers are turned into."""

    @abstractmethod
    def encode(self, x: ArrayLike, rng: Rng | int = 0) -> NDArray[Any]:
        """Return the spikes that stand for `x`; `rng` is read only by encoders that draw."""


def positive(owner: object, name: str) -> None:
    """Require that a field is a finite number above 0."""
    value = getattr(owner, name)
    number = isinstance(value, int | float | np.number) and math.isfinite(value)
    require(owner, name, bool(number and value > 0), "finite and > 0")


def series_of(owner: Encoder, name: str, values: ArrayLike) -> FloatArray:
    """Return numbers of shape ``(time, batch, unit)`` as float64, or refuse them by name."""
    given = np.asarray(values)
    if given.ndim != 3 or given.dtype.kind not in "biuf":
        raise InputError(
            f"{type(owner).__name__}: {name} must be numbers of shape (time, batch, unit), "
            f"got {given.dtype} of shape {given.shape}"
        )
    return given.astype(np.float64)


def shares_of(owner: Encoder, x: ArrayLike, axes: tuple[int, ...]) -> FloatArray:
    """Return numbers in [0, 1] with one of these numbers of axes as float64, or refuse them."""
    given = np.asarray(x)
    if given.ndim not in axes or given.dtype.kind not in "biuf":
        shapes = " or ".join({2: "(batch, unit)", 3: "(time, batch, unit)"}[n] for n in axes)
        raise InputError(
            f"{type(owner).__name__}: x must be numbers of shape {shapes}, "
            f"got {given.dtype} of shape {given.shape}"
        )
    values = given.astype(np.float64)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise InputError(
            f"{type(owner).__name__}: x must lie in [0, 1], got {values[wrong][0]}; "
            "scale it first, or use a PopulationEncoder"
        )
    return values
