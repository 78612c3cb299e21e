"""Gaps of a Bernoulli process: how many trials pass until the next success.

Drawing the gap takes one random word per success, where drawing every trial takes one per trial:
sources that fire seldom, and patterns with few of their possible connections. The law is held as
integers, so the same on every machine.

Source: C. T. Fan, M. E. Muller, I. Rezucha, J. Am. Stat. Assoc. 57 (1962) 387.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAP_BLOCK", "GUIDE_BITS", "gap_guide", "gap_table", "gaps"]

GAP_BLOCK = 256
"""Trials that one draw covers."""

GUIDE_BITS = 10
"""Leading bits of a word by which the search for its gap begins."""


@functools.lru_cache(maxsize=256)
def gap_table(p: float) -> NDArray[np.uint64]:
    """Return ``q^m 2^64`` for m = 1 ... 256, ``q = 1 - p``: what a gap of more than m trials means.

    A gap is longer than ``m`` where a 64-bit word lies below entry ``m - 1``; with `Rng` words, a
    gap is drawn 256 trials at a time.
    """
    q = round((1.0 - p) * 2**64)
    survival, table = 1 << 64, []
    for _ in range(GAP_BLOCK):
        survival = survival * q >> 64
        table.append(min(survival, 2**64 - 1))
    entries = np.array(table, np.uint64)
    entries.flags.writeable = False
    return entries


def gap_guide(table: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Return, by the leading bits of a word, how many entries no word that has them reaches.

    The entries above a word are these and the few that follow, which a kernel looks through.
    """
    rest = np.uint64(64 - GUIDE_BITS)
    ends = (np.arange(1, 2**GUIDE_BITS + 1, dtype=np.uint64) << rest) - np.uint64(1)
    return (GAP_BLOCK - np.searchsorted(table[::-1], ends, side="right")).astype(np.uint16)


def gaps(table: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the trials to the next success by 64-bit words, or -256 where none is so near."""
    longer = GAP_BLOCK - np.searchsorted(table[::-1], words, side="right")
    return np.where(longer == GAP_BLOCK, -GAP_BLOCK, longer + 1)
