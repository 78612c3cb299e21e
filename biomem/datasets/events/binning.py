"""Events to bins of time."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from biomem.datasets.events.address import AddressEvents
from biomem.errors import ParameterError

__all__ = ["bin_events"]

GRID = 1000
"""Tick of the grid that `stretch` cuts, us."""

COARSEST = 10**6
"""Largest denominator of a time in seconds that is read as a ratio, not as a decimal number."""


def bin_events(
    events: AddressEvents,
    n_bins: int | None = None,
    dt: float | None = None,
    *,
    binning: Literal["fixed", "stretch"] = "fixed",
    duration: float | None = None,
    binary: bool = False,
) -> NDArray[Any]:
    """Count events per bin of time and channel.

    Parameters
    ----------
    events : AddressEvents
    n_bins : int, optional
        Number of bins. With ``fixed``, one of `n_bins` and `dt` or both; with ``stretch``, this.
    dt : float, optional
        Width of a bin, s; at least 1 us, and not necessarily whole ones, see Notes.
    binning : {"fixed", "stretch"}
        ``fixed`` keeps physical time: event ``t`` is in bin ``floor(t / dt)``. ``stretch``
        normalises the length of every recording, as the liquid of Lin et al. does with spoken
        digits: events on a grid of 1 ms, cut into `n_bins` chunks of equal length rounded up, so
        a recording may leave the last bins empty.
    duration : float, optional
        s, for ``fixed``: events from there on are left out. Default up to the last event, so that
        none is lost.
    binary : bool
        0 or 1 instead of counts: what a `SpikeInput` takes.

    Returns
    -------
    int32 or bool array, shape ``(n_bins, channel)``

    Raises
    ------
    ParameterError
        Neither or both where one is due, or values out of range.

    Notes
    -----
    Bins are told apart in integers, so no edge drifts. `dt` and `duration` stand for the ratio of
    integers with a denominator up to a million that rounds to them (``1 / 3000``, ``1e-3``), and
    where there is none, for the decimal number they print as.
    """
    times, channels = events.t, events.channel
    if binning == "stretch":
        if n_bins is None or dt is not None or duration is not None:
            raise ParameterError("bin_events: binning='stretch' takes n_bins, not dt nor duration")
        _at_least_one(n_bins)
        grid = int(times[-1]) // GRID + 1 if len(times) else 1
        place = (times // GRID) // math.ceil(grid / n_bins)
        total = n_bins
    elif binning == "fixed":
        end = Fraction(int(times[-1]) + 1 if len(times) else 1)
        if duration is not None:
            if not (math.isfinite(duration) and duration > 0):
                raise ParameterError(f"bin_events: duration must be finite, > 0 s, got {duration}")
            end = _microseconds(duration)
        if dt is None:
            if n_bins is None:
                raise ParameterError("bin_events: give n_bins or dt")
            _at_least_one(n_bins)
            place, total = _scaled(times, n_bins / end), n_bins
        else:
            if not (math.isfinite(dt) and dt >= 1e-6):
                raise ParameterError(f"bin_events: dt must be finite, >= 1 us, got {dt}")
            width = _microseconds(dt)
            place = _scaled(times, 1 / width)
            used = int(place[-1]) + 1 if len(place) else 1
            needed = used if duration is None else math.ceil(end / width)
            total = needed if n_bins is None else n_bins
            _at_least_one(total)
        if duration is not None:
            place = np.where(times < math.ceil(end), place, total)
    else:
        raise ParameterError(f"bin_events: binning must be 'fixed' or 'stretch', got {binning!r}")
    inside = place < total
    flat = place[inside] * events.n_channels + channels[inside]
    counts = np.bincount(flat, minlength=total * events.n_channels)
    found = counts.reshape(total, events.n_channels).astype(np.int32)
    return found > 0 if binary else found


def _at_least_one(n_bins: int) -> None:
    if n_bins < 1:
        raise ParameterError(f"bin_events: n_bins must be >= 1, got {n_bins}")


def _microseconds(seconds: float) -> Fraction:
    """Return the time that a number stands for."""
    near = Fraction(seconds).limit_denominator(COARSEST)
    exact = near if float(near) == seconds else Fraction(repr(float(seconds)))
    return exact * 10**6


def _scaled(times: NDArray[np.int64], factor: Fraction) -> NDArray[np.int64]:
    """Return ``floor(times * factor)`` without rounding before the floor."""
    up, down = factor.numerator, factor.denominator
    if up * down >= 2**63:
        return (times.astype(object) * up // down).astype(np.int64)
    whole, rest = np.divmod(times, down)
    return whole * up + rest * up // down
