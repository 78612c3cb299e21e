"""Reading a recording on disk: complete, still being written, or left by a killed run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from biomem.engine.atomic import read_error
from biomem.engine.hdf5 import HDF5_SIGNATURE, checked_dataset, kind_of, object_at
from biomem.engine.recording.lock import is_locked
from biomem.engine.recording.rows import FileRows
from biomem.engine.recording.signal import Signal
from biomem.engine.recording.superblock import OpenFile
from biomem.errors import CorruptFileError, MissingFileError

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
]

FORMAT_NAME = "biomem-recording"
FORMAT_VERSION = 2
"""Written; version 1, with a byte for each boolean, is read as well."""

_EXPECTED = "a biomem recording"
_ATTEMPTS = 20
_BAD_CONTENT = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)


T = TypeVar("T")


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


def file_key(path: str | os.PathLike[str]) -> str:
    """Return what names a file, whatever path leads to it."""
    return os.path.realpath(path)


def is_written_here(path: str | os.PathLike[str]) -> bool:
    """Whether a recorder of this process has the file open."""
    stream = streams.get(file_key(path))
    return stream is not None and stream.is_open


class Source:
    """A recording file to read from, opened when it is needed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        self._status = ""
        self._opened: OpenFile | None = None

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
        return self.open().file[f"signals/{name}/data"]

    def open(self) -> OpenFile:
        """Return the file, open."""
        if self._opened is None:
            if (error := read_error(self.path, _EXPECTED)) is not None:
                raise error
            with open(self.path, "rb") as raw:
                head = raw.read(4096)
                size = os.fstat(raw.fileno()).st_size
            if not head.startswith(HDF5_SIGNATURE):
                raise CorruptFileError(
                    f"{self.path!r} is {kind_of(head, size)}, expected {_EXPECTED}"
                )
            self._opened = OpenFile(self.path)
            self._status = ""
        return self._opened

    def close(self) -> None:
        """Close the file; using the source again opens it again."""
        if self._opened is not None:
            with contextlib.suppress(*_BAD_CONTENT):
                self._opened.close()
        self._opened = None
        self._status = ""

    def describe(self) -> Description:
        """Read what the file says of itself, and check that it is true of its datasets.

        Raises
        ------
        CorruptFileError
            It is damaged, of another kind, or of a newer format version.
        """
        try:
            return self.retried(self._describe)
        except _BAD_CONTENT as exc:
            self.close()
            if isinstance(exc, CorruptFileError | MissingFileError):
                raise
            raise CorruptFileError(
                f"{self.path!r} is damaged or no recording: {' '.join(str(exc).split())}"
            ) from exc

    def retried(self, read: Callable[[], T]) -> T:
        """Return ``read()``, tried again for a while when the file is being written.

        A writer replaces one piece of metadata after the other; a piece caught half-way has a
        wrong checksum.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return read()
            except _BAD_CONTENT:
                if attempt == _ATTEMPTS - 1 or not os.path.exists(self.path):
                    raise
                if self._stream() is not None or not is_locked(self.path):
                    raise
                self.close()
                time.sleep(0.005)
        raise AssertionError("the last attempt returns or raises")

    def _describe(self) -> Description:
        stream = self._stream()
        opened = self.open() if stream is None else None
        file: h5py.File = (opened or stream).file  # type: ignore[union-attr]
        size = os.path.getsize(self.path)
        if _text(file.attrs.get("format")) != FORMAT_NAME:
            raise CorruptFileError(f"{self.path!r} is a plain HDF5 file, expected {_EXPECTED}")
        version = int(file.attrs["format_version"])
        if not 1 <= version <= FORMAT_VERSION:
            raise CorruptFileError(
                f"{self.path!r} has recording format version {version}, this biomem reads versions "
                f"1 to {FORMAT_VERSION}; a newer biomem may read it"
            )
        # `committed` is read before the rows it speaks of, as it is written after them.
        committed, *tails = (int(n) for n in _small(file, "meta/committed", size))
        complete = bool(_small(file, "meta/complete", size)[0])
        metadata = json.loads(_small(file, "meta/description", size).tobytes())
        if not isinstance(metadata, dict):
            raise TypeError("its description is no JSON object")
        columns = {}
        names = json.loads(_text(file.attrs["signals"]))
        for name, tail in zip(names, tails, strict=True):
            signal, is_packed = _read_signal(file, name, size)
            rows = signal.rows_before(committed)
            dataset = checked_dataset(file, f"signals/{name}/data", size, rows)
            if dataset.chunks is None or dataset.chunks[1:] != dataset.shape[1:]:
                raise ValueError(f"the chunks of {name!r} do not hold whole rows")
            chunk_rows = int(dataset.chunks[0])
            columns[name] = FileRows(
                self, signal, rows, chunk_rows=chunk_rows, tail=tail, is_packed=is_packed
            )
        live = stream is not None or is_locked(self.path)
        if opened is not None:
            self._status = "live" if live else "complete"
            if not (live or (complete and opened.closed_properly)):
                first = min((column.signal.tick0 for column in columns.values()), default=0)
                ticks = max(0, committed - first)
                self._status = f"recovered: file was not closed, {ticks} ticks"
        return Description(version, committed, live, metadata, columns)

    def _stream(self) -> OpenStream | None:
        stream = streams.get(file_key(self.path))
        return stream if stream is not None and stream.is_open else None


@dataclasses.dataclass(frozen=True)
class Description:
    """What a recording file says of itself.

    Attributes
    ----------
    version : int
        Of its format.
    committed : int
        Every signal has its rows at ticks before this one.
    live : bool
        A writer has the file open now.
    metadata : dict
        Description of the run.
    columns : dict of str to FileRows
    """

    version: int
    committed: int
    live: bool
    metadata: dict[str, Any]
    columns: dict[str, FileRows]


def _small(file: h5py.File, path: str, size: int) -> np.ndarray:
    object_at(file, path)
    return checked_dataset(file, path, size)[:]


def _read_signal(file: h5py.File, name: str, size: int) -> tuple[Signal, bool]:
    """Return a signal, and whether its rows are packed."""
    path = f"signals/{name}"
    object_at(file, path + "/data")
    attrs: Mapping[str, Any] = file[path].attrs
    data = file[path]["data"]
    index = _small(file, path + "/index", size) if "index" in file[path] else None
    is_packed = "shape" in attrs
    signal = Signal(
        name=name,
        axes=tuple(json.loads(_text(attrs["axes"]))),
        shape=json.loads(_text(attrs["shape"])) if is_packed else data.shape[1:],
        dtype=np.bool_ if is_packed else data.dtype,
        unit=_text(attrs["unit"]),
        every=int(attrs["every"]),
        tick0=int(attrs["tick0"]),
        index=index,
        dt=float(attrs["dt"]) if "dt" in attrs else None,
    )
    stored = data.dtype, data.shape[1:]
    if is_packed and (
        min(signal.shape, default=1) < 1 or stored != (np.uint8, signal.stored_shape)
    ):
        raise ValueError(f"{name!r} holds {stored[0]} {stored[1]}, not bits of {signal.shape}")
    return signal, is_packed


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
