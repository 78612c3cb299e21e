"""One recording of a sensor that sends events instead of frames."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import InputError

__all__ = ["AddressEvents"]


@dataclasses.dataclass(frozen=True, eq=False)
class AddressEvents:
    """Events of one recording, in the order of time.

    Parameters
    ----------
    t : array of int, shape ``(events,)``
        Microseconds, ascending, >= 0.
    x, y, p : arrays of int, shape ``(events,)``
        Column, row, polarity. `y` and `p` default to 0, as for a cochlea.
    sensor : tuple of three ints
        Columns, rows, polarities.

    Attributes
    ----------
    channel : int32 array
        ``(p * rows + y) * columns + x``, the place in a flattened ``(polarity, row, column)``.

    Raises
    ------
    InputError
        Times that descend or are negative, addresses off the sensor, arrays of different lengths.
    """

    t: NDArray[np.int64]
    x: NDArray[np.int32]
    y: NDArray[np.int32]
    p: NDArray[np.int32]
    sensor: tuple[int, int, int]

    def __init__(
        self,
        t: ArrayLike,
        x: ArrayLike,
        y: ArrayLike | None = None,
        p: ArrayLike | None = None,
        *,
        sensor: tuple[int, int, int],
    ) -> None:
        times = _whole("t", t)
        columns = _whole("x", x)
        rows = np.zeros_like(columns) if y is None else _whole("y", y)
        polarity = np.zeros_like(columns) if p is None else _whole("p", p)
        size = tuple(int(n) for n in sensor)
        if len(size) != 3 or min(size) < 1:
            raise InputError(f"AddressEvents: sensor must be three sizes >= 1, got {sensor}")
        if len(times) and (times[0] < 0 or (np.diff(times) < 0).any()):
            raise InputError("AddressEvents: t must ascend and be >= 0 us; sort the events")
        for name, values, n in zip("xyp", (columns, rows, polarity), size, strict=True):
            if values.shape != times.shape:
                raise InputError(
                    f"AddressEvents: {name} must have as many values as t, got {values.shape} and "
                    f"{times.shape}"
                )
            if len(values) and not 0 <= values.min() <= values.max() < n:
                raise InputError(
                    f"AddressEvents: {name} must lie in [0, {n}), got values in "
                    f"[{values.min()}, {values.max()}]"
                )
        object.__setattr__(self, "t", times)
        for name, values in zip("xyp", (columns, rows, polarity), strict=True):
            object.__setattr__(self, name, values.astype(np.int32))
        object.__setattr__(self, "sensor", size)

    @property
    def channel(self) -> NDArray[np.int32]:
        """Place of every event on the flattened sensor."""
        columns, rows, _ = self.sensor
        return (self.p * rows + self.y) * columns + self.x

    @property
    def n_channels(self) -> int:
        """Places on the flattened sensor."""
        columns, rows, polarities = self.sensor
        return columns * rows * polarities

    def centre(self, columns: int, rows: int) -> AddressEvents:
        """Return the events in the middle of the sensor, as a sensor of that size."""
        width, height, polarities = self.sensor
        if not (1 <= columns <= width and 1 <= rows <= height):
            raise InputError(
                f"AddressEvents.centre: must be at most {width} x {height}, got {columns} x {rows}"
            )
        left, top = (width - columns) // 2, (height - rows) // 2
        x, y = self.x - left, self.y - top
        inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        return AddressEvents(
            self.t[inside],
            x[inside],
            y[inside],
            self.p[inside],
            sensor=(columns, rows, polarities),
        )

    def polarity(self, which: int) -> AddressEvents:
        """Return the events of one polarity, as a sensor that has one."""
        if not 0 <= which < self.sensor[2]:
            raise InputError(
                f"AddressEvents.polarity: must lie in [0, {self.sensor[2]}), got {which}"
            )
        mine = self.p == which
        return AddressEvents(self.t[mine], self.x[mine], self.y[mine], sensor=(*self.sensor[:2], 1))

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        columns, rows, polarities = self.sensor
        seconds = self.t[-1] / 1e6 if len(self.t) else 0.0
        return (
            f"<AddressEvents: {len(self)} events in {seconds:.3g} s, sensor {columns} x {rows} x "
            f"{polarities}>"
        )


def _whole(name: str, values: ArrayLike) -> NDArray[Any]:
    given = np.asarray(values)
    if given.ndim != 1 or (given.dtype.kind not in "biu" and given.size):
        raise InputError(
            f"AddressEvents: {name} must be integers of shape (events,), got {given.dtype} "
            f"{given.shape}"
        )
    return given.astype(np.int64)
