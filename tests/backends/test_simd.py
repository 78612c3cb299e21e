"""Vector operations on rows against NumPy in a wider type."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from biomem.backends import simd

DTYPES = ["float32", "float64"]


@njit
def _apply(gated, gated_slope, hinged_slope, x, ones, vectors):
    simd.silu(gated, x, vectors)
    simd.silu_slope(gated_slope, x, ones, vectors)
    simd.relu_slope(hinged_slope, x, ones, vectors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_right_to_a_few_units_in_the_last_place(dtype: str) -> None:
    small = np.geomspace(1e-30, 1, 500)
    x = np.concatenate([small, -small, np.linspace(-60, 60, 3000), [0.0, -0.0, 1e30, -1e30]])
    x = np.resize(x, simd.padded(len(x), dtype)).astype(dtype)
    gated, gated_slope, hinged_slope = (np.empty_like(x) for _ in range(3))
    _apply(gated, gated_slope, hinged_slope, x, np.ones_like(x), len(x) // simd.lanes_of(dtype))
    wide = np.asarray(x, np.longdouble)
    sigmoid = 1 / (1 + np.exp(-np.clip(wide, -80, None)))
    unit, inside = np.finfo(dtype).eps, np.abs(wide) < 60.5
    np.testing.assert_allclose(
        gated[inside].astype(np.longdouble), (wide * sigmoid)[inside], rtol=6 * unit, atol=1e-40
    )
    slope = sigmoid * (1 + wide * (1 - sigmoid))
    np.testing.assert_allclose(gated_slope[inside], slope[inside].astype(dtype), atol=8 * unit)
    np.testing.assert_array_equal(hinged_slope, x > 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_number_stays_so(dtype: str) -> None:
    x = np.full(2 * simd.lanes_of(dtype), np.nan, dtype)
    gated, gated_slope, hinged_slope = (np.empty_like(x) for _ in range(3))
    _apply(gated, gated_slope, hinged_slope, x, x, 2)
    for out in (gated, gated_slope, hinged_slope):
        assert np.isnan(out).all()
    for rectify in (False, True):
        out = np.empty_like(x)
        _rows(out, x, x, np.ones((1, len(x)), dtype), 1, rectify)
        assert np.isnan(out).all()


@njit
def _rows(out, start, x, rows, n, rectify):
    simd.affine(out, start, x, rows, n, rectify)


@njit
def _picked(out, decay, rows, picks, scales, first, last):
    simd.add_rows(out, decay, rows, picks, scales, first, last)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("n", [0, 1, 4, 7])
def test_sums_of_rows(dtype: str, vectors: int, n: int, rng: np.random.Generator) -> None:
    width = vectors * simd.lanes_of(dtype)
    rows = rng.normal(size=(7, width)).astype(dtype)
    x, start = rng.normal(size=7).astype(dtype), rng.normal(size=width).astype(dtype)
    close = {"rtol": 0, "atol": 20 * np.finfo(dtype).eps}
    for rectify in (False, True):
        out = np.empty_like(start)
        _rows(out, start, x, rows, n, rectify)
        want = start.astype(np.float64) + x[:n].astype(np.float64) @ rows[:n]
        np.testing.assert_allclose(out, np.maximum(want, 0) if rectify else want, **close)
    picks, decay = rng.permutation(7).astype(np.int32), np.array([0.5], dtype)
    out = start.copy()
    _picked(out, decay, rows, picks, x, 7 - n, 7)
    want = 0.5 * start.astype(np.float64) + x[7 - n :].astype(np.float64) @ rows[picks[7 - n :]]
    np.testing.assert_allclose(out, want, **close)


@njit
def _collect(x, words, channels, values):
    return simd.find(x, words, channels, values)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 15, 16, 63, 64, 65, 200])
@pytest.mark.parametrize("density", [0.0, 0.05, 1.0])
def test_finding_what_is_not_zero(dtype: str, n: int, density: float, rng) -> None:
    x = (rng.normal(size=n) * (rng.random(n) < density)).astype(dtype)
    x[::3] *= 0  # half of these zeros are negative ones
    words = np.zeros((n + 63) // 64, np.uint64)
    channels, values = np.empty(n + 1, np.int32), np.empty(n + 1, dtype)
    for _ in range(2):
        found = _collect(x, words, channels, values)
        np.testing.assert_array_equal(channels[:found], np.flatnonzero(x))
        np.testing.assert_array_equal(values[:found], x[x != 0])


@njit
def _fma(a, b, c):
    return simd.fma(a, b, c)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_rounds_once(dtype: str) -> None:
    real = np.dtype(dtype).type
    step = real(np.finfo(dtype).eps)
    a, c = real(1) + step, real(-1) - 2 * step
    assert _fma(a, a, c) == step * step
    assert a * a + c == 0


@njit
def _positions(flags, out):
    return simd.positions(flags, out)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.9, 1.0])
def test_positions_of_flags(n: int, share: float) -> None:
    flags = np.random.default_rng(n).random(n) < share
    # No element more than the flags have: what is written beyond would be seen.
    room = np.full(n + 8, 7, np.uint32)
    found = _positions(flags, room[:n])
    np.testing.assert_array_equal(room[:found], np.flatnonzero(flags))
    np.testing.assert_array_equal(room[n:], 7)
