"""From a checkpoint back to a model and its state: which class, and do the arrays fit it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from biomem.engine.model import Model, fields_of, unflatten
from biomem.errors import CheckpointMismatch
from biomem.typing import State

__all__ = ["assemble", "find_class"]


def find_class(header: dict[str, Any], given: type[Model] | None, origin: str) -> type[Model]:
    """Return the class that `header` names, or `given` if it is that one.

    Raises
    ------
    CheckpointMismatch
        `given` is another class, or the named one is neither biomem's own nor imported.
    """
    name = str(header.get("model"))
    if given is not None:
        if given.qualified_name().rpartition(":")[2] != name.rpartition(":")[2]:
            raise CheckpointMismatch(
                f"{origin} was made by {name}, not by {given.qualified_name()}"
            )
        return given
    if name not in Model.classes and name.startswith("biomem."):
        # Only our own package is ever imported on a file's word.
        try:
            import_module(name.partition(":")[0])
        except ImportError as error:
            raise CheckpointMismatch(f"{origin} was made by {name}: {error}") from error
    if name not in Model.classes:
        raise CheckpointMismatch(
            f"{origin} was made by {name}, which has not been imported; import the module that "
            "defines it, or pass model="
        )
    return Model.classes[name]


def assemble(model: Model, arrays: Mapping[str, np.ndarray], batch: int, origin: str) -> State:
    """Check `arrays` against the model's declaration and put its state together."""
    declared = fields_of(model.State)
    wanted = {name: f for name, f in declared.items() if f.kind == "persistent"}
    missing, unknown = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
    if missing or unknown:
        raise CheckpointMismatch(
            f"{origin}: the state of {type(model).__name__} has other fields; "
            f"missing in the file: {missing or 'none'}, unknown to the model: {unknown or 'none'}"
        )
    for name, field in wanted.items():
        shape, got = model.shape_of(field, batch=batch), arrays[name]
        fits = len(shape) == got.ndim and all(
            w in (None, g) for w, g in zip(shape, got.shape, strict=True)
        )
        if not fits or got.dtype != model.dtype_of(field):
            raise CheckpointMismatch(
                f"{origin}: state {name!r} must be {model.dtype_of(field)} {field.axes} = {shape}, "
                f"got {got.dtype} {got.shape}"
            )
    full: dict[str, Any] = {name: arrays.get(name) for name in declared}
    return model.rebuild(unflatten(model.State, full))
