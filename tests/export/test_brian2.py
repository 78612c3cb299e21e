"""Brian2 does what the network does: spikes equal, membranes to the rounding of its sums."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.errors import InputError, ParameterError
from biomem.network import (
    LIF,
    STDP,
    AdaptiveLIF,
    AllToAll,
    Bernoulli,
    ConductanceExp,
    Convolution,
    CurrentExp,
    CurrentInput,
    Delta,
    FixedInDegree,
    FixedOutDegree,
    Gamma,
    Izhikevich,
    OneToOne,
    Poisson,
    Population,
    Procedural,
    Projection,
    Pulse,
    SpikeArray,
    SpikeInput,
    SpikingNetwork,
    TsodyksMarkram,
    Uniform,
)

# Brian2 calls its parser by names that are on their way out.
pytestmark = [pytest.mark.brian2, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(autouse=True)
def numpy_code():
    """Let Brian2 run NumPy code: compiling takes longer than these runs."""
    brian2 = pytest.importorskip("brian2")
    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    yield
    brian2.prefs.codegen.target = before


def both(net, seconds, xs=None, seed=1):
    """Run biomem and Brian2; return the recording, the Brian2 network and the simulator."""
    from biomem.export.brian2 import to_brian2

    sim = Simulator(net, seed=seed, progress=False)
    ticks = round(seconds / net.params.dt)
    recording = sim.run(ticks=ticks) if xs is None else sim.run(xs)
    other = to_brian2(net, xs, seed=seed, replay=seconds)
    other.run(seconds)
    return recording, other, sim


def spikes_of(net, recording, name):
    return np.nonzero(np.asarray(recording["spikes"])[:, 0, net.units(name)])


def assert_same_spikes(net, recording, other):
    for p in net.params.populations:
        if isinstance(p.neuron, CurrentInput):
            continue
        tick, unit = spikes_of(net, recording, p.name)
        got_tick, got_unit = other.spikes(p.name)
        np.testing.assert_array_equal(got_tick, tick, err_msg=p.name)
        np.testing.assert_array_equal(got_unit, unit, err_msg=p.name)


def assert_same(net, seconds, xs=None):
    """Compare spikes exactly and membranes to rounding; return the Brian2 network."""
    recording, other, sim = both(net, seconds, xs)
    assert_same_spikes(net, recording, other)
    v = np.asarray(recording["v"])[:, 0]
    at = 0
    for p in (p for p in net.params.populations if p.name in net.params.traces):
        want = v[:, at : at + p.n]
        at += p.n
        got = np.asarray(other.monitors[f"{p.name}/v"].v).T
        scale = max(1.0, float(np.abs(want).max()))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11 * scale, err_msg=p.name)
        assert spikes_of(net, recording, p.name)[0].size, f"{p.name} is silent"
    return other, sim


def driven(neuron, *, weight=0.4, noise=None):
    magnitude = isinstance(neuron.synapse, ConductanceExp)
    return SpikingNetwork(
        populations=(
            Population(name="in", n=5, neuron=SpikeInput(), sign="exc"),
            Population(name="current", n=3, neuron=CurrentInput()),
            Population(name="noise", n=8, neuron=Poisson(rate=60.0), sign="inh"),
            Population(name="cells", n=10, neuron=neuron),
        ),
        projections=(
            Projection(pre="in", post="cells", weight=Uniform(high=weight)),
            Projection(pre="current", post="cells", weight=Uniform(high=0.2 * weight)),
            Projection(
                pre="noise",
                post="cells",
                weight=0.2 * weight if magnitude else -0.2 * weight,
                rule=Bernoulli(p=0.5),
            ),
            Projection(
                pre="cells",
                post="cells",
                weight=0.1 * weight,
                rule=FixedOutDegree(k=4),
                delay=3e-3,
            ),
        ),
        traces=("cells",),
    )


NEURONS = [
    (LIF(v_leak=-0.2, v_init=(-0.1, 0.8)), 0.4),
    (LIF(rule="euler", strict=True, tau_ref=3e-3), 0.8),
    (LIF(rule="exp_gain_a", reset="subtract", synapse=Pulse(), r=30.0), 0.4),
    (LIF(rule="unit_gain", reset="none", synapse=Pulse()), 0.4),
    (LIF(reset="next_tick", tau_ref=2e-3), 0.8),
    (LIF(tau_ref=2e-3, synapse=CurrentExp(tau_exc=3e-3, tau_inh=6e-3), r=8.0, i_bias=0.02), 0.4),
    (LIF(rule="euler", synapse=ConductanceExp(e_exc=5.0, e_inh=-1.0), r=2.0), 0.4),
    (AdaptiveLIF(beta=0.3, tau_adapt=20e-3, b=0.02, tau_ref=1e-3), 0.8),
    (Izhikevich(i_bias=4.0), 20.0),
    (Izhikevich(synapse=Delta(), substeps=3), 30.0),
    (Izhikevich(a=0.1, d=2.0, synapse=CurrentExp()), 10.0),
]


@pytest.mark.parametrize(("neuron", "weight"), NEURONS, ids=range(len(NEURONS)))
def test_each_neuron_fires_and_moves_alike(neuron, weight):
    net = driven(neuron, weight=weight)
    rng = np.random.default_rng(2)
    xs = np.zeros((120, 1, 8))
    xs[:, 0, :5] = rng.random((120, 5)) < 0.15
    xs[:, 0, 5:] = rng.normal(0.3, 0.3, (120, 3))
    assert_same(net, 0.12, xs)


PLASTICITY = [
    {"weight": Gamma(mean=0.5), "delay": Uniform(low=1e-3, high=6e-3), "rule": Bernoulli(p=0.5)},
    {"rule": OneToOne(), "weight": 2.0, "delay": 4e-3},
    {"rule": Procedural(k=5)},
    {
        "rule": Convolution(in_shape=(1, 3, 4), out_channels=1, kernel=(3, 3), padding=1),
        "weight": Uniform(),
    },
    {"stp": TsodyksMarkram(U=0.4, tau_rec=30e-3, tau_facil=20e-3), "delay": 3e-3},
    {"stp": TsodyksMarkram(U=0.4, tau_rec=0.0, tau_facil=20e-3, spread=0.5)},
    {"stp": TsodyksMarkram(tau_rec=0.1), "rule": Procedural(k=8)},
    {"stdp": STDP(a_plus=0.1, a_minus=0.12), "weight": Uniform()},
    {"stdp": STDP(a_plus=0.1, a_minus=0.12), "stp": TsodyksMarkram(), "rule": FixedInDegree(k=6)},
]


@pytest.mark.parametrize("changes", PLASTICITY, ids=range(len(PLASTICITY)))
def test_each_rule_and_plasticity_acts_alike(changes):
    net = SpikingNetwork(
        populations=(
            Population(name="noise", n=12, neuron=Poisson(rate=60.0)),
            Population(name="cells", n=12, neuron=LIF(synapse=CurrentExp(), r=3.0)),
        ),
        projections=(
            Projection(**({"pre": "noise", "post": "cells", "weight": 0.6, "name": "q"} | changes)),
            Projection(pre="noise", post="cells", rule=FixedInDegree(k=6), weight=0.7),
        ),
        traces=("cells",),
    )
    other, sim = assert_same(net, 0.2)
    if "stdp" in changes:
        got = np.asarray(other.synapses["q"].w)
        assert np.ptp(got) > 0.1
        np.testing.assert_allclose(got, sim.state.plastic[0], rtol=0, atol=1e-12)


def test_a_chain_without_delay_is_passed_within_the_tick():
    relay = LIF(decay=0.0, v_th=0.5, synapse=Pulse())
    net = SpikingNetwork(
        populations=(
            Population(name="c", n=2, neuron=relay),
            Population(name="b", n=2, neuron=relay),
            Population(name="a", n=2, neuron=relay),
            Population(name="given", n=2, neuron=SpikeArray()),
        ),
        projections=(
            Projection(pre="given", post="a", rule=OneToOne(), delay=0.0),
            Projection(pre="a", post="b", rule=OneToOne(), delay=0.0),
            Projection(pre="b", post="c", rule=OneToOne(), delay=0.0, stdp=STDP(w_max=2.0)),
            Projection(pre="c", post="a", rule=OneToOne(), delay=4e-3),
        ),
        weights={"given/time": [1e-3, 7e-3], "given/unit": [0, 1]},
        traces=("a", "b", "c"),
    )
    other, _ = assert_same(net, 0.03)
    np.testing.assert_array_equal(
        other.spikes("c")[0], [1, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29]
    )


def test_one_thousand_neurons_forward_fire_identically_over_a_second():
    rng = np.random.default_rng(4)
    spikes = np.unique(rng.integers(0, 10_000 * 200, 40_000))
    net = SpikingNetwork(
        populations=(
            Population(name="given", n=200, neuron=SpikeArray()),
            Population(name="cells", n=1000, neuron=LIF(rule="euler", tau_ref=2e-3)),
        ),
        projections=(
            Projection(
                pre="given",
                post="cells",
                rule=Bernoulli(p=0.2),
                weight=Uniform(low=-0.05, high=0.15),
                delay=1e-3,
            ),
        ),
        weights={"given/time": spikes // 200 * 1e-4, "given/unit": spikes % 200},
        dt=1e-4,
    )
    recording, other, _ = both(net, 1.0)
    assert_same_spikes(net, recording, other)
    assert len(other.spikes("cells")[0]) > 10_000


def first_difference(net, recording, other, names):
    """Return the tick from which the spikes of two runs differ, or the number of ticks."""
    ticks = len(recording["spikes"])
    for name in names:
        n = net.params.named[name].n
        one, two = (t * n + u for t, u in (spikes_of(net, recording, name), other.spikes(name)))
        only_one = np.setxor1d(one, two)
        if len(only_one):
            ticks = min(ticks, int(only_one[0]) // n)
    return ticks


def test_one_thousand_recurrent_neurons_agree_up_to_a_rounding_and_in_their_rates():
    seconds, names = 4.0, ("exc", "inh")
    cell = LIF(rule="euler", tau_ref=2e-3, v_init=(0.0, 1.0))
    net = SpikingNetwork(
        populations=(
            Population(name="noise", n=1000, neuron=Poisson(rate=300.0)),
            Population(name="exc", n=800, neuron=cell, sign="exc"),
            Population(name="inh", n=200, neuron=cell, sign="inh"),
        ),
        projections=(
            *(
                Projection(pre="noise", post=post, rule=FixedInDegree(k=20), weight=0.011)
                for post in names
            ),
            *(
                Projection(pre=pre, post=post, rule=FixedInDegree(k=k), weight=weight, delay=1.5e-3)
                for pre, k, weight in (("exc", 80, 0.01), ("inh", 20, -0.05))
                for post in names
            ),
        ),
        dt=1e-4,
    )
    recording, other, _ = both(net, seconds)
    split = first_difference(net, recording, other, names)
    print(f"spikes differ from tick {split} of {len(recording['spikes'])}")  # pytest -rP shows it
    # A membrane has some 1e-16 of rounding, so the first of 1e5 spikes are beyond its reach.
    assert split > 1000
    counts = np.array(
        [(len(spikes_of(net, recording, name)[0]), len(other.spikes(name)[0])) for name in names]
    )
    # Were the runs independent, their counts would differ by 0.5 % at one standard deviation.
    assert counts.sum(axis=0).min() > 90_000
    assert counts[:, 1].sum() == pytest.approx(counts[:, 0].sum(), rel=0.01)
    for name in names:
        tick, unit = spikes_of(net, recording, name)
        got_tick, got_unit = other.spikes(name)
        np.testing.assert_array_equal(tick[tick < split], got_tick[got_tick < split])
        np.testing.assert_array_equal(unit[tick < split], got_unit[got_tick < split])


def test_poisson_groups_are_equal_in_law():
    from biomem.export.brian2 import to_brian2

    net = SpikingNetwork(populations=(Population(name="noise", n=100, neuron=Poisson(rate=50.0)),))
    other = to_brian2(net)
    import brian2

    brian2.seed(3)
    other.run(1.0)
    assert abs(len(other.spikes("noise")[0]) - 5000) < 4 * 5000**0.5
    assert type(other.groups["noise"]).__name__ == "PoissonGroup"


def test_a_run_goes_on_where_it_stopped():
    net = driven(LIF(), weight=0.8)
    xs = np.zeros((60, 1, 8))
    xs[::3, 0, :5] = 1
    recording = Simulator(net, seed=1).run(xs)
    from biomem.export.brian2 import to_brian2

    other = to_brian2(net, xs, seed=1, replay=0.06)
    other.run(0.02)
    other.run(0.04)
    assert_same_spikes(net, recording, other)


def test_what_brian2_cannot_do_equally_is_refused():
    from biomem.export.brian2 import to_brian2

    with pytest.raises(ParameterError, match="dtype must be 'float64', got 'float32'"):
        to_brian2(SpikingNetwork(dtype="float32"))
    late = Projection(rule=AllToAll(), stdp=STDP(), delay=2e-3)
    with pytest.raises(
        ParameterError, match=r"STDP and a delay above one tick.*give it delay=0.001"
    ):
        to_brian2(SpikingNetwork(projections=(late,)))
    with pytest.raises(InputError, match="needs inputs"):
        to_brian2(driven(LIF()))
    with pytest.raises(InputError, match=r"positive multiple of dt = 0.001 s, got 0.0015"):
        to_brian2(SpikingNetwork()).run(1.5e-3)
