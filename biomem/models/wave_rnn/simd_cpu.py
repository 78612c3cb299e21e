"""Two register-tiled loops that all dense work of the Wave-RNN is made of.

`tile` adds scaled rows into a few rows of output; `dots` multiplies rows with rows and keeps a
vector of partial sums for each pair. Both are emitted as LLVM vectors of 64 bytes with explicit
fused multiply-adds. The optimiser is left no choice of order, so a number depends neither on the
machine nor on where a tile starts, and the code runs near the peak of the arithmetic units; plain
loops have no fused operations without fast-math, and numba gives them vectors of half that width.

A row is a contiguous stretch of a flat array, named by the index of its first element, and is read
and written in whole vectors of `LANES` elements.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biomem.backends.jit import njit

__all__ = ["LANES", "dots", "fma", "lane_sum", "tile"]

VECTOR_BYTES = 64

LANES = {np.dtype(np.float32): 16, np.dtype(np.float64): 8}
"""Elements of a vector by dtype."""

TILES = list(product((4, 2, 1), (4, 3, 2, 1)))
"""Heights and widths a `tile` may have; 4 by 4 sums fill half the registers of AVX-512."""

PANELS = list(product((4, 1), (6, 4, 3, 1)))
"""Numbers of left and right rows of `dots`."""


class _Rows:
    """Vector access through a pointer to numbers."""

    def __init__(self, builder: Any, data: Any) -> None:
        self.builder, self.data = builder, data
        element = data.type.pointee
        self.bytes = 4 if element == ir.FloatType() else 8
        self.vector = ir.VectorType(element, VECTOR_BYTES // self.bytes)

    def pointer(self, index: Any, vectors: int) -> Any:
        where = self.builder.add(index, _int(vectors * self.vector.count))
        first = self.builder.gep(self.data, [where])
        return self.builder.bitcast(first, self.vector.as_pointer())

    # Neighbours on a ring start one element off, so no access claims more than that alignment.

    def load(self, index: Any, vectors: int = 0) -> Any:
        return self.builder.load(self.pointer(index, vectors), align=self.bytes)

    def store(self, value: Any, index: Any, vectors: int = 0) -> None:
        self.builder.store(value, self.pointer(index, vectors), align=self.bytes)

    def element(self, index: Any) -> Any:
        return self.builder.load(self.builder.gep(self.data, [index]))

    def splat(self, index: Any) -> Any:
        undefined = ir.Constant(self.vector, ir.Undefined)
        lane = self.builder.insert_element(undefined, self.element(index), _int(0))
        mask = ir.VectorType(ir.IntType(32), self.vector.count)
        return self.builder.shuffle_vector(
            lane, undefined, ir.Constant(mask, [0] * self.vector.count)
        )


def _int(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _stepped(builder: Any, at: Any, step: Any, times: int) -> Any:
    return builder.add(at, builder.mul(step, _int(times)))


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind, lanes = a.type, ""
    if isinstance(kind, ir.VectorType):
        lanes = f"v{kind.count}"
    name = "f64" if "double" in str(kind) else "f32"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{lanes}{name}"
    )
    return builder.call(function, [a, b, c])


Emit: TypeAlias = Callable[[Any, Any, int, int], None]


def _call(
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
        _unroll(ir.IRBuilder(function.append_basic_block()), function, shapes, emit)
    builder.call(function, arguments)
    return context.get_dummy_value()


def _unroll(builder: Any, function: Any, shapes: list[tuple[int, int]], emit: Emit) -> None:
    end = function.append_basic_block()
    key = builder.add(builder.mul(function.args[0], _int(16)), function.args[1])
    switch = builder.switch(key, end)
    for high, wide in shapes:
        block = function.append_basic_block()
        switch.add_case(_int(high * 16 + wide), block)
        builder.position_at_end(block)
        emit(builder, function.args, high, wide)
        builder.branch(end)
    builder.position_at_end(end)
    builder.ret_void()


@intrinsic
def fma(typingctx, a, b, c):
    """Return ``a * b + c``, rounded once."""

    def generate(context, builder, signature, args):
        return _fma(builder, *args)

    return a(a, a, a), generate


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
            _Rows(builder, data) for data in (out, start, drive, x, rows, offsets, taps)
        )
        cells = list(product(range(n_out), range(n_vectors)))
        begin = [_stepped(builder, start_at, start_step, o) for o in range(n_out)]
        sums = {
            (o, v): cgutils.alloca_once_value(builder, start.load(begin[o], v)) for o, v in cells
        }

        def add(scale, row, cell):
            builder.store(_fma(builder, scale, row, builder.load(sums[cell])), sums[cell])

        with cgutils.for_range(builder, inputs) as loop:
            scale = x.splat(builder.add(x_at, loop.index))
            moved = builder.mul(drive_next, loop.index)
            for o, v in cells:
                add(scale, drive.load(builder.add(begin[o], moved), v), (o, v))
        with cgutils.for_range_slice(builder, first, last, _int(1)) as (q, _):
            source = builder.add(rows_at, offsets.element(q))
            row = [rows.load(source, v) for v in range(n_vectors)]
            tap = builder.add(taps_at, builder.mul(q, tap_next))
            for o in range(n_out):
                scale = taps.splat(_stepped(builder, tap, tap_step, o))
                for v in range(n_vectors):
                    add(scale, row[v], (o, v))
        for o, v in cells:
            value = builder.load(sums[o, v])
            zero = ir.Constant(value.type, [0.0] * value.type.count)
            floored = builder.select(builder.fcmp_ordered("<=", value, zero), zero, value)
            value = builder.select(rectify, floored, value)
            out.store(value, _stepped(builder, at, out_step, o), v)

    def generate(context, builder, signature, args):
        return _call(context, builder, signature, args, "tile", TILES, emit)

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

    For o below `high` and q below `wide`, the vector at ``sums[at + (o * wide + q) * LANES]`` takes
    up ``left[left_at + o * left_step] * right[right_at + offsets[first + q]]`` over `vectors`
    vectors. ``(high, wide)`` is one of `PANELS`.
    """

    def emit(builder, args, n_left, n_right):
        _, _, sums, at, left, left_at, left_step, right, right_at, offsets, first, vectors = args
        sums, left, right, offsets = (_Rows(builder, data) for data in (sums, left, right, offsets))
        cells = list(enumerate(product(range(n_left), range(n_right))))
        totals = [cgutils.alloca_once_value(builder, sums.load(at, k)) for k, _ in cells]
        starts = [
            builder.add(right_at, offsets.element(builder.add(first, _int(q))))
            for q in range(n_right)
        ]
        with cgutils.for_range(builder, vectors) as loop:
            moved = builder.mul(loop.index, _int(sums.vector.count))
            origin = builder.add(left_at, moved)
            a = [left.load(_stepped(builder, origin, left_step, o)) for o in range(n_left)]
            b = [right.load(builder.add(row, moved)) for row in starts]
            for k, (o, q) in cells:
                builder.store(_fma(builder, a[o], b[q], builder.load(totals[k])), totals[k])
        for k, _ in cells:
            sums.store(builder.load(totals[k]), at, k)

    def generate(context, builder, signature, args):
        return _call(context, builder, signature, args, "dots", PANELS, emit)

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
