"""Vector operations the compiled scans of the ELM are made of.

Emitted as LLVM vectors of 64 bytes with explicit fused multiply-adds. The order of every sum is
fixed by this source, so a number depends neither on the machine nor on the optimiser; plain loops
would have no fused operations without fastmath, and spend more on set-up than on the few dozen
numbers a layer of this neuron has.

Arrays are contiguous and padded to whole vectors (`padded`) with zeros, which every operation here
maps to zeros. Lengths are counted in vectors; nothing is checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from biomem.backends.jit import njit

__all__ = [
    "add",
    "add_product",
    "add_rows",
    "affine",
    "bound",
    "find",
    "lanes_of",
    "padded",
    "relu",
    "relu_slope",
    "scale",
    "silu",
    "silu_slope",
]

VECTOR_BYTES = 64
WIDEST = 4
"""Vectors of a row that are summed in registers at once."""

_LOG2E = math.log2(math.e)
# ln 2 in two parts; the first has ten bits, so its product with an exponent is exact.
_LN2 = (0.693359375, -2.121944400546905827679e-4)
_TAYLOR = [1.0 / math.factorial(n) for n in range(14)]
_TERMS = {"float": 8, "double": 13}
_BIAS_AND_SHIFT = {"float": (127, 23), "double": (1023, 52)}


def lanes_of(dtype: Any) -> int:
    """Return the elements of a vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


def padded(n: int, dtype: Any) -> int:
    """Return `n` rounded up to whole vectors."""
    lanes = lanes_of(dtype)
    return -(-n // lanes) * lanes


class _Vectors:
    """Vector access to the data of an array argument."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self.builder = builder
        self.data = context.make_array(kind)(context, builder, value).data
        self.bytes = kind.dtype.bitwidth // 8
        self.kind = ir.VectorType(context.get_data_type(kind.dtype), VECTOR_BYTES // self.bytes)

    def _at(self, element: Any, vector: int) -> Any:
        where = self.builder.add(element, _int(vector * self.kind.count))
        return self.builder.bitcast(self.builder.gep(self.data, [where]), self.kind.as_pointer())

    def load(self, element: Any, vector: int = 0) -> Any:
        return self.builder.load(self._at(element, vector), align=self.bytes)

    def store(self, value: Any, element: Any, vector: int = 0) -> None:
        self.builder.store(value, self._at(element, vector), align=self.bytes)

    def scalar(self, element: Any) -> Any:
        return self.builder.load(self.builder.gep(self.data, [element]))


def _int(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _like(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _splat(builder: Any, kind: Any, scalar: Any) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    lane = builder.insert_element(undefined, scalar, _int(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(lane, undefined, zeros)


def _call(builder: Any, name: str, *args: Any) -> Any:
    kind = args[0].type
    letter = {"float": "f32", "double": "f64"}[str(kind.element)]
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [a.type for a in args]),
        f"llvm.{name}.v{kind.count}{letter}",
    )
    return builder.call(function, args)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, "fma", a, b, c)


def _positive(builder: Any, x: Any, value: Any) -> Any:
    zero = _like(x.type, 0.0)
    return builder.select(builder.fcmp_ordered(">", x, zero), value, zero)


def _sum_rows(
    builder: Any, start: list[Any], first: Any, count: Any, term: Callable[[Any], tuple]
) -> list[Any]:
    """Return ``start + sum over q in [first, first + count) of scale(q) * row(q)`` per vector.

    ``term(q)`` gives a scale and the vectors of a row. Several partial sums, taken in turn, hide
    the latency of the multiply-adds; they are added up pairwise at the end.
    """
    width = len(start)
    sets = 4
    sums = [
        [
            cgutils.alloca_once_value(builder, start[v] if s == 0 else _like(start[v].type, 0.0))
            for v in range(width)
        ]
        for s in range(sets)
    ]

    def add(q: Any, s: int) -> None:
        scale, row = term(q)
        for v in range(width):
            total = _fma(builder, scale, row[v], builder.load(sums[s][v]))
            builder.store(total, sums[s][v])

    end = builder.add(first, count)
    whole = builder.sub(end, builder.and_(count, _int(sets - 1)))
    with cgutils.for_range_slice(builder, first, whole, _int(sets)) as (q, _):
        for s in range(sets):
            add(builder.add(q, _int(s)), s)
    with cgutils.for_range_slice(builder, whole, end, _int(1)) as (q, _):
        add(q, 0)
    totals = [[builder.load(cell) for cell in row] for row in sums]
    while len(totals) > 1:
        totals = [
            [builder.fadd(a, b) for a, b in zip(left, right, strict=True)]
            for left, right in zip(totals[::2], totals[1::2], strict=True)
        ]
    return totals[0]


def _by_width(builder: Any, vectors: Any, emit: Callable[[int], None]) -> None:
    """Emit one unrolled body per number of vectors, chosen at run time."""
    end = builder.append_basic_block()
    switch = builder.switch(vectors, end)
    for width in range(1, WIDEST + 1):
        block = builder.append_basic_block()
        switch.add_case(_int(width), block)
        builder.position_at_end(block)
        emit(width)
        builder.branch(end)
    builder.position_at_end(end)


@intrinsic
def _affine(typingctx, out, start, x, rows, n, stride, at, vectors, rectify):
    def generate(context, builder, signature, args):
        a_out, a_start, a_x, a_rows = (
            _Vectors(context, builder, signature.args[i], args[i]) for i in range(4)
        )
        n, stride, at, vectors, rectify = args[4:]

        def emit(width):
            def term(q):
                row = builder.add(builder.mul(q, stride), at)
                scale = _splat(builder, a_x.kind, a_x.scalar(q))
                return scale, [a_rows.load(row, v) for v in range(width)]

            start = [a_start.load(at, v) for v in range(width)]
            for v, total in enumerate(_sum_rows(builder, start, _int(0), n, term)):
                floored = _positive(builder, total, total)
                a_out.store(builder.select(rectify, floored, total), at, v)

        _by_width(builder, vectors, emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, start, x, rows, i, i, i, i, types.boolean), generate


@intrinsic
def _add_rows(typingctx, out, decay, rows, picks, scales, first, n, stride, at, vectors):
    def generate(context, builder, signature, args):
        a_out, a_decay, a_rows, a_picks, a_scales = (
            _Vectors(context, builder, signature.args[i], args[i]) for i in range(5)
        )
        first, n, stride, at, vectors = args[5:]

        def emit(width):
            def term(q):
                pick = builder.sext(a_picks.scalar(q), ir.IntType(64))
                row = builder.add(builder.mul(pick, stride), at)
                scale = _splat(builder, a_out.kind, a_scales.scalar(q))
                return scale, [a_rows.load(row, v) for v in range(width)]

            decay = _splat(builder, a_out.kind, a_decay.scalar(_int(0)))
            start = [builder.fmul(decay, a_out.load(at, v)) for v in range(width)]
            for v, total in enumerate(_sum_rows(builder, start, first, n, term)):
                a_out.store(total, at, v)

        _by_width(builder, vectors, emit)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, decay, rows, picks, scales, i, i, i, i, i), generate


@intrinsic
def _lanes(typingctx, array):
    # A constant of the compiled code; dividing by an item's size at run time is slower than a sum.
    def generate(context, builder, signature, args):
        return _int(VECTOR_BYTES * 8 // signature.args[0].dtype.bitwidth)

    return types.intp(array), generate


@njit(cache=True, forceinline=True)
def affine(out, start, x, rows, n, rectify):
    """Set ``out = start + x[:n] @ rows[:n]``, negative sums to zero if `rectify`."""
    stride = rows.shape[1]
    lanes = _lanes(out)
    vectors, at = stride // lanes, 0
    while vectors > 0:
        width = min(vectors, WIDEST)
        _affine(out, start, x, rows, n, stride, at, width, rectify)
        at += width * lanes
        vectors -= width


@njit(cache=True, forceinline=True)
def add_rows(out, decay, rows, picks, scales, first, last):
    """Set ``out = decay[0] * out + sum of scales[q] * rows[picks[q]]``, q from first to last - 1.

    `picks` is an int32 array.
    """
    stride = rows.shape[1]
    lanes = _lanes(out)
    vectors, at = stride // lanes, 0
    while vectors > 0:
        width = min(vectors, WIDEST)
        _add_rows(out, decay, rows, picks, scales, first, last - first, stride, at, width)
        at += width * lanes
        vectors -= width


def _expm1(builder: Any, x: Any) -> tuple[Any, Any]:
    """Return ``s = 2**k`` and r with ``exp(x) - 1 = s * r + (s - 1)``, for exponents in range."""
    kind = x.type
    name = str(kind.element)
    bias, shift = _BIAS_AND_SHIFT[name]
    integer = ir.VectorType(ir.IntType(VECTOR_BYTES * 8 // kind.count), kind.count)
    scaled = _fma(builder, x, _like(kind, _LOG2E), _like(kind, 0.5))
    k = _call(builder, "floor", scaled)
    bits = builder.add(builder.fptosi(k, integer), _like(integer, bias))
    power = builder.bitcast(builder.shl(bits, _like(integer, shift)), kind)
    r = _fma(builder, k, _like(kind, -_LN2[0]), x)
    r = _fma(builder, k, _like(kind, -_LN2[1]), r)
    terms = _TERMS[name]
    q = _like(kind, _TAYLOR[terms])
    for n in range(terms - 1, 1, -1):
        q = _fma(builder, q, r, _like(kind, _TAYLOR[n]))
    return power, _fma(builder, builder.fmul(q, r), r, r)


def _tanh(builder: Any, x: Any) -> Any:
    kind = x.type
    one, two, top = _like(kind, 1.0), _like(kind, 2.0), _like(kind, 40.0)
    a = builder.fmul(_call(builder, "fabs", x), two)
    a = builder.select(builder.fcmp_ordered("<", a, top), a, top)
    power, r = _expm1(builder, a)
    p = _fma(builder, power, r, builder.fsub(power, one))
    return _call(builder, "copysign", builder.fdiv(p, builder.fadd(p, two)), x)


def _sigmoid(builder: Any, x: Any) -> Any:
    kind = x.type
    one, top, low = _like(kind, 1.0), _like(kind, 80.0), _like(kind, -80.0)
    a = builder.fsub(_like(kind, -0.0), x)
    a = builder.select(builder.fcmp_ordered("<", a, top), a, top)
    a = builder.select(builder.fcmp_ordered(">", a, low), a, low)
    power, r = _expm1(builder, a)
    return builder.fdiv(one, builder.fadd(one, _fma(builder, power, r, power)))


def _each(context, builder, signature, args, formula):
    """Set every vector of the first array to `formula` of those of the others."""
    out, *inputs = (
        _Vectors(context, builder, kind, value)
        for kind, value in zip(signature.args[:-1], args[:-1], strict=True)
    )
    with cgutils.for_range(builder, args[-1]) as loop:
        at = builder.mul(loop.index, _int(out.kind.count))
        out.store(formula(builder, *(a.load(at) for a in inputs)), at)
    return context.get_dummy_value()


@intrinsic
def add(typingctx, out, a, b, vectors):
    """Set ``out = a + b``."""

    def generate(context, builder, signature, args):
        return _each(context, builder, signature, args, lambda e, a, b: e.fadd(a, b))

    return types.void(out, a, b, types.intp), generate


@intrinsic
def scale(typingctx, out, a, b, vectors):
    """Set ``out = a * b``."""

    def generate(context, builder, signature, args):
        return _each(context, builder, signature, args, lambda e, a, b: e.fmul(a, b))

    return types.void(out, a, b, types.intp), generate


@intrinsic
def add_product(typingctx, out, a, b, c, vectors):
    """Set ``out = a + b * c``, rounded once."""

    def generate(context, builder, signature, args):
        return _each(context, builder, signature, args, lambda e, a, b, c: _fma(e, b, c, a))

    return types.void(out, a, b, c, types.intp), generate


@intrinsic
def bound(typingctx, out, x, vectors):
    """Set ``out = tanh(2/3 x)``, to a few units in the last place."""

    def generate(context, builder, signature, args):
        def formula(e, x):
            return _tanh(e, e.fmul(x, _like(x.type, 2.0 / 3.0)))

        return _each(context, builder, signature, args, formula)

    return types.void(out, x, types.intp), generate


@intrinsic
def relu(typingctx, out, x, vectors):
    """Set ``out = max(x, 0)``."""

    def generate(context, builder, signature, args):
        return _each(context, builder, signature, args, lambda e, x: _positive(e, x, x))

    return types.void(out, x, types.intp), generate


@intrinsic
def silu(typingctx, out, x, vectors):
    """Set ``out = x / (1 + exp(-x))``."""

    def generate(context, builder, signature, args):
        return _each(context, builder, signature, args, lambda e, x: e.fmul(x, _sigmoid(e, x)))

    return types.void(out, x, types.intp), generate


@intrinsic
def relu_slope(typingctx, out, x, g, vectors):
    """Set ``out = g * d relu(x) / dx``; the slope at 0 is 0."""

    def generate(context, builder, signature, args):
        return _each(context, builder, signature, args, _positive)

    return types.void(out, x, g, types.intp), generate


@intrinsic
def silu_slope(typingctx, out, x, g, vectors):
    """Set ``out = g * d silu(x) / dx``."""

    def generate(context, builder, signature, args):
        def formula(e, x, g):
            s = _sigmoid(e, x)
            rest = e.fmul(x, e.fsub(_like(x.type, 1.0), s))
            return e.fmul(g, _fma(e, s, rest, s))

        return _each(context, builder, signature, args, formula)

    return types.void(out, x, g, types.intp), generate


@intrinsic
def _mark(typingctx, words, x, vectors):
    def generate(context, builder, signature, args):
        a_words, a_x = (_Vectors(context, builder, signature.args[i], args[i]) for i in range(2))
        mask = ir.IntType(a_x.kind.count)
        masks = builder.bitcast(a_words.data, mask.as_pointer())
        with cgutils.for_range(builder, args[2]) as loop:
            x = a_x.load(builder.mul(loop.index, _int(a_x.kind.count)))
            some = builder.fcmp_unordered("!=", x, _like(x.type, 0.0))
            builder.store(builder.bitcast(some, mask), builder.gep(masks, [loop.index]), align=1)
        return context.get_dummy_value()

    return types.void(words, x, types.intp), generate


@intrinsic
def _lowest_bit(typingctx, word):
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

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
    lanes = _lanes(x)
    vectors, found = len(x) // lanes, 0
    _mark(words, x, vectors)
    for k in range(len(words)):
        word = words[k]
        while word != 0:
            i = 64 * k + _lowest_bit(word)
            channels[found] = i
            values[found] = x[i]
            found += 1
            word &= word - np.uint64(1)
    for i in range(vectors * lanes, len(x)):
        # Writing first and counting after spares a branch that nobody could predict.
        channels[found] = i
        values[found] = x[i]
        found += x[i] != 0
    return found
