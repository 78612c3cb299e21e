"""Ending a run on request: finish what has begun, keep what is done."""

from __future__ import annotations

import os
import select
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Stop", "StoppableInput", "Stopped"]


class Stopped(BaseException):
    """No more input was waited for, because a stop was asked for."""


class Stop:
    """Context in which SIGINT and SIGTERM ask for a stop; a second one ends the process at once.

    Outside the main thread, where signals do not arrive, only `request` asks.

    Attributes
    ----------
    signal : int or None
        The signal that asked, None as long as none did.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}
        self._asleep, self._wake = -1, -1
        self._interruptible = False

    def request(self, signum: int = signal.SIGTERM) -> None:
        """Ask for a stop."""
        self.signal = signum
        self._give_back()
        if self._wake >= 0:
            os.write(self._wake, b"\0")

    def wait(self, fd: int) -> None:
        """Wait until `fd` can be read; raises `Stopped` if a stop is asked for first."""
        readable, _, _ = select.select([fd, self._asleep], [], [])
        if self._asleep in readable:
            raise Stopped

    def open(self, path: str | os.PathLike[str]) -> int:
        """Open a pipe by name, waiting for its writer; raises `Stopped` like `wait`."""
        self._interruptible = True
        try:
            if self.signal is not None:
                raise Stopped
            return os.open(path, os.O_RDONLY)
        finally:
            self._interruptible = False

    def __enter__(self) -> Self:
        self._asleep, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                previous = signal.getsignal(signum)
                # Ignored on purpose (nohup, a background job) or handled from C: not ours to take.
                if previous is not None and previous is not signal.SIG_IGN:
                    self._previous[signum] = previous
                    signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()
        os.close(self._asleep)
        os.close(self._wake)
        self._asleep, self._wake = -1, -1

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.request(signum)
        if self._interruptible:
            raise Stopped

    def _give_back(self) -> None:
        if threading.current_thread() is threading.main_thread():
            while self._previous:
                signal.signal(*self._previous.popitem())


class StoppableInput:
    """A pipe as `biomem.stream.RecordReader` takes it, whose waiting a `Stop` ends.

    Parameters
    ----------
    fd : int
        Open for reading; closed by `close` if `owned`.
    name : str
    stop : Stop
        Entered.
    owned : bool
    """

    def __init__(self, fd: int, name: str, stop: Stop, *, owned: bool) -> None:
        self.name = name
        self._fd, self._stop, self._owned = fd, stop, owned

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes as soon as there are any; none at the end."""
        self._stop.wait(self._fd)
        return os.read(self._fd, size)

    def seekable(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Close the pipe if it is this object's own."""
        if self._owned:
            os.close(self._fd)
