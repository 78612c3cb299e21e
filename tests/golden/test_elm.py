"""Every ``elm_*`` file of the golden folder, on every backend; see README.md beside it.

Everything is read from the files: sizes from the arrays, the rest from ``cfg``. A file holds its
input as an array ``x`` or as events, and keeps what it knows of the run: outputs, memories (of
every step or of every tenth), traces per branch or per synapse, gradients.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biomem import Simulator
from biomem.models.elm import ELM, ELMState, Events, cpu

FOLDER = Path(os.environ.get("BIOMEM_GOLDEN") or Path(__file__).parent)
FILES = sorted(FOLDER.glob("elm_*.npz"))
BACKENDS = ["numpy", "numba", "events", pytest.param("torch", marks=pytest.mark.torch)]


def files(key: str = "cfg") -> Any:
    """Run a test on every file that holds `key`."""
    found = []
    for path in FILES:
        with np.load(path, allow_pickle=False) as stored:
            found += [path] if key in stored.files else []
    return pytest.mark.parametrize("path", found, ids=lambda path: path.stem)


def test_there_are_golden_files() -> None:
    assert FILES, f"no elm_*.npz in {FOLDER}"


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def inputs(golden: dict[str, np.ndarray], dtype: str = "float64") -> np.ndarray:
    """Return the inputs as (time, batch, channel)."""
    if "x" in golden:
        return np.ascontiguousarray(golden["x"].transpose(1, 0, 2), dtype)
    batch, ticks, channels = golden["shape"]
    xs = np.zeros((ticks, batch, channels), dtype)
    sign = np.where(golden["ev_ch"] < channels // 2, 1, -1)
    xs[golden["ev_t"], golden["ev_b"], golden["ev_ch"]] = sign
    return xs


def run(model: ELM, xs: np.ndarray, backend: str) -> dict[str, np.ndarray]:
    """Return outputs, memories and traces of every tick, batch first as in the files."""
    if backend == "events":
        state, parts = model.init_state(xs.shape[1]), []
        for t in range(len(xs)):
            state, y = model.scan_events(Events.from_dense(xs[t : t + 1]), state)
            parts.append((y[0], state.memory, state.trace))
        _, whole = model.scan_events(Events.from_dense(xs))
        found = dict(
            zip(("y", "memory", "trace"), map(np.array, zip(*parts, strict=True)), strict=True)
        )
        assert np.array_equal(found["y"], whole)
    else:
        sim = Simulator(model, backend=backend, batch=xs.shape[1], progress=False)
        for name in ("y", "memory", "trace"):
            sim.record(name)
        recording = sim.run(xs)
        found = {name: np.asarray(recording[name]) for name in recording}
    return {name: array.swapaxes(0, 1) for name, array in found.items()}


def close(got: Any, want: np.ndarray, tolerance: float) -> None:
    scale = float(np.abs(want).max())
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


@files()
@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_and_states(path: Path, backend: str) -> None:
    golden = load(path)
    found = run(ELM.from_npz(path, dtype="float64"), inputs(golden), backend)
    close(found["y"], golden["y"], 1e-12)
    every = found["memory"].shape[1] // golden["m"].shape[1]
    close(found["memory"][:, ::every], golden["m"], 1e-12)
    if "b" in golden:
        close(found["trace"], golden["b"], 1e-12)
    if "s" in golden:
        sums = golden["s"].reshape(*found["trace"].shape, -1).sum(-1)
        close(found["trace"], sums, 1e-12)
    if "branch_sum_last" in golden:
        close(found["trace"][:, -1], golden["branch_sum_last"], 1e-12)


@files()
def test_constants_and_traces_of_single_synapses(path: Path) -> None:
    golden = load(path)
    model = ELM.from_npz(path, dtype="float64")
    assert f"v{json.loads(str(golden['cfg']))['version']}" == model.params.version
    if "n_params" in golden:
        assert model.n_trainable == golden["n_params"]
    if "tau_m" in golden:
        close(1e3 * model.tau_memory, golden["tau_m"], 1e-12)
        close(model.decay_memory, golden["kappa_m"], 1e-12)
        used = model.weights["valid"]
        close(model.efficacy[used], golden["w_s"][used], 1e-15)
    if "s" in golden:
        traces = model.synaptic_traces(inputs(golden)).swapaxes(0, 1)
        close(traces, golden["s"], 1e-12)


@files()
@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_in_float32(path: Path, backend: str) -> None:
    golden = load(path)
    found = run(ELM.from_npz(path, dtype="float32"), inputs(golden, "float32"), backend)
    assert found["y"].dtype == np.float32
    for want in (golden["y"], golden["y_f32"]):
        np.testing.assert_allclose(found["y"], want, rtol=0, atol=5e-5)


@files("spike_prob")
def test_derived_readings_of_the_published_neurons(path: Path) -> None:
    golden = load(path)
    model = ELM.from_npz(path, dtype="float64")
    xs = inputs(golden)
    _, ys = cpu.scan(model, model.init_state(xs.shape[1]), xs, 0)
    close(1 / (1 + np.exp(-ys[..., 0].T)), golden["spike_prob"], 1e-12)
    close(10 * ys[..., 1].T, golden["soma_rel_mV"], 1e-12)


def names_of(model: ELM) -> dict[str, str]:
    """Return the published name of every trained weight."""
    layers = [*(f"hidden{i}" for i in range(model.params.n_layers)), "update"]
    found = {f"{name}_weights": f"mlp.network.{2 * i}.weight" for i, name in enumerate(layers)}
    found |= {f"{name}_bias": f"mlp.network.{2 * i}.bias" for i, name in enumerate(layers)}
    found |= {"synapses": "_proto_w_s", "tau_logits": "_proto_tau_m"}
    return found | {"readout_weights": "w_y.weight", "readout_bias": "w_y.bias"}


@pytest.mark.torch
@files("target")
def test_gradients(path: Path) -> None:
    import torch

    from biomem.models.elm import autograd

    golden = load(path)
    model = ELM.from_npz(path, dtype="float64")
    weights = {name: torch.tensor(w) for name, w in model.weights.items()}
    for name in model.trainable:
        weights[name].requires_grad_()
    bound = model.with_weights(weights)
    xs = torch.tensor(inputs(golden))
    state = ELMState(*map(torch.tensor, model.init_state(xs.shape[1])))
    _, ys = autograd.scan(bound, state, xs, 0)
    loss = ((ys - torch.tensor(golden["target"]).transpose(0, 1)) ** 2).mean()
    close(float(loss.detach()), golden["loss"], 1e-12)
    loss.backward()
    names = names_of(model)
    assert {f"g:{names[n]}" for n in model.trainable} == {k for k in golden if k.startswith("g:")}
    for name in model.trainable:
        close(weights[name].grad, golden[f"g:{names[name]}"], 1e-9)
