"""Waves on a ring: activity over space and time, its spectrum, and the kernels that hand it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from biomem.errors import InputError
from biomem.models.wave_rnn.velocity import kernel_velocity, spectrum, wave_velocity
from biomem.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_kernels", "plot_waves"]

_DECADES = 5.0  # of power below the largest that are told apart


def plot_waves(
    h: ArrayLike,
    *,
    start: int = 0,
    title: str | None = None,
    ax: Sequence[Axes] | None = None,
) -> np.ndarray[Any, Any]:
    """Draw one ring's activity beside its power over wave number and frequency.

    Parameters
    ----------
    h : array_like, shape (time, unit)
        Activity of one ring, such as ``recording["h"][:, 0, 0]``; at least 4 ticks and 2 units.
    start : int
        Tick of the first row.
    title : str, optional
        Above the activity.
    ax : sequence of two Axes, optional
        Where to draw; default: a new figure, at ``axes[0].figure``, without pyplot's state.

    Returns
    -------
    ndarray of Axes, shape (2,)
        Of the activity and of the spectrum.

    Raises
    ------
    InputError
        Another shape, or values that are not finite.

    Notes
    -----
    A wave is a slanted stripe on the left and a line through the centre on the right. The dashed
    line is the velocity that `wave_velocity` finds; it re-enters at the edges because a sampled
    wave cannot be told from one that is faster by a whole cycle.

    Examples
    --------
    >>> ring = np.random.default_rng(0).normal(size=32)
    >>> axes = plot_waves([np.roll(ring, -t) for t in range(100)])
    >>> axes[1].get_legend().get_texts()[0].get_text()
    '-1.000 units per tick'
    """
    from matplotlib.figure import Figure

    activity = np.asarray(h)
    if activity.ndim != 2:
        raise InputError(
            f"plot_waves: h must have shape (time, unit), got {activity.shape}; choose one stream "
            "and one ring, h[:, 0, 0]"
        )
    power, found = spectrum(activity), wave_velocity(activity)
    if ax is None:
        figure = Figure(figsize=(11.0, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.6, 1.0])
    else:
        left, right = ax
    _draw_activity(left, activity.astype(np.float64), start, title)
    _draw_spectrum(right, power, float(found.velocity))
    return np.array([left, right], dtype=object)


def plot_kernels(u: ArrayLike, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the taps of all kernels: a row for every ring that is fed, a block for every one read.

    Parameters
    ----------
    u : array_like, shape (channel, channel, taps)
        Ring weights, such as ``model.weights["ring_weight"]``.
    title : str, optional
    ax : Axes, optional
        Where to draw; default: a new figure, at ``ax.figure``, without pyplot's state.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        Another shape, or values that are not finite.

    Notes
    -----
    Within a block stand the taps from the lowest offset to the highest; a ring's own block lies on
    the diagonal. Rows are labelled with the velocity of a ring's own taps, `kernel_velocity`.

    Examples
    --------
    >>> from biomem.models.wave_rnn import WaveRNN
    >>> ax = plot_kernels(WaveRNN(n_units=8, n_channels=3).weights["ring_weight"])
    >>> ax.get_yticklabels()[0].get_text()
    '0 (-1.00)'
    """
    from matplotlib.figure import Figure

    weights = np.asarray(u, np.float64)
    if weights.ndim != 3 or weights.shape[0] != weights.shape[1] or not weights.size:
        raise InputError(
            f"plot_kernels: u must have shape (channel, channel, taps), got {weights.shape}; of "
            "locally connected rings, choose one unit, u[:, :, unit]"
        )
    if not np.isfinite(weights).all():
        raise InputError(
            "plot_kernels: u must be finite; take the weights before training diverged"
        )
    channels, _, taps = weights.shape
    size = (2.5 + 0.18 * channels * taps, 1.5 + 0.32 * channels)
    where = ax or Figure(figsize=size, layout="constrained").subplots()
    limit = float(np.abs(weights).max()) or 1.0
    rows = weights.reshape(channels, channels * taps)
    image = where.imshow(rows, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit)
    where.figure.colorbar(image, ax=where, label="weight")
    for edge in range(1, channels):
        where.axvline(edge * taps - 0.5, color="0.3", linewidth=0.6)
    rings = np.arange(channels)
    where.set_xticks(rings * taps + (taps - 1) / 2, rings.astype(str))
    own = kernel_velocity(weights)
    where.set_yticks(rings, [f"{ring} ({v:.2f})" for ring, v in zip(rings, own, strict=True)])
    where.set(
        xlabel=f"ring that is read, {taps} taps each", ylabel="ring that is fed (units per tick)"
    )
    if title:
        where.set_title(title)
    return where


def _draw_activity(ax: Axes, h: FloatArray, start: int, title: str | None) -> None:
    ticks, units = h.shape
    signed = bool((h < 0).any())
    limit = float(np.abs(h).max()) or 1.0
    image = ax.imshow(
        h.T,
        aspect="auto",
        origin="lower",
        extent=(start - 0.5, start + ticks - 0.5, -0.5, units - 0.5),
        cmap="RdBu_r" if signed else "viridis",
        vmin=-limit if signed else 0.0,
        vmax=limit,
    )
    ax.figure.colorbar(image, ax=ax, label="activity")
    ax.set(xlabel="tick", ylabel="unit")
    if title:
        ax.set_title(title)


def _draw_spectrum(ax: Axes, power: FloatArray, velocity: float) -> None:
    ticks, units = power.shape
    shifted = np.fft.fftshift(power)
    top = float(shifted.max()) or 1.0
    waves, frequencies = (np.fft.fftshift(np.fft.fftfreq(n)) for n in (units, ticks))
    image = ax.imshow(
        np.log10(np.maximum(shifted / top, 10.0**-_DECADES)),
        aspect="auto",
        origin="lower",
        extent=(*_edges(waves), *_edges(frequencies)),
        cmap="magma",
    )
    ax.figure.colorbar(image, ax=ax, label="log10 of relative power")
    wave = np.linspace(-0.5, 0.5, 2001)
    line = (-velocity * wave + 0.5) % 1.0 - 0.5
    told = f"{velocity:.3f} units per tick" if np.isfinite(velocity) else "no velocity"
    line[np.flatnonzero(np.abs(np.diff(line)) > 0.5)] = np.nan
    ax.plot(wave, line, "--", color="white", linewidth=1.0, label=told)
    ax.set(
        xlabel="wave number (cycles per unit)",
        ylabel="frequency (cycles per tick)",
        xlim=_edges(waves),
        ylim=_edges(frequencies),
    )
    legend = ax.legend(loc="upper right", facecolor="black", framealpha=0.6)
    for text in legend.get_texts():
        text.set_color("white")


def _edges(places: FloatArray) -> tuple[float, float]:
    half = 0.5 / len(places)
    return float(places[0]) - half, float(places[-1]) + half
