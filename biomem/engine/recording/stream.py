"""The open end of a recording file: rows go in, one number says how far they can be trusted."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from typing import TYPE_CHECKING

import numpy as np

from biomem.engine.atomic import output_error
from biomem.engine.recording.layout import LIBVER
from biomem.engine.recording.lock import lock
from biomem.engine.recording.reader import file_key, streams
from biomem.errors import OutputError

if TYPE_CHECKING:
    import h5py

__all__ = ["Stream"]


class Tail:
    """The CRC-32 of the rows in the last chunk, which is written anew until it is full."""

    def __init__(self, chunk_rows: int) -> None:
        self._chunk_rows = chunk_rows
        self._now = self._committed = (0, 0)  # number of all rows, CRC-32 of those in the tail

    def extend(self, at: int, rows: np.ndarray) -> None:
        """Take `rows` in from row `at` on: at the end, or again from the last commit on."""
        crc = self._now[1] if at == self._now[0] else self._committed[1]
        in_tail = (at + len(rows)) % self._chunk_rows
        if in_tail <= len(rows):
            crc = 0
        start = max(0, len(rows) - in_tail)
        crc = zlib.crc32(np.ascontiguousarray(rows[start:]).data, crc)
        self._now = at + len(rows), crc

    def commit(self) -> int:
        """Return the CRC-32 of the rows so far."""
        self._committed = self._now
        return self._now[1]

    @property
    def committed(self) -> int:
        """The CRC-32 at the last `commit`."""
        return self._committed[1]


class Stream:
    """A recording file, open for appending.

    Parameters
    ----------
    path : str
        File made by `layout.create`.
    names : list of str
    swmr : bool
    """

    def __init__(self, path: str, names: list[str], swmr: bool) -> None:
        self.path = path
        self.datasets: dict[str, h5py.Dataset] = {}
        self._lock: int | None = None
        self.file = _open(path, swmr)
        try:
            self.datasets = {name: self.file[f"signals/{name}/data"] for name in names}
            self.chunk_rows = {name: int(d.chunks[0]) for name, d in self.datasets.items()}
            self._committed = self.file["meta/committed"]
            self.tails = {name: Tail(self.chunk_rows[name]) for name in names}
            for name, dataset in self.datasets.items():
                first = dataset.shape[0] // self.chunk_rows[name] * self.chunk_rows[name]
                self.tails[name].extend(first, dataset[first:])
                self.tails[name].commit()
            self._complete = self.file["meta/complete"]
            if swmr:
                self.file.swmr_mode = True
            self._lock = lock(path)
            self._complete[0] = 0
            self._complete.flush()
        except (OSError, RuntimeError) as exc:
            raise self.abandon(exc) from exc
        streams[file_key(path)] = self

    @property
    def is_open(self) -> bool:
        """Whether rows can be written."""
        return bool(self.file)

    def write(self, name: str, at: int, rows: np.ndarray) -> None:
        """Write `rows`, in the form they are stored in, from row number `at` on."""
        if not len(rows):
            return
        dataset = self.datasets[name]
        end = at + len(rows)
        if end > dataset.shape[0]:
            dataset.resize(end, axis=0)
        dataset[at:end] = rows
        self.tails[name].extend(at, rows)

    def commit(self, tick: int) -> None:
        """Flush the rows, then the tick before which they are all there."""
        for dataset in self.datasets.values():
            dataset.flush()
        self._committed[:] = [tick, *(tail.commit() for tail in self.tails.values())]
        self._committed.flush()

    def close(self) -> None:
        """Mark the recording as complete and close the file, durably."""
        if not self.is_open:
            return
        self._complete[0] = 1
        self._complete.flush()
        self.file.close()
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        self._unlock()

    def abandon(self, failure: BaseException) -> OutputError:
        """Let go of a file that cannot be written any more, and return the error that says why.

        libhdf5 never gives up what it could not write: it tries again at exit, and crashes the
        process. So its file handle is pointed to where writing works, and the file left as it is.
        """
        error = output_error(self.path, failure)
        if self.is_open:
            with contextlib.suppress(OSError, RuntimeError):
                spare = _scratch(error.errno)
                os.dup2(spare, self.file.id.get_vfd_handle(), inheritable=False)
                os.close(spare)
                self.file.close()
        self._unlock()
        return error

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _open(path: str, swmr: bool) -> h5py.File:
    import h5py

    try:
        return h5py.File(path, "r+", libver=LIBVER[swmr])
    except BlockingIOError as exc:
        raise OutputError(f"cannot write {path!r}: another program has it open") from exc
    except OSError as exc:
        raise output_error(path, exc) from exc


def _scratch(number: int | None) -> int:
    """Return a handle that takes any bytes, after a failure with this error number."""
    if number != errno.EFBIG and hasattr(os, "memfd_create"):
        return os.memfd_create("biomem")
    # A limit on the size of files holds in memory too; the null device has no size.
    return os.open(os.devnull, os.O_RDWR)
