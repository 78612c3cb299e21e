"""Where columns and inputs lie: centres and neighbourhoods on a grid of any rank, wrapped or not.

Grids are numbered in row-major order. A neighbourhood is a hyper-cube cut off at the edges or
wrapped round them; it holds its centre, and each point once even where the cube is larger than
the grid. Its order (row-major over the cube, coordinates from low to high side of the centre) is
part of the contract: sums over a neighbourhood are taken in it.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["centre_of", "neighbour_table", "neighbourhood"]


def _axis(centre: int, radius: int, size: int, wrap: bool) -> NDArray[np.int64]:
    if 2 * radius + 1 >= size and wrap:
        return np.arange(size)
    if wrap:
        return np.arange(centre - radius, centre + radius + 1) % size
    return np.arange(max(0, centre - radius), min(size, centre + radius + 1))


def neighbourhood(
    centre: tuple[int, ...], radius: int, shape: tuple[int, ...], wrap: bool
) -> NDArray[np.int64]:
    """Return the points within `radius` of `centre` in every dimension, the centre included.

    Examples
    --------
    >>> neighbourhood((0,), 1, (5,), wrap=True)
    array([4, 0, 1])
    >>> neighbourhood((0, 1), 1, (3, 3), wrap=False)
    array([0, 1, 2, 3, 4, 5])
    """
    flat = np.zeros(1, np.int64)
    for c, size in zip(centre, shape, strict=True):
        flat = (flat[:, None] * size + _axis(c, radius, size, wrap)).ravel()
    return flat


def centre_of(
    column: int, column_shape: tuple[int, ...], input_shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the coordinates of the input that lies under the middle of `column`.

    Per dimension ``floor((coordinate + 1/2) * inputs / columns)``, in integers.

    Examples
    --------
    >>> centre_of(1, column_shape=(2,), input_shape=(10,))
    (7,)
    """
    at = np.unravel_index(column, column_shape)
    return tuple(
        (2 * int(c) + 1) * inputs // (2 * columns)
        for c, inputs, columns in zip(at, input_shape, column_shape, strict=True)
    )


@functools.lru_cache(maxsize=8)
def neighbour_table(shape: tuple[int, ...], radius: int, wrap: bool) -> NDArray[np.int64]:
    """Return the neighbourhood of every point as rows, padded with -1 where edges cut them.

    Returns
    -------
    array of int64, shape ``(points, largest neighbourhood)``
        Shared between calls: do not write to it.
    """
    rows = [
        neighbourhood(tuple(map(int, np.unravel_index(i, shape))), radius, shape, wrap)
        for i in range(math.prod(shape))
    ]
    table = np.full((len(rows), max(map(len, rows))), -1, np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    table.flags.writeable = False
    return table
