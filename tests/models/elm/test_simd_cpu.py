"""Vector operations of the compiled scans against NumPy in a wider type."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from biomem.models.elm import simd_cpu

DTYPES = ["float32", "float64"]


@njit
def _apply(bounded, gated, gated_slope, hinged_slope, x, ones, vectors):
    simd_cpu.bound(bounded, x, vectors)
    simd_cpu.silu(gated, x, vectors)
    simd_cpu.silu_slope(gated_slope, x, ones, vectors)
    simd_cpu.relu_slope(hinged_slope, x, ones, vectors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_right_to_a_few_units_in_the_last_place(dtype: str) -> None:
    small = np.geomspace(1e-30, 1, 500)
    x = np.concatenate([small, -small, np.linspace(-60, 60, 3000), [0.0, -0.0, 1e30, -1e30]])
    x = np.resize(x, simd_cpu.padded(len(x), dtype)).astype(dtype)
    out = [np.empty_like(x) for _ in range(4)]
    _apply(*out, x, np.ones_like(x), len(x) // simd_cpu.lanes_of(dtype))
    wide = np.asarray(x, np.longdouble)
    sigmoid = 1 / (1 + np.exp(-np.clip(wide, -80, None)))
    wanted = [np.tanh(wide * 2 / 3), wide * sigmoid]
    unit = np.finfo(dtype).eps
    for got, want in zip(out[:2], wanted, strict=True):
        inside = np.abs(wide) < 60.5
        np.testing.assert_allclose(
            got[inside].astype(np.longdouble), want[inside], rtol=6 * unit, atol=1e-40
        )
    assert np.abs(out[0]).max() <= 1
    slope = sigmoid * (1 + wide * (1 - sigmoid))
    inside = np.abs(wide) < 60.5
    np.testing.assert_allclose(out[2][inside], slope[inside].astype(dtype), atol=8 * unit)
    np.testing.assert_array_equal(out[3], x > 0)


@njit
def _rows(out, start, x, rows, n, rectify):
    simd_cpu.affine(out, start, x, rows, n, rectify)


@njit
def _picked(out, decay, rows, picks, scales, first, last):
    simd_cpu.add_rows(out, decay, rows, picks, scales, first, last)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("n", [0, 1, 4, 7])
def test_sums_of_rows(dtype: str, vectors: int, n: int, rng: np.random.Generator) -> None:
    width = vectors * simd_cpu.lanes_of(dtype)
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
    return simd_cpu.find(x, words, channels, values)


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
