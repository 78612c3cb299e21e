"""Files of N-MNIST and N-Caltech101: five bytes per event.

Byte 0 is the column, byte 1 the row, bit 7 of byte 2 the polarity; the other 23 bits are the time,
us. An event of row 240 is no event: it adds 8192 us to itself and to all that follow.

Source: G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor, Front. Neurosci. 9 (2015) 437.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from biomem.datasets.events.address import AddressEvents
from biomem.engine.atomic import replace_file
from biomem.errors import DataError, InputError

__all__ = ["read_nmnist", "write_nmnist"]

SENSOR = (34, 34, 2)
OVERFLOW_ROW = 240
OVERFLOW = 8192
LARGEST = 2**23 - 1


def read_nmnist(path: str | Path, sensor: tuple[int, int, int] = SENSOR) -> AddressEvents:
    """Read one recording.

    Parameters
    ----------
    path : path
        A ``.bin`` file.
    sensor : tuple of three ints
        Columns, rows, polarities; default that of N-MNIST.

    Raises
    ------
    DataError
        The file cannot be read, is cut short, or holds events off the sensor or back in time.
    """
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(raw) % 5:
        raise DataError(f"{path}: must be a whole number of 5-byte events, got {len(raw)} bytes")
    x, y, high, middle, low = raw.reshape(-1, 5).T.astype(np.int64)
    marks = y == OVERFLOW_ROW
    t = ((high & 127) << 16 | middle << 8 | low) + OVERFLOW * np.cumsum(marks)
    real = ~marks
    try:
        return AddressEvents(t[real], x[real], y[real], high[real] >> 7, sensor=sensor)
    except InputError as error:
        raise DataError(f"{path} is no recording of a sensor {sensor}: {error}") from error


def write_nmnist(path: str | Path, events: AddressEvents) -> None:
    """Write one recording in the same format; times beyond 8.4 s take overflow marks.

    Raises
    ------
    InputError
        A sensor that the format cannot address.
    """
    columns, rows, polarities = events.sensor
    if columns > 256 or rows > OVERFLOW_ROW or polarities > 2:
        raise InputError(
            f"write_nmnist: the sensor must be at most 256 x 240 x 2, got {events.sensor}"
        )
    late = np.maximum(-((LARGEST - events.t) // OVERFLOW), 0)
    before = np.diff(late, prepend=0)
    parts = []
    for i, marks in enumerate(before):
        parts += [(0, OVERFLOW_ROW, 0, 0, 0)] * int(marks)
        t = int(events.t[i] - OVERFLOW * late[i])
        parts.append(
            (
                int(events.x[i]),
                int(events.y[i]),
                int(events.p[i]) << 7 | t >> 16,
                t >> 8 & 255,
                t & 255,
            )
        )
    replace_file(Path(path), np.array(parts, np.uint8).tobytes())
