"""Vector code of the two passes that every tick makes over all neurons and all Poisson sources.

The equations are those of `membrane_cpu` and `sources_cpu`, whose loops do the rest of a row. LLVM
gives such a loop no vectors: it would have to prove five arrays apart from each other.

Import on use: this module imports numba.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biomem.backends import simd_llvm as llvm
from biomem.backends.jit import njit
from biomem.backends.simd import lanes

__all__ = ["add_where", "count_down", "leak_and_fire"]


@intrinsic
def leak_and_fire(typingctx, v, sums, held, fired, numbers, ticks, modes):
    """Advance whole vectors of the plainest neurons by a tick; return how many that were.

    Jumping leaky neurons without currents: arrival, leak, threshold, reset and refractory ticks, as
    `_jump_and_leak`, `_fire` and `_reset` of `membrane_cpu` take them. `numbers` are keep, gain,
    leak, bias, unit of arrivals, threshold, reset and the size that is 0; `modes` says whether the
    threshold is strict, the reset one to a value, and one by a value.
    """

    def generate(context, builder, signature, args):
        a_v, *_ = llvm.Vectors.of(context, builder, signature, args, 1)
        kind, count = a_v.kind, a_v.kind.count
        parts = llvm.Vectors.of(context, builder, signature, args, 4, count)
        _, a_sums, a_held, a_fired = parts
        keep, gain, leak, bias, unit, bar, reset, tiny = (
            llvm.spread(builder, kind, builder.extract_value(args[4], i)) for i in range(8)
        )
        ticks = llvm.spread(builder, a_held.kind, args[5])
        strict, to_value, by_value = (
            builder.trunc(builder.extract_value(args[6], i), ir.IntType(1)) for i in range(3)
        )
        zero, none, one = llvm.like(kind, 0.0), llvm.like(a_held.kind, 0), llvm.like(a_held.kind, 1)
        n = llvm.length(context, builder, signature.args[0], args[0])
        with llvm.whole_vectors(builder, n, count) as (k, done):
            before, left = a_v.load(k), a_held.load(k)
            arrived = builder.fmul(builder.sitofp(a_sums.load(k), kind), unit)
            away = builder.fsub(builder.fadd(before, arrived), leak)
            x = builder.fadd(builder.fadd(leak, builder.fmul(keep, away)), builder.fmul(gain, bias))
            large = builder.fcmp_ordered(">=", llvm.call(builder, "fabs", x), tiny)
            u = builder.select(large, x, zero)
            free = builder.icmp_signed("==", left, none)
            above, at = (builder.fcmp_ordered(sign, u, bar) for sign in (">", ">="))
            now = builder.and_(builder.select(strict, above, at), free)
            lowered = builder.select(by_value, builder.fsub(u, reset), u)
            after = builder.select(now, builder.select(to_value, reset, lowered), u)
            a_v.store(builder.select(free, after, before), k)
            held_on = builder.icmp_signed(">", left, none)
            rest = builder.select(held_on, builder.sub(left, one), none)
            a_held.store(builder.select(now, ticks, rest), k)
            a_fired.store(builder.zext(now, a_fired.kind), k)
            a_sums.store(llvm.like(a_sums.kind, 0), k)
        return done

    return types.intp(v, sums, held, fired, numbers, types.int32, modes), generate


@intrinsic
def count_down(typingctx, gap, fired):
    """Move whole vectors of gaps a tick towards 0, and say whose ended; return how many that were.

    A gap that ends without a spike, at -1, goes to 1 instead of 0.
    """

    def generate(context, builder, signature, args):
        a_gap, *_ = llvm.Vectors.of(context, builder, signature, args, 1)
        count = a_gap.kind.count
        _, a_fired = llvm.Vectors.of(context, builder, signature, args, 2, count)
        zero, one, minus = (llvm.like(a_gap.kind, x) for x in (0, 1, -1))
        n = llvm.length(context, builder, signature.args[0], args[0])
        with llvm.whole_vectors(builder, n, count) as (k, done):
            g = a_gap.load(k)
            barren = builder.icmp_signed("==", g, minus)
            ended = builder.or_(barren, builder.icmp_signed("==", g, one))
            a_fired.store(builder.zext(ended, a_fired.kind), k)
            up, down = (
                builder.zext(builder.icmp_signed(sign, g, zero), a_gap.kind) for sign in "<>"
            )
            moved = builder.sub(builder.add(g, up), down)
            a_gap.store(builder.select(barren, one, moved), k)
        return done

    return types.intp(gap, fired), generate


_WIDTHS = {width: width for width in (1, 2, 4, 8)}


@intrinsic
def _add_where(typingctx, sums, bits, weights, ids, first, stride, at, width):
    def generate(context, builder, signature, args):
        a_sums, a_bits, a_weights, a_ids = llvm.Vectors.of(context, builder, signature, args, 4)
        kind, count = a_sums.kind, a_sums.kind.count
        mask = ir.IntType(count)
        n = llvm.length(context, builder, signature.args[3], args[3])
        first, stride, at, width = args[4:]
        begin = builder.add(first, builder.lshr(at, llvm.integer(3)))

        def emit(width):
            cells = [cgutils.alloca_once_value(builder, a_sums.load(at, v)) for v in range(width)]
            with cgutils.for_range(builder, n) as loop:
                s = builder.zext(a_ids.scalar(loop.index), ir.IntType(64))
                weight = a_weights.splat(s)
                row = builder.gep(a_bits.data, [builder.add(begin, builder.mul(s, stride))])
                masks = builder.bitcast(row, mask.as_pointer())
                for v, cell in enumerate(cells):
                    word = builder.load(builder.gep(masks, [llvm.integer(v)]), align=1)
                    some = builder.bitcast(word, ir.VectorType(ir.IntType(1), count))
                    brought = builder.select(some, weight, llvm.like(kind, 0))
                    builder.store(builder.add(builder.load(cell), brought), cell)
            for v, cell in enumerate(cells):
                a_sums.store(builder.load(cell), at, v)

        llvm.unroll(builder, width, _WIDTHS, emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(sums, bits, weights, ids, i, i, i, i), generate


@njit(cache=True)
def add_where(sums, bits, weights, ids, first, stride):
    """Add the weight of every source in `ids` to the sums of the targets whose bit is set.

    Parameters
    ----------
    sums : int32 or int64 array, shape ``(n,)``
    bits : uint8 array
        A row of `stride` bytes for every source from place `first`, the lowest bit first.
    weights : array of the dtype of `sums`
    ids : uint32 array
    first, stride : int64
    """
    n, size, at, width = sums.shape[0], lanes(sums), 0, 8
    while width > 0:
        # All spikes pass over one block of sums, which stays in registers, before the next.
        while at + width * size <= n:
            _add_where(sums, bits, weights, ids, first, stride, at, width)
            at += width * size
        width >>= 1
    if at < n:
        for s in ids:
            row = first + np.int64(s) * stride
            for j in range(at, n):
                sums[j] += weights[s] * ((bits[row + (j >> 3)] >> (j & 7)) & 1)
