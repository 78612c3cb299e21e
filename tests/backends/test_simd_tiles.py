"""The tiled loops against NumPy, at every shape they have."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from biomem.backends.simd import lanes_of
from biomem.backends.simd_tiles import PANELS, TILES, dots, lane_sum, tile

DTYPES = [np.float32, np.float64]


@njit
def _tile(out, start, rows, offsets, taps, drive, x, high, wide, rectify):
    size = start.shape[1]
    tile(
        high, wide, out.reshape(-1), size, size, start.reshape(-1), 0, size,
        drive.reshape(-1), start.size, x, 0, x.size,
        rows, 1, offsets, 0, offsets.size, taps.reshape(-1), 0, taps.shape[1], 1, rectify,
    )  # fmt: skip


@njit
def _dots(sums, left, right, offsets, first, vectors, high, wide):
    dots(high, wide, sums, 0, left.reshape(-1), 0, left.shape[1], right, 0, offsets, first, vectors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tile(dtype: type, rng: np.random.Generator) -> None:
    lanes, count = lanes_of(dtype), 5
    for high, wide in TILES:
        for rectify in (False, True):
            width = wide * lanes
            start = rng.normal(size=(high, width)).astype(dtype)
            rows = rng.normal(size=400).astype(dtype)
            offsets = rng.integers(0, 400 - width - 1, count)
            taps = rng.normal(size=(high, count)).astype(dtype)
            drive = rng.normal(size=(2, high, width)).astype(dtype)
            x = rng.normal(size=2).astype(dtype)
            out = np.full((high + 2, width), 7, dtype)
            _tile(out, start, rows, offsets, taps, drive, x, high, wide, rectify)
            moved = np.stack([rows[1 + o : 1 + o + width] for o in offsets])
            want = start + np.tensordot(x, drive, 1) + taps @ moved
            want = np.maximum(want, 0) if rectify else want
            np.testing.assert_allclose(out[1:-1], want, rtol=0, atol=1e3 * np.finfo(dtype).eps)
            assert (out[[0, -1]] == 7).all(), "wrote outside its rows"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_does_not_depend_on_the_tile_it_stands_in(
    dtype: type, rng: np.random.Generator
) -> None:
    lanes = lanes_of(dtype)
    start, rows = rng.normal(size=(4, 4 * lanes)).astype(dtype), rng.normal(size=400).astype(dtype)
    taps, offsets = rng.normal(size=(4, 9)).astype(dtype), rng.integers(0, 300, 9)
    drive, x = np.zeros((0, 4, 4 * lanes), dtype), np.zeros(0, dtype)
    whole, part = np.zeros((6, 4 * lanes), dtype), np.zeros((3, lanes), dtype)
    _tile(whole, start, rows, offsets, taps, drive, x, 4, 4, False)
    for o in range(4):
        for v in range(4):
            here = slice(v * lanes, (v + 1) * lanes)
            one = np.ascontiguousarray(start[o : o + 1, here])
            tap = taps[o : o + 1].copy()
            none = np.zeros((0, 1, lanes), dtype)
            _tile(part, one, rows, offsets + v * lanes, tap, none, x, 1, 1, False)
            np.testing.assert_array_equal(part[1], whole[1 + o, here])


@pytest.mark.parametrize("dtype", DTYPES)
def test_dots(dtype: type, rng: np.random.Generator) -> None:
    lanes, vectors = lanes_of(dtype), 3
    for high, wide in PANELS:
        left = rng.normal(size=(high, vectors * lanes)).astype(dtype)
        right = rng.normal(size=300).astype(dtype)
        offsets = rng.integers(0, 200, wide + 2)
        sums = np.ones((high * wide + 1) * lanes, dtype)
        _dots(sums, left, right, offsets, 2, vectors, high, wide)
        assert (sums[-lanes:] == 1).all(), "wrote outside its sums"
        moved = np.stack([right[o : o + vectors * lanes] for o in offsets[2:]])
        want = 1 + (left[:, None] * moved).reshape(high, wide, vectors, lanes).sum(axis=2)
        np.testing.assert_allclose(
            sums[:-lanes].reshape(want.shape), want, atol=1e2 * np.finfo(dtype).eps
        )


def test_lane_sum_folds_halves() -> None:
    sums = np.arange(24, dtype=np.float32)
    assert lane_sum(sums, 8, 16) == np.arange(8, 24).sum()
