"""Released weights of the ELM neuron: NumPy archives and torch state dicts.

Both hold the same arrays (an archive may prefix their names with ``p:``)::

    _proto_w_s, _proto_tau_m, tau_s (v1) or tau_b (v2), w_y.weight, w_y.bias,
    mlp.network.{0, 2, ...}.{weight, bias}, input_to_synapse_indices, valid_indices_mask

The last two have size 0 where there is no routing. The version is told by the key of the trace
time constant. Activation, gain, time step and the range of time constants are not in the arrays
but in a configuration, in milliseconds, whose missing entries have the published defaults.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from biomem.backends import require, to_numpy
from biomem.errors import CorruptFileError, DataError
from biomem.models.elm.params import ELMParams

__all__ = ["from_arrays", "read_npz", "read_torch"]

_ROUTINGS = {None: None, "random_routing": "random", "neuronio_routing": "neuronio"}
_PREFIX = "p:"
_PER_SECOND = 1000.0


def read_npz(path: str | Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `params` and `weights` from an ``.npz`` archive; nothing in it is ever unpickled.

    Parameters
    ----------
    path : path
        With the configuration as JSON under ``cfg``; without one the published defaults hold.
    changes : mapping
        Parameters that the file does not decide or should not, such as ``dtype``.

    Raises
    ------
    CorruptFileError
        Not an archive, damaged, or one that holds Python objects.
    DataError
        Sound arrays that make no ELM: a missing key, shapes that contradict each other, trace
        time constants that differ.
    """
    try:
        # Opened here, since numpy leaves a file open which is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
            config = json.loads(str(found["cfg"])) if "cfg" in found else {}
    except OSError:
        raise
    except (ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CorruptFileError(f"{path} is not an .npz archive of plain arrays: {error}") from error
    arrays = {k[len(_PREFIX) :]: a for k, a in found.items() if k.startswith(_PREFIX)} or found
    return from_arrays(arrays, config, changes, str(path))


def read_torch(
    path: str | Path, config: str | Path | Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `params` and `weights` from a torch state dict, loaded with ``weights_only``.

    Parameters
    ----------
    path : path
    config : path or mapping
        The ``model_config.json`` beside the weights, or its content.
    changes : mapping
        See `read_npz`.

    Raises
    ------
    BackendUnavailable
        torch is not installed.
    CorruptFileError, DataError
        See `read_npz`.
    """
    require("torch")
    import pickle

    import torch

    if isinstance(config, Mapping):
        settings = config
    else:
        try:
            settings = json.loads(Path(config).read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorruptFileError(f"{config} is not a JSON file: {error}") from error
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CorruptFileError(f"{path} is not a torch state dict: {error}") from error
    if not isinstance(stored, Mapping) or not all(
        isinstance(t, torch.Tensor) for t in stored.values()
    ):
        raise DataError(f"{path} must hold a state dict of tensors, got {type(stored).__name__}")
    arrays = {name: to_numpy(tensor) for name, tensor in stored.items()}
    return from_arrays(arrays, settings, changes, str(path))


def from_arrays(
    arrays: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
    changes: Mapping[str, Any],
    origin: str = "arrays",
) -> dict[str, Any]:
    """Return `params` and `weights` of an `ELM` from the arrays of a released model.

    Sizes are read from the arrays; `config` gives what they do not tell.

    Raises
    ------
    DataError
        See `read_npz`.
    """
    if not isinstance(config, Mapping):
        raise DataError(f"{origin}: the configuration must be a mapping, got {config!r}")
    layers = _layers(arrays, origin)
    synapses = _get(arrays, "_proto_w_s", 1, origin)
    tau_logits = _get(arrays, "_proto_tau_m", 1, origin)
    readout = _get(arrays, "w_y.weight", 2, origin)
    channels = _get(arrays, "input_to_synapse_indices", 1, origin)
    valid = _get(arrays, "valid_indices_mask", 1, origin)
    version, tau_branch = _trace(arrays, origin)
    n_branches = layers[0][0].shape[1] - len(tau_logits)
    if n_branches < 1 or len(synapses) % n_branches:
        raise DataError(
            f"{origin}: {len(synapses)} synapses do not divide among the {n_branches} branches "
            f"that the first layer of shape {layers[0][0].shape} leaves beside "
            f"{len(tau_logits)} memory units"
        )
    if not channels.size:
        channels, valid = np.arange(len(synapses)), np.ones(len(synapses), bool)
    values: dict[str, Any] = {
        "version": version,
        "n_inputs": config.get("num_input", len(synapses)),
        "n_outputs": len(readout),
        "n_memory": len(tau_logits),
        "n_branches": n_branches,
        "synapses_per_branch": len(synapses) // n_branches,
        "routing": _routing(config, origin),
        "n_layers": len(layers) - 1,
        "n_hidden": len(layers[0][1]) if len(layers) > 1 else None,
        "activation": config.get("mlp_activation", "relu"),
        "gain": _number(config, "lambda_value", 5.0, origin),
        "tau_branch": tau_branch,
        "tau_min": _number(config, "memory_tau_min", 1.0, origin) / _PER_SECOND,
        "tau_max": _number(config, "memory_tau_max", 1000.0, origin) / _PER_SECOND,
        "learn_tau": config.get("learn_memory_tau", False),
        "dt": _number(config, "delta_t", 1.0, origin) / _PER_SECOND,
    }
    weights = {
        "synapses": synapses,
        "tau_logits": tau_logits,
        "readout_weights": readout,
        "readout_bias": _get(arrays, "w_y.bias", 1, origin),
        "channels": channels.astype(np.int64),
        "valid": valid.astype(np.bool_),
    }
    for i, (weight, bias) in enumerate(layers):
        name = "update" if i == len(layers) - 1 else f"hidden{i}"
        weights[f"{name}_weights"], weights[f"{name}_bias"] = weight, bias
    return {"params": ELMParams(**{**values, **changes}), "weights": weights}


def _get(arrays: Mapping[str, np.ndarray], name: str, ndim: int, origin: str) -> np.ndarray:
    if name not in arrays:
        raise DataError(f"{origin}: {name!r} is missing; it holds {sorted(arrays)}")
    array = np.asarray(arrays[name])
    if array.ndim != ndim or array.dtype.kind not in "biuf":
        raise DataError(
            f"{origin}: {name!r} must be a numeric array of {ndim} axes, "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{origin}: {name!r} must be finite, it holds NaN or inf")
    return array


def _layers(arrays: Mapping[str, np.ndarray], origin: str) -> list[tuple[np.ndarray, np.ndarray]]:
    layers = []
    # An activation stands between two linear layers, so every other number is one of them.
    while not layers or f"mlp.network.{2 * len(layers)}.weight" in arrays:
        name = f"mlp.network.{2 * len(layers)}"
        layers.append(
            (_get(arrays, f"{name}.weight", 2, origin), _get(arrays, f"{name}.bias", 1, origin))
        )
    return layers


def _trace(arrays: Mapping[str, np.ndarray], origin: str) -> tuple[str, float]:
    """Return the version, and the trace time constant in seconds."""
    keys = {"tau_s": "v1", "tau_b": "v2"}
    found = [key for key in keys if key in arrays]
    if len(found) != 1:
        raise DataError(f"{origin}: exactly one of 'tau_s' and 'tau_b' must be there, got {found}")
    tau = _get(arrays, found[0], 1, origin)
    if not tau.size or (tau != tau[0]).any():
        raise DataError(
            f"{origin}: {found[0]!r} must hold one value throughout, got "
            f"{np.unique(tau)[:4].tolist()}; traces of one branch are summed, so they decay alike"
        )
    return keys[found[0]], float(tau[0]) / _PER_SECOND


def _routing(config: Mapping[str, Any], origin: str) -> str | None:
    name = config.get("input_to_synapse_routing")
    if name not in _ROUTINGS:
        raise DataError(
            f"{origin}: input_to_synapse_routing must be one of {list(_ROUTINGS)}, got {name!r}"
        )
    return _ROUTINGS[name]


def _number(config: Mapping[str, Any], name: str, default: float, origin: str) -> float:
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{origin}: {name} must be a number, got {value!r}")
    return float(value)
