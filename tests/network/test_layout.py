"""Sums in fixed point: their error, their room, and the form a projection is held in."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    STDP,
    AllToAll,
    Bernoulli,
    Convolution,
    Explicit,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Procedural,
    Projection,
    Pulse,
    SpikeInput,
    SpikingNetwork,
    TsodyksMarkram,
    Uniform,
)
from biomem.network.gaps import gap_table
from biomem.network.layout import fixed

PROBE = LIF(decay=0.0, reset="none", v_th=1e38, synapse=Pulse())


def fan(weight, dtype="float64", **changes):
    """Return sources that reach one probe with given weights, after two ticks."""
    weight = np.asarray(weight)
    return SpikingNetwork(
        populations=(
            Population(name="in", n=len(weight), neuron=SpikeInput()),
            Population(name="probe", neuron=PROBE),
        ),
        projections=(Projection(pre="in", post="probe", rule=Explicit(), delay=2e-3, **changes),),
        weights={"in>probe/weight": weight[:, None]},
        traces=("probe",),
        dtype=dtype,
    )


def arriving(net, spikes, backend):
    """Return what lies in the ring, exactly, and the membrane after it has arrived."""
    sim = Simulator(net, backend=backend)
    xs = np.zeros((3, 1, len(spikes)))
    xs[0, 0] = spikes
    sim.run(xs[:1])
    [where] = [p for p in net.layout.populations if p.kind == "lif"]
    ring = np.asarray(sim.state.ring)[0, 2, where.port]
    v = sim.run(xs[1:])["v"][-1, 0, 0]
    return Fraction(int(ring)) / Fraction(2) ** where.exponent, v, where.exponent


# A membrane below 1e-30 is 0, so that no sum of these comes near it.
WEIGHTS = st.floats(-1e3, 1e3, width=32).map(lambda w: w if abs(w) > 1e-20 else 0.0)


@settings(max_examples=40)
@given(
    weights=st.lists(WEIGHTS, min_size=1, max_size=40),
    dtype=st.sampled_from(["float32", "float64"]),
    backend=st.sampled_from(["numpy", "numba"]),
)
def test_a_sum_is_within_half_a_unit_per_spike(weights, dtype, backend):
    net = fan(weights, dtype)
    got, v, exponent = arriving(net, np.ones(len(weights)), backend)
    want = sum(map(Fraction, weights))
    assert abs(got - want) <= Fraction(len(weights), 2) / Fraction(2) ** exponent
    # The membrane is that sum, rounded once.
    ring = np.dtype(dtype).type(int(got * Fraction(2) ** exponent))
    assert v == np.ldexp(ring, -exponent)
    # The unit is at most 2^-28 of the largest sum in 32 bits, 2^-60 in 64.
    largest = sum(abs(Fraction(w)) for w in weights)
    bits = 8 * net.layout.accumulator.itemsize - 3
    if largest:
        assert Fraction(2) ** -exponent <= largest / Fraction(2) ** (bits - 1)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    ("n", "dtype", "accumulator"),
    [(9000, "float32", "int32"), (20_000, "float32", "int64"), (20_000, "float64", "int64")],
)
def test_all_synapses_at_once_do_not_overflow(n, dtype, accumulator, sign, backend):
    # Just below a power of two, where the room that is left is smallest.
    weight = np.full(n, sign * np.nextafter(np.float32(16384 / n), np.float32(0)), np.float32)
    net = fan(weight, dtype)
    assert net.layout.accumulator == accumulator
    got, v, _ = arriving(net, np.ones(n), backend)
    assert v == pytest.approx(float(weight.astype(float).sum()), rel=1e-4)
    assert float(got) == pytest.approx(v, rel=1e-6)


@pytest.mark.parametrize("changes", [{"stp": TsodyksMarkram(U=1.0)}, {"stdp": STDP(w_max=3.0)}])
def test_plastic_synapses_have_room_for_their_largest_weight(changes):
    weight = np.full(6000, 3.0 if "stdp" in changes else 1.0)
    got, v, _ = arriving(fan(weight, **changes), np.ones(6000), "numba")
    assert float(got) == v == weight.sum()


@pytest.mark.parametrize("size", [1e-28, 1e-12, 1.0, 1e30, 1e300])
def test_any_size_of_weight_keeps_its_digits(size):
    weights = size * np.array([1.0, 0.3, -0.7, 0.011])
    _, v, _ = arriving(fan(weights), np.ones(4), "numba")
    assert v == pytest.approx(weights.sum(), rel=1e-13, abs=0)


@pytest.mark.parametrize("size", [1e-28, 1e-12, 1e30])
def test_any_size_of_weight_keeps_its_digits_in_single_precision(size):
    weights = (size * np.array([1.0, 0.3, -0.7, 0.011])).astype(np.float32)
    _, v, _ = arriving(fan(weights, "float32"), np.ones(4), "numba")
    assert v == pytest.approx(float(weights.astype(float).sum()), rel=1e-6, abs=0)


def test_the_order_of_spikes_changes_no_bit():
    weights = np.random.default_rng(3).normal(0, 1, 200)
    order = np.random.default_rng(4).permutation(200)
    one, two = (arriving(fan(w), np.ones(200), "numba")[0] for w in (weights, weights[order]))
    assert one == two


def test_fixed_rounds_to_the_nearest():
    got = fixed(np.array([0.25, 0.74, -0.3, 1.0]), 1, np.dtype(np.int32))
    np.testing.assert_array_equal(got, [0, 1, -1, 2])
    assert got.dtype == np.int32


@pytest.mark.parametrize("p", [1e-4, 0.02, 0.9])
def test_the_gap_table_is_the_survival_of_a_geometric_law(p):
    want = (1 - p) ** np.arange(1, 257)
    # Each entry loses less than 2^-64 per factor.
    np.testing.assert_allclose(gap_table(p) / 2.0**64, want, rtol=0, atol=2.0**-52)


@pytest.mark.parametrize(
    ("rule", "changes", "form", "reason"),
    [
        (AllToAll(), {}, "dense", "given as a matrix, with one weight per source"),
        (AllToAll(), {"weight": Normal()}, "dense", "given as a matrix"),
        (OneToOne(), {}, "one_to_one", "one synapse per source"),
        (Bernoulli(p=0.05), {}, "csr", "< 0.2: following an index is faster"),
        (Bernoulli(p=0.9), {}, "bits", "one weight per source: a bit per pair"),
        (Bernoulli(p=0.1), {"weight": Normal()}, "csr", "< 0.2: following an index is faster"),
        (Bernoulli(p=0.9), {"weight": Normal()}, "dense", ">= 0.2: adding whole rows is faster"),
        (Bernoulli(p=0.9), {"storage": "csr"}, "csr", "asked for"),
        (Bernoulli(p=0.05), {"storage": "dense"}, "dense", "asked for"),
        (Bernoulli(p=0.9), {"stdp": STDP()}, "csr", "state or delay of its own"),
        (Bernoulli(p=0.9), {"delay": Uniform(low=1e-3, high=2e-3)}, "csr", "delay of its own"),
        (Bernoulli(p=0.9), {"stp": TsodyksMarkram(spread=0.5)}, "csr", "a state of its own"),
        (Bernoulli(p=0.9), {"stp": TsodyksMarkram()}, "dense", "adding whole rows"),
        (Procedural(k=3), {}, "procedural", "drawn anew"),
        (
            Convolution(in_shape=(1, 10, 10), out_channels=1, kernel=(1, 1)),
            {},
            "convolution",
            "one kernel",
        ),
    ],
    ids=str,
)
def test_the_form_of_a_projection_and_its_reason(rule, changes, form, reason):
    net = SpikingNetwork(
        populations=(Population(name="a", n=100), Population(name="b", n=100)),
        projections=(Projection(pre="a", post="b", rule=rule, **changes),),
    )
    [found] = net.layout.projections
    assert found.form == form
    assert reason in found.reason
    row = next(line for line in net.explain().splitlines() if line.startswith("a>b"))
    assert form in row
    assert reason in row


def test_explain_counts_the_memory():
    net = SpikingNetwork(
        populations=(
            Population(name="noise", n=100, neuron=Poisson()),
            Population(name="cells", n=200),
        ),
        projections=(
            Projection(pre="noise", post="cells", name="dense", weight=Normal()),
            Projection(
                pre="noise",
                post="cells",
                name="csr",
                rule=Bernoulli(p=0.1),
                weight=Normal(),
                delay=9e-3,
            ),
            Projection(pre="noise", post="cells", name="constant", rule=Bernoulli(p=0.1)),
            Projection(pre="noise", post="cells", name="few", rule=Bernoulli(p=0.05)),
            Projection(pre="noise", post="cells", name="procedural", rule=Procedural(k=10)),
            Projection(pre="noise", post="cells", name="alike", rule=AllToAll()),
        ),
    )
    lines = net.explain().splitlines()
    size = {line.split()[0]: line for line in lines}
    assert "20,000" in size["dense"]
    assert "160 kB" in size["dense"]
    synapses = len(net.weights["csr/target"])
    assert f"{synapses * 10 / 1e3 + 0.808:.3g} kB" in size["csr"]
    # One weight per source, where all its synapses have the same; a bit per pair, or an index.
    assert f"{100 * (25 + 8) / 1e3 + 0.808:.3g} kB" in size["constant"]
    synapses = len(net.weights["few/target"])
    assert f"{synapses * 2 / 1e3 + 0.8 + 0.808:.3g} kB" in size["few"]
    assert "0 B" in size["procedural"]
    assert "20,000" in size["alike"]
    assert "800 B" in size["alike"]
    assert lines[-1] == "ring of 10 ticks x 200 ports of int64: 16 kB per stream"


def test_a_rule_without_targets_has_room_for_its_weight():
    net = SpikingNetwork(
        populations=(Population(name="in", neuron=SpikeInput()), Population(name="probe")),
        projections=(Projection(pre="in", post="probe", rule=Procedural(k=0), weight=3.0),),
    )
    spikes = Simulator(net, backend="numba").run(np.ones((3, 1, 1)))["spikes"]
    assert not spikes[:, 0, 1].any()
