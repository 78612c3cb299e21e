"""Lines of a file or pipe as bytes, with the exact offset and SHA-256 of what was consumed."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Self

from biomem.errors import DataError, ParameterError

__all__ = ["LineSource"]

_BLOCK = 1 << 18


class LineSource:
    """Reads lines in blocks; memory is bounded by the block and the line limit.

    Parameters
    ----------
    source : str, path or binary file object
        ``"-"`` is standard input. A file object is read from where it stands and not closed.
    limit : int
        Longest line in bytes. Of a longer one `next` returns the first ``limit + 1`` bytes.

    Attributes
    ----------
    offset : int
        Bytes consumed: everything `next` and `take_tail` returned, line breaks included.
    live : bool
        The source is a pipe: it cannot be read again, and may wait for data.
    """

    def __init__(self, source: str | os.PathLike[str] | BinaryIO, limit: int) -> None:
        self.limit = limit
        self.offset = 0
        self._read_bytes = 0
        self._owned = False
        self._has_size = False
        self._file: Any
        if isinstance(source, str | os.PathLike):
            self._open(source)
        elif isinstance(source, io.TextIOBase) or not hasattr(source, "read"):
            raise ParameterError(
                "source must be a path, '-' or a file opened in binary mode, "
                f"got {type(source).__name__}"
            )
        else:
            self._file = source
            self.name = str(getattr(source, "name", f"<{type(source).__name__}>"))
        self._read_once = getattr(self._file, "read1", self._file.read)
        try:
            self.live = not self._file.seekable()
        except (OSError, ValueError, AttributeError):
            self.live = True
        self._start()

    def _open(self, source: str | os.PathLike[str]) -> None:
        self.name = os.fspath(source)
        if self.name == "-":
            self.name = "<stdin>"
            if sys.stdin is None:
                raise DataError("<stdin>: there is no standard input")
            self._file = sys.stdin.buffer
            return
        try:
            self._file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
            # Files made up by the kernel say 0 bytes whatever they hold.
            self._has_size = os.fstat(self._file.fileno()).st_size > 0
        except (OSError, ValueError) as error:
            # ValueError: a NUL in the path.
            raise DataError(f"{self.name}: cannot be read: {_reason(error)}") from None
        self._owned = True

    def _start(self) -> None:
        self._hash = hashlib.sha256()
        self._lines: list[bytes] = []
        self._index = 0
        self._buffer = b""
        self._buffer_at = self.offset  # offset of the buffer's first byte
        self._hashed = 0  # bytes of the buffer the hash has taken
        self._tail = b""
        self._overlong: Any = None  # hash of an overlong line so far, while it is skipped
        self._overlong_bytes = 0

    @property
    def buffered(self) -> bool:
        """Whether `next` returns a line without touching the file."""
        return self._index < len(self._lines)

    @property
    def tail(self) -> bytes:
        """What stands after the last line break, once `next` has returned None."""
        return self._tail

    def next(self) -> bytes | None:
        r"""Return the next line without its ``\n``, or None at the present end of the file."""
        while self._index >= len(self._lines):
            if len(self._tail) > self.limit:
                return self._skip_overlong()
            block = self._read()
            if not block:
                return None
            self._load(self._tail + block)
        line = self._lines[self._index]
        self._index += 1
        self.offset += len(line) + 1
        if len(line) > self.limit:
            return line[: self.limit + 1]
        return line

    def take_tail(self) -> bytes:
        """Consume the unterminated last line."""
        tail = self._tail
        self._load(b"")
        self._hash.update(tail)
        self.offset += len(tail)
        self._buffer_at = self.offset
        return tail

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the `offset` bytes consumed."""
        self._hash_consumed()
        return self._hash.hexdigest()

    def resume(self, offset: int, digest: str) -> bool:
        """Skip the prefix a former reader consumed; if it is another one, stay at the start.

        A pipe has no past: False, and nothing is read.
        """
        if self.live:
            return False
        start = self._seek(0, os.SEEK_CUR)
        left = offset
        while left > 0:
            block = self._read(min(left, _BLOCK), shrinks=False)
            if not block:
                break
            left -= len(block)
            self._hash.update(block)
        if left == 0 and self._hash.hexdigest() == digest:
            self.offset = self._buffer_at = offset
            return True
        self._seek(start, os.SEEK_SET)
        self._read_bytes = 0
        self._start()
        return False

    def close(self) -> None:
        """Close the file if this object opened it."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _seek(self, offset: int, whence: int) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.name}: cannot be read: {_reason(error)}") from None

    def _read(self, size: int = _BLOCK, *, shrinks: bool = True) -> bytes:
        try:
            block = self._read_once(size) or b""
            if not block and shrinks and self._has_size:
                size_now = os.fstat(self._file.fileno()).st_size
            else:
                size_now = self._read_bytes
        except (OSError, ValueError) as error:
            raise DataError(f"{self.name}: cannot be read: {_reason(error)}") from None
        if not isinstance(block, bytes):
            raise ParameterError(
                f"{self.name} must be opened in binary mode, its read gave {type(block).__name__}"
            )
        if size_now < self._read_bytes and not self.live:
            raise DataError(
                f"{self.name}: became shorter while it was read "
                f"({self._read_bytes} bytes read, {size_now} left); read it again from the start"
            )
        self._read_bytes += len(block)
        return block

    def _load(self, data: bytes) -> None:
        """Make `data`, which begins at `offset`, the buffer."""
        self._hash_consumed()
        cut = data.rfind(b"\n") + 1
        self._buffer, self._tail = data[:cut], data[cut:]
        self._lines = self._buffer.split(b"\n")
        self._lines.pop()
        self._index = 0
        self._buffer_at = self.offset
        self._hashed = 0

    def _hash_consumed(self) -> None:
        consumed = self.offset - self._buffer_at
        if consumed > self._hashed:
            self._hash.update(memoryview(self._buffer)[self._hashed : consumed])
            self._hashed = consumed

    def _skip_overlong(self) -> bytes | None:
        """Discard up to the end of a line that passes the limit; None if the file ends first."""
        if self._overlong is None:
            self._hash_consumed()
            self._overlong = self._hash.copy()
            self._overlong.update(self._tail)
            self._overlong_bytes = len(self._tail)
            self._tail = self._tail[: self.limit + 1]
        while block := self._read():
            cut = block.find(b"\n") + 1
            self._overlong.update(block[: cut or len(block)])
            self._overlong_bytes += cut or len(block)
            if cut:
                line, self._tail = self._tail, b""
                self._load(b"")
                self._hash, self._overlong = self._overlong, None
                self.offset += self._overlong_bytes
                self._load(block[cut:])
                return line
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
