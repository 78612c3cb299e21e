"""A series over time with the phases of its drift monitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from biomem.errors import InputError
from biomem.models.htm.drift import Phase
from biomem.viz.series import (
    AMBER,
    GREY,
    VERMILION,
    column,
    draw_scores,
    draw_values,
    has_dates,
    label,
    show_dates,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_drift"]

_SHADES = {
    Phase.PROBATION: ("probation", GREY, 0.20),
    Phase.BASELINE: ("baseline", "#56B4E9", 0.20),
    Phase.COOLDOWN: ("cooldown", AMBER, 0.28),
    Phase.REBASELINE: ("baseline", "#56B4E9", 0.20),
}


def plot_drift(
    times: ArrayLike,
    values: ArrayLike,
    statistic: ArrayLike,
    phases: ArrayLike,
    *,
    limits: tuple[float, float] | None = None,
    drifts: Sequence[int] = (),
    onsets: Sequence[int] = (),
    stamps: Sequence[str] | None = None,
    title: str | None = None,
    value_label: str = "value",
    ax: Sequence[Axes] | None = None,
) -> np.ndarray[Any, Any]:
    """Draw a series above the statistic of its monitor, phases shaded, drifts marked.

    Parameters
    ----------
    times : array_like of shape (n,)
        Wall clock in s since 1970, or ticks.
    values, statistic : array_like of shape (n,)
    phases : array_like of int, shape (n,)
        See `Phase`. NORMAL is not shaded.
    limits : (float, float), optional
        Of the statistic; the upper one is drawn, the lower one if it is not 0.
    drifts, onsets : sequence of int
        Records at which drifts were decided, and where they are estimated to have begun: from the
        one to the other a band is drawn.
    stamps, title, value_label, ax
        As in `plot_anomalies`.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Of the values and of the statistic.

    Raises
    ------
    InputError
        Lengths that differ, or a drift that is no record.

    Notes
    -----
    When not to use it: for many streams; draw those that drifted.

    Examples
    --------
    >>> axes = plot_drift([0, 1, 2, 3], [1, 1, 5, 5], [0, 0, 2, 4], [1, 2, 2, 3], drifts=[3])
    >>> [text.get_text() for text in axes[0].get_legend().get_texts()]
    ['baseline', '1 drift']
    """
    from matplotlib.figure import Figure

    t = column("times", times)
    y, s = column("values", values, len(t)), column("statistic", statistic, len(t))
    phase = column("phases", phases, len(t)).astype(int)
    for name, rows in (("drifts", drifts), ("onsets", onsets)):
        if any(not 0 <= row < len(t) for row in rows):
            raise InputError(f"{name} must be records in [0, {len(t)}), got {list(rows)!r:.80}")
    if ax is None:
        figure = Figure(figsize=(11.0, 5.2), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1.0])
    else:
        upper, lower = ax
    dated = has_dates(t, stamps)
    x = t / 86400.0 if dated else t
    whole = np.zeros(len(t), bool)
    draw_values(upper, x, y, whole, np.empty(0, np.intp))
    draw_scores(lower, x, s, whole, None)
    for limit in () if limits is None else limits:
        if limit:
            lower.axhline(limit, color=VERMILION, linestyle=(0, (5, 3)), linewidth=1.1)
    _shade(upper, lower, x, phase)
    _mark(upper, lower, x, drifts, onsets)
    label(upper, lower, title, value_label, "statistic S")
    if dated:
        show_dates(lower, t)
    else:
        lower.set_xlabel("time (s since 1970)" if stamps and stamps[0] else "record (tick)")
    return np.array([upper, lower], dtype=object)


def _shade(upper: Axes, lower: Axes, x: Any, phase: Any) -> None:
    """Shade each stretch of one phase up to the record that follows it."""
    edges = np.flatnonzero(np.diff(phase)) + 1
    named: set[str] = set()
    for start, stop in zip(np.append(0, edges), np.append(edges, len(phase)), strict=True):
        if start == stop or phase[start] not in _SHADES:
            continue
        name, colour, alpha = _SHADES[Phase(phase[start])]
        span = x[start], x[min(stop, len(x) - 1)]
        for axes in (upper, lower):
            text = name if axes is upper and name not in named else None
            axes.axvspan(*span, color=colour, alpha=alpha, linewidth=0, zorder=0, label=text)
        named.add(name)


def _mark(upper: Axes, lower: Axes, x: Any, drifts: Sequence[int], onsets: Sequence[int]) -> None:
    for i, row in enumerate(drifts):
        text = f"{len(drifts):,} drift{'s' if len(drifts) > 1 else ''}" if i == 0 else None
        upper.axvline(x[row], color=VERMILION, linewidth=1.4, label=text)
        lower.axvline(x[row], color=VERMILION, linewidth=1.4)
    for row, onset in zip(drifts, onsets, strict=False):
        upper.axvspan(x[onset], x[row], color=VERMILION, alpha=0.18, linewidth=0, zorder=0)
