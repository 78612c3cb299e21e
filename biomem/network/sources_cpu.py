"""Who fires among the sources; for kernels."""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import positions
from biomem.engine.random import Stream
from biomem.engine.random_vectors_cpu import draw64
from biomem.network.gaps import GAP_BLOCK, GUIDE_BITS
from biomem.network.simd_cpu import count_down

__all__ = ["gap_of", "given", "poisson", "presented"]

NET_POISSON = int(Stream.NET_POISSON)
REST = np.uint64(64 - GUIDE_BITS)


@njit(cache=True)
def presented(x, fired):
    """Take the spikes that come from outside."""
    for i in range(x.shape[0]):
        fired[i] = x[i] != 0


@njit(cache=True)
def gap_of(table, guide, u):
    """Return the trials to the next success by a 64-bit word, or -256 where none is so near."""
    # The entries above u, which descend: those that the guide knows of, and a few more.
    longer = np.int64(guide[u >> REST])
    while longer < GAP_BLOCK and table[longer] > u:
        longer += 1
    return -GAP_BLOCK if longer == GAP_BLOCK else longer + 1


@njit(cache=True)
def draw_gaps(key, table, guide, unit, b, tick, due, u, gap):
    """Draw the ticks to the next spike of those due, -256 where none is so near."""
    draw64(u[: due.shape[0]], key, NET_POISSON, unit, due, b, tick)
    for k in range(due.shape[0]):
        gap[due[k]] = gap_of(table, guide, u[k])


@njit(cache=True)
def poisson(key, unit, table, guide, gap, b, tick, fired, ids, u):
    """Count every source's gap down; fire and draw anew where it ends."""
    for i in range(count_down(gap, fired), gap.shape[0]):
        barren = gap[i] == -1
        fired[i] = barren or gap[i] == 1
        gap[i] = 1 if barren else gap[i] + np.int16(gap[i] < 0) - np.int16(gap[i] > 0)
    due = ids[: positions(fired, ids)]
    for i in due:
        fired[i] = gap[i] == 0
    draw_gaps(key, table, guide, unit, b, tick + 1, due, u, gap)


@njit(cache=True)
def given(ticks, units, tick, fired):
    """Take the spikes of this tick from a spike array."""
    at = np.searchsorted(ticks, tick)
    while at < ticks.shape[0] and ticks[at] == tick:
        fired[units[at]] = True
        at += 1
