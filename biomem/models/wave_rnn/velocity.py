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

_TWO, _THREE = np.array([0.0, 1.0]), np.array([-1.0, 0.0, 1.0])
"""Places of the taps that are fitted, in units from where the frame takes a pattern."""

_TAP = 2.0
"""Weight of a tap in the information criterion, above the usual 1, as several frames are tried: at
1, every two-hundredth ring that has two taps passes for one of three by chance."""

_EXACT = 1e-20
"""Share of the power left unexplained, below which fits are equally good."""

_ROUNDS = 3
"""Times the frame at the line is moved on to the velocity found in it; it stands still by then."""

_FARTHEST = 0.5
"""Units per tick between the line and what counts as a refinement of it."""


class WaveVelocity(NamedTuple):
    """Result of `wave_velocity`.

    Attributes
    ----------
    velocity : array, shape of the axes between time and unit; a float without any
        Units per tick, positive toward larger index: `line`, refined. NaN for a ring that never
        changes.
    score : array, same shape
        Share of the power on the line, in [0, 1]; activity without waves scores about one over the
        number of ticks, sampled waves about one third, as the window spreads a line over three
        bins or so.
    scores : array, shape ``(*same, 801)``
        Score of every velocity tried, `VELOCITIES`.
    line : array, shape of `velocity`
        The velocity among `VELOCITIES` whose line scores highest.
    """

    velocity: FloatArray
    score: FloatArray
    scores: FloatArray
    line: FloatArray


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
    x = _moving_part(h)
    power = np.abs(np.fft.fft2(x * np.hanning(x.shape[-2])[:, None])) ** 2
    total = power.sum(axis=-2, keepdims=True)
    return np.divide(power, total, out=np.zeros_like(power), where=total > 0)


def _moving_part(h: ArrayLike) -> FloatArray:
    """Return the activity without each unit's mean over time, shape ``(..., time, unit)``."""
    given = np.asarray(h)
    if given.ndim < 2 or given.shape[0] < 4 or given.shape[-1] < 2 or given.dtype.kind not in "iuf":
        raise InputError(
            "wave_velocity: h must be numbers of shape (time >= 4, ..., unit >= 2), got "
            f"{given.dtype} of shape {given.shape}"
        )
    if not np.isfinite(given).all():
        raise InputError("wave_velocity: h must be finite; cut the run before it diverged")
    x = np.moveaxis(given.astype(np.float64), 0, -2)
    return x - x.mean(axis=-2, keepdims=True)


def wave_velocity(h: ArrayLike) -> WaveVelocity:
    """Return the velocity of travelling waves.

    A pattern ``g(i - v t)`` has its power where the frequency is ``-v`` times the wave number. The
    velocities from -2 to 2 are tried, 0.005 apart, and scored by the mean power on their line over
    all wave numbers but zero, interpolated between frequencies. The best is then refined by what
    one tick does. In a frame that moves with the wave, few taps are fitted by least squares, ::

        h_i(t + 1) = sum_j  u_j h_{i - j}(t)

    and the velocity is that of the frame and the mean place of the taps, ``sum j u_j / sum u_j``.
    Waves on a lattice have two taps, at the whole numbers beside their velocity (the one-way wave
    equation of the Wave-RNN), or three around one of them; patterns that move by parts of a unit
    unchanged have three around the line. What explains most counts, by a Bayesian information
    criterion that prefers two taps.

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
    On rings of 64 units driven by noise over 256 ticks, the result at velocities -1, -0.5, 0.25 and
    0 scatters by 0.001, 0.004, 0.004 and 0.002 (one standard deviation; one ring in 16,000 was off
    by more than 0.02), the line alone by 0, 0.023, 0.018 and 0.011. What the mean over time takes
    from the longest waves makes fractions seem faster, by 0.003 here. A third tap too small to be
    noticed (0.02 of 1) is made up for by the other two, and moves the result by up to 0.02.

    When not to use it: for fewer ticks than units, where lines lie closer than the frequencies
    (trust 1 / ticks), and for standing or sinusoidal activity of a single wave number, which has no
    one line.

    Examples
    --------
    >>> ring = np.random.default_rng(0).normal(size=32)
    >>> round(wave_velocity([np.roll(ring, -t) for t in range(100)]).velocity.item(), 3)
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
    score = scores.max(axis=-1)
    line = np.where(score > 0, VELOCITIES[scores.argmax(axis=-1)], np.nan)
    return WaveVelocity(_refine(_moving_part(h), line), score, scores, line)


def _refine(x: FloatArray, line: FloatArray) -> FloatArray:
    """Return the velocity of what one tick does to activity ``(..., time, unit)``, near `line`.

    In a frame of velocity c the fit reads ``exp(i k c) h(t + 1) = sum_j u_j exp(-i k j) h(t)`` for
    wave number k, so sums over time of neighbouring ticks are all it needs, whatever the frame.
    """
    ticks, units = x.shape[-2:]
    waves = slice(1, (units + 1) // 2)  # without the shortest, which shows no direction
    k = 2.0 * np.pi * np.fft.rfftfreq(units)[waves]
    modes = np.fft.rfft(x)[..., waves]
    now, then = modes[..., :-1, :], modes[..., 1:, :]
    weight = (np.abs(now) ** 2).sum(axis=-2)
    moved = (then * now.conj()).sum(axis=-2)
    power = (np.abs(then) ** 2).sum(axis=(-2, -1))
    numbers = 2 * (ticks - 1) * len(k)

    def fit(frame: FloatArray, taps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the velocity and the information criterion, less is better."""
        lags = np.cos(k[:, None, None] * (taps[:, None] - taps))
        gram = np.einsum("...k,kij->...ij", weight, lags)
        seen = moved * np.exp(1j * k * frame[..., None])
        right = (seen @ np.exp(1j * k[:, None] * taps)).real
        u = (np.linalg.pinv(gram, hermitian=True) @ right[..., None])[..., 0]
        left = np.maximum(1.0 - _ratio((u * right).sum(axis=-1), power), _EXACT)
        criterion = numbers * np.log(left) + _TAP * len(taps) * np.log(max(numbers, 1))
        return frame + _ratio(u @ taps, u.sum(axis=-1)), criterion

    around = line
    for _ in range(_ROUNDS):
        around, _ = fit(around, _THREE)
    whole = np.round(line)
    tried = [fit(frame, _THREE) for frame in (around, np.floor(line), np.ceil(line))]
    tried += [fit(frame, _TWO) for frame in (whole - 1, whole)]
    velocities, criteria = (np.stack(column) for column in zip(*tried, strict=True))
    velocity = np.take_along_axis(velocities, criteria.argmin(axis=0)[None], axis=0)[0]
    return np.where(np.abs(velocity - line) < _FARTHEST, velocity, line)


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


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
