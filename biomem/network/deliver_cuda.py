"""What a spike does, on a GPU: one block per source and stream, which returns where none fired.

Threads of a block share the synapses of its source and add to the ring atomically. Sums at the
ports are integers, so the order in which they arrive changes no bit.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda, float64, int64

from biomem.backends.cuda import Launch, device_kernel
from biomem.engine.random import BUILD_TICK, Stream
from biomem.engine.random_cuda import below, words
from biomem.network import tables as t
from biomem.network.cuda_cases import drawn, example
from biomem.network.deliver import deliver
from biomem.network.membrane_cuda import product

__all__ = ["net_convolve", "net_deliver", "net_draw"]

NET_CONNECT = int(Stream.NET_CONNECT)
CSR, DENSE = t.CSR, t.DENSE
N, UNIT = t.N, t.UNIT
PRE, POST, FORM, TO_PORT, DELAY, INDPTR = t.PRE, t.POST, t.FORM, t.TO_PORT, t.DELAY, t.INDPTR
SYN_TARGET, SYN_WEIGHT, SYN_DELAY, PLASTIC = t.SYN_TARGET, t.SYN_WEIGHT, t.SYN_DELAY, t.PLASTIC
STP, STP_SOURCE, STP_OWN, REAL, KEY, DRAWS = t.STP, t.STP_SOURCE, t.STP_OWN, t.REAL, t.KEY, t.DRAWS
C_IN, HEIGHT, WIDTH, C_OUT = t.C_IN, t.HEIGHT, t.WIDTH, t.C_OUT
OUT_HEIGHT, OUT_WIDTH, K_HEIGHT, K_WIDTH = t.OUT_HEIGHT, t.OUT_WIDTH, t.K_HEIGHT, t.K_WIDTH
STRIDE, PADDING, BY_SOURCE = t.STRIDE, t.PADDING, t.BY_SOURCE


@cuda.jit(device=True)
def _power(base, n):
    out = 1.0
    while n:
        if n & 1:
            out = product(out, base)
        base = product(base, base)
        n >>= 1
    return out


@cuda.jit(device=True)
def _share(b, entry, elapsed, use, rec, facil, u, r):
    """Advance one short-term state to a spike and return its share of the weight."""
    if elapsed > 0:
        used = product(u[b, entry], 1.0 - use[entry])
        left = (r[b, entry] - product(u[b, entry], r[b, entry])) - 1.0
        u[b, entry] = use[entry] + product(used, _power(facil[entry], elapsed))
        r[b, entry] = 1.0 + product(left, _power(rec[entry], elapsed))
    return product(u[b, entry], r[b, entry])


@cuda.jit(device=True)
def _begin(q, b, s, tick, use, rec, facil, u, r, last, elapsed, share):
    """Let one thread of the block note the spike of a source with short-term plasticity."""
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        at = q[STP_SOURCE] + s
        elapsed[0] = tick - last[b, at] if last[b, at] >= 0 else 0
        last[b, at] = tick
        share[0] = 1.0
        if not q[STP_OWN]:
            share[0] = _share(b, q[STP] + s, elapsed[0], use, rec, facil, u, r)
    cuda.syncthreads()


@cuda.jit(device=True)
def _fixed(amount, share, unit):
    return round(product(product(amount, share), unit))


def _deliver_reference(
    populations: np.ndarray,
    projections: np.ndarray,
    number: int,
    k: int,
    tick: int,
    unit: float,
    spikes: np.ndarray,
    *arrays: np.ndarray,
) -> None:
    net = example()
    q = net.layout.projections[number]
    pre = net.layout.populations[q.pre]
    names = ("stp_u", "stp_r", "stp_last", "ring", "events")
    state: Any = SimpleNamespace(**dict(zip(names, arrays[-5:], strict=True)))
    if q.plastic >= 0:
        state.plastic = arrays[5]
    deliver(net, q, state, spikes[k, :, pre.unit : pre.unit + pre.n], int(tick))


def _deliver_case(names: tuple[str, ...], seed: int) -> Launch:
    net = example()
    state, spikes, _ = drawn(seed)
    tables = t.tables_of(net)
    name = names[seed % len(names)]
    q = next(q for q in net.layout.projections if q.projection.name == name)
    stored = q.form not in ("convolution", "procedural")
    synapses = (tables.weight, tables.real)
    if stored:
        synapses = (tables.indptr, tables.target.astype(np.uint32), tables.weight)
        synapses += (tables.delay, tables.real, state.plastic)
    args = (
        tables.populations,
        tables.projections,
        np.int64(q.number),
        np.int64(1),
        np.int64(7 + seed),
        np.float64(tables.fixed_unit[q.number]),
        spikes,
        *synapses,
        tables.stp_use,
        tables.stp_rec,
        tables.stp_facil,
        state.stp_u,
        state.stp_r,
        state.stp_last,
        state.ring // 2**8,
        state.events,
    )
    return Launch(blocks=3, threads=2, args=args)


_HELD = ("learned", "dense", "source", "one", "late", "matrix", "alike", "bits")

_HEAD = "int64[:, ::1], int64[:, ::1], int64, int64, int64, float64, boolean[:, :, ::1]"
_ROW, _ROWS = "float64[::1]", "float64[:, ::1]"
_TAIL = f"{_ROW}, {_ROW}, {_ROW}, {_ROWS}, {_ROWS}, int64[:, ::1], int64[:, :, ::1], int64[::1]"
_STORED = f"int64[::1], uint32[::1], int64[::1], int32[::1], {_ROW}, {_ROWS}"


@device_kernel(
    "net_deliver",
    f"void({_HEAD}, {_STORED}, {_TAIL})",
    reference=_deliver_reference,
    case=lambda seed: _deliver_case(_HELD, seed),
)
def net_deliver(
    populations,
    projections,
    number,
    k,
    tick,
    unit,
    spikes,
    indptr,
    target,
    weight,
    delay,
    real,
    plastic,
    use,
    rec,
    facil,
    u,
    r,
    last,
    ring,
    events,
):
    """Send the spikes of tick `k` of the chunk through one projection of stored synapses."""
    elapsed = cuda.shared.array(1, int64)
    share = cuda.shared.array(1, float64)
    q = projections[number]
    n_pre, n_post = populations[q[PRE], N], populations[q[POST], N]
    scaled = q[STP] >= 0 or q[PLASTIC] >= 0
    for job in range(cuda.blockIdx.x, n_pre * ring.shape[0], cuda.gridDim.x):
        b, s = job // n_pre, job % n_pre
        if not spikes[k, b, populations[q[PRE], UNIT] + s]:
            continue
        if q[STP] >= 0:
            _begin(q, b, s, tick, use, rec, facil, u, r, last, elapsed, share)
        first, end = s, s + 1
        if q[FORM] == CSR:
            first, end = indptr[q[INDPTR] + s], indptr[q[INDPTR] + s + 1]
        elif q[FORM] == DENSE:
            first, end = s * n_post, (s + 1) * n_post
        for j in range(first + cuda.threadIdx.x, end, cuda.blockDim.x):
            to, later = s, q[DELAY]
            if q[FORM] == CSR:
                to = int64(target[q[SYN_TARGET] + j])
            elif q[FORM] == DENSE:
                to = j - first
            if later < 0:
                later = int64(delay[q[SYN_DELAY] + j])
            if scaled:
                part = 1.0
                if q[STP] >= 0 and q[STP_OWN]:
                    part = _share(b, q[STP] + j, elapsed[0], use, rec, facil, u, r)
                elif q[STP] >= 0:
                    part = share[0]
                amount = plastic[b, q[PLASTIC] + j] if q[PLASTIC] >= 0 else real[q[REAL] + j]
                bring = ring.dtype.type(_fixed(amount, part, unit))
            else:
                bring = weight[q[SYN_WEIGHT] + (s if q[BY_SOURCE] else j)]
            slot = (tick + later) % ring.shape[1]
            cuda.atomic.add(ring, (b, slot, q[TO_PORT] + to), bring)
        if cuda.threadIdx.x == 0:
            if q[INDPTR] >= 0:
                first, end = indptr[q[INDPTR] + s], indptr[q[INDPTR] + s + 1]
            cuda.atomic.add(events, b, end - first)


@device_kernel(
    "net_convolve",
    f"void({_HEAD}, int64[::1], {_ROW}, {_TAIL})",
    reference=_deliver_reference,
    case=lambda seed: _deliver_case(("kernel", "scaled kernel"), seed),
)
def net_convolve(
    populations,
    projections,
    number,
    k,
    tick,
    unit,
    spikes,
    weight,
    real,
    use,
    rec,
    facil,
    u,
    r,
    last,
    ring,
    events,
):
    """Scatter the kernel of a convolution around every spike."""
    elapsed = cuda.shared.array(1, int64)
    share = cuda.shared.array(1, float64)
    q = projections[number]
    n_pre, slot = populations[q[PRE], N], (tick + q[DELAY]) % ring.shape[1]
    window = q[K_HEIGHT] * q[K_WIDTH]
    for job in range(cuda.blockIdx.x, n_pre * ring.shape[0], cuda.gridDim.x):
        b, s = job // n_pre, job % n_pre
        if not spikes[k, b, populations[q[PRE], UNIT] + s]:
            continue
        if q[STP] >= 0:
            _begin(q, b, s, tick, use, rec, facil, u, r, last, elapsed, share)
        channel, place = s // (q[HEIGHT] * q[WIDTH]), s % (q[HEIGHT] * q[WIDTH])
        passed = int64(0)
        for j in range(cuda.threadIdx.x, q[C_OUT] * window, cuda.blockDim.x):
            out, inside = j // window, j % window
            row = place // q[WIDTH] + q[PADDING] - inside // q[K_WIDTH]
            column = place % q[WIDTH] + q[PADDING] - inside % q[K_WIDTH]
            if row < 0 or column < 0 or row % q[STRIDE] != 0 or column % q[STRIDE] != 0:
                continue
            row, column = row // q[STRIDE], column // q[STRIDE]
            if row >= q[OUT_HEIGHT] or column >= q[OUT_WIDTH]:
                continue
            element = (out * q[C_IN] + channel) * window + inside
            bring = weight[q[SYN_WEIGHT] + element]
            if q[STP] >= 0:
                bring = ring.dtype.type(_fixed(real[q[REAL] + element], share[0], unit))
            to = (out * q[OUT_HEIGHT] + row) * q[OUT_WIDTH] + column
            cuda.atomic.add(ring, (b, slot, q[TO_PORT] + to), bring)
            passed += 1
        cuda.atomic.add(events, b, passed)


@device_kernel(
    "net_draw",
    f"void({_HEAD}, int64[::1], {_ROW}, {_TAIL})",
    reference=_deliver_reference,
    case=lambda seed: _deliver_case(("drawn", "scaled draws"), seed),
)
def net_draw(
    populations,
    projections,
    number,
    k,
    tick,
    unit,
    spikes,
    weight,
    real,
    use,
    rec,
    facil,
    u,
    r,
    last,
    ring,
    events,
):
    """Draw the targets of every spike anew, four to a word of the generator."""
    elapsed = cuda.shared.array(1, int64)
    share = cuda.shared.array(1, float64)
    q = projections[number]
    n_pre, slot = populations[q[PRE], N], (tick + q[DELAY]) % ring.shape[1]
    n_post = populations[q[POST], N]
    for job in range(cuda.blockIdx.x, n_pre * ring.shape[0], cuda.gridDim.x):
        b, s = job // n_pre, job % n_pre
        if not spikes[k, b, populations[q[PRE], UNIT] + s]:
            continue
        bring = weight[q[SYN_WEIGHT]]
        if q[STP] >= 0:
            _begin(q, b, s, tick, use, rec, facil, u, r, last, elapsed, share)
            bring = ring.dtype.type(_fixed(real[q[REAL]], share[0], unit))
        for block in range(cuda.threadIdx.x, (q[DRAWS] + 3) // 4, cuda.blockDim.x):
            w0, w1, w2, w3 = words(q[KEY], NET_CONNECT, s, block, BUILD_TICK)
            left = q[DRAWS] - 4 * block
            cuda.atomic.add(ring, (b, slot, q[TO_PORT] + below(w0, n_post)), bring)
            if left > 1:
                cuda.atomic.add(ring, (b, slot, q[TO_PORT] + below(w1, n_post)), bring)
            if left > 2:
                cuda.atomic.add(ring, (b, slot, q[TO_PORT] + below(w2, n_post)), bring)
            if left > 3:
                cuda.atomic.add(ring, (b, slot, q[TO_PORT] + below(w3, n_post)), bring)
        if cuda.threadIdx.x == 0:
            cuda.atomic.add(events, b, q[DRAWS])
