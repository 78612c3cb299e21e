"""What the pictures of spiking networks take, brought into one form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.recording import MemoryRecorder, Recording, Signal, SpikeTrains
from biomem.errors import InputError
from biomem.typing import BoolArray, FloatArray

__all__ = ["Drawn", "Traces", "drawn", "rate_of", "traces_of"]


class Drawn(NamedTuple):
    """Spikes to be drawn.

    Attributes
    ----------
    x : float64 array, shape ``(spikes,)``
        s, or ticks where `step` is None.
    units : int64 array, shape ``(spikes,)``
    n_units : int
    limits : (start, stop)
        Of the time axis, in the unit of `x`.
    step : float or None
        s between observed ticks, 0 for spike times; None without a time scale.
    share : float
        Part of the ticks that were observed.
    time_label : str
    """

    x: FloatArray
    units: NDArray[np.int64]
    n_units: int
    limits: tuple[float, float]
    step: float | None
    share: float
    time_label: str


def drawn(
    spikes: Any,
    units: ArrayLike | None,
    *,
    name: str,
    batch: int,
    dt: float | None,
    span: tuple[float, float] | None,
    n_units: int | None = None,
) -> Drawn:
    """Read spikes in any of the forms `biomem.viz.raster` takes."""
    if isinstance(spikes, Recording):
        spikes = spikes.spikes(name, batch=batch)
    if units is not None:
        found = _from_times(spikes, units)
    else:
        if not isinstance(spikes, SpikeTrains):
            spikes = _from_array(spikes, batch, dt)
        found = _from_trains(spikes)
    if n_units is not None:
        if n_units < found.n_units:
            raise InputError(f"n_units must be at least {found.n_units}, got {n_units}")
        found = found._replace(n_units=int(n_units))
    if span is not None:
        start, stop = map(float, span)
        if not start < stop:
            raise InputError(f"span must be (start, stop) with start < stop, got {span}")
        seen = (found.x >= start) & (found.x < stop)
        found = found._replace(x=found.x[seen], units=found.units[seen], limits=(start, stop))
    return found


def _from_times(times: Any, units: ArrayLike) -> Drawn:
    x, which = np.asarray(times, np.float64), np.asarray(units)
    if which.size == 0:
        which = which.astype(np.int64)
    if x.ndim != 1 or x.shape != which.shape or which.dtype.kind not in "iu":
        raise InputError(
            "spikes and units must be times and integers of one shape (spikes,), got "
            f"{x.shape} and {which.dtype} {which.shape}"
        )
    if not np.isfinite(x).all() or which.min(initial=0) < 0:
        raise InputError("spike times must be finite and units >= 0")
    stop = float(x.max(initial=0.0))
    limits = (min(0.0, float(x.min(initial=0.0))), stop if stop > 0 else 1.0)
    n = int(which.max(initial=-1)) + 1
    return Drawn(x, which.astype(np.int64), n, limits, 0.0, 1.0, "time (s)")


def _from_array(given: ArrayLike, batch: int, dt: float | None) -> SpikeTrains:
    dense = np.asarray(given)
    if dense.size == 0 and dense.dtype.kind == "f":
        dense = dense.astype(np.bool_)
    if dense.ndim not in (2, 3) or dense.dtype.kind != "b":
        raise InputError(
            "spikes must be a recording, a bool array (time, unit) or (time, batch, unit), or "
            f"times with units=; got {dense.dtype} {dense.shape}"
        )
    axes = ("unit",) if dense.ndim == 2 else ("batch", "unit")
    signal = Signal(name="spikes", axes=axes, shape=dense.shape[1:], dtype="bool", dt=dt)
    recorder = MemoryRecorder([signal], limit_bytes=dense.nbytes + 1)
    recorder.append("spikes", 0, dense)
    recorder.commit(len(dense))
    return recorder.recording().spikes(batch=batch)


def _from_trains(trains: SpikeTrains) -> Drawn:
    n = int(trains.labels.max(initial=-1)) + 1
    start, stop = trains.tick0, trains.tick0 + max(1, trains.rows) * trains.every
    units = trains.units.astype(np.int64)
    share = 1 / trains.every
    if trains.dt is None:
        return Drawn(trains.ticks.astype(float), units, n, (start, stop), None, share, "tick")
    limits = start * trains.dt, stop * trains.dt
    return Drawn(trains.times, units, n, limits, trains.dt * trains.every, share, "time (s)")


def rate_of(
    what: Drawn, chosen: range, bin_width: float, sigma: float | None
) -> tuple[FloatArray, FloatArray]:
    """Return edges of bins, s, and the mean rate of the units of `chosen` in each, Hz.

    Observation of bare spike times ends with a whole bin, that of ticks with the last tick.
    """
    if what.step is None:
        raise InputError("a rate in Hz needs a time scale; pass dt=, the s per tick")
    if not (np.isfinite(bin_width) and bin_width > 0):
        raise InputError(f"bin_width must be > 0 s, got {bin_width!r}")
    if what.step:
        bin_width = max(1, round(bin_width / what.step)) * what.step
    start, stop = what.limits
    # A spike on an edge belongs to the bin it begins, however the division is rounded.
    bins = max(1, int(np.ceil((stop - start) / bin_width - 1e-6)))
    mine = (what.units >= chosen.start) & (what.units < chosen.stop)
    which = np.floor((what.x[mine] - start) / bin_width + 1e-6).astype(np.intp)
    counts = np.bincount(np.minimum(which, bins - 1), minlength=bins).astype(np.float64)
    edges = start + np.arange(bins + 1) * bin_width
    if what.step:
        edges[-1] = stop
    rate = counts / (max(1, len(chosen)) * np.diff(edges) * what.share)
    return edges, rate if sigma is None else _smooth(rate, sigma, bin_width)


def _smooth(rate: FloatArray, sigma: float, bin_width: float) -> FloatArray:
    from scipy.ndimage import gaussian_filter1d

    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"sigma must be > 0 s, got {sigma!r}")
    # The same kernel over ones is the share of it that lies inside.
    inside = gaussian_filter1d(np.ones_like(rate), sigma / bin_width, mode="constant")
    return gaussian_filter1d(rate, sigma / bin_width, mode="constant") / inside


class Traces(NamedTuple):
    """Membranes to be drawn.

    Attributes
    ----------
    t : float64 array, shape ``(time,)``
        s, or ticks.
    v : float64 array, shape ``(time, column)``
    fired : bool array, shape ``(time, column)``
    threshold : float64 array, shape ``(column,)``
        NaN where there is none.
    units : int array, shape ``(column,)``
        Unit of each column.
    said : str
        Unit of `v` as far as known.
    time_label : str
    """

    t: FloatArray
    v: FloatArray
    fired: BoolArray
    threshold: FloatArray
    units: NDArray[np.integer[Any]]
    said: str
    time_label: str


def traces_of(
    v: Any,
    spikes: ArrayLike | None,
    units: ArrayLike | None,
    threshold: ArrayLike | None,
    name: str,
    spike_name: str,
    batch: int,
    dt: float | None,
) -> Traces:
    """Read what `biomem.viz.membrane_traces` takes."""
    said, labels, trains = "", None, None
    if isinstance(v, Recording):
        signal = v.signals[name]
        said, labels = "" if signal.unit == "1" else signal.unit, signal.index
        ticks = v.tick(name)
        dt = dt if dt is not None else signal.dt or v.dt
        # Columns of another axis are numbered otherwise, and would get the spikes of others.
        is_same = spike_name in v and v.signals[spike_name].axes[-1:] == signal.axes[-1:]
        if spikes is None and spike_name in v and (is_same or units is not None):
            trains = v.spikes(spike_name, batch=batch)
        rows = _one_stream("v", np.asarray(v[name]), batch)
    else:
        rows = _one_stream("v", np.asarray(v), batch)
        ticks = np.arange(len(rows))
    if spikes is not None:
        dense = _one_stream("spikes", np.asarray(spikes), batch)
        if len(dense) != len(rows):
            raise InputError(f"spikes must have {len(rows)} rows as v has, got {len(dense)}")
        trains = _from_array(dense != 0, 0, None)
        ticks_of_spikes = ticks[trains.ticks]
    else:
        ticks_of_spikes = np.empty(0, np.int64) if trains is None else trains.ticks
    n = rows.shape[1]
    which = _whole("units", np.arange(n) if labels is None else labels, units, n)
    fired = np.zeros(rows.shape, np.bool_)
    if trains is not None and len(ticks):
        row = np.minimum(np.searchsorted(ticks, ticks_of_spikes), len(ticks) - 1)
        is_seen = ticks[row] == ticks_of_spikes
        for column, unit in enumerate(which):
            fired[row[is_seen & (trains.units == unit)], column] = True
    limit = np.asarray(np.nan if threshold is None else threshold, np.float64)
    if limit.shape not in ((), (n,)):
        raise InputError(f"threshold must be a number or have shape ({n},), got {limit.shape}")
    t = ticks.astype(np.float64) if dt is None else ticks * dt
    time_label = "tick" if dt is None else "time (s)"
    return Traces(t, rows, fired, np.broadcast_to(limit, n), which, said, time_label)


def _whole(
    what: str, default: NDArray[Any], given: ArrayLike | None, n: int
) -> NDArray[np.integer[Any]]:
    found = default if given is None else np.asarray(given)
    if found.shape != (n,) or found.dtype.kind not in "iu":
        raise InputError(f"{what} must be {n} integers, one per column of v, got {given!r:.80}")
    return found


def _one_stream(what: str, rows: NDArray[Any], batch: int) -> FloatArray:
    if rows.ndim == 3 and 0 <= batch < rows.shape[1]:
        rows = rows[:, batch]
    if rows.ndim != 2 or rows.dtype.kind not in "biuf":
        raise InputError(
            f"{what} must have shape (time, unit), or (time, batch, unit) with a stream {batch}, "
            f"got {rows.dtype} {rows.shape}"
        )
    return rows.astype(np.float64)
