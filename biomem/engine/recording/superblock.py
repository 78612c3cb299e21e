"""Opening an HDF5 file for reading as it lies there, closed or not.

A file whose writer was killed is marked as open for writing, and states an end that is behind the
rows that were flushed last. libhdf5 opens it in SWMR mode only, and then waits practically for
ever on damaged metadata, in the belief that a writer is just replacing it. So libhdf5 is shown the
file through a view in which the mark is cleared and the end is the real one.
"""

from __future__ import annotations

import io
import os
import struct
from typing import TYPE_CHECKING, Any

from biomem.engine.hdf5 import HDF5_SIGNATURE
from biomem.errors import CorruptFileError

if TYPE_CHECKING:
    pass

__all__ = ["OpenFile", "lookup3"]

# Versions 2 and 3: signature, version, widths of offsets and lengths, flags, base address,
# extension, end of file, root group, checksum.
_SUPERBLOCK = struct.Struct("<8sBBBBQQQQI")
_MARKS = 1 | 4  # open for writing, open for SWMR writing


class OpenFile:
    """An HDF5 file opened for reading.

    Attributes
    ----------
    file : h5py.File
    closed_properly : bool
        Whether its writer had closed it.
    swmr : bool
        Whether its format allows SWMR writing.

    Raises
    ------
    CorruptFileError
        It is truncated, or libhdf5 cannot open it.
    """

    def __init__(self, path: str) -> None:
        import h5py

        self._view = _View(path)
        try:
            self._show_as_closed(path)
            self.file = h5py.File(self._view, "r")
        except BaseException:
            self._view.close()
            raise

    def _show_as_closed(self, path: str) -> None:
        size = self._view.seek(0, os.SEEK_END)
        self._view.seek(0)
        head = bytearray(min(size, _SUPERBLOCK.size))
        self._view.readinto(head)
        fields = list(_SUPERBLOCK.unpack(head.ljust(_SUPERBLOCK.size, b"\0")))
        if fields[0] == HDF5_SIGNATURE and fields[1] not in (2, 3):
            raise CorruptFileError(f"{path!r} is a plain HDF5 file, expected a biomem recording")
        known = fields[:4] in ([HDF5_SIGNATURE, 2, 8, 8], [HDF5_SIGNATURE, 3, 8, 8])
        if not known or fields[5] != 0 or lookup3(head[:-4]) != fields[-1]:
            raise CorruptFileError(
                f"{path!r} is damaged: its first {len(head)} bytes are no "
                "superblock as biomem writes it"
            )
        self.swmr = fields[1] >= 3
        self.closed_properly = not (self.swmr and fields[4] & _MARKS)
        if self.closed_properly:
            if fields[7] > size:
                raise CorruptFileError(f"{path!r} is truncated: {size} bytes, expected {fields[7]}")
            return
        fields[4] &= ~_MARKS
        fields[7] = size
        fields[-1] = lookup3(_SUPERBLOCK.pack(*fields)[:-4])
        self._view.head = _SUPERBLOCK.pack(*fields)

    def close(self) -> None:
        """Close it."""
        try:
            self.file.close()
        finally:
            self._view.close()


class _View(io.RawIOBase):
    """A file of which the first bytes are replaced, and which refuses to be read past its end.

    It closes itself when it is forgotten, without the warning Python's own files give: a
    recording is not expected to be closed.
    """

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._at = 0
        self.head = b""

    def readinto(self, buffer: Any) -> int:
        out = memoryview(buffer).cast("B")
        os.lseek(self._handle, self._at, os.SEEK_SET)
        done = 0
        while done < len(out):
            part = os.read(self._handle, len(out) - done)
            if not part:
                raise OSError(f"the file ends before byte {self._at + len(out)}")
            out[done : done + len(part)] = part
            done += len(part)
        head = self.head[self._at : self._at + done]
        out[: len(head)] = head
        self._at += done
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._at,
            os.SEEK_END: os.fstat(self._handle).st_size,
        }[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()


def lookup3(data: bytes | bytearray) -> int:
    """Return the checksum of HDF5 metadata: Jenkins's lookup3 hash, seed 0.

    References
    ----------
    B. Jenkins, lookup3.c, 2006, public domain; function ``hashlittle``.
    """
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    # A last block of 12 bytes is not mixed in but finished, and so is a shorter one.
    blocks = max(0, -(-len(data) // 12) - 1)
    for k in range(blocks):
        x, y, z = struct.unpack_from("<III", data, 12 * k)
        a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
        for turn in (4, 6, 8, 16, 19, 4):
            a = (a - c) & 0xFFFFFFFF
            a ^= _rotated(c, turn)
            c = (c + b) & 0xFFFFFFFF
            a, b, c = b, c, a
    rest = data[12 * blocks :]
    if not rest:
        return c  # of nothing
    x, y, z = struct.unpack("<III", rest.ljust(12, b"\0"))
    a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c ^= b
        c = (c - _rotated(b, turn)) & 0xFFFFFFFF
        a, b, c = b, c, a
    return b  # where the last turn of the names has put c


def _rotated(word: int, turn: int) -> int:
    return (word << turn | word >> (32 - turn)) & 0xFFFFFFFF
