"""The arrays of a network: given, drawn, and refused where they do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.errors import ParameterError
from biomem.network import (
    LIF,
    STDP,
    AllToAll,
    Bernoulli,
    ConductanceExp,
    Convolution,
    DistanceDependent,
    Explicit,
    FixedInDegree,
    FixedOutDegree,
    Gamma,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Procedural,
    Projection,
    SmallWorld,
    SpikeArray,
    SpikingNetwork,
    TsodyksMarkram,
    Uniform,
)
from biomem.network.weights import constant


def net(weights=None, *, sign="any", neuron=LIF(), **changes):  # noqa: B008 - frozen
    return SpikingNetwork(
        populations=(
            Population(name="a", n=4, neuron=Poisson(), sign=sign),
            Population(name="b", n=4, neuron=neuron),
        ),
        projections=(Projection(**({"pre": "a", "post": "b"} | changes)),),
        weights=weights,
    )


@pytest.mark.parametrize(
    ("changes", "shapes"),
    [
        ({"rule": AllToAll()}, {"weight": (4, 4)}),
        ({"rule": OneToOne()}, {"weight": (4,)}),
        (
            {"rule": Convolution(in_shape=(1, 2, 2), out_channels=4, kernel=(2, 2))},
            {"weight": (4, 1, 2, 2)},
        ),
        (
            {"rule": FixedOutDegree(k=2), "delay": Uniform(low=1e-3, high=2e-3)},
            {"indptr": (5,), "target": (8,), "weight": (8,), "delay": (8,)},
        ),
        (
            {"rule": AllToAll(), "stp": TsodyksMarkram(spread=0.5)},
            {"weight": (4, 4), "U": (16,), "tau_rec": (16,), "tau_facil": (16,)},
        ),
        ({"rule": Procedural(k=3)}, {}),
    ],
    ids=lambda x: str(x)[:40],
)
def test_every_rule_has_the_arrays_its_table_says(changes, shapes):
    found = {name.split("/")[1]: w.shape for name, w in net(**changes).weights.items()}
    assert found == shapes


def test_weights_and_delays_come_from_the_seed_alone():
    changes = {"rule": Bernoulli(p=0.5), "weight": Gamma(), "delay": Uniform(low=1e-3, high=9e-3)}
    one, two = net(**changes), net(**changes)
    other = SpikingNetwork(one.params.replace(seed=1))
    for name in one.weights:
        np.testing.assert_array_equal(one.weights[name], two.weights[name])
    assert not np.array_equal(one.weights["a>b/target"], other.weights["a>b/target"])


def test_a_further_projection_changes_no_other():
    first = Projection(pre="a", post="b", rule=Bernoulli(p=0.5), weight=Normal(), name="first")
    second = first.replace(name="second")
    populations = (Population(name="a", n=9), Population(name="b", n=9))
    alone = SpikingNetwork(populations=populations, projections=(first,))
    both = SpikingNetwork(populations=populations, projections=(first, second))
    for part in ("target", "weight"):
        np.testing.assert_array_equal(alone.weights[f"first/{part}"], both.weights[f"first/{part}"])
    assert not np.array_equal(both.weights["first/target"], both.weights["second/target"])


def test_with_weights_replaces_some_and_keeps_the_others():
    old = net(rule=Bernoulli(p=0.5), weight=Uniform())
    new = old.with_weights({"a>b/weight": 2.0 * old.weights["a>b/weight"]})
    np.testing.assert_array_equal(new.weights["a>b/weight"], 2.0 * old.weights["a>b/weight"])
    np.testing.assert_array_equal(new.weights["a>b/target"], old.weights["a>b/target"])


SPREAD = TsodyksMarkram(spread=0.1)
PATTERN = {"a>b/indptr": np.array([0, 2, 2, 3, 4]), "a>b/target": np.array([1, 3, 0, 0])}


@pytest.mark.parametrize(
    ("weights", "changes", "message"),
    [
        ({"b>a/weight": 1}, {}, r"weights has no array 'b>a/weight'; this network has \['a>b/we"),
        ({}, {"rule": Explicit()}, r"weights must have 'a>b/weight', got \[\]"),
        ({"a>b/weight": np.ones((4, 3))}, {}, r"must have shape \(4, 4\), got \(4, 3\)"),
        (
            {"a>b/weight": np.where(np.eye(4), np.nan, 1.0)},
            {},
            r"weights\['a>b/weight'\] must be finite, got nan at \(0, 0\)",
        ),
        (
            {"a>b/weight": np.full((4, 4), -1.0)},
            {"sign": "exc"},
            r"Projection 'a>b': weights of the 'exc' population 'a' onto 'b' must not be negative "
            r"\(Dale's law\), got -1.0; change the weights or the population's sign",
        ),
        ({"a>b/weight": np.ones((4, 4))}, {"sign": "inh"}, r"must not be positive \(Dale's law\)"),
        (
            {"a>b/weight": np.full((4, 4), -1.0)},
            {"sign": "inh", "neuron": LIF(rule="euler", synapse=ConductanceExp())},
            r"must not be negative \(conductances are magnitudes\), got -1.0",
        ),
        (
            {"a>b/weight": np.full((4, 4), 2.0)},
            {"stdp": STDP()},
            r"weights must begin within the bounds of its STDP, \[0.0, 1.0\], got 2.0; widen",
        ),
        ({"a>b/weight": np.full((4, 4), 1e308)}, {}, r"'b': its incoming weights must add up to a"),
        (
            PATTERN | {"a>b/indptr": np.array([0, 2, 1, 3, 4]), "a>b/weight": np.ones(4)},
            {"rule": Explicit(storage="csr")},
            r"weights\['a>b/indptr'\] must be 5 integers rising from 0 to the \(4,\) targets",
        ),
        (
            PATTERN | {"a>b/target": np.array([1, 4, 0, 0]), "a>b/weight": np.ones(4)},
            {"rule": Explicit(storage="csr")},
            r"must ascend within each source and lie in \[0, 4\), got values in \[0, 4\]",
        ),
        (
            PATTERN | {"a>b/target": np.array([3, 1, 0, 0]), "a>b/weight": np.ones(4)},
            {"rule": Explicit(storage="csr")},
            r"must ascend within each source",
        ),
        (
            PATTERN | {"a>b/target": np.array([1, 1, 0, 0]), "a>b/weight": np.ones(4)},
            {"rule": Explicit(storage="csr")},
            r"must ascend within each source",
        ),
        (
            {"a>b/delay": np.full(16, -1e-3)},
            {"delay": Uniform(low=1e-3, high=2e-3)},
            r"weights\['a>b/delay'\] must lie in \[0.0, inf\], got values in \[-0.001",
        ),
        (
            {"a>b/delay": np.zeros(16)},
            {"delay": Uniform(low=1e-3, high=2e-3)},
            r"delays must be 1 to 32767 ticks of 0.001 s, got 0 to 0; bound their distribution",
        ),
        (
            {"a>b/U": np.full(16, 1.5)},
            {"stp": SPREAD},
            r"weights\['a>b/U'\] must lie in \[0.0, 1.0\], got values in \[1.5, 1.5\]",
        ),
        ({}, {"rule": FixedInDegree(k=5)}, r"k must not exceed the 4 neurons to choose from, got"),
        ({}, {"rule": DistanceDependent()}, r"both populations need positions; give them a `grid`"),
        ({}, {"rule": SmallWorld(k=2)}, r"pre and post must be one population, got two"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(weights, changes, message):
    copies = {name: np.array(array) for name, array in weights.items()}
    with pytest.raises(ParameterError, match=message):
        net(weights, **changes)
    for name, array in copies.items():
        np.testing.assert_array_equal(weights[name], array)


def given(time, unit):
    return SpikingNetwork(
        populations=(Population(name="a", n=3, neuron=SpikeArray()),),
        weights={"a/time": time, "a/unit": unit},
    )


@pytest.mark.parametrize(
    ("time", "unit", "message"),
    [
        ([0.0, 1.0], [0], r"must be one time and one integer per spike, got \(2,\) and int64 \(1"),
        ([0.0], [0.5], r"one integer per spike"),
        ([1.0, 0.0], [0, 0], r"must be finite, >= 0 and ascending, in seconds; sort the spikes"),
        ([-1.0], [0], r"must be finite, >= 0"),
        ([np.nan], [0], r"must be finite, >= 0"),
        ([0.0], [3], r"weights\['a/unit'\] must lie in \[0, 3\), got values in \[3, 3\]"),
    ],
)
def test_given_spikes_that_do_not_fit_are_refused(time, unit, message):
    with pytest.raises(ParameterError, match=message):
        given(time, unit)


def test_given_spikes_may_be_plain_lists():
    from biomem.engine.simulator import Simulator

    spikes = Simulator(given([0.0, 2e-3], [2, 1])).run(ticks=3)["spikes"][:, 0]
    np.testing.assert_array_equal(np.argwhere(spikes), [[0, 2], [2, 1]])


@pytest.mark.parametrize(
    ("values", "number"),
    [
        (np.broadcast_to(np.float32(0.25), (5,)), 0.25),
        (np.full((2, 3), -1.5), -1.5),
        (np.array([1.0, 2.0]), None),
        (np.zeros(0), None),
        (np.broadcast_to(0.0, (0, 4)), None),
        (np.array([np.nan, np.nan]), None),
    ],
    ids=str,
)
def test_one_number_is_told_by_the_values_not_by_how_they_are_stored(values, number):
    assert constant(values) == number
