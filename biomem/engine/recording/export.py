"""A recording in the forms other libraries read: xarray, pandas, a plot."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from biomem.engine.recording.signal import Signal
from biomem.engine.recording.spikes import active_bits
from biomem.errors import BackendUnavailable, ParameterError

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

    from biomem.engine.recording.view import Recording

__all__ = ["need", "plot", "to_pandas", "to_xarray"]

_MAX_LINES = 32
_MAX_POINTS = 20_000


def to_xarray(recording: Recording) -> xarray.Dataset:
    """See `Recording.to_xarray`."""
    xr = need("xarray", "data")
    grids: dict[tuple[Any, ...], str] = {}
    for name in recording:
        grids.setdefault(_grid(recording, name), name)
    data, taken = {}, {}
    for name in recording:
        signal = recording.signals[name]
        first = grids[_grid(recording, name)]
        time = "time" if len(grids) == 1 else f"time_{first}"
        dims, coords = [time], {time: _time(recording, name)[0]}
        for axis, length in zip(signal.axes, signal.shape, strict=True):
            labels = _labels(signal, axis, length)
            # Two signals may use one name for axes of different lengths or elements.
            if taken.setdefault(axis, tuple(labels)) != tuple(labels):
                axis = f"{axis}_{name}"
            dims.append(axis)
            coords[axis] = labels
        attrs = {"units": signal.unit, "every": signal.every, "tick0": signal.tick0}
        data[name] = xr.DataArray(np.asarray(recording[name]), coords, dims, name, attrs)
    return xr.Dataset(data, attrs={"status": recording.status})


def to_pandas(recording: Recording, *names: str) -> pandas.DataFrame:
    """See `Recording.to_pandas`."""
    pd = need("pandas", "data")
    if len({_grid(recording, name) for name in names}) > 1:
        raise ParameterError(
            f"to_pandas: {', '.join(map(repr, names))} are sampled at different ticks; "
            f"take those of one grid, such as to_pandas({names[0]!r})"
        )
    columns: dict[str, np.ndarray] = {}
    for name in names:
        signal, rows = recording.signals[name], np.asarray(recording[name])
        for place in np.ndindex(*signal.shape):
            label = list(place)
            if signal.index is not None:
                label[-1] = int(signal.index[place[-1]])
            shown = f"{name}[{','.join(map(str, label))}]" if rows[0:1].size > 1 else name
            columns[shown] = rows[(slice(None), *place)]
    if not names:
        return pd.DataFrame()
    values, label = _time(recording, names[0])
    return pd.DataFrame(columns, index=pd.Index(values, name=label))


def plot(recording: Recording, name: str, given: Axes | None = None) -> Axes:
    """See `Recording.plot`."""
    ax: Axes = given if given is not None else need("matplotlib.pyplot", "").subplots()[1]
    signal = recording.signals[name]
    time, label = _time(recording, name)
    n = int(np.prod(signal.shape))
    if signal.is_packed:
        for at, which in active_bits(recording.column(name)):
            ax.plot(time[at], which, linestyle="none", marker="|", color="black")
        ax.set_ylim(-0.5, n - 0.5)
        ax.set_ylabel(f"{name}: element")
    elif n > _MAX_LINES:
        flat = np.asarray(recording[name]).reshape(len(time), n)
        extent = (time[0], time[-1], -0.5, n - 0.5) if len(time) else None
        image = ax.imshow(flat.T, aspect="auto", origin="lower", extent=extent)
        ax.figure.colorbar(image, ax=ax, label=_with_unit(name, signal))
        ax.set_ylabel(f"{name}: element")
    else:
        ax.plot(*_thinned(time, recording[name], n), linewidth=1)
        ax.set_ylabel(_with_unit(name, signal))
    ax.set_xlabel(label)
    return ax


def _thinned(time: np.ndarray, rows: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times and rows, or of a long series the extremes of equal stretches of it."""
    stretch = -(-2 * len(time) // _MAX_POINTS)
    if stretch <= 2:
        return time, np.asarray(rows).reshape(len(time), n)
    starts = range(0, len(time), stretch)
    out = np.empty((2 * len(starts), n), rows.dtype)
    for k, at in enumerate(starts):
        part = np.asarray(rows[at : at + stretch]).reshape(-1, n)
        out[2 * k], out[2 * k + 1] = part.min(axis=0), part.max(axis=0)
    return np.repeat(time[::stretch], 2), out


def _time(recording: Recording, name: str) -> tuple[np.ndarray, str]:
    signal = recording.signals[name]
    if signal.dt is None and recording.dt is None:
        return recording.tick(name), "tick"
    return recording.t(name), "t / s"


def _grid(recording: Recording, name: str) -> tuple[Any, ...]:
    signal = recording.signals[name]
    return signal.tick0, signal.every, signal.dt, recording.column(name).rows


def _labels(signal: Signal, axis: str, length: int) -> np.ndarray:
    if signal.index is not None and axis == signal.axes[-1]:
        return signal.index
    return np.arange(length)


def _with_unit(name: str, signal: Signal) -> str:
    return name if signal.unit == "1" else f"{name} / {signal.unit}"


def need(module: str, extra: str) -> Any:
    """Return `module`, or raise `BackendUnavailable` with the line that installs it."""
    try:
        return import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0]
        line = f"pip install 'biomem[{extra}]'" if extra else f"pip install {package}"
        raise BackendUnavailable(f"{package} is not installed; {line}") from exc
