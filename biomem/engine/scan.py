"""The reference scan: a loop of `Model.step`, on any backend that speaks the Array API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.backends import namespace
from biomem.typing import Array, State

if TYPE_CHECKING:
    from biomem.engine.model import Model

__all__ = ["loop", "stack"]


def stack(parts: list[Any]) -> Any:
    """Stack equal trees of arrays along a new leading axis."""
    first = parts[0]
    if hasattr(first, "_fields"):
        return type(first)(*(stack(list(column)) for column in zip(*parts, strict=True)))
    return namespace(first).stack(parts)


def loop(model: Model, state: State, xs: Array, tick: int) -> tuple[State, Any]:
    """Advance `model` over every row of `xs` by its reference step.

    Parameters
    ----------
    xs : array, shape ``(time, batch, *Input.axes)``, at least one row
    tick : int
        Tick of the first row.

    Returns
    -------
    state : State
    ys : Output
        Fields of shape ``(time, batch, *axes)``.
    """
    ys = []
    for k in range(xs.shape[0]):
        state, y = model.step(state, xs[k], tick + k)
        ys.append(y)
    return state, stack(ys)
