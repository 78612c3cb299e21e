"""A telemetry record, value and time, as one pattern: what the anomaly detector encodes.

`biomem.models.htm.encoders.cpu.encode_record` is the compiled form; the two are equal bit for bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biomem.engine.sdr import SDR
from biomem.errors import ParameterError
from biomem.models.htm.encoders.date_time import EARLIEST, LATEST, DateTimeEncoder
from biomem.models.htm.encoders.rdse import RDSE

__all__ = ["PARTS", "EncoderConstants", "constants", "encode_record_reference"]

PARTS = {
    name: code
    for code, name in enumerate(
        ("season", "day_of_week", "weekend", "custom_days", "holiday", "time_of_day")
    )
}
"""Number of each date part in `EncoderConstants.part`."""


class EncoderConstants(NamedTuple):
    """The two encoders of a record as numbers and arrays, for compiled code.

    `table` has shape ``(1000, value_bits)`` in the table form and ``(0, value_bits)`` otherwise;
    `part`, `part_bits`, `part_size` and `part_resolution` have one entry per date part; `holidays`
    has rows ``(year, month, day)``, year 0 meaning every year; bit d of `custom_days` is weekday d.
    """

    size: int
    resolution: float
    value_size: int
    value_bits: int
    seed: int
    truncate: bool
    table: NDArray[np.int32]
    part: NDArray[np.int64]
    part_bits: NDArray[np.int64]
    part_size: NDArray[np.int64]
    part_resolution: NDArray[np.float64]
    custom_days: int
    holidays: NDArray[np.int64]

    @property
    def most_bits(self) -> int:
        """Largest number of active bits a record can have: the length `out` needs."""
        return self.value_bits + int(self.part_bits.sum())


def constants(value: RDSE, time: DateTimeEncoder | None = None) -> EncoderConstants:
    """Return the constants of a record's encoders.

    Parameters
    ----------
    value : RDSE
        In hash or table form, by resolution or radius.
    time : DateTimeEncoder, optional
        Follows the value's bits.

    Raises
    ------
    ParameterError
        An `RDSE` of categories: a record's value is a quantity.
    """
    if value.category:
        raise ParameterError("constants: value must be an RDSE with a resolution or radius")
    parts = {} if time is None else time.parts
    table = np.zeros((0, value.w), np.int32)
    if value.table:
        table = value.bucket_table().copy()
    days = frozenset() if time is None else time.custom_weekdays
    holidays = () if time is None else time.holidays
    rows = [entry if len(entry) == 3 else (0, *entry) for entry in holidays]
    return EncoderConstants(
        size=value.size + sum(part.size for part in parts.values()),
        resolution=value.r,
        value_size=value.size,
        value_bits=value.w,
        seed=value.seed,
        truncate=value.truncates,
        table=table,
        part=np.array([PARTS[name] for name in parts], np.int64),
        part_bits=np.array([part.w for part in parts.values()], np.int64),
        part_size=np.array([part.size for part in parts.values()], np.int64),
        part_resolution=np.array([part.r for part in parts.values()], np.float64),
        custom_days=sum(1 << day for day in days),
        holidays=np.array(rows, np.int64).reshape(-1, 3),
    )


def encode_record_reference(
    value: float,
    seconds: float,
    table_offset: float,
    encoder: RDSE,
    time: DateTimeEncoder | None = None,
) -> SDR:
    """Return the pattern of one record.

    Parameters
    ----------
    value : float
        Not finite: the value has no active bits.
    seconds : float
        Wall-clock seconds (`DateTimeEncoder.wall_seconds`). NaN, or outside the years 1 to 9999:
        the time has no active bits.
    table_offset : float
        Value at the centre of the table; NaN: `value` itself, as for the first record of a
        series. Not read by the hash form.
    encoder : RDSE
    time : DateTimeEncoder, optional
    """
    known = value if math.isfinite(value) else None
    offset = None
    if encoder.table:
        offset = value if math.isnan(table_offset) else table_offset
    pattern = encoder.encode(known, offset)
    if time is None:
        return pattern
    moment = seconds if EARLIEST <= seconds < LATEST else None
    return SDR.concat([pattern, time.encode(moment)])
