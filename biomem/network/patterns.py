"""Patterns of connections, and how the rules of `biomem.network.connect` draw them.

A pattern is a CSR index by source: source ``i`` reaches ``target[indptr[i]:indptr[i + 1]]``,
ascending. Draws are functions of (seed, projection, source or target, number of the draw) alone,
and use integers only, so a pattern is the same on every machine. Large ones are drawn by
`biomem.network.connect_cpu`, with the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from biomem.backends import probe
from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream, below
from biomem.errors import ParameterError
from biomem.network.gaps import GAP_BLOCK, gap_guide, gap_table, gaps

__all__ = [
    "Ends",
    "Pattern",
    "by_gaps",
    "by_pairs",
    "by_source",
    "different",
    "in_degree",
    "threshold",
]

Probability: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float64] | float]

PAIRS_AT_ONCE = 1 << 22

COMPILED_ABOVE = 1 << 16
"""Draws from which loading the compiler's results is worth it."""


class Pattern(NamedTuple):
    """Connections by source, targets ascending within a source.

    Attributes
    ----------
    indptr : int64 array, shape ``(n_pre + 1,)``
    target : int32 array, shape ``(synapses,)``
    """

    indptr: NDArray[np.int64]
    target: NDArray[np.int32]


class Ends(NamedTuple):
    """The two populations a rule connects.

    Attributes
    ----------
    n_pre, n_post : int
    same : bool
        They are one and the same.
    pre, post : float arrays, shapes ``(n_pre, axes)`` and ``(n_post, axes)``, or None
        Positions.
    """

    n_pre: int
    n_post: int
    same: bool
    pre: NDArray[np.float64] | None
    post: NDArray[np.float64] | None


def threshold(p: float) -> np.uint64:
    """Return what a 32-bit word lies below with probability `p`, to 2^-32."""
    return np.uint64(round(p * 2**32))


def by_pairs(ends: Ends, rng: Rng, probability: Probability, autapses: bool) -> Pattern:
    """Connect every pair with its own probability, which is given by the numbers of sources."""
    counts, targets = [np.zeros(1, np.int64)], []
    blocks = np.arange(-(-ends.n_post // 4))
    at_once = max(1, PAIRS_AT_ONCE // max(ends.n_post, 1))
    for first in range(0, ends.n_pre, at_once):
        rows = np.arange(first, min(first + at_once, ends.n_pre))
        w = rng.words(Stream.NET_CONNECT, rows[:, None], batch=blocks)
        p = probability(rows)
        bar = threshold(p) if isinstance(p, float) else np.rint(p * 2.0**32).astype(np.uint64)
        hit = w.reshape(len(rows), -1)[:, : ends.n_post] < bar
        if ends.same and not autapses:
            hit[np.arange(len(rows)), rows] = False
        counts.append(hit.sum(axis=1))
        targets.append(np.nonzero(hit)[1].astype(np.int32))
    return Pattern(
        np.cumsum(np.concatenate(counts)),
        np.concatenate(targets) if targets else np.zeros(0, np.int32),
    )


def by_gaps(ends: Ends, rng: Rng, p: float, autapses: bool) -> Pattern:
    """Connect every pair with probability `p`; the time this takes grows with the connections."""
    if p == 0:
        return Pattern(np.zeros(ends.n_pre + 1, np.int64), np.zeros(0, np.int32))
    if ends.n_pre * ends.n_post > COMPILED_ABOVE and probe("numba").available:
        return _by_compiled_gaps(ends, rng, p, autapses)
    return _by_plain_gaps(ends, rng, p, autapses)


def _by_plain_gaps(ends: Ends, rng: Rng, p: float, autapses: bool) -> Pattern:
    """Walk along every source's targets, drawing how far it is to the next one."""
    table, block = gap_table(p), 0
    rows, place = np.arange(ends.n_pre), np.full(ends.n_pre, -1)
    sources, targets = [], []
    # Of half of what a row takes on average, so that few words are drawn in vain.
    at_once = 1 + int(ends.n_post * (p + 1 / GAP_BLOCK)) // 4
    while len(rows):
        batch = np.arange(block, block + at_once)
        w = rng.words(Stream.NET_CONNECT, rows[:, None], batch=batch).astype(np.uint64)
        w = w.reshape(len(rows), -1, 2)
        gap = gaps(table, w[..., 0] << np.uint64(32) | w[..., 1])
        places = place[:, None] + np.cumsum(np.abs(gap), axis=1)
        hit = (places < ends.n_post) & (gap > 0)
        if ends.same and not autapses:
            hit &= places != rows[:, None]
        sources.append(np.repeat(rows, hit.sum(axis=1)))
        targets.append(places[hit])
        more = places[:, -1] < ends.n_post
        rows, place, block = rows[more], places[more, -1], block + at_once
    target = np.concatenate(targets).astype(np.int32)
    return by_source(np.concatenate(sources), target, ends.n_pre)


def _by_compiled_gaps(ends: Ends, rng: Rng, p: float, autapses: bool) -> Pattern:
    from biomem.network.connect_cpu import draw_by_gaps

    pairs, table = ends.n_pre * ends.n_post, gap_table(p)
    indptr = np.zeros(ends.n_pre + 1, np.int64)
    # Six standard deviations above the mean: room enough but once in a billion.
    room = min(pairs, int(p * pairs + 6 * math.sqrt(p * (1 - p) * pairs)) + 1)
    while True:
        target = np.empty(room, np.int32)
        apart = ends.same and not autapses
        drawn = table, gap_guide(table), apart, indptr, target
        found = draw_by_gaps(np.uint64(rng.key), ends.n_pre, ends.n_post, *drawn)
        if found <= room:
            return Pattern(indptr, target[:found])
        room = found


def different(rule: Params, rows: int, n: int, k: int, hole: bool, rng: Rng) -> NDArray[np.int32]:
    """Draw `k` different of `n` for every row, ascending; with `hole`, never the row itself."""
    free = n - hole
    if k > free:
        raise ParameterError(
            f"{type(rule).__name__}.k must not exceed the {free} neurons to choose from, got {k}"
        )
    few = min(k, free - k)  # the smaller of the choice and of what it leaves out
    blocks = -(-few // 4)
    chosen = np.sort(_draws(rng, np.arange(rows), 0, blocks, few, free), axis=1)
    # A set of distinct draws stays uniform when repeats are drawn anew.
    rows_left, repeated = _with_repeats(np.arange(rows), chosen)
    first = 0
    while len(rows_left):
        first += blocks
        again = _draws(rng, rows_left, first, blocks, few, free)
        mended = np.sort(np.where(repeated, again, chosen[rows_left]), axis=1)
        chosen[rows_left] = mended
        rows_left, repeated = _with_repeats(rows_left, mended)
    if few < k:
        left_out = np.zeros((rows, free), bool)
        np.put_along_axis(left_out, chosen.astype(np.int64), True, axis=1)
        chosen = np.nonzero(~left_out)[1].astype(np.int32).reshape(rows, k)
    if hole:
        chosen += chosen >= np.arange(rows, dtype=np.int32)[:, None]
    return chosen


def _draws(
    rng: Rng, rows: NDArray[np.int64], first: int, blocks: int, k: int, n: int
) -> NDArray[np.int32]:
    if len(rows) * k > COMPILED_ABOVE and probe("numba").available:
        from biomem.network.connect_cpu import draw_below

        out = np.empty((len(rows), k), np.int32)
        draw_below(np.uint64(rng.key), rows, first, n, out)
        return out
    w = rng.words(Stream.NET_CONNECT, rows[:, None], batch=first + np.arange(blocks))
    return below(w.reshape(len(rows), 4 * blocks)[:, :k], max(n, 1)).astype(np.int32)


def _with_repeats(
    rows: NDArray[np.int64], ascending: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows in which a number repeats, and where."""
    repeated = np.zeros(ascending.shape, bool)
    repeated[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
    some = repeated.any(axis=1)
    return rows[some], repeated[some]


def by_source(source: NDArray[np.integer], target: NDArray[np.int32], n_pre: int) -> Pattern:
    """Return the pattern of connections given one by one."""
    order = np.argsort(source, kind="stable")
    counts = np.bincount(source, minlength=n_pre)
    return Pattern(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), target[order])


def in_degree(target: NDArray[np.integer], n_post: int) -> NDArray[np.int64]:
    """Return how many sources reach each target."""
    if len(target) > COMPILED_ABOVE and target.dtype == np.int32 and probe("numba").available:
        from biomem.network.connect_cpu import count

        counts = np.zeros(n_post, np.int64)
        count(target, counts)
        return counts
    return np.bincount(target, minlength=n_post)
