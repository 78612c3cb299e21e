"""Who fires among the sources, and the list of those who fired; for kernels."""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.engine.random import Stream
from biomem.engine.random_cpu import words

__all__ = ["gather", "given", "poisson", "presented"]

NET_POISSON = int(Stream.NET_POISSON)
EIGHT = 8
"""Flags looked at in one comparison: the bytes of a 64-bit word."""


@njit(cache=True)
def gather(fired, ids):
    """Write the numbers of those who fired, ascending; return how many there are."""
    n, found = fired.shape[0], 0
    whole = n - n % EIGHT
    groups = fired[:whole].view(np.uint64)
    for group in range(groups.shape[0]):
        if groups[group]:
            # Written always and kept where it counts: no branch to mispredict.
            for i in range(EIGHT * group, EIGHT * (group + 1)):
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
def draw_gaps(key, table, unit, b, tick, due, u, gap):
    """Draw the ticks to the next spike of those due, -256 where none is so near."""
    # Two loops: the first has no lookup in it, so several ciphers run in one vector.
    for k in range(due.shape[0]):
        w = words(key, NET_POISSON, unit + due[k], b, tick)
        u[k] = np.uint64(w[0]) << np.uint64(32) | np.uint64(w[1])
    for k in range(due.shape[0]):
        # The entries above u, which descend.
        longer, step = 0, 128
        while step:
            longer += step * (table[longer + step - 1] > u[k])
            step >>= 1
        longer += table[longer] > u[k]
        gap[due[k]] = -256 if longer == 256 else longer + 1


@njit(cache=True)
def poisson(key, unit, table, gap, b, tick, fired, ids, u):
    """Count every source's gap down; fire and draw anew where it ends."""
    for i in range(gap.shape[0]):
        fired[i] = (gap[i] == 1) | (gap[i] == -1)
    due = ids[: gather(fired, ids)]
    for i in due:
        fired[i] = gap[i] == 1
    for i in range(gap.shape[0]):
        gap[i] += np.int16(gap[i] < 0) - np.int16(gap[i] > 0)
    draw_gaps(key, table, unit, b, tick + 1, due, u, gap)


@njit(cache=True)
def given(ticks, units, tick, fired):
    """Take the spikes of this tick from a spike array."""
    at = np.searchsorted(ticks, tick)
    while at < ticks.shape[0] and ticks[at] == tick:
        fired[units[at]] = True
        at += 1
