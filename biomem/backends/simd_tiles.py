"""Two register-tiled loops for dense work that is bound by arithmetic.

`tile` adds scaled rows into a few rows of output; `dots` multiplies rows with rows and keeps a
vector of partial sums for each pair. Both are built of `simd_llvm`. The optimiser is left no
choice of order, so a number does not depend on where a tile starts, and the code runs near the
peak of the arithmetic units.

A row is a contiguous stretch of a flat array, named by the index of its first element, and is read
and written in whole vectors of `simd.lanes_of` elements. Nothing is checked. For one row and a
small matrix use `simd.affine`, which is inlined.

Import on use: this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biomem.backends import simd_llvm as llvm
from biomem.backends.jit import njit

__all__ = ["PANELS", "TILES", "dots", "lane_sum", "tile"]

TILES: list[tuple[int, int]] = list(product((4, 2, 1), (4, 3, 2, 1)))
"""Heights and widths a `tile` may have; 4 by 4 sums fill half the registers of AVX-512."""

PANELS: list[tuple[int, int]] = list(product((4, 1), (6, 4, 3, 1)))
"""Numbers of left and right rows of `dots`."""

Emit: TypeAlias = Callable[[Any, Any, int, int], None]


def _outlined(
    context: Any,
    builder: Any,
    signature: Any,
    values: Any,
    name: str,
    shapes: list[tuple[int, int]],
    emit: Emit,
) -> Any:
    """Call a function of its own that holds what `emit` unrolls for each of `shapes`.

    Not inlined, so a kernel that tiles in five places compiles the unrolled bodies once. Arrays
    are handed over as pointers to their first elements. The first two arguments are the shape.
    """
    arguments = [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, values, strict=True)
    ]
    number = next(kind.dtype for kind in signature.args if isinstance(kind, types.Array))
    full_name = f"biomem_{name}_{number}"
    function = builder.module.globals.get(full_name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
        function = ir.Function(builder.module, kind, full_name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        _fill(function, shapes, emit)
    builder.call(function, arguments)
    return context.get_dummy_value()


def _fill(function: Any, shapes: list[tuple[int, int]], emit: Emit) -> None:
    builder = ir.IRBuilder(function.append_basic_block())
    high, wide, *_ = function.args
    key = builder.add(builder.mul(high, llvm.integer(16)), wide)
    numbers = {high * 16 + wide: (high, wide) for high, wide in shapes}
    llvm.unroll(builder, key, numbers, lambda shape: emit(builder, function.args, *shape))
    builder.ret_void()


@intrinsic
def tile(
    typingctx,
    high,
    wide,
    out,
    at,
    out_step,
    start,
    start_at,
    start_step,
    drive,
    drive_next,
    x,
    x_at,
    inputs,
    rows,
    rows_at,
    offsets,
    first,
    last,
    taps,
    taps_at,
    tap_step,
    tap_next,
    rectify,
):
    """Set `high` rows of `wide` vectors to a start plus two sums of scaled rows.

    For o below `high`, with p rising from 0 to ``inputs - 1``, then q from `first` to
    ``last - 1``::

        out[at + o * out_step] = start[start_at + o * start_step]
            + sum_p x[x_at + p] * drive[start_at + o * start_step + p * drive_next]
            + sum_q taps[taps_at + o * tap_step + q * tap_next] * rows[rows_at + offsets[q]]

    and, if `rectify`, what is at most zero set to zero. ``(high, wide)`` is one of `TILES`.
    """

    def emit(builder, args, n_out, n_vectors):
        _, _, out, at, out_step, start, start_at, start_step, *rest = args
        drive, drive_next, x, x_at, inputs, rows, rows_at, offsets, first, last, *rest = rest
        taps, taps_at, tap_step, tap_next, rectify = rest
        out, start, drive, x, rows, offsets, taps = (
            llvm.Vectors(builder, data) for data in (out, start, drive, x, rows, offsets, taps)
        )
        cells = list(product(range(n_out), range(n_vectors)))
        begin = [llvm.stepped(builder, start_at, start_step, o) for o in range(n_out)]
        sums = {
            (o, v): cgutils.alloca_once_value(builder, start.load(begin[o], v)) for o, v in cells
        }

        def add(scale, row, cell):
            builder.store(llvm.fma(builder, scale, row, builder.load(sums[cell])), sums[cell])

        with cgutils.for_range(builder, inputs) as loop:
            scale = x.splat(builder.add(x_at, loop.index))
            moved = builder.mul(drive_next, loop.index)
            for o, v in cells:
                add(scale, drive.load(builder.add(begin[o], moved), v), (o, v))
        with cgutils.for_range_slice(builder, first, last, llvm.integer(1)) as (q, _):
            source = builder.add(rows_at, offsets.scalar(q))
            row = [rows.load(source, v) for v in range(n_vectors)]
            tap = builder.add(taps_at, builder.mul(q, tap_next))
            for o in range(n_out):
                scale = taps.splat(llvm.stepped(builder, tap, tap_step, o))
                for v in range(n_vectors):
                    add(scale, row[v], (o, v))
        for o, v in cells:
            value = builder.load(sums[o, v])
            zero = llvm.like(value.type, 0.0)
            floored = builder.select(builder.fcmp_ordered("<=", value, zero), zero, value)
            value = builder.select(rectify, floored, value)
            out.store(value, llvm.stepped(builder, at, out_step, o), v)

    def generate(context, builder, signature, args):
        return _outlined(context, builder, signature, args, "tile", TILES, emit)

    n = types.intp
    signature = types.void(
        n, n, out, n, n, start, n, n, drive, n, x, n, n, rows, n, offsets, n, n, taps, n, n, n,
        types.boolean,
    )  # fmt: skip
    return signature, generate


@intrinsic
def dots(
    typingctx,
    high,
    wide,
    sums,
    at,
    left,
    left_at,
    left_step,
    right,
    right_at,
    offsets,
    first,
    vectors,
):
    """Add the products, lane by lane, of `high` rows with `wide` rows to vectors of sums.

    For o below `high` and q below `wide`, the vector at ``sums[at + (o * wide + q) * lanes]`` takes
    up ``left[left_at + o * left_step] * right[right_at + offsets[first + q]]`` over `vectors`
    vectors. ``(high, wide)`` is one of `PANELS`.
    """

    def emit(builder, args, n_left, n_right):
        _, _, sums, at, left, left_at, left_step, right, right_at, offsets, first, vectors = args
        sums, left, right, offsets = (
            llvm.Vectors(builder, data) for data in (sums, left, right, offsets)
        )
        cells = list(enumerate(product(range(n_left), range(n_right))))
        totals = [cgutils.alloca_once_value(builder, sums.load(at, k)) for k, _ in cells]
        starts = [
            builder.add(right_at, offsets.scalar(builder.add(first, llvm.integer(q))))
            for q in range(n_right)
        ]
        with cgutils.for_range(builder, vectors) as loop:
            moved = builder.mul(loop.index, llvm.integer(sums.kind.count))
            origin = builder.add(left_at, moved)
            a = [left.load(llvm.stepped(builder, origin, left_step, o)) for o in range(n_left)]
            b = [right.load(builder.add(row, moved)) for row in starts]
            for k, (o, q) in cells:
                builder.store(llvm.fma(builder, a[o], b[q], builder.load(totals[k])), totals[k])
        for k, _ in cells:
            sums.store(builder.load(totals[k]), at, k)

    def generate(context, builder, signature, args):
        return _outlined(context, builder, signature, args, "dots", PANELS, emit)

    n = types.intp
    signature = types.void(n, n, sums, n, left, n, n, right, n, offsets, n, n)
    return signature, generate


@njit(cache=True)
def lane_sum(sums, at, lanes):
    """Return the sum of the vector at `at`: its halves folded onto each other, so in fixed order.

    The vector is used up.
    """
    while lanes > 1:
        lanes //= 2
        for i in range(at, at + lanes):
            sums[i] += sums[i + lanes]
    return sums[at]
