"""The compiled scan equals the reference bit for bit: every neuron, source, rule and plasticity."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.model import flatten
from biomem.engine.random import Rng
from biomem.engine.simulator import Simulator
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
    DistanceDependent,
    Explicit,
    FixedInDegree,
    FixedOutDegree,
    Gamma,
    Izhikevich,
    Lognormal,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Procedural,
    Projection,
    Pulse,
    SmallWorld,
    SpikeArray,
    SpikeInput,
    SpikingNetwork,
    TsodyksMarkram,
    Uniform,
)
from biomem.testing import check_model

STP = TsodyksMarkram(U=0.4, tau_rec=20e-3, tau_facil=8e-3)
OWN_STP = STP.replace(spread=0.5)
LEARNING = STDP(a_plus=0.05, a_minus=0.06, tau_plus=5e-3, tau_minus=7e-3, w_max=1.5)
GRID = (3, 4)


def outcome(net, backend, xs, ticks, *, batch=1, chunk=None, seed=3):
    """Return every output and every state array of a run."""
    sim = Simulator(net, backend=backend, seed=seed, batch=batch, chunk=chunk, progress=False)
    recording = sim.run(ticks=ticks) if xs is None else sim.run(xs)
    return {name: np.asarray(recording[name]) for name in recording} | {
        f"state/{name}": np.array(array) for name, array in flatten(sim.state)
    }


def assert_same(want, got, what=""):
    assert want.keys() == got.keys()
    for name in want:
        assert want[name].dtype == got[name].dtype, (what, name)
        np.testing.assert_array_equal(want[name], got[name], err_msg=f"{what} {name}")


def example(net, ticks, batch):
    return net.example_inputs(ticks, batch, Rng(5)) if net.Input is not None else None


def assert_kernel_equals_reference(net, ticks=40, batch=1):
    xs = example(net, ticks, batch)
    want = outcome(net, "numpy", xs, ticks, batch=batch)
    assert_same(want, outcome(net, "numba", xs, ticks, batch=batch))
    return want


def driven(neuron, *, sign="any", dtype="float64", weight=0.4, **changes):
    """Return spikes and currents from outside onto neurons that also reach each other."""
    inhibitory = -1.0 if not isinstance(neuron.synapse, ConductanceExp) else 1.0
    return SpikingNetwork(
        populations=(
            Population(name="in", n=8, neuron=SpikeInput(), sign="exc"),
            Population(name="current", n=3, neuron=CurrentInput()),
            Population(name="noise", n=8, neuron=Poisson(rate=150.0), sign="inh"),
            Population(name="cells", n=12, neuron=neuron, sign=sign),
        ),
        projections=(
            Projection(pre="in", post="cells", weight=Uniform(high=weight)),
            Projection(pre="current", post="cells", weight=0.1 * weight),
            Projection(
                pre="noise",
                post="cells",
                weight=inhibitory * 0.3 * weight,
                rule=Bernoulli(p=0.5),
            ),
            Projection(pre="cells", post="cells", weight=0.1 * weight, rule=FixedOutDegree(k=4)),
        ),
        traces=("cells",),
        dtype=dtype,
    )


LEAKY = [
    LIF(),
    LIF(rule="euler", strict=True, v_init=(-0.5, 0.9)),
    LIF(rule="exp_gain_a", reset="subtract", synapse=Pulse(), r=30.0),
    LIF(rule="unit_gain", reset="none", synapse=Pulse(), v_th=0.5),
    LIF(decay=1.0, reset="subtract", synapse=Pulse(), v_leak=0.1),
    LIF(reset="next_tick", tau_ref=2e-3),
    LIF(reset="next_tick", synapse=Pulse(), rule="unit_gain"),
    LIF(tau_ref=3e-3, synapse=CurrentExp(tau_exc=3e-3, tau_inh=6e-3), r=5.0, i_bias=0.05),
    LIF(rule="euler", tau_ref=1e-3, synapse=CurrentExp(), r=6.0, v_leak=-0.2, v_reset=-0.5),
    LIF(rule="euler", synapse=ConductanceExp(e_exc=5.0, e_inh=-1.0), r=2.0),
    AdaptiveLIF(beta=0.3, tau_adapt=20e-3),
    AdaptiveLIF(beta=0.0, b=0.1, rule="euler", strict=True, tau_ref=1e-3, reset="subtract"),
]
IZHIKEVICH = [
    (Izhikevich(i_bias=4.0), 20.0),
    (Izhikevich(synapse=Delta(), substeps=3, v_init=(-70.0, -50.0)), 30.0),
    (Izhikevich(a=0.1, d=2.0, synapse=CurrentExp()), 10.0),
    (Izhikevich(synapse=ConductanceExp(e_exc=0.0, e_inh=-80.0)), 0.2),
]


@pytest.mark.parametrize("neuron", LEAKY, ids=range(len(LEAKY)))
def test_each_leaky_neuron_equals_the_reference(neuron):
    want = assert_kernel_equals_reference(driven(neuron))
    assert want["spikes"][:, 0, 19:].any()


@pytest.mark.parametrize(("neuron", "weight"), IZHIKEVICH, ids=range(len(IZHIKEVICH)))
def test_each_izhikevich_neuron_equals_the_reference(neuron, weight):
    want = assert_kernel_equals_reference(driven(neuron, weight=weight))
    assert want["spikes"][:, 0, 19:].any()


def wired(rule, *, post=12, weights=None, **changes):
    """Return noise onto neurons through one projection, and back through another."""
    n = 12
    return SpikingNetwork(
        populations=(
            Population(name="noise", n=n, neuron=Poisson(rate=100.0), grid=GRID),
            Population(
                name="cells",
                n=post,
                neuron=LIF(synapse=CurrentExp(), r=4.0),
                grid=GRID if post == n else None,
            ),
        ),
        projections=(
            Projection(
                pre="cells" if isinstance(rule, SmallWorld) else "noise",
                post="cells",
                rule=rule,
                name="under test",
                **({"weight": 0.5} | changes),
            ),
            Projection(pre="noise", post="cells", rule=FixedInDegree(k=6), weight=0.5),
        ),
        weights=weights,
        traces=("cells",),
    )


RULES = [
    AllToAll(),
    OneToOne(),
    Bernoulli(p=0.4),
    DistanceDependent(c=0.9, lam=2.0),
    FixedInDegree(k=5),
    FixedOutDegree(k=5),
    SmallWorld(k=4, p=0.3),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize(
    "changes",
    [
        {"weight": Gamma(mean=0.5)},
        {"delay": 3e-3, "weight": Normal(mean=0.3, sd=0.4)},
        {"delay": Uniform(low=1e-3, high=6e-3)},
        {"stp": STP, "weight": Uniform()},
        {"stp": OWN_STP, "delay": Uniform(low=1e-3, high=6e-3)},
        {"stdp": LEARNING, "weight": Uniform()},
        {"stdp": LEARNING, "stp": STP, "delay": Uniform(low=1e-3, high=4e-3)},
        {"stdp": LEARNING, "stp": OWN_STP, "weight": Lognormal(mean=0.3, cv=0.4)},
    ],
    ids=["plain", "delay", "own delay", "stp", "own stp", "stdp", "stdp stp", "stdp own stp"],
)
def test_each_rule_with_each_plasticity_equals_the_reference(rule, changes):
    want = assert_kernel_equals_reference(wired(rule, **changes), ticks=60)
    assert want["spikes"][:, 0, 12:].any()


@pytest.mark.parametrize("stp", [None, STP])
@pytest.mark.parametrize(
    "rule",
    [
        Convolution(in_shape=(1, 3, 4), out_channels=2, kernel=(2, 3), padding=1),
        Convolution(in_shape=(3, 2, 2), out_channels=3, kernel=(2, 1), stride=2, padding=1),
        Procedural(k=5),
        Procedural(k=8),
    ],
    ids=str,
)
def test_rules_without_stored_synapses_equal_the_reference(rule, stp):
    post = int(np.prod(rule.out_shape)) if isinstance(rule, Convolution) else 12
    drawn = Normal(mean=0.3, sd=0.3) if isinstance(rule, Convolution) else 0.2
    assert_kernel_equals_reference(wired(rule, post=post, weight=drawn, stp=stp, delay=2e-3))


def test_given_spikes_and_weights_equal_the_reference(rng):
    time = np.sort(rng.uniform(0, 30e-3, 40)).round(3)
    unit = np.arange(40) % 7
    pattern = {"indptr": np.arange(0, 22, 3), "target": np.tile([0, 2, 3], 7)}
    net = SpikingNetwork(
        populations=(
            Population(name="given", n=7, neuron=SpikeArray()),
            Population(name="cells", n=4, neuron=LIF()),
            Population(name="more", n=4, neuron=LIF()),
        ),
        projections=(
            Projection(pre="given", post="cells", rule=Explicit(storage="csr"), delay=0.0),
            Projection(pre="cells", post="more", rule=Explicit(), delay=0.0),
            Projection(pre="more", post="cells", rule=Explicit(), stdp=STDP(w_min=-2.0, w_max=2.0)),
        ),
        weights={
            "given/time": time,
            "given/unit": unit,
            **{f"given>cells/{name}": array for name, array in pattern.items()},
            "given>cells/weight": rng.uniform(0.2, 0.8, 21),
            "cells>more/weight": rng.uniform(0.4, 1.0, (4, 4)),
            "more>cells/weight": rng.normal(0, 0.2, (4, 4)),
        },
    )
    want = assert_kernel_equals_reference(net, ticks=40)
    assert want["spikes"][:, 0, 11:].any()


def everything(dtype="float64"):
    """Return a network with all kinds of neurons, sources and plasticity at once."""
    return SpikingNetwork(
        populations=(
            Population(name="in", n=6, neuron=SpikeInput(), sign="exc"),
            Population(name="noise", n=9, neuron=Poisson(rate=120.0)),
            Population(name="exc", n=12, neuron=LIF(tau_ref=1e-3), sign="exc", grid=GRID),
            Population(
                name="inh", n=5, neuron=AdaptiveLIF(synapse=CurrentExp(), r=5.0), sign="inh"
            ),
            Population(name="izhikevich", n=4, neuron=Izhikevich(i_bias=3.0)),
        ),
        projections=(
            Projection(pre="in", post="exc", weight=0.3, stp=STP),
            Projection(pre="noise", post="exc", rule=FixedInDegree(k=4), weight=0.4),
            Projection(pre="noise", post="inh", rule=Procedural(k=3), weight=0.3),
            Projection(
                pre="exc",
                post="exc",
                rule=DistanceDependent(c=0.9, lam=2.0),
                weight=0.1,
                stdp=LEARNING,
                delay=Uniform(low=1e-3, high=5e-3),
            ),
            Projection(pre="exc", post="inh", rule=Bernoulli(p=0.5), weight=0.2, stp=OWN_STP),
            Projection(pre="inh", post="exc", weight=-0.2, delay=2e-3),
            Projection(pre="exc", post="izhikevich", weight=5.0, delay=0.0),
        ),
        traces=("exc", "izhikevich"),
        dtype=dtype,
    )


def test_a_network_of_everything_keeps_the_model_contract():
    check_model(everything(), ticks=40)


def test_single_precision_keeps_the_model_contract():
    net = everything("float32")
    assert net.layout.accumulator == np.int32
    check_model(net, ticks=40, batch=1, new_process=False)


def test_threads_chunks_and_batches_leave_every_bit_as_it_is():
    net, ticks, batch = everything(), 101, 3
    xs = example(net, ticks, batch)
    want = outcome(net, "numba", xs, ticks, batch=batch)
    for chunk in (1, 7, 100):
        got = outcome(net, "numba", xs, ticks, batch=batch, chunk=chunk)
        assert_same(want, got, f"chunk {chunk}")
    most = numba.get_num_threads()
    try:
        for threads in (1, min(2, most)):
            numba.set_num_threads(threads)
            assert_same(want, outcome(net, "numba", xs, ticks, batch=batch), f"{threads} threads")
    finally:
        numba.set_num_threads(most)


def test_the_first_stream_of_a_batch_is_the_run_of_one():
    net = everything()
    xs = example(net, 60, 3)
    many = outcome(net, "numba", xs, 60, batch=3)
    one = outcome(net, "numba", xs[:, :1], 60)
    np.testing.assert_array_equal(many["spikes"][:, :1], one["spikes"])
    np.testing.assert_array_equal(many["state/plastic"][:1], one["state/plastic"])
    assert (many["spikes"][:, 0] != many["spikes"][:, 1]).any()


@pytest.mark.parametrize("stp", [None, STP])
def test_a_matrix_and_an_index_give_the_same_bits(stp):
    ends = []
    for storage in ("dense", "csr"):
        net = wired(Bernoulli(p=0.5), storage=storage, stp=stp, weight=Normal(mean=0.3))
        assert net.layout.projections[0].form == storage
        ends += [outcome(net, backend, None, 60) for backend in ("numpy", "numba")]
    for other in ends[1:]:
        assert_same(ends[0], other)


@pytest.mark.parametrize("reset", ["to_value", "subtract", "none", "next_tick"])
@pytest.mark.parametrize(("dtype", "by_source"), [("float32", False), ("float64", True)])
def test_populations_of_whole_vectors_equal_the_reference(dtype, by_source, reset):
    cells = LIF(tau_mem=8e-3, tau_ref=2e-3, reset=reset, strict=reset != "subtract", v_reset=0.1)
    net = SpikingNetwork(
        populations=(
            Population(name="noise", n=150, neuron=Poisson(rate=120.0)),
            Population(name="cells", n=173, neuron=cells),
        ),
        projections=(
            Projection(pre="noise", post="cells", rule=Bernoulli(p=0.2), weight=0.09),
            Projection(pre="cells", post="cells", rule=Bernoulli(p=0.1), weight=-0.02, delay=2e-3),
        ),
        dtype=dtype,
    )
    if by_source:
        name = "noise>cells"
        per_source = np.random.default_rng(1).uniform(0.05, 0.13, 150)
        weight = np.repeat(per_source, np.diff(net.weights[f"{name}/indptr"]))
        net = net.with_weights({f"{name}/weight": weight})
    assert {q.form for q in net.layout.projections} == {"bits"}
    want = assert_kernel_equals_reference(net, ticks=60, batch=2)
    assert 0.01 < want["spikes"][..., 150:].mean() < 0.9
    for chunk in (1, 7):
        assert_same(outcome(net, "numba", None, 60), outcome(net, "numba", None, 60, chunk=chunk))


@pytest.mark.parametrize("rows", ["constant", "by source", "all different"])
def test_a_matrix_of_like_rows_equals_the_reference(rows):
    net = wired(AllToAll(), weight=0.05)
    [name] = [q.projection.name for q in net.layout.projections if isinstance(q.rule, AllToAll)]
    weight = np.array(net.weights[f"{name}/weight"])
    if rows != "constant":
        weight[2] *= 1.5
        weight[3, 1] += 0.01 * (rows == "all different")
    changed = net.with_weights({f"{name}/weight": weight})
    [q] = [q for q in changed.layout.projections if q.projection.name == name]
    assert q.by_source == (rows != "all different")
    want = assert_kernel_equals_reference(changed, ticks=60, batch=2)
    assert want["spikes"].any()


def test_currents_through_an_index_of_one_weight_equal_the_reference():
    net = SpikingNetwork(
        populations=(
            Population(name="current", n=6, neuron=CurrentInput()),
            Population(name="cells", n=6, neuron=LIF()),
        ),
        projections=(
            Projection(
                pre="current",
                post="cells",
                rule=FixedOutDegree(k=2),
                storage="csr",
                weight=2.0,
            ),
        ),
        traces=("cells",),
    )
    assert_kernel_equals_reference(net)


@pytest.mark.slow  # compiles the whole kernel once more
def test_more_than_65536_neurons_take_wide_indices():
    n = 2**16 + 9
    net = SpikingNetwork(
        populations=(
            Population(name="noise", n=4, neuron=Poisson(rate=500.0)),
            Population(name="cells", n=n, neuron=LIF()),
        ),
        projections=(
            Projection(pre="noise", post="cells", rule=FixedOutDegree(k=50), weight=1.0, name="a"),
            Projection(pre="noise", post="cells", rule=Procedural(k=50), weight=1.0, name="b"),
        ),
    )
    want = assert_kernel_equals_reference(net, ticks=12)
    assert want["spikes"][:, 0, -9:].shape == (12, 9)
    assert want["spikes"][:, 0, 4:].any()


SOURCES = st.sampled_from([SpikeInput(), CurrentInput(), Poisson(rate=200.0), Poisson(rate=1e3)])
NEURONS = st.sampled_from([*LEAKY, Izhikevich(), Izhikevich(synapse=Delta(), i_bias=8.0)])
TICKS = 32


@st.composite
def networks(draw):
    """Return a random small network."""
    dt = 1e-3
    sources = draw(st.lists(SOURCES, min_size=1, max_size=3))
    neurons = draw(st.lists(NEURONS, min_size=1, max_size=3))
    kinds = [*sources, *neurons]
    populations = tuple(
        Population(
            name=f"p{i}",
            n=draw(st.integers(1, 6)),
            neuron=kind,
            sign=draw(st.sampled_from(["exc", "inh", "any"])),
        )
        for i, kind in enumerate(kinds)
    )
    projections = []
    for i in range(draw(st.integers(1, 6))):
        pre = draw(st.integers(0, len(kinds) - 1))
        post = draw(st.integers(len(sources), len(kinds) - 1))
        # Without delay only forward, so that there can be no cycle.
        least = 0 if pre < post else 1
        projections.append(
            draw(projection(populations[pre], populations[post], least, dt)).replace(name=f"q{i}")
        )
    return SpikingNetwork(
        populations=populations,
        projections=tuple(projections),
        traces=tuple(p.name for p in populations if not p.is_source),
        seed=draw(st.integers(0, 99)),
        dtype=draw(st.sampled_from(["float64", "float32"])),
    )


@st.composite
def projection(draw, pre, post, least, dt):
    rules = [
        AllToAll(),
        Bernoulli(p=draw(st.floats(0, 1))),
        FixedOutDegree(k=min(2, post.n), autapses=True),
        FixedInDegree(k=min(2, pre.n), autapses=True),
        Procedural(k=draw(st.integers(0, 6))),
    ]
    rules += [OneToOne()] * (pre.n == post.n) + [SmallWorld(k=2)] * (pre is post and pre.n > 2)
    graded = isinstance(pre.neuron, CurrentInput)
    rule = draw(st.sampled_from([r for r in rules if not (graded and isinstance(r, Procedural))]))
    positive = pre.sign == "exc" or isinstance(post.neuron.synapse, ConductanceExp)
    sign = 1 if positive else -1 if pre.sign == "inh" else draw(st.sampled_from([1, -1]))
    size = sign * draw(st.sampled_from([0.3, 0.7, 3.0]))
    if graded:
        return Projection(pre=pre.name, post=post.name, rule=rule, weight=size)
    ticks = draw(st.integers(least, 4))
    if isinstance(rule, Procedural):
        stp = draw(st.sampled_from([None, STP]))
        return Projection(
            pre=pre.name, post=post.name, rule=rule, weight=size, delay=ticks * dt, stp=stp
        )
    bounds = (0.0, abs(size)) if sign > 0 else (-abs(size), 0.0)
    return Projection(
        pre=pre.name,
        post=post.name,
        rule=rule,
        weight=draw(st.sampled_from([size, Uniform(low=bounds[0], high=bounds[1])])),
        delay=draw(st.sampled_from([ticks * dt, Uniform(low=dt, high=4 * dt)])),
        stp=draw(st.sampled_from([None, STP, OWN_STP, TsodyksMarkram(U=1.0, tau_rec=0.0)])),
        stdp=draw(
            st.sampled_from([None, STDP(a_plus=0.2, a_minus=0.1, w_min=bounds[0], w_max=bounds[1])])
        ),
    )


@settings(max_examples=50)
@given(net=networks(), batch=st.integers(1, 3))
def test_any_network_equals_the_reference_in_every_bit(net, batch):
    assert_kernel_equals_reference(net, TICKS, batch)
