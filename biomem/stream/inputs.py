"""What a run reads: a file that can be read again, or a pipe that cannot."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from biomem.errors import DataError
from biomem.stream.options import ReadOptions
from biomem.stream.records import RecordReader
from biomem.stream.stopping import Stop, StoppableInput

__all__ = ["Input"]

OnEvent = Callable[[str, str, int], None]


class Input:
    """A source before it is read.

    Parameters
    ----------
    source : str, path or binary file object
        ``"-"`` is standard input.
    stop : Stop, optional
        Ends the waiting for a pipe.

    Attributes
    ----------
    path : str or None
        None for standard input and file objects.
    live : bool
        It cannot be read again.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, stop: Stop | None = None) -> None:
        self.path: str | None = None
        self._source: Any = source
        self._stop = stop
        self._start = 0
        self._reader: RecordReader | None = None
        self._pipe: StoppableInput | None = None
        if isinstance(source, str | os.PathLike) and os.fspath(source) != "-":
            self.path = os.fspath(source)
            self.live = not stat.S_ISREG(_mode(self.path))
            return
        file: Any = _standard_input() if isinstance(source, str) else source
        try:
            self.live = not file.seekable()
            self._start = 0 if self.live else file.tell()
        except (OSError, ValueError, AttributeError):
            self.live = True  # the reader says what is wrong with it

    def reader(
        self, options: ReadOptions, position: dict[str, Any] | None, on_event: OnEvent
    ) -> RecordReader:
        """Return a reader from the beginning, or from `position`; a former one is closed.

        Raises
        ------
        DataError
            The source cannot be read.
        CheckpointMismatch
            `position` was taken with other options.
        Stopped
            While a named pipe waited for its writer.
        """
        if self.live:
            self._open_pipe()
        elif self._reader is not None:
            self._reader.close()
            self._rewind()
        self._reader = RecordReader(self._source, options, position, on_event=on_event)
        return self._reader

    def survey(self, options: ReadOptions) -> tuple[float, float, int]:
        """Return the smallest and largest value and the number of records of the whole file.

        Raises
        ------
        DataError
            A pipe, or no record.
        """
        if self.live:
            name = self.path or "<stdin>"
            raise DataError(
                f"{name}: the nab preset reads its file twice, so it needs a regular file; write "
                "the data to one, or use the live preset"
            )
        reader = self.reader(options, None, lambda kind, message, row: None)
        low, high, count = float("inf"), float("-inf"), 0
        while records := reader.read_chunk(4096):
            values = [record.value for record in records]
            low, high = min(low, *values), max(high, *values)
            count += len(values)
        return low, high, count

    def size(self) -> int | None:
        """Return the bytes of a regular file, None if they are unknown."""
        if self.live or self.path is None:
            return None
        try:
            return os.stat(self.path).st_size
        except OSError:
            return None

    def close(self) -> None:
        """Close what was opened here."""
        if self._reader is not None:
            self._reader.close()
        if self._pipe is not None:
            self._pipe.close()

    def _open_pipe(self) -> None:
        """Put a pipe whose waiting can be ended in the place of one whose waiting cannot."""
        if self._stop is None or self._pipe is not None:
            return
        if self.path is not None and stat.S_ISFIFO(_mode(self.path)):
            fd, name = self._stop.open(self.path), self.path
        elif isinstance(self._source, str) and self.path is None:
            try:
                fd, name = _standard_input().fileno(), "<stdin>"
            except (OSError, ValueError, AttributeError):
                return
        else:
            return
        self._pipe = StoppableInput(fd, name, self._stop, owned=self.path is not None)
        self._source = self._pipe

    def _rewind(self) -> None:
        if self.path is None:
            file = _standard_input() if isinstance(self._source, str) else self._source
            file.seek(self._start)


def _standard_input() -> Any:
    return getattr(sys.stdin, "buffer", None)


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return stat.S_IFREG  # the reader says why there is none
