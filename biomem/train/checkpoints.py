"""Training runs as checkpoint files: a JSON header and arrays, nothing that could run.

Layout, inside the format of `biomem.engine.checkpoint`::

    header   kind "biomem-training", what trains (module, optimiser, seed, settings), step,
             history, best, optimiser groups and the plain numbers of its state
    arrays   module/<i>       tensors of module.state_dict(), in its order
             best/<i>         those of the best validation
             optimiser/<parameter>/<name>
             history/...      see `History.to_arrays`
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from biomem import backends
from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.errors import CheckpointMismatch, InputError
from biomem.train.history import History
from biomem.train.module import TorchModule
from biomem.train.stopping import BestSoFar

__all__ = ["describe_module", "load_run", "save_run"]

KIND = "biomem-training"
_SCALARS = (bool, int, float, str, type(None))


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Return what a file tells about a module: its class, its models, its tensors.

    Classes go by their name without the module: a script is ``__main__`` to itself only.
    """
    models = [m.model for m in module.modules() if isinstance(m, TorchModule)]
    return {
        "class": type(module).__qualname__,
        "models": [{"class": type(m).__qualname__, **m.params.to_dict()} for m in models],
        "tensors": {
            name: f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}"
            for name, t in module.state_dict().items()
        },
    }


def save_run(
    path: Path,
    what: dict[str, Any],
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    history: History,
    best: BestSoFar,
    step: int,
) -> None:
    """Write everything a run needs to go on; `what` describes it and must fit at the load."""
    told, lists = history.to_arrays()
    arrays = {f"history/{name}": array for name, array in lists.items()}
    arrays |= {
        f"module/{i}": backends.to_numpy(t) for i, t in enumerate(module.state_dict().values())
    }
    arrays |= {f"best/{i}": backends.to_numpy(t) for i, t in enumerate(best.weights.values())}
    groups, numbers, tensors = _pack_optimiser(optimiser)
    arrays |= {f"optimiser/{name}": array for name, array in tensors.items()}
    header = {
        "kind": KIND,
        "what": what,
        "step": step,
        "history": told,
        # As text: JSON has no NaN.
        "best": {"value": repr(best.value), "step": best.step, "waited": best.waited},
        "optimiser": {"groups": groups, "numbers": numbers},
        "versions": {
            "biomem": version("biomem"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    write_checkpoint(path, header, arrays)


def load_run(
    path: Path, what: dict[str, Any], module: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[History, BestSoFar, int]:
    """Put a saved run's weights and optimiser state in place and return the rest of it.

    Raises
    ------
    CorruptFileError
        The file is damaged, or no checkpoint.
    CheckpointMismatch
        It is no training run, or one of another module, optimiser, seed or setting.
    """
    file = read_checkpoint(path)
    header = file.header
    if header.get("kind") != KIND:
        raise CheckpointMismatch(f"{path} is a checkpoint, but not of a training run")
    _compare(header["what"], what, str(path))
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in file.arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    names = list(module.state_dict())
    module.load_state_dict(_named(names, groups.get("module", {})))
    _unpack_optimiser(optimiser, header["optimiser"], groups.get("optimiser", {}))
    told = header["best"]
    best = BestSoFar(float(told["value"]), told["step"], told["waited"])
    best.weights = _named(names, groups.get("best", {}))
    device = next(module.parameters()).device
    best.weights = {name: t.to(device) for name, t in best.weights.items()}
    return History.from_arrays(header["history"], groups["history"]), best, int(header["step"])


def _named(names: list[str], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {names[int(i)]: torch.tensor(a) for i, a in arrays.items()}


def _compare(saved: Any, now: Any, origin: str, path: str = "") -> None:
    """Refuse a file whose description differs, by the first thing that does."""
    if isinstance(now, dict) and isinstance(saved, dict):
        for name in {**now, **saved}:
            inner = f"{path}.{name}" if path else name
            _compare(saved.get(name), now.get(name), origin, inner)
    elif isinstance(now, list) and isinstance(saved, list) and len(now) == len(saved):
        for i, (one, other) in enumerate(zip(saved, now, strict=True)):
            _compare(one, other, origin, f"{path}[{i}]")
    elif saved != now:
        raise CheckpointMismatch(
            f"{origin} is a run with {path} = {saved!r}, this one has {now!r}; "
            "continue with the same arguments, or start anew with resume=False"
        )


def _pack_optimiser(
    optimiser: torch.optim.Optimizer,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    state = optimiser.state_dict()
    groups = [{k: v for k, v in g.items() if k != "params"} for g in state["param_groups"]]
    numbers: dict[str, dict[str, Any]] = {}
    tensors: dict[str, np.ndarray] = {}
    for index, entries in state["state"].items():
        numbers[str(index)] = {}
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}/{name}"] = backends.to_numpy(value)
            elif isinstance(value, _SCALARS):
                numbers[str(index)][name] = value
            else:
                raise InputError(
                    f"fit: state {name!r} of {type(optimiser).__name__} is a "
                    f"{type(value).__name__}, which no file can hold; use save=None or an "
                    "optimiser whose state is tensors and numbers"
                )
    for group in groups:
        for name, value in group.items():
            parts = value if isinstance(value, tuple | list) else [value]
            if not all(isinstance(part, _SCALARS) for part in parts):
                raise InputError(
                    f"fit: option {name!r} of {type(optimiser).__name__} is {value!r}, which no "
                    "file can hold; use plain numbers or save=None"
                )
    return groups, numbers, tensors


def _unpack_optimiser(
    optimiser: torch.optim.Optimizer, saved: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    fresh = optimiser.state_dict()
    for group, values in zip(fresh["param_groups"], saved["groups"], strict=True):
        # JSON made lists of the tuples.
        group.update({k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    state: dict[int, dict[str, Any]] = {int(i): dict(v) for i, v in saved["numbers"].items()}
    for name, array in arrays.items():
        index, _, key = name.partition("/")
        state[int(index)][key] = torch.tensor(array)
    optimiser.load_state_dict({"state": state, "param_groups": fresh["param_groups"]})
