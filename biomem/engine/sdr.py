"""Sparse binary patterns: spikes, HTM cells and columns, Sparsey codes.

A pattern is the ascending list of its active indices and the number of places there are. Many
patterns (over time, over a batch) are stored one after another, with the boundaries beside them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import InputError

__all__ = ["SDR"]

_LARGEST = 2**31 - 1


class SDR:
    """An immutable sparse binary pattern, or an array of them.

    Without leading axes an SDR is a sequence of its active indices: ``len`` counts them and
    iteration yields them. With leading axes it is a sequence of patterns along the first axis,
    as a NumPy array is a sequence of rows. Not for dense activity: from about 3 % active bits
    on, a boolean array takes less memory.

    Parameters
    ----------
    indices : array of int, shape ``(active,)``
        Active indices, strictly ascending within each pattern, in ``[0, size)``. Copied.
    size : int
        Number of places, in ``[1, 2**31)``.
    indptr : array of int, shape ``(patterns + 1,)``, optional
        Pattern ``p`` holds ``indices[indptr[p]:indptr[p + 1]]`` (the CSR convention).
    shape : tuple of int, optional
        Lengths of the leading axes, such as ``(time, batch)``; their product is the number of
        patterns. Default ``(patterns,)`` when `indptr` is given, else ``()``.

    Attributes
    ----------
    indices : int32 array, shape ``(active,)``, read-only
    indptr : int64 array, shape ``(patterns + 1,)``, read-only
    size : int
    shape : tuple of int
        The leading axes.

    Raises
    ------
    InputError
        Indices that are not ascending, repeat, or lie out of range; boundaries that do not fit.

    Examples
    --------
    >>> a, b = SDR([1, 4, 7], size=10), SDR([4, 5, 7], size=10)
    >>> a.overlap(b)
    2
    >>> a.union(b).indices.tolist()
    [1, 4, 5, 7]
    >>> SDR.concat([a, b])
    <SDR: 6 of 20 active (30 %)>
    """

    __slots__ = ("indices", "indptr", "shape", "size")

    indices: NDArray[np.int32]
    indptr: NDArray[np.int64]
    size: int
    shape: tuple[int, ...]

    def __init__(
        self,
        indices: ArrayLike,
        size: int,
        *,
        indptr: ArrayLike | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        size = _size(size)
        flat = _integers("indices", indices)
        if indptr is None:
            bounds = np.array([0, len(flat)], np.int64)
        else:
            bounds = _integers("indptr", indptr)
        if shape is None:
            shape = () if indptr is None else (len(bounds) - 1,)
        shape = tuple(operator.index(n) for n in shape)
        if min(shape, default=0) < 0 or math.prod(shape) != len(bounds) - 1:
            raise InputError(
                f"SDR: shape must have a product of {len(bounds) - 1}, the number of patterns, "
                f"got {shape}"
            )
        if bounds[0] != 0 or bounds[-1] != len(flat) or (np.diff(bounds) < 0).any():
            raise InputError(
                f"SDR: indptr must rise from 0 to len(indices) = {len(flat)}, "
                f"got {_excerpt(bounds)}"
            )
        if flat.size:
            _check_indices(flat, size, bounds)
        self._set(flat.astype(np.int32), bounds.copy(), size, shape)

    def _set(
        self,
        indices: NDArray[np.int32],
        indptr: NDArray[np.int64],
        size: int,
        shape: tuple[int, ...],
    ) -> None:
        indices.flags.writeable = False
        indptr.flags.writeable = False
        for name, value in zip(self.__slots__, (indices, indptr, shape, size), strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def _trusted(
        cls,
        indices: NDArray[np.int32],
        indptr: NDArray[np.int64],
        size: int,
        shape: tuple[int, ...],
    ) -> Self:
        made = object.__new__(cls)
        made._set(indices, indptr, size, shape)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"SDR is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"SDR is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.indices, self.indptr, self.size, self.shape)

    @classmethod
    def from_indices(cls, indices: Iterable[int] | ArrayLike, size: int) -> Self:
        """Build one pattern from indices in any order, repeats allowed."""
        if not isinstance(indices, np.ndarray):
            indices = list(indices)  # type: ignore[arg-type]
        return cls(np.unique(_integers("indices", indices)), size)

    @classmethod
    def from_dense(cls, dense: ArrayLike) -> Self:
        """Build from a boolean (or 0/1) array of shape ``(*shape, size)``."""
        given = np.asarray(dense)
        if given.ndim == 0:
            raise InputError("SDR.from_dense: dense must have at least one axis, got a scalar")
        mask = given.astype(bool)
        if given.dtype.kind not in "biuf" or not np.array_equal(mask, given):
            raise InputError(
                f"SDR.from_dense: dense must hold only 0 and 1, got dtype {given.dtype}; "
                "compare with a threshold first"
            )
        size = _size(given.shape[-1])
        rows = mask.reshape(math.prod(given.shape[:-1]), size)
        which, indices = np.nonzero(rows)
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(np.bincount(which, minlength=len(rows)), out=indptr[1:])
        return cls._trusted(indices.astype(np.int32), indptr, size, given.shape[:-1])

    @classmethod
    def empty(cls, size: int, shape: tuple[int, ...] = ()) -> Self:
        """Build the all-zero pattern, or an array of them."""
        return cls([], size, indptr=np.zeros(math.prod(shape) + 1, np.int64), shape=shape)

    @classmethod
    def stack(cls, patterns: Iterable[SDR]) -> Self:
        """Join SDRs of one size and shape along a new first axis, such as time."""
        parts = list(patterns)
        if not parts:
            raise InputError("SDR.stack: patterns must hold at least one SDR, got none")
        first = parts[0]
        for part in parts[1:]:
            _same("stack", first, part)
        counts = np.concatenate([np.diff(part.indptr) for part in parts])
        return cls._trusted(
            np.concatenate([part.indices for part in parts]),
            np.concatenate([[0], np.cumsum(counts)]),
            first.size,
            (len(parts), *first.shape),
        )

    @classmethod
    def concat(cls, patterns: Iterable[SDR]) -> Self:
        """Lay SDRs side by side: sizes add up, indices move by the sizes before them."""
        parts = list(patterns)
        if not parts:
            raise InputError("SDR.concat: patterns must hold at least one SDR, got none")
        shape = parts[0].shape
        for part in parts[1:]:
            if part.shape != shape:
                raise InputError(
                    f"SDR.concat: patterns must share their leading axes, got {shape} "
                    f"and {part.shape}"
                )
        size = _size(sum(part.size for part in parts))
        offset, keys = 0, []
        for part in parts:
            keys.append(part._rows() * size + part.indices + offset)
            offset += part.size
        return cls._from_keys(np.sort(np.concatenate(keys)), size, shape)

    def to_dense(self) -> NDArray[np.bool_]:
        """Return the boolean array of shape ``(*shape, size)``."""
        dense = np.zeros((math.prod(self.shape), self.size), np.bool_)
        dense[self._rows(), self.indices] = True
        return dense.reshape(*self.shape, self.size)

    @property
    def counts(self) -> Any:
        """Active bits per pattern: an int, or an int64 array of `shape`."""
        return self._by_pattern(np.diff(self.indptr))

    @property
    def sparsity(self) -> Any:
        """Active fraction per pattern: a float, or a float64 array of `shape`."""
        return self.counts / self.size

    def overlap(self, other: SDR) -> Any:
        """Return how many active bits are shared: an int, or an int64 array of `shape`.

        Parameters
        ----------
        other : SDR
            Of the same size, and of the same shape or a single pattern.
        """
        self._check_size("overlap", other)
        if other.shape == ():
            shared = np.isin(self.indices, other.indices, assume_unique=self.shape == ())
            before = np.concatenate([[0], np.cumsum(shared)])
            return self._by_pattern(before[self.indptr[1:]] - before[self.indptr[:-1]])
        _same("overlap", self, other)
        both = np.intersect1d(self._keys(), other._keys(), assume_unique=True)
        return self._by_pattern(np.bincount(both // self.size, minlength=len(self.indptr) - 1))

    def union(self, other: SDR) -> SDR:
        """Return the bits active in either, pattern by pattern."""
        self._check_size("union", other)
        _same("union", self, other)
        return self._from_keys(np.union1d(self._keys(), other._keys()), self.size, self.shape)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else len(self.indices)

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            return iter(self.indices.tolist())
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, item: int | slice) -> Any:
        """Return one pattern (or fewer leading axes) by int, a range of them by slice."""
        if not self.shape:
            raise InputError("SDR: a single pattern has no leading axis to index; use .indices")
        inner = math.prod(self.shape[1:])
        if isinstance(item, slice):
            start, stop, step = item.indices(self.shape[0])
            if step != 1:
                raise InputError(f"SDR: slices must have step 1, got {item.step}")
            stop = max(start, stop)
            shape = (stop - start, *self.shape[1:])
        else:
            start = operator.index(item)
            if not -self.shape[0] <= start < self.shape[0]:
                raise IndexError(f"SDR: index {item} is out of range for axis of {self.shape[0]}")
            start %= self.shape[0]
            stop, shape = start + 1, self.shape[1:]
        bounds = self.indptr[start * inner : stop * inner + 1]
        indices = self.indices[bounds[0] : bounds[-1]]
        return self._trusted(indices, bounds - bounds[0], self.size, shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SDR):
            return NotImplemented
        return (
            (self.size, self.shape) == (other.size, other.shape)
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def __hash__(self) -> int:
        return hash((self.size, self.shape, self.indptr.tobytes(), self.indices.tobytes()))

    def __repr__(self) -> str:
        places = math.prod(self.shape) * self.size
        share = 100 * len(self.indices) / places if places else 0.0
        lead = f"{self.shape} patterns, " if self.shape else ""
        return f"<SDR: {lead}{len(self.indices)} of {places} active ({share:.3g} %)>"

    def _rows(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def _keys(self) -> NDArray[np.int64]:
        """Return one ascending unique integer per active bit: pattern * size + index."""
        return self._rows() * self.size + self.indices

    @classmethod
    def _from_keys(cls, keys: NDArray[np.int64], size: int, shape: tuple[int, ...]) -> Self:
        indptr = np.searchsorted(keys, np.arange(math.prod(shape) + 1, dtype=np.int64) * size)
        return cls._trusted((keys % size).astype(np.int32), indptr.astype(np.int64), size, shape)

    def _by_pattern(self, values: NDArray[Any]) -> Any:
        return values.reshape(self.shape) if self.shape else int(values[0])

    def _check_size(self, verb: str, other: SDR) -> None:
        if not isinstance(other, SDR):
            raise InputError(f"SDR.{verb}: other must be an SDR, got {type(other).__name__}")
        if other.size != self.size:
            raise InputError(f"SDR.{verb}: other must have size {self.size}, got size {other.size}")


def _rebuild(
    indices: NDArray[np.int32], indptr: NDArray[np.int64], size: int, shape: tuple[int, ...]
) -> SDR:
    return SDR(indices, size, indptr=indptr, shape=shape)


def _size(size: int) -> int:
    try:
        value = operator.index(size)
    except TypeError:
        raise InputError(f"SDR: size must be an int, got {size!r}") from None
    if not 1 <= value <= _LARGEST:
        raise InputError(f"SDR: size must be in [1, 2**31), got {size}")
    return value


def _integers(name: str, values: Any) -> NDArray[np.int64]:
    given = np.asarray(values)
    if given.size == 0 and given.ndim == 1:
        given = given.astype(np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise InputError(
            f"SDR: {name} must be a one-dimensional array of int, got shape {given.shape} "
            f"and dtype {given.dtype}"
        )
    if name == "indptr" and given.size == 0:
        raise InputError("SDR: indptr must hold at least one boundary, got none")
    return given.astype(np.int64)


def _check_indices(flat: NDArray[np.int64], size: int, bounds: NDArray[np.int64]) -> None:
    outside = flat[(flat < 0) | (flat >= size)]
    if outside.size:
        raise InputError(f"SDR: indices must lie in [0, {size}), got {outside[0]}")
    falls = np.diff(flat) <= 0
    # A pattern may begin below the end of the one before it.
    starts = bounds[1:-1]
    falls[starts[(starts > 0) & (starts < len(flat))] - 1] = False
    if falls.any():
        at = int(np.argmax(falls))
        raise InputError(
            f"SDR: indices must ascend without repeats, got {flat[at]} before {flat[at + 1]} "
            f"at position {at}; SDR.from_indices sorts them"
        )


def _same(verb: str, first: SDR, other: SDR) -> None:
    if (first.size, first.shape) != (other.size, other.shape):
        raise InputError(
            f"SDR.{verb}: every SDR must have size {first.size} and leading axes {first.shape}, "
            f"got size {other.size} and {other.shape}"
        )


def _excerpt(values: NDArray[Any]) -> str:
    return np.array2string(values, threshold=8, edgeitems=3)
