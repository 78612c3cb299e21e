"""Hold back Ctrl-C until the engine's state is whole again."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["HeldInterrupt"]


class HeldInterrupt:
    """Context in which SIGINT only sets `pending`.

    A kernel consumes the state it is given, so an exception between its return and the engine
    taking the new state would lose both. Inside this context that cannot happen; the engine
    looks at `pending` between chunks. Outside the main thread signals do not arrive and the
    context does nothing.
    """

    def __init__(self) -> None:
        self.pending = False
        self._previous: Any = None
        self._installed = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.pending = True

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            # A handler set from C, or SIGINT ignored on purpose, is not ours to replace.
            if self._previous is not None and self._previous is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, self._note)
                self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous)
            self._installed = False
