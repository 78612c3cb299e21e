"""A series over time with its anomaly scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from biomem.engine.atomic import replace_file
from biomem.errors import InputError
from biomem.typing import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["envelope", "plot_anomalies", "save_png"]

# Okabe and Ito's colours, told apart with any colour vision and in grey print.
BLUE, VERMILION, GREY, AMBER = "#0072B2", "#D55E00", "#4D4D4D", "#E69F00"

_DRAWN_WHOLE = 50_000  # points; more of them share pixels
_TITLE = 78  # characters beside the legend
_BINS = 4_000  # about two a pixel column of a page-wide picture
_FIRST_DATE, _LAST_DATE = -5.5e10, 2.47e11  # the years 227 to 9797, s: ticks need some margin


def plot_anomalies(
    times: ArrayLike,
    values: ArrayLike,
    scores: ArrayLike,
    threshold: float | None = None,
    alarms: ArrayLike | None = None,
    *,
    stamps: Sequence[str] | None = None,
    windows: Sequence[tuple[float, float]] = (),
    resets: ArrayLike | None = None,
    title: str | None = None,
    value_label: str = "value",
    score_label: str = "anomaly score",
    ax: Sequence[Axes] | None = None,
) -> np.ndarray[Any, Any]:
    """Draw a series with its alarms above its anomaly scores.

    Parameters
    ----------
    times : array_like of shape (n,)
        Wall clock in s since 1970 (as `biomem.stream.Record` has it), or ticks.
    values : array_like of shape (n,)
        The series, in the unit that `value_label` names.
    scores : array_like of shape (n,)
        Anomaly score of each record, dimensionless; NaN is left out.
    threshold : float, optional
        Drawn as a line among the scores.
    alarms : array_like of bool, shape (n,), or of int, optional
        Records that raised an alarm, as a mask or as indices. Default: none.
    stamps : sequence of str, optional
        Timestamps of the records. The time axis shows dates if the first one is not empty;
        without `stamps`, if all times lie after 1971.
    windows : sequence of (start, end), optional
        Intervals to shade, such as labelled anomalies; same unit as `times`.
    resets : array_like of bool, shape (n,), optional
        Records that follow a gap: the line is broken before them.
    title, value_label, score_label : str, optional
        Texts; units belong to the labels.
    ax : sequence of two Axes, optional
        Where to draw; default: a new figure, at ``axes[0].figure``, without pyplot's state.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Of the values and of the scores.

    Raises
    ------
    InputError
        If the lengths differ, or an index in `alarms` is none.

    Notes
    -----
    More than 50 000 points are drawn by the smallest and the largest of each of 4 000 stretches,
    so no peak is lost; alarms are always drawn each. When not to use it: for several series at
    once, or for live display.

    Examples
    --------
    >>> axes = plot_anomalies([0, 1, 2], [5.0, 5.1, 9.0], [0.0, 0.1, 1.0], 0.9, alarms=[2])
    >>> [text.get_text() for text in axes[0].get_legend().get_texts()]
    ['1 alarm']
    """
    from matplotlib.figure import Figure

    t = column("times", times)
    y = column("values", values, len(t))
    s = column("scores", scores, len(t))
    alarmed = _indices(alarms, len(t))
    breaks = np.zeros(len(t), bool) if resets is None else column("resets", resets, len(t)) != 0
    if ax is None:
        figure = Figure(figsize=(11.0, 5.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1.0])
    else:
        upper, lower = ax
    dated = has_dates(t, stamps)
    x = t / 86400.0 if dated else t
    spans = [(a / 86400.0, b / 86400.0) if dated else (a, b) for a, b in windows]
    draw_values(upper, x, y, breaks, alarmed)
    draw_scores(lower, x, s, breaks, threshold)
    _shade(upper, lower, spans)
    label(upper, lower, title, value_label, score_label)
    if dated:
        show_dates(lower, t)
    else:
        lower.set_xlabel("time (s since 1970)" if stamps and stamps[0] else "record (tick)")
    return np.array([upper, lower], dtype=object)


def save_png(path: str | os.PathLike[str], figure: Figure, *, dpi: float = 120.0) -> None:
    """Write `figure` to `path` atomically: the file is whole or as it was before.

    Raises
    ------
    OutputError
        If `path` cannot be written.
    """
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=dpi))


def envelope(
    x: FloatArray, y: FloatArray, breaks: BoolArray, *, bins: int = _BINS
) -> tuple[FloatArray, FloatArray]:
    """Return the points to draw: per bin the smallest and largest `y`, with NaN at `breaks`.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        The points.
    breaks : ndarray of bool, shape (n,)
        Points that the line from the point before must not reach.
    bins : int
        Stretches of (nearly) equally many points.
    """
    edges = np.unique(np.linspace(0, len(y), bins + 1).astype(np.intp))
    stretch = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    # NaN sorts last, so it is the largest only of a stretch that has nothing else.
    order = np.lexsort((np.where(np.isnan(y), np.inf, y), stretch))
    smallest = order[edges[:-1]]
    known = np.bincount(stretch, weights=~np.isnan(y), minlength=len(edges) - 1).astype(np.intp)
    largest = order[edges[:-1] + np.maximum(known - 1, 0)]
    kept = np.unique(np.concatenate([smallest, largest, [0, len(y) - 1]]))
    count = np.cumsum(breaks)
    return _broken(x[kept], y[kept], np.diff(count[kept], prepend=count[kept[0]]) > 0)


def _broken(x: FloatArray, y: FloatArray, breaks: BoolArray) -> tuple[FloatArray, FloatArray]:
    at = np.flatnonzero(breaks)
    return np.insert(x, at, x[at]), np.insert(y, at, np.nan)


def column(name: str, given: ArrayLike, n: int | None = None) -> FloatArray:
    array = np.asarray(given, dtype=np.float64)
    if array.ndim != 1 or (n is not None and len(array) != n):
        wanted = "(n,)" if n is None else f"({n},), one for each of times"
        raise InputError(f"{name} must have shape {wanted}, got {array.shape}")
    return array


def _indices(alarms: ArrayLike | None, n: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    if alarms is None:
        return np.empty(0, np.intp)
    array = np.asarray(alarms)
    if array.dtype == bool:
        if array.shape != (n,):
            raise InputError(f"alarms as a mask must have shape ({n},), got {array.shape}")
        return np.flatnonzero(array)
    if array.size == 0:
        return np.empty(0, np.intp)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= n:
        raise InputError(f"alarms must be a mask or indices in [0, {n}), got {alarms!r:.80}")
    return np.unique(array.astype(np.intp))


def has_dates(t: FloatArray, stamps: Sequence[str] | None) -> bool:
    if not len(t) or not _FIRST_DATE <= t.min() <= t.max() <= _LAST_DATE:
        return False
    if stamps is not None:
        return len(stamps) > 0 and stamps[0] != ""
    return bool(t.min() >= 365 * 86400.0)


def _draw(axes: Axes, x: FloatArray, y: FloatArray, breaks: BoolArray, **style: Any) -> None:
    draw = envelope if len(x) > _DRAWN_WHOLE else _broken
    # A line through one point is none.
    axes.plot(*draw(x, y, breaks), marker="." if len(x) == 1 else "", **style)


def draw_values(
    axes: Axes, x: FloatArray, y: FloatArray, breaks: BoolArray, alarmed: np.ndarray[Any, Any]
) -> None:
    _draw(axes, x, y, breaks, color=BLUE, linewidth=0.8)
    if len(alarmed):
        axes.plot(
            x[alarmed],
            y[alarmed],
            linestyle="none",
            marker="o",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=VERMILION,
            markeredgewidth=1.6,
            zorder=3,
            label=f"{len(alarmed):,} alarm{'s' if len(alarmed) > 1 else ''}",
        )


def draw_scores(
    axes: Axes, x: FloatArray, s: FloatArray, breaks: BoolArray, threshold: float | None
) -> None:
    _draw(axes, x, s, breaks, color=GREY, linewidth=0.7)
    top = float(np.nanmax(s)) if np.isfinite(s).any() else 1.0
    if threshold is not None:
        axes.axhline(
            threshold,
            color=VERMILION,
            linestyle=(0, (5, 3)),
            linewidth=1.1,
            label=f"threshold {threshold:.6g}",
        )
        top = max(top, threshold)
    # Most detectors score from 0 to 1; a fixed scale makes pictures comparable.
    if top <= 1.0 and not (np.nan_to_num(s) < 0.0).any():
        axes.set_ylim(-0.04, 1.08)


def _shade(upper: Axes, lower: Axes, spans: Sequence[tuple[float, float]]) -> None:
    for axes in (upper, lower):
        for i, (start, end) in enumerate(spans):
            label = "labelled anomaly" if i == 0 and axes is upper else None
            axes.axvspan(start, end, color=AMBER, alpha=0.22, linewidth=0, zorder=0, label=label)


def label(upper: Axes, lower: Axes, title: str | None, value_label: str, score_label: str) -> None:
    # Names of files and columns are no formulas, whatever signs they hold.
    if title:
        text = title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
        upper.set_title(text, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    upper.set_ylabel(value_label, parse_math=False)
    lower.set_ylabel(score_label, parse_math=False)
    for axes in (upper, lower):
        axes.margins(x=0.01)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        handles, _ = axes.get_legend_handles_labels()
        if handles:
            # Above the axes, where it hides no data however the series runs.
            axes.legend(
                loc="lower right",
                bbox_to_anchor=(1.0, 1.0),
                ncols=3,
                frameon=False,
                fontsize=9,
                borderaxespad=0.2,
                handletextpad=0.5,
            )


def show_dates(axes: Axes, t: FloatArray) -> None:
    from matplotlib import dates

    # Wall clocks are written as if they were UTC, whatever zone the reader's machine is in.
    locator = dates.AutoDateLocator(tz="UTC", minticks=4, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz="UTC", show_offset=False))
    first, last = (
        np.datetime64(int(end), "s").item().isoformat(" ", "minutes") for end in (t.min(), t.max())
    )
    axes.set_xlabel(f"time ({first} to {last})")
