"""Order of records in time: late ones, duplicates, gaps."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

__all__ = ["GAP", "LATE", "ON_TIME", "REPEATED", "Clock"]

ON_TIME, GAP, LATE, REPEATED = "on time", "gap", "late", "repeated"

_WINDOW = 64  # intervals the median is taken of: a changed sampling rate is normal after 32
_JUDGED_FROM = 8  # intervals before the first gap can be told


class Clock:
    """The newest instant of a stream and the median of its last intervals.

    Parameters
    ----------
    gap_factor : float or None
        An interval longer than this many medians is a gap; None: there are no gaps.
    """

    def __init__(self, gap_factor: float | None) -> None:
        self.gap_factor = gap_factor
        self.newest: float | None = None
        self.median = 0.0
        self._ring: list[float] = []
        self._next = 0
        self._sorted: list[float] = []

    def judge(self, instant: float) -> str:
        """Classify `instant` (s) and, unless it is late or repeated, move on to it."""
        newest = self.newest
        if newest is None:
            self.newest = instant
            return ON_TIME
        interval = instant - newest
        if interval <= 0.0:
            return LATE if interval < 0.0 else REPEATED
        self.newest = instant
        ring = self._ring
        if interval == self.median and len(ring) == _WINDOW and ring[self._next] == interval:
            # The window takes in what it drops, so it stays as it is and this is no gap.
            self._next = (self._next + 1) % _WINDOW
            return ON_TIME
        factor = self.gap_factor
        judged = factor is not None and len(ring) >= _JUDGED_FROM
        gap = judged and interval > factor * self.median  # type: ignore[operator]
        self._take(interval)
        return GAP if gap else ON_TIME

    def _take(self, interval: float) -> None:
        if len(self._ring) < _WINDOW:
            self._ring.append(interval)
        else:
            oldest = self._ring[self._next]
            del self._sorted[bisect_left(self._sorted, oldest)]
            self._ring[self._next] = interval
            self._next = (self._next + 1) % _WINDOW
        insort(self._sorted, interval)
        self.median = self._sorted[len(self._sorted) // 2]

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON values, intervals from the oldest on."""
        return {
            "newest": self.newest,
            "intervals": self._ring[self._next :] + self._ring[: self._next],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Set the state that `to_dict` returned."""
        newest = state["newest"]
        self.newest = None if newest is None else float(newest)
        self._ring = [float(interval) for interval in state["intervals"]][-_WINDOW:]
        self._next = 0
        self._sorted = sorted(self._ring)
        self.median = self._sorted[len(self._sorted) // 2] if self._sorted else 0.0
