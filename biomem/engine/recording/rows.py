"""Rows of a recording file that are read when they are indexed."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biomem.engine.recording.bits import pack, unpack
from biomem.engine.recording.signal import Signal
from biomem.errors import BiomemError, CorruptFileError

if TYPE_CHECKING:
    import h5py

    from biomem.engine.recording.reader import Source

__all__ = ["FileRows"]

_BLOCK_BYTES = 16 << 20
_BAD_CONTENT = (OSError, KeyError, ValueError, TypeError, RuntimeError)


class FileRows:
    """The rows of one signal in a file, read when they are indexed.

    Indexing takes what a NumPy array takes and returns an array; ``np.asarray`` reads everything.
    Only the rows that the first index spans are read, in blocks where the rest of the index drops
    most of them. Booleans, eight to a byte in the file, are unpacked as they are read. A newly
    read array belongs to the caller.

    Attributes
    ----------
    shape, dtype, ndim, size, nbytes
        As of an array.
    """

    def __init__(
        self,
        source: Source,
        signal: Signal,
        rows: int,
        *,
        chunk_rows: int,
        tail: int,
        is_packed: bool,
    ) -> None:
        self.signal = signal
        self.rows = rows
        self._is_packed = is_packed
        self._source = source
        self._chunk_rows = chunk_rows
        self._tail = tail

    @property
    def status(self) -> str:
        """Status of the file this belongs to."""
        return self._source.status

    def array(self) -> FileRows:
        """Return what a recording gives for this signal: itself."""
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, *signal.shape)``."""
        return (self.rows, *self.signal.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the rows."""
        return self.signal.dtype

    @property
    def ndim(self) -> int:
        """Number of axes, time included."""
        return 1 + len(self.signal.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes the values take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows in a file cannot become an array without a copy")
        return np.asarray(self._read(0, self.rows), dtype=dtype)

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        first, rest = (keys[0], keys[1:]) if keys else (slice(None), ())
        if isinstance(first, int | np.integer) and not isinstance(first, bool):
            at = range(self.rows)[int(first)]
            return self._read(at, at + 1)[(0, *rest)]
        if isinstance(first, slice):
            chosen = range(self.rows)[first]
            if all(isinstance(k, int | np.integer | slice) for k in rest):
                return self._by_blocks(chosen, rest)
            start, stop = _span(chosen)
            return self._read(start, stop)[
                (slice(chosen.start - start, None, chosen.step), *rest)
                if chosen
                else (slice(0, 0), *rest)
            ]
        return self._read(0, self.rows)[key]

    def _by_blocks(self, chosen: range, rest: tuple[Any, ...]) -> np.ndarray:
        """Return ``self[chosen, *rest]`` for a basic index, holding one block at a time."""
        row_bytes = math.prod(self.signal.shape) * self.dtype.itemsize
        per_block = max(1, _BLOCK_BYTES // max(1, row_bytes) // abs(chosen.step))
        empty = np.empty((0, *self.signal.shape), self.dtype)[(slice(None), *rest)]
        out = np.empty((len(chosen), *empty.shape[1:]), self.dtype)
        for at in range(0, len(chosen), per_block):
            part = chosen[at : at + per_block]
            start, stop = _span(part)
            rows = self._read(start, stop)
            out[at : at + len(part)] = rows[(slice(part.start - start, None, part.step), *rest)]
        return out

    def packed(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return rows of booleans, eight to a byte."""
        rows = self._read_stored(start, stop)
        return rows if self._is_packed else pack(rows)

    def _read(self, start: int, stop: int) -> np.ndarray:
        rows = self._read_stored(start, stop)
        return unpack(rows, self.signal.shape) if self._is_packed else rows

    def _read_stored(self, start: int, stop: int) -> np.ndarray:
        try:
            return self._source.retried(lambda: self._read_once(start, stop))
        except _BAD_CONTENT as exc:
            if isinstance(exc, BiomemError):
                raise
            raise CorruptFileError(
                f"{self._source.path!r}: rows {start} to {stop} of {self.signal.name!r} are "
                f"damaged: {' '.join(str(exc).split())}"
            ) from exc

    def _read_once(self, start: int, stop: int) -> np.ndarray:
        dataset = self._source.dataset(self.signal.name)
        out = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
        if not out.size:
            return out
        # Rows of the last chunk are written again as it fills, with a new checksum each time.
        last = (self.rows - 1) // self._chunk_rows * self._chunk_rows
        split = min(max(last, start), stop)
        if start < split:
            dataset.read_direct(out, np.s_[start:split], np.s_[: split - start])
        if split < stop:
            out[split - start :] = self._read_tail(dataset, last)[split - last : stop - last]
        return out

    def _read_tail(self, dataset: h5py.Dataset, last: int) -> np.ndarray:
        count, row = self.rows - last, dataset.shape[1:]
        try:
            rows = dataset[last : self.rows]
        except OSError:
            if self._source.status == "complete":
                raise
            # The writer was killed in, or is in the middle of, writing this chunk anew. Its
            # committed rows are the same before and after; they have a checksum of their own.
            _, raw = dataset.id.read_direct_chunk((last, *(0 for _ in row)))
            rows = np.frombuffer(raw, dataset.dtype, count * math.prod(row)).reshape(count, *row)
        if self.rows % self._chunk_rows and zlib.crc32(rows.data) != self._tail:
            raise ValueError("their CRC-32 is wrong")
        return rows

    def __repr__(self) -> str:
        return f"<rows of {self.signal.name!r} in a file: shape {self.shape}, dtype {self.dtype}>"


def _span(chosen: range) -> tuple[int, int]:
    """Return the smallest ``start, stop`` that covers `chosen`."""
    return (min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1) if chosen else (0, 0)
