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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

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
    """Vector access to an array argument of an intrinsic."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self.builder = builder
        self.data = context.make_array(kind)(context, builder, value).data
        self.bytes = kind.dtype.bitwidth // 8
        element = context.get_data_type(kind.dtype)
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


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind, lanes = a.type, ""
    if isinstance(kind, ir.VectorType):
        lanes = f"v{kind.count}"
    name = "f64" if "double" in str(kind) else "f32"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{lanes}{name}"
    )
    return builder.call(function, [a, b, c])


@contextmanager
def _case(builder: Any, switch: Any, key: int, end: Any) -> Iterator[None]:
    block = builder.append_basic_block()
    switch.add_case(_int(key), block)
    builder.position_at_end(block)
    yield
    builder.branch(end)


def _unrolled(
    builder: Any, high: Any, wide: Any, shapes: list[tuple[int, int]], emit: Callable[..., None]
) -> None:
    """Emit one unrolled body per shape, chosen at run time; another shape does nothing."""
    end = builder.append_basic_block()
    switch = builder.switch(builder.add(builder.mul(high, _int(16)), wide), end)
    for h, w in shapes:
        with _case(builder, switch, h * 16 + w, end):
            emit(h, w)
    builder.position_at_end(end)


@intrinsic
def fma(typingctx, a, b, c):
    """Return ``a * b + c``, rounded once."""

    def generate(context, builder, signature, args):
        return _fma(builder, *args)

    return a(a, a, a), generate


@intrinsic
def tile(
    typingctx,
    out,
    at,
    out_step,
    start,
    start_at,
    start_step,
    rows,
    rows_at,
    offsets,
    first,
    last,
    taps,
    taps_at,
    tap_step,
    tap_next,
    drive,
    drive_next,
    x,
    x_at,
    inputs,
    high,
    wide,
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

    def generate(context, builder, signature, args):
        a_out, a_start, a_rows, a_offsets, a_taps, a_drive, a_x = (
            _Rows(context, builder, signature.args[i], args[i]) for i in (0, 3, 6, 8, 11, 15, 17)
        )

        def emit(n_out, n_vectors):
            sums = {}
            begin = [builder.add(args[4], builder.mul(args[5], _int(o))) for o in range(n_out)]
            for o, v in product(range(n_out), range(n_vectors)):
                sums[o, v] = cgutils.alloca_once_value(builder, a_start.load(begin[o], v))
            with cgutils.for_range(builder, args[19]) as loop:
                scale = a_x.splat(builder.add(args[18], loop.index))
                moved = builder.mul(args[16], loop.index)
                for o, v in product(range(n_out), range(n_vectors)):
                    row = a_drive.load(builder.add(begin[o], moved), v)
                    builder.store(_fma(builder, scale, row, builder.load(sums[o, v])), sums[o, v])
            with cgutils.for_range_slice(builder, args[9], args[10], _int(1)) as (q, _):
                row = builder.add(args[7], a_offsets.element(q))
                x = [a_rows.load(row, v) for v in range(n_vectors)]
                tap = builder.add(args[12], builder.mul(q, args[14]))
                for o in range(n_out):
                    scale = a_taps.splat(builder.add(tap, builder.mul(args[13], _int(o))))
                    for v in range(n_vectors):
                        total = _fma(builder, scale, x[v], builder.load(sums[o, v]))
                        builder.store(total, sums[o, v])
            for o, v in product(range(n_out), range(n_vectors)):
                value = builder.load(sums[o, v])
                zero = ir.Constant(value.type, [0.0] * value.type.count)
                floored = builder.select(builder.fcmp_ordered("<=", value, zero), zero, value)
                value = builder.select(args[22], floored, value)
                a_out.store(value, builder.add(args[1], builder.mul(args[2], _int(o))), v)

        _unrolled(builder, args[20], args[21], TILES, emit)
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(
        out, n, n, start, n, n, rows, n, offsets, n, n, taps, n, n, n, drive, n, x, n, n, n, n,
        types.boolean,
    )  # fmt: skip
    return signature, generate


@intrinsic
def dots(
    typingctx,
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
    high,
    wide,
):
    """Add the products, lane by lane, of `high` rows with `wide` rows to vectors of sums.

    For o below `high` and q below `wide`, the vector at ``sums[at + (o * wide + q) * LANES]`` takes
    up ``left[left_at + o * left_step] * right[right_at + offsets[first + q]]`` over `vectors`
    vectors. ``(high, wide)`` is one of `PANELS`.
    """

    def generate(context, builder, signature, args):
        a_sums, a_left, a_right, a_offsets = (
            _Rows(context, builder, signature.args[i], args[i]) for i in (0, 2, 5, 7)
        )

        def emit(n_left, n_right):
            cells = list(product(range(n_left), range(n_right)))
            sums = [
                cgutils.alloca_once_value(builder, a_sums.load(args[1], k))
                for k in range(len(cells))
            ]
            rows = [
                builder.add(args[6], a_offsets.element(builder.add(args[8], _int(q))))
                for q in range(n_right)
            ]
            with cgutils.for_range(builder, args[9]) as loop:
                moved = builder.mul(loop.index, _int(a_sums.vector.count))
                start = builder.add(args[3], moved)
                a = [
                    a_left.load(builder.add(start, builder.mul(args[4], _int(o))))
                    for o in range(n_left)
                ]
                b = [a_right.load(builder.add(row, moved)) for row in rows]
                for k, (o, q) in enumerate(cells):
                    builder.store(_fma(builder, a[o], b[q], builder.load(sums[k])), sums[k])
            for k in range(len(cells)):
                a_sums.store(builder.load(sums[k]), args[1], k)

        _unrolled(builder, args[10], args[11], PANELS, emit)
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(sums, n, left, n, n, right, n, offsets, n, n, n, n)
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
