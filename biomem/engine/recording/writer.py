"""Recording to disk: one HDF5 file per run that can be read while it grows and after a kill."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from biomem.engine.recording.bits import pack
from biomem.engine.recording.layout import create, rewrite
from biomem.engine.recording.reader import (
    FORMAT_VERSION,
    Description,
    Source,
    is_written_here,
)
from biomem.engine.recording.rows import FileRows
from biomem.engine.recording.signal import Signal, by_name, checked_rows
from biomem.engine.recording.stream import Stream
from biomem.engine.recording.view import Recording
from biomem.errors import OutputError, ParameterError

__all__ = ["Hdf5Recorder"]

StrPath = str | os.PathLike[str]


class Hdf5Recorder:
    """Streams the rows of a run to an HDF5 file, flushed chunk by chunk, booleans eight to a byte.

    A run that is killed loses the rows of the chunk it was at, nothing before it; only a power
    cut can lose what the system had not written yet. An existing recording of the same signals is
    continued at its end. Memory stays flat, however long the run.

    Not on network file systems with ``swmr=True``: SWMR needs POSIX writes in order. With
    ``swmr=False`` the file is flushed as often, but cannot be read while it grows, and a killed
    run may leave it unreadable.

    Parameters
    ----------
    path : path-like
        File to create or to continue; its folder must exist.
    signals : iterable of Signal
    metadata : mapping, optional
        JSON-compatible description of the run, kept in the file.
    swmr : bool
        Write in single-writer-multiple-readers mode.
    resume_tick : int, optional
        Tick at which the run goes on, as its checkpoint has it. Rows from there on, which a run
        wrote before it was killed, are dropped. Without it, the run must go on where the file ends.

    Raises
    ------
    OutputError
        The file cannot be written, another process is writing it, or it holds rows that the run
        would overwrite or does not reach back to.
    ParameterError
        The file is a recording of other signals or of another model.
    CorruptFileError
        There is a file that is no recording, or is damaged. It is left alone.
    """

    def __init__(
        self,
        path: StrPath,
        signals: Iterable[Signal],
        metadata: Mapping[str, Any] | None = None,
        *,
        swmr: bool = True,
        resume_tick: int | None = None,
    ) -> None:
        self.path = os.path.abspath(path)
        self.metadata: Mapping[str, Any] = MappingProxyType(dict(metadata or {}))
        self._failure = ""
        wanted = by_name(signals)
        if not wanted:
            raise ParameterError("Hdf5Recorder: signals must name at least one, got none")
        if is_written_here(self.path):
            raise OutputError(f"cannot write {self.path!r}: it is being recorded to already")
        if os.path.exists(self.path):
            kept, self._committed = self._prepare(wanted, swmr, resume_tick)
        else:
            kept, self._committed = wanted, min(s.tick0 for s in wanted.values())
            create(self.path, kept, self.metadata, self._committed, swmr)
        self.signals: Mapping[str, Signal] = MappingProxyType(kept)
        self._rows = {name: s.rows_before(self._committed) for name, s in kept.items()}
        self._stream = Stream(self.path, list(kept), swmr)
        self._source = Source(self.path)
        self._finish = weakref.finalize(self, _close_quietly, self._stream, os.getpid())

    def _prepare(
        self, wanted: dict[str, Signal], swmr: bool, resume_tick: int | None
    ) -> tuple[dict[str, Signal], int]:
        """Check the recording at `path` and cut it where the run goes on."""
        source = Source(self.path)
        try:
            found = source.describe()
            if found.live:
                raise OutputError(
                    f"cannot write {self.path!r}: another process is recording to it; "
                    "record to another file"
                )
            kept = {name: column.signal for name, column in found.columns.items()}
            self._refuse_other(kept, wanted, found.metadata)
            tick = self._place(found, wanted, resume_tick)
            opened = source.open()
            fits = found.version == FORMAT_VERSION and opened.swmr == swmr
            if not (fits and opened.closed_properly and tick == found.committed):
                rewrite(source, found, self.metadata, tick, swmr)
            return kept, tick
        finally:
            source.close()

    def _refuse_other(
        self, kept: dict[str, Signal], wanted: dict[str, Signal], metadata: Mapping[str, Any]
    ) -> None:
        hint = "record to another file"
        if set(kept) != set(wanted):
            raise ParameterError(
                f"cannot append to {self.path!r}: it is a recording of {sorted(kept)}, "
                f"not of {sorted(wanted)}; {hint}"
            )
        for name, signal in wanted.items():
            if difference := kept[name].difference(signal):
                raise ParameterError(
                    f"cannot append to {self.path!r}: in the file and in the run, {difference}; "
                    f"{hint}"
                )
        for key in ("model", "params"):
            old, new = metadata.get(key), self.metadata.get(key)
            if old is not None and new is not None and old != new:
                raise ParameterError(
                    f"cannot append to {self.path!r}: its {key} is {old!r}, not {new!r}; {hint}"
                )

    def _place(self, found: Description, wanted: dict[str, Signal], resume_tick: int | None) -> int:
        """Return the tick at which rows are to be appended."""
        end = found.committed
        starts = min(s.tick0 for s in wanted.values()) if resume_tick is None else resume_tick
        if starts > end:
            raise OutputError(
                f"cannot append to {self.path!r}: it ends at tick {end}, before tick {starts} at "
                "which the run goes on; record to another file"
            )
        return end if resume_tick is None else resume_tick

    @property
    def tick(self) -> int:
        """Every row before this tick is committed."""
        return self._committed

    def reserve(self, ticks: int) -> None:
        """Do nothing: how much space a disk will have is not known before it is full."""

    def append(self, name: str, tick: int, rows: np.ndarray) -> None:
        """Write `rows`, the recorded rows of `name` at ticks from `tick` on.

        Raises
        ------
        OutputError
            No space left or another failure of the system. What is committed stays readable; the
            recorder takes no more rows.
        """
        self._refuse_if_over()
        signal = self.signals[name]
        committed = signal.rows_before(self._committed)
        if signal.rows_before(tick) < committed:
            raise OutputError(
                f"cannot write {self.path!r}: it already holds the ticks before {self._committed} "
                f"and the run is at {tick}; record to another file, or delete this one"
            )
        at = checked_rows(signal, tick, rows, committed, self._rows[name])
        with self._failing():
            self._stream.write(name, at, pack(rows) if signal.is_packed else rows)
        self._rows[name] = at + len(rows)

    def commit(self, tick: int) -> None:
        """Flush, and state that every signal has its rows at ticks before `tick`."""
        self._refuse_if_over()
        for name, signal in self.signals.items():
            empty = np.empty((0, *signal.shape), signal.dtype)
            checked_rows(signal, tick, empty, signal.rows_before(tick), self._rows[name])
        with self._failing():
            self._stream.commit(tick)
        self._committed = tick

    def columns(self) -> dict[str, FileRows]:
        """Return what is committed so far, by signal."""
        return {
            name: FileRows(
                self._source,
                s,
                s.rows_before(self._committed),
                chunk_rows=self._stream.chunk_rows[name],
                tail=self._stream.tails[name].committed,
                is_packed=s.is_packed,
            )
            for name, s in self.signals.items()
        }

    def recording(self) -> Recording:
        """Return what is committed so far; it stays readable after `close`."""
        return Recording(self.columns(), metadata=self.metadata, release=self._source.close)

    def close(self) -> None:
        """Mark the recording as complete and close the file; it may be called again.

        A recorder that is forgotten is closed when it is collected, or at exit.
        """
        if self._finish.detach() is None:
            return
        try:
            self._stream.close()
        except (OSError, RuntimeError) as exc:
            raise self._stream.abandon(exc) from exc

    @contextlib.contextmanager
    def _failing(self) -> Any:
        """Turn a failure of libhdf5 into an `OutputError`, and let go of the file."""
        try:
            yield
        except (OSError, RuntimeError) as exc:
            self._finish.detach()
            error = self._stream.abandon(exc)
            self._failure = str(error)
            raise error from exc

    def _refuse_if_over(self) -> None:
        if self._failure:
            raise OutputError(f"{self._failure}; the recording ended at tick {self._committed}")
        if not self._finish.alive:
            raise OutputError(f"cannot write {self.path!r}: the recorder is closed")

    def __repr__(self) -> str:
        state = "open" if self._finish.alive else "closed"
        return (
            f"<Hdf5Recorder {self.path!r}: {list(self.signals)}, tick {self._committed}, {state}>"
        )


def _close_quietly(stream: Stream, pid: int) -> None:
    # A forked child has a copy of the handle, and must not close the file of its parent.
    if os.getpid() != pid:
        return
    try:
        stream.close()
    except (OSError, RuntimeError) as exc:
        stream.abandon(exc)
