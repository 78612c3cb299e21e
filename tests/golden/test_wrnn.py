"""Every ``wrnn_*`` file of the golden folder, on every backend; see README.md beside it.

Everything is read from the files: shapes from the arrays, the rest from ``cfg``. A file with
``p:`` arrays is a run, one with ``p0:`` arrays a training run, any other holds ring states of known
velocity.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biomem import backends
from biomem.engine.model import map_arrays
from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.models.wave_rnn import WaveRNN, wave_velocity

NAMES = {"cell.Wx": "input", "cell.Wy": "ring", "readout": "readout", "readout.2": "readout"}


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def ours(golden: dict[str, np.ndarray], prefix: str, shapes: Any) -> dict[str, np.ndarray]:
    """Return parameters or gradients of a golden file under our names and shapes."""
    decoder = any(".2." in name for name in golden)
    names = {**NAMES, "readout.0": "decoder"} if decoder else NAMES
    found = {}
    for key, array in golden.items():
        if key.startswith(prefix + ":"):
            layer, _, kind = key.removeprefix(prefix + ":").rpartition(".")
            name = f"{names[layer]}_{kind}"
            found[name] = array.reshape(shapes[name])
    return found


def build(golden: dict[str, np.ndarray], prefix: str, dtype: str = "float64") -> WaveRNN:
    cfg = ast.literal_eval(str(golden["cfg"]))
    ring = golden[f"{prefix}:cell.Wy.weight"]
    tie = {2: "dense", 3: "conv", 5: "local"}[ring.ndim]
    x, h = golden["x"], golden.get("h")
    hidden = golden.get(f"{prefix}:readout.0.weight")
    last = golden[f"{prefix}:readout{'' if hidden is None else '.2'}.weight"]
    model = WaveRNN(
        n_inputs=x.shape[-1],
        n_units=int(cfg["n"] if h is None else h.shape[-1]),
        n_channels=int(cfg["c"] if h is None else h.shape[-2]),
        n_outputs=len(last),
        kernel_size=ring.shape[-1] if tie != "dense" else 3,
        tie_weights=tie,
        activation={"ident": "identity"}.get(cfg["act"], cfg["act"]),
        decoder="linear" if hidden is None else "mlp",
        n_decoder=100 if hidden is None else len(hidden),
        record_hidden=True,
        dtype=dtype,
    )
    weights = ours(golden, prefix, model.weight_shapes())
    return model.with_weights({name: w.astype(dtype) for name, w in weights.items()})


def scan(model: WaveRNN, backend: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    choice = backends.resolve(model, backend)

    def there(array: np.ndarray) -> Any:
        return backends.to_backend(choice.backend, array)

    bound = model.with_weights({name: there(w) for name, w in model.weights.items()})
    state = map_arrays(there, model.init_state(x.shape[1], Rng(0)))
    run = choice.scan or loop
    _, out = run(bound, state, there(np.ascontiguousarray(x, model.params.dtype)), 0)
    return backends.to_numpy(out.y), backends.to_numpy(out.h)


def relative(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-300))


def answer(y: Any, want: np.ndarray) -> Any:
    """Return the rows of `y` that the file holds: of every step, or of the last."""
    return y if want.ndim == 3 else y[-1]


def files(golden: Path, kind: str) -> list[Path]:
    def of(path: Path) -> str:
        with np.load(path) as stored:
            kinds = {name.partition(":")[0] for name in stored.files}
        return "run" if "p" in kinds else "training" if "p0" in kinds else "velocity"

    found = [path for path in sorted(golden.glob("wrnn_*.npz")) if of(path) == kind]
    assert found, f"no golden file of kind {kind} in {golden}"
    return found


BACKENDS = ["numpy", "numba", pytest.param("torch", marks=pytest.mark.torch)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_states_and_outputs(golden: Path, backend: str) -> None:
    for path in files(golden, "run"):
        data = load(path)
        y, h = scan(build(data, "p"), backend, data["x"])
        assert relative(h, data["h"]) < 1e-12, path.name
        assert relative(answer(y, data["y"]), data["y"]) < 1e-12, path.name


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_in_single_precision(golden: Path, backend: str) -> None:
    for path in files(golden, "run"):
        data = load(path)
        y, h = scan(build(data, "p", "float32"), backend, data["x"])
        assert y.dtype == h.dtype == np.float32
        assert relative(answer(y, data["y_f32"]), data["y_f32"]) < 1e-5, path.name


def differentiable(model: WaveRNN, x: Any, tensors: dict[str, Any]) -> Any:
    """Return the readout of a run under the scan that training uses, part of the graph."""
    state = map_arrays(
        lambda a: backends.to_backend("torch", a), model.init_state(x.shape[1], Rng(0))
    )
    run = backends.resolve(model, "torch").scan or loop
    return run(model.with_weights(tensors), state, x, 0)[1].y


def loss_of(cfg: dict[str, Any], y: Any, target: np.ndarray) -> Any:
    import torch

    goal = torch.from_numpy(target)
    if "MSE" in cfg["loss"]:
        return torch.nn.functional.mse_loss(y, goal)
    assert "mean CE" in cfg["loss"]
    return torch.nn.functional.cross_entropy(y.reshape(-1, y.shape[-1]), goal.reshape(-1))


def leaves(model: WaveRNN) -> dict[str, Any]:
    import torch

    return {k: torch.from_numpy(w.copy()).requires_grad_() for k, w in model.weights.items()}


@pytest.mark.torch
@pytest.mark.parametrize("by", ["kernel", "reference"])
def test_gradients(golden: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if by == "reference":
        monkeypatch.setattr(WaveRNN, "kernels", {})
    checked = 0
    for path in files(golden, "run"):
        data = load(path)
        if not any(name.startswith("g:") for name in data):
            continue
        model, cfg = build(data, "p"), ast.literal_eval(str(data["cfg"]))
        tensors = leaves(model)
        y = differentiable(model, torch.from_numpy(data["x"]), tensors)
        loss = loss_of(cfg, answer(y, data["y"]), data["target"])
        loss.backward()
        assert abs(loss.item() / data["loss"] - 1) < 1e-12, path.name
        for name, want in ours(data, "g", model.weight_shapes()).items():
            assert relative(tensors[name].grad.numpy(), want) < 1e-9, (path.name, name)
            checked += 1
    assert checked


@pytest.mark.torch
def test_training_steps(golden: Path) -> None:
    import torch

    for path in files(golden, "training"):
        data = load(path)
        model, cfg = build(data, "p0"), ast.literal_eval(str(data["cfg"]))
        tensors = leaves(model)
        optimiser = torch.optim.Adam(
            tensors.values(), lr=cfg["lr"], betas=cfg["betas"], eps=cfg["eps"]
        )
        for k in range(cfg["steps"]):
            y = differentiable(model, torch.from_numpy(data["x"][k]), tensors)
            loss = loss_of(cfg, y if data["target"][k].ndim == 2 else y[-1], data["target"][k])
            optimiser.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(tensors.values(), cfg["clip_norm"] or np.inf)
            optimiser.step()
            assert abs(loss.item() / data["loss"][k] - 1) < 1e-9, (path.name, k)
            assert abs(float(norm) / data["grad_norm"][k] - 1) < 1e-9, (path.name, k)
        for name, want in ours(data, f"p{cfg['steps']}", model.weight_shapes()).items():
            assert relative(tensors[name].detach().numpy(), want) < 1e-9, (path.name, name)


def test_velocities(golden: Path) -> None:
    for path in files(golden, "velocity"):
        data = load(path)
        for key in (name.removesuffix("_v") for name in data if name.endswith("_v")):
            assert abs(wave_velocity(data[key]).line - data[key + "_v"]) < 1e-3, key
