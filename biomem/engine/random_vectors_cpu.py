"""Philox4x32-10 for many entities at once, in vector code: the words of `random_cpu.words`.

A loop over `words` becomes vector code only where the entities are counted up; out of a list they
keep it scalar, which takes four times as long.

Import on use: this module imports numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from biomem.backends import simd_llvm as llvm
from biomem.backends.jit import njit
from biomem.engine.random_cpu import words

__all__ = ["LANES", "draw64", "draw_row64"]

LANES = 8
"""Entities of a vector: a counter's word takes a lane of 64 bits, for its product."""

_WIDE = ir.VectorType(ir.IntType(64), LANES)
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF


def _encrypt(builder: Any, counter: list[Any], keys: list[Any]) -> list[Any]:
    """Return the words of as many counters as there are lanes; lanes hold 32 bits each."""
    low, shift = llvm.like(_WIDE, _LOW), llvm.like(_WIDE, 32)
    c0, c1, c2, c3 = counter
    for turn in range(10):
        k0, k1 = (
            llvm.spread(
                builder,
                _WIDE,
                builder.and_(builder.add(k, llvm.integer(turn * w)), llvm.integer(_LOW)),
            )
            for k, w in zip(keys, _WEYL, strict=True)
        )
        p0, p1 = (
            builder.mul(c, llvm.like(_WIDE, m)) for c, m in zip((c0, c2), _MULTIPLIERS, strict=True)
        )
        c0, c1, c2, c3 = (
            builder.xor(builder.xor(builder.lshr(p1, shift), c1), k0),
            builder.and_(p1, low),
            builder.xor(builder.xor(builder.lshr(p0, shift), c3), k1),
            builder.and_(p0, low),
        )
    return [c0, c1, c2, c3]


@intrinsic
def _draw64(typingctx, out, ids, first, batch, tick, high, k0, k1):
    """Fill whole vectors of `out`; return how many numbers were drawn. All numbers are uint64."""

    def generate(context, builder, signature, args):
        a_out, a_ids = llvm.Vectors.of(context, builder, signature, args, 2, LANES)
        first, *rest = (llvm.spread(builder, _WIDE, x) for x in args[2:6])
        n = llvm.length(context, builder, signature.args[0], args[0])
        low = llvm.like(_WIDE, _LOW)
        with llvm.whole_vectors(builder, n, LANES) as (k, done):
            entity = builder.add(builder.zext(a_ids.load(k), _WIDE), first)
            w = _encrypt(builder, [builder.and_(entity, low), *rest], list(args[6:]))
            a_out.store(builder.or_(builder.shl(w[0], llvm.like(_WIDE, 32)), w[1]), k)
        return done

    u = types.uint64
    return types.intp(out, ids, u, u, u, u, u, u), generate


@intrinsic
def _draw_row64(typingctx, out, entity, first, tick, high, k0, k1):
    """Fill whole vectors of `out`; return how many blocks were drawn. All numbers are uint64."""

    def generate(context, builder, signature, args):
        (a_out,) = llvm.Vectors.of(context, builder, signature, args, 1, LANES)
        entity, first, *rest = (llvm.spread(builder, _WIDE, x) for x in args[1:5])
        counted = builder.add(first, ir.Constant(_WIDE, list(range(LANES))))
        low, half = llvm.like(_WIDE, _LOW), llvm.like(_WIDE, 32)
        pair = builder.lshr(
            llvm.length(context, builder, signature.args[0], args[0]), llvm.integer(1)
        )
        with llvm.whole_vectors(builder, pair, LANES) as (k, done):
            block = builder.and_(builder.add(counted, llvm.spread(builder, _WIDE, k)), low)
            w = _encrypt(builder, [entity, block, *rest], list(args[5:]))
            one = builder.or_(builder.shl(w[0], half), w[1])
            two = builder.or_(builder.shl(w[2], half), w[3])
            at = builder.shl(k, llvm.integer(1))
            for part in range(2):
                lanes = [
                    LANES * side + lane for lane in range(4 * part, 4 * part + 4) for side in (0, 1)
                ]
                turns = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
                a_out.store(builder.shuffle_vector(one, two, turns), at, part)
        return done

    u = types.uint64
    return types.intp(out, u, u, u, u, u, u), generate


@njit(cache=True)
def draw_row64(out, key, stream, entity, first, tick):
    """Fill `out` with 64-bit words of one entity: two of every batch from the first one on.

    Parameters
    ----------
    out : uint64 array, shape ``(2 n,)``
    key, stream, entity, first, tick : integers
        As `random_cpu.words` takes them, `first` being a batch.
    """
    k, t = np.uint64(key), np.uint64(tick)
    low, half = np.uint64(_LOW), np.uint64(32)
    high = (np.uint64(stream) << np.uint64(16)) | (t >> half)
    done = _draw_row64(
        out, np.uint64(entity), np.uint64(first), t & low, high & low, k & low, k >> half
    )
    for i in range(done, out.shape[0] // 2):
        w = words(key, stream, entity, first + i, tick)
        out[2 * i] = np.uint64(w[0]) << half | np.uint64(w[1])
        out[2 * i + 1] = np.uint64(w[2]) << half | np.uint64(w[3])


@njit(cache=True)
def draw64(out, key, stream, first, ids, batch, tick):
    """Fill `out` with the first 64 bits of the entities ``first + ids``.

    Parameters
    ----------
    out : uint64 array, shape ``(n,)``
    key, stream, first, batch, tick : integers
        As `random_cpu.words` takes them.
    ids : uint32 array, shape ``(n,)``
    """
    k, t = np.uint64(key), np.uint64(tick)
    low, half = np.uint64(_LOW), np.uint64(32)
    high = (np.uint64(stream) << np.uint64(16)) | (t >> half)
    done = _draw64(
        out, ids, np.uint64(first), np.uint64(batch), t & low, high & low, k & low, k >> half
    )
    for i in range(done, out.shape[0]):
        w = words(key, stream, first + ids[i], batch, tick)
        out[i] = np.uint64(w[0]) << half | np.uint64(w[1])
