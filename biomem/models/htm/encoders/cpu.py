"""Compiled encoders, equal bit for bit to those of this package's classes.

Every ``*_bits`` function writes ascending int32 indices to ``out[start:]``, each moved by
`offset`, and returns where the next one may start.
"""

from __future__ import annotations

import math

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.encoders.date_time import EARLIEST, LATEST
from biomem.models.htm.encoders.record import PARTS
from biomem.models.htm.encoders.table import BUCKETS

__all__ = [
    "civil",
    "datetime_bits",
    "encode_record",
    "murmur3_word",
    "rdse_bits",
    "scalar_bits",
    "table_bits",
    "wall_clock",
]

_SEASON = PARTS["season"]
_DAY_OF_WEEK = PARTS["day_of_week"]
_WEEKEND = PARTS["weekend"]
_CUSTOM_DAYS = PARTS["custom_days"]
_HOLIDAY = PARTS["holiday"]
_TIME_OF_DAY = PARTS["time_of_day"]


@njit(cache=True)
def murmur3_word(key, seed):
    """Return murmur3_x86_32 of the four little-endian bytes of a uint32."""
    k = np.uint32(key * np.uint32(0xCC9E2D51))
    k = np.uint32(np.uint32(k << np.uint32(15)) | np.uint32(k >> np.uint32(17)))
    k = np.uint32(k * np.uint32(0x1B873593))
    h = np.uint32(seed ^ k)
    h = np.uint32(np.uint32(h << np.uint32(13)) | np.uint32(h >> np.uint32(19)))
    h = np.uint32(np.uint32(h * np.uint32(5)) + np.uint32(0xE6546B64))
    h = np.uint32(h ^ np.uint32(4))
    h = np.uint32(np.uint32(h ^ np.uint32(h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    h = np.uint32(np.uint32(h ^ np.uint32(h >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ np.uint32(h >> np.uint32(16)))


@njit(cache=True)
def _round_half_away(x):
    whole = math.floor(abs(x))
    if abs(x) - whole >= 0.5:
        whole += 1.0
    return math.copysign(whole, x)


@njit(cache=True)
def rdse_bits(x, resolution, n, w, seed, truncate, out, start, offset):
    """Write the hash form's bits of a finite `x`: `RDSE.encode`.

    Parameters
    ----------
    x, resolution : float
    n, w, seed : int
    truncate : bool
        Round x / resolution toward zero instead of down.
    out : int32 array, shape ``(>= start + w,)``
    start, offset : int

    Returns
    -------
    int
        `start` plus the number of different bits.
    """
    quotient = x / resolution
    if abs(quotient) < 2.0**53:
        whole = np.int64(quotient) if truncate else np.int64(math.floor(quotient))
    else:
        whole = np.int64(1) << np.int64(31)
    key = np.uint32(whole & np.int64(0xFFFFFFFF))
    modulus = np.uint32(n)
    for j in range(w):
        word = murmur3_word(np.uint32(key + np.uint32(j)), np.uint32(seed))
        out[start + j] = np.int64(word % modulus) + offset
    out[start : start + w].sort()
    count = start + 1
    for j in range(start + 1, start + w):
        if out[j] != out[count - 1]:
            out[count] = out[j]
            count += 1
    return count


@njit(cache=True)
def table_bits(x, resolution, centre, table, out, start, offset):
    """Write the table form's bits of a finite `x`; a NaN `centre` stands for `x` itself."""
    steps = 0.0 if math.isnan(centre) else (x - centre) / resolution
    steps = min(max(steps, -float(BUCKETS)), float(BUCKETS))
    bucket = BUCKETS // 2 + np.int64(_round_half_away(steps))
    bucket = min(max(bucket, 0), BUCKETS - 1)
    w = table.shape[1]
    for j in range(w):
        out[start + j] = table[bucket, j] + offset
    return start + w


@njit(cache=True)
def scalar_bits(x, minimum, resolution, n, w, periodic, out, start, offset):
    """Write the bits of an `x` in range: `ScalarEncoder.encode`."""
    first = np.int64(_round_half_away((x - minimum) / resolution))
    if periodic:
        first %= n
    else:
        first = min(first, n - w)
    wrapped = max(first + w - n, 0)
    for j in range(wrapped):
        out[start + j] = offset + j
    for j in range(w - wrapped):
        out[start + wrapped + j] = offset + first + j
    return start + w


@njit(cache=True)
def civil(day):
    """Return (year, month, day of month, day of year from 0) of a day counted from 1970-01-01.

    The Gregorian calendar repeats every 146 097 days. Years are counted from 1 March, so that the
    leap day comes last; months of such a year begin at days (153 m + 2) // 5.
    """
    shifted = day + 719468
    era = shifted // 146097
    in_era = shifted - era * 146097
    year_of_era = (in_era - in_era // 1460 + in_era // 36524 - in_era // 146096) // 365
    from_march = in_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * from_march + 2) // 153
    day_of_month = from_march - (153 * shifted_month + 2) // 5 + 1
    year = year_of_era + era * 400
    if shifted_month < 10:
        month = shifted_month + 3
        leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
        day_of_year = from_march + 59 + (1 if leap else 0)
    else:
        month = shifted_month - 9
        year += 1
        day_of_year = from_march - 306
    return year, month, day_of_month, day_of_year


@njit(cache=True)
def wall_clock(seconds):
    """Return (hour of day, weekday, day of year, weekend, day number) of wall-clock seconds.

    `seconds` must lie within the years 1 to 9999. Monday and 1 January are 0; the day number
    counts from 1970-01-01.
    """
    day = np.int64(math.floor(seconds)) // 86400
    hour = (seconds - float(day * 86400)) / 3600.0
    weekday = (day + 3) % 7
    day_of_year = civil(day)[3]
    weekend = weekday >= 5 or (weekday == 4 and hour > 18.0)
    return hour, weekday, day_of_year, weekend, day


@njit(cache=True)
def _is_holiday(day, holidays):
    year, month, day_of_month, _ = civil(day)
    for i in range(holidays.shape[0]):
        every_year = holidays[i, 0] == 0 or holidays[i, 0] == year
        if every_year and holidays[i, 1] == month and holidays[i, 2] == day_of_month:
            return True
    return False


@njit(cache=True)
def _holiday(day, hour, holidays):
    if _is_holiday(day, holidays):
        return 1.0
    share = hour / 24.0
    before = _is_holiday(day + 1, holidays)
    if _is_holiday(day - 1, holidays) and not (before and share >= 0.5):
        return 1.0 + share
    return share if before else 0.0


@njit(cache=True)
def datetime_bits(seconds, constants, out, start, offset):
    """Write the bits of every date part: `DateTimeEncoder.encode`.

    `seconds` must lie within the years 1 to 9999.
    """
    hour, weekday, day_of_year, weekend, day = wall_clock(seconds)
    for p in range(constants.part.shape[0]):
        part = constants.part[p]
        if part == _SEASON:
            x = float(day_of_year)
        elif part == _DAY_OF_WEEK:
            x = weekday + hour / 24.0 - 0.5
            if x < 0.0:
                x += 7.0
        elif part == _WEEKEND:
            x = 1.0 if weekend else 0.0
        elif part == _CUSTOM_DAYS:
            x = float((constants.custom_days >> weekday) & 1)
        elif part == _HOLIDAY:
            x = _holiday(day, hour, constants.holidays)
        else:
            x = hour
        size, bits = constants.part_size[p], constants.part_bits[p]
        periodic = part != _WEEKEND and part != _CUSTOM_DAYS
        resolution = constants.part_resolution[p]
        start = scalar_bits(x, 0.0, resolution, size, bits, periodic, out, start, offset)
        offset += size
    return start


@njit(cache=True)
def encode_record(value, seconds, table_offset, constants, out):
    """Write the pattern of one record: `encode_record_reference`, which defines the arguments.

    Parameters
    ----------
    value, seconds, table_offset : float
    constants : EncoderConstants
    out : int32 array, shape ``(>= constants.most_bits,)``

    Returns
    -------
    int
        Number of active bits; ``out[:count]`` ascends.
    """
    count = 0
    if math.isfinite(value):
        if constants.table.shape[0] > 0:
            count = table_bits(
                value, constants.resolution, table_offset, constants.table, out, 0, 0
            )
        else:
            count = rdse_bits(
                value,
                constants.resolution,
                constants.value_size,
                constants.value_bits,
                constants.seed,
                constants.truncate,
                out,
                0,
                0,
            )
    if EARLIEST <= seconds < LATEST:
        count = datetime_bits(seconds, constants, out, count, constants.value_size)
    return count
