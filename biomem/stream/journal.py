"""A score file that a checkpoint vouches for, byte by byte.

The checkpoint is the write-ahead log: it is written first, and holds the rows that are appended
next. So the file never holds a row that no checkpoint knows, and whatever of the last rows is
missing or torn after a crash is completed from the checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
from pathlib import Path
from typing import Any, Self

from biomem.engine.atomic import output_error, sync_folder
from biomem.errors import CheckpointMismatch, OutputError

__all__ = ["Committed", "Journal", "Repair"]

_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Committed:
    """What a checkpoint says of its score file.

    Parameters
    ----------
    path : str
        Absolute, links resolved.
    base : int
        Bytes that were in the file, and synced, when the checkpoint was written.
    digest : str
        Their SHA-256.
    spool : str
        The rows that follow.
    provisional : str
        The row of an unterminated last line, which follows as well and is withdrawn on resuming.
    live : bool
        The source cannot be read again: rows the checkpoint does not know may follow, and stay.
    """

    path: str
    base: int
    digest: str
    spool: str
    provisional: str = ""
    live: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dataclasses.asdict(self)


class Journal:
    """A file that only grows, whose length and digest are known at any time.

    Parameters
    ----------
    path : Path
    length : int
        Bytes it has.
    digest : hashlib hash, optional
        SHA-256 of them.
    """

    def __init__(self, path: Path, length: int = 0, digest: Any = None) -> None:
        self.path = path
        self.length = length
        self._hash = hashlib.sha256() if digest is None else digest

    @classmethod
    def begin(cls, path: Path) -> Self:
        """Empty the file, or make it."""
        try:
            with path.open("wb") as file:
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError as exc:
            raise output_error(path, exc) from exc
        return cls(path)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        return self._hash.hexdigest()

    def append(self, data: bytes) -> None:
        """Add `data` at the end; on a failure the file is cut back to what it was.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        if not data:
            return
        try:
            _write_at(self.path, self.length, data)
        except OSError as exc:
            with contextlib.suppress(OSError):
                os.truncate(self.path, self.length)
            raise output_error(self.path, exc) from exc
        self._hash.update(data)
        self.length += len(data)

    def sync(self) -> None:
        """Bring the content to the disk, and the name too.

        Raises
        ------
        OutputError
            The disk did not take it.
        """
        if not self.length:
            return
        try:
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
            sync_folder(self.path.parent)
        except OSError as exc:
            raise output_error(self.path, exc) from exc


def _write_at(path: Path, offset: int, data: bytes) -> None:
    """Write all of `data` from `offset` on, which must be the end of the file."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != offset:
            raise OSError(errno.EBUSY, "something else has changed it meanwhile")
        file.seek(offset)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


@dataclasses.dataclass(frozen=True)
class Repair:
    """How a score file becomes what its checkpoint committed; `apply` does it."""

    path: Path
    cut: int
    """Bytes that stay."""
    missing: bytes
    """What is appended to them."""
    digest: Any
    extra: bool
    """Rows that the checkpoint does not know stay in the file."""

    @classmethod
    def of(cls, path: Path, committed: Committed, *, keep_provisional: bool = False) -> Self:
        """Compare the file at `path` with what was committed; nothing is changed.

        Raises
        ------
        CheckpointMismatch
            The file is not what was committed, nor what a crash can have left of it.
        OutputError
            The file cannot be read.
        """
        spool, provisional = committed.spool.encode(), committed.provisional.encode()
        if keep_provisional:
            spool, provisional = spool + provisional, b""
        digest = hashlib.sha256()
        try:
            size = path.stat().st_size if path.exists() else 0
            if size < committed.base:
                raise _other(path, f"holds {size} bytes of the {committed.base} it had at least")
            with open(path if size else os.devnull, "rb") as file:
                _hash_start(file, committed.base, digest)
                if digest.hexdigest() != committed.digest:
                    raise _other(path, f"was changed within its first {committed.base} bytes")
                tail = file.read(len(spool) + len(provisional))
                rest = b"" if not committed.live else file.read()
        except OSError as exc:
            raise OutputError(f"cannot read {str(path)!r}: {exc.strerror}") from exc
        if not (spool + provisional).startswith(tail):
            raise _other(path, f"was changed after its first {committed.base} bytes")
        kept = min(len(tail), len(spool))
        digest.update(spool)
        known = committed.base + len(spool) + len(provisional)
        if size > known and not committed.live:
            raise _other(path, f"has {size - known} bytes after the {known} of the checkpoint")
        whole = rest[: rest.rfind(b"\n") + 1]
        digest.update(whole)
        return cls(path, committed.base + kept + len(whole), spool[kept:], digest, bool(whole))

    def apply(self) -> Journal:
        """Make the file what it should be, and return it, ready to go on.

        Raises
        ------
        OutputError
            The file cannot be written.
        """
        try:
            if self.path.exists():
                os.truncate(self.path, self.cut)
            if self.missing or self.cut == 0:
                _write_at(self.path, self.cut, self.missing)
        except OSError as exc:
            raise output_error(self.path, exc) from exc
        return Journal(self.path, self.cut + len(self.missing), self.digest)


def _hash_start(file: Any, length: int, digest: Any) -> None:
    while length and (block := file.read(min(length, _BLOCK))):
        digest.update(block)
        length -= len(block)


def _other(path: Path, what: str) -> CheckpointMismatch:
    return CheckpointMismatch(
        f"{str(path)!r} is not as the checkpoint left it: it {what}; put the right file there, or "
        "give another output to go on with a new file"
    )
