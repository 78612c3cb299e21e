"""The layout of a recording file, and how one is made or cut; see ``docs/formats.md``."""

from __future__ import annotations

import datetime
import io
import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from biomem.engine.atomic import replace_file
from biomem.engine.hdf5 import as_json
from biomem.engine.recording.reader import FORMAT_NAME, FORMAT_VERSION, Description, Source
from biomem.engine.recording.signal import Signal
from biomem.errors import ParameterError

if TYPE_CHECKING:
    import h5py

__all__ = ["CHUNK_BYTES", "LIBVER", "create", "rewrite"]

CHUNK_BYTES = 256 << 10
"""Target size of a stored chunk: written anew at every commit until it is full."""

CHUNK_ROWS = 8192
"""Most rows of a stored chunk, so that a short recording of small rows is a small file."""

_COPY_BYTES = 8 << 20

LIBVER = {True: ("v110", "v110"), False: ("v108", "v108")}
"""Bounds of the format with SWMR, and of the older one that marks no file as being written."""


def create(
    path: str, signals: Mapping[str, Signal], metadata: Mapping[str, Any], tick: int, swmr: bool
) -> None:
    """Make an empty recording at `path`, committed up to `tick`."""
    buffer = io.BytesIO()
    with _new(buffer, swmr) as file:
        _lay_out(file, signals, metadata, tick)
    replace_file(path, buffer.getbuffer())


def rewrite(
    source: Source, found: Description, metadata: Mapping[str, Any], tick: int, swmr: bool
) -> None:
    """Replace a recording by a closed copy of its rows before `tick`.

    A file whose writer was killed cannot be opened for writing again, and a file is not cut in
    place, since a kill meanwhile would cost all of it. So this takes space for a second copy.
    """
    signals = {name: column.signal for name, column in found.columns.items()}

    def write(target: BinaryIO) -> None:
        sink = _Sink(target)
        with _new(sink, swmr) as file:
            _lay_out(file, signals, {**found.metadata, **metadata}, tick)
            for name, column in found.columns.items():
                data = file[f"signals/{name}/data"]
                rows = column.signal.rows_before(tick)
                step = max(1, _COPY_BYTES // max(1, column.signal.row_bytes))
                data.resize(rows, axis=0)
                for at in range(0, rows, step):
                    end = min(at + step, rows)
                    data[at:end] = (
                        column.packed(at, end) if column.signal.is_packed else column[at:end]
                    )
        if sink.error is not None:
            raise sink.error

    replace_file(source.path, write)


def _new(target: Any, swmr: bool) -> h5py.File:
    import h5py

    return h5py.File(target, "w", libver=LIBVER[swmr])


def _lay_out(
    file: h5py.File, signals: Mapping[str, Signal], metadata: Mapping[str, Any], tick: int
) -> None:
    file.attrs["format"] = np.bytes_(FORMAT_NAME)
    file.attrs["format_version"] = np.int64(FORMAT_VERSION)
    file.attrs["biomem_version"] = np.bytes_(version("biomem"))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    file.attrs["created"] = np.bytes_(now)
    file.attrs["signals"] = np.bytes_(json.dumps(list(signals)))
    meta = file.create_group("meta")
    description = np.frombuffer(as_json(metadata, "metadata"), np.uint8)
    for name, values in {
        "committed": np.array([tick] + [0] * len(signals), np.int64),
        "complete": np.array([0], np.uint8),
        "description": description,
    }.items():
        meta.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
    for signal in signals.values():
        _refuse_nested(signal.name, signals)
        _lay_out_signal(file, signal)


def _refuse_nested(name: str, signals: Mapping[str, Signal]) -> None:
    for other in signals:
        if (name + "/").startswith((f"{other}/data/", f"{other}/index/")):
            raise ParameterError(
                f"recording {name!r} and {other!r} to one file: the data of {other!r} has its "
                "place; record one of them to another file"
            )


def _lay_out_signal(file: h5py.File, signal: Signal) -> None:
    if not 0 < signal.row_bytes < 1 << 32:
        raise ParameterError(
            f"recording {signal.name!r} to disk: a row must have from 1 B to 4 GiB, got "
            f"{signal.shape} of {signal.dtype}"
        )
    import h5py

    group = file.require_group(f"signals/{signal.name}")
    rows = min(max(1, CHUNK_BYTES // signal.row_bytes), CHUNK_ROWS)
    group.create_dataset(
        "data",
        shape=(0, *signal.stored_shape),
        maxshape=(None, *signal.stored_shape),
        dtype=signal.stored_dtype,
        chunks=(rows, *signal.stored_shape),
        fletcher32=True,
    )
    if signal.index is not None:
        group.create_dataset("index", data=signal.index, chunks=signal.index.shape, fletcher32=True)
    group.attrs["axes"] = np.bytes_(json.dumps(list(signal.axes)))
    if signal.is_packed:
        group.attrs["shape"] = np.bytes_(json.dumps(list(signal.shape)))
    unit = (signal.unit or "1").encode()
    group.attrs.create("unit", unit, dtype=h5py.string_dtype("utf-8", len(unit)))
    group.attrs["every"] = np.int64(signal.every)
    group.attrs["tick0"] = np.int64(signal.tick0)
    if signal.dt is not None:
        group.attrs["dt"] = np.float64(signal.dt)


class _Sink(io.RawIOBase):
    """A file that remembers its first failure instead of telling libhdf5.

    libhdf5 would keep what it could not write, try again at exit, and crash there.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def _attempt(self, act: Callable[[], int | None], otherwise: int) -> int:
        if self.error is None:
            try:
                return act() or 0
            except OSError as exc:
                self.error = exc
        return otherwise

    def write(self, data: Any) -> int:
        return self._attempt(lambda: self._file.write(data), memoryview(data).nbytes)

    def readinto(self, buffer: Any) -> int:
        def read() -> int:
            return self._file.readinto(buffer)  # type: ignore[attr-defined]

        return self._attempt(read, memoryview(buffer).nbytes)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._attempt(lambda: self._file.seek(offset, whence), offset)

    def tell(self) -> int:
        return self._attempt(self._file.tell, 0)

    def truncate(self, size: int | None = None) -> int:
        return self._attempt(lambda: self._file.truncate(size), size or 0)

    def flush(self) -> None:
        """Leave flushing to `replace_file`, which reports what fails."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True
