"""Separation of different inputs, and generalisation over alike ones.

Sources: W. Maass, T. Natschlaeger, H. Markram, Neural Comput. 14 (2002) 2531; R. Legenstein,
W. Maass, Neural Netw. 20 (2007) 323 (ranks: their difference predicts computing capability).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from biomem.errors import InputError, ParameterError

__all__ = ["rank", "separation"]


def rank(states: ArrayLike, tolerance: str | float = "precision") -> int:
    """Return the rank of final states.

    Of different inputs it is the kernel rank, of one input with jitter the generalisation rank: a
    good liquid has a high kernel rank and a low generalisation rank.

    Parameters
    ----------
    states : array, shape ``(inputs, neuron)``
    tolerance : {"precision"} or float
        Singular values count above ``s_1 max(shape) eps``, or above this share of ``s_1``.
    """
    s = np.asarray(states, np.float64)
    if s.ndim != 2 or not s.size or not np.isfinite(s).all():
        raise InputError(f"rank: states must be finite, of shape (inputs, neuron), got {s.shape}")
    values = np.linalg.svd(s, compute_uv=False)
    if not values[0]:
        return 0
    if tolerance == "precision":
        share = max(s.shape) * np.finfo(np.float64).eps
    elif isinstance(tolerance, int | float) and 0 < tolerance < 1:
        share = float(tolerance)
    else:
        raise ParameterError(f"rank: tolerance must be 'precision' or in (0, 1), got {tolerance!r}")
    return int((values > share * values[0]).sum())


def separation(u: ArrayLike, v: ArrayLike, dt: float, tau: float = 5e-3) -> float:
    """Return the mean distance of two trajectories of filtered spikes, from pairs of inputs.

    Spikes are filtered with an exponential; distances are Euclidean over neurons, averaged over
    time and pairs. To be read as a curve over the distance of the inputs, and beside the value of
    inputs that differ by jitter alone.

    Parameters
    ----------
    u, v : bool arrays, shape ``(time, batch, neuron)``
    dt, tau : float
        s.
    """
    from scipy.signal import lfilter

    a, b = np.asarray(u, np.float64), np.asarray(v, np.float64)
    if a.shape != b.shape or a.ndim != 3 or not a.size:
        raise InputError(
            f"separation: u and v must have one shape (time, batch, neuron), got {a.shape} and "
            f"{b.shape}"
        )
    if not (dt > 0 and tau > 0):
        raise ParameterError(f"separation: dt and tau must be > 0 s, got {dt} and {tau}")
    filtered = lfilter([1.0], [1.0, -np.exp(-dt / tau)], a - b, axis=0)
    return float(np.sqrt((filtered**2).sum(axis=2)).mean())
