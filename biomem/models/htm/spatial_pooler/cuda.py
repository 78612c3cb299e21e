"""Spatial Pooler on a GPU: overlaps and winners of many streams at once, integers throughout.

One block per stream, for some 256 streams and more; below that a CPU core is faster. What the
streams learn stays on the host. Sums are of integers and every stream's winners are written in
ascending order by position, so that no scheduling of threads can change a result: they equal
`biomem.models.htm.spatial_pooler.model` exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda, int32

from biomem.backends import namespace
from biomem.backends.cuda import Launch, device_kernel

__all__ = ["sp_inhibit", "sp_overlap", "winners"]

THREADS = 128
"""Threads of a block; `sp_inhibit` takes no more, for its shared counts."""


def _overlap_reference(
    connected: np.ndarray, active_inputs: np.ndarray, counts: np.ndarray, overlaps: np.ndarray
) -> None:
    for b, n in enumerate(counts):
        rows = connected[b if len(connected) > 1 else 0]
        overlaps[b] = rows[active_inputs[b, :n]].sum(axis=0, dtype=np.int32)


def _overlap_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    streams, inputs, columns = 3, 40, 70
    own = 1 if seed % 2 else streams
    args = (
        (draw.random((own, inputs, columns)) < 0.5).astype(np.uint8),
        np.stack([np.sort(draw.permutation(inputs)[:9]) for _ in range(streams)]).astype(np.int32),
        draw.integers(0, 10, streams).astype(np.int32),
        np.full((streams, columns), -1, np.int32),
    )
    return Launch(blocks=2, threads=16, args=args)


@device_kernel(
    "sp_overlap",
    "void(uint8[:, :, ::1], int32[:, ::1], int32[::1], int32[:, ::1])",
    reference=_overlap_reference,
    case=_overlap_case,
)
def sp_overlap(connected, active_inputs, counts, overlaps):
    """Sum the connection rows of each stream's active inputs; one matrix may serve all streams."""
    for b in range(cuda.blockIdx.x, overlaps.shape[0], cuda.gridDim.x):
        row = b if connected.shape[0] > 1 else 0
        for c in range(cuda.threadIdx.x, overlaps.shape[1], cuda.blockDim.x):
            total = int32(0)
            for j in range(counts[b]):
                total += int32(connected[row, active_inputs[b, j], c])
            overlaps[b, c] = total


def _inhibit_reference(
    keys: np.ndarray, k: int, floor: int, winners: np.ndarray, counts: np.ndarray
) -> None:
    for b, row in enumerate(keys):
        first = np.argsort(-row.astype(np.int64), kind="stable")[:k]
        won = np.sort(first[row[first] >= floor])
        winners[b, : len(won)], winners[b, len(won) :], counts[b] = won, -1, len(won)


def _inhibit_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    streams, columns, k = 5, 75, 12
    keys = draw.integers(0, 9 if seed % 2 else 2**31, (streams, columns)).astype(np.int32)
    keys[0] = 3  # all tied
    keys[1, 5:] = 0  # fewer above the floor than may win
    args = (
        keys,
        np.int64(k),
        np.int64(1),
        np.full((streams, k), 7, np.int32),
        np.zeros(streams, np.int32),
    )
    return Launch(blocks=2, threads=8, args=args)


@cuda.jit(device=True)
def _least(a, b):
    # The built-in min does not compile to PTX in every numba.
    return a if a < b else b


@cuda.jit(device=True)
def _count_reaching(keys, b, bar, total):
    """Count the keys of stream `b` that reach `bar`, with the whole block."""
    if cuda.threadIdx.x == 0:
        total[0] = 0
    cuda.syncthreads()
    mine = int32(0)
    for c in range(cuda.threadIdx.x, keys.shape[1], cuda.blockDim.x):
        if keys[b, c] >= bar:
            mine += int32(1)
    cuda.atomic.add(total, 0, mine)
    cuda.syncthreads()
    found = total[0]
    cuda.syncthreads()
    return found


@device_kernel(
    "sp_inhibit",
    "void(int32[:, ::1], int64, int64, int32[:, ::1], int32[::1])",
    reference=_inhibit_reference,
    case=_inhibit_case,
)
def sp_inhibit(keys, k, floor, winners, counts):
    """Write the `k` columns first by (key descending, index ascending), less those below `floor`.

    Keys are >= 0: overlaps, or boosted overlaps as the bits of a float32, which order alike.
    """
    total = cuda.shared.array(1, int32)
    above = cuda.shared.array(THREADS, int32)
    equal = cuda.shared.array(THREADS, int32)
    thread, threads, columns = cuda.threadIdx.x, cuda.blockDim.x, keys.shape[1]
    share = (columns + threads - 1) // threads
    first = _least(thread * share, columns)
    last = _least(first + share, columns)
    for b in range(cuda.blockIdx.x, keys.shape[0], cuda.gridDim.x):
        low, high = 0, 1 << 31
        while high - low > 1:
            middle = (low + high) >> 1
            if _count_reaching(keys, b, middle, total) >= k:
                low = middle
            else:
                high = middle
        ties = k - _count_reaching(keys, b, low + 1, total)
        bar = low + 1
        if low < floor:
            bar, ties = floor, 0
        above[thread] = 0
        equal[thread] = 0
        for c in range(first, last):
            if keys[b, c] >= bar:
                above[thread] += 1
            elif keys[b, c] == low:
                equal[thread] += 1
        cuda.syncthreads()
        n_above, n_equal = 0, 0
        for other in range(thread):
            n_above += above[other]
            n_equal += equal[other]
        for c in range(first, last):
            if keys[b, c] >= bar:
                winners[b, n_above + _least(n_equal, ties)] = c
                n_above += 1
            elif keys[b, c] == low:
                if n_equal < ties:
                    winners[b, n_above + n_equal] = c
                n_equal += 1
        if thread == threads - 1:
            n = n_above + _least(n_equal, ties)
            counts[b] = n
            for i in range(n, winners.shape[1]):
                winners[b, i] = -1
        cuda.syncthreads()


def winners(
    connected: Any, active_inputs: Any, counts: Any, k: int, stimulus: int = 0
) -> tuple[Any, Any]:
    """Return the winning columns of every stream, without boosting.

    Parameters
    ----------
    connected : uint8 array on the device, shape ``(streams or 1, input, column)``
    active_inputs : int32 array, shape ``(streams, most)``
        Of each row the first ``counts[b]`` are read.
    counts : int32 array, shape ``(streams,)``
    k : int
        Winners per stream.
    stimulus : int
        Smallest overlap that may win.

    Returns
    -------
    columns : int32 array, shape ``(streams, k)``
        Ascending, padded with -1.
    n : int32 array, shape ``(streams,)``
    """
    xp, streams = namespace(connected), len(active_inputs)
    overlaps = xp.empty((streams, connected.shape[2]), dtype=xp.int32)
    columns, n = xp.empty((streams, k), dtype=xp.int32), xp.empty(streams, dtype=xp.int32)
    sp_overlap[streams, THREADS](connected, active_inputs, counts, overlaps)
    sp_inhibit[streams, THREADS](overlaps, k, stimulus, columns, n)
    return columns, n
