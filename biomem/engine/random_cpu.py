"""Philox4x32-10 for numba kernels: bit for bit `biomem.engine.random.words`.

Import on use: this module imports numba. The functions are small enough for LLVM to inline into
the calling kernel. They check nothing; arguments must lie in the ranges `random.words` documents.
"""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit

__all__ = ["below", "philox4x32", "uniform32", "uniform64", "words"]

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint32(0x9E3779B9)
_WEYL_1 = np.uint32(0xBB67AE85)
_HALF = np.uint64(32)
_STREAM_SHIFT = np.uint64(16)
_MASK = np.uint64(0xFFFFFFFF)


@njit(cache=True)
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Encrypt one counter of four uint32 with a key of two uint32; return four uint32."""
    c1 = np.uint32(c1)
    c3 = np.uint32(c3)
    k0 = np.uint32(k0)
    k1 = np.uint32(k1)
    for _ in range(10):
        p0 = _MULTIPLIER_0 * np.uint64(c0)
        p1 = _MULTIPLIER_1 * np.uint64(c2)
        c0, c1, c2, c3 = (
            np.uint32(np.uint32(p1 >> _HALF) ^ c1 ^ k0),
            np.uint32(p1),
            np.uint32(np.uint32(p0 >> _HALF) ^ c3 ^ k1),
            np.uint32(p0),
        )
        k0 = np.uint32(k0 + _WEYL_0)
        k1 = np.uint32(k1 + _WEYL_1)
    return c0, c1, c2, c3


@njit(cache=True)
def words(key, stream, entity, batch, tick):
    """Return the four uint32 words of one (key, stream, entity, batch, tick), all integers.

    Mind the order: `tick` is last here. From Python pass the key as ``np.uint64(rng.key)``: numba
    types a Python int as int64, which the upper half of the keys does not fit.
    """
    k = np.uint64(key)
    t = np.uint64(tick)
    high = (np.uint64(stream) << _STREAM_SHIFT) | (t >> _HALF)
    return philox4x32(
        np.uint32(np.uint64(entity)),
        np.uint32(np.uint64(batch)),
        np.uint32(t & _MASK),
        np.uint32(high),
        np.uint32(k & _MASK),
        np.uint32(k >> _HALF),
    )


@njit(cache=True)
def uniform32(word):
    """Return float32 in [0, 1) from the high 24 bits of a uint32."""
    return np.float32(np.uint32(word) >> np.uint32(8)) * np.float32(2.0**-24)


@njit(cache=True)
def uniform64(w0, w1):
    """Return float64 in [0, 1) with 53 bits from two uint32."""
    high = np.float64(np.uint32(w0) >> np.uint32(5))
    low = np.float64(np.uint32(w1) >> np.uint32(6))
    return (high * 67108864.0 + low) * 2.0**-53


@njit(cache=True)
def below(word, n):
    """Return an int64 in [0, n) as the high half of ``word * n``."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> _HALF)
