"""Builders of explicit vector code, which the intrinsics of `simd` and of families are made of.

Code is emitted as LLVM vectors of 64 bytes with explicit fused multiply-adds. The order of every
sum is fixed by the source, so a number depends neither on the machine nor on the optimiser; plain
loops have no fused operations without fast-math, and numba gives them vectors of half that width.

Nothing here is called from a kernel: these functions run while a kernel is compiled. Write a new
intrinsic only where a loop in plain numba has been measured and found wanting.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from llvmlite import ir
from numba.core import cgutils

__all__ = [
    "VECTOR_BYTES",
    "Vectors",
    "call",
    "each",
    "fma",
    "integer",
    "length",
    "like",
    "positive",
    "sigmoid",
    "spread",
    "stepped",
    "sum_rows",
    "tanh",
    "unroll",
    "whole_vectors",
]

Shape = TypeVar("Shape")

VECTOR_BYTES = 64

_LOG2E = math.log2(math.e)
# ln 2 in two parts; the first has ten bits, so its product with an exponent is exact.
_LN2 = (0.693359375, -2.121944400546905827679e-4)
_TAYLOR = [1.0 / math.factorial(n) for n in range(14)]
_TERMS = {"float": 8, "double": 13}
_BIAS_AND_SHIFT = {"float": (127, 23), "double": (1023, 52)}
_LETTERS = {"float": "f32", "double": "f64"}
_FLOAT_BYTES = {"float": 4, "double": 8}


class Vectors:
    """Vector access through a pointer to numbers.

    Rows may start at any element, so no access claims more than an element's alignment.
    """

    def __init__(self, builder: Any, data: Any, lanes: int | None = None) -> None:
        self.builder, self.data = builder, data
        element = data.type.pointee
        self.bytes = _FLOAT_BYTES.get(str(element)) or element.width // 8
        self.kind = ir.VectorType(element, lanes or VECTOR_BYTES // self.bytes)

    @classmethod
    def of(
        cls,
        context: Any,
        builder: Any,
        signature: Any,
        args: Any,
        count: int,
        lanes: int | None = None,
    ) -> list[Vectors]:
        """Return the access to the first `count` arguments of an intrinsic, which are arrays.

        With `lanes`, as many elements at once of each of them.
        """
        return [
            cls(builder, context.make_array(kind)(context, builder, value).data, lanes)
            for kind, value in zip(signature.args[:count], args[:count], strict=True)
        ]

    def _at(self, element: Any, vector: int) -> Any:
        where = self.builder.add(element, integer(vector * self.kind.count))
        return self.builder.bitcast(self.builder.gep(self.data, [where]), self.kind.as_pointer())

    def load(self, element: Any, vector: int = 0) -> Any:
        """Return the vector that lies `vector` vectors after an element."""
        return self.builder.load(self._at(element, vector), align=self.bytes)

    def store(self, value: Any, element: Any, vector: int = 0) -> None:
        """Write the vector that lies `vector` vectors after an element."""
        self.builder.store(value, self._at(element, vector), align=self.bytes)

    def scalar(self, element: Any) -> Any:
        """Return one element."""
        return self.builder.load(self.builder.gep(self.data, [element]))

    def splat(self, element: Any) -> Any:
        """Return a vector whose lanes all hold one element."""
        return spread(self.builder, self.kind, self.scalar(element))


def integer(value: int) -> Any:
    """Return an index as a constant."""
    return ir.Constant(ir.IntType(64), value)


def like(kind: Any, value: float) -> Any:
    """Return a constant vector with `value` in all lanes."""
    return ir.Constant(kind, [value] * kind.count)


def spread(builder: Any, kind: Any, value: Any) -> Any:
    """Return a vector whose lanes all hold a number."""
    undefined = ir.Constant(kind, ir.Undefined)
    lane = builder.insert_element(undefined, value, integer(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(lane, undefined, zeros)


def length(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return the length of an array of one axis."""
    return builder.extract_value(context.make_array(kind)(context, builder, array).shape, 0)


@contextlib.contextmanager
def whole_vectors(builder: Any, n: Any, lanes: int) -> Iterator[tuple[Any, Any]]:
    """Loop over the whole vectors of `n` elements; give each its first, and where they all end."""
    end = builder.and_(n, integer(-lanes))
    with cgutils.for_range_slice(builder, integer(0), end, integer(lanes)) as (k, _):
        yield k, end


def stepped(builder: Any, at: Any, step: Any, times: int) -> Any:
    """Return ``at + step * times``."""
    return builder.add(at, builder.mul(step, integer(times)))


def call(builder: Any, name: str, *args: Any) -> Any:
    """Call the floating-point intrinsic ``llvm.<name>`` on vectors, or on scalars."""
    kind = args[0].type
    vector = isinstance(kind, ir.VectorType)
    letters = _LETTERS[str(kind.element if vector else kind)]
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [a.type for a in args]),
        f"llvm.{name}.v{kind.count}{letters}" if vector else f"llvm.{name}.{letters}",
    )
    return builder.call(function, args)


def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once."""
    return call(builder, "fma", a, b, c)


def positive(builder: Any, x: Any, value: Any) -> Any:
    """Return zero where x is at most zero, and `value` elsewhere, where x is not a number too."""
    zero = like(x.type, 0.0)
    return builder.select(builder.fcmp_ordered("<=", x, zero), zero, value)


def keep_nan(builder: Any, x: Any, value: Any) -> Any:
    """Return x where it is not a number, and `value` elsewhere."""
    return builder.select(builder.fcmp_unordered("uno", x, x), x, value)


def unroll(
    builder: Any, key: Any, shapes: Mapping[int, Shape], emit: Callable[[Shape], None]
) -> None:
    """Emit one body per shape, of which the one whose number `key` is runs; none for others."""
    end = builder.append_basic_block()
    switch = builder.switch(key, end)
    for number, shape in shapes.items():
        block = builder.append_basic_block()
        switch.add_case(integer(number), block)
        builder.position_at_end(block)
        emit(shape)
        builder.branch(end)
    builder.position_at_end(end)


def each(context: Any, builder: Any, signature: Any, args: Any, formula: Callable[..., Any]) -> Any:
    """Set every vector of the first array to `formula` of those of the others.

    The body of an intrinsic whose last argument is the number of vectors. ``formula(builder, *x)``
    returns a vector.
    """
    out, *inputs = Vectors.of(context, builder, signature, args, len(args) - 1)
    with cgutils.for_range(builder, args[-1]) as loop:
        at = builder.mul(loop.index, integer(out.kind.count))
        out.store(formula(builder, *(a.load(at) for a in inputs)), at)
    return context.get_dummy_value()


def sum_rows(
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
            cgutils.alloca_once_value(builder, start[v] if s == 0 else like(start[v].type, 0.0))
            for v in range(width)
        ]
        for s in range(sets)
    ]

    def add(q: Any, s: int) -> None:
        scale, row = term(q)
        for v in range(width):
            total = fma(builder, scale, row[v], builder.load(sums[s][v]))
            builder.store(total, sums[s][v])

    end = builder.add(first, count)
    whole = builder.sub(end, builder.and_(count, integer(sets - 1)))
    with cgutils.for_range_slice(builder, first, whole, integer(sets)) as (q, _):
        for s in range(sets):
            add(builder.add(q, integer(s)), s)
    with cgutils.for_range_slice(builder, whole, end, integer(1)) as (q, _):
        add(q, 0)
    totals = [[builder.load(cell) for cell in row] for row in sums]
    while len(totals) > 1:
        totals = [
            [builder.fadd(a, b) for a, b in zip(left, right, strict=True)]
            for left, right in zip(totals[::2], totals[1::2], strict=True)
        ]
    return totals[0]


def _expm1(builder: Any, x: Any) -> tuple[Any, Any]:
    """Return ``s = 2**k`` and r with ``exp(x) - 1 = s * r + (s - 1)``, for exponents in range."""
    kind = x.type
    name = str(kind.element)
    bias, shift = _BIAS_AND_SHIFT[name]
    integers = ir.VectorType(ir.IntType(VECTOR_BYTES * 8 // kind.count), kind.count)
    scaled = fma(builder, x, like(kind, _LOG2E), like(kind, 0.5))
    k = call(builder, "floor", scaled)
    bits = builder.add(builder.fptosi(k, integers), like(integers, bias))
    power = builder.bitcast(builder.shl(bits, like(integers, shift)), kind)
    r = fma(builder, k, like(kind, -_LN2[0]), x)
    r = fma(builder, k, like(kind, -_LN2[1]), r)
    terms = _TERMS[name]
    q = like(kind, _TAYLOR[terms])
    for n in range(terms - 1, 1, -1):
        q = fma(builder, q, r, like(kind, _TAYLOR[n]))
    return power, fma(builder, builder.fmul(q, r), r, r)


def tanh(builder: Any, x: Any) -> Any:
    """Return tanh(x), to a few units in the last place."""
    kind = x.type
    one, two, top = like(kind, 1.0), like(kind, 2.0), like(kind, 40.0)
    a = builder.fmul(call(builder, "fabs", x), two)
    a = builder.select(builder.fcmp_ordered("<", a, top), a, top)
    power, r = _expm1(builder, a)
    p = fma(builder, power, r, builder.fsub(power, one))
    return keep_nan(builder, x, call(builder, "copysign", builder.fdiv(p, builder.fadd(p, two)), x))


def sigmoid(builder: Any, x: Any) -> Any:
    """Return 1 / (1 + exp(-x)), to a few units in the last place."""
    kind = x.type
    one, top, low = like(kind, 1.0), like(kind, 80.0), like(kind, -80.0)
    a = builder.fsub(like(kind, -0.0), x)
    a = builder.select(builder.fcmp_ordered("<", a, top), a, top)
    a = builder.select(builder.fcmp_ordered(">", a, low), a, low)
    power, r = _expm1(builder, a)
    return keep_nan(builder, x, builder.fdiv(one, builder.fadd(one, fma(builder, power, r, power))))
