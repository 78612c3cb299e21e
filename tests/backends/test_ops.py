"""Operations beyond the Array API."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.backends import to_backend, to_numpy
from biomem.backends.ops import scatter_add
from biomem.errors import InputError


def loop(target: np.ndarray, index: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = target.copy()
    for i, v in zip(index, values, strict=True):
        out[i] += v
    return out


def draw(seed: int, n: int, m: int, tail: tuple[int, ...], dtype: str):
    rng = np.random.default_rng(seed)
    target, values = (rng.normal(0, 1e3, (k, *tail)).astype(dtype) for k in (n, m))
    return target, rng.integers(0, n, m), values


CASES = st.tuples(
    st.integers(0, 99),
    st.integers(1, 6),
    st.integers(0, 40),
    st.sampled_from([(), (3,), (2, 2)]),
    st.sampled_from(["float32", "float64", "int64"]),
)


@given(CASES)
def test_numpy_adds_in_the_order_of_the_index(case) -> None:
    target, index, values = draw(*case)
    before = target.copy()
    got = scatter_add(target, index, values)
    assert got.dtype == target.dtype
    assert got.tobytes() == loop(target, index, values).tobytes()
    assert np.array_equal(target, before)


@pytest.mark.torch
@given(CASES)
def test_torch_adds_in_the_same_order(case) -> None:
    arrays = draw(*case)
    got = to_numpy(scatter_add(*(to_backend("torch", a) for a in arrays)))
    assert got.tobytes() == loop(*arrays).tobytes()


@pytest.mark.torch
def test_torch_gradient() -> None:
    import torch

    target = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    values = torch.ones(4, dtype=torch.float64, requires_grad=True)
    out = scatter_add(target, torch.tensor([2, 0, 2, 2]), values)
    (out * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert target.grad.tolist() == [1.0, 10.0, 100.0]
    assert values.grad.tolist() == [100.0, 1.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("index", "values", "names"),
    [
        ([0, 3], np.ones(2), r"index must be in \[0, 3\)"),
        ([-1], np.ones(1), r"index must be in \[0, 3\)"),
        ([0, 1], np.ones(3), "values"),
        ([[0]], np.ones((1, 1)), "index must have shape"),
        ([0], np.ones((1, 2)), "values"),
        ([0], np.ones(1, np.float32), "dtype"),
    ],
)
def test_refusals(index, values: np.ndarray, names: str) -> None:
    with pytest.raises(InputError, match=names):
        scatter_add(np.zeros(3), np.array(index), values)


def test_other_packages_are_refused() -> None:
    import array_api_strict as xp

    with pytest.raises(InputError, match="NumPy, CuPy or torch"):
        scatter_add(xp.zeros(2), xp.asarray([0]), xp.ones(1))
