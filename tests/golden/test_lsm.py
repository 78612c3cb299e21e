"""Trajectories of the seed group's spiking liquid; see README.md for where they come from."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    CurrentInput,
    Explicit,
    Population,
    Projection,
    Pulse,
    SpikeInput,
    SpikingNetwork,
)

FOLDER = Path(os.environ.get("BIOMEM_GOLDEN") or Path(__file__).parent)
FILES = sorted(FOLDER.glob("lsm_*.npz"))


def liquid_of(case: dict[str, np.ndarray], dtype: str) -> SpikingNetwork:
    """Return the network of a file: inputs, a constant current for the biases, the liquid."""
    n, n_inputs = case["W_in"].shape
    cells = LIF(
        decay=float(case["decay"]),
        v_th=float(case["v_th"]),
        strict=True,
        reset="next_tick",
        synapse=Pulse(),
    )
    return SpikingNetwork(
        populations=(
            Population(name="input", n=n_inputs, neuron=SpikeInput()),
            Population(name="one", neuron=CurrentInput()),
            Population(name="liquid", n=n, neuron=cells),
        ),
        projections=(
            Projection(pre="input", post="liquid", rule=Explicit()),
            Projection(pre="one", post="liquid", rule=Explicit()),
            Projection(pre="liquid", post="liquid", rule=Explicit()),
        ),
        traces=("liquid",),
        dtype=dtype,
        weights={
            "input>liquid/weight": case["W_in"].T,
            "one>liquid/weight": (case["b_in"] + case["b_rec"])[None, :],
            "liquid>liquid/weight": case["W_rec"].T,
        },
    )


def run(case: dict[str, np.ndarray], dtype: str, backend: str) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes and membranes ``(batch, time, neuron)``."""
    net = liquid_of(case, dtype)
    x = np.moveaxis(case["X"], 0, 1).astype(dtype)
    x = np.concatenate([x, np.ones((*x.shape[:2], 1), dtype)], axis=2)
    found = Simulator(net, backend=backend, batch=x.shape[1], progress=False).run(x)
    spikes = np.asarray(found["spikes"])[..., net.units("liquid")]
    return np.moveaxis(spikes, 0, 1), np.moveaxis(np.asarray(found["v"]), 0, 1)


def test_there_are_files() -> None:
    assert FILES or "BIOMEM_GOLDEN" in os.environ


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_float64_spikes_equal_and_membranes_to_1e_11(path: Path, backend: str) -> None:
    case = dict(np.load(path, allow_pickle=False))
    spikes, v = run(case, "float64", backend)
    np.testing.assert_array_equal(spikes, case["spikes"].astype(bool))
    np.testing.assert_allclose(v, case["mem"], rtol=0, atol=1e-11)
    np.testing.assert_array_equal(spikes.sum(axis=1), case["counts"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_float32_spikes_differ_only_at_the_threshold(path: Path) -> None:
    case = dict(np.load(path, allow_pickle=False))
    spikes, _ = run(case, "float32", "numba")
    for b, want in enumerate(case["spikes"].astype(bool)):
        wrong = np.flatnonzero((spikes[b] != want).any(axis=1))
        if len(wrong):
            # After a spike that fell otherwise, the run is another one.
            first = wrong[0]
            near = np.abs(case["mem"][b, first] - case["v_th"]) < 1e-4
            assert near[spikes[b, first] != want[first]].all()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_weights_are_those_of_the_conductances(path: Path) -> None:
    case = dict(np.load(path, allow_pickle=False))
    if "G_in_pos" not in case:
        pytest.skip("the file has no conductances")
    for name in ("in", "rec"):
        pair = case[f"G_{name}_pos"] - case[f"G_{name}_neg"]
        np.testing.assert_allclose(float(case["const"]) * pair, case[f"W_{name}"], rtol=1e-12)
