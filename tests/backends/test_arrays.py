"""Arrays in and out of the backends."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from biomem.backends import namespace, to_backend, to_numpy
from biomem.errors import InputError, ParameterError

DTYPES = [
    "bool",
    "int8",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex128",
]


def test_namespace_of_numpy() -> None:
    xp = namespace(np.zeros(2), np.ones(3))
    assert xp.__name__ == "array_api_compat.numpy"
    assert isinstance(xp.concat([np.zeros(1), np.ones(1)]), np.ndarray)


def test_namespace_of_a_standard_array() -> None:
    assert namespace(array_api_strict.zeros(2)).__name__ == "array_api_strict"


@pytest.mark.parametrize(
    "arrays", [(), ([1.0],), (np.zeros(1), array_api_strict.zeros(1)), (None,)]
)
def test_namespace_refuses(arrays) -> None:
    with pytest.raises(InputError, match="arrays of one package"):
        namespace(*arrays)


def test_numpy_passes_through_uncopied() -> None:
    a = np.arange(3)
    assert to_numpy(a) is a
    assert to_backend("numpy", a) is a
    assert to_backend("numba", a) is a


def test_anything_array_like_comes_back() -> None:
    assert to_numpy(array_api_strict.asarray([1, 2])).tolist() == [1, 2]
    assert to_numpy(3.0).shape == ()

    class OnDevice:
        def copy_to_host(self) -> np.ndarray:
            return np.arange(2)

    assert to_numpy(OnDevice()).tolist() == [0, 1]


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ParameterError, match="got 'gpu'"):
        to_backend("gpu", np.zeros(1))


@pytest.mark.torch
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_torch_round_trip(dtype: str, shape: tuple[int, ...]) -> None:
    a = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    tensor = to_backend("torch", a)
    assert type(tensor).__name__ == "Tensor"
    back = to_numpy(tensor)
    assert back.dtype == a.dtype
    assert back.shape == a.shape
    assert np.array_equal(back, a)
    assert to_backend("torch", tensor) is tensor


@pytest.mark.torch
def test_torch_takes_awkward_numpy_arrays() -> None:
    a = np.arange(6.0)
    a.flags.writeable = False
    assert to_numpy(to_backend("torch", a[::-2])).tolist() == [5.0, 3.0, 1.0]
    assert to_numpy(to_backend("torch", a)).tolist() == a.tolist()


@pytest.mark.torch
def test_torch_gradients_are_cut_and_views_resolved() -> None:
    import torch

    t = torch.tensor([1.0 + 2.0j], requires_grad=True)
    assert to_numpy(t.conj())[0] == 1 - 2j
    assert namespace(t).__name__ == "array_api_compat.torch"


@pytest.mark.torch
@pytest.mark.parametrize(
    "bad", [np.array(["a"]), np.array([None]), np.zeros(1, "M8[s]"), np.zeros(1, "g")]
)
def test_torch_refuses_other_dtypes(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="got dtype"):
        to_backend("torch", bad)
