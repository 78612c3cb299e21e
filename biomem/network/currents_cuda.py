"""Currents from outside, on a GPU: one thread per target and stream, sources in order.

The sums are of floats, so their order counts: every target adds its sources as the reference does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import cuda, int64

from biomem.backends.cuda import Launch, device_kernel
from biomem.network import tables as t
from biomem.network.cuda_cases import drawn, example
from biomem.network.deliver import deliver_currents
from biomem.network.membrane_cuda import product
from biomem.network.model import SpikingNetwork

__all__ = ["ByTarget", "by_target", "net_currents"]

N, OWN, PRE, POST, SYN_WEIGHT = t.N, t.OWN, t.PRE, t.POST, t.SYN_WEIGHT


class ByTarget(NamedTuple):
    """The synapses of one projection by target, sources ascending.

    Attributes
    ----------
    ptr : int64 array, shape ``(targets + 1,)``
    source, synapse : uint32 and int64 arrays
    """

    ptr: Any
    source: Any
    synapse: Any


def by_target(net: SpikingNetwork, number: int) -> ByTarget:
    """Return the synapses of a projection of stored weights by target."""
    q = net.layout.projections[number]
    n_pre, n_post = net.layout.populations[q.pre].n, net.layout.populations[q.post].n
    if q.form == "dense":  # an index, if there was one, has become a matrix
        source, target = np.divmod(np.arange(n_pre * n_post), n_post)
    else:
        indptr, target = net.layout.index(q)
        source = np.repeat(np.arange(n_pre), np.diff(indptr))
    order = np.argsort(target, kind="stable")
    counts = np.bincount(target, minlength=n_post)
    ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    return ByTarget(ptr, source[order].astype(np.uint32), order.astype(np.int64))


def _currents_reference(
    populations: np.ndarray,
    projections: np.ndarray,
    number: int,
    k: int,
    xs: np.ndarray,
    ptr: np.ndarray,
    source: np.ndarray,
    synapse: np.ndarray,
    graded: np.ndarray,
    outside: np.ndarray,
) -> None:
    net = example()
    q = net.layout.projections[number]
    pre = net.layout.populations[q.pre]
    deliver_currents(net, q, xs[k, :, pre.own : pre.own + pre.n], outside)


def _currents_case(seed: int) -> Launch:
    net = example()
    _, spikes, draw = drawn(seed)
    tables, sizes = t.tables_of(net), net.layout.sizes
    graded = [q.number for q in net.layout.projections if q.graded]
    number = graded[seed % len(graded)]
    args = (
        tables.populations,
        tables.projections,
        np.int64(number),
        np.int64(2),
        draw.normal(size=(*spikes.shape[:2], sizes["input"])),
        *by_target(net, number),
        tables.graded,
        draw.normal(size=(spikes.shape[1], sizes["neuron"])),
    )
    return Launch(blocks=2, threads=3, args=args)


@device_kernel(
    "net_currents",
    "void(int64[:, ::1], int64[:, ::1], int64, int64, float64[:, :, ::1], int64[::1], "
    "uint32[::1], int64[::1], float64[::1], float64[:, ::1])",
    reference=_currents_reference,
    case=_currents_case,
)
def net_currents(
    populations, projections, number, k, xs, ptr, source, synapse, graded, outside
):  # fmt: skip
    """Add currents from outside to their targets, source by source: one thread per target."""
    q = projections[number]
    n, real = populations[q[POST], N], outside.dtype.type
    for job in range(cuda.grid(1), n * outside.shape[0], cuda.gridsize(1)):
        b, i = job // n, job % n
        total = outside[b, populations[q[POST], OWN] + i]
        for j in range(ptr[i], ptr[i + 1]):
            x = xs[k, b, populations[q[PRE], OWN] + int64(source[j])]
            total = total + real(product(x, graded[q[SYN_WEIGHT] + synapse[j]]))
        outside[b, populations[q[POST], OWN] + i] = total
