"""The numbers a tick multiplies by: made once per network from parameters and the time step.

The table of the update rules stands in `biomem.network.neurons`; it is evaluated here, in float64,
and rounded once to the precision of the network.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from biomem.network.neurons import (
    LIF,
    AdaptiveLIF,
    ConductanceExp,
    CurrentExp,
    Delta,
    Izhikevich,
)

__all__ = ["NeuronCoefficients", "coefficients"]

LIMIT = 1e-3
"""Relative difference of time constants below which the exact gain of a current is its limit."""


class NeuronCoefficients(NamedTuple):
    """One population of neurons, in numbers.

    Attributes
    ----------
    keep, gain : float
        ``K`` and ``g`` of the membrane equation.
    v_leak, v_th, v_reset, i_bias : float
    decay_exc, decay_inh, gain_exc, gain_inh : float
        Of the filtered currents; 0 where there are none.
    e_exc, e_inh : float
        Reversal potentials; 0 where synapses are no conductances.
    beta, b, decay_adapt : float
        Adaptation; 0 where there is none.
    a, d, h : float
        Izhikevich's rate and jump, and the length of a substep in ms; 0 elsewhere. His ``b`` and
        ``c`` are in `b` and `v_reset`, his ``v_peak`` in `v_th`.
    """

    keep: float = 0.0
    gain: float = 1.0
    v_leak: float = 0.0
    v_th: float = 0.0
    v_reset: float = 0.0
    i_bias: float = 0.0
    decay_exc: float = 0.0
    decay_inh: float = 0.0
    gain_exc: float = 0.0
    gain_inh: float = 0.0
    e_exc: float = 0.0
    e_inh: float = 0.0
    beta: float = 0.0
    b: float = 0.0
    decay_adapt: float = 0.0
    a: float = 0.0
    d: float = 0.0
    h: float = 0.0


def coefficients(neuron: LIF | Izhikevich, dt: float) -> NeuronCoefficients:
    """Return the coefficients of a neuron at a time step of `dt` seconds."""
    synapse = neuron.synapse
    filtered: dict[str, float] = {}
    if isinstance(synapse, CurrentExp | ConductanceExp):
        euler = isinstance(neuron, LIF) and neuron.rule == "euler"
        for which, tau in (("exc", synapse.tau_exc), ("inh", synapse.tau_inh)):
            filtered[f"decay_{which}"] = 1 - dt / tau if euler else math.exp(-dt / tau)
    if isinstance(synapse, ConductanceExp):
        filtered |= {"e_exc": synapse.e_exc, "e_inh": synapse.e_inh}
    if isinstance(neuron, Izhikevich):
        if isinstance(synapse, CurrentExp):
            filtered |= {"gain_exc": 1.0, "gain_inh": 1.0}
        return NeuronCoefficients(
            v_th=neuron.v_peak,
            v_reset=neuron.c,
            i_bias=neuron.i_bias,
            a=neuron.a,
            b=neuron.b,
            d=neuron.d,
            h=dt * 1e3 / neuron.substeps,
            **filtered,
        )
    keep, gain = membrane(neuron, dt)
    if isinstance(synapse, CurrentExp):
        filtered["gain_exc"] = current_gain(neuron, synapse.tau_exc, gain, dt)
        filtered["gain_inh"] = current_gain(neuron, synapse.tau_inh, gain, dt)
    if isinstance(neuron, AdaptiveLIF):
        euler = neuron.rule == "euler"
        tau = neuron.tau_adapt
        filtered["decay_adapt"] = 1 - dt / tau if euler else math.exp(-dt / tau)
        filtered |= {"beta": neuron.beta, "b": neuron.b}
    return NeuronCoefficients(
        keep=keep,
        gain=gain,
        v_leak=neuron.v_leak,
        v_th=neuron.v_th,
        v_reset=neuron.v_th if neuron.reset == "subtract" else neuron.v_reset,
        i_bias=neuron.i_bias,
        **filtered,
    )


def membrane(neuron: LIF, dt: float) -> tuple[float, float]:
    """Return ``K`` and ``g`` of the membrane equation."""
    if neuron.decay is not None:
        return neuron.decay, 1.0
    a, e = dt / neuron.tau_mem, math.exp(-dt / neuron.tau_mem)
    return {
        "euler": (1 - a, a * neuron.r),
        "exp": (e, -math.expm1(-dt / neuron.tau_mem) * neuron.r),
        "exp_gain_a": (e, a * neuron.r),
        "unit_gain": (e, 1.0),
    }[neuron.rule]


def current_gain(neuron: LIF, tau: float, gain: float, dt: float) -> float:
    """Return ``g_r``, the gain of a filtered current of time constant `tau`."""
    if neuron.decay is not None or neuron.rule != "exp":
        return gain
    tau_mem = neuron.tau_mem
    e = math.exp(-dt / tau_mem)
    if abs(tau - tau_mem) < LIMIT * tau_mem:
        return neuron.r * (dt / tau_mem) * e
    return neuron.r * tau / (tau - tau_mem) * (math.exp(-dt / tau) - e)


def jumps(neuron: LIF | Izhikevich) -> bool:
    """Tell whether a spike moves the membrane itself."""
    return isinstance(neuron.synapse, Delta)
