"""Recorded spikes as times and units, read from packed rows one block at a time."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.recording.bits import set_bits
from biomem.engine.recording.signal import Signal
from biomem.engine.sdr import SDR
from biomem.errors import ParameterError
from biomem.typing import FloatArray

if TYPE_CHECKING:
    from biomem.engine.recording.view import Column

__all__ = ["SpikeTrains", "active_bits", "read_sdr", "read_spikes"]

_BLOCK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SpikeTrains:
    """The spikes of one stream, by time and, within a tick, in the order of `labels`.

    Unpacks to what most analyses take: ``times, units = recording.spikes("spikes")``. Not for
    dense activity: a spike takes 12 bytes here, an eighth of a byte in the recording.

    Attributes
    ----------
    ticks : int64 array, shape ``(spikes,)``
        Tick of each spike.
    units : int32 array, shape ``(spikes,)``
        Unit of each spike, one of `labels`.
    labels : int32 array, shape ``(units,)``
        Every unit that was looked at, silent ones too.
    rows : int
        Number of ticks that were looked at: ``tick0``, ``tick0 + every`` and so on.
    tick0, every : int
    dt : float or None
        s per tick; None for a model without a time scale.

    Examples
    --------
    >>> spikes = SpikeTrains(
    ...     ticks=np.array([0, 3, 5]), units=np.array([7, 2, 7]), labels=np.array([2, 7]),
    ...     rows=6, tick0=0, every=1, dt=0.5,
    ... )
    >>> spikes
    <SpikeTrains: 3 spikes of 2 units, 0 to 3 s>
    >>> spikes.trains()
    [array([1.5]), array([0. , 2.5])]
    >>> spikes.rate(1.5)
    (array([0.75, 2.25]), array([0.33333333, 0.66666667]))
    """

    ticks: NDArray[np.int64]
    units: NDArray[np.int32]
    labels: NDArray[np.int32]
    rows: int
    tick0: int
    every: int
    dt: float | None

    @property
    def times(self) -> FloatArray:
        """Time of each spike, s: the start of its tick, as `Recording.t` gives it.

        Raises
        ------
        ParameterError
            The model has no time scale; use `ticks`.
        """
        return self.ticks * self._scale()

    @property
    def t_start(self) -> float:
        """Time at which observation began, s."""
        return self.tick0 * self._scale()

    @property
    def t_stop(self) -> float:
        """Time at which observation ended, s: that of the first tick that was not seen."""
        return (self.tick0 + self.rows * self.every) * self._scale()

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of spikes of each of `labels`, shape ``(units,)``."""
        return np.bincount(self._places(), minlength=len(self.labels))

    def trains(self) -> list[FloatArray]:
        """Return the times of the spikes of each of `labels`, s, ascending."""
        if not len(self.labels):
            return []
        # NumPy sorts numbers of 16 bits by radix.
        places = self._places().astype(np.uint16 if len(self.labels) <= 1 << 16 else np.intp)
        order = np.argsort(places, kind="stable")
        return np.split(self.times[order], np.cumsum(self.counts)[:-1])

    def rate(self, bin_width: float, *, per_unit: bool = False) -> tuple[FloatArray, FloatArray]:
        """Return the middles of bins, s, and the mean rate of a unit in each, Hz.

        Parameters
        ----------
        bin_width : float
            s; a whole number of recorded ticks. A last bin that is shorter counts as what it is.
        per_unit : bool
            Give the rate of each of `labels`, shape ``(bins, units)``, instead of their mean.

        Raises
        ------
        ParameterError
            The model has no time scale, or the bin is no whole number of recorded ticks.

        Notes
        -----
        With ``every > 1`` spikes between the recorded ticks are not known; the rate is that of
        the ticks that are.
        """
        dt = self._scale()
        step = dt * self.every
        width = round(bin_width / step)
        if width < 1 or abs(bin_width / step - width) > 1e-6 * width:
            raise ParameterError(
                f"rate: bin_width must be a multiple of {step:g} s, the time between recorded "
                f"ticks, got {bin_width!r}"
            )
        bins = -(-self.rows // width)
        first = np.arange(bins) * width
        length = np.minimum(width, self.rows - first)
        middles = (self.tick0 + (first + length / 2) * self.every) * dt
        which = (self.ticks - self.tick0) // (self.every * width)
        if not per_unit:
            seen = length * dt * max(1, len(self.labels))
            return middles, np.bincount(which, minlength=bins) / seen
        n_units = len(self.labels)
        flat = np.bincount(which * n_units + self._places(), minlength=bins * n_units)
        return middles, flat.reshape(bins, n_units) / (length * dt)[:, None]

    def __len__(self) -> int:
        return len(self.ticks)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.times, self.units))

    def __repr__(self) -> str:
        span = (
            f"{self.rows} rows from tick {self.tick0}"
            if self.dt is None
            else f"{self.t_start:g} to {self.t_stop:g} s"
        )
        return f"<SpikeTrains: {len(self)} spikes of {len(self.labels)} units, {span}>"

    def _places(self) -> NDArray[np.integer[Any]]:
        """Return the position of each spike's unit in `labels`."""
        if np.array_equal(self.labels, np.arange(len(self.labels))):
            return self.units
        order = np.argsort(self.labels)
        return order[np.searchsorted(self.labels, self.units, sorter=order)]

    def _scale(self) -> float:
        if self.dt is None:
            raise ParameterError("SpikeTrains: the model has no time scale (dt); use ticks")
        return self.dt


def active_bits(column: Column) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield row and bit of all true values, ascending, one block of rows after the other."""
    step = max(1, _BLOCK_BYTES // max(1, column.signal.row_bytes))
    n = math.prod(column.signal.shape)
    for start in range(0, column.rows, step):
        row, bit = set_bits(column.packed(start, min(start + step, column.rows)))
        if n % 8:  # a file may hold anything behind the last element
            known = bit < n
            row, bit = row[known], bit[known]
        yield start + row, bit


def read_spikes(
    column: Column, dt: float | None, index: ArrayLike | None, batch: int
) -> SpikeTrains:
    """See `Recording.spikes`."""
    signal = column.signal
    _refuse_numbers("spikes", signal)
    bits, labels = _units(signal, batch)
    if index is not None:
        wanted = _positions(signal.name, index, labels)
        bits, labels = bits[wanted], labels[wanted]
    place = np.full(8 * signal.row_bytes, -1, np.int32)
    place[bits] = np.arange(len(bits), dtype=np.int32)
    is_ascending = bool((np.diff(bits) > 0).all())
    rows, places = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for row, bit in active_bits(column):
        at = place[bit]
        kept = at >= 0
        row, at = row[kept], at[kept]
        if not is_ascending:
            order = np.lexsort((at, row))
            row, at = row[order], at[order]
        rows.append(row)
        places.append(at)
    return SpikeTrains(
        ticks=signal.tick0 + signal.every * np.concatenate(rows),
        units=labels[np.concatenate(places)],
        labels=labels,
        rows=column.rows,
        tick0=signal.tick0,
        every=signal.every,
        dt=dt,
    )


def read_sdr(column: Column) -> SDR:
    """See `Recording.to_sdr`."""
    signal = column.signal
    _refuse_numbers("to_sdr", signal)
    *leading, size = signal.shape or (1,)
    per_row = math.prod(leading)
    patterns, indices = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for row, bit in active_bits(column):
        which, at = np.divmod(bit, size)
        patterns.append(row * per_row + which)
        indices.append(at)
    counts = np.bincount(np.concatenate(patterns), minlength=column.rows * per_row)
    return SDR(
        np.concatenate(indices),
        size,
        indptr=np.concatenate([[0], np.cumsum(counts)]),
        shape=(column.rows, *leading),
    )


def _refuse_numbers(method: str, signal: Signal) -> None:
    if not signal.is_packed:
        raise ParameterError(
            f"{method}: {signal.name!r} holds {signal.dtype}; it must be a recording of bool, "
            "such as of spikes or of active cells"
        )


def _units(signal: Signal, batch: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return the bits of the units of one stream in a row, and what they are called."""
    bits = np.arange(math.prod(signal.shape)).reshape(signal.shape)
    axis = signal.axes.index("batch") if "batch" in signal.axes else None
    streams = 1 if axis is None else bits.shape[axis]
    if not 0 <= operator.index(batch) < streams:
        raise ParameterError(
            f"spikes: batch of {signal.name!r} must be in [0, {streams}), got {batch}"
        )
    if axis is not None:
        bits = bits.take(batch, axis=axis)
    if signal.index is None or bits.ndim != 1:
        return bits.reshape(-1), np.arange(bits.size, dtype=np.int32)
    # A unit that was recorded twice has one train.
    first = np.sort(np.unique(signal.index, return_index=True)[1])
    return bits[first], signal.index[first].astype(np.int32)


def _positions(name: str, index: ArrayLike, labels: NDArray[np.int32]) -> NDArray[np.intp]:
    """Return where the units of `index` are in `labels`."""
    wanted = np.atleast_1d(np.asarray(index))
    if wanted.size == 0:
        return np.empty(0, np.intp)
    is_known = wanted.dtype.kind in "iu" and wanted.ndim == 1
    if not (is_known and np.isin(wanted, labels).all() and len(np.unique(wanted)) == len(wanted)):
        raise ParameterError(
            f"spikes: index must hold distinct units among the {len(labels)} of {name!r} that "
            f"were recorded, got {index!r:.80}"
        )
    order = np.argsort(labels)
    return order[np.searchsorted(labels, wanted, sorter=order)]
