"""Parameters of the leaky recurrent network."""

from __future__ import annotations

import dataclasses
import math

from biomem.engine.params import Params
from biomem.errors import require

__all__ = ["LeakyNetworkParams"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeakyNetworkParams(Params):
    """Sizes, the range of the time constants, and the precision.

    Parameters
    ----------
    n_inputs, n_units, n_outputs, n_heads : int
        Input features, units, values per read-out head, read-out heads; each >= 1.
    tau_min : float
        Smallest time constant, in ticks, >= 1; smaller weights ``tau`` act as this value and get
        no gradient. At 1 a unit keeps nothing of itself.
    tau_low, tau_high : float
        Initial time constants are uniform in [tau_low, tau_high] ticks, not below `tau_min`.
    slope : float
        Of the activation below zero, in [0, 1].
    h_init : float
        Initial activity is uniform in [0, h_init), >= 0.
    seed : int
        Of the initial weights.
    dtype : {"float32", "float64"}
        Of weights, state and outputs.
    """

    n_inputs: int = 1
    n_units: int = 50
    n_outputs: int = 2
    n_heads: int = 1
    tau_min: float = 1.0
    tau_low: float = 1.0
    tau_high: float = 2.0
    slope: float = 0.01
    h_init: float = 0.1
    seed: int = 0
    dtype: str = "float64"

    def __post_init__(self) -> None:
        for name in ("n_inputs", "n_units", "n_outputs", "n_heads"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(self, name, whole and value >= 1, "an integer >= 1")
        require(
            self, "tau_min", math.isfinite(self.tau_min) and self.tau_min >= 1, "finite, >= 1 tick"
        )
        ordered = self.tau_min <= self.tau_low <= self.tau_high < math.inf
        allowed = f"in [tau_min = {self.tau_min}, tau_high = {self.tau_high}], both finite"
        require(self, "tau_low", ordered, allowed)
        require(self, "slope", 0 <= self.slope <= 1, "in [0, 1]")
        require(self, "h_init", math.isfinite(self.h_init) and self.h_init >= 0, "finite, >= 0")
        require(self, "dtype", self.dtype in ("float32", "float64"), "'float32' or 'float64'")
