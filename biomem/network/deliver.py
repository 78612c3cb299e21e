"""What a spike does: the reference of delivery and of learning."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biomem.engine.random import Rng
from biomem.network.layout import ProjectionLayout, fixed, settle

if TYPE_CHECKING:
    from biomem.network.model import SpikingNetwork, SpikingNetworkState

__all__ = ["deliver", "deliver_currents", "learn", "synapses_of"]


def deliver(
    net: SpikingNetwork,
    q: ProjectionLayout,
    new: SpikingNetworkState,
    fired: NDArray[np.bool_],
    tick: int,
) -> None:
    """Add what the spikes of one population bring through one projection to the ring."""
    post = net.layout.populations[q.post]
    accumulator = net.layout.accumulator
    slots = new.ring.shape[1]
    for b in range(len(fired)):
        for source in np.flatnonzero(fired[b]):
            target, synapse = synapses_of(net, q, int(source))
            amount = _amounts(net, q, new, b, int(source), synapse, tick)
            delay = q.delay
            if delay < 0:
                delay = net.layout.delays(q.projection)[synapse]
            arrival = np.broadcast_to((tick + delay) % slots, target.shape)
            np.add.at(
                new.ring[b], (arrival, q.port + target), fixed(amount, post.exponent, accumulator)
            )
            new.events[b] += len(target)


def synapses_of(
    net: SpikingNetwork, q: ProjectionLayout, source: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the targets of a source and the numbers of the synapses that lead there."""
    name, n_post = q.projection.name, net.layout.populations[q.post].n
    if q.form == "procedural":
        target = q.rule.targets(Rng(q.key), np.array([source]), n_post)[0]
        return target, np.zeros(len(target), np.int64)
    if q.form == "convolution":
        return _convolved(q.rule, source)
    if q.form == "one_to_one":
        return np.array([source]), np.array([source])
    if f"{name}/target" in net.weights:
        indptr = net.weights[f"{name}/indptr"]
        synapse = np.arange(indptr[source], indptr[source + 1])
        return net.weights[f"{name}/target"][synapse].astype(np.int64), synapse
    return np.arange(n_post), source * n_post + np.arange(n_post)


def _convolved(rule: Any, source: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return targets and kernel elements of one place of a convolution's source."""
    channel, y, x = np.unravel_index(source, rule.in_shape)
    out, rows, columns = rule.out_shape
    targets, elements = [], []
    for o in range(out):
        for ky in range(rule.kernel[0]):
            for kx in range(rule.kernel[1]):
                row, rest_y = divmod(int(y) + rule.padding - ky, rule.stride)
                column, rest_x = divmod(int(x) + rule.padding - kx, rule.stride)
                inside = 0 <= row < rows and 0 <= column < columns
                if inside and not rest_y and not rest_x:
                    targets.append((o * rows + row) * columns + column)
                    place = (o * rule.in_shape[0] + int(channel)) * rule.kernel[0] + ky
                    elements.append(place * rule.kernel[1] + kx)
    return np.array(targets, np.int64), np.array(elements, np.int64)


def _amounts(
    net: SpikingNetwork,
    q: ProjectionLayout,
    new: SpikingNetworkState,
    b: int,
    source: int,
    synapse: NDArray[np.int64],
    tick: int,
) -> NDArray[np.float64]:
    """Return what a spike of `source` brings to each synapse, updating its short-term state."""
    if q.plastic >= 0:
        amount = new.plastic[b, q.plastic + synapse]
    elif q.form == "procedural":
        amount = np.full(len(synapse), float(q.projection.weight))  # pyright: ignore[reportArgumentType]
    else:
        amount = np.asarray(net.weights[f"{q.projection.name}/weight"], np.float64)
        amount = amount.reshape(-1)[synapse]
    if q.projection.stp is None:
        return amount
    spread = q.projection.stp.spread > 0
    entry = q.stp + (synapse if spread else np.array([source]))
    at, last = q.stp_source + source, new.stp_last[b, q.stp_source + source]
    if last >= 0:
        use, rec, facil = (part[entry - q.stp] for part in net.layout.short_term(q))
        u, r = new.stp_u[b, entry], new.stp_r[b, entry]
        new.stp_u[b, entry] = use + (u * (1.0 - use)) * power(facil, tick - last)
        new.stp_r[b, entry] = 1.0 + ((r - u * r) - 1.0) * power(rec, tick - last)
    new.stp_last[b, at] = tick
    return amount * (new.stp_u[b, entry] * new.stp_r[b, entry])


def power(base: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return ``base**n`` for an integer n >= 0 by squaring: the same bits on every machine."""
    out = np.ones_like(base)
    while n:
        if n & 1:
            out = out * base
        base = base * base
        n >>= 1
    return out


def deliver_currents(
    net: SpikingNetwork, q: ProjectionLayout, x: NDArray[Any], outside: NDArray[Any]
) -> None:
    """Add currents from outside to the input of their targets, source by source."""
    name, post = q.projection.name, net.layout.populations[q.post]
    weight = net.weights[f"{name}/weight"]
    for source in range(x.shape[1]):
        target, synapse = synapses_of(net, q, source)
        amount = weight.reshape(-1)[synapse]
        outside[:, post.own + target] += x[:, source, None] * amount


def learn(
    net: SpikingNetwork, q: ProjectionLayout, new: SpikingNetworkState, spikes: NDArray[np.bool_]
) -> None:
    """Change the weights of one projection by pair STDP, once all populations have fired."""
    stdp, dt = q.projection.stdp, net.params.dt
    assert stdp is not None
    pre, post = net.layout.populations[q.pre], net.layout.populations[q.post]
    indptr, target = net.layout.index(q)
    x = new.trace_pre[:, q.trace_pre : q.trace_pre + pre.n]
    y = new.trace_post[:, q.trace_post : q.trace_post + post.n]
    x[:] = settle(x * math.exp(-dt / stdp.tau_plus))
    y[:] = settle(y * math.exp(-dt / stdp.tau_minus))
    source = np.repeat(np.arange(pre.n), np.diff(indptr))
    for b in range(len(spikes)):
        w = new.plastic[b, q.plastic : q.plastic + q.synapses]
        fired_pre = spikes[b, pre.unit : pre.unit + pre.n]
        fired_post = spikes[b, post.unit : post.unit + post.n]
        down, up = fired_pre[source], fired_post[target]
        w[down] = np.maximum(w[down] - stdp.a_minus * y[b, target[down]], stdp.w_min)
        w[up] = np.minimum(w[up] + stdp.a_plus * x[b, source[up]], stdp.w_max)
        x[b] += fired_pre
        y[b] += fired_post
