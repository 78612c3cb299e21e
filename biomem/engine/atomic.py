"""Replacing a file so that it is, at every instant, either the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from biomem.errors import BiomemError, CorruptFileError, MissingFileError, OutputError

__all__ = ["output_error", "read_error", "replace_file", "sync_folder"]

StrPath = str | os.PathLike[str]
Content = bytes | bytearray | memoryview | Callable[[BinaryIO], object]

_REASONS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "the file would pass the size limit",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.ENAMETOOLONG: "the name is too long",
}

_swept: set[str] = set()


def replace_file(path: StrPath, data: Content, *, keep_previous: bool = False) -> None:
    """Write `path` anew, atomically and durably.

    The bytes go to a temporary file in the same folder, which is flushed, synced and renamed
    over `path`; then the folder is synced. Whoever reads `path`, and whoever finds it after a
    crash, sees the old content or the new, never a mixture. A symbolic link is followed, and the
    permissions of an existing file are kept.

    Not for streams that grow (append to those), and not for devices or pipes: only a regular
    file can be replaced.

    Parameters
    ----------
    path : path-like
        File to write. Its folder must exist.
    data : bytes-like or callable
        The content, or a function that writes it to the binary file it is given.
    keep_previous : bool
        Keep the file that is replaced as ``<path>.prev``.

    Raises
    ------
    OutputError
        The file cannot be written; `path` is as it was, and no temporary file is left.
    """
    target = os.path.realpath(os.fspath(path))
    folder = os.path.dirname(target)
    temporary = ""
    try:
        mode = _mode_of(target)
        _sweep(target)
        temporary = os.path.join(folder, _temporary_name(os.path.basename(target)))
        _write(temporary, data, mode)
        if keep_previous and mode is not None:
            _keep(target, temporary + ".prev")
        os.replace(temporary, target)
        sync_folder(folder)
    except BaseException as exc:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(exc, OSError) and not isinstance(exc, BiomemError):
            raise output_error(path, exc) from exc
        raise


def _write(temporary: str, data: Content, mode: int | None) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with open(os.open(temporary, flags, 0o666), "w+b") as file:
        if mode is not None:
            # A file system without permissions has none to keep.
            with contextlib.suppress(OSError):
                os.chmod(temporary, mode)
        if callable(data):
            data(file)
        else:
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _keep(target: str, link: str) -> None:
    """Make ``<target>.prev`` the present file, without a moment in which either is missing."""
    try:
        os.link(target, link)
    except OSError:
        # No hard links here (FAT, some network mounts): between this rename and the next one
        # only the previous file exists.
        os.replace(target, target + ".prev")
    else:
        os.replace(link, target + ".prev")


def _mode_of(target: str) -> int | None:
    """Return the permissions of `target`, None when there is no such file."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found):
        raise OSError(errno.EINVAL, "it is a device, pipe or socket, not a regular file")
    return stat.S_IMODE(found)


def _prefix(name: str) -> str:
    """Return how this machine's temporary files for `name` begin, short enough to be a name."""
    host = zlib.crc32(socket.gethostname().encode())
    return f".{name[:48]}.{zlib.crc32(name.encode('utf-8', 'surrogateescape')):08x}{host:08x}-"


def _temporary_name(name: str) -> str:
    return f"{_prefix(name)}{os.getpid()}-{secrets.token_hex(4)}.tmp"


def _sweep(target: str) -> None:
    """Remove temporary files for `target` that processes killed on this machine left behind."""
    if target in _swept:
        return
    _swept.add(target)
    pattern = re.compile(re.escape(_prefix(os.path.basename(target))) + r"(\d+)-[0-9a-f]{8}\.tmp")
    folder = os.path.dirname(target)
    for name in os.listdir(folder):
        match = pattern.match(name)
        if match and not _alive(int(match[1])):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 is not a question there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def sync_folder(folder: StrPath) -> None:
    """Make the names in `folder` durable, where the system allows a folder to be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        # Some network file systems cannot sync a folder; the rename is then as durable as theirs.
        pass
    finally:
        os.close(handle)


def output_error(path: StrPath, exc: BaseException) -> OutputError:
    """Return the `OutputError` that says why `path` could not be written.

    `exc` may come from the system or from h5py, which hides the error number in its message.
    """
    number = getattr(exc, "errno", None)
    if number is None and (match := re.search(r"errno = (\d+)", str(exc))):
        number = int(match[1])
    shown = Path(path)
    if number == errno.ENOENT:
        reason = f"there is no folder {str(shown.parent)!r}; create it first"
    elif number in _REASONS:
        reason = _REASONS[number]
    else:
        text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        reason = " ".join(str(text).split())
    error = OutputError(f"cannot write {str(shown)!r}: {reason}")
    error.errno = number
    return error


def read_error(path: StrPath, expected: str) -> BiomemError | None:
    """Return the error that keeps `path` from being read as `expected`, None for a plain file."""
    shown = repr(str(Path(path)))
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            return CorruptFileError(f"{shown} is a folder, expected {expected}")
        if not stat.S_ISREG(found.st_mode):
            return CorruptFileError(f"{shown} is not a regular file, expected {expected}")
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        return MissingFileError(f"{shown} does not exist, expected {expected}")
    except (OSError, ValueError) as exc:
        reason = _REASONS.get(getattr(exc, "errno", None) or 0, str(exc))
        return CorruptFileError(f"cannot read {shown}: {reason}")
    return None
