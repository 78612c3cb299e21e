"""Operations that models need and the Array API lacks."""

from __future__ import annotations

import array_api_compat
import numpy as np

from biomem.errors import InputError
from biomem.typing import Array

__all__ = ["scatter_add"]


def scatter_add(target: Array, index: Array, values: Array) -> Array:
    """Return `target` with ``values[i]`` added to row ``index[i]``, repeated indices included.

    Parameters
    ----------
    target : array, shape ``(n, ...)``
        Not written to.
    index : array of int64, shape ``(m,)``
        In [0, n); not checked on a GPU.
    values : array, shape ``(m, ...)``, dtype of `target`

    Returns
    -------
    array, shape ``(n, ...)``
        On torch differentiable with respect to `target` and `values`.

    Raises
    ------
    InputError
        Shapes or dtypes that do not fit, an index out of range, or arrays of another package.

    Notes
    -----
    Order of the additions, which decides the last bits of a float sum: NumPy and torch on the CPU
    add in ascending ``i``. CuPy and torch on a GPU use atomics, so float sums of repeated indices
    differ in the last bits from run to run; integers are exact everywhere. Where reproducibility
    is promised on a GPU, sort and reduce, or gather, instead.

    Examples
    --------
    >>> scatter_add(np.zeros(3), np.array([2, 0, 2]), np.ones(3)).tolist()
    [1.0, 0.0, 2.0]
    """
    if target.dtype != values.dtype:
        raise InputError(
            f"scatter_add: values must have the dtype of target, {target.dtype}, got {values.dtype}"
        )
    wanted = (*index.shape, *target.shape[1:])
    if index.ndim != 1 or tuple(values.shape) != wanted:
        raise InputError(
            f"scatter_add: index must have shape (m,) and values (m, *{tuple(target.shape[1:])}), "
            f"got {tuple(index.shape)} and {tuple(values.shape)}"
        )
    if isinstance(target, np.ndarray):
        _check_range(index, len(target))
        out = target.copy()
        np.add.at(out, index, values)
        return out
    if array_api_compat.is_torch_array(target):
        if target.device.type == "cpu":
            _check_range(index, len(target))
        return target.index_add(0, index, values)
    if array_api_compat.is_cupy_array(target):
        return _scatter_add_cupy(target, index, values)
    raise InputError(
        f"scatter_add: arrays must be NumPy, CuPy or torch, got {type(target).__module__}"
    )


def _check_range(index: Array, n: int) -> None:
    if len(index) and not (int(index.min()) >= 0 and int(index.max()) < n):
        raise InputError(
            f"scatter_add: index must be in [0, {n}), "
            f"got values in [{int(index.min())}, {int(index.max())}]"
        )


def _scatter_add_cupy(target: Array, index: Array, values: Array) -> Array:
    import cupyx

    out = target.copy()
    if out.dtype == np.int64:
        # cupyx has atomics for uint64 only; in two's complement the bits of a sum are the same.
        cupyx.scatter_add(out.view(np.uint64), index, values.view(np.uint64))
    else:
        cupyx.scatter_add(out, index, values)
    return out
