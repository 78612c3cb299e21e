"""What one recorded signal is: its rows, its grid of ticks, its unit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from biomem.engine.hdf5 import is_path
from biomem.engine.recording.bits import bytes_of
from biomem.errors import InputError, ParameterError

if TYPE_CHECKING:
    from biomem.engine.recording.view import Recording

__all__ = ["Recorder", "Signal", "by_name", "checked_rows", "select"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Signal:
    """One signal of a recording: rows of a fixed shape on a regular grid of ticks.

    Parameters
    ----------
    name : str
        Name of the signal; parts of a nested state are joined with ``/``.
    axes : tuple of str
        Axes of a row, such as ``("batch", "unit")``; the recording puts time before them.
    shape : tuple of int
        Lengths of these axes in a recorded row, after `index`.
    dtype : dtype-like
        Boolean, integer, float or complex.
    unit : str
        SI unit of the values, ``"1"`` when dimensionless.
    every : int
        Ticks between rows, >= 1.
    tick0 : int
        Tick of the first row, >= 0. Rows exist at ``tick0 + k * every``.
    index : array-like of int, optional
        Which elements of the model's last axis a row holds; None for all.
    dt : float, optional
        s per tick; None for a model without a time scale.

    Examples
    --------
    >>> v = Signal(name="v", axes=("batch", "unit"), shape=(1, 3), dtype="float32", every=10)
    >>> v.rows_before(tick=25), v.row_bytes
    (3, 12)
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any
    unit: str = "1"
    every: int = 1
    tick0: int = 0
    index: Any = None
    dt: float | None = None

    def __post_init__(self) -> None:
        index = self.index
        if index is not None:
            index = np.array(index, dtype=np.int64)
            index.flags.writeable = False
        for name, value in {
            "axes": tuple(self.axes),
            "shape": tuple(int(n) for n in self.shape),
            "dtype": np.dtype(self.dtype),
            "every": int(self.every),
            "tick0": int(self.tick0),
            "index": index,
        }.items():
            object.__setattr__(self, name, value)
        self._validate()

    def _validate(self) -> None:
        if not is_path(self.name):
            raise ParameterError(f"Signal.name must be such as 'v' or 'sp/v', got {self.name!r}")
        owner = f"Signal {self.name!r}"
        if self.dtype.kind not in "biufc":
            raise ParameterError(f"{owner}: dtype must be a number or bool, got {self.dtype}")
        if len(self.axes) != len(self.shape):
            raise ParameterError(f"{owner}: axes {self.axes} do not name the shape {self.shape}")
        if self.every < 1 or self.tick0 < 0:
            raise ParameterError(
                f"{owner}: every must be >= 1 and tick0 >= 0, got {self.every} and {self.tick0}"
            )
        if self.index is not None and (
            not self.shape or self.index.shape != (self.shape[-1],) or self.index.min() < 0
        ):
            raise ParameterError(
                f"{owner}: index must hold one element >= 0 for each of the last axis, "
                f"got {self.index!r} for the shape {self.shape}"
            )

    @property
    def is_packed(self) -> bool:
        """Whether rows are kept eight booleans to a byte (see `biomem.engine.recording.bits`)."""
        return self.dtype.kind == "b"

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of a row as it is kept."""
        return (bytes_of(self.shape),) if self.is_packed else self.shape

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Data type of a row as it is kept."""
        return np.dtype(np.uint8) if self.is_packed else self.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes one row takes where it is kept."""
        return math.prod(self.stored_shape) * self.stored_dtype.itemsize

    def rows_before(self, tick: int) -> int:
        """Return the number of rows at ticks before `tick`."""
        return max(0, -(-(tick - self.tick0) // self.every))

    def difference(self, other: Signal) -> str:
        """Say in which respect `other` records something else; empty when it does not.

        Two signals that began at different ticks of the same grid do not differ.
        """
        for what in ("name", "axes", "shape", "dtype", "unit", "every", "dt"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                return f"{self.name}.{what} is {mine!r} and {theirs!r}"
        if not np.array_equal(np.asarray(self.index), np.asarray(other.index)):
            return f"{self.name}.index differs"
        if (self.tick0 - other.tick0) % self.every:
            return f"{self.name} was sampled at other ticks: from {self.tick0} and {other.tick0}"
        return ""


class Recorder(Protocol):
    """Where rows go. Fed once per chunk: `append` for every signal, then `commit`."""

    @property
    def signals(self) -> Mapping[str, Signal]:
        """The signals by name."""
        ...

    def reserve(self, ticks: int) -> None:
        """Refuse a run of `ticks` more ticks that would not fit, before it starts."""
        ...

    def append(self, name: str, tick: int, rows: np.ndarray) -> None:
        """Add the rows of a signal at its recorded ticks from `tick` on (see `select`)."""
        ...

    def commit(self, tick: int) -> None:
        """State that every signal has all its rows at ticks before `tick`."""
        ...

    def recording(self) -> Recording:
        """Return what is committed so far."""
        ...

    def close(self) -> None:
        """Release what the recorder holds; what is committed stays readable."""
        ...


def select(signal: Signal, tick: int, rows: np.ndarray) -> np.ndarray:
    """Pick from the rows of a chunk those `signal` records.

    Parameters
    ----------
    signal : Signal
    tick : int
        Tick of the first row.
    rows : array, shape ``(time, *full row)``
        One row for every tick of the chunk.

    Returns
    -------
    array, shape ``(k, *signal.shape)``
        Rows at ticks ``t >= signal.tick0`` with ``(t - signal.tick0) % signal.every == 0``, with
        ``signal.index`` applied to the last axis. A view of `rows` when there is no index.
    """
    behind = tick - signal.tick0
    first = -behind if behind < 0 else -behind % signal.every
    picked = rows[first :: signal.every]
    return picked if signal.index is None else picked[..., signal.index]


def by_name(signals: Any) -> dict[str, Signal]:
    """Return `signals`, an iterable or a mapping, as a dict, or refuse clashing names."""
    listed = list(signals.values() if isinstance(signals, Mapping) else signals)
    found = {signal.name: signal for signal in listed}
    if len(found) < len(listed):
        raise ParameterError(f"signals must have distinct names, got {[s.name for s in listed]}")
    return found


def checked_rows(signal: Signal, tick: int, rows: np.ndarray, committed: int, have: int) -> int:
    """Return the position at which `rows` continue a signal, or refuse them.

    Rows appended since the last commit may be given again: a chunk that failed half-way is.
    """
    at = signal.rows_before(tick)
    if at not in (committed, have):
        raise InputError(
            f"recording {signal.name!r}: the rows from tick {tick} on do not follow the "
            f"{have} rows that are there (the next tick is {signal.tick0 + have * signal.every})"
        )
    if rows.shape[1:] != signal.shape or rows.dtype != signal.dtype:
        raise InputError(
            f"recording {signal.name!r}: rows must be {signal.dtype} (time, *{signal.shape}), "
            f"got {rows.dtype} {rows.shape}"
        )
    return at
