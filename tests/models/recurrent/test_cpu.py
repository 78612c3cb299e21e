"""The compiled scan follows the reference, in any chunking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.models.recurrent import LeakyNetwork, cpu


@given(
    n_units=st.integers(1, 19),
    n_inputs=st.integers(1, 6),
    n_heads=st.integers(1, 3),
    batch=st.integers(1, 4),
    cut=st.integers(1, 11),
    slope=st.sampled_from([0.0, 0.01, 1.0]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32),
)
def test_scan_in_two_chunks_equals_the_reference(
    n_units, n_inputs, n_heads, batch, cut, slope, dtype, seed
):
    model = LeakyNetwork(
        n_units=n_units, n_inputs=n_inputs, n_heads=n_heads, slope=slope, dtype=dtype, seed=seed
    )
    xs = np.random.default_rng(seed).normal(size=(12, batch, n_inputs)).astype(dtype)
    _, want = loop(model, model.init_state(batch, Rng(seed)), xs, 0)
    state, first = cpu.scan(model, model.init_state(batch, Rng(seed)), xs[:cut], 0)
    state, rest = cpu.scan(model, state, xs[cut:], cut)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for name in want._fields:
        got = np.concatenate([getattr(first, name), getattr(rest, name)])
        assert got.dtype == np.dtype(dtype)
        expected = getattr(want, name)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)
    np.testing.assert_array_equal(state.h, rest.h[-1])


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_what_is_not_a_number_reaches_the_outputs(slope):
    model = LeakyNetwork(n_units=3, slope=slope)
    broken = model.with_weights({**model.weights, "b_r": np.full(3, np.nan)})
    for scan in (loop, cpu.scan):
        _, ys = scan(broken, broken.init_state(1, Rng(0)), np.ones((2, 1, 1)), 0)
        assert np.isnan(ys.h).all()
        assert np.isnan(ys.y).all()
