"""Membranes on a GPU: one thread per neuron and stream, the float order of the reference.

A compiler for GPUs contracts ``a * b + c`` into one rounding, and numba.cuda has no switch against
it that both its implementations heed. So every product is written `product`, which compiles to an
instruction that is never contracted; sums need no such care.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import cuda

from biomem.backends.cuda import Launch, device_kernel, simulated
from biomem.network import tables as t
from biomem.network.cuda_cases import drawn, example
from biomem.network.membrane import integrate

__all__ = ["net_integrate", "product"]

JUMP, PULSE, CURRENT, CONDUCTANCE = t.JUMP, t.PULSE, t.CURRENT, t.CONDUCTANCE
TO_VALUE, SUBTRACT, NEXT_TICK = t.TO_VALUE, t.SUBTRACT, t.NEXT_TICK
KIND, SYNAPSE, N, UNIT, OWN, PORT = t.KIND, t.SYNAPSE, t.N, t.UNIT, t.OWN, t.PORT
OWN_CURRENT, OWN_ADAPTIVE, TRACED = t.OWN_CURRENT, t.OWN_ADAPTIVE, t.TRACED
REFRACTORY, STRICT, RESET, SUBSTEPS = t.REFRACTORY, t.STRICT, t.RESET, t.SUBSTEPS
IZHIKEVICH = t.IZHIKEVICH
KEEP, GAIN, V_LEAK, V_TH, V_RESET, I_BIAS = t.KEEP, t.GAIN, t.V_LEAK, t.V_TH, t.V_RESET, t.I_BIAS
DECAY_EXC, DECAY_INH, GAIN_EXC, GAIN_INH = t.DECAY_EXC, t.DECAY_INH, t.GAIN_EXC, t.GAIN_INH
E_EXC, E_INH, BETA, B, DECAY_ADAPT = t.E_EXC, t.E_INH, t.BETA, t.B, t.DECAY_ADAPT
A, D, H, ARRIVAL = t.A, t.D, t.H, t.ARRIVAL
TINY = t.TINY

if simulated():

    def _rounded(a, b):
        return a * b
else:
    from numba.cuda import libdevice

    @cuda.jit(device=True)
    def _rounded(a, b):
        return libdevice.dmul_rn(a, b)


@cuda.jit(device=True)
def product(a, b):
    """Return ``a * b`` in float64, never contracted with a sum.

    Of two float32 it is exact, so rounding it to float32 gives what their own product gives.
    """
    return _rounded(np.float64(a), np.float64(b))


@cuda.jit(device=True)
def _settle(x, tiny, zero):
    return x if abs(x) >= tiny else zero


def _reference(
    populations: np.ndarray,
    coefficients: np.ndarray,
    number: int,
    slot: int,
    k: int,
    outside: np.ndarray,
    *arrays: np.ndarray,
) -> None:
    names = ("v", "current", "adaptation", "fired", "refractory", "ring")
    state: Any = SimpleNamespace(**dict(zip(names, arrays[:6], strict=True)))
    spikes, traces = arrays[6:]
    p = example().layout.populations[number]
    own = slice(p.own, p.own + p.n)
    fired = integrate(state, p, int(slot), outside[:, own].copy())
    spikes[k, :, p.unit : p.unit + p.n] = fired
    outside[:, own] = 0
    if p.traced >= 0:
        traces[k, :, p.traced : p.traced + p.n] = state.v[:, own]


def _case(seed: int) -> Launch:
    net = example()
    state, spikes, draw = drawn(seed)
    neurons = [i for i, p in enumerate(net.layout.populations) if p.n_ports]
    tables, batch = t.tables_of(net), len(state.v)
    args = (
        tables.populations,
        tables.coefficients,
        np.int64(neurons[seed % len(neurons)]),
        np.int64(2),
        np.int64(1),
        draw.normal(0, 0.1, (batch, net.layout.sizes["neuron"])),
        state.v,
        state.current,
        state.adaptation,
        state.fired,
        state.refractory,
        state.ring,
        spikes,
        np.zeros((len(spikes), batch, net.layout.sizes["traced"])),
    )
    return Launch(blocks=2, threads=8, args=args)


_ROWS, _CUBE, _BOOLS = "float64[:, ::1]", "float64[:, :, ::1]", "boolean[:, :, ::1]"


@device_kernel(
    "net_integrate",
    f"void(int64[:, ::1], {_ROWS}, int64, int64, int64, {_ROWS}, {_ROWS}, {_ROWS}, {_ROWS}, "
    f"boolean[:, ::1], int32[:, ::1], int64[:, :, ::1], {_BOOLS}, {_CUBE})",
    reference=_reference,
    case=_case,
)
def net_integrate(
    populations,
    coefficients,
    number,
    slot,
    k,
    outside,
    v,
    current,
    adaptation,
    before,
    held,
    ring,
    spikes,
    traces,
):
    """Advance population `number` by tick `k` of the chunk; clears what it has heard."""
    p, c = populations[number], coefficients[number]
    real, n = v.dtype.type, p[N]
    zero, tiny = real(0), real(TINY)
    for job in range(cuda.grid(1), n * v.shape[0], cuda.gridsize(1)):
        b, i = job // n, job % n
        at, own, port = p[OWN] + i, p[OWN_ADAPTIVE] + i, p[PORT] + i
        x = v[b, at]
        if p[RESET] == NEXT_TICK and before[b, at]:
            x = c[V_RESET]
        rest = x
        drive = c[I_BIAS] + outside[b, at]
        outside[b, at] = zero
        exc = real(product(real(ring[b, slot, port]), c[ARRIVAL]))
        inh = zero
        ring[b, slot, port] = 0
        if p[SYNAPSE] == JUMP:
            x = x + exc
        elif p[SYNAPSE] == PULSE:
            drive = drive + exc
        else:
            inh = real(product(real(ring[b, slot, port + n]), c[ARRIVAL]))
            ring[b, slot, port + n] = 0
            exc = current[b, p[OWN_CURRENT] + i] + exc
            inh = current[b, p[OWN_CURRENT] + n + i] + inh
            current[b, p[OWN_CURRENT] + i] = _settle(real(product(c[DECAY_EXC], exc)), tiny, zero)
            current[b, p[OWN_CURRENT] + n + i] = _settle(
                real(product(c[DECAY_INH], inh)), tiny, zero
            )
        if p[SYNAPSE] == CONDUCTANCE:
            drive = drive + real(product(exc, c[E_EXC] - x))
            drive = drive + real(product(inh, c[E_INH] - x))
        if p[KIND] == IZHIKEVICH:
            if p[SYNAPSE] == CURRENT:
                drive = (drive + exc) + inh
            u = adaptation[b, own]
            for _ in range(p[SUBSTEPS]):
                if x < c[V_TH]:
                    square = real(product(real(product(real(0.04), x)) + real(5), x))
                    dx = real(product(c[H], ((square + real(140)) - u) + drive))
                    toward = real(product(c[A], real(product(c[B], x)) - u))
                    u = u + real(product(c[H], toward))
                    x = x + dx
            fires = x >= c[V_TH]
            adaptation[b, own] = u + c[D] if fires else u
            x = c[V_RESET] if fires else x
        else:
            bar = c[V_TH]
            if p[OWN_ADAPTIVE] >= 0:
                drive = drive - real(product(c[B], adaptation[b, own]))
                bar = bar + real(product(c[BETA], adaptation[b, own]))
            x = c[V_LEAK] + real(product(c[KEEP], x - c[V_LEAK]))
            x = _settle(x + real(product(c[GAIN], drive)), tiny, zero)
            if p[SYNAPSE] == CURRENT:
                x = x + real(product(c[GAIN_EXC], exc))
                x = x + real(product(c[GAIN_INH], inh))
            free = held[b, at] == 0
            fires = free and (x > bar if p[STRICT] else x >= bar)
            if fires and p[RESET] == TO_VALUE:
                x = c[V_RESET]
            elif fires and p[RESET] == SUBTRACT:
                x = x - c[V_RESET]
            if not free:
                x = rest
            if fires:
                held[b, at] = p[REFRACTORY]
            elif not free:
                held[b, at] -= 1
            if p[OWN_ADAPTIVE] >= 0:
                tired = real(product(c[DECAY_ADAPT], adaptation[b, own]))
                tired = tired + (real(1) if fires else zero)
                adaptation[b, own] = _settle(tired, tiny, zero)
        v[b, at] = x
        before[b, at] = fires
        spikes[k, b, p[UNIT] + i] = fires
        if p[TRACED] >= 0:
            traces[k, b, p[TRACED] + i] = x
