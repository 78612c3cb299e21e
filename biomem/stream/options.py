"""How a telemetry file is to be read: columns, times, and what each kind of bad input leads to."""

from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

from biomem.engine.params import Params
from biomem.errors import require
from biomem.stream.timestamps import EPOCH_SCALES, check_pattern

__all__ = ["MAX_ABS_VALUE", "ReadOptions"]

MAX_ABS_VALUE = 1e150
"""Largest admissible ``abs(value)``: squares, differences and sums of them stay finite."""

_CHOICES = {
    "decimal": (".", ","),
    "header": ("auto", True, False),
    "format": ("auto", "csv", "jsonl"),
    "missing": ("skip", "hold"),
    "late": ("skip", "keep"),
    "duplicate": ("skip", "keep"),
    "last_line": ("use", "hold"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadOptions(Params):
    """How to read telemetry, and what happens to input that is not a clean record.

    Parameters
    ----------
    timestamp : str, int or None
        Column name, key (JSONL) or 0-based column number. ``"none"``: there are no timestamps,
        records count ticks 0, 1, 2, ... ``None`` guesses: a column called timestamp, time,
        date, datetime or ts (any case, in that order), else the first not called value; a file
        of one column has no timestamps.
    value : str, int or None
        Likewise. ``None`` guesses: a column called value, else the first one that is not the
        timestamp and holds a number in the first row.
    delimiter : str or None
        One character. ``None``: whichever of tab, ``;``, ``|`` and ``,`` is most frequent in
        the first line, the earlier one of this list on a tie.
    decimal : {".", ","}
        Decimal mark of CSV values. Thousands separators are never accepted.
    header : {"auto", True, False}
        Whether the first line names the columns; ``"auto"``: it does unless one of its fields
        is a number or a timestamp.
    format : {"auto", "csv", "jsonl"}
        ``"auto"``: JSON objects, one a line, if the first line begins with ``{``; else CSV.
    time_format : str
        ``"auto"``, ``"iso"``, ``"epoch_s"``, ``"epoch_ms"``, ``"epoch_us"``, ``"epoch_ns"``, or
        a `strptime` pattern with a year, such as ``"%m/%d/%Y %H:%M"``. ``"auto"`` decides by
        the first row it can read: ISO 8601 (``T`` or space, fractions, offset or ``Z``,
        ``2014/07/01``), compact ``YYYYMMDD[HHMM[SS]]``, or a Unix time whose unit follows from
        its size (below 1e11 s, 1e14 ms, 1e17 us, else ns). Day/month orders are never guessed.
    tz : str
        IANA zone of naive stamps, and of the wall clock that all stamps are converted to.
    missing : {"skip", "hold"}
        Rows without a value: left out, or given the last value.
    late : {"skip", "keep"}
        Rows earlier than the newest one: left out, or handed out all the same.
    duplicate : {"skip", "keep"}
        Rows with the timestamp of the one before: left out, or handed out all the same.
    last_line : {"use", "hold"}
        A last line without a line break: used if it is a record, or left for the next run.
    gap_factor : float or None
        An interval longer than this many medians is a gap; None: nothing is.
    max_line_bytes : int
        Longer lines are skipped.

    Raises
    ------
    ParameterError
        If an option lies outside what is listed here.

    Notes
    -----
    What each kind of input leads to. Every kind has a counter in `Counts` and is reported once,
    with file, line, what came and what is expected; no input leads to a traceback.

    ================================  ==========================================================
    Input                             Behaviour
    ================================  ==========================================================
    row that cannot be parsed         skipped, ``bad``: wrong number of fields (empty trailing
                                      ones aside), unreadable number or time, bytes that are
                                      not UTF-8, NUL bytes, wrong quoting, a quoted line break
    empty, NaN, null, NA, N/A, None   ``missing="skip"``: skipped, ``missing``;
                                      ``"hold"``: the last value again (skipped before the first)
    inf, or abs(value) > 1e150        skipped, ``out_of_range`` (1e308 is finite, but the range
                                      and the square of such values are not)
    earlier than the newest record    ``late="skip"``: skipped, ``late``; ``"keep"``: handed
                                      out with its own time
    same time as the newest record    ``duplicate="skip"``: the first counts, the others are
                                      skipped, ``duplicate``; ``"keep"``: each is a record, as
                                      scoring one result per row needs
    interval > gap_factor * median    record handed out with ``reset``, ``gaps``. Median of the
                                      last 64 intervals, judged from 8 on; ``None`` turns it
                                      off. The default 50 means outages, not jitter
    line over max_line_bytes          skipped, ``overlong``; it is never held in memory
    last line without a line break    ``last_line="use"``: handed out if it is a record (and
                                      counted, ``unterminated``), else left unread; ``"hold"``:
                                      left unread. See `RecordReader` for files that grow
    blank line                        ignored: not a row
    empty file, header only, no       `DataError`
    usable record, missing column,
    unreadable or shrinking file,
    UTF-16, compressed file
    ================================  ==========================================================

    Local stamps of the hour that repeats when summer time ends are taken as its second pass once
    the clock has stepped back; order and gaps are judged in UTC, so no record is lost there.
    Times are resolved to a microsecond.

    Examples
    --------
    >>> ReadOptions(value="load", tz="Europe/Berlin").tz
    'Europe/Berlin'
    """

    timestamp: str | int | None = None
    value: str | int | None = None
    delimiter: str | None = None
    decimal: str = "."
    header: str | bool = "auto"
    format: str = "auto"
    time_format: str = "auto"
    tz: str = "UTC"
    missing: str = "skip"
    late: str = "skip"
    duplicate: str = "skip"
    last_line: str = "use"
    gap_factor: float | None = 50.0
    max_line_bytes: int = 65536

    def __post_init__(self) -> None:
        for name in ("timestamp", "value"):
            column = getattr(self, name)
            ok = column is None or (isinstance(column, str) and column != "")
            ok = ok or (type(column) is int and column >= 0)
            require(self, name, ok, "None, a column name, or a column number >= 0")
        for name, allowed in _CHOICES.items():
            chosen = getattr(self, name)
            ok = any(chosen is a or (isinstance(a, str) and chosen == a) for a in allowed)
            require(self, name, ok, f"one of {', '.join(map(repr, allowed))}")
        mark = self.delimiter
        ok = mark is None or (isinstance(mark, str) and len(mark) == 1 and mark not in '"\r\n\0')
        require(self, "delimiter", ok, "None or one character that is no quote or line break")
        require(self, "delimiter", mark != self.decimal, "another character than the decimal mark")
        ok = self.time_format in {"auto", "iso", *EPOCH_SCALES} or check_pattern(self.time_format)
        allowed = f"'auto', 'iso', {', '.join(map(repr, EPOCH_SCALES))}, or a strptime pattern"
        require(self, "time_format", ok, f"{allowed} with a year, e.g. '%m/%d/%Y %H:%M'")
        require(self, "tz", _known_zone(self.tz), "an IANA time zone such as 'Europe/Berlin'")
        factor = self.gap_factor
        ok = factor is None or (_is_number(factor) and 1.0 < factor < float("inf"))
        require(self, "gap_factor", ok, "None or a finite number > 1")
        ok = type(self.max_line_bytes) is int and 16 <= self.max_line_bytes <= 1 << 30
        require(self, "max_line_bytes", ok, "a whole number of bytes in [16, 2**30]")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _known_zone(name: object) -> bool:
    if name == "UTC":
        return True
    if not isinstance(name, str):
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # ZoneInfo answers "America" with IsADirectoryError and "../x" with ValueError.
        return False
    return True
