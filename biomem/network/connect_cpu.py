"""Drawing of large patterns, compiled: the draws of `biomem.network.connect`, bit for bit."""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import positions
from biomem.engine.random import BUILD_TICK, Stream
from biomem.engine.random_cpu import below, words

__all__ = ["draw_below", "draw_pairs"]

NET_CONNECT = int(Stream.NET_CONNECT)


@njit(cache=True)
def _four(key, entity, first, c0, c1, c2, c3):
    """Draw the words of one entity, the first of every four in `c0`, and so on."""
    # Nothing but ciphers in the loop, so several run in one vector.
    for block in range(c0.shape[0]):
        c0[block], c1[block], c2[block], c3[block] = words(
            key, NET_CONNECT, entity, first + block, BUILD_TICK
        )


@njit(cache=True)
def draw_below(key, rows, first, n, out):
    """Fill row ``i`` of `out` with integers below `n`, from the words of entity ``rows[i]``."""
    k, limit = out.shape[1], np.uint64(n)
    w = np.empty((4, (k + 3) // 4), np.uint32)
    for i in range(rows.shape[0]):
        _four(key, rows[i], first, w[0], w[1], w[2], w[3])
        for j in range(k):
            out[i, j] = below(w[j & 3, j >> 2], limit)


@njit(cache=True)
def draw_pairs(key, n_pre, n_post, bar, apart, indptr, target):
    """Connect every pair whose word lies below `bar`; `apart` leaves out a unit with itself.

    Fills `indptr`, and `target` as far as it reaches; returns the number of connections.
    """
    w = np.empty((4, (n_post + 3) // 4), np.uint32)
    packed = np.empty(w.shape[1], np.uint32)
    hits = packed.view(np.bool_)[:n_post]
    ids = np.empty(n_post, np.uint32)
    found, room = 0, target.shape[0]
    for i in range(n_pre):
        _four(key, i, 0, w[0], w[1], w[2], w[3])
        for block in range(w.shape[1]):
            # Four flags in a word, lowest byte first, as they lie in memory.
            packed[block] = (
                np.uint32(w[0, block] < bar)
                | np.uint32(w[1, block] < bar) << np.uint32(8)
                | np.uint32(w[2, block] < bar) << np.uint32(16)
                | np.uint32(w[3, block] < bar) << np.uint32(24)
            )
        if apart:
            hits[i] = False
        n = positions(hits, ids)
        if found + n <= room:
            for j in range(n):
                target[found + j] = ids[j]
        found += n
        indptr[i + 1] = found
    return found
