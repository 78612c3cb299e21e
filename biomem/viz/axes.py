"""How the pictures of spiking networks begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["finish", "new_axes", "whole_numbers"]


def new_axes(given: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `given`, or the Axes of a new figure of `size` inches without pyplot's state."""
    if given is not None:
        return given
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


def finish(
    ax: Axes,
    xlabel: str,
    ylabel: str,
    title: str | None,
    *,
    legend: bool = False,
    grid: bool = True,
) -> Axes:
    """Label `ax` in the style of all pictures, and return it."""
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis="y", color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
    if legend and ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=4,
            frameon=False,
            fontsize=9,
            borderaxespad=0.2,
            handletextpad=0.5,
        )
    return ax
