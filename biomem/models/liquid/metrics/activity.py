"""How activity spreads: branching, avalanches, neurons that never or always fire.

Sources: J. Wilting, V. Priesemann, Nat. Commun. 9 (2018) 2325 (multistep regression); J. M. Beggs,
D. Plenz, J. Neurosci. 23 (2003) 11167 (avalanches); A. Clauset, C. R. Shalizi, M. E. J. Newman,
SIAM Rev. 51 (2009) 661 (maximum likelihood of power laws).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import InputError

__all__ = ["avalanche_exponents", "avalanches", "branching_parameter", "silent_and_saturated"]


def branching_parameter(counts: ArrayLike, lags: int = 10) -> float:
    """Return the branching parameter: spikes in a tick per spike in the tick before.

    Regression slopes of the activity ``k`` ticks later on the activity now, over all runs, are
    fitted with ``b m^k``; ``m`` does not depend on how many neurons are observed, as a plain ratio
    of activities does. 1 is critical. External drive that fluctuates in common adds to it.

    Parameters
    ----------
    counts : array, shape ``(time,)`` or ``(time, batch)``
        Spikes of the population in every tick.
    lags : int
        Largest ``k``, >= 2.

    Returns
    -------
    float
        0 where activity never varies.
    """
    from scipy.optimize import least_squares

    a = np.asarray(counts, np.float64)
    a = a[:, None] if a.ndim == 1 else a
    if a.ndim != 2 or lags < 2 or len(a) < 2 * lags:
        raise InputError(
            f"branching_parameter: counts must hold at least {2 * max(lags, 2)} ticks, shape "
            f"(time,) or (time, batch), and lags be >= 2, got {a.shape} and lags={lags}"
        )
    # The mean over runs at a tick is what the common input causes; what is left is their own.
    a = a - a.mean(axis=1, keepdims=True) if a.shape[1] > 1 else a - a.mean()
    k = np.arange(1, lags + 1)
    now = [a[: len(a) - lag] for lag in k]
    power = np.array([(x**2).sum() for x in now])
    if not power.all():
        return 0.0
    slopes = np.array([(x * a[lag:]).sum() for lag, x in zip(k, now, strict=True)]) / power
    found = least_squares(
        lambda q: q[0] * q[1] ** k - slopes, x0=[1.0, 0.8], bounds=([0.0, 0.0], [np.inf, 2.0])
    )
    return float(found.x[1])


def avalanches(counts: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sizes (spikes) and durations (ticks) of the stretches of activity between silence.

    Parameters
    ----------
    counts : array, shape ``(time,)``
    """
    a = np.asarray(counts)
    if a.ndim != 1 or a.dtype.kind not in "biu":
        raise InputError(f"avalanches: counts must be integers, (time,), got {a.dtype} {a.shape}")
    active = np.concatenate([[False], a > 0, [False]])
    edges = np.flatnonzero(active[1:] != active[:-1])
    starts, stops = edges[::2], edges[1::2]
    total = np.concatenate([[0], np.cumsum(a, dtype=np.int64)])
    return total[stops] - total[starts], stops - starts


def avalanche_exponents(counts: ArrayLike, smallest: int = 1) -> tuple[float, float]:
    """Return the exponents of avalanche sizes and durations; 1.5 and 2 near criticality.

    Maximum likelihood of a discrete power law from `smallest` on. Not a test of whether there is a
    power law at all.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    def exponent(values: NDArray[np.int64]) -> float:
        tail = values[values >= smallest]
        if len(tail) < 10 or (tail == tail[0]).all():
            return float("nan")
        mean = float(np.log(tail).mean())
        found = minimize_scalar(
            lambda s: s * mean + np.log(zeta(s, smallest)), bounds=(1.01, 6.0), method="bounded"
        )
        return float(found.x)

    sizes, durations = avalanches(counts)
    return exponent(sizes), exponent(durations)


def silent_and_saturated(spikes: ArrayLike, saturated: float = 0.5) -> tuple[float, float]:
    """Return the shares of neurons that never fire, and that fire in more than half of all ticks.

    Parameters
    ----------
    spikes : bool array, shape ``(time, batch, neuron)``
    saturated : float
    """
    s = np.asarray(spikes)
    if s.ndim != 3 or not s.size:
        raise InputError(f"silent_and_saturated: spikes must be (time, batch, neuron): {s.shape}")
    rate = s.mean(axis=(0, 1))
    return float((rate == 0).mean()), float((rate > saturated).mean())
