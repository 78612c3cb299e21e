"""The picture of a score file, and of a drift file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biomem.stream.drift_rows import read_drift
from biomem.stream.scores import read_scores

__all__ = ["draw", "draw_drift"]


def draw(
    path: Path,
    scores: Path,
    layout: dict[str, Any],
    *,
    tz: str,
    threshold: float,
    title: str,
) -> None:
    """Draw the whole score file, whichever runs wrote it, to the PNG file `path`.

    Parameters
    ----------
    path, scores : Path
    layout : dict
        Of the source, as in `RecordReader.position`: what the values are called, and how times
        are written.
    tz : str
    threshold : float
    title : str

    Raises
    ------
    OutputError
        `path` cannot be written.
    """
    from biomem.viz import plot_anomalies, save_png

    columns = read_scores(scores, layout["time_format"], tz)
    axes = plot_anomalies(
        columns.times,
        columns.values,
        columns.scores,
        threshold,
        columns.alarms,
        stamps=columns.stamps,
        title=title,
        value_label=_label(layout),
    )
    save_png(path, axes[0].figure)


def draw_drift(
    path: Path,
    rows: Path,
    layout: dict[str, Any],
    *,
    tz: str,
    limits: tuple[float, float],
    title: str,
) -> None:
    """Draw the whole drift file to the PNG file `path`; as `draw` otherwise.

    Parameters
    ----------
    limits : (float, float)
        Lower and upper limit of the statistic.
    """
    from biomem.viz import plot_drift, save_png

    columns = read_drift(rows, layout["time_format"], tz)
    axes = plot_drift(
        columns.times,
        columns.values,
        columns.statistic,
        columns.phase,
        limits=limits,
        drifts=columns.drifts,
        onsets=columns.onsets,
        stamps=columns.stamps,
        title=title,
        value_label=_label(layout),
    )
    save_png(path, axes[0].figure)


def _label(layout: dict[str, Any]) -> str:
    column, names = layout["value"], layout["names"]
    label = names[column] if names and isinstance(column, int) else column
    return label if isinstance(label, str) else "value"
