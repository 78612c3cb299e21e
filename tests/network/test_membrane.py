"""Neurons against what is known of them: rates, refractory times, resets, adaptation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    AdaptiveLIF,
    ConductanceExp,
    CurrentExp,
    CurrentInput,
    Delta,
    Izhikevich,
    Population,
    Projection,
    Pulse,
    SpikeInput,
    SpikingNetwork,
)


def run(neuron, xs, *, source=None, dt=1e-3, sign="any", weight=1.0, backend="auto"):
    """Return spikes and membrane of one neuron, and the simulator."""
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=source or CurrentInput(), sign=sign),
            Population(name="cell", neuron=neuron),
        ),
        projections=(Projection(pre="in", post="cell", weight=weight),),
        traces=("cell",),
        dt=dt,
    )
    sim = Simulator(net, backend=backend)
    recording = sim.run(np.asarray(xs, float)[:, None, None])
    return np.flatnonzero(recording["spikes"][:, 0, 1]), recording["v"][:, 0, 0], sim


@pytest.mark.parametrize("rule", ["exp", "euler"])
@pytest.mark.parametrize("current", [1.1, 1.5, 3.0])
def test_the_period_under_constant_current(rule, current):
    dt, tau = 1e-5, 20e-3
    ticks, _, _ = run(LIF(tau_mem=tau, rule=rule), np.full(60_000, current), dt=dt)
    period = tau * math.log(current / (current - 1.0))
    assert len(ticks) > 5
    np.testing.assert_allclose(np.diff(ticks) * dt, period, rtol=2e-3)


def test_below_rheobase_nothing_fires():
    ticks, v, _ = run(LIF(), np.full(2000, 0.999))
    assert len(ticks) == 0
    assert v[-1] == pytest.approx(0.999, rel=1e-12)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_refractory_ticks_are_counted_from_the_tick_after_the_spike(n):
    neuron = LIF(tau_ref=n * 1e-3, v_reset=-0.5)
    ticks, v, _ = run(neuron, np.full(40, 1e3))
    np.testing.assert_array_equal(ticks, np.arange(0, 40, n + 1))
    assert (v == -0.5).all()


def test_a_refractory_neuron_hears_no_jump_but_its_current_goes_on():
    xs = np.zeros(12)
    xs[[0, 2]] = 1.0
    neuron = LIF(tau_ref=3e-3, synapse=Delta(), decay=1.0)
    _, v, _ = run(neuron, xs, source=SpikeInput(), weight=2.0)
    np.testing.assert_array_equal(v, 0.0)
    _, v, _ = run(neuron.replace(synapse=Pulse()), xs, source=SpikeInput(), weight=2.0)
    np.testing.assert_array_equal(v, 0.0)
    filtered = LIF(tau_ref=3e-3, r=20.0, synapse=CurrentExp(tau_exc=4e-3))
    ticks, v, sim = run(filtered, xs, source=SpikeInput(), weight=2.0)
    np.testing.assert_array_equal(ticks[:2], [0, 4])
    np.testing.assert_array_equal(v[:5], 0.0)
    decayed = 2.0 * (math.exp(-12 / 4) + math.exp(-10 / 4))
    assert sim.state.current[0, 0] == pytest.approx(decayed, rel=1e-12)


def test_subtraction_loses_no_charge():
    drive = np.random.default_rng(1).uniform(0, 0.9, 500)
    ticks, v, _ = run(LIF(decay=1.0, reset="subtract"), drive)
    assert len(ticks) + v[-1] == pytest.approx(drive.sum(), rel=1e-12)
    assert 0 <= v[-1] < 1


@pytest.mark.parametrize(("strict", "first"), [(False, 3), (True, 4)])
def test_a_membrane_at_threshold_fires_where_the_comparison_is_inclusive(strict, first):
    ticks, _, _ = run(LIF(decay=1.0, strict=strict), np.full(6, 0.25))
    assert ticks[0] == first


def test_without_reset_the_membrane_stays_above_threshold():
    xs = np.zeros(6)
    xs[0] = 1.5
    ticks, v, _ = run(LIF(decay=1.0, reset="none"), xs)
    np.testing.assert_array_equal(ticks, range(6))
    np.testing.assert_array_equal(v, 1.5)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_late_reset_shows_the_crossing_and_keeps_what_arrives(backend):
    xs = np.array([0.5, 0.7, 0.2, 0.0])
    neuron = LIF(decay=1.0, reset="next_tick", v_reset=-0.25)
    ticks, v, _ = run(neuron, xs, backend=backend)
    np.testing.assert_array_equal(ticks, [1])
    np.testing.assert_allclose(v, [0.5, 1.2, -0.05, -0.05], atol=1e-15)
    jumped = run(neuron.replace(synapse=Delta()), [1, 1, 1, 0], source=SpikeInput(), weight=0.7)[1]
    np.testing.assert_allclose(jumped, [0.7, 1.4, 0.45, 0.45], atol=1e-15)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_late_reset_comes_before_the_refractory_time(backend):
    neuron = LIF(decay=1.0, reset="next_tick", tau_ref=2e-3)
    ticks, v, _ = run(neuron, [1.5, 0.1, 0.1, 0.1, 0.1], backend=backend)
    np.testing.assert_array_equal(ticks, [0])
    np.testing.assert_allclose(v, [1.5, 0.0, 0.0, 0.1, 0.2], atol=1e-15)


def test_adaptation_is_the_filtered_spike_train():
    neuron = AdaptiveLIF(decay=0.0, beta=0.0, tau_adapt=30e-3)
    xs = np.zeros(50)
    xs[[0, 7, 8, 30]] = 2.0
    ticks, _, sim = run(neuron, xs)
    np.testing.assert_array_equal(ticks, [0, 7, 8, 30])
    want = np.exp(-(49 - ticks) * 1e-3 / 30e-3).sum()
    np.testing.assert_allclose(sim.state.adaptation[0, 0], want, rtol=1e-12)


def test_adaptation_raises_the_threshold_and_takes_current_away():
    w = math.exp(-1e-3 / 100e-3)
    neuron = AdaptiveLIF(decay=0.0, beta=0.5)
    assert len(run(neuron, [1.0, 1.0 + 0.49])[0]) == 1  # the bar is at 1.5 in the tick after
    assert len(run(neuron, [1.0, 1.0 + 0.51])[0]) == 2
    tired = AdaptiveLIF(decay=0.0, beta=0.0, b=0.3, reset="none")
    _, v, _ = run(tired, [2.0, 2.0, 2.0])
    np.testing.assert_allclose(v, [2.0, 2.0 - 0.3, 2.0 - 0.3 * (w + 1)], rtol=1e-14)


def test_adaptation_slows_firing_to_the_known_rate():
    # With the trace at its mean, tau_adapt * rate, the bar stands at 1 + beta tau_adapt rate.
    dt, drive, beta, tau_adapt = 1e-4, 3.0, 0.02, 1.0
    neuron = AdaptiveLIF(beta=beta, tau_adapt=tau_adapt)
    ticks, _, _ = run(neuron, np.full(80_000, drive), dt=dt)
    rate = 1 / (np.diff(ticks[-40:]).mean() * dt)
    bar = 1 + beta * tau_adapt * rate
    assert 1 / rate == pytest.approx(20e-3 * math.log(drive / (drive - bar)), rel=2e-2)
    assert np.diff(ticks)[0] < 0.6 * np.diff(ticks)[-1]


def test_conductances_draw_the_membrane_to_their_reversal_potential():
    synapse = ConductanceExp(tau_exc=1e6, tau_inh=1e6, e_exc=0.7, e_inh=-0.9)
    neuron = LIF(rule="euler", v_th=10.0, v_leak=0.1, synapse=synapse)
    xs = np.zeros(4000)
    xs[0] = 1.0
    for sign, reversal in (("exc", 0.7), ("inh", -0.9)):
        _, v, _ = run(neuron, xs, source=SpikeInput(), weight=3.0, sign=sign)
        # The steady state of v_leak - v + r g (e - v) = 0.
        assert v[-1] == pytest.approx((0.1 + 3.0 * reversal) / 4.0, rel=1e-4)


def test_izhikevich_rests_where_his_equations_stand_still():
    _, v, sim = run(Izhikevich(), np.zeros(3000))
    assert v[-1] == pytest.approx(-70.0, abs=1e-6)  # 0.04 v^2 + 4.8 v + 140 = 0
    assert sim.state.adaptation[0, 0] == pytest.approx(0.2 * -70.0, abs=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"a": 0.1, "d": 2.0},  # fast spiking
        {"c": -50.0, "d": 2.0},  # chattering
    ],
    ids=["regular", "fast", "chattering"],
)
def test_izhikevich_spikes_are_those_of_his_equations(kind):
    from scipy.integrate import solve_ivp

    neuron, current, dt = Izhikevich(substeps=10, **kind), 10.0, 1e-5
    ticks, _, _ = run(neuron, np.full(10_000, current), dt=dt)

    def equations(_, y):
        v, u = y
        return [
            0.04 * v * v + 5 * v + 140 - u + current,
            neuron.a * (neuron.b * v - u),
        ]

    def peak(_, y):
        return y[0] - neuron.v_peak

    peak.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    now, y, want = 0.0, [neuron.c, neuron.b * neuron.c], []
    while now < 100.0:
        path = solve_ivp(equations, (now, 100.0), y, events=peak, rtol=1e-9, atol=1e-9)
        now = path.t[-1]
        if not len(path.t_events[0]):
            break
        want.append(now)
        y = [neuron.c, path.y[1, -1] + neuron.d]
    assert len(ticks) == len(want) >= 3
    np.testing.assert_allclose((ticks + 1) * dt * 1e3, want, atol=0.2)
