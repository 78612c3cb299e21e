"""Philox4x32-10 for numba.cuda kernels: bit for bit `biomem.engine.random.words`.

Import on use: this module imports numba.cuda. The device functions check nothing; arguments must
lie in the ranges `random.words` documents. All arithmetic is in uint64 with masks, so the CUDA
simulator, which computes with NumPy scalars, sees no overflow.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from biomem.backends.cuda import Launch, device_kernel
from biomem.engine import random

__all__ = ["below", "philox_uniform", "philox_words", "uniform32", "uniform64", "words"]

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_STREAM_SHIFT = np.uint64(16)


@cuda.jit(device=True)
def words(key, stream, entity, batch, tick):
    """Return the four uint32 words of one (key, stream, entity, batch, tick); `tick` is last."""
    k = np.uint64(key)
    t = np.uint64(tick)
    c0 = np.uint64(entity)
    c1 = np.uint64(batch)
    c2 = t & _MASK
    c3 = (np.uint64(stream) << _STREAM_SHIFT) | (t >> _HALF)
    k0 = k & _MASK
    k1 = k >> _HALF
    for _ in range(10):
        p0 = c0 * _MULTIPLIER_0
        p1 = c2 * _MULTIPLIER_1
        c0 = (p1 >> _HALF) ^ c1 ^ k0
        c1 = p1 & _MASK
        c2 = (p0 >> _HALF) ^ c3 ^ k1
        c3 = p0 & _MASK
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


@cuda.jit(device=True)
def uniform32(word):
    """Return float32 in [0, 1) from the high 24 bits of a uint32."""
    return np.float32(word >> np.uint32(8)) * np.float32(2.0**-24)


@cuda.jit(device=True)
def uniform64(w0, w1):
    """Return float64 in [0, 1) with 53 bits from two uint32."""
    high = np.float64(w0 >> np.uint32(5))
    low = np.float64(w1 >> np.uint32(6))
    return (high * 67108864.0 + low) * 2.0**-53


@cuda.jit(device=True)
def below(word, n):
    """Return an int64 in [0, n) as the high half of ``word * n``."""
    return np.int64((np.uint64(word) * np.uint64(n)) >> _HALF)


def _words_reference(key, stream, first, batch, tick, out):
    out[:] = random.words(key, stream, int(first) + np.arange(len(out)), int(tick), int(batch))


def _uniform_reference(key, stream, first, batch, tick, out):
    entity = int(first) + np.arange(len(out))
    out[:] = random.Rng(key).uniform(stream, entity, int(tick), int(batch))


def _launch(seed: int, out: np.ndarray) -> Launch:
    """Draw the arguments over their full ranges; 10 threads for 37 rows, so the grid strides."""
    draw = np.random.default_rng(seed)
    args = (
        np.uint64(draw.integers(2**64, dtype=np.uint64)),
        np.int64(draw.integers(2**16)),
        np.int64(draw.integers(2**32 - len(out))),
        np.int64(draw.integers(2**32)),
        np.int64(draw.integers(2**48)),
        out,
    )
    return Launch(blocks=2, threads=5, args=args)


@device_kernel(
    "philox_words",
    "void(uint64, int64, int64, int64, int64, uint32[:, ::1])",
    reference=_words_reference,
    case=lambda seed: _launch(seed, np.zeros((37, 4), np.uint32)),
)
def philox_words(key, stream, first, batch, tick, out):
    """Fill row i of `out` with the words of entity ``first + i``; any grid covers any length."""
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        w0, w1, w2, w3 = words(key, stream, first + i, batch, tick)
        out[i, 0] = w0
        out[i, 1] = w1
        out[i, 2] = w2
        out[i, 3] = w3


@device_kernel(
    "philox_uniform",
    "void(uint64, int64, int64, int64, int64, float64[::1])",
    reference=_uniform_reference,
    case=lambda seed: _launch(seed, np.zeros(37)),
)
def philox_uniform(key, stream, first, batch, tick, out):
    """Fill element i of `out` with the float64 uniform of entity ``first + i``."""
    for i in range(cuda.grid(1), out.shape[0], cuda.gridsize(1)):
        w0, w1, _, _ = words(key, stream, first + i, batch, tick)
        out[i] = uniform64(w0, w1)
