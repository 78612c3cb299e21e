"""Whether a file has a living writer: a lock that a killed process cannot leave behind.

libhdf5 locks whole files with ``flock``, and lets go of that lock once SWMR writing has begun. So
a writer also locks one byte, far behind the end of any file, which readers ask about.
"""

from __future__ import annotations

import os
import struct
import sys
import time

__all__ = ["is_locked", "lock"]

_AT = 1 << 62


def lock(path: str) -> int | None:
    """Mark `path` as being written; return the handle whose closing ends that.

    None where the system or the file system has no such locks, or another writer holds it.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    for _ in range(10):
        try:
            _request(handle, exclusive=True)
        except BlockingIOError:
            time.sleep(0.002)  # perhaps only a reader that asks
        except OSError:
            break
        else:
            return handle
    os.close(handle)
    return None


def is_locked(path: str) -> bool:
    """Whether a writer, in this process or another, surely has `path` open."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _request(handle, exclusive=False)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _request(handle: int, *, exclusive: bool) -> None:
    """Take the lock, or raise BlockingIOError when it is taken."""
    try:
        import fcntl
    except ImportError as exc:
        raise OSError("no fcntl on this system") from exc
    if sys.platform == "linux" and sys.maxsize > 1 << 32:
        # Locks of the open file, not of the process: those would be lost as soon as anyone in
        # the process closes the file.
        kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack("hh4xqqi4x", kind, 0, _AT, 1, 0))
    else:
        fcntl.lockf(handle, (2 if exclusive else 1) | fcntl.LOCK_NB, 1, _AT)
