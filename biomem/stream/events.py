"""Problems of a source: all are counted, the first of each kind is reported."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

from biomem.errors import BiomemWarning, DataError

__all__ = ["SKIPPED", "Counts", "Reporter"]

SKIPPED = "; skipped, as are further ones"
_ROW_KINDS = ("bad", "overlong", "out_of_range", "missing")


@dataclasses.dataclass(slots=True)
class Counts:
    """What became of the rows of a stream, over all its files and resumptions.

    With the default policies ``rows`` is the sum of ``records`` and the skipped kinds: ``bad``,
    ``missing``, ``out_of_range``, ``late``, ``duplicate`` and ``overlong``.
    """

    rows: int = 0
    records: int = 0
    bad: int = 0
    missing: int = 0
    out_of_range: int = 0
    late: int = 0
    duplicate: int = 0
    overlong: int = 0
    gaps: int = 0
    unterminated: int = 0


class Reporter:
    """Passes on the first message of each kind.

    Parameters
    ----------
    name : str
        The source, as messages call it.
    on_event : callable or None
        ``on_event(kind, message, row)``; None: ``warnings.warn`` with `BiomemWarning`.
    """

    def __init__(self, name: str, on_event: Callable[[str, str, int], None] | None) -> None:
        self.name = name
        self.first: dict[str, str] = {}
        self._on_event = on_event

    def report(self, kind: str, message: str, *, line: int, row: int) -> None:
        """Pass on `message` unless one of its kind was before."""
        if kind in self.first:
            return
        message = f"{self.name}:{line}: {message}"
        self.first[kind] = message
        if self._on_event is None:
            warnings.warn(message, BiomemWarning, stacklevel=2)
        else:
            self._on_event(kind, message, row)

    def nothing_found(self, rows: int, *, empty: bool, cut: bool) -> DataError:
        """Return the error for a source that ended without one record."""
        problems = [self.first[kind] for kind in _ROW_KINDS if kind in self.first]
        if empty:
            text = "the file is empty; expected rows of timestamp and value"
        elif rows and problems:
            first = problems[0].removesuffix(SKIPPED)
            text = f"none of {rows} rows is a usable record; the first problem: {first}"
        else:
            unfinished = " but an unfinished line" if cut else ""
            text = f"there are no data rows{unfinished}; expected timestamp and value"
        return DataError(f"{self.name}: {text}")
