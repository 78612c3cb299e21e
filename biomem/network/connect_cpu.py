"""Drawing of large patterns, compiled: the draws of `biomem.network.connect`, bit for bit."""

from __future__ import annotations

import math

import numpy as np

from biomem.backends.borrow import borrow
from biomem.backends.jit import njit
from biomem.engine.random import BUILD_TICK, Stream
from biomem.engine.random_cpu import below
from biomem.engine.random_vectors_cpu import LANES, draw_row64
from biomem.network.gaps import GAP_BLOCK
from biomem.network.sources_cpu import gap_of

__all__ = ["count", "draw_below", "draw_by_gaps", "set_bits"]

NET_CONNECT = int(Stream.NET_CONNECT)
FEW = 2 * LANES
"""Words of one vector of ciphers."""


@njit(cache=True)
def draw_below(key, rows, first, n, out):
    """Fill row ``i`` of `out` with integers below `n`, from the words of entity ``rows[i]``."""
    k, half = out.shape[1], np.uint64(32)
    # Two words of 32 bits in each; whole vectors of ciphers, the last of them partly in vain.
    u = np.empty(((k + 1) // 2 + FEW - 1) // FEW * FEW, np.uint64)
    for i in range(rows.shape[0]):
        draw_row64(u, key, NET_CONNECT, rows[i], first, BUILD_TICK)
        for j in range(k):
            # The first of two words is the upper half.
            out[i, j] = below(np.uint32(u[j >> 1] >> (half * np.uint64(1 - (j & 1)))), n)


@njit(cache=True)
def draw_by_gaps(key, n_pre, n_post, table, guide, apart, indptr, target):
    """Connect pairs by the gaps between them; `apart` leaves out a unit with itself.

    Fills `indptr`, and `target` as far as it reaches; returns the number of connections.
    """
    table, guide, indptr, target = borrow((table, guide, indptr, target))
    # Of what most rows take, in one go; then a few at a time.
    mean = n_post * (1.0 - np.float64(table[0]) * 2.0**-64) + n_post / GAP_BLOCK
    most = (np.int64(mean + 2.0 * math.sqrt(mean)) // FEW + 1) * FEW
    u = np.empty(most, np.uint64)
    found, room = 0, target.shape[0]
    for i in range(n_pre):
        place, drawn, own = -1, 0, i if apart else -1
        while place < n_post:
            n = most if drawn == 0 else FEW
            draw_row64(u[:n], key, NET_CONNECT, i, drawn // 2, BUILD_TICK)
            drawn += n
            for k in range(n):
                gap = gap_of(table, guide, u[k])
                place += abs(gap)
                if place >= n_post:
                    break
                if found < room:
                    target[found] = place
                found += (gap > 0) & (place != own)
        indptr[i + 1] = found
    return found


@njit(cache=True)
def count(target, counts):
    """Count the synapses of every target."""
    for k in range(target.shape[0]):
        counts[target[k]] += 1


@njit(cache=True)
def set_bits(indptr, target, rows):
    """Set the bit of every target in its source's row, the lowest of a byte first."""
    for s in range(rows.shape[0]):
        row = rows[s]
        for k in range(indptr[s], indptr[s + 1]):
            row[target[k] >> 3] |= np.uint8(1 << (target[k] & 7))
