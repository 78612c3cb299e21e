"""Pair STDP on a GPU: weights down by source, up by target, then the traces.

Three launches per projection and tick, since every weight reads the decayed traces from before the
spikes of the tick are added: `net_depress` and `net_potentiate` decay what they read themselves,
and `net_trace` writes the traces once nobody reads them any more.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, int64

from biomem.backends.cuda import Launch, device_kernel
from biomem.network import tables as t
from biomem.network.cuda_cases import drawn, example
from biomem.network.layout import settle
from biomem.network.membrane_cuda import product

__all__ = ["net_depress", "net_potentiate", "net_trace"]

N, UNIT, PRE, POST, INDPTR, SYN_TARGET = t.N, t.UNIT, t.PRE, t.POST, t.INDPTR, t.SYN_TARGET
PLASTIC, TRACE_PRE, TRACE_POST, INCOMING = t.PLASTIC, t.TRACE_PRE, t.TRACE_POST, t.INCOMING
KEEP_PRE, KEEP_POST, A_PLUS, A_MINUS = t.KEEP_PRE, t.KEEP_POST, t.A_PLUS, t.A_MINUS
W_MIN, W_MAX = t.W_MIN, t.W_MAX
TINY = t.TINY


@cuda.jit(device=True)
def _decayed(trace, keep):
    x = product(trace, keep)
    return x if x >= TINY else 0.0


def _ends(number: int, k: int, spikes: np.ndarray):
    """Return the projection, both ends of its synapses, and who fired at either end."""
    layout = example().layout
    q = layout.projections[number]
    pre, post = layout.populations[q.pre], layout.populations[q.post]
    indptr, target = layout.index(q)
    source = np.repeat(np.arange(pre.n), np.diff(indptr))
    fired_pre = spikes[k, :, pre.unit : pre.unit + pre.n]
    return q, source, target, fired_pre, spikes[k, :, post.unit : post.unit + post.n]


def _depress_reference(
    populations: np.ndarray,
    projections: np.ndarray,
    learning: np.ndarray,
    number: int,
    k: int,
    spikes: np.ndarray,
    indptr: np.ndarray,
    target: np.ndarray,
    trace_post: np.ndarray,
    plastic: np.ndarray,
) -> None:
    q, source, post, fired_pre, fired_post = _ends(number, k, spikes)
    stdp = q.projection.stdp
    assert stdp is not None
    traces = trace_post[:, q.trace_post : q.trace_post + fired_post.shape[1]]
    y = settle(traces * learning[number, KEEP_POST])[:, post]
    w = plastic[:, q.plastic : q.plastic + q.synapses]
    w[:] = np.where(fired_pre[:, source], np.maximum(w - stdp.a_minus * y, stdp.w_min), w)


def _potentiate_reference(
    populations: np.ndarray,
    projections: np.ndarray,
    learning: np.ndarray,
    number: int,
    k: int,
    spikes: np.ndarray,
    incoming_ptr: np.ndarray,
    incoming_source: np.ndarray,
    incoming_synapse: np.ndarray,
    trace_pre: np.ndarray,
    plastic: np.ndarray,
) -> None:
    q, source, post, fired_pre, fired_post = _ends(number, k, spikes)
    stdp = q.projection.stdp
    assert stdp is not None
    traces = trace_pre[:, q.trace_pre : q.trace_pre + fired_pre.shape[1]]
    x = settle(traces * learning[number, KEEP_PRE])[:, source]
    w = plastic[:, q.plastic : q.plastic + q.synapses]
    w[:] = np.where(fired_post[:, post], np.minimum(w + stdp.a_plus * x, stdp.w_max), w)


def _trace_reference(
    populations: np.ndarray,
    projections: np.ndarray,
    learning: np.ndarray,
    number: int,
    k: int,
    spikes: np.ndarray,
    trace_pre: np.ndarray,
    trace_post: np.ndarray,
) -> None:
    q, _, _, fired_pre, fired_post = _ends(number, k, spikes)
    x = trace_pre[:, q.trace_pre : q.trace_pre + fired_pre.shape[1]]
    y = trace_post[:, q.trace_post : q.trace_post + fired_post.shape[1]]
    x[:] = settle(x * learning[number, KEEP_PRE]) + fired_pre
    y[:] = settle(y * learning[number, KEEP_POST]) + fired_post


def _case(arrays: tuple[str, ...], seed: int) -> Launch:
    net = example()
    state, spikes, _ = drawn(seed)
    tables = t.tables_of(net)
    learned = [q.number for q in net.layout.projections if q.plastic >= 0]
    args = (
        tables.populations,
        tables.projections,
        tables.learning,
        np.int64(learned[seed % len(learned)]),
        np.int64(2),
        spikes,
    )
    named = {**tables._asdict(), **state._asdict(), "target": tables.target.astype(np.uint32)}
    return Launch(blocks=2, threads=3, args=args + tuple(named[name] for name in arrays))


_HEAD = "int64[:, ::1], int64[:, ::1], float64[:, ::1], int64, int64, boolean[:, :, ::1]"
_ROWS = "float64[:, ::1]"


@device_kernel(
    "net_depress",
    f"void({_HEAD}, int64[::1], uint32[::1], {_ROWS}, {_ROWS})",
    reference=_depress_reference,
    case=lambda seed: _case(("indptr", "target", "trace_post", "plastic"), seed),
)
def net_depress(
    populations, projections, learning, number, k, spikes, indptr, target, trace_post, plastic
):
    """Lower the weights of the sources that fired: one block per source and stream."""
    q, c = projections[number], learning[number]
    n_pre = populations[q[PRE], N]
    for job in range(cuda.blockIdx.x, n_pre * plastic.shape[0], cuda.gridDim.x):
        b, s = job // n_pre, job % n_pre
        if not spikes[k, b, populations[q[PRE], UNIT] + s]:
            continue
        first, end = indptr[q[INDPTR] + s], indptr[q[INDPTR] + s + 1]
        for j in range(first + cuda.threadIdx.x, end, cuda.blockDim.x):
            at = q[TRACE_POST] + int64(target[q[SYN_TARGET] + j])
            y = _decayed(trace_post[b, at], c[KEEP_POST])
            w = plastic[b, q[PLASTIC] + j] - product(c[A_MINUS], y)
            plastic[b, q[PLASTIC] + j] = w if w > c[W_MIN] else c[W_MIN]


@device_kernel(
    "net_potentiate",
    f"void({_HEAD}, int64[::1], uint32[::1], int64[::1], {_ROWS}, {_ROWS})",
    reference=_potentiate_reference,
    case=lambda seed: _case(
        ("incoming_ptr", "incoming_source", "incoming_synapse", "trace_pre", "plastic"), seed
    ),
)
def net_potentiate(
    populations,
    projections,
    learning,
    number,
    k,
    spikes,
    incoming_ptr,
    incoming_source,
    incoming_synapse,
    trace_pre,
    plastic,
):
    """Raise the weights of the targets that fired: one block per target and stream."""
    q, c = projections[number], learning[number]
    n_post = populations[q[POST], N]
    for job in range(cuda.blockIdx.x, n_post * plastic.shape[0], cuda.gridDim.x):
        b, at = job // n_post, job % n_post
        if not spikes[k, b, populations[q[POST], UNIT] + at]:
            continue
        first, end = incoming_ptr[q[INCOMING] + at], incoming_ptr[q[INCOMING] + at + 1]
        for j in range(first + cuda.threadIdx.x, end, cuda.blockDim.x):
            x = _decayed(trace_pre[b, q[TRACE_PRE] + int64(incoming_source[j])], c[KEEP_PRE])
            own = q[PLASTIC] + incoming_synapse[j]
            w = plastic[b, own] + product(c[A_PLUS], x)
            plastic[b, own] = w if w < c[W_MAX] else c[W_MAX]


@device_kernel(
    "net_trace",
    f"void({_HEAD}, {_ROWS}, {_ROWS})",
    reference=_trace_reference,
    case=lambda seed: _case(("trace_pre", "trace_post"), seed),
)
def net_trace(populations, projections, learning, number, k, spikes, trace_pre, trace_post):
    """Decay the traces and add the spikes of the tick: one thread per trace and stream."""
    q, c = projections[number], learning[number]
    n_pre, n_post = populations[q[PRE], N], populations[q[POST], N]
    both = n_pre + n_post
    for job in range(cuda.grid(1), both * spikes.shape[1], cuda.gridsize(1)):
        b, i = job // both, job % both
        if i < n_pre:
            x = _decayed(trace_pre[b, q[TRACE_PRE] + i], c[KEEP_PRE])
            fired = spikes[k, b, populations[q[PRE], UNIT] + i]
            trace_pre[b, q[TRACE_PRE] + i] = x + 1.0 if fired else x
        else:
            i -= n_pre
            y = _decayed(trace_post[b, q[TRACE_POST] + i], c[KEEP_POST])
            fired = spikes[k, b, populations[q[POST], UNIT] + i]
            trace_post[b, q[TRACE_POST] + i] = y + 1.0 if fired else y
