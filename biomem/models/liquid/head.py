"""A linear layer as a model, so that `biomem.train` can train a read-out by gradient."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from biomem.backends import namespace
from biomem.engine.model import Field, Model
from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream
from biomem.engine.work import Work
from biomem.errors import require
from biomem.typing import Array

__all__ = ["LinearHead", "LinearHeadParams"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearHeadParams(Params):
    """Sizes of a linear layer.

    Parameters
    ----------
    n_features, n_outputs : int
        >= 1.
    seed : int
    dtype : {"float32", "float64"}
    """

    n_features: int = 1
    n_outputs: int = 1
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("n_features", "n_outputs"):
            value = getattr(self, name)
            require(self, name, isinstance(value, int) and value >= 1, "an integer >= 1")
        require(self, "dtype", self.dtype in ("float32", "float64"), "'float32' or 'float64'")


class LinearHeadState(NamedTuple):
    """Nothing is kept from tick to tick but their number."""

    ticks: Annotated[Array, Field("batch", dtype="int64")]


class LinearHead(Model):
    """``y = W x + b``: what `Ridge` fits in closed form, here for losses it has none for.

    Features of a sample are one tick: ``(time = 1, batch, feature)``.

    Examples
    --------
    >>> LinearHead(n_features=3, n_outputs=2).weights["weight"].shape
    (2, 3)
    """

    Params = LinearHeadParams
    State = LinearHeadState
    Output = Field("output", dtype="float")
    Input = Field("feature", dtype="float")
    array_api = True

    params: LinearHeadParams

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of all axes."""
        return {"feature": self.params.n_features, "output": self.params.n_outputs}

    def init_weights(self, rng: Rng) -> dict[str, np.ndarray]:
        """Draw weights in +-1/sqrt(features), biases of zero."""
        p = self.params
        u = rng.uniform(Stream.CONNECT, np.arange(p.n_outputs * p.n_features))
        weight = (2 * u - 1) / math.sqrt(p.n_features)
        return {
            "weight": weight.reshape(p.n_outputs, p.n_features).astype(p.dtype),
            "bias": np.zeros(p.n_outputs, p.dtype),
        }

    def init_state(self, batch: int, rng: Rng) -> LinearHeadState:
        """Return the number of ticks, 0."""
        return LinearHeadState(np.zeros(batch, np.int64))

    def step(self, state: LinearHeadState, x: Array, tick: int) -> tuple[LinearHeadState, Any]:
        """Apply the layer."""
        xp = namespace(x)
        y = x @ xp.matrix_transpose(self.weights["weight"]) + self.weights["bias"]
        return LinearHeadState(state.ticks + 1), y

    def work(self, state: LinearHeadState, ticks: int, batch: int) -> Work:
        """Return one multiply-accumulate per weight, tick and stream."""
        return Work(macs=ticks * batch * self.params.n_features * self.params.n_outputs)
