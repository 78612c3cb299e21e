"""What a spike does, for kernels: rows of synapses into the ring, and learning.

The functions are those of `biomem.network.deliver`.
"""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.engine.random import BUILD_TICK, Stream
from biomem.engine.random_vectors_cpu import LANES, draw_row64
from biomem.network import tables as t
from biomem.network.simd_cpu import add_counted, add_where

__all__ = ["deliver_currents", "deliver_each", "deliver_rows", "learn"]

NET_CONNECT = int(Stream.NET_CONNECT)
CSR, DENSE, ONE_TO_ONE, CONVOLUTION = t.CSR, t.DENSE, t.ONE_TO_ONE, t.CONVOLUTION
PROCEDURAL, BITS, COUNTED = t.PROCEDURAL, t.BITS, t.COUNTED
FORM, TO_PORT, DELAY, INDPTR = t.FORM, t.TO_PORT, t.DELAY, t.INDPTR
SYN_TARGET, SYN_WEIGHT, SYN_DELAY, PLASTIC = t.SYN_TARGET, t.SYN_WEIGHT, t.SYN_DELAY, t.PLASTIC
STP, STP_SOURCE, STP_OWN, REAL, KEY, DRAWS = t.STP, t.STP_SOURCE, t.STP_OWN, t.REAL, t.KEY, t.DRAWS
C_IN, HEIGHT, WIDTH, C_OUT = t.C_IN, t.HEIGHT, t.WIDTH, t.C_OUT
OUT_HEIGHT, OUT_WIDTH, K_HEIGHT, K_WIDTH = t.OUT_HEIGHT, t.OUT_WIDTH, t.K_HEIGHT, t.K_WIDTH
STRIDE, PADDING, BY_SOURCE, ROW_BYTES = t.STRIDE, t.PADDING, t.BY_SOURCE, t.ROW_BYTES
KEEP_PRE, KEEP_POST, A_PLUS, A_MINUS = t.KEEP_PRE, t.KEEP_POST, t.A_PLUS, t.A_MINUS
W_MIN, W_MAX = t.W_MIN, t.W_MAX
TINY = t.TINY


@njit(cache=True)
def deliver_rows(q, indptr, target, bits, weight, sums, ids):
    """Add the rows of synapses of those who fired to `sums`; return the synapses passed."""
    own = weight[q[SYN_WEIGHT] :]
    if q[FORM] == BITS:
        add_where(sums, bits, own, ids, q[SYN_TARGET], q[ROW_BYTES])
        return _count(indptr[q[INDPTR] :], ids)
    if q[FORM] == COUNTED:
        add_counted(sums, bits, own, ids, q[SYN_TARGET], q[ROW_BYTES])
        return _count(indptr[q[INDPTR] :], ids)
    if q[FORM] == CSR:
        if q[BY_SOURCE]:
            return _csr_by_source(indptr[q[INDPTR] :], target[q[SYN_TARGET] :], own, sums, ids)
        return _csr(indptr[q[INDPTR] :], target[q[SYN_TARGET] :], own, sums, ids)
    if q[FORM] == DENSE and q[BY_SOURCE]:
        return _alike(own, sums, ids)
    if q[FORM] == DENSE:
        return _dense(q[INDPTR], indptr, own, sums, ids)
    if q[FORM] == ONE_TO_ONE:
        for s in ids:
            sums[s] += own[s]
        return ids.shape[0]
    if q[FORM] == CONVOLUTION:
        return _convolve(q, own, sums, ids)
    return _draw(np.uint64(q[KEY]), q[DRAWS], own[0], sums, ids)


@njit(cache=True)
def _csr(indptr, targets, weights, sums, ids):
    events = 0
    for s in ids:
        first, last = indptr[s], indptr[s + 1]
        target, weight = targets[first:last], weights[first:last]
        for k in range(last - first):
            sums[target[k]] += weight[k]
        events += last - first
    return events


@njit(cache=True)
def _csr_by_source(indptr, targets, weights, sums, ids):
    events = 0
    for s in ids:
        first, last = indptr[s], indptr[s + 1]
        target, weight = targets[first:last], weights[s]
        for k in range(last - first):
            sums[target[k]] += weight
        events += last - first
    return events


@njit(cache=True)
def _count(indptr, ids):
    events = 0
    for s in ids:
        events += indptr[s + 1] - indptr[s]
    return events


@njit(cache=True)
def _alike(weights, sums, ids):
    """Bring the same to all targets."""
    total = sums.dtype.type(0)
    for s in ids:
        total += weights[s]
    for k in range(sums.shape[0]):
        sums[k] += total
    return ids.shape[0] * sums.shape[0]


@njit(cache=True)
def _dense(own, indptr, weight, sums, ids):
    n = sums.shape[0]
    for s in ids:
        row = weight[np.int64(s) * n : (np.int64(s) + 1) * n]
        for k in range(n):
            sums[k] += row[k]
    return ids.shape[0] * n if own < 0 else _count(indptr[own:], ids)


@njit(cache=True)
def _convolve(q, kernel, sums, ids):
    """Scatter the kernel around every spike."""
    events = 0
    height, width = q[K_HEIGHT], q[K_WIDTH]
    for s in ids:
        channel, place = divmod(np.int64(s), q[HEIGHT] * q[WIDTH])
        y, x = divmod(place, q[WIDTH])
        for ky in range(height):
            row, rest_y = divmod(y + q[PADDING] - ky, q[STRIDE])
            if rest_y != 0 or row < 0 or row >= q[OUT_HEIGHT]:
                continue
            for kx in range(width):
                column, rest_x = divmod(x + q[PADDING] - kx, q[STRIDE])
                if rest_x != 0 or column < 0 or column >= q[OUT_WIDTH]:
                    continue
                for o in range(q[C_OUT]):
                    element = ((o * q[C_IN] + channel) * height + ky) * width + kx
                    at = (o * q[OUT_HEIGHT] + row) * q[OUT_WIDTH] + column
                    sums[at] += kernel[element]
                events += q[C_OUT]
    return events


@njit(cache=True)
def _draw(key, k, weight, sums, ids):
    """Draw the targets of every spike anew."""
    n, half, low = np.uint64(sums.shape[0]), np.uint64(32), np.uint64(0xFFFFFFFF)
    # Four words a cipher; whole vectors of ciphers, the last of them partly in vain.
    vectors = (k + 4 * LANES - 1) // (4 * LANES)
    u = np.empty(2 * LANES * vectors, np.uint64)
    for s in ids:
        draw_row64(u, key, NET_CONNECT, s, 0, BUILD_TICK)
        for j in range(k // 2):
            sums[np.int64((u[j] >> half) * n >> half)] += weight
            sums[np.int64((u[j] & low) * n >> half)] += weight
        if k % 2:
            sums[np.int64((u[k // 2] >> half) * n >> half)] += weight
    return ids.shape[0] * k


@njit(cache=True)
def power(base, n):
    """Return ``base**n`` by squaring, as the reference does."""
    out = 1.0
    while n:
        if n & 1:
            out = out * base
        base = base * base
        n >>= 1
    return out


@njit(cache=True)
def _share(short, entry, elapsed):
    """Advance one short-term state to a spike and return its share of the weight."""
    use, rec, facil, u, r, _ = short
    if elapsed > 0:
        used = u[entry]
        u[entry] = use[entry] + (used * (1.0 - use[entry])) * power(facil[entry], elapsed)
        r[entry] = 1.0 + ((r[entry] - used * r[entry]) - 1.0) * power(rec[entry], elapsed)
    return u[entry] * r[entry]


@njit(cache=True)
def deliver_each(q, unit, n_post, synapses, short, plastic, ring, ids, tick):
    """Deliver synapse by synapse: where a weight is a state, or a delay the synapse's own."""
    indptr, target, weight, delays, real = synapses
    events, last = 0, short[5]
    changes = q[PLASTIC] >= 0 or q[STP] >= 0
    for number in range(ids.shape[0]):
        s, elapsed, share = ids[number], np.int64(0), 1.0
        if q[STP] >= 0:
            at = q[STP_SOURCE] + s
            elapsed = tick - last[at] if last[at] >= 0 else np.int64(0)
            last[at] = tick
            if not q[STP_OWN]:
                share = _share(short, q[STP] + s, elapsed)
        if q[FORM] == CONVOLUTION or q[FORM] == PROCEDURAL:
            row = ring[(tick + q[DELAY]) % ring.shape[0]]
            sums, one = row[q[TO_PORT] : q[TO_PORT] + n_post], ids[number : number + 1]
            events += _scaled(q, real[q[REAL] :], share, unit, sums, one)
            continue
        first, end = _row(q, indptr, s, n_post)
        for k in range(first, end):
            delay = q[DELAY] if q[DELAY] >= 0 else np.int64(delays[q[SYN_DELAY] + k])
            port = q[TO_PORT] + _target(q, target, s, k, n_post)
            if changes:
                if q[STP] >= 0 and q[STP_OWN]:
                    share = _share(short, q[STP] + k, elapsed)
                amount = plastic[q[PLASTIC] + k] if q[PLASTIC] >= 0 else real[q[REAL] + k]
                bring = ring.dtype.type(np.rint((amount * share) * unit))
            else:
                bring = weight[q[SYN_WEIGHT] + k]
            ring[(tick + delay) % ring.shape[0], port] += bring
        if q[INDPTR] >= 0:
            first, end = indptr[q[INDPTR] + s], indptr[q[INDPTR] + s + 1]
        events += end - first
    return events


@njit(cache=True)
def _scaled(q, real, share, unit, sums, ids):
    """Deliver a spike whose synapses are not stored, at a share of its weight."""
    elements = q[C_OUT] * q[C_IN] * q[K_HEIGHT] * q[K_WIDTH] if q[FORM] == CONVOLUTION else 1
    scaled = np.empty(elements, sums.dtype)
    for e in range(elements):
        scaled[e] = sums.dtype.type(np.rint((real[e] * share) * unit))
    if q[FORM] == CONVOLUTION:
        return _convolve(q, scaled, sums, ids)
    return _draw(np.uint64(q[KEY]), q[DRAWS], scaled[0], sums, ids)


@njit(cache=True)
def _row(q, indptr, s, n_post):
    if q[FORM] == CSR:
        return indptr[q[INDPTR] + s], indptr[q[INDPTR] + s + 1]
    if q[FORM] == DENSE:
        return np.int64(s) * n_post, (np.int64(s) + 1) * n_post
    return np.int64(s), np.int64(s) + 1


@njit(cache=True)
def _target(q, target, s, k, n_post):
    if q[FORM] == CSR:
        return np.int64(target[q[SYN_TARGET] + k])
    return k - np.int64(s) * n_post if q[FORM] == DENSE else np.int64(s)


@njit(cache=True)
def deliver_currents(q, indptr, target, weight, x, out):
    """Add currents from outside to the input of their targets, source by source."""
    for s in range(x.shape[0]):
        first, last = _row(q, indptr, s, out.shape[0])
        for k in range(first, last):
            out[_target(q, target, s, k, out.shape[0])] += x[s] * weight[q[SYN_WEIGHT] + k]


@njit(cache=True)
def learn(c, indptr, target, by_target, sources, synapses, w, x, y, fired_pre, fired_post):
    """Change the weights of one projection by pair STDP, once all populations have fired.

    `x` and `y` are the traces of sources and targets; ``by_target`` points into `sources` and
    `synapses`, the synapses by target.
    """
    for i in range(x.shape[0]):
        x[i] = x[i] * c[KEEP_PRE] if x[i] * c[KEEP_PRE] >= TINY else 0.0
    for i in range(y.shape[0]):
        y[i] = y[i] * c[KEEP_POST] if y[i] * c[KEEP_POST] >= TINY else 0.0
    for s in range(x.shape[0]):
        if fired_pre[s]:
            for k in range(indptr[s], indptr[s + 1]):
                w[k] = max(w[k] - c[A_MINUS] * y[target[k]], c[W_MIN])
    for at in range(y.shape[0]):
        if fired_post[at]:
            for j in range(by_target[at], by_target[at + 1]):
                k = synapses[j]
                w[k] = min(w[k] + c[A_PLUS] * x[sources[j]], c[W_MAX])
    for i in range(x.shape[0]):
        x[i] += np.float64(fired_pre[i])
    for i in range(y.shape[0]):
        y[i] += np.float64(fired_post[i])
