"""Update rules against the solutions of their differential equations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    AdaptiveLIF,
    CurrentExp,
    CurrentInput,
    Population,
    Projection,
    SpikeInput,
    SpikingNetwork,
)
from biomem.network.coefficients import coefficients

TAU = 20e-3
NEVER = 1e9


def membrane(neuron, source, xs, dt, backend="numpy"):
    """Return the membrane of one neuron driven with weight 1, after every tick."""
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=source),
            Population(name="cell", neuron=neuron),
        ),
        projections=(Projection(pre="in", post="cell"),),
        traces=("cell",),
        dt=dt,
    )
    return Simulator(net, backend=backend).run(np.asarray(xs, float)[:, None, None])["v"][:, 0, 0]


@pytest.mark.parametrize(
    ("rule", "keep", "gain"),
    [
        ("euler", 1 - 0.05, 0.05 * 3),
        ("exp", math.exp(-0.05), (1 - math.exp(-0.05)) * 3),
        ("exp_gain_a", math.exp(-0.05), 0.05 * 3),
        ("unit_gain", math.exp(-0.05), 1.0),
    ],
)
def test_the_table_of_update_rules(rule, keep, gain):
    found = coefficients(LIF(rule=rule, r=3.0), 1e-3)
    assert found.keep == pytest.approx(keep, rel=1e-15)
    assert found.gain == pytest.approx(gain, rel=1e-14)


def test_currents_and_adaptation_decay_by_the_rule_of_the_membrane():
    neuron = AdaptiveLIF(tau_adapt=10e-3, synapse=CurrentExp(tau_exc=4e-3, tau_inh=8e-3))
    for rule, decay in (("euler", lambda x: 1 - x), ("exp", lambda x: math.exp(-x))):
        found = coefficients(neuron.replace(rule=rule), 1e-3)
        got = found.decay_exc, found.decay_inh, found.decay_adapt
        assert got == pytest.approx([decay(x) for x in (0.25, 0.125, 0.1)], rel=1e-15)


def test_a_given_decay_replaces_the_rule():
    found = coefficients(LIF(decay=0.75, rule="euler", r=3.0), 1e-3)
    assert (found.keep, found.gain) == (0.75, 1.0)


@pytest.mark.parametrize("tau_s", [2e-3, 19e-3, TAU, 60e-3])
@pytest.mark.parametrize("dt", [1e-4, 5e-3])
def test_exact_integration_of_an_exponential_current_is_exact(tau_s, dt):
    neuron = LIF(tau_mem=TAU, r=2.0, v_th=NEVER, synapse=CurrentExp(tau_exc=tau_s))
    xs = np.zeros(60)
    xs[0] = 1.0
    t = dt * np.arange(1, 61)
    if tau_s == TAU:
        want = 2.0 * t / TAU * np.exp(-t / TAU)
    else:
        want = 2.0 * tau_s / (tau_s - TAU) * (np.exp(-t / tau_s) - np.exp(-t / TAU))
    np.testing.assert_allclose(
        membrane(neuron, SpikeInput(), xs, dt), want, rtol=0, atol=1e-13 * max(1, 1 / abs(1e-2))
    )


@pytest.mark.parametrize("side", [-1, 1])
def test_the_gain_is_continuous_where_it_becomes_the_limit(side):
    def gain(difference):
        tau_s = TAU * (1 + side * difference)
        return coefficients(LIF(tau_mem=TAU, synapse=CurrentExp(tau_exc=tau_s)), 1e-3).gain_exc

    inside, outside, limit = gain(0.999e-3), gain(1.001e-3), 0.05 * math.exp(-0.05)
    assert inside == limit
    assert outside != limit
    # What the limit leaves out is dt/2 tau of the relative difference.
    assert outside == pytest.approx(limit, rel=1.01e-3 * 0.05 / 2 * 1.1)
    assert outside == pytest.approx(limit * (1 + side * 1.001e-3 * 0.025), rel=1e-6)


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 1e-2])
def test_exact_integration_of_a_constant_current_is_exact(dt):
    t = dt * np.arange(1, 41)
    neuron = LIF(tau_mem=TAU, r=2.0, v_leak=-0.3, v_th=NEVER)
    got = membrane(neuron, CurrentInput(), np.full(40, 1.5), dt)
    np.testing.assert_allclose(got, -0.3 + 3.0 * (1 - np.exp(-t / TAU)), rtol=0, atol=1e-14)


def error_at(duration, dt, rule, synapse, source):
    n = round(duration / dt)
    xs = np.ones(n)
    if synapse is not None:
        xs[1:] = 0.0
    extra = {} if synapse is None else {"synapse": synapse}
    neuron = LIF(tau_mem=TAU, v_th=NEVER, rule=rule, **extra)
    got = membrane(neuron, source, xs, dt, "numba")[-1]
    if synapse is None:
        return abs(got - (1 - math.exp(-duration / TAU)))
    s = synapse.tau_exc
    want = s / (s - TAU) * (math.exp(-duration / s) - math.exp(-duration / TAU))
    return abs(got - want)


@pytest.mark.parametrize("synapse", [None, CurrentExp(tau_exc=7e-3)], ids=["step", "current"])
def test_euler_converges_in_first_order(synapse):
    source = CurrentInput() if synapse is None else SpikeInput()
    errors = [error_at(30e-3, 30e-3 / n, "euler", synapse, source) for n in (300, 600, 1200, 2400)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.05)
    assert errors[-1] < 1e-3
