"""Booleans eight to a byte: how spikes are kept, in memory and in files.

Element ``i`` of a row, counted in C order, is bit ``i % 8`` of byte ``i // 8``, the least
significant bit first. The bits behind the last element are zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from biomem.typing import BoolArray

__all__ = ["bytes_of", "pack", "set_bits", "unpack"]

_LONG = 256  # bits


def bytes_of(shape: tuple[int, ...]) -> int:
    """Return the bytes of a packed row of `shape`."""
    return -(-math.prod(shape) // 8)


def pack(rows: BoolArray) -> NDArray[np.uint8]:
    """Pack ``(time, *shape)`` booleans to ``(time, bytes)``.

    >>> pack(np.array([[True, False, True]]))
    array([[5]], dtype=uint8)
    """
    n, per_row = math.prod(rows.shape[1:]), bytes_of(rows.shape[1:])
    flat = rows.reshape(len(rows), n)
    if n % 8 and n > _LONG:
        return np.packbits(flat, axis=1, bitorder="little")
    # Packing row by row costs more than filling short rows up to whole bytes.
    if n % 8:
        filled = np.zeros((len(rows), 8 * per_row), np.bool_)
        filled[:, :n] = flat
        flat = filled
    return np.packbits(flat.reshape(-1), bitorder="little").reshape(len(rows), per_row)


def unpack(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> BoolArray:
    """Return the ``(time, *shape)`` booleans of ``(time, bytes)`` packed rows.

    >>> unpack(np.array([[5]], np.uint8), (3,))
    array([[ True, False,  True]])
    """
    n = math.prod(shape)
    if n % 8 == 0:
        flat = np.unpackbits(packed.reshape(-1), bitorder="little")
    else:
        flat = np.unpackbits(packed, axis=1, count=n, bitorder="little")
    return flat.view(np.bool_).reshape(len(packed), *shape)


def set_bits(packed: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and bit of every one in ``(time, bytes)`` packed rows, in ascending order.

    The effort is that of passing over the bytes, and of the ones that are found.

    >>> set_bits(np.array([[0, 0], [5, 128]], np.uint8))
    (array([1, 1, 1]), array([ 0,  2, 15]))
    """
    flat = packed.reshape(-1)
    filled = np.flatnonzero(flat != 0)
    ones = np.flatnonzero(np.unpackbits(flat[filled], bitorder="little"))
    counts = np.bitwise_count(packed).sum(axis=1, dtype=np.intp)
    row = np.repeat(np.arange(len(packed)), counts)
    return row, filled[ones >> 3] * 8 + (ones & 7) - row * (8 * packed.shape[1])
