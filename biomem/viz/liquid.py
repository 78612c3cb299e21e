"""A liquid over the strength of its recurrence: where it computes, and where chaos begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from biomem.errors import InputError
from biomem.models.liquid.sweep import EdgeOfChaos

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_edge_of_chaos"]


def plot_edge_of_chaos(
    measures: EdgeOfChaos, *, ax: Sequence[Axes] | None = None, title: str | None = None
) -> np.ndarray[Any, Any]:
    """Draw ranks, branching parameter with Lyapunov estimate, and separation over the gain.

    Parameters
    ----------
    measures : EdgeOfChaos
        Of one liquid, or means over several.
    ax : sequence of three Axes, optional
        Default: one above the other in a new figure.
    title : str, optional

    Returns
    -------
    array of three Axes
    """
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 7.2), layout="constrained")
        ax = figure.subplots(3, 1, sharex=True)
    axes = np.asarray(ax, dtype=object).reshape(-1)
    if len(axes) != 3:
        raise InputError(f"plot_edge_of_chaos: ax must be three Axes, got {len(axes)}")
    gain = measures.gain
    ranks, spread, separation = axes
    ranks.plot(gain, measures.kernel_rank, "C0o-", label="different inputs (kernel)")
    ranks.plot(gain, measures.generalisation_rank, "C1s-", label="one input, jittered")
    difference = measures.kernel_rank - measures.generalisation_rank
    ranks.fill_between(
        gain, 0, np.maximum(difference, 0), color="C2", alpha=0.3, label="difference"
    )
    ranks.set_ylabel("rank of states")
    ranks.legend(frameon=False, fontsize="small")
    spread.plot(gain, measures.branching, "C0o-", label="branching parameter")
    spread.axhline(1.0, color="0.6", lw=0.8)
    spread.set_ylabel("branching parameter", color="C0")
    twin = spread.twinx()
    twin.plot(gain, measures.lyapunov, "C3^-")
    twin.axhline(0.0, color="C3", lw=0.8, ls=":")
    twin.set_ylabel("growth of a flip, 1/tick", color="C3")
    separation.plot(gain, measures.separation, "C0o-", label="different inputs")
    separation.plot(gain, measures.jitter_separation, "C1s-", label="one input, jittered")
    separation.set_ylabel("distance of trajectories")
    separation.set_xlabel("gain of the recurrent weights")
    separation.legend(frameon=False, fontsize="small")
    critical = crossing(gain, measures.branching, 1.0)
    if critical is not None:
        for axis in axes:
            axis.axvline(critical, color="0.8", lw=4, zorder=0)
    if title:
        ranks.set_title(title)
    return axes


def crossing(x: np.ndarray, y: np.ndarray, level: float) -> float | None:
    """Return where `y` first rises through `level`, interpolated, or None."""
    for i in range(len(x) - 1):
        if y[i] < level <= y[i + 1]:
            return float(x[i] + (level - y[i]) / (y[i + 1] - y[i]) * (x[i + 1] - x[i]))
    return None
