"""Membranes of one population: the reference. The equations stand in `biomem.network.model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biomem.network.coefficients import NeuronCoefficients
from biomem.network.layout import PopulationLayout, settle

if TYPE_CHECKING:
    from biomem.network.model import SpikingNetworkState

__all__ = ["integrate"]


def integrate(
    new: SpikingNetworkState, p: PopulationLayout, slot: int, outside: NDArray[Any]
) -> NDArray[np.bool_]:
    """Advance the membranes of one population in place and return who fired."""
    c = NeuronCoefficients(*map(new.v.dtype.type, p.coefficients))
    own = slice(p.own, p.own + p.n)
    arrived = new.ring[:, slot, p.port : p.port + p.n_ports * p.n]
    j = np.ldexp(arrived.astype(new.v.dtype), -p.exponent).astype(new.v.dtype)
    arrived[:] = 0
    exc, inh = (np.zeros_like(outside) for _ in range(2))
    if p.current >= 0:
        exc = new.current[:, p.current : p.current + p.n]
        inh = new.current[:, p.current + p.n : p.current + 2 * p.n]
        exc += j[:, : p.n]
        inh += j[:, p.n :]

    i, v = c.i_bias + outside, new.v[:, own]
    if p.kind != "izhikevich" and p.neuron.reset == "next_tick":
        v = np.where(new.fired[:, own], c.v_reset, v)
        new.v[:, own] = v
    if p.synapse == "jump":
        v = v + j
    elif p.synapse == "pulse":
        i = i + j
    elif p.synapse == "conductance":
        i = (i + exc * (c.e_exc - v)) + inh * (c.e_inh - v)
    if p.kind == "izhikevich":
        if p.synapse == "current":
            i = (i + exc) + inh
        w = new.adaptation[:, p.adaptive : p.adaptive + p.n]
        v, fired = _izhikevich(v, w, i, c, p.neuron.substeps)
    else:
        v, fired = _leaky(new, p, c, v, i, exc, inh)
    if p.current >= 0:
        exc[:] = settle(c.decay_exc * exc)
        inh[:] = settle(c.decay_inh * inh)
    new.v[:, own] = v
    new.fired[:, own] = fired
    return fired


def _leaky(
    new: SpikingNetworkState,
    p: PopulationLayout,
    c: NeuronCoefficients,
    v: NDArray[Any],
    i: NDArray[Any],
    exc: NDArray[Any],
    inh: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return membranes and spikes of leaky neurons; refractory times and `w` change in place."""
    own, bar = slice(p.own, p.own + p.n), np.asarray(c.v_th)
    refractory, strict, reset = new.refractory[:, own], p.neuron.strict, p.neuron.reset
    w = new.adaptation[:, p.adaptive : p.adaptive + p.n] if p.adaptive >= 0 else None
    if w is not None:
        i = i - c.b * w
        bar = c.v_th + c.beta * w
    v = settle((c.v_leak + c.keep * (v - c.v_leak)) + c.gain * i)
    if p.synapse == "current":
        v = (v + c.gain_exc * exc) + c.gain_inh * inh
    free = refractory == 0
    fired = free & ((v > bar) if strict else (v >= bar))
    if reset == "to_value":
        v = np.where(fired, c.v_reset, v)
    elif reset == "subtract":
        v = np.where(fired, v - c.v_reset, v)
    v = np.where(free, v, new.v[:, own])
    refractory[:] = np.where(fired, p.refractory, np.maximum(refractory - 1, 0))
    if w is not None:
        w[:] = settle(c.decay_adapt * w + fired.astype(w.dtype))
    return v, fired


def _izhikevich(
    v: NDArray[Any], w: NDArray[Any], i: NDArray[Any], c: NeuronCoefficients, substeps: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return membranes and spikes after the substeps of one tick; `w` is changed in place."""
    one = v.dtype.type
    u = w.copy()
    for _ in range(substeps):
        below = v < c.v_th
        dv = c.h * (((((one(0.04) * v + one(5)) * v) + one(140)) - u) + i)
        du = c.h * (c.a * (c.b * v - u))
        v = np.where(below, v + dv, v)
        u = np.where(below, u + du, u)
    fired = v >= c.v_th
    w[:] = np.where(fired, u + c.d, u)
    return np.where(fired, c.v_reset, v), fired
