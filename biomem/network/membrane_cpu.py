"""Membranes, block by block; for kernels. The equations are those of `biomem.network.model`."""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.network import tables as t
from biomem.network.simd_cpu import leak_and_fire

__all__ = ["BLOCK", "integrate"]

BLOCK = 4096
"""Neurons of a block: its arrays stay in the second-level cache, and few slices are made."""

JUMP, PULSE, CURRENT, CONDUCTANCE = t.JUMP, t.PULSE, t.CURRENT, t.CONDUCTANCE
TO_VALUE, SUBTRACT, NEXT_TICK = t.TO_VALUE, t.SUBTRACT, t.NEXT_TICK
KIND, SYNAPSE, REFRACTORY, STRICT = t.KIND, t.SYNAPSE, t.REFRACTORY, t.STRICT
RESET, SUBSTEPS = t.RESET, t.SUBSTEPS
LEAKY, ADAPTIVE, IZHIKEVICH = t.LEAKY, t.ADAPTIVE, t.IZHIKEVICH
KEEP, GAIN, V_LEAK, V_TH, V_RESET, I_BIAS = t.KEEP, t.GAIN, t.V_LEAK, t.V_TH, t.V_RESET, t.I_BIAS
DECAY_EXC, DECAY_INH, GAIN_EXC, GAIN_INH = t.DECAY_EXC, t.DECAY_INH, t.GAIN_EXC, t.GAIN_INH
E_EXC, E_INH, BETA, B, DECAY_ADAPT = t.E_EXC, t.E_INH, t.BETA, t.B, t.DECAY_ADAPT
A, D, H, ARRIVAL = t.A, t.D, t.H, t.ARRIVAL
TINY = t.TINY


@njit(cache=True)
def integrate(p, c, arrivals, outside, driven, v, current, w, before, held, fired, i, u):
    """Advance the membranes of one population and say who fired.

    `p` and `c` are its rows of numbers; `arrivals` and `current` hold both receptors one after the
    other, `w` is empty without adaptation; `driven` says whether any of `outside` is not 0;
    `before` is who fired in the tick before; `i` and `u` are room for one block.
    """
    n, done = v.shape[0], 0
    if p[SYNAPSE] == JUMP and p[KIND] == LEAKY and p[RESET] != NEXT_TICK and not driven:
        modes = p[STRICT] != 0, p[RESET] == TO_VALUE, p[RESET] == SUBTRACT
        tiny = v.dtype.type(TINY)
        numbers = c[KEEP], c[GAIN], c[V_LEAK], c[I_BIAS], c[ARRIVAL], c[V_TH], c[V_RESET], tiny
        done = leak_and_fire(v, arrivals, held, fired, numbers, np.int32(p[REFRACTORY]), modes)
    for first in range(done, n, BLOCK):
        last = min(first + BLOCK, n)
        spikes, own = fired[first:last], w[first:last]
        exc, inh = current[first:last], current[n + first : n + last]
        if p[RESET] == NEXT_TICK:
            _reset_late(c[V_RESET], before[first:last], v[first:last])
        if p[SYNAPSE] == JUMP and p[KIND] == LEAKY:
            _jump_and_leak(c, arrivals[first:last], outside[first:last], v[first:last], u)
        else:
            _begin(c, outside[first:last], v[first:last], i, u)
            if p[SYNAPSE] == JUMP:
                _arrive(c, arrivals[first:last], u)
            elif p[SYNAPSE] == PULSE:
                _arrive(c, arrivals[first:last], i)
            else:
                _arrive(c, arrivals[first:last], exc)
                _arrive(c, arrivals[n + first : n + last], inh)
            if p[SYNAPSE] == CONDUCTANCE:
                _conduct(c, exc, inh, i, u)
            if p[KIND] == ADAPTIVE:
                _tire(c[B], own, i)
            if p[KIND] != IZHIKEVICH:
                _leak(c, i, u, last - first)
        if p[KIND] == IZHIKEVICH:
            if p[SYNAPSE] == CURRENT:
                _add_both(v.dtype.type(1), v.dtype.type(1), exc, inh, i)
            _izhikevich(p[SUBSTEPS], c, v[first:last], own, i, u, spikes)
        else:
            if p[SYNAPSE] == CURRENT:
                _add_both(c[GAIN_EXC], c[GAIN_INH], exc, inh, u)
            _fire(p[STRICT] != 0, c, own, held[first:last], u, spikes)
            _reset(p[RESET], p[REFRACTORY], c[V_RESET], held[first:last], u, spikes, v[first:last])
            if p[KIND] == ADAPTIVE:
                _recover(c[DECAY_ADAPT], spikes, own)
        if current.shape[0]:
            _decay(c[DECAY_EXC], exc)
            _decay(c[DECAY_INH], inh)


@njit(cache=True)
def _jump_and_leak(c, sums, outside, v, u):
    """Do `_arrive` and `_leak` of the plainest neurons in one pass."""
    keep, gain, leak, bias, unit = c[KEEP], c[GAIN], c[V_LEAK], c[I_BIAS], c[ARRIVAL]
    tiny, zero = v.dtype.type(TINY), v.dtype.type(0)
    for k in range(v.shape[0]):
        jumped = v[k] + v.dtype.type(sums[k]) * unit
        x = (leak + keep * (jumped - leak)) + gain * (bias + outside[k])
        u[k] = x if abs(x) >= tiny else zero
    for k in range(v.shape[0]):
        sums[k] = 0


@njit(cache=True)
def _begin(c, outside, v, i, u):
    bias = c[I_BIAS]
    for k in range(v.shape[0]):
        i[k] = bias + outside[k]
        u[k] = v[k]


@njit(cache=True)
def _arrive(c, sums, out):
    """Add what arrived, and clear it."""
    unit = c[ARRIVAL]
    for k in range(sums.shape[0]):
        out[k] += out.dtype.type(sums[k]) * unit
        sums[k] = 0


@njit(cache=True)
def _conduct(c, exc, inh, i, u):
    e_exc, e_inh = c[E_EXC], c[E_INH]
    for k in range(exc.shape[0]):
        i[k] = (i[k] + exc[k] * (e_exc - u[k])) + inh[k] * (e_inh - u[k])


@njit(cache=True)
def _add_both(gain_exc, gain_inh, exc, inh, out):
    for k in range(exc.shape[0]):
        out[k] = (out[k] + gain_exc * exc[k]) + gain_inh * inh[k]


@njit(cache=True)
def _tire(b, w, i):
    for k in range(w.shape[0]):
        i[k] -= b * w[k]


@njit(cache=True)
def _reset_late(reset, before, v):
    for k in range(before.shape[0]):
        v[k] = reset if before[k] else v[k]


@njit(cache=True)
def _leak(c, i, u, n):
    keep, gain, leak = c[KEEP], c[GAIN], c[V_LEAK]
    tiny, zero = u.dtype.type(TINY), u.dtype.type(0)
    for k in range(n):
        x = (leak + keep * (u[k] - leak)) + gain * i[k]
        u[k] = x if abs(x) >= tiny else zero


@njit(cache=True)
def _fire(strict, c, w, held, u, fired):
    bar, beta = c[V_TH], c[BETA]
    n = held.shape[0]
    if w.shape[0]:
        for k in range(n):
            bound = bar + beta * w[k]
            above = u[k] > bound if strict else u[k] >= bound
            fired[k] = above & (held[k] == 0)
    elif strict:
        for k in range(n):
            fired[k] = (u[k] > bar) & (held[k] == 0)
    else:
        for k in range(n):
            fired[k] = (u[k] >= bar) & (held[k] == 0)


@njit(cache=True)
def _reset(mode, refractory, reset, held, u, fired, v):
    """Move the membranes of who is free, and count refractory ticks."""
    n, ticks = v.shape[0], np.int32(refractory)
    if mode == TO_VALUE:
        for k in range(n):
            moved = reset if fired[k] else u[k]
            v[k] = moved if held[k] == 0 else v[k]
    elif mode == SUBTRACT:
        for k in range(n):
            moved = u[k] - reset if fired[k] else u[k]
            v[k] = moved if held[k] == 0 else v[k]
    else:
        for k in range(n):
            v[k] = u[k] if held[k] == 0 else v[k]
    for k in range(n):
        left = max(held[k] - np.int32(1), np.int32(0))
        held[k] = ticks if fired[k] else left


@njit(cache=True)
def _recover(keep, fired, w):
    tiny, zero = w.dtype.type(TINY), w.dtype.type(0)
    for k in range(w.shape[0]):
        x = keep * w[k] + w.dtype.type(fired[k])
        w[k] = x if abs(x) >= tiny else zero


@njit(cache=True)
def _decay(keep, current):
    tiny, zero = current.dtype.type(TINY), current.dtype.type(0)
    for k in range(current.shape[0]):
        x = keep * current[k]
        current[k] = x if abs(x) >= tiny else zero


@njit(cache=True)
def _izhikevich(substeps, c, v, w, i, u, fired):
    h, a, b, peak, reset, jump = c[H], c[A], c[B], c[V_TH], c[V_RESET], c[D]
    square, linear = v.dtype.type(0.04), v.dtype.type(5)
    constant = v.dtype.type(140)
    for k in range(v.shape[0]):
        x, r = u[k], w[k]
        for _ in range(substeps):
            below = x < peak
            dx = h * (((((square * x + linear) * x) + constant) - r) + i[k])
            dr = h * (a * (b * x - r))
            x = x + dx if below else x
            r = r + dr if below else r
        fired[k] = x >= peak
        v[k] = reset if fired[k] else x
        w[k] = r + jump if fired[k] else r
