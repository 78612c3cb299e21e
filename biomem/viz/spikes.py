"""Pictures of spiking networks: who fired when, how often, and at what potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from biomem.engine.recording import Recording, SpikeTrains
from biomem.errors import InputError
from biomem.typing import BoolArray
from biomem.viz.axes import finish, new_axes, whole_numbers
from biomem.viz.series import AMBER, BLUE, GREY, VERMILION
from biomem.viz.trains import Drawn, Traces, drawn, rate_of, traces_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["membrane_traces", "population_rate", "power_spectrum", "raster"]

# Okabe and Ito's colours, as in the other pictures, and the three of them that those do not need.
_COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", AMBER, "#56B4E9", GREY)

_ROWS_AS_STROKES = 60  # units; strokes of more of them would be shorter than wide
_DRAWN_EACH = 200_000  # spikes; of more, those that would fall on one another are drawn once
_GRID = 4000, 2000  # cells over time and units, about two a pixel of a page-wide picture
_TRACES = 8


def raster(
    spikes: Recording | SpikeTrains | ArrayLike,
    units: ArrayLike | None = None,
    *,
    populations: Mapping[str, slice] | None = None,
    name: str = "spikes",
    batch: int = 0,
    dt: float | None = None,
    span: tuple[float, float] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a mark at the time of every spike of every unit.

    Parameters
    ----------
    spikes : Recording, SpikeTrains or array_like
        A recording with a boolean signal `name`; a boolean array ``(time, unit)`` or ``(time,
        batch, unit)`` with a row per tick; or, with `units`, spike times in s, shape ``(spikes,)``.
    units : array_like of int, shape ``(spikes,)``, optional
        Unit of each spike time.
    populations : mapping of str to slice, optional
        Units that get a colour and a label; the others are grey.
    name, batch : optional
        Signal and stream to take.
    dt : float, optional
        s per row of a boolean array; without it the axis counts ticks.
    span : (start, stop), optional
        Of the time axis; default what was observed, or 0 to the last of the spike times.
    title : str, optional
    ax : Axes, optional
        Where to draw; default: a new figure, at ``ax.figure``, without pyplot's state.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        Shapes that do not fit, negative units, times that are not finite.

    Notes
    -----
    Marks shrink as spikes become more. Of more than 200 000, those that fall on one another are
    drawn once. When not to use it: for rates, since a dense raster is black; see
    `population_rate`.

    Examples
    --------
    >>> ax = raster([0.1, 0.2, 0.2], [3, 0, 1], populations={"exc": slice(0, 2)})
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('time (s)', 'unit')
    """
    what = drawn(spikes, units, name=name, batch=batch, dt=dt, span=span)
    axes = new_axes(ax, (9.0, 4.2))
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    groups = [] if populations is None else _coloured(what, populations)
    n_units = max([1, what.n_units, *(chosen.stop for _, chosen, _ in groups)])
    if n_units <= _ROWS_AS_STROKES:
        style: dict[str, Any] = {"marker": "|", "markersize": 0.7 * height / max(4, n_units)}
    else:
        size = float(np.clip(300 / np.sqrt(1 + len(what.x)), 1.0, 5.0))
        style = {"marker": ".", "markersize": size, "markeredgewidth": 0.0}
    rest = np.ones(len(what.x), np.bool_)
    for label, chosen, colour in groups:
        mine = _among(what, chosen) & rest
        rest &= ~mine
        _mark(axes, what, mine, n_units, color=colour, **style)
        _name_rows(axes, label, chosen, colour)
    if rest.any():
        _mark(axes, what, rest, n_units, color="0.55" if groups else "black", zorder=1.5, **style)
    axes.set_xlim(*what.limits)
    axes.set_ylim(-0.5, n_units - 0.5)
    whole_numbers(axes.yaxis)
    return finish(axes, what.time_label, "unit", title, grid=False)


def population_rate(
    spikes: Recording | SpikeTrains | ArrayLike,
    units: ArrayLike | None = None,
    *,
    bin_width: float = 5e-3,
    sigma: float | None = None,
    populations: Mapping[str, slice] | None = None,
    n_units: int | None = None,
    name: str = "spikes",
    batch: int = 0,
    dt: float | None = None,
    span: tuple[float, float] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean rate of a unit over time, Hz, in bins or smoothed by a Gaussian kernel.

    Parameters
    ----------
    spikes, units, name, batch, dt, span, title, ax
        As in `raster`; a boolean array or a recording must have a `dt`.
    bin_width : float
        s; rounded to whole ticks.
    sigma : float, optional
        Standard deviation of the kernel, s. Near the ends its weight inside is brought to one.
    populations : mapping of str to slice, optional
        One line each; default one line for all units.
    n_units : int, optional
        Number of units behind spike times; default up to the largest that fired.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        As in `raster`; a bin that is not > 0, or no `dt`.
    """
    what = drawn(spikes, units, name=name, batch=batch, dt=dt, span=span, n_units=n_units)
    axes = new_axes(ax, (9.0, 2.6))
    top = 0.0
    for label, chosen, colour in _coloured(what, populations):
        edges, rate = rate_of(what, chosen, bin_width, sigma)
        if sigma is None:
            axes.stairs(rate, edges, color=colour, linewidth=1.1, label=label)
        else:
            axes.plot((edges[:-1] + edges[1:]) / 2, rate, color=colour, linewidth=1.3, label=label)
        top = max(top, float(rate.max(initial=0.0)))
    axes.set_xlim(*what.limits)
    axes.set_ylim(0.0, 1.08 * top or 1.0)
    return finish(axes, what.time_label, "rate (Hz)", title, legend=populations is not None)


def power_spectrum(
    spikes: Recording | SpikeTrains | ArrayLike,
    units: ArrayLike | None = None,
    *,
    bin_width: float = 1e-3,
    segment: float = 1.0,
    populations: Mapping[str, slice] | None = None,
    n_units: int | None = None,
    name: str = "spikes",
    batch: int = 0,
    dt: float | None = None,
    span: tuple[float, float] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the power of the population rate over frequency by Welch's method, both logarithmic.

    Parameters
    ----------
    spikes, units, populations, n_units, name, batch, dt, span, title, ax
        As in `population_rate`.
    bin_width : float
        s, rounded to whole ticks; the largest frequency is half its inverse.
    segment : float
        s; Welch's segments, half overlapping, with a Hann window. The smallest frequency is its
        inverse. A shorter recording is one segment.

    Returns
    -------
    Axes
        Empty where nothing fired, or fewer than eight bins were seen.

    Raises
    ------
    InputError
        As in `population_rate`.

    Notes
    -----
    Asynchronous Poisson firing of n units at a rate of r has the flat power 2 r / n (Hz²/Hz).
    """
    from scipy.signal import welch

    what = drawn(spikes, units, name=name, batch=batch, dt=dt, span=span, n_units=n_units)
    axes = new_axes(ax, (6.0, 3.8))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for label, chosen, colour in _coloured(what, populations):
        edges, rate = rate_of(what, chosen, bin_width, None)
        if len(rate) < 8 or not rate.any():
            continue
        step = float(edges[1] - edges[0])
        length = int(np.clip(round(segment / step), 8, len(rate)))
        frequency, power = welch(rate, fs=1 / step, nperseg=length)
        seen = (frequency > 0) & (power > 0)
        axes.plot(frequency[seen], power[seen], color=colour, linewidth=1.1, label=label)
    return finish(
        axes, "frequency (Hz)", "power of the rate (Hz²/Hz)", title, legend=populations is not None
    )


def membrane_traces(
    v: Recording | ArrayLike,
    spikes: ArrayLike | None = None,
    *,
    columns: Sequence[int] | None = None,
    units: ArrayLike | None = None,
    threshold: float | ArrayLike | None = None,
    name: str = "v",
    spike_name: str = "spikes",
    batch: int = 0,
    dt: float | None = None,
    span: tuple[float, float] | None = None,
    unit: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw membrane potentials above one another, with their spikes as strokes.

    Parameters
    ----------
    v : Recording or array_like, shape ``(time, column)`` or ``(time, batch, column)``
        A recording with a signal `name`, or potentials with a row per tick.
    spikes : array_like of bool, shape ``(time, unit)`` or ``(time, batch, unit)``, optional
        Who fired; default the signal `spike_name` of the recording, if its last axis is that of
        `v` or `units` says which is which.
    columns : sequence of int, optional
        Columns of `v` to draw; default the first eight.
    units : array_like of int, shape ``(column,)``, optional
        Unit in `spikes` of each column of `v`; default those that were recorded, else its number.
    threshold : float or array_like of shape ``(column,)``, optional
        Dotted, and where strokes end: a membrane that is reset in the tick it fires never shows
        the value it fired at. Without it strokes end at the largest value of the column.
    name, spike_name, batch : optional
    dt : float, optional
        s per row; default that of the recording, or ticks.
    span : (start, stop), optional
        Part of the time to draw; default all.
    unit : str, optional
        Unit of `v` for the scale bar; default that of the recording.
    title, ax : optional

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        Shapes that do not fit, or columns that are not there.
    """
    traces = traces_of(v, spikes, units, threshold, name, spike_name, batch, dt)
    if span is not None:
        seen = (traces.t >= span[0]) & (traces.t < span[1])
        traces = traces._replace(t=traces.t[seen], v=traces.v[seen], fired=traces.fired[seen])
    n_columns = traces.v.shape[1]
    chosen = list(range(min(_TRACES, n_columns)) if columns is None else columns)
    if not all(0 <= c < n_columns for c in chosen):
        raise InputError(f"columns must lie in [0, {n_columns}), got {chosen}")
    axes = new_axes(ax, (9.0, 1.2 + 0.55 * max(3, len(chosen))))
    bottoms, heights = _extents(traces, chosen)
    step = 1.15 * max(heights, default=0.0) or 1.0
    middles = []
    for place, column in enumerate(chosen):
        offset, colour = place * step - bottoms[place], _COLOURS[place % len(_COLOURS)]
        _draw_trace(axes, traces, column, offset, 0.1 * step, colour)
        middles.append((place + 0.5 / 1.15) * step)
    axes.set_yticks(middles, [str(traces.units[c]) for c in chosen])
    if len(traces.t) > 1:
        axes.set_xlim(traces.t[0], 2 * traces.t[-1] - traces.t[-2])
        _scale_bar(axes, step, traces.said if unit is None else unit)
    axes.set_ylim(-0.1 * step, max(1, len(chosen)) * step)
    return finish(axes, traces.time_label, "unit", title, grid=False)


def _extents(traces: Traces, chosen: Sequence[int]) -> tuple[list[float], list[float]]:
    """Return the lowest value and the height of each column, its threshold included."""
    bottoms, heights = [], []
    for column in chosen:
        shown = np.append(traces.v[:, column], traces.threshold[column])
        shown = shown[np.isfinite(shown)]
        bottoms.append(float(shown.min()) if shown.size else 0.0)
        heights.append(float(np.ptp(shown)) if shown.size else 0.0)
    return bottoms, heights


def _draw_trace(
    ax: Axes, traces: Traces, column: int, offset: float, least: float, colour: str
) -> None:
    v, end = traces.v[:, column] + offset, traces.threshold[column] + offset
    ax.plot(traces.t, v, color=colour, linewidth=0.9)
    if np.isnan(end):
        end = np.nanmax(v, initial=offset)
    else:
        ax.axhline(end, color="0.6", linestyle=":", linewidth=0.8, zorder=0)
    at = np.flatnonzero(traces.fired[:, column])
    # A stroke has to be seen where a membrane that is not reset lies at its end already.
    top = np.maximum(end, v[at] + least)
    ax.vlines(traces.t[at], v[at], top, color=colour, linewidth=1.1)


def _coloured(what: Drawn, populations: Mapping[str, slice] | None) -> list[tuple[str, range, str]]:
    """Return name, units and colour of each population; without any, of all units."""
    if populations is None:
        return [("all units", range(what.n_units), BLUE)]
    groups = []
    for k, (name, units) in enumerate(populations.items()):
        if not isinstance(units, slice) or units.step not in (None, 1):
            raise InputError(f"populations[{name!r}] must be a slice of step 1, got {units!r}")
        start, stop, _ = units.indices(max(what.n_units, units.stop or 0))
        groups.append((name, range(start, max(start, stop)), _COLOURS[k % len(_COLOURS)]))
    return groups


def _mark(ax: Axes, what: Drawn, mine: BoolArray, n_units: int, **style: Any) -> None:
    x, y = what.x[mine], what.units[mine]
    if len(what.x) > _DRAWN_EACH:
        start, stop = what.limits
        across = np.clip((x - start) / (stop - start) * _GRID[0], 0, _GRID[0]).astype(np.int64)
        kept = np.unique(across * _GRID[1] + y * _GRID[1] // n_units, return_index=True)[1]
        x, y = x[kept], y[kept]
    # Strokes and points stay sharp in a vector file, unless they would make it huge.
    ax.plot(x, y, linestyle="none", rasterized=len(x) > _DRAWN_EACH // 10, **style)


def _among(what: Drawn, chosen: range) -> BoolArray:
    return (what.units >= chosen.start) & (what.units < chosen.stop)


def _name_rows(ax: Axes, label: str, chosen: range, colour: str) -> None:
    if not len(chosen):
        return
    ax.annotate(
        label,
        (1.0, (chosen.start + chosen.stop - 1) / 2),
        xycoords=ax.get_yaxis_transform(),
        xytext=(5, 0),
        textcoords="offset points",
        color=colour,
        fontsize=9,
        va="center",
        annotation_clip=False,
        parse_math=False,
    )


def _scale_bar(ax: Axes, step: float, unit: str) -> None:
    """Draw how much a height between two traces is, as 1, 2 or 5 times a power of ten."""
    base = 10.0 ** np.floor(np.log10(0.8 * step))
    length = float(max(k * base for k in (1, 2, 5) if k * base <= 0.8 * step))
    ax.plot(
        [1.012, 1.012],
        [0.0, length],
        transform=ax.get_yaxis_transform(),
        color="black",
        linewidth=2.0,
        clip_on=False,
        solid_capstyle="butt",
    )
    ax.annotate(
        f"{length:g} {unit}".strip(),
        (1.012, length / 2),
        xycoords=ax.get_yaxis_transform(),
        xytext=(5, 0),
        textcoords="offset points",
        fontsize=9,
        va="center",
        annotation_clip=False,
    )
