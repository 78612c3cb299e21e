"""Define a model of your own, check it, run it, save it, resume it and plot it."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np

from biomem import Field, Model, Params, Simulator
from biomem.errors import require
from biomem.testing import check_model


@dataclass(frozen=True, kw_only=True)
class VanDerPolParams(Params):
    mu: float = 1.0
    dt: float = 0.01  # s

    def __post_init__(self) -> None:
        require(self, "mu", self.mu >= 0, ">= 0")


class Oscillation(NamedTuple):
    x: Annotated[np.ndarray, Field("batch", unit="m")]
    v: Annotated[np.ndarray, Field("batch", unit="m/s")]


class VanDerPol(Model):
    Params, State, Output, Input = VanDerPolParams, Oscillation, Field(unit="m"), None

    def init_state(self, batch, rng):
        return Oscillation(rng.normal(0, np.arange(batch)), np.zeros(batch))

    def step(self, state, x, tick):
        v = state.v + (self.params.mu * (1 - state.x**2) * state.v - state.x) * self.params.dt
        new = Oscillation(state.x + v * self.params.dt, v)
        return new, new.x


if __name__ == "__main__":
    print(check_model(VanDerPol(mu=1.5)))
    with TemporaryDirectory() as folder:
        sim = Simulator(VanDerPol(mu=1.5), batch=3, seed=7)
        sim.run(seconds=10)
        sim.save(Path(folder) / "half.h5")
        recording = Simulator.load(Path(folder) / "half.h5").run(seconds=10)
    recording.plot("y").figure.savefig("van_der_pol.png")
    print(recording)
