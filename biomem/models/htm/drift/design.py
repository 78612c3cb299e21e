"""Limits of a sequential test from what its user can state, and what to expect of them.

Wald's limits for the error rates alpha and beta, and his lengths without overshoot::

    A = ln((1 - beta) / alpha)         B = ln(beta / (1 - alpha))
    E0[N] = ((1 - alpha) B + alpha A) / mu0      E1[N] = (beta B + (1 - beta) A) / mu1

A CUSUM is a test whose lower limit is 0. Restarted after every decision, either kind raises a
false alarm every ``E0[N] / alpha'`` records and finds a drift after ``E1[N] / power`` records, with
the true error rates. `passage` computes those from the law of an increment: chance and mean time
of leaving ``(B, A)``, which solve ``u(s) = g(s) + E[u(s + l)]``, collocated with piecewise linear
``u``. Siegmund's closed forms are here to compare with::

    alpha' = exp(-(A + 0.583 delta))
    ARL(h) = (e^h' - 1 - h') / (delta^2 / 2)     delay(h) = (h' - 1 + e^-h') / (delta^2 / 2)
    h' = h + 1.166 delta

Sources: Wald (1947); D. Siegmund, "Sequential Analysis" (1985), chapters II and X; the equation
for ``u`` is that of E. S. Page, Biometrika 41 (1954).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from biomem.errors import ParameterError
from biomem.models.htm.drift.increments import SequentialTest
from biomem.typing import FloatArray

__all__ = [
    "Design",
    "cusum_limit",
    "design",
    "guard",
    "passage",
    "siegmund_alpha",
    "siegmund_cusum",
    "sprt_alpha",
    "wald_lengths",
    "wald_limits",
]

_NODES, _NODES_DISCRETE = 301, 901
"""Nodes of the solution: a law of few values leaves steps in it, which need more."""

UNCLIPPED = 1e9
"""No increment counts for more, so that no sum ever overflows."""

_FEW = 50
_LOW_CUSUM, _HIGH_ALPHA = 5.0, 0.05
_STREAMS, _RECORDS, _CHUNK = 500, 2000, 500
_OVERSHOOT = 0.583
_SMALLEST_LIMIT = 2.0
_TOLERANCE = 1e-3


class Design(NamedTuple):
    """What to expect of a test with the limits `lower` and `upper`.

    Everything after the limits is None for a mixture, for whose law there is no such equation.
    `false_alarm_every` and `delay` are for a test that restarts after every decision, in records,
    and for a drift that meets a fresh start. That is the worst case for a CUSUM, but not for a
    repeated SPRT, which may have sunk towards its lower limit. With two sides they take both
    together, as if neither waited for the other; those of a repeated SPRT do, so that its alarms
    are up to twice as rare. `min_records` is not taken into account: it can only
    make false alarms rarer.
    """

    lower: float
    upper: float
    alpha: float | None = None
    power: float | None = None
    records_without_drift: float | None = None
    records_with_drift: float | None = None
    false_alarm_every: float | None = None
    delay: float | None = None


def wald_limits(alpha: float, beta: float) -> tuple[float, float]:
    """Return Wald's limits ``(B, A)``, lower and upper."""
    return math.log(beta / (1 - alpha)), math.log((1 - beta) / alpha)


def wald_lengths(alpha: float, beta: float, mean0: float, mean1: float) -> tuple[float, float]:
    """Return Wald's mean lengths ``(E0[N], E1[N])``, overshoot neglected.

    Parameters
    ----------
    mean0, mean1 : float
        Mean increment without drift (negative) and with it (positive).
    """
    lower, upper = wald_limits(alpha, beta)
    without = ((1 - alpha) * lower + alpha * upper) / mean0
    return without, (beta * lower + (1 - beta) * upper) / mean1


def siegmund_alpha(upper: float, delta: float) -> float:
    """Return the error rate of a test of a normal mean, overshoot of the upper limit included."""
    return math.exp(-(upper + _OVERSHOOT * delta))


def siegmund_cusum(limit: float, delta: float) -> tuple[float, float]:
    """Return records between false alarms, and to an alarm after a shift, of a normal mean."""
    h = limit + 2 * _OVERSHOOT * delta
    scale = delta * delta / 2
    return (math.exp(h) - 1 - h) / scale, (h - 1 + math.exp(-h)) / scale


def passage(
    increments: FloatArray, chances: FloatArray, lower: float, upper: float
) -> tuple[float, float]:
    """Return the chance that a walk from 0 ends at `upper` or above, and its mean length.

    It ends on leaving the open interval; at `lower` = 0, on the first return to 0 or below.

    Parameters
    ----------
    increments, chances : array, shape ``(n,)``
        Values of one step and their probabilities.
    """
    n = _NODES_DISCRETE if len(increments) < _FEW else _NODES
    nodes = np.linspace(lower, upper, n)
    gap = nodes[1] - nodes[0]
    to = nodes[:, None] + increments
    inside = (to > lower) & (to < upper)
    place = np.where(inside, (to - lower) / gap, 0.0)
    left = np.minimum(place.astype(np.int64), n - 2)
    share = np.where(inside, chances, 0.0)
    row = np.arange(n)[:, None] * n
    matrix = np.bincount(
        np.concatenate([(row + left).ravel(), (row + left + 1).ravel()]),
        np.concatenate([(share * (left + 1 - place)).ravel(), (share * (place - left)).ravel()]),
        n * n,
    ).reshape(n, n)
    leaves_above = np.where(to >= upper, chances, 0.0).sum(axis=1)
    known = np.stack([leaves_above, np.ones(n)], axis=1)
    solved = np.linalg.solve(np.eye(n) - matrix, known)
    return tuple(float(np.interp(0.0, nodes, column)) for column in solved.T)  # type: ignore[return-value]


@functools.lru_cache(maxsize=256)
def design(
    test: SequentialTest, signs: tuple[int, ...], lower: float, upper: float, clip: float
) -> Design:
    """Return what to expect of `test` with these limits, increments clipped at `clip`."""
    if len(test.effects) > 1:
        return Design(lower, upper)
    alarms, lengths = 0.0, []
    for sign in signs:
        each = []
        for drifted in (False, True):
            increments, chances = test.law(drifted=drifted, sign=sign)
            each += passage(np.clip(increments, -clip, clip), chances, lower, upper)
        lengths.append(each)
        alarms += each[0] / each[1]
    alpha, records0, power, records1 = lengths[0]
    return Design(
        lower,
        upper,
        alpha if len(signs) == 1 else sum(each[0] for each in lengths),
        power,
        records0,
        records1,
        1 / alarms if alarms > 0 else math.inf,
        records1 / power if power > 0 else math.inf,
    )


def _simulated(
    test: SequentialTest,
    signs: tuple[int, ...],
    lower: float,
    upper: float,
    clip: float | None,
    agree: int,
) -> float:
    """Return records between false alarms, simulated with numbers that never change."""
    from biomem.engine.random import Rng, Stream
    from biomem.models.htm.drift import cpu
    from biomem.models.htm.drift import model as reference

    u, chances = test.values(drifted=False)
    edges = np.cumsum(chances)[:-1]
    rules = reference.Rules(lower, upper, guard(upper, clip, agree), 1, lower == 0, True)
    state = reference.initial(_STREAMS, len(signs), len(test.effects))
    xs = np.ones((_CHUNK, _STREAMS, 2))
    rng = Rng(0)
    for tick in range(0, _RECORDS, _CHUNK):
        drawn = rng.uniform(Stream.INIT, np.arange(_CHUNK * _STREAMS), tick)
        xs[..., 0] = u[np.searchsorted(edges, drawn, side="right")].reshape(_CHUNK, _STREAMS)
        cpu.advance(test.coefficients(signs), rules, np.array(signs), state, xs, tick)
    return _RECORDS * _STREAMS / max(int(state.drifts.sum()), 1)


def _reach(target: float, first: float, length: Callable[[float], float]) -> float:
    """Return the least limit with ``length(limit) >= target``; lengths grow about as ``e^limit``.

    A law of few values makes `length` a staircase, so steps of Newton's kind stay in a bracket.
    """
    low, high, limit = _SMALLEST_LIMIT, math.inf, first
    while high - low > _TOLERANCE:
        change = math.log(target / length(limit))
        low, high = (limit, high) if change > 0 else (low, limit)
        if abs(change) < _TOLERANCE:
            return limit
        limit += change
        if not low < limit < high:
            limit = (low + high) / 2
    return high


def guard(limit: float, clip: float | None, agree: int = 2) -> float:
    """Return the largest increment: `clip`, and so little that `agree` of them make `limit`."""
    if clip is None:
        return UNCLIPPED
    return min(clip, limit / agree)


@functools.lru_cache(maxsize=256)
def cusum_limit(
    test: SequentialTest,
    signs: tuple[int, ...],
    false_alarm_every: float,
    clip: float | None,
    agree: int = 2,
) -> float:
    """Return the limit `h` of a CUSUM with this many records between false alarms.

    For a mixture it comes from a simulation of a million records with a low limit, and from there
    as ``e^limit``, the law by which a likelihood ratio gets rarer.

    Raises
    ------
    ParameterError
        So frequent an alarm that no limit above zero gives it.
    """
    if len(test.effects) > 1:
        low = _LOW_CUSUM
        gap = math.log(false_alarm_every / _simulated(test, signs, 0.0, low, clip, agree))
        return max(_SMALLEST_LIMIT, low + gap)

    def length(limit: float) -> float:
        found = design(test, signs, 0.0, limit, guard(limit, clip, agree)).false_alarm_every
        assert found is not None
        return found

    if length(_SMALLEST_LIMIT) > false_alarm_every:
        raise ParameterError(
            f"false_alarm_every must be above {length(_SMALLEST_LIMIT):.3g} records for {test!r}, "
            f"got {false_alarm_every!r}; ask for fewer false alarms, or for a smaller shift"
        )
    return _reach(false_alarm_every, math.log(len(signs) * false_alarm_every) - 2.0, length)


@functools.lru_cache(maxsize=256)
def sprt_alpha(
    test: SequentialTest,
    signs: tuple[int, ...],
    false_alarm_every: float,
    beta: float,
    clip: float | None,
    agree: int = 2,
) -> float:
    """Return the `alpha` of a repeated test with this many records between false alarms.

    For a mixture, and for two sides, which wait for each other, it comes from a simulation as in
    `cusum_limit`.
    """
    sides = len(signs)
    if len(test.effects) > 1 or sides > 1:
        lower, upper = wald_limits(_HIGH_ALPHA / sides, beta)
        length = _simulated(test, signs, lower, upper, clip, agree)
        return min(math.exp(-_SMALLEST_LIMIT), _HIGH_ALPHA * length / false_alarm_every)

    def every(logarithm: float) -> float:
        lower, upper = wald_limits(math.exp(-logarithm) / sides, beta)
        found = design(test, signs, lower, upper, guard(upper, clip, agree)).false_alarm_every
        assert found is not None
        return found

    least = _SMALLEST_LIMIT
    if every(least) > false_alarm_every:
        raise ParameterError(
            f"false_alarm_every must be above {every(least):.3g} records for {test!r}, got "
            f"{false_alarm_every!r}; ask for fewer false alarms, or a larger beta"
        )
    first = math.log(false_alarm_every) / 2 + 1
    return math.exp(-max(least, _reach(false_alarm_every, first, every)))
