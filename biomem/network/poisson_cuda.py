"""Poisson sources on a GPU: one thread per source and stream."""

from __future__ import annotations

import numpy as np
from numba import cuda

from biomem.backends.cuda import Launch, device_kernel
from biomem.engine.random import Stream
from biomem.engine.random_cuda import words
from biomem.network import tables as t
from biomem.network.cuda_cases import drawn, example
from biomem.network.gaps import GAP_BLOCK
from biomem.network.model import draw_gaps

__all__ = ["net_poisson"]

NET_POISSON = int(Stream.NET_POISSON)
N, UNIT, OWN = t.N, t.UNIT, t.OWN


def _poisson_reference(
    populations: np.ndarray,
    gaps: np.ndarray,
    number: int,
    k: int,
    tick: int,
    key: np.ndarray,
    gap: np.ndarray,
    spikes: np.ndarray,
) -> None:
    p = example().layout.populations[number]
    own = gap[:, p.own : p.own + p.n]
    spikes[k, :, p.unit : p.unit + p.n] = own == 1
    stream, unit = np.nonzero(np.abs(own) == 1)
    own -= np.sign(own)
    own[stream, unit] = draw_gaps(key, p, gaps[number], unit, stream, int(tick) + 1)


def _poisson_case(seed: int) -> Launch:
    net = example()
    state, spikes, draw = drawn(seed)
    tables = t.tables_of(net)
    gap = draw.integers(-2, 3, state.gap.shape).astype(np.int16)
    number = next(i for i, p in enumerate(net.layout.populations) if p.kind == "poisson")
    now = np.int64(draw.integers(2**40))
    args = (
        tables.populations,
        tables.gaps,
        np.int64(number),
        np.int64(2),
        now,
        state.key,
        gap,
        spikes,
    )
    return Launch(2, 5, args)


@device_kernel(
    "net_poisson",
    "void(int64[:, ::1], uint64[:, ::1], int64, int64, int64, uint64[::1], int16[:, ::1], "
    "boolean[:, :, ::1])",
    reference=_poisson_reference,
    case=_poisson_case,
)
def net_poisson(populations, gaps, number, k, tick, key, gap, spikes):
    """Count every source's gap down; fire and draw anew where it ends."""
    p, table = populations[number], gaps[number]
    n = p[N]
    for job in range(cuda.grid(1), n * gap.shape[0], cuda.gridsize(1)):
        b, i = job // n, job % n
        left = np.int64(gap[b, p[OWN] + i])
        spikes[k, b, p[UNIT] + i] = left == 1
        if left == 1 or left == -1:
            w0, w1, _, _ = words(key[0], NET_POISSON, p[UNIT] + i, b, tick + 1)
            u = np.uint64(w0) << np.uint64(32) | np.uint64(w1)
            low, high = 0, GAP_BLOCK
            while low < high:  # the entries above u, which descend
                middle = (low + high) >> 1
                if table[middle] > u:
                    low = middle + 1
                else:
                    high = middle
            left = -GAP_BLOCK if low == GAP_BLOCK else low + 1
        elif left > 0:
            left -= 1
        elif left < 0:
            left += 1
        gap[b, p[OWN] + i] = left
