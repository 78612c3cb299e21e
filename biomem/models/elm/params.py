"""Parameters of the expressive leaky memory neuron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

from biomem.engine.params import Params
from biomem.errors import require

__all__ = ["TAU_MARGIN", "ELMParams"]

TAU_MARGIN = 1e-9
"""Distance initial time constants keep from both ends of their range, s."""

_LARGEST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ELMParams(Params):
    """Sizes, time constants and form of an `ELM`.

    Times are in seconds here. Published configurations are in milliseconds; `ELM.from_npz` and
    `ELM.from_torch` convert them.

    Parameters
    ----------
    version : {"v2", "v1"}
        Update gain of the memory: v1 ``gain * (1 - exp(-dt / tau))``, which all published
        checkpoints use and which exceeds 1 for short time constants; v2
        ``1 - exp(-dt * gain / tau)``, always below 1. Trained weights belong to one version.
    n_inputs, n_outputs, n_memory : int
    n_branches : int, optional
        Default `n_inputs`.
    synapses_per_branch : int
    routing : {None, "random", "neuronio"}
        Which channel drives which synapse; see `biomem.models.elm.routing`. None needs
        ``n_branches * synapses_per_branch == n_inputs``; "neuronio" an even `n_inputs`.
    n_layers : int
        Hidden layers of the MLP, >= 0; with 0 the memory integrates linearly before its bound.
    n_hidden : int, optional
        Width of each hidden layer, default ``2 * n_memory``.
    activation : {"relu", "silu"}
    gain : float
        Update gain, > 0 (lambda of the paper).
    tau_branch : float
        Time constant of every synaptic trace, s.
    tau_min, tau_max : float
        Range of the memory time constants, s. A range narrower than 3e-9 s is widened to that.
    learn_tau : bool
        Whether training changes the memory time constants.
    synapse_init : float
        Initial value of every synapse.
    dt : float
        Time step, the width of an input bin, s.
    dtype : {"float32", "float64"}
    seed : int
        Key of the draws of initial weights and random routing.

    Raises
    ------
    ParameterError
        A value out of range, or sizes that do not fit the routing.

    Examples
    --------
    >>> ELMParams(n_inputs=8, n_branches=4, synapses_per_branch=2).n_synapses
    8
    >>> ELMParams.neuronio(n_memory=20).hidden
    40
    """

    version: Literal["v1", "v2"] = "v2"
    n_inputs: int = 1
    n_outputs: int = 1
    n_memory: int = 100
    n_branches: int | None = None
    synapses_per_branch: int = 1
    routing: Literal["random", "neuronio"] | None = None
    n_layers: int = 1
    n_hidden: int | None = None
    activation: Literal["relu", "silu"] = "relu"
    gain: float = 5.0
    tau_branch: float = 5e-3
    tau_min: float = 1e-3
    tau_max: float = 1.0
    learn_tau: bool = False
    synapse_init: float = 0.5
    dt: float = 1e-3
    dtype: Literal["float32", "float64"] = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_choices()
        for name in ("n_inputs", "n_outputs", "n_memory", "synapses_per_branch"):
            self._check_count(name, 1)
        self._check_count("n_layers", 0)
        for name in ("n_branches", "n_hidden"):
            if getattr(self, name) is not None:
                self._check_count(name, 1)
        for name in ("gain", "dt"):
            value = getattr(self, name)
            require(self, name, _finite(value) and value > 0, "finite and > 0")
        for name in ("tau_branch", "tau_min"):
            value = getattr(self, name)
            require(self, name, _finite(value) and value >= 1e-9, "finite and >= 1e-9 s")
        require(
            self,
            "tau_max",
            _finite(self.tau_max) and self.tau_max >= self.tau_min,
            f"finite and >= tau_min = {self.tau_min} s",
        )
        require(self, "synapse_init", _finite(self.synapse_init), "finite")
        seed_ok = isinstance(self.seed, int) and 0 <= self.seed < 2**64
        require(self, "seed", seed_ok, "an integer in [0, 2**64)")
        self._check_routing()

    def _check_choices(self) -> None:
        for name, allowed in (
            ("version", ("v1", "v2")),
            ("routing", (None, "random", "neuronio")),
            ("activation", ("relu", "silu")),
            ("dtype", ("float32", "float64")),
            ("learn_tau", (False, True)),
        ):
            shown = ", ".join(repr(a) for a in allowed)
            require(self, name, getattr(self, name) in allowed, f"one of {shown}")

    def _check_count(self, name: str, least: int) -> None:
        value = getattr(self, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(self, name, whole and least <= value <= _LARGEST, f"an integer >= {least}")

    def _check_routing(self) -> None:
        if self.routing is None:
            require(
                self,
                "n_inputs",
                self.n_inputs == self.n_synapses,
                f"n_branches * synapses_per_branch = {self.n_synapses} without routing",
                "choose routing='random' or 'neuronio' to let synapses share channels",
            )
        if self.routing == "neuronio":
            require(
                self,
                "n_inputs",
                self.n_inputs % 2 == 0,
                "even for routing='neuronio'",
                "the first half are the excitatory channels, the second the inhibitory ones",
            )
            stride = -(-self.n_inputs // self.branches)
            require(
                self,
                "synapses_per_branch",
                self.synapses_per_branch >= stride,
                f">= ceil(n_inputs / n_branches) = {stride} for routing='neuronio'",
                "fewer would leave channels without a synapse",
            )

    @property
    def branches(self) -> int:
        """Number of branches."""
        return self.n_inputs if self.n_branches is None else self.n_branches

    @property
    def n_synapses(self) -> int:
        """Number of synapses, masked ones included."""
        return self.branches * self.synapses_per_branch

    @property
    def hidden(self) -> int:
        """Width of the hidden layers."""
        return 2 * self.n_memory if self.n_hidden is None else self.n_hidden

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of every layer of the MLP, from its input to its output."""
        hidden = (self.hidden,) * self.n_layers
        return (self.branches + self.n_memory, *hidden, self.n_memory)

    @property
    def tau_span(self) -> float:
        """Width of the range of memory time constants, s."""
        return max(self.tau_max - self.tau_min, 3 * TAU_MARGIN)

    @classmethod
    def neuronio(cls, **changes: Any) -> Self:
        """Return the set of the published Branch-ELM models of a layer-5 pyramidal cell."""
        published: dict[str, Any] = {
            "version": "v1",
            "n_inputs": 1278,
            "n_outputs": 2,
            "n_memory": 20,
            "n_branches": 45,
            "synapses_per_branch": 100,
            "routing": "neuronio",
            "tau_max": 0.15,
        }
        return cls(**{**published, **changes})


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
