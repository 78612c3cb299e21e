"""Sums of scaled rows in a stated order, for kernels that a plain loop must equal bit for bit.

`simd` and `simd_tiles` fuse multiplication and addition and keep several partial sums. Here every
product is rounded, and every sum adds up from the first row to the last: what
``for q: total = total + scale[q] * row[q]`` gives in NumPy or C, at the speed of the arithmetic
units.

Import on use: this module imports numba.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biomem.backends import simd_llvm as llvm

__all__ = ["HIGH", "WIDE", "add_scaled"]

HIGH, WIDE = 4, 4
"""Rows of output and vectors of each that one call may take; else one."""


@intrinsic
def add_scaled(
    typingctx,
    high,
    wide,
    out,
    at,
    out_step,
    rows,
    rows_at,
    picks,
    picks_at,
    scales,
    scales_at,
    scale_step,
    places,
    count,
):
    """Add scaled rows to `high` rows of `wide` vectors.

    For o below `high`, with q rising from 0 to ``count - 1``::

        out[at + o * out_step] += scales[scales_at + o * scale_step + places[q]]
            * rows[rows_at + picks[picks_at + q]]

    `high` is 1 or `HIGH`, `wide` 1 or `WIDE`. All places count elements, except that a pick counts
    whole rows of `wide` vectors, which lie one after another. `picks` and `places` hold int32.
    Arrays are contiguous; nothing is checked.
    """

    def emit(builder: Any, args: Any, n_out: int, n_vectors: int) -> None:
        out, at, out_step, rows, rows_at, picks, picks_at, *rest = args
        scales, scales_at, scale_step, places, count = rest
        ends = [llvm.stepped(builder, at, out_step, o) for o in range(n_out)]
        sums = {
            (o, v): cgutils.alloca_once_value(builder, out.load(ends[o], v))
            for o, v in product(range(n_out), range(n_vectors))
        }
        with cgutils.for_range(builder, count) as loop:
            pick = builder.sext(picks.scalar(builder.add(picks_at, loop.index)), at.type)
            row = llvm.stepped(builder, rows_at, pick, n_vectors * out.kind.count)
            values = [rows.load(row, v) for v in range(n_vectors)]
            place = builder.sext(places.scalar(loop.index), at.type)
            first = builder.add(scales_at, place)
            for o in range(n_out):
                scale = scales.splat(llvm.stepped(builder, first, scale_step, o))
                for v in range(n_vectors):
                    total, term = builder.load(sums[o, v]), builder.fmul(scale, values[v])
                    builder.store(builder.fadd(total, term), sums[o, v])
        for (o, v), total in sums.items():
            out.store(builder.load(total), ends[o], v)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arguments = [
            llvm.Vectors(builder, context.make_array(kind)(context, builder, value).data)
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(signature.args[2:], args[2:], strict=True)
        ]
        key = builder.add(builder.mul(args[0], llvm.integer(16)), args[1])
        shapes = {h * 16 + w: (h, w) for h, w in product((HIGH, 1), (WIDE, 1))}
        llvm.unroll(builder, key, shapes, lambda shape: emit(builder, arguments, *shape))
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(n, n, out, n, n, rows, n, picks, n, scales, n, n, places, n)
    return signature, generate
