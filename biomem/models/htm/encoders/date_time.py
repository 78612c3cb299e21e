"""Date and time encoder: where a moment stands in the day, the week and the year."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from biomem.engine.params import Params
from biomem.engine.sdr import SDR
from biomem.errors import InputError, ParameterError, require
from biomem.models.htm.encoders.scalar import ScalarEncoder
from biomem.models.htm.encoders.values import number, plain

__all__ = ["EARLIEST", "LATEST", "DateTimeEncoder", "WallClock", "wall_clock"]

_EPOCH = datetime(1970, 1, 1)
_DAY = 86400
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

EARLIEST = -62135510400.0
"""Wall-clock seconds of 0001-01-02: the day before still is a date."""
LATEST = 253402214400.0
"""Wall-clock seconds of 9999-12-31, exclusive: the day after still is a date."""


class WallClock(NamedTuple):
    """A moment as a clock and a calendar on the wall show it."""

    hour: float
    """Hours since midnight, in [0, 24]."""
    weekday: int
    """0 is Monday."""
    day_of_year: int
    """0 is 1 January."""
    day: date

    @property
    def is_weekend(self) -> bool:
        """Saturday, Sunday, or Friday after 18:00."""
        return self.weekday >= 5 or (self.weekday == 4 and self.hour > 18)


def wall_clock(seconds: float) -> WallClock:
    """Read wall-clock seconds: local time counted as if it were UTC.

    Parameters
    ----------
    seconds : float
        In ``[EARLIEST, LATEST)``.
    """
    ordinal = math.floor(seconds) // _DAY
    day = date.fromordinal(_EPOCH.toordinal() + ordinal)
    hour = (seconds - float(ordinal * _DAY)) / 3600.0
    return WallClock(hour, day.weekday(), day.timetuple().tm_yday - 1, day)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DateTimeEncoder(Params):
    """Encode a moment as the concatenation of the parts that are not None, in this order.

    A part is its number of active bits, or that and the radius at which codes share no bit.
    Periods the data do not have only add bits that never help: leave those parts out.

    Parameters
    ----------
    season : int or (int, float), optional
        Day of the year on a circle of 366 days; default radius 91.5 days.
    day_of_week : int or (int, float), optional
        Day of the week on a circle of 7 days, centred on noon so that with radius 1 day the code
        belongs to the day.
    weekend : int, optional
        Saturday, Sunday or Friday after 18:00 against the rest.
    custom_days : (int, tuple of str), optional
        Active bits, and the weekdays (``"mon"`` or ``"Monday"``) set apart from the rest.
    holiday : int or (int, float), optional
        1 on a day of `holidays`, rising from 0 during the day before and falling during the day
        after; default radius 1. Between two holidays one day apart the nearer one counts.
    time_of_day : int or (int, float), optional
        Hour on a circle of 24 h, seconds included; default radius 4 h.
    holidays : tuple of (month, day) or (year, month, day)
        Default 25 December.
    tz : str
        IANA name of the zone whose wall clock counts; default UTC.

    Raises
    ------
    ParameterError
        No part, an impossible date, an unknown weekday or zone.

    Examples
    --------
    >>> code = DateTimeEncoder(time_of_day=(21, 9.49))
    >>> code.size, len(code.encode("2014-07-01 12:30"))
    (54, 21)
    """

    season: int | tuple[int, float] | None = None
    day_of_week: int | tuple[int, float] | None = None
    weekend: int | None = None
    custom_days: tuple[int, tuple[str, ...]] | None = None
    holiday: int | tuple[int, float] | None = None
    time_of_day: int | tuple[int, float] | None = None
    holidays: tuple[tuple[int, ...], ...] = ((12, 25),)
    tz: str = "UTC"

    def __post_init__(self) -> None:
        plain(self)
        if not self.parts:
            raise ParameterError(
                "DateTimeEncoder needs at least one of season, day_of_week, weekend, custom_days, "
                "holiday, time_of_day; got none"
            )
        if self.custom_days is not None:
            _ = self.custom_weekdays
        for entry in self.holidays:
            require(
                self,
                "holidays",
                isinstance(entry, tuple) and _is_date(entry),
                "a tuple of (month, day) or (year, month, day) that exist",
            )
        _ = self._zone

    @cached_property
    def parts(self) -> dict[str, ScalarEncoder]:
        """Encoder of each part that is on, by name, in the order of concatenation."""
        return {
            name: self._flag(name) if name in _FLAGS else self._circle(name)
            for name in _PARTS
            if getattr(self, name) is not None
        }

    def _circle(self, name: str) -> ScalarEncoder:
        top, radius = _CIRCLES[name]
        width = getattr(self, name)
        if isinstance(width, tuple):
            require(self, name, len(width) == 2, "a width, or (width, radius)")
            width, radius = width
        return self._scalar(
            name, minimum=0.0, maximum=top, active_bits=width, radius=radius, periodic=True
        )

    def _flag(self, name: str) -> ScalarEncoder:
        width = getattr(self, name)
        if name == "custom_days":
            require(
                self, name, isinstance(width, tuple) and len(width) == 2, "(width, weekday names)"
            )
            width = width[0]
        return self._scalar(name, minimum=0, maximum=1, active_bits=width, category=True)

    def _scalar(self, name: str, **arguments: Any) -> ScalarEncoder:
        try:
            return ScalarEncoder(**arguments)
        except ParameterError as error:
            raise ParameterError(
                f"DateTimeEncoder.{name}={getattr(self, name)!r}: {error}; None leaves the part out"
            ) from None

    @cached_property
    def size(self) -> int:
        """Number of bits of all parts."""
        return sum(part.size for part in self.parts.values())

    @cached_property
    def custom_weekdays(self) -> frozenset[int]:
        """Weekdays of `custom_days`, 0 being Monday."""
        if self.custom_days is None:
            return frozenset()
        names = self.custom_days[1]
        ok = isinstance(names, tuple) and len(names) > 0
        found = [_weekday(name) for name in names] if ok else [None]
        require(
            self,
            "custom_days",
            None not in found,
            "(width, weekday names)",
            "a name is 'mon' or 'Monday' and so on, in a tuple",
        )
        return frozenset(day for day in found if day is not None)

    @cached_property
    def _zone(self) -> tzinfo:
        if self.tz == "UTC":
            return UTC
        try:
            return ZoneInfo(self.tz)
        except (KeyError, ValueError, OSError, TypeError):
            raise ParameterError(
                f"DateTimeEncoder.tz must be an IANA zone such as 'Europe/Berlin', got {self.tz!r};"
                " if that is one, install the package tzdata"
            ) from None

    def wall_seconds(self, value: Any) -> float | None:
        """Return the wall-clock seconds of a moment; None for a missing one.

        Parameters
        ----------
        value : datetime, str, numpy.datetime64, float or None
            A datetime or ISO 8601 text with an offset is converted to `tz`; one without, and a
            datetime64, already is what the wall clock shows. A number is wall-clock seconds. None
            of them can fail at a change to or from daylight saving time: an hour that is shown
            twice has one code, one that is skipped is never shown.

        Raises
        ------
        InputError
            Text that is no ISO time, another type, a time outside the years 1 to 9999.
        """
        if isinstance(value, np.datetime64):
            if np.isnat(value):
                return None
            value = float((value - np.datetime64(0, "s")) / np.timedelta64(1, "s"))
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                raise InputError(
                    f"DateTimeEncoder.encode: value must be an ISO 8601 time, got {value!r}"
                ) from None
        is_moment = isinstance(value, datetime)
        seconds = self._local_seconds(value) if is_moment else number(self, value)
        if seconds is not None and not EARLIEST <= seconds < LATEST:
            raise InputError(
                f"DateTimeEncoder.encode: value must lie from 0001-01-02 to 9999-12-30, "
                f"got {value!r}; numbers are seconds since 1970-01-01"
            )
        return seconds

    def _local_seconds(self, moment: datetime) -> float:
        if moment.tzinfo is not None:
            try:
                moment = moment.astimezone(self._zone).replace(tzinfo=None)
            except OverflowError:
                return math.inf
        return (moment - _EPOCH).total_seconds()

    def scalars(self, seconds: float) -> dict[str, float]:
        """Return the number each part encodes, by name, for wall-clock seconds."""
        now = wall_clock(seconds)
        day = now.weekday + now.hour / 24.0 - 0.5
        values = {
            "season": float(now.day_of_year),
            "day_of_week": day + 7.0 if day < 0.0 else day,
            "weekend": float(now.is_weekend),
            "custom_days": float(now.weekday in self.custom_weekdays),
            "holiday": self._holiday(now),
            "time_of_day": now.hour,
        }
        return {name: values[name] for name in self.parts}

    def _holiday(self, now: WallClock) -> float:
        one = timedelta(days=1)
        if self._is_holiday(now.day):
            return 1.0
        share = now.hour / 24.0
        after = self._is_holiday(now.day - one)
        before = self._is_holiday(now.day + one)
        if after and not (before and share >= 0.5):
            return 1.0 + share
        return share if before else 0.0

    def _is_holiday(self, day: date) -> bool:
        return (day.month, day.day) in self.holidays or (
            (day.year, day.month, day.day) in self.holidays
        )

    def encode(self, value: Any) -> SDR:
        """Return the pattern of a moment; None and NaN give no active bit.

        Parameters
        ----------
        value : datetime, str, numpy.datetime64, float or None
            See `wall_seconds`.
        """
        seconds = self.wall_seconds(value)
        if seconds is None:
            return SDR.empty(self.size)
        scalars = self.scalars(seconds)
        return SDR.concat(part.encode(scalars[name]) for name, part in self.parts.items())


_PARTS = ("season", "day_of_week", "weekend", "custom_days", "holiday", "time_of_day")
_FLAGS = ("weekend", "custom_days")
# Length of the circle, default radius.
_CIRCLES = {
    "season": (366.0, 91.5),
    "day_of_week": (7.0, 1.0),
    "holiday": (2.0, 1.0),
    "time_of_day": (24.0, 4.0),
}


def _weekday(name: object) -> int | None:
    if isinstance(name, str):
        for i, full in enumerate(_WEEKDAYS):
            if name.lower() in (full, full[:3]):
                return i
    return None


def _is_date(entry: tuple[int, ...]) -> bool:
    # A yearly entry may be 29 February, so it is tried in a leap year.
    full = entry if len(entry) == 3 else (2000, *entry)
    try:
        date(*full)
    except (TypeError, ValueError):
        return False
    return len(entry) in (2, 3)
