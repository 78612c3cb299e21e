"""A recording as its user meets it: a read-only mapping from names to arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.recording.signal import Signal
from biomem.engine.recording.spikes import SpikeTrains, read_sdr, read_spikes
from biomem.errors import ParameterError

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

    from biomem.engine.sdr import SDR

__all__ = ["Column", "Recording"]


class Column(Protocol):
    """One recorded signal, in memory or in a file."""

    signal: Signal
    rows: int

    @property
    def status(self) -> str:
        """Status of the place this comes from, as of `Recording.status`."""
        ...

    def array(self) -> Any:
        """Return the rows, an array or what reads like one."""
        ...

    def packed(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return rows of booleans, eight to a byte (see `bits`); only for such a signal."""
        ...


class Recording(Mapping[str, Any]):
    """What was recorded, by name.

    ``rec["v"]`` has shape ``(rows, *signal.shape)``. From memory it is a read-only array; from a
    file it is a `FileRows`, which reads only what is asked of it: ``rec["v"][1000:2000, 0]`` is an
    array, and so is ``np.asarray(rec["v"])``, whole.

    Booleans, such as spikes, are kept eight to a byte and unpacked when they are asked for: the
    array takes eight times the memory of the recording. In memory that is done for all rows and
    remembered up to 64 MB, so take a larger array once, not in a loop. `spikes` and `to_sdr` read
    them without that.

    A recording does not follow a run that goes on: ask the simulator, or open the file, again.

    Parameters
    ----------
    columns : mapping of str to Column
    dt : float, optional
        s per tick; default the one all signals share.
    metadata : mapping, optional
        Description of the run that was recorded.
    release : callable, optional
        Called by `close`.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem.engine.recording import MemoryRecorder, Signal
    >>> recorder = MemoryRecorder(
    ...     [Signal(name="v", axes=("unit",), shape=(2,), dtype="float64", every=5, dt=0.1)]
    ... )
    >>> recorder.append("v", 0, np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> recorder.commit(10)
    >>> rec = recorder.recording()
    >>> rec["v"][:, 1], rec.tick("v"), rec.t("v")
    (array([2., 4.]), array([0, 5]), array([0. , 0.5]))
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        *,
        dt: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        self._columns = dict(columns)
        shared = {column.signal.dt for column in self._columns.values()}
        self.dt = dt if dt is not None or len(shared) != 1 else shared.pop()
        self.metadata: Mapping[str, Any] = MappingProxyType(dict(metadata or {}))
        self._release = release

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a recording on disk, complete, still being written, or left by a killed run.

        Raises
        ------
        MissingFileError
            There is no such file.
        CorruptFileError
            The file is damaged, of another kind, or of a newer format version.
        """
        from biomem.engine.recording.reader import Source

        source = Source(path)
        found = source.describe()
        return cls(found.columns, metadata=found.metadata, release=source.close)

    @classmethod
    def merge(cls, recordings: list[Recording], dt: float | None = None) -> Self:
        """Return one recording with the signals of several, whose names must differ."""
        columns: dict[str, Column] = {}
        metadata: dict[str, Any] = {}
        for recording in recordings:
            if clash := sorted(set(columns) & set(recording._columns)):
                raise ParameterError(f"Recording.merge: {clash[0]!r} is in two of the recordings")
            columns.update(recording._columns)
            metadata.update(recording.metadata)

        def release() -> None:
            for recording in recordings:
                recording.close()

        return cls(columns, dt=dt, metadata=metadata, release=release)

    @property
    def signals(self) -> Mapping[str, Signal]:
        """The description of every signal, by name."""
        return MappingProxyType({name: c.signal for name, c in self._columns.items()})

    @property
    def status(self) -> str:
        """``"complete"``, ``"live"``, or ``"recovered: file was not closed, N ticks"``."""
        unusual = [c.status for c in self._columns.values() if c.status != "complete"]
        return min(unusual, key=lambda status: status == "live", default="complete")

    def __getitem__(self, name: str) -> Any:
        return self.column(name).array()

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def tick(self, name: str) -> np.ndarray:
        """Return the tick of every row of `name`, int64."""
        column = self.column(name)
        signal = column.signal
        return signal.tick0 + signal.every * np.arange(column.rows, dtype=np.int64)

    def t(self, name: str) -> np.ndarray:
        """Return the time of every row of `name`, s.

        Raises
        ------
        ParameterError
            The model has no time scale; use `tick`.
        """
        signal = self.column(name).signal
        dt = signal.dt if signal.dt is not None else self.dt
        if dt is None:
            raise ParameterError(f"Recording.t: {name!r} has no dt; use tick({name!r})")
        return self.tick(name) * dt

    def spikes(
        self, name: str = "spikes", *, index: ArrayLike | None = None, batch: int = 0
    ) -> SpikeTrains:
        """Return the true values of a boolean signal as spike times and units.

        The rows are passed over in blocks and never unpacked as a whole.

        Parameters
        ----------
        name : str
        index : array-like of int, optional
            Units to take, as the model numbers them; default all that were recorded.
        batch : int
            Stream to take.

        Returns
        -------
        SpikeTrains
            Unpacks to ``times, units``; has `trains` and `rate`. Units are numbered as in the
            model, but by their place in the recorded row where a row has several axes of units.

        Raises
        ------
        ParameterError
            The signal is not boolean, or there are no such units or stream.

        Examples
        --------
        >>> import numpy as np
        >>> from biomem.engine.recording import MemoryRecorder, Signal
        >>> recorder = MemoryRecorder(
        ...     [Signal(name="spikes", axes=("batch", "unit"), shape=(1, 3), dtype="bool", dt=0.1)]
        ... )
        >>> recorder.append("spikes", 0, np.eye(3, dtype=bool)[[0, 2, 0], None])
        >>> recorder.commit(3)
        >>> times, units = recorder.recording().spikes()
        >>> times, units
        (array([0. , 0.1, 0.2]), array([0, 2, 0], dtype=int32))
        """
        column = self.column(name)
        dt = column.signal.dt if column.signal.dt is not None else self.dt
        return read_spikes(column, dt, index, batch)

    def to_sdr(self, name: str = "spikes") -> SDR:
        """Return a boolean signal as an `SDR` of shape ``(rows, *leading)``.

        The last axis of a row becomes the places of the patterns; with several streams the shape
        is ``(rows, batch)``. Not for dense activity: an active bit takes four bytes.

        Raises
        ------
        ParameterError
            The signal is not boolean.
        """
        return read_sdr(self.column(name))

    def to_xarray(self) -> xarray.Dataset:
        """Return an xarray Dataset; needs xarray, and reads everything into memory.

        Time is a coordinate in s, or in ticks without a time scale. Signals on one grid share the
        dimension ``time``; with several grids each has its own, ``time_<name>``.
        """
        from biomem.engine.recording.export import to_xarray

        return to_xarray(self)

    def to_pandas(self, *names: str) -> pandas.DataFrame:
        """Return a DataFrame with one column per recorded number; needs pandas.

        Parameters
        ----------
        *names : str
            Signals to take, all on one grid of ticks; default all.
        """
        from biomem.engine.recording.export import to_pandas

        return to_pandas(self, *(names or tuple(self)))

    def plot(self, name: str, ax: Axes | None = None) -> Axes:
        """Draw `name` over time and return the Axes.

        Numbers are drawn as lines, booleans as a raster of their true ticks, and rows of more than
        32 numbers as an image. A long series is drawn as the extremes of equal stretches, so that
        no peak is lost.
        """
        from biomem.engine.recording.export import plot

        return plot(self, name, ax)

    def close(self) -> None:
        """Close the file; what was read from it stays, and reading more opens it again."""
        if self._release is not None:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        shown = [
            f"  {name}: {c.signal.dtype} ({', '.join(map(str, (c.rows, *c.signal.shape)))}) "
            f"({', '.join(('time', *c.signal.axes))}), unit {c.signal.unit}, "
            f"every {c.signal.every} from tick {c.signal.tick0}"
            for name, c in self._columns.items()
        ]
        size = sum(c.rows * c.signal.row_bytes for c in self._columns.values())
        scale = "no dt" if self.dt is None else f"dt={self.dt:g} s"
        head = f"Recording of {len(self)} signals, {size / 1e6:.3g} MB, {scale}, {self.status}"
        return "<" + "\n".join([head, *shown]) + ">"

    def column(self, name: str) -> Column:
        """Return one signal as it is stored."""
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"no signal {name!r} in the recording; it has {list(self)}") from None
