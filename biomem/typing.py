"""Aliases for annotations; importing this module costs nothing beyond NumPy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "BoolArray", "FloatArray", "IntArray", "State"]

Array: TypeAlias = Any
"""An array of any backend: NumPy, CuPy or torch."""

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

State: TypeAlias = Any
"""A NamedTuple of arrays, possibly nested (see `biomem.engine.model`)."""
