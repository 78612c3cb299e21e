"""The network as a model: names, inputs it refuses, recordings too large, what a refusal leaves."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.engine.model import flatten
from biomem.engine.simulator import Simulator
from biomem.errors import InputError, RecordingLimitError
from biomem.network import (
    LIF,
    CurrentInput,
    FixedOutDegree,
    Izhikevich,
    Poisson,
    Population,
    Projection,
    SpikeInput,
    SpikingNetwork,
)


@pytest.fixture
def net():
    return SpikingNetwork(
        populations=(
            Population(name="noise", n=4, neuron=Poisson(rate=100.0)),
            Population(name="cells", n=6, neuron=LIF(v_init=(0.2, 0.7))),
            Population(name="in", n=3, neuron=SpikeInput()),
            Population(name="current", n=2, neuron=CurrentInput()),
            Population(name="izhikevich", n=5, neuron=Izhikevich()),
        ),
        projections=(
            Projection(pre="noise", post="cells", rule=FixedOutDegree(k=2)),
            Projection(pre="in", post="izhikevich", weight=5.0),
            Projection(pre="current", post="cells"),
        ),
        traces=("izhikevich", "cells"),
    )


def test_populations_are_found_by_name(net):
    assert net.units("noise") == slice(0, 4)
    assert net.units("izhikevich") == slice(15, 20)
    assert net.neurons("cells") == slice(0, 6)
    assert net.neurons("izhikevich") == slice(6, 11)
    with pytest.raises(
        InputError, match=r"no population 'exc'; there are \['noise', 'cells', 'in'"
    ):
        net.units("exc")


def test_the_description_names_everything(net):
    assert "11 neurons" in repr(net)
    assert "noise: 4 Poisson" in repr(net)
    assert "dt=0.001 s" in repr(net)


def test_membranes_begin_where_asked(net):
    v = np.asarray(Simulator(net, batch=50).state.v)
    cells = v[:, net.neurons("cells")]
    assert 0.2 <= cells.min() < 0.25 < 0.65 < cells.max() < 0.7
    assert len(np.unique(cells)) == cells.size
    assert (v[:, net.neurons("izhikevich")] == -65.0).all()


def state_of(sim):
    return {name: np.array(array) for name, array in flatten(sim.state)}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            (1, 0, 0, 0.5),
            r"SpikeInput 'in' must be 0 or 1, got 0.5 at \(time, batch, unit\) = \(1, 0, 0\)",
        ),
        (
            (2, 0, 1, 2.0),
            r"several events in a tick need a smaller dt, graded values a CurrentInput",
        ),
        ((0, 0, 2, -1.0), r"must be 0 or 1, got -1.0"),
        ((2, 0, 4, np.nan), r"inputs must be finite, got nan"),
        ((0, 0, 3, np.inf), r"inputs must be finite, got inf"),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_refused_input_leaves_state_and_input_as_they_were(net, spoil, message, backend):
    sim = Simulator(net, backend=backend)
    xs = np.zeros((3, 1, 5))
    xs[:, :, 3:] = 0.7
    sim.run(xs)
    before = state_of(sim)
    *where, value = spoil
    xs[tuple(where)] = value
    given = xs.copy()
    with pytest.raises(InputError, match=message):
        sim.run(xs)
    np.testing.assert_array_equal(xs, given)
    assert sim.tick == 3
    for name, array in state_of(sim).items():
        np.testing.assert_array_equal(array, before[name])


def test_inputs_of_another_shape_are_refused(net):
    with pytest.raises(InputError, match=r"inputs must have shape .*input=5.*got \(3, 1, 4\)"):
        Simulator(net).run(np.zeros((3, 1, 4)))
    with pytest.raises(InputError, match="needs inputs"):
        Simulator(net).run(ticks=3)


def test_a_network_without_inputs_takes_none():
    net = SpikingNetwork()
    with pytest.raises(InputError, match="takes no input"):
        Simulator(net).run(np.zeros((3, 1, 0)))
    assert Simulator(net).run(ticks=3)["spikes"].shape == (3, 1, 1)


def test_a_recording_over_the_limit_is_refused_and_the_clock_stands():
    net = SpikingNetwork(populations=(Population(n=1000),), traces=("neurons",))
    sim = Simulator(net)
    sim.run(ticks=2)
    before = state_of(sim)
    with pytest.raises(RecordingLimitError, match="v"):
        sim.run(ticks=5_000_000)
    assert sim.tick == 2
    for name, array in state_of(sim).items():
        np.testing.assert_array_equal(array, before[name])


def test_another_time_step_keeps_the_given_arrays(net):
    other = Simulator(net, dt=5e-4).model
    assert other.params.dt == 5e-4
    for name, array in net.weights.items():
        np.testing.assert_array_equal(other.weights[name], array)


def test_traces_stand_in_the_order_of_populations(net):
    sim = Simulator(net)
    v = sim.run(np.zeros((2, 1, 5)))["v"]
    assert v.shape == (2, 1, 11)
    np.testing.assert_array_equal(v[-1], np.asarray(sim.state.v))
