"""Events stand for changes of a signal."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.random import Rng
from biomem.errors import InputError, require
from biomem.network.encoders.base import Encoder, positive, series_of
from biomem.typing import BoolArray, FloatArray, IntArray

__all__ = ["DeltaEncoder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeltaEncoder(Encoder):
    """Send an event whenever the signal has moved by a threshold: send-on-delta.

    Both sides keep the level sent last. As often as the signal lies `threshold` or more above it,
    an ON event goes out and the level rises by `threshold`; below, an OFF event. `reconstruct`
    returns the level, which is never further than `threshold` from the signal.

    When not to use it: on noise larger than `threshold`, which it follows event by event; or with
    `single` on steps much larger than `threshold`.

    Parameters
    ----------
    threshold : float
        > 0, in the unit of the signal.
    start : float
        Level both sides know before the first tick.
    single : bool
        At most one event per tick and number, as a boolean. A signal faster than one threshold
        per tick runs ahead then (slope overload) and the bound on the error does not hold.

    Examples
    --------
    >>> encoder = DeltaEncoder(threshold=0.5)
    >>> events = encoder.encode(np.array([0.2, 0.6, 1.7, 0.1])[:, None, None])
    >>> events[:, 0].tolist()
    [[0, 0], [1, 0], [2, 0], [0, 2]]
    >>> encoder.reconstruct(events).ravel().tolist()
    [0.0, 0.5, 1.5, 0.5]

    References
    ----------
    M. Miskowicz, "Send-on-delta concept: an event-based data reporting strategy", Sensors 6
    (2006) 49. P. Lichtsteiner, C. Posch, T. Delbruck, IEEE JSSC 43 (2008) 566, for the sensor.
    """

    threshold: float = 0.1
    start: float = 0.0
    single: bool = False

    def __post_init__(self) -> None:
        positive(self, "threshold")
        require(self, "start", math.isfinite(self.start), "finite")

    def channels(self, n: int) -> int:
        """Return ``2 * n``: ON events of every number, then OFF events of every number."""
        return 2 * n

    def encode(self, x: ArrayLike, rng: Rng | int = 0) -> BoolArray | IntArray:
        """Return events of a whole series, shape ``(time, batch, 2 * unit)``; nothing is drawn.

        Parameters
        ----------
        x : array, shape ``(time, batch, unit)``
            Finite.

        Returns
        -------
        int32 array, or bool array where `single`
            ON events of every unit, then OFF events of every unit.
        """
        return self.encode_chunk(x)[0]

    def encode_chunk(
        self, x: ArrayLike, sent: IntArray | None = None
    ) -> tuple[BoolArray | IntArray, IntArray]:
        """Return the events of a piece of a series and where the next piece goes on.

        Parameters
        ----------
        x : array, shape ``(time, batch, unit)``
        sent : int64 array, shape ``(batch, unit)``, optional
            ON less OFF events so far; default none. The level is ``start + threshold * sent``.

        Raises
        ------
        InputError
            A value that is not finite, or a jump of more than 2**31 thresholds.
        """
        series = series_of(self, "x", x)
        if not np.isfinite(series).all():
            raise InputError("DeltaEncoder: x must be finite; drop or fill missing samples")
        level = self._sent(sent, series)
        events = np.zeros((*series.shape[:2], 2 * series.shape[2]), np.int32)
        for t, row in enumerate(series):
            moved = np.trunc((row - (self.start + self.threshold * level)) / self.threshold)
            if self.single:
                moved = np.clip(moved, -1, 1)
            elif moved.size and np.abs(moved).max() >= 2.0**31:
                raise InputError(
                    f"DeltaEncoder: x jumps by 2**31 or more thresholds at tick {t} of this "
                    f"piece; threshold = {self.threshold} is too small for it"
                )
            step = moved.astype(np.int64)
            level = level + step
            events[t] = np.concatenate([np.maximum(step, 0), np.maximum(-step, 0)], axis=-1)
        return (events.astype(np.bool_) if self.single else events), level

    def reconstruct(self, events: ArrayLike, sent: IntArray | None = None) -> FloatArray:
        """Return the level after every tick, shape ``(time, batch, unit)``.

        Parameters
        ----------
        events : array, shape ``(time, batch, 2 * unit)``
        sent : int64 array, shape ``(batch, unit)``, optional
            What `encode_chunk` returned for the piece before.
        """
        given = np.asarray(events)
        if given.ndim != 3 or given.shape[2] % 2:
            raise InputError(
                "DeltaEncoder.reconstruct: events must have shape (time, batch, 2 * unit), "
                f"got {given.shape}"
            )
        n = given.shape[2] // 2
        steps = given[..., :n].astype(np.int64) - given[..., n:].astype(np.int64)
        level = self._sent(sent, steps) + np.cumsum(steps, axis=0)
        return self.start + self.threshold * level

    def _sent(self, sent: IntArray | None, series: NDArray[Any]) -> IntArray:
        if sent is None:
            return np.zeros(series.shape[1:], np.int64)
        given = np.asarray(sent, np.int64)
        if given.shape != series.shape[1:]:
            raise InputError(
                f"DeltaEncoder: sent must have shape {series.shape[1:]}, got {given.shape}"
            )
        return given
