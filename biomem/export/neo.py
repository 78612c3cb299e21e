"""Spike trains and membranes as neo objects, which elephant and many file formats take.

neo, quantities: S. Garcia et al., "Neo: an object model for handling electrophysiology data in
multiple formats", Front. Neuroinform. 8 (2014) 10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.recording import Recording, SpikeTrains
from biomem.engine.recording.export import need
from biomem.errors import InputError
from biomem.typing import FloatArray

__all__ = ["from_neo", "to_neo"]

# quantities evaluates the text of a unit as Python, and that of a file could say anything.
_FACTOR = r"[A-Za-zµμΩ]+(?:(?:\*\*|\^)-?\d+)?"
_UNIT = re.compile(rf"(?:1/)?{_FACTOR}(?:[*/]{_FACTOR})*")
_SPELT = str.maketrans({"µ": "u", "μ": "u", "Ω": "ohm"})


def to_neo(
    spikes: Recording | SpikeTrains | ArrayLike,
    units: ArrayLike | None = None,
    t_stop: float | None = None,
    *,
    t_start: float = 0.0,
    labels: ArrayLike | None = None,
    dt: float | None = None,
    names: Iterable[str] | None = None,
    batch: int = 0,
) -> Any:
    """Return spikes, and from a recording its other signals too, as a ``neo.Segment``.

    Parameters
    ----------
    spikes : Recording, SpikeTrains or array_like of shape ``(spikes,)``
        What was recorded, or spike times in s, in any order.
    units : array_like of int, shape ``(spikes,)``, optional
        Unit of each spike time.
    t_stop : float, optional
        End of observation, s; needed with spike times, taken from the others.
    t_start : float
        Its begin, s, with spike times.
    labels : array_like of int, optional
        With spike times, the units that were observed, silent ones too; default those that fired.
    dt : float, optional
        With spike times, the s per tick they lie on, kept as the sampling rate.
    names : iterable of str, optional
        Signals of a recording to take; default all.
    batch : int
        Stream of a recording to take.

    Returns
    -------
    neo.Segment
        One ``SpikeTrain`` (s) per unit, annotated with ``unit`` and ``signal``, and one
        ``AnalogSignal`` with a channel per element for every signal that is not boolean. A unit
        quantities does not know becomes dimensionless and is kept in the annotation ``si_unit``.

    Raises
    ------
    BackendUnavailable
        neo is not installed.
    InputError
        Shapes that do not fit, times outside ``[t_start, t_stop]``, units beyond `labels`.
    ParameterError
        A recording without a time scale, or without that stream.

    Notes
    -----
    Spike times are the starts of ticks, exactly as ``SpikeTrains.times`` has them; `from_neo`
    returns the same bits. When not to use it: for millions of spikes of a great many units, as
    elephant is slower than `SpikeTrains` by far.
    """
    module = need("neo", "neo")
    if isinstance(spikes, Recording):
        return _from_recording(module, spikes, list(spikes if names is None else names), batch)
    if not isinstance(spikes, SpikeTrains):
        chosen, trains = _by_unit(spikes, units, labels)
        if t_stop is None:
            raise InputError("to_neo: spike times need t_stop, the end of observation in s")
        span, period = (float(t_start), float(t_stop)), dt
        _refuse_outside(trains, span)
    else:
        chosen, trains = spikes.labels, spikes.trains()
        span, period = (spikes.t_start, spikes.t_stop), spikes.dt
    segment = module.Segment()
    _add_trains(module, segment, "spikes", chosen, trains, span, period)
    return segment


def from_neo(source: Any, *, dt: float | None = None) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the times, s, and units of the spikes in a segment or in spike trains.

    Parameters
    ----------
    source : neo.Segment or iterable of neo.SpikeTrain
    dt : float, optional
        s per tick: times are brought to ``tick * dt`` exactly, which times given in ms are not.

    Returns
    -------
    times : float64 array, shape ``(spikes,)``
        Ascending; at the same time, in the order of the trains.
    units : int64 array, shape ``(spikes,)``
        The annotation ``unit`` where all trains have distinct ones, else the number of the train.

    Raises
    ------
    InputError
        What is no spike train; with `dt`, a time more than a hundredth of a tick beside a tick.

    Examples
    --------
    >>> times, units = from_neo([])
    >>> len(times)
    0
    """
    trains = list(getattr(source, "spiketrains", source))
    for train in trains:
        if not (hasattr(train, "rescale") and hasattr(train, "t_stop")):
            raise InputError(f"from_neo: source must hold SpikeTrains, got {type(train).__name__}")
    named = [train.annotations.get("unit") for train in trains]
    is_named = all(isinstance(n, int | np.integer) for n in named) and len(set(named)) == len(named)
    labels = np.array(named if is_named else range(len(trains)), np.int64)
    seconds = [np.asarray(train.rescale("s").magnitude, np.float64) for train in trains]
    times = np.concatenate([*seconds, np.empty(0)])
    units = np.repeat(labels, [len(part) for part in seconds])
    if dt is not None:
        ticks = np.round(times / dt)
        off = np.abs(times / dt - ticks) > 0.01
        if off.any():
            raise InputError(
                f"from_neo: times must lie on ticks of {dt:g} s, got {times[off][0]!r} s; "
                "leave dt out for times between ticks"
            )
        times = ticks * dt
    order = np.argsort(times, kind="stable")
    return times[order], units[order]


def _from_recording(module: Any, recording: Recording, names: list[str], batch: int) -> Any:
    segment = module.Segment()
    for name in names:
        signal = recording.signals[name]
        if signal.is_packed:
            found = recording.spikes(name, batch=batch)
            span = found.t_start, found.t_stop
            _add_trains(module, segment, name, found.labels, found.trains(), span, found.dt)
            continue
        t, rows = recording.t(name), np.asarray(recording[name])
        if "batch" in signal.axes:
            axis = 1 + signal.axes.index("batch")
            if not 0 <= batch < rows.shape[axis]:
                raise InputError(
                    f"to_neo: batch must be in [0, {rows.shape[axis]}) for {name!r}, got {batch}"
                )
            rows = rows.take(batch, axis=axis)
        dt = signal.dt if signal.dt is not None else recording.dt
        assert dt is not None  # else there are no times
        quantity, text = _quantity(signal.unit)
        channels = rows.reshape(len(t), -1)
        has_labels = signal.index is not None and len(signal.index) == channels.shape[1]
        segment.analogsignals.append(
            module.AnalogSignal(
                channels,
                units=quantity,
                t_start=signal.tick0 * dt * _quantity("s")[0],
                sampling_period=signal.every * dt * _quantity("s")[0],
                name=name,
                array_annotations={
                    "unit": signal.index if has_labels else np.arange(channels.shape[1])
                },
                **text,
            )
        )
    return segment


def _add_trains(
    module: Any,
    segment: Any,
    name: str,
    labels: NDArray[Any],
    trains: list[FloatArray],
    span: tuple[float, float],
    dt: float | None,
) -> None:
    rate = {} if dt is None else {"sampling_rate": 1 / dt * _quantity("Hz")[0]}
    for label, times in zip(labels.tolist(), trains, strict=True):
        segment.spiketrains.append(
            module.SpikeTrain(
                times,
                units="s",
                t_start=span[0],
                t_stop=span[1],
                name=f"{name}[{label}]",
                unit=label,
                signal=name,
                **rate,
            )
        )


def _by_unit(
    times: ArrayLike, units: ArrayLike | None, labels: ArrayLike | None
) -> tuple[NDArray[np.int64], list[FloatArray]]:
    x, which = np.asarray(times, np.float64), np.asarray(units)
    if which.size == 0 and units is not None:
        which = which.astype(np.int64)
    if x.ndim != 1 or x.shape != which.shape or which.dtype.kind not in "iu":
        raise InputError(
            "to_neo: times and units must have one shape (spikes,), and units be integers; got "
            f"{x.shape} and {which.dtype} {which.shape}"
        )
    found = np.unique(which) if labels is None else np.atleast_1d(np.asarray(labels))
    if len(np.unique(found)) != found.size or not np.isin(which, found).all():
        raise InputError("to_neo: labels must be distinct and hold every one of units")
    order = np.lexsort((x, which))
    x, which = x[order], which[order]
    return found, [
        x[slice(*np.searchsorted(which, (label, label + 1)))] for label in found.tolist()
    ]


def _refuse_outside(trains: list[FloatArray], span: tuple[float, float]) -> None:
    for train in trains:
        if not ((train >= span[0]) & (train <= span[1])).all():
            raise InputError(
                f"to_neo: times must lie in [{span[0]:g}, {span[1]:g}] s, from t_start to t_stop"
            )


def _quantity(unit: str) -> tuple[Any, dict[str, str]]:
    """Return the unit as quantities has it, and an annotation where it has none."""
    quantities = need("quantities", "neo")
    if unit == "1":
        return quantities.dimensionless, {}
    if _UNIT.fullmatch(unit):
        try:
            return quantities.Quantity(1.0, unit.translate(_SPELT).replace("^", "**")).units, {}
        except (LookupError, AttributeError, TypeError, ValueError, SyntaxError):
            pass
    return quantities.dimensionless, {"si_unit": unit}
