"""On a real GPU: every registered kernel, and what the cuda backend adds."""

from __future__ import annotations

import numpy as np
import pytest

from biomem import backends
from biomem.backends import ops

pytestmark = pytest.mark.gpu


def test_every_kernel_equals_its_reference() -> None:
    for kernel in backends.cuda.kernels().values():
        for seed in range(20):
            backends.cuda.check(kernel, seed)


def test_the_backend_is_available_and_named() -> None:
    pytest.importorskip("cupy", reason="needs CuPy: pip install 'biomem[cuda13]'")
    found = backends.require("cuda")
    assert found.version
    assert "CuPy" in found.reason


@pytest.mark.parametrize(
    "dtype", ["bool", "int32", "int64", "uint32", "uint64", "float32", "float64"]
)
def test_round_trip(dtype: str) -> None:
    pytest.importorskip("cupy", reason="needs CuPy: pip install 'biomem[cuda13]'")
    a = np.arange(6).reshape(2, 3).astype(dtype)
    there = backends.to_backend("cuda", a)
    assert backends.namespace(there).__name__ == "array_api_compat.cupy"
    assert backends.to_backend("cuda", there) is there
    back = backends.to_numpy(there)
    assert back.dtype == a.dtype
    assert np.array_equal(back, a)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "float32", "float64"])
def test_scatter_add(dtype: str) -> None:
    pytest.importorskip("cupy", reason="needs CuPy: pip install 'biomem[cuda13]'")
    rng = np.random.default_rng(1)
    # Small integers, so that float sums are exact in any order of the atomics.
    arrays = (
        rng.integers(0, 9, (5, 2)).astype(dtype),
        rng.integers(0, 5, 1000),
        rng.integers(0, 9, (1000, 2)).astype(dtype),
    )
    got = ops.scatter_add(*(backends.to_backend("cuda", a) for a in arrays))
    assert np.array_equal(backends.to_numpy(got), ops.scatter_add(*arrays))
