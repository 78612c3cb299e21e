"""How fast waves travel: measured from activity, and read from kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from biomem.errors import InputError
from biomem.typing import FloatArray

__all__ = ["WaveVelocity", "kernel_velocity", "spectrum", "wave_velocity"]

VELOCITIES = np.arange(-400, 401) * 0.005
"""The velocities that are tried, units per tick."""


class WaveVelocity(NamedTuple):
    """Result of `wave_velocity`.

    Attributes
    ----------
    velocity : array, shape of the axes between time and unit; a float without any
        Units per tick, positive toward larger index.
    score : array, same shape
        Share of the power on the line of that velocity, in [0, 1]; activity without waves scores
        about one over the number of ticks, sampled waves about one third, as the window spreads
        a line over three bins or so.
    scores : array, shape ``(*same, 801)``
        Score of every velocity tried, `VELOCITIES`.
    """

    velocity: FloatArray
    score: FloatArray
    scores: FloatArray


def spectrum(h: ArrayLike) -> FloatArray:
    """Return the power of ring activity over frequency and wave number.

    The mean of each unit over time is removed, a Hann window laid over time, and the power of every
    wave number scaled to a sum of one, so that slow, strong patterns hide nothing.

    Parameters
    ----------
    h : array-like, shape ``(time, ..., unit)``

    Returns
    -------
    array, shape ``(..., time, unit)``
        Frequencies ``numpy.fft.fftfreq``, cycles per tick and cycles per unit. A wave number
        without power is zero.

    Raises
    ------
    InputError
        Fewer than 4 ticks or 2 units, or values that are not finite.
    """
    given = np.asarray(h)
    if given.ndim < 2 or given.shape[0] < 4 or given.shape[-1] < 2 or given.dtype.kind not in "iuf":
        raise InputError(
            "wave_velocity: h must be numbers of shape (time >= 4, ..., unit >= 2), got "
            f"{given.dtype} of shape {given.shape}"
        )
    if not np.isfinite(given).all():
        raise InputError("wave_velocity: h must be finite; cut the run before it diverged")
    x = np.moveaxis(given.astype(np.float64), 0, -2)
    x = x - x.mean(axis=-2, keepdims=True)
    power = np.abs(np.fft.fft2(x * np.hanning(x.shape[-2])[:, None])) ** 2
    total = power.sum(axis=-2, keepdims=True)
    return np.divide(power, total, out=np.zeros_like(power), where=total > 0)


def wave_velocity(h: ArrayLike) -> WaveVelocity:
    """Return the velocity whose line through frequency and wave number holds the most power.

    A pattern ``g(i - v t)`` has its power where the frequency is ``-v`` times the wave number. The
    velocities from -2 to 2 are tried, 0.005 apart, and scored by the mean power on their line over
    all wave numbers but zero, interpolated between frequencies.

    Parameters
    ----------
    h : array-like, shape ``(time, ..., unit)``
        Activity of rings, such as ``recording["h"]``; each ring on its own.

    Returns
    -------
    WaveVelocity

    Raises
    ------
    InputError
        Fewer than 4 ticks or 2 units, or values that are not finite.

    Notes
    -----
    On rings of 64 units driven by noise over 256 ticks the result is exact at velocity -1; at -0.5,
    where short waves diffuse away, it scatters by 0.013 (one standard deviation), and more ticks do
    not narrow that: average over rings.

    When not to use it: for fewer ticks than units, where lines lie closer than the frequencies
    (trust 1 / ticks), and for standing or sinusoidal activity of a single wave number, which has no
    one line.

    Examples
    --------
    >>> ring = np.random.default_rng(0).normal(size=32)
    >>> wave_velocity([np.roll(ring, -t) for t in range(100)]).velocity.item()
    -1.0
    """
    power = spectrum(h)
    ticks, units = power.shape[-2:]
    wave = np.fft.fftfreq(units)[1:]
    place = (-VELOCITIES[:, None] * wave) % 1.0 * ticks
    low = np.floor(place).astype(np.int64)
    part = place - low
    column = np.arange(1, units)
    on_line = power[..., low % ticks, column] * (1.0 - part)
    on_line += power[..., (low + 1) % ticks, column] * part
    scores = on_line.mean(axis=-1)
    best = scores.argmax(axis=-1)
    return WaveVelocity(VELOCITIES[best], scores.max(axis=-1), scores)


def kernel_velocity(u: ArrayLike) -> FloatArray:
    """Return the group velocity at long waves of each ring's kernel onto itself.

    It is minus the first moment of ``U[o, o, :]`` about the centre, over its sum: the shift kernel
    of velocity nu gives ``-nu``. Mixing between rings and the nonlinearity are left out.

    Parameters
    ----------
    u : array-like, shape ``(channel, channel, taps)`` or ``(channel, channel, unit, taps)``

    Returns
    -------
    array, shape ``(channel,)`` or ``(channel, unit)``
        Units per tick, positive toward larger index; NaN where the taps add up to zero.

    Examples
    --------
    >>> kernel_velocity([[[0.0, 0.25, 0.75]]]).tolist()
    [-0.75]
    """
    weights = np.asarray(u, dtype=np.float64)
    if weights.ndim not in (3, 4) or weights.shape[0] != weights.shape[1]:
        raise InputError(
            "kernel_velocity: u must have shape (channel, channel, taps) or (channel, channel, "
            f"unit, taps), got {weights.shape}"
        )
    own = weights[np.arange(len(weights)), np.arange(len(weights))]
    taps = own.shape[-1]
    total = own.sum(axis=-1)
    moment = own @ (np.arange(taps) - taps // 2)
    return np.divide(-moment, total, out=np.full_like(total, np.nan), where=total != 0)
