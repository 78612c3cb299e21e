"""Arrays across backends: their namespace, and the way in and out."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from biomem.backends.probing import check_name, require
from biomem.errors import InputError
from biomem.typing import Array

__all__ = ["namespace", "to_backend", "to_numpy"]


def namespace(*arrays: Array) -> Any:
    """Return the Array-API namespace of the arrays, e.g. ``array_api_compat.numpy``.

    Imports the wrapper of the arrays' own package and no other.

    Raises
    ------
    InputError
        An argument is no array, or they belong to different packages.

    Examples
    --------
    >>> namespace(np.zeros(2)).__name__
    'array_api_compat.numpy'
    """
    try:
        return array_api_compat.array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(f"{type(a).__module__}.{type(a).__name__}" for a in arrays)
        raise InputError(f"namespace needs arrays of one package, got ({kinds}); {error}") from None


def to_numpy(array: Array) -> np.ndarray:
    """Return an array of any backend as NumPy; a NumPy array is returned as it is.

    A CPU tensor shares its memory with the result. Gradients are cut.
    """
    if isinstance(array, np.ndarray):
        return array
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().resolve_conj().resolve_neg().numpy()
    if array_api_compat.is_cupy_array(array):
        return array.get()
    if hasattr(array, "copy_to_host"):
        return array.copy_to_host()
    return np.asarray(array)


def to_backend(name: str, array: Array, *, device: str | None = None) -> Array:
    """Return an array as the backend `name` holds it; no copy where none is needed.

    Parameters
    ----------
    name : {"numpy", "numba", "cuda", "torch"}
    array : array of any backend
    device : str, optional
        torch device, ``"cuda:0"``; default is the CPU. The others have no choice.

    Notes
    -----
    On the CPU the result may share memory with `array`: copy first if one of them is written to.

    Raises
    ------
    BackendUnavailable
    InputError
        A dtype the backend does not have, such as object or str.
    """
    check_name(name)
    if name in ("numpy", "numba"):
        return to_numpy(array)
    require(name)
    if name == "cuda":
        import cupy

        if array_api_compat.is_cupy_array(array):
            return array
        _refuse_odd(name, host := to_numpy(array))
        return cupy.asarray(host)
    import torch

    if not array_api_compat.is_torch_array(array):
        _refuse_odd(name, host := to_numpy(array))
        # torch has no read-only tensors and no negative strides.
        plain = host.flags.writeable and all(s >= 0 for s in host.strides)
        array = torch.from_numpy(host if plain else host.copy())
    return array.to(device or "cpu")


def _refuse_odd(name: str, array: np.ndarray) -> None:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if not (kind in "biuf" and size <= 8) and not (kind == "c" and size <= 16):
        raise InputError(
            f"backend {name!r} holds bool, integer, float and complex arrays, "
            f"got dtype {array.dtype}"
        )
