"""Who fires among the sources, and the list of those who fired; for kernels."""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.engine.random import Stream
from biomem.engine.random_cpu import words

__all__ = ["gather", "given", "poisson", "presented"]

NET_POISSON = int(Stream.NET_POISSON)
BLOCK = 64


@njit(cache=True)
def gather(fired, ids):
    """Write the numbers of those who fired, ascending; return how many there are."""
    n, found = fired.shape[0], 0
    whole = n - n % BLOCK
    for base in range(0, whole, BLOCK):
        some = np.uint8(0)
        for i in range(base, base + BLOCK):
            some |= np.uint8(fired[i])
        if some:
            # Written always and kept where it counts: no branch to mispredict.
            for i in range(base, base + BLOCK):
                ids[found] = i
                found += np.int64(fired[i])
    for i in range(whole, n):
        ids[found] = i
        found += np.int64(fired[i])
    return found


@njit(cache=True)
def presented(x, fired):
    """Take the spikes that come from outside."""
    for i in range(x.shape[0]):
        fired[i] = x[i] != 0


@njit(cache=True)
def draw_gap(key, table, unit, b, tick):
    """Return the ticks to the next spike, or -256 where none is so near."""
    w = words(key, NET_POISSON, unit, b, tick)
    u = np.uint64(w[0]) << np.uint64(32) | np.uint64(w[1])
    # The entries above u, which descend, counted without a branch.
    longer, step = 0, 128
    while step:
        longer += step * (table[longer + step - 1] > u)
        step >>= 1
    longer += table[longer] > u
    return -256 if longer == 256 else longer + 1


@njit(cache=True)
def poisson(key, unit, table, gap, b, tick, fired, ids):
    """Count every source's gap down; fire and draw anew where it ends."""
    for i in range(gap.shape[0]):
        fired[i] = (gap[i] == 1) | (gap[i] == -1)
    due = ids[: gather(fired, ids)]
    for i in due:
        fired[i] = gap[i] == 1
    for i in range(gap.shape[0]):
        gap[i] += np.int16(gap[i] < 0) - np.int16(gap[i] > 0)
    for i in due:
        gap[i] = draw_gap(key, table, unit + i, b, tick + 1)


@njit(cache=True)
def given(ticks, units, tick, fired):
    """Take the spikes of this tick from a spike array."""
    at = np.searchsorted(ticks, tick)
    while at < ticks.shape[0] and ticks[at] == tick:
        fired[units[at]] = True
        at += 1
