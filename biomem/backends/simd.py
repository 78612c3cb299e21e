"""Vector operations on rows, for compiled kernels.

Made for rows of a few dozen numbers, where plain loops spend more on set-up than on the numbers.
They are built of `simd_llvm`: the order of every sum is fixed by the source, so a number depends
neither on the machine nor on the optimiser. Larger products are the matter of `simd_tiles`.

Arrays are contiguous and padded to whole vectors (`padded`) with zeros, which every operation here
maps to zeros. Lengths are counted in vectors; nothing is checked.

Import on use: this module imports numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biomem.backends import simd_llvm as llvm
from biomem.backends.jit import njit

__all__ = [
    "add",
    "add_product",
    "add_rows",
    "affine",
    "copy",
    "find",
    "fma",
    "lanes",
    "lanes_of",
    "padded",
    "positions",
    "relu",
    "relu_slope",
    "scale",
    "silu",
    "silu_slope",
]

WIDEST = 4
"""Vectors of a row that are summed in registers at once."""

_WIDTHS = {width: width for width in range(1, WIDEST + 1)}


def lanes_of(dtype: Any) -> int:
    """Return the elements of a vector."""
    return llvm.VECTOR_BYTES // np.dtype(dtype).itemsize


def padded(n: int, dtype: Any) -> int:
    """Return `n` rounded up to whole vectors."""
    lanes = lanes_of(dtype)
    return -(-n // lanes) * lanes


@njit(cache=True, nogil=True)
def copy(target, source):
    """Copy an array of any length to the start of another.

    numba's slice assignment compiles the text of what it says about wrong shapes, for two seconds.
    """
    for i in range(source.size):
        target[i] = source[i]


@intrinsic
def fma(typingctx, a, b, c):
    """Return ``a * b + c``, rounded once."""

    def generate(context, builder, signature, args):
        return llvm.fma(builder, *args)

    return a(a, a, a), generate


@intrinsic
def add(typingctx, out, a, b, vectors):
    """Set ``out = a + b``."""

    def generate(context, builder, signature, args):
        return llvm.each(context, builder, signature, args, lambda e, a, b: e.fadd(a, b))

    return types.void(out, a, b, types.intp), generate


@intrinsic
def scale(typingctx, out, a, b, vectors):
    """Set ``out = a * b``."""

    def generate(context, builder, signature, args):
        return llvm.each(context, builder, signature, args, lambda e, a, b: e.fmul(a, b))

    return types.void(out, a, b, types.intp), generate


@intrinsic
def add_product(typingctx, out, a, b, c, vectors):
    """Set ``out = a + b * c``, rounded once."""

    def generate(context, builder, signature, args):
        return llvm.each(context, builder, signature, args, lambda e, a, b, c: llvm.fma(e, b, c, a))

    return types.void(out, a, b, c, types.intp), generate


@intrinsic
def relu(typingctx, out, x, vectors):
    """Set ``out = max(x, 0)``."""

    def generate(context, builder, signature, args):
        return llvm.each(context, builder, signature, args, lambda e, x: llvm.positive(e, x, x))

    return types.void(out, x, types.intp), generate


@intrinsic
def silu(typingctx, out, x, vectors):
    """Set ``out = x / (1 + exp(-x))``."""

    def generate(context, builder, signature, args):
        return llvm.each(
            context, builder, signature, args, lambda e, x: e.fmul(x, llvm.sigmoid(e, x))
        )

    return types.void(out, x, types.intp), generate


@intrinsic
def relu_slope(typingctx, out, x, g, vectors):
    """Set ``out = g * d relu(x) / dx``; the slope at 0 is 0."""

    def generate(context, builder, signature, args):
        return llvm.each(context, builder, signature, args, llvm.positive)

    return types.void(out, x, g, types.intp), generate


@intrinsic
def silu_slope(typingctx, out, x, g, vectors):
    """Set ``out = g * d silu(x) / dx``."""

    def generate(context, builder, signature, args):
        def formula(e, x, g):
            s = llvm.sigmoid(e, x)
            rest = e.fmul(x, e.fsub(llvm.like(x.type, 1.0), s))
            return e.fmul(g, llvm.fma(e, s, rest, s))

        return llvm.each(context, builder, signature, args, formula)

    return types.void(out, x, g, types.intp), generate


@intrinsic
def _affine(typingctx, out, start, x, rows, n, stride, at, vectors, rectify):
    def generate(context, builder, signature, args):
        a_out, a_start, a_x, a_rows = llvm.Vectors.of(context, builder, signature, args, 4)
        n, stride, at, vectors, rectify = args[4:]

        def emit(width):
            def term(q):
                row = builder.add(builder.mul(q, stride), at)
                return a_x.splat(q), [a_rows.load(row, v) for v in range(width)]

            start = [a_start.load(at, v) for v in range(width)]
            for v, total in enumerate(llvm.sum_rows(builder, start, llvm.integer(0), n, term)):
                floored = llvm.positive(builder, total, total)
                a_out.store(builder.select(rectify, floored, total), at, v)

        llvm.unroll(builder, vectors, _WIDTHS, emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, start, x, rows, i, i, i, i, types.boolean), generate


@intrinsic
def _add_rows(typingctx, out, decay, rows, picks, scales, first, n, stride, at, vectors):
    def generate(context, builder, signature, args):
        a_out, a_decay, a_rows, a_picks, a_scales = llvm.Vectors.of(
            context, builder, signature, args, 5
        )
        first, n, stride, at, vectors = args[5:]

        def emit(width):
            def term(q):
                pick = builder.sext(a_picks.scalar(q), ir.IntType(64))
                row = builder.add(builder.mul(pick, stride), at)
                return a_scales.splat(q), [a_rows.load(row, v) for v in range(width)]

            decay = a_decay.splat(llvm.integer(0))
            start = [builder.fmul(decay, a_out.load(at, v)) for v in range(width)]
            for v, total in enumerate(llvm.sum_rows(builder, start, first, n, term)):
                a_out.store(total, at, v)

        llvm.unroll(builder, vectors, _WIDTHS, emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, decay, rows, picks, scales, i, i, i, i, i), generate


@intrinsic
def lanes(typingctx, array):
    """Return the elements of a vector of an array's dtype."""

    # A constant of the compiled code; dividing by an item's size at run time is slower than a sum.
    def generate(context, builder, signature, args):
        return llvm.integer(llvm.VECTOR_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.intp(array), generate


@njit(cache=True, forceinline=True)
def affine(out, start, x, rows, n, rectify):
    """Set ``out = start + x[:n] @ rows[:n]``, negative sums to zero if `rectify`."""
    stride = rows.shape[1]
    count = lanes(out)
    vectors, at = stride // count, 0
    while vectors > 0:
        width = min(vectors, WIDEST)
        _affine(out, start, x, rows, n, stride, at, width, rectify)
        at += width * count
        vectors -= width


@njit(cache=True, forceinline=True)
def add_rows(out, decay, rows, picks, scales, first, last):
    """Set ``out = decay[0] * out + sum of scales[q] * rows[picks[q]]``, q from first to last - 1.

    `picks` is an int32 array.
    """
    stride = rows.shape[1]
    count = lanes(out)
    vectors, at = stride // count, 0
    while vectors > 0:
        width = min(vectors, WIDEST)
        _add_rows(out, decay, rows, picks, scales, first, last - first, stride, at, width)
        at += width * count
        vectors -= width


@intrinsic
def _mark(typingctx, words, x, vectors):
    def generate(context, builder, signature, args):
        a_words, a_x = llvm.Vectors.of(context, builder, signature, args, 2)
        mask = ir.IntType(a_x.kind.count)
        masks = builder.bitcast(a_words.data, mask.as_pointer())
        with cgutils.for_range(builder, args[2]) as loop:
            x = a_x.load(builder.mul(loop.index, llvm.integer(a_x.kind.count)))
            some = builder.fcmp_unordered("!=", x, llvm.like(x.type, 0.0))
            builder.store(builder.bitcast(some, mask), builder.gep(masks, [loop.index]), align=1)
        return context.get_dummy_value()

    return types.void(words, x, types.intp), generate


@intrinsic
def _first_bit(typingctx, word):
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@njit(cache=True, forceinline=True)
def find(x, words, channels, values):
    """Collect the non-zero entries of a row, in order, and return their number.

    Parameters
    ----------
    x : float array, shape ``(n,)``
    words : uint64 array, shape ``(ceil(n / 64),)``, zeros; scratch that stays zero at its end
    channels, values : int32 and float arrays, shape ``(n + 1,)``, to fill
    """
    count = lanes(x)
    vectors, found = len(x) // count, 0
    _mark(words, x, vectors)
    for k in range(len(words)):
        word = words[k]
        while word != 0:
            i = 64 * k + _first_bit(word)
            channels[found] = i
            values[found] = x[i]
            found += 1
            word &= word - np.uint64(1)
    for i in range(vectors * count, len(x)):
        # Writing first and counting after spares a branch that nobody could predict.
        channels[found] = i
        values[found] = x[i]
        found += x[i] != 0
    return found


@intrinsic
def _set_bits(typingctx, flags, at):
    def generate(context, builder, signature, args):
        (a_flags,) = llvm.Vectors.of(context, builder, signature, args, 1)
        x = a_flags.load(args[1])
        return builder.bitcast(builder.icmp_unsigned("!=", x, llvm.like(x.type, 0)), ir.IntType(64))

    return types.uint64(flags, types.intp), generate


@intrinsic
def _count_bits(typingctx, word):
    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@njit(cache=True, forceinline=True)
def positions(flags, out):
    """Write the positions of the flags that are set, ascending; return how many there are.

    Parameters
    ----------
    flags : bool array, shape ``(n,)``
    out : integer array, shape ``(n,)`` or longer, to fill
    """
    found, whole = 0, len(flags) // 64 * 64
    for at in range(0, whole, 64):
        word = _set_bits(flags, at)
        end = found + _count_bits(word)
        # Written always and kept where it counts: no branch to mispredict while few are set.
        for k in range(4):
            out[found + k] = at + _first_bit(word)
            word &= word - np.uint64(1)
        found += 4
        while found < end:
            out[found] = at + _first_bit(word)
            word &= word - np.uint64(1)
            found += 1
        found = end
    for i in range(whole, len(flags)):
        out[found] = i
        found += flags[i]
    return found
