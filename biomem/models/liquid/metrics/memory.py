"""What a reservoir remembers of its input, linearly and otherwise.

Sources: H. Jaeger, "Short term memory in echo state networks", GMD report 152 (2001); J. Dambre,
D. Verstraeten, B. Schrauwen, S. Massar, Sci. Rep. 2 (2012) 514.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import InputError

__all__ = ["information_processing_capacity", "memory_capacity"]

WASHOUT = 200


def memory_capacity(
    u: ArrayLike, states: ArrayLike, max_lag: int = 50, washout: int = WASHOUT
) -> NDArray[np.float64]:
    """Return the linear memory of every lag, in [0, 1]; its sum is the memory capacity.

    For each lag the squared correlation of the delayed input with the best linear read-out of the
    state. The read-out is fitted on the first half and judged on the second, so chance gives 0 and
    not (neurons / samples). The capacity of inputs that are independent and of one distribution
    cannot exceed the number of neurons.

    Parameters
    ----------
    u : array, shape ``(time,)``
        The input.
    states : array, shape ``(time, neuron)``
        The state after each input.
    max_lag : int
        Lags 1 ... max_lag.
    washout : int
        Ticks left out at the beginning.

    Returns
    -------
    array, shape ``(max_lag,)``
    """
    signal, x = _checked("memory_capacity", u, states, washout + max_lag)
    lags = np.arange(1, max_lag + 1)
    start = max(washout, max_lag)
    targets = np.stack([signal[start - k : len(signal) - k] for k in lags], axis=1)
    return _explained(x[start:], targets)


def information_processing_capacity(
    u: ArrayLike,
    states: ArrayLike,
    max_degree: int = 3,
    max_lag: int = 10,
    washout: int = WASHOUT,
) -> dict[int, float]:
    """Return the capacity of every degree: linear memory, then products of delayed inputs.

    Targets are products of Legendre polynomials of the input at different lags, orthogonal for an
    input uniform in [-1, 1]. Scores that chance could give (above the 99.99 % point of chi-squared
    over the samples judged) count, the others do not. The total is at most the number of neurons.

    Parameters
    ----------
    u : array, shape ``(time,)``
        Uniform in [-1, 1].
    states : array, shape ``(time, neuron)``
    max_degree, max_lag, washout : int
        The number of targets grows with ``max_lag ** max_degree``.
    """
    from scipy.special import eval_legendre
    from scipy.stats import chi2

    signal, x = _checked("information_processing_capacity", u, states, washout + max_lag)
    if np.abs(signal).max() > 1:
        raise InputError(
            "information_processing_capacity: u must lie in [-1, 1], got values up to "
            f"{np.abs(signal).max():g}; scale it"
        )
    start = max(washout, max_lag)
    delayed = np.stack([signal[start - k : len(signal) - k] for k in range(max_lag + 1)], axis=1)
    legendre = {d: eval_legendre(d, delayed) for d in range(1, max_degree + 1)}
    bar = chi2.ppf(0.9999, 1) / (len(delayed) - len(delayed) // 2)
    total: dict[int, float] = {}
    for degree in range(1, max_degree + 1):
        columns = [
            np.prod([legendre[power][:, lag] for lag, power in parts], axis=0)
            for parts in _products(degree, max_lag + 1)
        ]
        scores = _explained(x[start:], np.stack(columns, axis=1))
        total[degree] = float(scores[scores > bar].sum())
    return total


def _products(degree: int, lags: int) -> list[tuple[tuple[int, int], ...]]:
    """Return every way to share `degree` among different lags, as (lag, power) pairs."""
    return [
        tuple((lag, chosen.count(lag)) for lag in sorted(set(chosen)))
        for chosen in itertools.combinations_with_replacement(range(lags), degree)
    ]


def _explained(x: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared correlation of every target with its linear read-out, on held-out data."""
    half = len(x) // 2
    mean = x[:half].mean(axis=0)
    weights, *_ = np.linalg.lstsq(
        x[:half] - mean, targets[:half] - targets[:half].mean(axis=0), rcond=1e-10
    )
    found = (x[half:] - mean) @ weights
    found = found - found.mean(axis=0)
    wanted = targets[half:] - targets[half:].mean(axis=0)
    both = (found * wanted).sum(axis=0)
    power = (found**2).sum(axis=0) * (wanted**2).sum(axis=0)
    # A read-out that points the wrong way on new data knows nothing.
    score = np.where(both > 0, both**2, 0.0)
    return np.divide(score, power, out=np.zeros_like(power), where=power > 0)


def _checked(
    name: str, u: ArrayLike, states: ArrayLike, least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    signal, x = np.asarray(u, np.float64), np.asarray(states, np.float64)
    if signal.ndim != 1 or x.ndim != 2 or len(x) != len(signal):
        raise InputError(
            f"{name}: u must be (time,) and states (time, neuron), got {signal.shape} and {x.shape}"
        )
    if not (np.isfinite(signal).all() and np.isfinite(x).all()):
        raise InputError(f"{name}: u and states must be finite")
    if len(signal) < least + 4 * x.shape[1]:
        raise InputError(
            f"{name}: {len(signal)} ticks are too few for {x.shape[1]} neurons; take at least "
            f"{least + 4 * x.shape[1]}"
        )
    return signal, x
