"""MurmurHash3 x86_32: the hash of the encoders.

Reference: A. Appleby, MurmurHash3 (public domain), the x86 32-bit variant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["murmur3_bytes", "murmur3_words"]

_MASK = 0xFFFFFFFF
_C1 = 0xCC9E2D51
_C2 = 0x1B873593


def murmur3_bytes(data: bytes, seed: int) -> int:
    """Return the 32-bit hash of a byte string; not for anything an adversary may choose.

    Examples
    --------
    >>> hex(murmur3_bytes(b"", 1))
    '0x514e28b7'
    """
    h = seed & _MASK
    whole = len(data) - len(data) % 4
    for i in range(0, whole, 4):
        h ^= _scramble(int.from_bytes(data[i : i + 4], "little"))
        h = (_rotate(h, 13) * 5 + 0xE6546B64) & _MASK
    h ^= _scramble(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    return h ^ (h >> 16)


def murmur3_words(keys: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """Return the hash of each key's four little-endian bytes, as `murmur3_bytes` would."""
    k = keys.astype(np.uint32) * np.uint32(_C1)
    k = ((k << np.uint32(15)) | (k >> np.uint32(17))) * np.uint32(_C2)
    h = np.uint32(seed) ^ k
    h = ((h << np.uint32(13)) | (h >> np.uint32(19))) * np.uint32(5) + np.uint32(0xE6546B64)
    h ^= np.uint32(4)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def _rotate(word: int, by: int) -> int:
    return ((word << by) | (word >> (32 - by))) & _MASK


def _scramble(word: int) -> int:
    return (_rotate((word * _C1) & _MASK, 15) * _C2) & _MASK
