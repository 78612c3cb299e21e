"""What every encoder does to the value it is given, and to its own parameters."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

import numpy as np

from biomem.errors import InputError, ParameterError, require

__all__ = [
    "LARGEST_SIZE",
    "number",
    "one_of",
    "plain",
    "require_int",
    "require_real",
    "round_half_away",
]

LARGEST_SIZE = 2**31 - 1
"""Bits are int32, so no encoder has more of them."""


def number(owner: object, value: Any) -> float | None:
    """Return `value` as a float, or None for a missing one (None or NaN).

    Raises
    ------
    InputError
        Not a real number.
    """
    if value is None:
        return None
    if isinstance(value, (str, bytes)):
        raise InputError(f"{type(owner).__name__}.encode: value must be a number, got {value!r}")
    try:
        x = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{type(owner).__name__}.encode: value must be a real number within float64, "
            f"got {value!r}"
        ) from None
    return None if math.isnan(x) else x


def round_half_away(x: float) -> float:
    """Round to the nearest integer, halves away from zero (C's ``round``, not Python's)."""
    whole = math.floor(abs(x))
    return math.copysign(whole + 1 if abs(x) - whole >= 0.5 else whole, x)


def plain(owner: Any) -> None:
    """Turn NumPy scalars among the fields of a new parameter set into Python numbers.

    A resolution is often computed with NumPy; ``repr`` and JSON should still show a number.
    """
    for field in dataclasses.fields(owner):
        value = getattr(owner, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(owner, field.name, value.item())


def one_of(owner: object, *names: str) -> str:
    """Return which of `names` was given, or refuse none and more than one of them."""
    values = ((name, getattr(owner, name)) for name in names)
    given = [name for name, value in values if value is not None and value is not False]
    if len(given) != 1:
        shown = ", ".join(f"{name}={getattr(owner, name)!r}" for name in given) or "none of them"
        raise ParameterError(
            f"{type(owner).__name__} takes exactly one of {', '.join(names)}, got {shown}"
        )
    return given[0]


def require_int(owner: object, name: str, low: int, high: int) -> None:
    """Raise `ParameterError` unless ``owner.name`` is an int in ``[low, high]``."""
    value = getattr(owner, name)
    try:
        ok = not isinstance(value, bool) and low <= operator.index(value) <= high
    except TypeError:
        ok = False
    require(owner, name, ok, f"an int in [{low}, {high}]")


def require_real(owner: object, name: str, *, above: float = -math.inf) -> None:
    """Raise `ParameterError` unless ``owner.name`` is a finite number greater than `above`."""
    value = getattr(owner, name)
    ok = isinstance(value, (int, float)) and not isinstance(value, bool)
    ok = ok and math.isfinite(value) and value > above
    require(owner, name, ok, "a finite number" + ("" if above == -math.inf else f" > {above:g}"))
