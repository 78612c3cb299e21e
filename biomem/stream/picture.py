"""The picture of a score file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biomem.stream.scores import read_scores

__all__ = ["draw"]


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
    column, names = layout["value"], layout["names"]
    label = names[column] if names and isinstance(column, int) else column
    axes = plot_anomalies(
        columns.times,
        columns.values,
        columns.scores,
        threshold,
        columns.alarms,
        stamps=columns.stamps,
        title=title,
        value_label=label if isinstance(label, str) else "value",
    )
    save_png(path, axes[0].figure)
