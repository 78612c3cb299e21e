"""Vectorised activations and products for the compiled scans.

Every loop here is written so that LLVM turns it into SIMD code without fastmath: no branch, no
call, no division that Python's error model would guard (`np.divide` has no guard). The order of
additions is fixed by the source, so results do not depend on the width of the registers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from biomem.backends.jit import njit

__all__ = ["Exponents", "activate", "add_product", "exponents", "padded", "slope", "tanh"]

LANES = 8
_LOG2E = math.log2(math.e)
# ln 2 in two parts; the first has ten bits, so its product with an exponent is exact.
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.121944400546905827679e-4
_F2, _F3, _F4, _F5, _F6, _F7, _F8, _F9, _F10, _F11, _F12, _F13 = (
    1.0 / math.factorial(n) for n in range(2, 14)
)


class Exponents(NamedTuple):
    """Scratch where powers of two are put together from their bits.

    Attributes
    ----------
    bits : int32 or int64 array
    powers : float array
        The same memory.
    bias, shift : int
        Exponent bias and width of the fraction of that float.
    """

    bits: np.ndarray
    powers: np.ndarray
    bias: int
    shift: int


@njit(cache=True)
def exponents(bits, powers):
    """Return the scratch for both views of one array."""
    if powers.itemsize == 4:
        return Exponents(bits, powers, 127, 23)
    return Exponents(bits, powers, 1023, 52)


def padded(n: int) -> int:
    """Return `n` rounded up to whole SIMD registers; what is added stays zero."""
    return -(-n // LANES) * LANES


@njit(cache=True)
def _expm1_parts(x, n, e, rest):
    """Split ``exp(x) - 1 = 2**k * rest + (2**k - 1)``, the power of two in ``e.powers``."""
    real = x.dtype.type
    one_half = real(0.5)
    integer = e.bits.dtype.type
    bias, shift = integer(e.bias), integer(e.shift)
    for i in range(n):
        k = np.floor(x[i] * real(_LOG2E) + one_half)
        e.bits[i] = (integer(k) + bias) << shift
        rest[i] = (x[i] - k * real(_LN2_HIGH)) - k * real(_LN2_LOW)
    for i in range(n):
        r = rest[i]
        q = real(_F13) * r + real(_F12)
        q = q * r + real(_F11)
        q = q * r + real(_F10)
        q = q * r + real(_F9)
        q = q * r + real(_F8)
        q = q * r + real(_F7)
        q = q * r + real(_F6)
        q = q * r + real(_F5)
        q = q * r + real(_F4)
        q = q * r + real(_F3)
        q = q * r + one_half
        rest[i] = (q * r) * r + r


@njit(cache=True)
def tanh(x, n, e, rest, out):
    """Write the hyperbolic tangent of ``x[:n]`` to `out`, to 2 units in the last place.

    `rest` and `out` are scratch and result, both other arrays than `x`.
    """
    real = x.dtype.type
    one, two, largest = real(1.0), real(2.0), real(40.0)
    for i in range(n):
        a = two * abs(x[i])
        out[i] = a if a < largest else largest
    _expm1_parts(out, n, e, rest)
    for i in range(n):
        p = e.powers[i] * rest[i] + (e.powers[i] - one)
        t = np.divide(p, p + two)
        out[i] = t if x[i] >= real(0.0) else -t


@njit(cache=True)
def _sigmoid(x, n, e, rest, out):
    real = x.dtype.type
    one, largest = real(1.0), real(80.0)
    for i in range(n):
        a = -x[i] if x[i] > -largest else largest
        out[i] = a if a > -largest else -largest
    _expm1_parts(out, n, e, rest)
    for i in range(n):
        out[i] = np.divide(one, one + (e.powers[i] * rest[i] + e.powers[i]))


@njit(cache=True)
def activate(x, n, silu, e, rest, out):
    """Write the hidden layers' activation of ``x[:n]`` to `out`: silu, or relu."""
    real = x.dtype.type
    if silu:
        _sigmoid(x, n, e, rest, out)
        for i in range(n):
            out[i] = x[i] * out[i]
    else:
        for i in range(n):
            out[i] = x[i] if x[i] > real(0.0) else real(0.0)


@njit(cache=True)
def slope(x, n, silu, e, rest, out):
    """Write the derivative of the activation at ``x[:n]`` to `out`; relu has 0 at 0."""
    real = x.dtype.type
    one = real(1.0)
    if silu:
        _sigmoid(x, n, e, rest, out)
        for i in range(n):
            s = out[i]
            out[i] = s + x[i] * s * (one - s)
    else:
        for i in range(n):
            out[i] = one if x[i] > real(0.0) else real(0.0)


@njit(cache=True)
def add_product(out, x, rows):
    """Add ``x @ rows`` to `out`; `rows` has as many columns as `out` has entries.

    Eight rows at a time, so that `out` is read and written an eighth as often.
    """
    n, width = rows.shape
    whole = n - n % 8
    for j in range(0, whole, 8):
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        x4, x5, x6, x7 = x[j + 4], x[j + 5], x[j + 6], x[j + 7]
        for k in range(width):
            low = (x0 * rows[j, k] + x1 * rows[j + 1, k]) + (
                x2 * rows[j + 2, k] + x3 * rows[j + 3, k]
            )
            high = (x4 * rows[j + 4, k] + x5 * rows[j + 5, k]) + (
                x6 * rows[j + 6, k] + x7 * rows[j + 7, k]
            )
            out[k] += low + high
    for j in range(whole, n):
        x0 = x[j]
        for k in range(width):
            out[k] += x0 * rows[j, k]
