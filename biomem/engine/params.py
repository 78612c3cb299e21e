"""Parameters of a model: frozen, keyword-only, validated, and readable back from their repr."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from typing import Any, Self

import numpy as np

from biomem.errors import ParameterError

__all__ = ["Params"]


class Params:
    """Base class of every parameter set.

    A subclass is a ``@dataclass(frozen=True, kw_only=True)`` whose ``__post_init__`` validates
    with `biomem.errors.require`. Values are what the user typed, in SI units; coefficients are
    derived once, by the model. A field may itself be a `Params`, a number, a string, a bool,
    ``None``, or a tuple of these: exactly what JSON can carry. No arrays: those are weights.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Decay(Params):
    ...     tau: float = 0.02  # s
    >>> Decay().replace(tau=0.5)
    Decay(tau=0.5)
    >>> Decay.from_dict({"tau": 1.0})
    Decay(tau=1.0)
    """

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes` applied and validated."""
        known = {f.name for f in dataclasses.fields(self)}  # type: ignore[arg-type]
        for name in changes:
            if name not in known:
                raise ParameterError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {sorted(known)}"
                )
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-compatible values, nested sets as nested dicts.

        Where a field may hold one of several classes of sets, the dict names it under ``"type"``.
        """
        hints = _hints(type(self))
        return {
            f.name: _plain(hints[f.name], getattr(self, f.name))
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the set from `to_dict`'s result; unknown or missing names are refused."""
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ParameterError(
                f"{cls.__name__} has no parameter {unknown[0]!r}; it has {sorted(fields)}"
            )
        hints = _hints(cls)
        return cls(**{name: _typed(hints[name], value) for name, value in values.items()})


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _plain(hint: Any, value: Any) -> Any:
    if isinstance(value, Params):
        plain = value.to_dict()
        return {"type": type(value).__name__, **plain} if len(_sets(hint)) > 1 else plain
    if isinstance(value, tuple):
        return [_plain(h, v) for h, v in zip(_items(hint, len(value)), value, strict=True)]
    return value.item() if isinstance(value, np.generic) else value


def _typed(hint: Any, value: Any) -> Any:
    """Undo what JSON did to `value`: dicts back to parameter sets, lists back to tuples."""
    if isinstance(value, dict):
        sets = _sets(hint)
        if len(sets) > 1:
            named = {cls.__name__: cls for cls in sets}
            value = dict(value)
            kind = value.pop("type", None)
            if kind not in named:
                raise ParameterError(f"type must be one of {sorted(named)}, got {kind!r}")
            return named[kind].from_dict(value)
        return sets[0].from_dict(value) if sets else value
    if isinstance(value, list) and any(typing.get_origin(o) is tuple for o in _options(hint)):
        return tuple(_typed(h, v) for h, v in zip(_items(hint, len(value)), value, strict=True))
    return value


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if _is_union(hint) else (hint,)


def _sets(hint: Any) -> list[type[Params]]:
    return [o for o in _options(hint) if isinstance(o, type) and issubclass(o, Params)]


def _items(hint: Any, length: int) -> list[Any]:
    """Return the hint of every item of a tuple of `length` items."""
    for option in _options(hint):
        if typing.get_origin(option) is tuple:
            args = [a for a in typing.get_args(option) if a is not Ellipsis]
            return args if len(args) == length else (args[:1] or [Any]) * length
    return [Any] * length


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
