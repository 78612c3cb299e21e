"""Sums of scaled rows equal the loop that adds them up one by one, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.backends.jit import njit
from biomem.backends.simd import lanes_of
from biomem.backends.simd_ordered import HIGH, WIDE, add_scaled


@njit
def run(high, wide, out, at, step, rows, rows_at, picks, picks_at, scales, scale_step, places):
    add_scaled(
        high, wide, out, at, step, rows, rows_at, picks, picks_at,
        scales, 1, scale_step, places, len(places),
    )  # fmt: skip


@pytest.mark.parametrize("high", [1, HIGH])
@pytest.mark.parametrize("wide", [1, WIDE])
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_rows_are_added_one_by_one(high, wide, dtype):
    draw, lanes = np.random.default_rng(0), lanes_of(dtype)
    length, count = wide * lanes, 37
    step, scale_step = length + 5, 50
    out, rows, scales = (draw.normal(size=n).astype(dtype) for n in (400, 40 * length + 3, 400))
    picks, places = (draw.integers(0, n, count + 2).astype(np.int32) for n in (40, scale_step))
    want = out.copy()
    for o in range(high):
        own = slice(2 + o * step, 2 + o * step + length)
        for q in range(count):
            row = rows[3 + picks[2 + q] * length :][:length]
            want[own] += scales[1 + o * scale_step + places[q]] * row
    run(high, wide, out, 2, step, rows, 3, picks, 2, scales, scale_step, places[:count])
    np.testing.assert_array_equal(out, want)


def test_adding_nothing_leaves_what_is_there():
    out = np.arange(8.0)
    none = np.zeros(0, np.int32)
    run(1, 1, out, 0, 0, np.ones(8), 0, none, 0, np.ones(8), 0, none)
    np.testing.assert_array_equal(out, np.arange(8.0))
