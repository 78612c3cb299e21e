"""Reading a recording on disk: complete, still being written, or left by a killed run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from biomem.engine.atomic import read_error
from biomem.engine.hdf5 import HDF5_SIGNATURE, checked_dataset, kind_of, object_at
from biomem.engine.recording.lock import is_locked
from biomem.engine.recording.rows import FileRows
from biomem.engine.recording.signal import Signal
from biomem.errors import BiomemError, CorruptFileError

if TYPE_CHECKING:
    import h5py

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "Description",
    "OpenStream",
    "Source",
    "file_key",
    "is_written_here",
    "streams",
    "suspend_readers",
]

FORMAT_NAME = "biomem-recording"
FORMAT_VERSION = 1

_EXPECTED = "a biomem recording"
_BAD_CONTENT = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)


class OpenStream(Protocol):
    """A recording file that this process is writing."""

    file: h5py.File
    datasets: Mapping[str, h5py.Dataset]

    @property
    def is_open(self) -> bool:
        """Whether it still is."""
        ...


streams: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""Every `OpenStream` of this process by `file_key`."""

_sources: weakref.WeakSet[Source] = weakref.WeakSet()


def file_key(path: str | os.PathLike[str]) -> str:
    """Return what names a file, whatever path leads to it."""
    return os.path.realpath(path)


def is_written_here(path: str | os.PathLike[str]) -> bool:
    """Whether a recorder of this process has the file open."""
    stream = streams.get(file_key(path))
    return stream is not None and stream.is_open


def suspend_readers(path: str | os.PathLike[str]) -> None:
    """Close the handles this process reads a file by; the next read opens it again.

    libhdf5 shares one open file between all users in a process, so that a reader would keep a
    writer from opening it, and later from closing it.
    """
    key = file_key(path)
    for source in list(_sources):
        if file_key(source.path) == key:
            source.close()


class Source:
    """A recording file to read from, opened when it is needed.

    Attributes
    ----------
    path : str
    closed_properly : bool
        Whether the file, when it was last opened, had been closed by its writer.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        self.closed_properly = True
        self._status = ""
        self._file: h5py.File | None = None
        _sources.add(self)

    @property
    def status(self) -> str:
        """``"complete"``, ``"live"``, or how much was recovered."""
        if self._stream() is not None:
            return "live"
        if not self._status:
            self.describe()
        return self._status

    def dataset(self, name: str) -> h5py.Dataset:
        """Return the rows of a signal as stored."""
        stream = self._stream()
        if stream is not None:
            return stream.datasets[name]
        return self.open()[f"signals/{name}/data"]

    def open(self) -> h5py.File:
        """Return the file, open."""
        if not self._file:
            shown = repr(self.path)
            if (error := read_error(self.path, _EXPECTED)) is not None:
                raise error
            with open(self.path, "rb") as raw:
                head = raw.read(4096)
                size = os.fstat(raw.fileno()).st_size
            if not head.startswith(HDF5_SIGNATURE):
                raise CorruptFileError(f"{shown} is {kind_of(head, size)}, expected {_EXPECTED}")
            self._file, self.closed_properly = _open(self.path, shown)
            self._status = ""
        return self._file

    def reusable(self, swmr: bool) -> bool:
        """Whether the file can be opened for writing again, with or without SWMR."""
        superblock = self.open().id.get_create_plist().get_version()[0]
        return self.closed_properly and swmr == (superblock >= 3)

    def close(self) -> None:
        """Close the file; using the source again opens it again."""
        if self._file is not None:
            with contextlib.suppress(*_BAD_CONTENT):
                self._file.close()
        self._file = None
        self._status = ""

    def describe(self) -> Description:
        """Read what the file says of itself, and check that it is true of its datasets.

        Raises
        ------
        CorruptFileError
            It is damaged, of another kind, or of a newer format version.
        """
        try:
            return self._describe()
        except BaseException as exc:
            self.close()
            if isinstance(exc, _BAD_CONTENT) and not isinstance(exc, BiomemError):
                raise CorruptFileError(
                    f"{self.path!r} is damaged or no recording: {' '.join(str(exc).split())}"
                ) from exc
            raise

    def _describe(self) -> Description:
        stream = self._stream()
        file = stream.file if stream is not None else self.open()
        size = os.path.getsize(self.path)
        if _text(file.attrs.get("format")) != FORMAT_NAME:
            raise CorruptFileError(f"{self.path!r} is a plain HDF5 file, expected {_EXPECTED}")
        version = int(file.attrs["format_version"])
        if version != FORMAT_VERSION:
            raise CorruptFileError(
                f"{self.path!r} has recording format version {version}, this biomem reads version "
                f"{FORMAT_VERSION}; a newer biomem may read it"
            )
        # `committed` is read before the rows it speaks of, as it is written after them.
        committed = int(_small(file, "meta/committed", size)[0])
        complete = bool(_small(file, "meta/complete", size)[0])
        metadata = json.loads(_small(file, "meta/description", size).tobytes())
        if not isinstance(metadata, dict):
            raise TypeError("its description is no JSON object")
        columns = {}
        for name in json.loads(_text(file.attrs["signals"])):
            signal = _read_signal(file, name, size)
            rows = signal.rows_before(committed)
            dataset = checked_dataset(file, f"signals/{name}/data", size, rows)
            if dataset.chunks is None or dataset.chunks[1:] != signal.shape:
                raise ValueError(f"the chunks of {name!r} do not hold whole rows")
            columns[name] = FileRows(self, signal, rows, int(dataset.chunks[0]))
        live = stream is not None or is_locked(self.path)
        if stream is None:
            self._status = self._judge(complete, live, committed, columns)
        return Description(committed, live, metadata, columns)

    def _judge(
        self, complete: bool, live: bool, committed: int, columns: Mapping[str, FileRows]
    ) -> str:
        if complete and self.closed_properly:
            return "complete"
        if live:
            return "live"
        first = min((column.signal.tick0 for column in columns.values()), default=0)
        return f"recovered: file was not closed, {max(0, committed - first)} ticks"

    def _stream(self) -> OpenStream | None:
        stream = streams.get(file_key(self.path))
        return stream if stream is not None and stream.is_open else None


@dataclasses.dataclass(frozen=True)
class Description:
    """What a recording file says of itself.

    Attributes
    ----------
    committed : int
        Every signal has its rows at ticks before this one.
    live : bool
        A writer has the file open now.
    metadata : dict
        Description of the run.
    columns : dict of str to FileRows
    """

    committed: int
    live: bool
    metadata: dict[str, Any]
    columns: dict[str, FileRows]


def _open(path: str, shown: str) -> tuple[h5py.File, bool]:
    """Open for reading; also say whether the file was closed by whoever wrote it."""
    import h5py

    reasons = []
    # A reader has no need to lock out writers. But libhdf5 wants all users of a file within one
    # process to agree on it, so the default is tried where another package has the file open.
    for locking in (False, None):
        for swmr in (False, True):
            try:
                return h5py.File(path, "r", swmr=swmr, locking=locking), not swmr
            except OSError as exc:
                reasons.append(" ".join(str(exc).split()))
    raise CorruptFileError(f"{shown} cannot be opened as {_EXPECTED}: {reasons[1]}")


def _small(file: h5py.File, path: str, size: int) -> np.ndarray:
    object_at(file, path)
    return checked_dataset(file, path, size)[:]


def _read_signal(file: h5py.File, name: str, size: int) -> Signal:
    path = f"signals/{name}"
    object_at(file, path + "/data")
    attrs: Mapping[str, Any] = file[path].attrs
    data = file[path]["data"]
    index = _small(file, path + "/index", size) if "index" in file[path] else None
    return Signal(
        name=name,
        axes=tuple(json.loads(_text(attrs["axes"]))),
        shape=data.shape[1:],
        dtype=data.dtype,
        unit=_text(attrs["unit"]),
        every=int(attrs["every"]),
        tick0=int(attrs["tick0"]),
        index=index,
        dt=float(attrs["dt"]) if "dt" in attrs else None,
    )


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
