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

__all__ = ["add_counted", "add_where", "count_down", "leak_and_fire"]


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


PLANES = 7
BLOCK_BITS = 512
MOST_ROWS = 2**PLANES - 1
"""Rows that the planes of a block can count."""

_USED = {used: used for used in range(1, PLANES + 1)}
_ROW = ir.VectorType(ir.IntType(64), BLOCK_BITS // 64)


def _carry_save(builder, a, b, c):
    """Return the sum and the carry of three bits in every place."""
    both = builder.xor(a, b)
    carry = builder.or_(builder.and_(a, b), builder.and_(both, c))
    return builder.xor(both, c), carry


@intrinsic
def _count_rows(typingctx, planes, bits, ids, begin, stride):
    """Count the bits of a block of the rows `ids` place by place; plane j counts 2^j."""

    def generate(context, builder, signature, args):
        a_planes, a_bits, a_ids = llvm.Vectors.of(context, builder, signature, args, 3)
        begin, stride = args[3:]
        n = llvm.length(context, builder, signature.args[2], args[2])
        cells = [cgutils.alloca_once_value(builder, llvm.like(_ROW, 0)) for _ in range(PLANES)]

        def row(k):
            s = builder.zext(a_ids.scalar(k), ir.IntType(64))
            at = builder.gep(a_bits.data, [builder.add(begin, builder.mul(s, stride))])
            return builder.load(builder.bitcast(at, _ROW.as_pointer()), align=1)

        def ripple(carry, first):
            for cell in cells[first:]:
                before = builder.load(cell)
                builder.store(builder.xor(before, carry), cell)
                carry = builder.and_(before, carry)

        fours = builder.and_(n, llvm.integer(-4))
        with cgutils.for_range_slice(builder, llvm.integer(0), fours, llvm.integer(4)) as (k, _):
            rows = [row(builder.add(k, llvm.integer(i))) for i in range(4)]
            ones, a = _carry_save(builder, builder.load(cells[0]), rows[0], rows[1])
            ones, b = _carry_save(builder, ones, rows[2], rows[3])
            twos, carry = _carry_save(builder, builder.load(cells[1]), a, b)
            builder.store(ones, cells[0])
            builder.store(twos, cells[1])
            ripple(carry, 2)
        with cgutils.for_range_slice(builder, fours, n, llvm.integer(1)) as (k, _):
            ripple(row(k), 0)
        for j, cell in enumerate(cells):
            a_planes.store(builder.bitcast(builder.load(cell), a_planes.kind), llvm.integer(0), j)
        return context.get_dummy_value()

    i = types.intp
    return types.void(planes, bits, ids, i, i), generate


@intrinsic
def _add_planes(typingctx, sums, planes, weights, at, vectors, used):
    """Add as often the weight to whole vectors of sums as the planes count."""

    def generate(context, builder, signature, args):
        a_sums, a_planes, a_weights = llvm.Vectors.of(context, builder, signature, args, 3)
        kind, count = a_sums.kind, a_sums.kind.count
        mask, picks = ir.IntType(count), ir.VectorType(ir.IntType(1), count)
        at, vectors, used = args[3:]
        masks = builder.bitcast(a_planes.data, mask.as_pointer())
        weight = a_weights.splat(llvm.integer(0))

        def emit(used):
            scaled = [builder.shl(weight, llvm.like(kind, j)) for j in range(used)]
            with cgutils.for_range(builder, vectors) as loop:
                place = builder.add(at, builder.mul(loop.index, llvm.integer(count)))
                total = a_sums.load(place)
                for j in range(used):
                    where = builder.add(loop.index, llvm.integer(j * BLOCK_BITS // count))
                    word = builder.load(builder.gep(masks, [where]), align=1)
                    some = builder.bitcast(word, picks)
                    brought = builder.select(some, scaled[j], llvm.like(kind, 0))
                    total = builder.add(total, brought)
                a_sums.store(total, place)

        llvm.unroll(builder, used, _USED, emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(sums, planes, weights, i, i, i), generate


@njit(cache=True)
def add_counted(sums, bits, weight, ids, first, stride):
    """Add one weight to a sum as often as a source in `ids` has the bit of its target set.

    The rows of all spikes are added up place by place, by carry-save adders half a thousand places
    wide, before any sum is touched (W. Mula, N. Kurz, D. Lemire, Comput. J. 61 (2018) 111).

    Parameters
    ----------
    sums, bits, ids, first, stride
        As `add_where` takes them; `bits` goes on for 64 bytes after its last row.
    weight : array of one element, of the dtype of `sums`
    """
    planes = np.empty(PLANES * BLOCK_BITS // 8, np.uint8)
    n, count = sums.shape[0], lanes(sums)
    for begin in range(0, ids.shape[0], MOST_ROWS):
        part = ids[begin : min(begin + MOST_ROWS, ids.shape[0])]
        used = 1
        while part.shape[0] >> used:
            used += 1
        for at in range(0, n, BLOCK_BITS):
            _count_rows(planes, bits, part, first + (at >> 3), stride)
            vectors = (min(at + BLOCK_BITS, n) - at) // count
            _add_planes(sums, planes, weight, at, vectors, used)
            for i in range(at + vectors * count, min(at + BLOCK_BITS, n)):
                times, byte, bit = 0, (i - at) >> 3, (i - at) & 7
                for j in range(used):
                    times += ((planes[j * BLOCK_BITS // 8 + byte] >> bit) & 1) << j
                sums[i] += weight[0] * times
