"""Vector passes against the loops that do the rest of a row, on rows with and without a rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from biomem.network.gaps import gap_guide, gap_table
from biomem.network.layout import TINY
from biomem.network.simd_cpu import add_counted, add_where, count_down, leak_and_fire

FLOATS = {"float32": np.int32, "float64": np.int64}


@njit
def _leak_and_fire(v, sums, held, fired, numbers, ticks, modes):
    return leak_and_fire(v, sums, held, fired, numbers, ticks, modes)


@njit
def _count_down(gap, fired):
    return count_down(gap, fired)


def stepped(v, sums, held, numbers, ticks, modes):
    """Return membranes, refractory ticks and who fired, by the equations of the model."""
    keep, gain, leak, bias, unit, bar, reset, tiny = numbers
    strict, to_value, by_value = modes
    jumped = v + sums.astype(v.dtype) * unit
    x = (leak + keep * (jumped - leak)) + gain * bias
    u = np.where(np.abs(x) >= tiny, x, v.dtype.type(0))
    fired = ((u > bar) if strict else (u >= bar)) & (held == 0)
    after = np.where(fired, reset if to_value else u - reset if by_value else u, u)
    v = np.where(held == 0, after, v)
    return v, np.where(fired, ticks, np.maximum(held - 1, 0)), fired


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(list(FLOATS)),
    n=st.integers(0, 70),
    seed=st.integers(0, 2**32 - 1),
    reset=st.sampled_from(["value", "subtract", "none"]),
    strict=st.booleans(),
    ticks=st.integers(0, 5),
)
def test_a_tick_of_the_plainest_neurons(dtype, n, seed, reset, strict, ticks):
    rng = np.random.default_rng(seed)
    # Few different numbers, so that membranes meet the threshold exactly, and tiny ones occur.
    v = rng.choice([0.0, -0.0, 0.5, 1.0, 1e-31, -0.3, np.nan], n).astype(dtype)
    sums = rng.integers(-2, 3, n).astype(FLOATS[dtype])
    held = rng.choice([0, 0, 0, 1, 3], n).astype(np.int32)
    numbers = tuple(
        np.dtype(dtype).type(x)
        for x in (
            rng.choice([0.5, 0.9, 1.0]),
            0.1,
            rng.choice([0.0, -0.2]),
            0.25,
            0.5,
            0.75,
            0.1,
            TINY,
        )
    )
    modes = (strict, reset == "value", reset == "subtract")
    want = stepped(v, sums, held, numbers, ticks, modes)
    fired = np.zeros(n, bool)
    arrays = [v.copy(), sums.copy(), held.copy(), fired]
    done = _leak_and_fire(*arrays, numbers, np.int32(ticks), modes)
    assert done == n - n % (64 // np.dtype(dtype).itemsize)
    for got, right in zip((arrays[0], arrays[2], fired), want, strict=True):
        np.testing.assert_array_equal(got[:done], right[:done])
    assert np.signbit(arrays[0][:done]).tolist() == np.signbit(want[0][:done]).tolist()
    assert not arrays[1][:done].any()
    for got, before in zip(arrays, (v, sums, held, np.zeros(n, bool)), strict=True):
        np.testing.assert_array_equal(got[done:], before[done:])


@settings(deadline=None, max_examples=40)
@given(n=st.integers(0, 140), seed=st.integers(0, 2**32 - 1))
def test_gaps_count_towards_zero(n, seed):
    before = np.random.default_rng(seed).choice([-256, -2, -1, 1, 2, 256], n).astype(np.int16)
    gap, fired = before.copy(), np.zeros(n, bool)
    done = _count_down(gap, fired)
    assert done == n - n % 32
    np.testing.assert_array_equal(fired[:done], np.abs(before[:done]) == 1)
    want = np.where(before == -1, 1, before - np.sign(before))
    np.testing.assert_array_equal(gap[:done], want[:done])
    np.testing.assert_array_equal(gap[done:], before[done:])


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(["int32", "int64"]),
    sources=st.integers(1, 9),
    n=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
)
def test_weights_go_where_a_bit_is_set(dtype, sources, n, seed):
    rng = np.random.default_rng(seed)
    pairs = rng.random((sources, n)) < rng.choice([0.0, 0.2, 1.0])
    weights = rng.integers(-(2**20), 2**20, sources).astype(dtype)
    ids = np.flatnonzero(rng.random(sources) < 0.6).astype(np.uint32)
    sums = rng.integers(-100, 100, n).astype(dtype)
    bits = np.packbits(pairs, axis=1, bitorder="little")
    # The rows of another projection before it, and nothing after it.
    pile = np.concatenate([rng.integers(0, 256, 5).astype(np.uint8), bits.ravel()])
    want = sums + weights[ids] @ pairs[ids]
    add_where(sums, pile, weights, ids, 5, bits.shape[1])
    np.testing.assert_array_equal(sums, want)


@settings(deadline=None, max_examples=60)
@given(
    dtype=st.sampled_from(["int32", "int64"]),
    sources=st.sampled_from([1, 3, 4, 5, 126, 127, 128, 300]),
    n=st.one_of(st.integers(1, 40), st.integers(500, 1100)),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_weight_goes_as_often_as_bits_are_set(dtype, sources, n, seed):
    rng = np.random.default_rng(seed)
    pairs = rng.random((sources, n)) < rng.choice([0.0, 0.1, 0.5, 1.0])
    weight = rng.integers(-(2**20), 2**20, 1).astype(dtype)
    ids = np.flatnonzero(rng.random(sources) < rng.choice([0.1, 1.0])).astype(np.uint32)
    sums = rng.integers(-100, 100, n).astype(dtype)
    bits = np.packbits(pairs, axis=1, bitorder="little")
    # Neither what stands before the rows nor what is read behind them counts.
    around = rng.integers(0, 256, 69).astype(np.uint8)
    pile = np.concatenate([around[:5], bits.ravel(), around[5:]])
    want = sums + weight * pairs[ids].sum(axis=0).astype(dtype)
    room = np.append(sums, np.full(9, 7, dtype))
    add_counted(room[:n], pile, weight, ids, 5, bits.shape[1])
    np.testing.assert_array_equal(room[:n], want)
    np.testing.assert_array_equal(room[n:], 7)


@pytest.mark.parametrize("p", [1e-9, 1e-3, 0.02, 0.3, 0.999, 1.0])
def test_the_guide_points_before_the_first_entry_that_can_be_below(p):
    table, guide = gap_table(p), gap_guide(gap_table(p))
    for k in (0, 1, 500, 1022, 1023):
        lowest, highest = k << 54, (k + 1 << 54) - 1
        assert guide[k] == sum(int(entry) > highest for entry in table)
        assert guide[k] <= sum(int(entry) > lowest for entry in table)
