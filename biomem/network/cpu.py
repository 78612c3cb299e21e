"""Compiled scan of spiking networks: whole chunks, touching only the synapses of what fired.

Neurons and sources move in passes of vector code; what fired is gathered into a list, and every
spike walks its row of synapses. Streams may run in parallel. Sums at the ports are of integers, so
neither their order nor the number of threads changes a bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from biomem.backends.borrow import borrow
from biomem.backends.jit import njit
from biomem.backends.simd import copy, positions
from biomem.backends.threads import spread
from biomem.network import tables as t
from biomem.network.deliver_cpu import deliver_currents, deliver_each, deliver_rows, learn
from biomem.network.membrane_cpu import BLOCK, integrate
from biomem.network.model import SpikingNetworkOutput
from biomem.network.sources_cpu import given, poisson, presented

if TYPE_CHECKING:
    from biomem.network.model import SpikingNetwork, SpikingNetworkState

__all__ = ["scan"]

SPIKES, CURRENTS, POISSON = t.SPIKES, t.CURRENTS, t.POISSON
LEAKY = t.LEAKY
KIND, N, UNIT, OWN, PORT, TRACED = t.KIND, t.N, t.UNIT, t.OWN, t.PORT, t.TRACED
OWN_CURRENT, OWN_ADAPTIVE = t.OWN_CURRENT, t.OWN_ADAPTIVE
GIVEN, GIVEN_END = t.GIVEN, t.GIVEN_END
PRE, POST, TO_PORT, DELAY, INDPTR, SYN_TARGET = (
    t.PRE,
    t.POST,
    t.TO_PORT,
    t.DELAY,
    t.INDPTR,
    t.SYN_TARGET,
)
PLASTIC, STP, TRACE_PRE, TRACE_POST, INCOMING = (
    t.PLASTIC,
    t.STP,
    t.TRACE_PRE,
    t.TRACE_POST,
    t.INCOMING,
)


OPERATIONS = 50
"""Multiply-adds that take as long as a tick of a unit; with many, streams get threads."""

# What is inlined by force stands at one place of the tick. Called, it would take the hundreds of
# numbers that describe a network's arrays one by one.


@njit(cache=True, forceinline=True)
def _present(net, number, state, b, x, now, fired, ids, u):
    """Say who fires in one population of sources."""
    p = net.populations[number]
    if p[KIND] == SPIKES:
        presented(x[p[OWN] : p[OWN] + p[N]], fired)
    elif p[KIND] == POISSON:
        gap = state.gap[b, p[OWN] : p[OWN] + p[N]]
        table, guide = net.gaps[number], net.guides[number]
        poisson(state.key[0], p[UNIT], table, guide, gap, b, now, fired, ids, u)
    else:
        ticks = net.given_tick[p[GIVEN] : p[GIVEN_END]]
        given(ticks, net.given_unit[p[GIVEN] : p[GIVEN_END]], now, fired)


@njit(cache=True)
def _drive(net, outgoing, x, outside):
    """Send one population's currents to all that it drives."""
    for number in outgoing:
        q = net.projections[number]
        to = net.populations[q[POST]]
        out = outside[to[OWN] : to[OWN] + to[N]]
        deliver_currents(q, net.indptr, net.target, net.graded, x, out)


@njit(cache=True, forceinline=True)
def _neurons(net, number, state, b, arrivals, outside, driven, before, fired, room):
    """Advance one population of neurons: hand its rows to the compiled equations."""
    p = net.populations[number]
    n, own, filtered, adaptive = p[N], p[OWN], p[OWN_CURRENT], p[OWN_ADAPTIVE]
    filters = 0 if filtered < 0 else 2 * n
    current = state.current[b, max(filtered, 0) : max(filtered, 0) + filters]
    w = state.adaptation[b, :0] if adaptive < 0 else state.adaptation[b, adaptive : adaptive + n]
    integrate(
        p,
        net.coefficients[number],
        arrivals[p[PORT] : p[PORT] + max(n, filters)],
        outside[own : own + n],
        driven,
        state.v[b, own : own + n],
        current,
        w,
        before,
        state.refractory[b, own : own + n],
        fired,
        room[0],
        room[1],
    )


@njit(cache=True, forceinline=True)
def _deliver(net, number, state, b, ring, ids, now):
    """Send the spikes of one population through one projection; count the synapses passed."""
    q = net.projections[number]
    n_post = net.populations[q[POST], N]
    if q[PLASTIC] >= 0 or q[STP] >= 0 or q[DELAY] < 0:
        plastic, use = state.plastic[b], state.stp_u[b]
        synapses = net.indptr, net.target, net.weight, net.delay, net.real
        short = net.stp_use, net.stp_rec, net.stp_facil, use, state.stp_r[b], state.stp_last[b]
        events = deliver_each(
            q, net.fixed_unit[number], n_post, synapses, short, plastic, ring, ids, now
        )
    else:
        row = ring[(now + q[DELAY]) % ring.shape[0]]
        sums = row[q[TO_PORT] : q[TO_PORT] + n_post]
        events = deliver_rows(q, net.indptr, net.target, net.bits, net.weight, sums, ids)
    state.events[b] += events


@njit(cache=True)
def _learn(net, number, state, b, spikes):
    q = net.projections[number]
    pre, post = net.populations[q[PRE]], net.populations[q[POST]]
    learn(
        net.learning[number],
        net.indptr[q[INDPTR] :],
        net.target[q[SYN_TARGET] :],
        net.incoming_ptr[q[INCOMING] :],
        net.incoming_source,
        net.incoming_synapse,
        state.plastic[b, q[PLASTIC] :],
        state.trace_pre[b, q[TRACE_PRE] : q[TRACE_PRE] + pre[N]],
        state.trace_post[b, q[TRACE_POST] : q[TRACE_POST] + post[N]],
        spikes[pre[UNIT] : pre[UNIT] + pre[N]],
        spikes[post[UNIT] : post[UNIT] + post[N]],
    )


@njit(cache=True)
def _driven(net):
    """Tell whether any currents come from outside."""
    found = 0
    for p in net.populations:
        found += p[KIND] == CURRENTS
    return found > 0


@njit(cache=True, nogil=True)
def _streams(net, state, xs, tick, spikes, traces, room, start, stop):
    """Advance some of the streams over a chunk; `room` is scratch memory, of any content."""
    net, state, xs, spikes, traces = borrow((net, state, xs, spikes, traces))
    outside, ids, u, room = borrow(room)
    driven = _driven(net)
    outside[:] = 0
    for b in range(start, stop):
        ring = state.ring[b]
        for k in range(xs.shape[0]):
            now = tick + k
            arrivals = ring[now % ring.shape[0]]
            if driven:
                outside[:] = 0
            for number in net.order:
                p = net.populations[number]
                fired = spikes[k, b, p[UNIT] : p[UNIT] + p[N]]
                outgoing = net.outgoing[net.outgoing_ptr[number] : net.outgoing_ptr[number + 1]]
                if p[KIND] == CURRENTS:
                    _drive(net, outgoing, xs[k, b, p[OWN] : p[OWN] + p[N]], outside)
                    continue
                if p[KIND] < LEAKY:
                    _present(net, number, state, b, xs[k, b], now, fired, ids, u)
                else:
                    before = state.fired[b, p[OWN] : p[OWN] + p[N]]
                    if k > 0:
                        before = spikes[k - 1, b, p[UNIT] : p[UNIT] + p[N]]
                    _neurons(net, number, state, b, arrivals, outside, driven, before, fired, room)
                if len(outgoing):
                    n = positions(fired, ids)
                    if n:
                        for q in outgoing:
                            _deliver(net, q, state, b, ring, ids[:n], now)
            for q in range(net.projections.shape[0]):
                if net.projections[q, PLASTIC] >= 0:
                    _learn(net, q, state, b, spikes[k, b])
            for p in net.populations:
                if p[TRACED] >= 0:
                    v = state.v[b, p[OWN] : p[OWN] + p[N]]
                    copy(traces[k, b, p[TRACED] : p[TRACED] + p[N]], v)
        if xs.shape[0]:
            for p in net.populations:
                if p[KIND] >= LEAKY:
                    last = spikes[xs.shape[0] - 1, b, p[UNIT] : p[UNIT] + p[N]]
                    copy(state.fired[b, p[OWN] : p[OWN] + p[N]], last)


def scan(
    model: SpikingNetwork, state: SpikingNetworkState, xs: np.ndarray, tick: int
) -> tuple[SpikingNetworkState, SpikingNetworkOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, input)``, in place."""
    ticks, batch = xs.shape[:2]
    sizes = model.layout.sizes
    spikes = np.zeros((ticks, batch, sizes["unit"]), bool)
    traces = np.empty((ticks, batch, sizes["traced"]), model.params.dtype)
    if model.Input is None:
        # Of one dtype with the network, or the kernel would be compiled once more.
        xs = np.empty((ticks, batch, 0), model.params.dtype)
    tables = t.tables_of(model, bits=True)
    units, neurons, dtype = sizes["unit"], sizes["neuron"], model.params.dtype

    def run(start: int, stop: int) -> None:
        ids, words = np.empty(units, np.uint32), np.empty(units, np.uint64)
        room = np.empty(neurons, dtype), ids, words, np.empty((2, BLOCK), dtype)
        _streams(tables, state, xs, tick, spikes, traces, room, start, stop)

    spread(run, batch, OPERATIONS * ticks * batch * units)
    return state, SpikingNetworkOutput(spikes, traces)
