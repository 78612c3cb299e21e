"""Released weights: what is read, and how damaged or odd files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biomem.errors import CorruptFileError, DataError, ParameterError
from biomem.models.elm import ELM

CONFIG = {"num_input": 6, "mlp_activation": "silu", "memory_tau_max": 150.0, "delta_t": 2.0}


def arrays(version: int = 1, layers: int = 1) -> dict[str, np.ndarray]:
    """Return a released model of 6 channels, 3 branches of 2, 4 memory units and 1 output."""
    rng = np.random.default_rng(0)
    widths = [3 + 4, *[5] * layers, 4]
    found = {
        "_proto_w_s": rng.random(6).astype(np.float32),
        "_proto_tau_m": rng.normal(size=4).astype(np.float32),
        "w_y.weight": rng.normal(size=(1, 4)).astype(np.float32),
        "w_y.bias": rng.normal(size=1).astype(np.float32),
        "input_to_synapse_indices": np.zeros(0),
        "valid_indices_mask": np.zeros(0),
    }
    found |= {"tau_s": np.full(6, 5.0)} if version == 1 else {"tau_b": np.full(3, 5.0)}
    for i in range(layers + 1):
        found[f"mlp.network.{2 * i}.weight"] = rng.normal(size=(widths[i + 1], widths[i]))
        found[f"mlp.network.{2 * i}.bias"] = rng.normal(size=widths[i + 1])
    return found


def save(path: Path, stored: dict[str, Any], config: Any = CONFIG, prefix: str = "p:") -> Path:
    named = {prefix + name: array for name, array in stored.items()}
    np.savez(path, cfg=json.dumps(config), allow_pickle=True, **named)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.npz"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("prefix", ["p:", ""])
def test_sizes_and_version_are_read_from_the_arrays(path, version, layers, prefix) -> None:
    stored = arrays(version, layers)
    model = ELM.from_npz(save(path, stored, prefix=prefix))
    p = model.params
    assert (p.version, p.n_layers, p.activation) == (f"v{version}", layers, "silu")
    assert (p.n_inputs, p.n_branches, p.synapses_per_branch, p.n_outputs) == (6, 3, 2, 1)
    assert (p.tau_branch, p.tau_min, p.tau_max, p.dt) == (0.005, 0.001, 0.15, 0.002)
    assert p.hidden == (5 if layers else 8)
    np.testing.assert_array_equal(model.weights["synapses"], stored["_proto_w_s"])
    np.testing.assert_array_equal(model.weights["channels"], np.arange(6))
    assert model.weights["valid"].all()


def test_parameters_may_be_changed_on_the_way(path: Path) -> None:
    model = ELM.from_npz(save(path, arrays()), dtype="float64", learn_tau=True)
    assert model.weights["update_bias"].dtype == np.float64
    assert "tau_logits" in model.trainable


def test_a_file_without_configuration_has_the_published_defaults(path: Path) -> None:
    np.savez(path, **arrays())
    params = ELM.from_npz(path).params
    assert (params.activation, params.gain, params.dt, params.tau_max) == ("relu", 5.0, 1e-3, 1.0)


def without(name: str) -> dict[str, np.ndarray]:
    return {n: a for n, a in arrays().items() if n != name}


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        (without("w_y.bias"), "w_y.bias"),
        (without("mlp.network.0.weight"), "mlp.network.0.weight"),
        (without("tau_s"), "tau_s"),
        ({**arrays(), "tau_b": np.full(3, 5.0)}, "tau_b"),
        ({**arrays(), "tau_s": np.arange(1.0, 7.0)}, "one value"),
        ({**arrays(), "_proto_w_s": np.ones(7)}, "7 synapses"),
        ({**arrays(), "_proto_w_s": np.full(6, np.nan)}, "_proto_w_s"),
        ({**arrays(), "w_y.weight": np.ones(4)}, "w_y.weight"),
        ({**arrays(), "_proto_tau_m": np.array(["a"] * 4)}, "_proto_tau_m"),
    ],
)
def test_arrays_that_make_no_neuron_are_refused(path: Path, stored: Any, named: str) -> None:
    with pytest.raises(DataError, match=named):
        ELM.from_npz(save(path, stored))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"lambda_value": "five"}, "lambda_value"),
        ({"input_to_synapse_routing": "other"}, "input_to_synapse_routing"),
        ([1, 2], "mapping"),
    ],
)
def test_odd_configurations_are_refused(path: Path, config: Any, named: str) -> None:
    with pytest.raises(DataError, match=named):
        ELM.from_npz(save(path, arrays(), config))


def test_values_out_of_range_are_refused(path: Path) -> None:
    with pytest.raises(ParameterError, match="activation"):
        ELM.from_npz(save(path, arrays(), {"mlp_activation": "tanh"}))
    with pytest.raises(ParameterError, match="update_bias"):
        ELM.from_npz(save(path, {**arrays(), "mlp.network.2.bias": np.zeros(3)}))


def test_python_objects_are_never_unpickled(path: Path) -> None:
    with pytest.raises(CorruptFileError, match="plain arrays"):
        ELM.from_npz(save(path, {**arrays(), "_proto_w_s": np.array([print], object)}))


def test_damaged_files_are_refused_and_missing_ones_named(path: Path) -> None:
    whole = save(path, arrays()).read_bytes()
    for damaged in (b"", b"not an archive", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match=r"weights\.npz"):
            ELM.from_npz(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        ELM.from_npz(path.with_name("absent.npz"))


@pytest.mark.torch
def test_state_dicts_equal_archives(path: Path, tmp_path: Path) -> None:
    import torch

    stored = arrays()
    weights, config = tmp_path / "weights.pt", tmp_path / "model_config.json"
    torch.save({name: torch.tensor(array) for name, array in stored.items()}, weights)
    config.write_text(json.dumps(CONFIG))
    model, same = ELM.from_torch(weights, config), ELM.from_torch(weights, CONFIG)
    archive = ELM.from_npz(save(path, stored))
    assert model.params == same.params == archive.params
    for name, array in archive.weights.items():
        np.testing.assert_array_equal(model.weights[name], array)


@pytest.mark.torch
def test_odd_torch_files_are_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "weights.pt"
    path.write_bytes(b"not a state dict")
    with pytest.raises(CorruptFileError, match=r"weights\.pt"):
        ELM.from_torch(path, CONFIG)
    torch.save([1, 2], path)
    with pytest.raises(DataError, match="state dict"):
        ELM.from_torch(path, CONFIG)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(CorruptFileError, match=r"weights\.pt"):
        ELM.from_torch(path, CONFIG)
    config = tmp_path / "config.json"
    config.write_text("{")
    with pytest.raises(CorruptFileError, match=r"config\.json"):
        ELM.from_torch(path, config)
