"""Sparse input of a model: which channels speak at each tick, and how loud."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.sdr import SDR
from biomem.errors import InputError

__all__ = ["Events"]


class Events:
    """An immutable series ``(time, batch, channel)`` that stores what is not zero (CSR).

    Worth it below some 10 % of active channels; a dense array is better above.

    Parameters
    ----------
    channels : array of int, shape ``(events,)``
        Strictly ascending within each row, in ``[0, n_channels)``. Copied.
    values : array of float, shape ``(events,)``
        Finite. Copied.
    indptr : array of int, shape ``(time * batch + 1,)``
        Row ``t * batch + b`` holds ``channels[indptr[row]:indptr[row + 1]]``.
    shape : tuple ``(time, batch)``
    n_channels : int

    Raises
    ------
    InputError
        Channels that do not ascend or lie out of range, values that are not finite, boundaries
        that do not fit.

    Examples
    --------
    >>> spikes = Events.from_coordinates([0, 2], [0, 0], [3, 1], shape=(3, 1), n_channels=4)
    >>> spikes
    <Events: 2 events of 4 channels, time=3, batch=1>
    >>> spikes.to_dense()[2, 0].tolist()
    [0.0, 1.0, 0.0, 0.0]
    >>> spikes[1:]
    <Events: 1 events of 4 channels, time=2, batch=1>
    """

    __slots__ = ("channels", "indptr", "n_channels", "shape", "values")

    channels: NDArray[np.int32]
    values: NDArray[np.float64]
    indptr: NDArray[np.int64]
    shape: tuple[int, int]
    n_channels: int

    def __init__(
        self,
        channels: ArrayLike,
        values: ArrayLike,
        indptr: ArrayLike,
        *,
        shape: tuple[int, int],
        n_channels: int,
    ) -> None:
        # The checks of a binary pattern are those of the places of these events.
        places = SDR(channels, n_channels, indptr=indptr, shape=shape)
        if len(places.shape) != 2:
            raise InputError(f"Events: shape must be (time, batch), got {places.shape}")
        loud = np.array(values, np.float64)
        if loud.shape != places.indices.shape or not np.isfinite(loud).all():
            raise InputError(
                f"Events: values must be {places.indices.size} finite numbers, one per channel, "
                f"got shape {loud.shape}"
            )
        loud.flags.writeable = False
        self._set(places.indices, loud, places.indptr, places.shape, places.size)

    def _set(self, channels: Any, values: Any, indptr: Any, shape: Any, n_channels: int) -> None:
        for array in (channels, values, indptr):
            array.flags.writeable = False
        order = (channels, indptr, n_channels, shape, values)
        for name, value in zip(self.__slots__, order, strict=True):
            object.__setattr__(self, name, value)

    def _like(self, channels: Any, values: Any, indptr: Any, shape: tuple[int, int]) -> Self:
        """Return events of the same channels whose parts are known to be sound."""
        made = object.__new__(type(self))
        made._set(channels, values, indptr, shape, self.n_channels)
        return made

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Events is immutable: cannot set {name!r}")

    @classmethod
    def from_dense(cls, xs: ArrayLike) -> Self:
        """Build from an array of shape ``(time, batch, channel)``."""
        dense = np.asarray(xs)
        if dense.ndim != 3 or dense.dtype.kind not in "biuf":
            raise InputError(
                "Events.from_dense: xs must be a numeric array (time, batch, channel), "
                f"got {dense.dtype} of shape {dense.shape}"
            )
        time, batch, channel = np.nonzero(dense)
        return cls(
            channel,
            dense[time, batch, channel],
            _boundaries(time * dense.shape[1] + batch, dense.shape[0] * dense.shape[1]),
            shape=dense.shape[:2],
            n_channels=dense.shape[2],
        )

    @classmethod
    def from_sdr(cls, sdr: SDR, signs: ArrayLike | None = None) -> Self:
        """Build from binary patterns of shape ``(time, batch)`` or ``(time,)``.

        Parameters
        ----------
        sdr : SDR
        signs : array, shape ``(channel,)``, optional
            Value of an event of each channel, such as -1 for inhibitory ones; default 1.
        """
        if len(sdr.shape) not in (1, 2):
            raise InputError(
                f"Events.from_sdr: sdr must have the leading axes (time,) or (time, batch), "
                f"got {sdr.shape}"
            )
        shape = (sdr.shape[0], sdr.shape[1] if len(sdr.shape) == 2 else 1)
        loud = np.ones(sdr.size) if signs is None else np.asarray(signs, np.float64)
        if loud.shape != (sdr.size,):
            raise InputError(
                f"Events.from_sdr: signs must have shape ({sdr.size},), got {loud.shape}"
            )
        return cls(sdr.indices, loud[sdr.indices], sdr.indptr, shape=shape, n_channels=sdr.size)

    @classmethod
    def from_coordinates(
        cls,
        time: ArrayLike,
        batch: ArrayLike,
        channel: ArrayLike,
        values: ArrayLike | None = None,
        *,
        shape: tuple[int, int],
        n_channels: int,
    ) -> Self:
        """Build from one entry per event, in any order; events of one place add up.

        Parameters
        ----------
        time, batch, channel : array of int, shape ``(events,)``
        values : array of float, shape ``(events,)``, optional
            Default 1.
        """
        where = tuple(np.asarray(a, np.int64) for a in (time, batch, channel))
        loud = np.ones(where[0].shape) if values is None else np.asarray(values, np.float64)
        if where[0].ndim != 1 or any(a.shape != where[0].shape for a in (*where, loud)):
            raise InputError(
                "Events.from_coordinates: time, batch, channel and values must have one shape "
                f"(events,), got {[a.shape for a in (*where, loud)]}"
            )
        limits = (*shape, n_channels)
        for name, index, limit in zip(("time", "batch", "channel"), where, limits, strict=True):
            if index.size and not (index.min() >= 0 and index.max() < limit):
                raise InputError(
                    f"Events.from_coordinates: {name} must lie in [0, {limit}), "
                    f"got values in [{index.min()}, {index.max()}]"
                )
        keys, inverse = np.unique(np.ravel_multi_index(where, limits), return_inverse=True)
        return cls(
            keys % n_channels,
            np.bincount(inverse, loud, len(keys)),
            _boundaries(keys // n_channels, math.prod(shape)),
            shape=shape,
            n_channels=n_channels,
        )

    def to_dense(self, dtype: str | np.dtype[Any] = "float64") -> NDArray[Any]:
        """Return the array of shape ``(time, batch, channel)``."""
        dense = np.zeros((math.prod(self.shape), self.n_channels), dtype)
        rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        dense[rows, self.channels] = self.values
        return dense.reshape(*self.shape, self.n_channels)

    def rounded(self, dtype: str | np.dtype[Any]) -> Self:
        """Return the events as `to_dense` cast to `dtype` would hold them, without zeros.

        Raises
        ------
        InputError
            A value that `dtype` cannot hold: too large, or not whole for integers and booleans.
        """
        kind = np.dtype(dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            held = self.values.astype(kind).astype(np.float64)
        wrong = ~np.isfinite(held) if kind.kind == "f" else held != self.values
        if wrong.any():
            raise InputError(
                f"Events: values must fit {kind} without loss, got {self.values[wrong][0]}"
            )
        kept = held != 0
        if kept.all():
            return self._like(self.channels, held, self.indptr, self.shape)
        before = np.concatenate([[0], np.cumsum(kept)])
        return self._like(self.channels[kept], held[kept], before[self.indptr], self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, ticks: slice) -> Self:
        """Return the ticks of a slice of step 1, without a copy of the events."""
        start, stop, step = ticks.indices(len(self)) if isinstance(ticks, slice) else (0, 0, 0)
        if step != 1:
            raise InputError(f"Events: index with a slice of ticks of step 1, got {ticks!r}")
        stop, batch = max(start, stop), self.shape[1]
        bounds = self.indptr[start * batch : stop * batch + 1]
        part = slice(bounds[0], bounds[-1])
        return self._like(
            self.channels[part], self.values[part], bounds - bounds[0], (stop - start, batch)
        )

    def __repr__(self) -> str:
        time, batch = self.shape
        return (
            f"<Events: {len(self.channels)} events of {self.n_channels} channels, "
            f"time={time}, batch={batch}>"
        )


def _boundaries(rows: NDArray[np.int64], n_rows: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
