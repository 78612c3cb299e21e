"""Spikes arrive when and where they should: delays, order within a tick, convolutions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate2d

from biomem.engine.random import Rng
from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    AllToAll,
    Bernoulli,
    ConductanceExp,
    Convolution,
    CurrentExp,
    CurrentInput,
    Explicit,
    FixedInDegree,
    Normal,
    Population,
    Procedural,
    Projection,
    Pulse,
    SpikeInput,
    SpikingNetwork,
    Uniform,
)

# Its membrane is what arrives in a tick; and it hands every spike on in the tick it comes.
PROBE = LIF(decay=0.0, reset="none", v_th=1e9, synapse=Pulse())
RELAY = LIF(decay=0.0, v_th=0.5, synapse=Pulse())
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "numba"])


def arrivals(n_in, n_out, projection, spikes, *, weights=None, backend="numba", source=None):
    """Return what a projection brings to probes, shape ``(time, n_out)``."""
    net = SpikingNetwork(
        populations=(
            Population(name="in", n=n_in, neuron=source or SpikeInput()),
            Population(name="probe", n=n_out, neuron=PROBE),
        ),
        projections=(projection.replace(pre="in", post="probe", name="q"),),
        weights=weights,
        traces=("probe",),
    )
    xs = np.asarray(spikes, float)[:, None]
    return Simulator(net, backend=backend).run(xs)["v"][:, 0], net


@BACKENDS
@pytest.mark.parametrize("ticks", [0, 1, 2, 9])
def test_a_spike_arrives_after_its_delay(ticks, backend):
    spikes = np.zeros((30, 1))
    spikes[[3, 4, 11]] = 1
    v, _ = arrivals(1, 1, Projection(delay=ticks * 1e-3), spikes, backend=backend)
    np.testing.assert_array_equal(np.flatnonzero(v[:, 0]), np.array([3, 4, 11]) + ticks)


@BACKENDS
def test_every_synapse_keeps_its_own_delay(backend):
    spikes = np.zeros((30, 4))
    spikes[2, :2] = 1
    spikes[5, 1:] = 1
    projection = Projection(delay=Uniform(low=1e-3, high=9e-3), weight=Uniform(low=0.1, high=1.0))
    v, net = arrivals(4, 6, projection, spikes, backend=backend)
    delay = np.rint(net.weights["q/delay"] / 1e-3).astype(int).reshape(4, 6)
    want = np.zeros((30, 6))
    for tick, source in np.argwhere(spikes):
        for target in range(6):
            at = tick + delay[source, target]
            want[at, target] += net.weights["q/weight"][source, target]
    assert len(np.unique(delay)) > 4
    np.testing.assert_allclose(v, want, rtol=0, atol=1e-15)


@BACKENDS
def test_a_chain_without_delay_is_passed_within_the_tick(backend):
    names = ["d", "b", "a", "c"]  # on purpose not in the order of the chain
    net = SpikingNetwork(
        populations=(
            *(Population(name=name, neuron=RELAY) for name in names),
            Population(name="in", neuron=SpikeInput()),
        ),
        projections=(
            Projection(pre="c", post="d", delay=0.0),
            Projection(pre="in", post="a"),
            Projection(pre="b", post="c", delay=0.0),
            Projection(pre="a", post="b", delay=0.0),
            Projection(pre="d", post="a", delay=3e-3),
        ),
    )
    xs = np.zeros((8, 1, 1))
    xs[1] = 1
    spikes = Simulator(net, backend=backend).run(xs)["spikes"][:, 0]
    for name in names:
        np.testing.assert_array_equal(np.flatnonzero(spikes[:, net.units(name)]), [1, 4, 7])


def test_the_delay_that_is_not_given_is_one_tick_and_none_from_outside():
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=SpikeInput()),
            Population(name="a", neuron=RELAY),
            Population(name="b", neuron=RELAY),
        ),
        projections=(Projection(pre="in", post="a"), Projection(pre="a", post="b")),
    )
    spikes = Simulator(net).run(np.ones((1, 1, 1)) * [[[1.0]]])["spikes"][:, 0]
    np.testing.assert_array_equal(spikes, [[True, True, False]])
    np.testing.assert_array_equal([q.delay for q in net.layout.projections], [0, 1])


@BACKENDS
@pytest.mark.parametrize(
    "rule",
    [
        Convolution(in_shape=(1, 5, 7), out_channels=1, kernel=(3, 3)),
        Convolution(in_shape=(3, 6, 5), out_channels=4, kernel=(3, 2), padding=2),
        Convolution(in_shape=(2, 9, 8), out_channels=3, kernel=(2, 4), stride=3, padding=1),
        Convolution(in_shape=(2, 4, 4), out_channels=1, kernel=(4, 4)),
    ],
    ids=str,
)
def test_a_convolution_is_the_direct_sum(rule, backend, rng):
    channels, height, width = rule.in_shape
    spikes = rng.random((4, *rule.in_shape)) < 0.4
    v, net = arrivals(
        channels * height * width,
        int(np.prod(rule.out_shape)),
        Projection(rule=rule, weight=Normal()),
        spikes.reshape(4, -1),
        backend=backend,
    )
    kernel = net.weights["q/weight"]
    padded = np.pad(spikes.astype(float), [(0, 0), (0, 0), *2 * [(rule.padding,) * 2]])
    for tick in range(4):
        for o in range(rule.out_channels):
            want = sum(
                correlate2d(padded[tick, c], kernel[o, c], mode="valid") for c in range(channels)
            )[:: rule.stride, :: rule.stride]
            got = v[tick].reshape(rule.out_shape)[o]
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


@BACKENDS
def test_procedural_synapses_are_those_of_the_same_pattern_stored(backend, rng):
    spikes = rng.random((12, 20)) < 0.3
    v, net = arrivals(
        20, 7, Projection(rule=Procedural(k=10), weight=0.3, delay=2e-3), spikes, backend=backend
    )
    [q] = net.layout.projections
    targets = net.params.projections[0].rule.targets(Rng(q.key), np.arange(20), 7)
    matrix = np.zeros((20, 7))
    np.add.at(matrix, (np.repeat(np.arange(20), 10), targets.reshape(-1)), 0.3)
    stored, _ = arrivals(
        20,
        7,
        Projection(rule=Explicit(), delay=2e-3),
        spikes,
        weights={"q/weight": matrix},
        backend=backend,
    )
    assert matrix.max() > 0.3  # some pairs have several synapses
    np.testing.assert_allclose(v, stored, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rule", [AllToAll(), Bernoulli(p=0.5), FixedInDegree(k=3)])
def test_currents_from_outside_are_a_matrix_product(rule, rng):
    xs = rng.normal(size=(5, 8))
    v, net = arrivals(
        8, 6, Projection(rule=rule, weight=Normal()), xs, source=CurrentInput(), backend="numba"
    )
    matrix = net.weights["q/weight"]
    if "q/target" in net.weights:
        full = np.zeros((8, 6))
        source = np.repeat(np.arange(8), np.diff(net.weights["q/indptr"]))
        full[source, net.weights["q/target"]] = matrix
        matrix = full
    np.testing.assert_allclose(v, xs @ matrix, rtol=0, atol=1e-14)


@pytest.mark.parametrize("synapse", [CurrentExp(), ConductanceExp()])
@pytest.mark.parametrize(
    ("sign", "receptor", "port"),
    [
        ("exc", "auto", 0),
        ("inh", "auto", 1),
        ("any", "auto", 0),
        ("any", "inh", 1),
        ("inh", "exc", 0),
    ],
)
def test_the_sign_of_the_source_decides_the_receptor(synapse, sign, receptor, port):
    inhibits = sign == "inh" and isinstance(synapse, CurrentExp)
    net = SpikingNetwork(
        populations=(
            Population(name="in", neuron=SpikeInput(), sign=sign),
            Population(name="cell", neuron=LIF(rule="euler", v_th=1e9, synapse=synapse)),
        ),
        projections=(
            Projection(pre="in", post="cell", receptor=receptor, weight=-1.0 if inhibits else 1.0),
        ),
    )
    sim = Simulator(net)
    sim.run(np.ones((1, 1, 1)))
    assert np.flatnonzero(np.asarray(sim.state.current)[0]).tolist() == [port]


def test_events_count_the_synapses_passed(rng):
    spikes = rng.random((30, 10)) < 0.3
    for storage in ("dense", "csr"):
        projection = Projection(rule=Bernoulli(p=0.5), storage=storage)
        net = arrivals(10, 9, projection, spikes)[1]
        sim = Simulator(net)
        sim.run(spikes.astype(float)[:, None])
        degree = np.diff(net.weights["q/indptr"])
        assert sim.work.synaptic_events == (spikes * degree).sum()
