"""Recording into memory, up to a stated limit."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from biomem.engine.recording.bits import pack, unpack
from biomem.engine.recording.signal import Signal, by_name, checked_rows
from biomem.engine.recording.view import Recording
from biomem.errors import RecordingLimitError

__all__ = ["LIMIT_BYTES", "MemoryRecorder"]

LIMIT_BYTES = 2 << 30
"""Default limit of a recording in memory, bytes."""

_GROWTH_BYTES = 4 << 20
_KEPT_BYTES = 64 << 20


class MemoryRecorder:
    """Keeps the rows of a run in memory, booleans eight to a byte.

    A run of known length is refused before it starts when it would pass the limit, an endless one
    at the chunk that would. Not for long or open-ended runs: stream those to a file.

    Parameters
    ----------
    signals : iterable of Signal
    limit_bytes : int
        Default 2 GiB.
    """

    def __init__(self, signals: Iterable[Signal], limit_bytes: int = LIMIT_BYTES) -> None:
        self.signals: Mapping[str, Signal] = MappingProxyType(by_name(signals))
        self.limit_bytes = int(limit_bytes)
        self._blocks = {name: _Blocks(signal) for name, signal in self.signals.items()}
        self._committed = dict.fromkeys(self.signals, 0)

    def reserve(self, ticks: int) -> None:
        """Make room for `ticks` more ticks.

        Raises
        ------
        RecordingLimitError
            The recording would pass the limit; nothing has changed.
        """
        rows = {
            name: self._committed[name] - (-ticks // signal.every)
            for name, signal in self.signals.items()
        }
        self._check(rows, f"{ticks:,} more ticks")
        for name, blocks in self._blocks.items():
            blocks.reserve(rows[name])

    def append(self, name: str, tick: int, rows: np.ndarray) -> None:
        """Copy `rows`, the recorded rows of `name` at ticks from `tick` on."""
        blocks = self._blocks[name]
        at = checked_rows(blocks.signal, tick, rows, self._committed[name], blocks.rows)
        self._check({name: at + len(rows)}, "the next chunk")
        blocks.write(at, rows)

    def commit(self, tick: int) -> None:
        """State that every signal has its rows at ticks before `tick`."""
        for name, blocks in self._blocks.items():
            checked_rows(blocks.signal, tick, blocks.empty, 0, blocks.rows)
            self._committed[name] = blocks.signal.rows_before(tick)

    def recording(self) -> Recording:
        """Return what is committed so far; rows recorded later do not appear in it."""
        columns = {name: b.column(self._committed[name]) for name, b in self._blocks.items()}
        return Recording(columns)

    def close(self) -> None:
        """Do nothing: memory is released with the last `Recording` of it."""

    def _check(self, rows: Mapping[str, int], of_what: str) -> None:
        """Refuse `rows` by name, and the present number of the others, beyond the limit."""
        need = {
            name: max(rows.get(name, 0), blocks.rows) * blocks.signal.row_bytes
            for name, blocks in self._blocks.items()
        }
        total = sum(need.values())
        if total <= self.limit_bytes:
            return
        largest = max(need, key=lambda name: need[name])
        raise RecordingLimitError(
            f"recording {of_what} of {', '.join(map(repr, need))} would take {_size(total)} of "
            f"memory, the limit is {_size(self.limit_bytes)}; stream to disk with "
            f"record({largest!r}, to='file.h5'), or record less with every= or index="
        )


class _Blocks:
    """Rows of one signal in a list of blocks; every block but the last is full."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.rows = 0
        self.empty = np.empty((0, *signal.shape), signal.dtype)
        self._blocks: list[np.ndarray] = []
        self._starts: list[int] = []
        self._room = 0

    def reserve(self, rows: int) -> None:
        if rows <= self._room:
            return
        # Growing by a share of what is there keeps many short runs from making many blocks;
        # pages that are never written cost nothing.
        spare = min(self._room // 2, _GROWTH_BYTES // max(1, self.signal.row_bytes))
        self._add(max(rows - self._room, spare))

    def _add(self, length: int) -> None:
        shape = (length, *self.signal.stored_shape)
        self._blocks.append(np.empty(shape, self.signal.stored_dtype))
        self._starts.append(self._room)
        self._room += length

    def write(self, at: int, rows: np.ndarray) -> None:
        self.reserve(at + len(rows))
        kept = pack(rows) if self.signal.is_packed else rows
        for start, block in zip(reversed(self._starts), reversed(self._blocks), strict=True):
            first = max(at, start)
            last = min(at + len(rows), start + len(block))
            if first < last:
                block[first - start : last - start] = kept[first - at : last - at]
            if start <= at:
                break
        self.rows = at + len(rows)

    def column(self, rows: int) -> MemoryColumn:
        parts = [
            block[: max(0, rows - start)]
            for start, block in zip(self._starts, self._blocks, strict=True)
            if start < rows
        ]
        nothing = np.empty((0, *self.signal.stored_shape), self.signal.stored_dtype)
        return MemoryColumn(self.signal, parts or [nothing])


class MemoryColumn:
    """One signal of a recording in memory; its blocks are joined when it is first read."""

    def __init__(self, signal: Signal, parts: list[np.ndarray]) -> None:
        self.signal = signal
        self.rows = sum(len(part) for part in parts)
        self._parts = parts
        self._whole: weakref.ref[np.ndarray] | None = None
        self._kept: np.ndarray | None = None

    @property
    def status(self) -> str:
        """Memory holds no unfinished recordings."""
        return "complete"

    def array(self) -> np.ndarray:
        """Return the rows as one array, read-only; booleans are unpacked for it."""
        if self.signal.is_packed:
            return self._unpacked()
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        view = self._parts[0].view()
        view.flags.writeable = False
        return view

    def packed(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return rows of booleans, eight to a byte."""
        parts, at = [], 0
        for part in self._parts:
            parts.append(part[max(0, start - at) : max(0, stop - at)])
            at += len(part)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _unpacked(self) -> np.ndarray:
        # A loop that asks for the rows at every turn must not unpack them every time, and the
        # rows of a long run must not stay unpacked behind the back of who has let go of them.
        whole = None if self._whole is None else self._whole()
        if whole is None:
            whole = np.empty((self.rows, *self.signal.shape), np.bool_)
            at = 0
            for part in self._parts:
                whole[at : at + len(part)] = unpack(part, self.signal.shape)
                at += len(part)
            whole.flags.writeable = False
            self._whole = weakref.ref(whole)
            self._kept = whole if whole.nbytes <= _KEPT_BYTES else None
        return whole


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
