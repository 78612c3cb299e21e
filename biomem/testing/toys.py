"""A leaky integrator with noise: the smallest model that exercises every part of the contract.

    v' = v + (x - v) * dt / tau + sigma * sqrt(dt) * (u - 1/2) * sqrt(12)

with ``u`` uniform from the counter-based generator, so that every backend adds the same noise.
It is the toy the engine's own tests and benchmarks run, and the model to read before writing one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np

from biomem.backends import namespace, to_numpy
from biomem.engine.model import Field, Model
from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream, uniform64, words
from biomem.engine.work import Work
from biomem.errors import require
from biomem.typing import Array

__all__ = ["LeakyIntegrator", "LeakyIntegratorParams", "LeakyIntegratorState"]


@dataclass(frozen=True, kw_only=True)
class LeakyIntegratorParams(Params):
    """Parameters of `LeakyIntegrator`.

    Parameters
    ----------
    n_units : int
    tau : float
        Time constant, s.
    dt : float
        Time step, s; at most `tau`, where the explicit step is still monotone.
    sigma : float
        Noise, V per square root of a second; 0 draws nothing.
    """

    n_units: int = 4
    tau: float = 20e-3
    dt: float = 1e-3
    sigma: float = 0.0

    def __post_init__(self) -> None:
        require(self, "n_units", self.n_units >= 1, ">= 1")
        require(self, "tau", math.isfinite(self.tau) and self.tau > 0, "finite and > 0 s")
        require(self, "dt", 0 < self.dt <= self.tau, f"in (0, tau = {self.tau}] s")
        require(self, "sigma", math.isfinite(self.sigma) and self.sigma >= 0, "finite and >= 0")


class LeakyIntegratorState(NamedTuple):
    """Potential of every unit, and the key of the noise."""

    v: Annotated[Array, Field("batch", "unit", unit="V")]
    key: Annotated[Array, Field(dtype="uint64")]


class LeakyIntegratorOutput(NamedTuple):
    """Potential after the tick."""

    v: Annotated[Array, Field("unit", unit="V")]


class LeakyIntegrator(Model):
    """Leaky integration of an input, one unit per feature, with optional noise."""

    Params = LeakyIntegratorParams
    State = LeakyIntegratorState
    Output = LeakyIntegratorOutput
    Input = Field("unit", unit="V")
    array_api = True
    kernels = {"numba": "biomem.testing.toys_cpu:scan", "cuda": "biomem.testing.toys_cuda:scan"}

    params: LeakyIntegratorParams

    @property
    def sizes(self) -> dict[str, int]:
        """One axis, the units."""
        return {"unit": self.params.n_units}

    @property
    def coefficients(self) -> tuple[float, float]:
        """Gain of the leak and scale of the noise, rounded once for every backend."""
        p = self.params
        return p.dt / p.tau, p.sigma * math.sqrt(12.0 * p.dt)

    def init_state(self, batch: int, rng: Rng) -> LeakyIntegratorState:
        """Return units at rest; the noise will be drawn with `rng`'s key."""
        return LeakyIntegratorState(
            np.zeros((batch, self.params.n_units)), np.array(rng.key, np.uint64)
        )

    def step(
        self, state: LeakyIntegratorState, x: Array, tick: int
    ) -> tuple[LeakyIntegratorState, LeakyIntegratorOutput]:
        """Advance by one tick: the equation of this module."""
        gain, scale = self.coefficients
        v = state.v + (x - state.v) * gain
        if scale > 0:
            noise = self.noise(state, tick, v.shape[0])
            v = v + namespace(v).asarray(noise, device=v.device) * scale
        return LeakyIntegratorState(v, state.key), LeakyIntegratorOutput(v)

    def noise(self, state: LeakyIntegratorState, tick: int, batch: int) -> np.ndarray:
        """Return centred uniform noise of shape ``(batch, unit)`` for this tick."""
        w = words(
            int(to_numpy(state.key)),
            Stream.NOISE,
            np.arange(self.params.n_units),
            tick,
            np.arange(batch)[:, None],
        )
        return uniform64(w[..., 0], w[..., 1]) - 0.5

    def work(self, state: LeakyIntegratorState, ticks: int, batch: int) -> Work:
        """Return one multiply-accumulate and, with noise, one draw per unit and tick."""
        updates = ticks * batch * self.params.n_units
        return Work(macs=updates, random_draws=updates if self.params.sigma > 0 else 0)
