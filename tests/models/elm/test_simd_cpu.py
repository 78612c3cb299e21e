"""The bound of the ELM's memories against NumPy in a wider type."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from biomem.backends.simd import lanes_of, padded
from biomem.models.elm import simd_cpu


@njit
def _bound(out, x, vectors):
    simd_cpu.bound(out, x, vectors)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bound_is_right_to_a_few_units_in_the_last_place(dtype: str) -> None:
    small = np.geomspace(1e-30, 1, 500)
    x = np.concatenate([small, -small, np.linspace(-60, 60, 3000), [0.0, -0.0, 1e30, -1e30]])
    x = np.resize(x, padded(len(x), dtype)).astype(dtype)
    out = np.empty_like(x)
    _bound(out, x, len(x) // lanes_of(dtype))
    want = np.tanh(np.asarray(x, np.longdouble) * 2 / 3)
    np.testing.assert_allclose(
        out.astype(np.longdouble), want, rtol=6 * np.finfo(dtype).eps, atol=1e-40
    )
    assert np.abs(out).max() <= 1
