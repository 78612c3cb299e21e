"""Timestamp texts to seconds: ISO 8601, Unix times of any unit, strptime patterns.

A parser maps ``(text, newest)`` to ``(instant, wall)``. The instant is in seconds since 1970 UTC
and decides order and gaps. The wall clock is the local time of `ReadOptions.tz` written as if it
were UTC, in seconds: what an encoder of the hour of the day wants.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["EPOCH_SCALES", "StampParser", "check_pattern", "detect_format", "stamp_parser"]

StampParser = Callable[[str, float | None], tuple[float, float]]
"""``(text, newest instant or None) -> (instant, wall)``; raises ValueError or OverflowError."""

EPOCH_SCALES = {"epoch_s": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _END = -62135596800.0, 253402300800.0  # the years 1 to 9999
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEAR_DIRECTIVES = ("%Y", "%y", "%c", "%x", "%G")


def check_pattern(pattern: object) -> bool:
    """Return whether `pattern` is a strptime pattern that tells the year."""
    if not isinstance(pattern, str) or not any(d in pattern for d in _YEAR_DIRECTIVES):
        return False
    sample = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    try:
        datetime.strptime(sample.strftime(pattern), pattern)
    except ValueError:
        return False
    return True


def detect_format(text: str) -> str | None:
    """Return the time format of `text` as `ReadOptions.time_format` names it, or None.

    Examples
    --------
    >>> detect_format("2014-07-01 00:30:00"), detect_format("1404172800123")
    ('iso', 'epoch_ms')
    >>> detect_format("20140701"), detect_format("07/01/2014 00:30")
    ('%Y%m%d', None)
    """
    pattern = _COMPACT.get(len(text)) if text.isascii() and text.isdigit() else None
    # As Unix times these digits would lie in 1970 or after 2500, so a date of this or the last
    # century is what they mean.
    candidates = [pattern] if pattern and "1900" <= text[:4] < "2100" else []
    try:
        size = abs(float(text))
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
        candidates.append(f"epoch_{unit}")
    except ValueError:
        candidates.append("iso")
    for candidate in candidates:
        try:
            stamp_parser(candidate, "UTC")(text, None)
        except (ValueError, OverflowError):
            continue
        return candidate
    return None


def stamp_parser(time_format: str, tz: str) -> StampParser:
    """Return the parser of a time format other than ``"auto"`` for the wall clock of `tz`.

    Examples
    --------
    >>> stamp_parser("iso", "UTC")("1970-01-01T01:00:00+01:00", None)
    (0.0, 0.0)
    >>> stamp_parser("epoch_ms", "Asia/Tokyo")("1000", None)
    (1.0, 32401.0)
    """
    zone: tzinfo = UTC if tz == "UTC" else ZoneInfo(tz)
    if time_format in EPOCH_SCALES:
        return _epoch_parser(EPOCH_SCALES[time_format], zone)
    if time_format == "iso":
        return _iso_parser(zone)

    def parse(text: str, newest: float | None) -> tuple[float, float]:
        return _seconds(datetime.strptime(text, time_format), zone, newest)

    return parse


def _iso_parser(zone: tzinfo) -> StampParser:
    fromisoformat = datetime.fromisoformat
    epoch = _EPOCH
    naive_is_utc = zone is UTC

    def parse(text: str, newest: float | None) -> tuple[float, float]:
        try:
            moment = fromisoformat(text)
        except ValueError:
            moment = fromisoformat(_plain_iso(text))
        if naive_is_utc and moment.tzinfo is None:
            seconds = (moment - epoch).total_seconds()
            return seconds, seconds
        return _seconds(moment, zone, newest)

    return parse


def _plain_iso(text: str) -> str:
    """Bring two spellings that mean the same to ISO 8601: ``2014/07/01`` and a final `` UTC``."""
    if text[4:5] == "/" and text[7:8] == "/":
        text = f"{text[:4]}-{text[5:7]}-{text[8:]}"
    if text.endswith((" UTC", " GMT")):
        text = text[:-4] + "Z"
    return text


def _epoch_parser(scale: int, zone: tzinfo) -> StampParser:
    is_utc = zone is UTC

    def parse(text: str, newest: float | None) -> tuple[float, float]:
        if "_" in text:
            raise ValueError("digits are not grouped")
        try:
            # Nanoseconds need integers: a float has lost them before the division.
            seconds = int(text) / scale
        except OverflowError:
            raise ValueError("no such time") from None
        except ValueError:
            seconds = float(text) / scale
        if not _FIRST <= seconds < _END:
            raise ValueError("outside the years 1 to 9999")
        return seconds, seconds if is_utc else seconds + _offset_at(seconds, zone)

    return parse


def _seconds(moment: datetime, zone: tzinfo, newest: float | None) -> tuple[float, float]:
    """Instant and wall clock of a moment that is naive (then local in `zone`) or has an offset."""
    if moment.tzinfo is not None:
        instant = (moment - _EPOCH_UTC).total_seconds()
        wall = instant if zone is UTC else instant + _offset_at(instant, zone)
        return instant, wall
    wall = (moment - _EPOCH).total_seconds()
    local = moment.replace(tzinfo=zone)
    instant = wall - _offset(local)
    if newest is not None and instant < newest:
        # Before the newest record: late, or the second pass of the hour that repeats.
        second = wall - _offset(local.replace(fold=1))
        if second > newest:
            return second, wall
    return instant, wall


def _offset_at(instant: float, zone: tzinfo) -> float:
    try:
        return _offset(datetime.fromtimestamp(instant, zone))
    except (OverflowError, OSError):
        raise ValueError("outside the years 1 to 9999") from None


def _offset(local: datetime) -> float:
    offset = local.utcoffset()
    return 0.0 if offset is None else offset.total_seconds()
