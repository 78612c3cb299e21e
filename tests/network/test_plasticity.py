"""Short-term plasticity and pair STDP against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    STDP,
    AllToAll,
    Convolution,
    CurrentInput,
    OneToOne,
    Population,
    Procedural,
    Projection,
    Pulse,
    SpikeInput,
    SpikingNetwork,
    TsodyksMarkram,
)

# Its membrane is what arrives in a tick.
PROBE = LIF(decay=0.0, reset="none", v_th=1e9, synapse=Pulse())
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])


def amplitudes(stp, spikes, *, weight=1.0, rule=None, backend="numba", dt=1e-3):
    """Return what a train of spikes brings to a probe, tick by tick."""
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=SpikeInput()),
            Population(name="probe", neuron=PROBE),
        ),
        projections=(
            Projection(pre="in", post="probe", weight=weight, stp=stp, rule=rule or AllToAll()),
        ),
        traces=("probe",),
        dt=dt,
    )
    sim = Simulator(net, backend=backend)
    return sim.run(np.asarray(spikes, float)[:, None, None])["v"][:, 0, 0], sim


@pytest.mark.parametrize(
    "stp",
    [
        TsodyksMarkram(U=0.5, tau_rec=1.1, tau_facil=0.05),
        TsodyksMarkram(U=0.05, tau_rec=0.125, tau_facil=1.2),
        TsodyksMarkram(U=0.3, tau_rec=0.3, tau_facil=0.0),
        TsodyksMarkram(U=0.3, tau_rec=0.0, tau_facil=0.4),
    ],
    ids=["EE", "EI", "no facilitation", "no depression"],
)
def test_periodic_spikes_reach_the_steady_state(stp):
    every, n = 40, 400
    spikes = np.zeros(every * n)
    spikes[::every] = 1
    got, sim = amplitudes(stp, spikes, weight=-2.0)
    interval = every * 1e-3
    f = math.exp(-interval / stp.tau_facil) if stp.tau_facil else 0.0
    d = math.exp(-interval / stp.tau_rec) if stp.tau_rec else 0.0
    u = stp.U / (1 - (1 - stp.U) * f)
    r = (1 - d) / (1 - (1 - u) * d)
    assert got[0] == pytest.approx(-2.0 * stp.U, rel=1e-15)
    assert got[-every] == pytest.approx(-2.0 * u * r, rel=1e-9)
    assert sim.state.stp_u[0, 0] == pytest.approx(u, rel=1e-9)
    assert sim.state.stp_r[0, 0] == pytest.approx(r, rel=1e-9)


def test_irregular_spikes_follow_the_recursion():
    stp = TsodyksMarkram(U=0.4, tau_rec=0.3, tau_facil=0.2)
    at = np.array([3, 4, 10, 50, 51, 52, 300])
    spikes = np.zeros(320)
    spikes[at] = 1
    got = amplitudes(stp, spikes)[0][at]
    u, r, want = stp.U, 1.0, [stp.U]
    for gap in np.diff(at) * 1e-3:
        r = 1 + (r - u * r - 1) * math.exp(-gap / stp.tau_rec)
        u = stp.U + u * (1 - stp.U) * math.exp(-gap / stp.tau_facil)
        want.append(u * r)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize(
    "rule",
    [OneToOne(), Procedural(k=1), Convolution(in_shape=(1, 1, 1), out_channels=1, kernel=(1, 1))],
    ids=str,
)
def test_every_form_scales_by_the_same_state(rule):
    spikes = (np.arange(50) % 3 == 0).astype(float)
    stp = TsodyksMarkram(tau_facil=0.1)
    want, got = amplitudes(stp, spikes)[0], amplitudes(stp, spikes, rule=rule)[0]
    np.testing.assert_array_equal(want, got)


def test_own_states_are_spread_as_asked():
    stp = TsodyksMarkram(U=0.2, tau_rec=0.8, tau_facil=0.5, spread=0.5)
    net = SpikingNetwork(
        populations=(Population(name="a", n=150),),
        projections=(Projection(pre="a", post="a", stp=stp),),
    )
    for part, mean in (("U", 0.2), ("tau_rec", 0.8), ("tau_facil", 0.5)):
        drawn = net.weights[f"a>a/{part}"]
        # The normal distribution above 0, and 2.3 % of draws spread over [0, 2 mean].
        assert drawn.min() > 0
        assert drawn.mean() == pytest.approx(1.029 * mean, rel=0.02)
        assert drawn.std() == pytest.approx(0.48 * mean, rel=0.05)


def pair(stdp, pre, post, ticks, *, weight=0.5, backend="numba", dt=1e-3):
    """Return the weight after spikes of a source and of a target at given ticks."""
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=SpikeInput()),
            Population(name="force", neuron=CurrentInput()),
            Population(name="cell", neuron=LIF(decay=0.0, v_th=100.0)),
        ),
        projections=(
            Projection(pre="in", post="cell", weight=weight, stdp=stdp),
            Projection(pre="force", post="cell", weight=1000.0),
        ),
        dt=dt,
    )
    xs = np.zeros((ticks, 1, 2))
    xs[pre, 0, 0] = 1
    xs[post, 0, 1] = 1
    sim = Simulator(net, backend=backend)
    spikes = sim.run(xs)["spikes"][:, 0, 2]
    np.testing.assert_array_equal(np.flatnonzero(spikes), np.sort(post))
    return float(sim.state.plastic[0, 0])


WINDOW = STDP(a_plus=0.03, a_minus=0.02, tau_plus=17e-3, tau_minus=29e-3)


@BACKENDS
@pytest.mark.parametrize("apart", [1, 5, 40, -1, -5, -40, 0])
def test_the_window_of_a_pair(apart, backend):
    got = pair(WINDOW, [50], [50 + apart], 100, backend=backend) - 0.5
    t = abs(apart) * 1e-3
    want = 0.03 * math.exp(-t / 17e-3) if apart > 0 else -0.02 * math.exp(-t / 29e-3)
    assert got == pytest.approx(want if apart else 0.0, rel=1e-12, abs=1e-15)


def test_all_pairs_add_up():
    pre, post = np.array([5, 20, 21, 60]), np.array([10, 20, 40, 61])
    want = 0.5
    for a in pre:
        for b in post:
            t = abs(int(b) - int(a)) * 1e-3
            if b > a:
                want += 0.03 * math.exp(-t / 17e-3)
            elif b < a:
                want -= 0.02 * math.exp(-t / 29e-3)
    assert pair(WINDOW, pre, post, 80) == pytest.approx(want, rel=1e-12)


@BACKENDS
def test_weights_stop_at_their_bounds(backend):
    pre = np.arange(0, 200, 10)
    bounds = {"w_min": 0.1, "w_max": 0.9}
    up = STDP(a_plus=0.3, a_minus=0.0, **bounds)
    down = STDP(a_plus=0.0, a_minus=0.3, **bounds)
    assert pair(up, pre, pre + 1, 210, backend=backend) == 0.9
    assert pair(down, pre + 1, pre, 210, backend=backend) == 0.1


def test_a_spike_travels_with_the_weight_from_before_its_own_tick():
    stdp = STDP(a_plus=0.5, a_minus=0.0, w_max=10.0)
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=SpikeInput()),
            Population(name="cell", neuron=PROBE.replace(v_th=1.0)),
        ),
        projections=(Projection(pre="in", post="cell", weight=2.0, stdp=stdp),),
        traces=("cell",),
    )
    sim = Simulator(net)
    v = sim.run(np.ones((3, 1, 1)))["v"][:, 0, 0]
    kept = math.exp(-1e-3 / 20e-3)
    second = 2.0 + 0.5 * kept
    np.testing.assert_allclose(v, [2.0, 2.0, second], rtol=1e-14)
    third = second + 0.5 * kept * (kept + 1)
    assert sim.state.plastic[0, 0] == pytest.approx(third, rel=1e-14)


def test_learning_is_each_streams_own_and_the_networks_weights_stay():
    stdp = STDP(a_plus=0.1, a_minus=0.0)
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=SpikeInput()),
            Population(name="cell", neuron=PROBE.replace(v_th=0.4)),
        ),
        projections=(Projection(pre="in", post="cell", weight=0.5, stdp=stdp),),
    )
    xs = np.zeros((4, 2, 1))
    xs[:, 1] = 1
    sim = Simulator(net, batch=2)
    sim.run(xs)
    assert sim.state.plastic[0, 0] == 0.5
    assert sim.state.plastic[1, 0] > 0.5
    assert float(net.weights["in>cell/weight"][0, 0]) == 0.5
