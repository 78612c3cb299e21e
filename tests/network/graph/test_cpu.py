"""The compiled scan of graphs equals the reference: every rule, kind of node and kind of edge."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.backends import threads
from biomem.engine.simulator import Simulator
from biomem.network.graph import (
    IF,
    LI,
    LIF,
    Affine,
    AvgPool2d,
    Conv2d,
    CubaLI,
    CubaLIF,
    Delay,
    Discretisation,
    Flatten,
    Graph,
    I,
    Input,
    Output,
    Scale,
    SumPool2d,
    Threshold,
    cpu,
)

DT = 1e-3


def rules():
    """Return every admissible way to step a neuron."""

    def build(rule, comparison, how, spikes, lower):
        # Counts that no reset bounds run away through the loops, and rounding with them.
        reset, tick = ("subtract", "same") if spikes == "multiple" else how
        return Discretisation(
            rule=rule,
            comparison=comparison,
            reset=reset,
            reset_tick=tick,
            spikes=spikes,
            lower=lower,
        )

    resets = itertools.product(("to_value", "subtract", "none"), ("same", "next", "held"))
    return st.builds(
        build,
        st.sampled_from(["euler", "exp", "exp_gain_a", "unit_gain"]),
        st.sampled_from(["strict", "inclusive"]),
        st.sampled_from([*resets, ("subtract", "same_once")]),
        st.sampled_from(["single", "multiple"]),
        st.sampled_from(["none", "minus_threshold"]),
    )


def neurons(kind, n, draw, d):
    """Return neurons with parameters of their own each, gains such that `unit_gain` takes them."""
    tau, tau_syn = draw.uniform(2e-3, 2e-2, n), draw.uniform(2e-3, 1e-2, n)
    unit = d.rule == "unit_gain"
    arrays = {"r": tau / DT if unit else draw.uniform(1.0, 9.0, n)}
    if kind in (IF, I):
        arrays["r"] = np.full(n, 1 / DT) if unit else draw.uniform(100.0, 900.0, n)
    else:
        arrays["v_leak"] = draw.normal(0, 0.2, n)
        arrays["tau" if kind in (LIF, LI) else "tau_mem"] = tau
    if kind in (CubaLIF, CubaLI):
        arrays |= {"tau_syn": tau_syn, "w_in": tau_syn / DT if unit else np.full(n, 2.0)}
    if kind in (LIF, IF, CubaLIF):
        arrays |= {"v_threshold": draw.uniform(0.3, 1.0, n), "v_reset": draw.normal(0, 0.2, n)}
    return kind.of(n, discretisation=d, **arrays)


def network(seed, d, latency, kinds, dtype="float64"):
    """Return a net with a loop, a delay in a loop, one outside, and nodes of two sources."""
    draw = np.random.default_rng(seed)
    first, second, last = kinds
    loop = 0.01 if d.spikes == "multiple" else 0.4
    nodes = {
        "x": Input(shape=4),
        "other": Input(shape=7),
        "in": Affine.of(draw.normal(size=(7, 4)), draw.normal(size=7)),
        "a": neurons(first, 7, draw, d),
        "rec": Affine.of(draw.normal(0, loop, size=(7, 7)), draw.normal(0, 0.1, size=7)),
        "b": neurons(second, 7, draw, d),
        "late": Delay.of(draw.integers(1, 5, 7) * DT),
        "back": Scale.of(draw.normal(0, loop, size=7)),
        "soon": Delay.of(draw.integers(0, 4, 7) * DT),
        "read": Affine.of(draw.normal(size=(5, 7))),
        "last": neurons(last, 5, draw, d),
        "step": Threshold.of(0.1, 5),
        "out": Output(),
        "again": Output(),
    }
    edges = "x in, in a, a rec, rec a, a b, other b, b late, late back, back b, b soon"
    edges += ", soon read, b read, read last, last step, step out, last again"
    return Graph.of(
        nodes,
        [tuple(edge.split()) for edge in edges.split(", ")],
        dt=DT,
        latency=latency,
        dtype=dtype,
        traces=("a", "last") if seed % 2 else None,
    )


def check(graph, x):
    """Hold the kernel to the reference, outputs and last state; return what was recorded."""
    found = []
    for backend in ("numpy", "numba"):
        sim = Simulator(graph, backend=backend, batch=x.shape[1], progress=False)
        recording = sim.run(x)
        found.append(({k: np.asarray(recording[k]) for k in recording}, sim.state))
    (want, state), (got, after) = found
    for a, b in zip([*want.values(), *state], [*got.values(), *after], strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(b, a)
        np.testing.assert_array_equal(np.signbit(b), np.signbit(a))
    return want


SPIKING, SMOOTH = st.sampled_from([LIF, CubaLIF, IF]), st.sampled_from([LI, CubaLI, I, LIF])
GRAPHS = (
    st.integers(0, 2**31),
    rules(),
    st.sampled_from(["none", "weights"]),
    st.tuples(SPIKING, SPIKING, SMOOTH),
)


def fires_as_its_reference(seed, d, latency, kinds, dtype="float64"):
    graph = network(seed, d, latency, kinds, dtype)
    x = np.random.default_rng(seed).normal(size=(45, 2, 11))
    want = check(graph, np.where(np.abs(x) < 0.5, 0.0, x))
    assert want["spikes"].any()
    assert want["v"].dtype == dtype


@given(*GRAPHS)
@settings(max_examples=25)
def test_any_graph_fires_as_its_reference(seed, d, latency, kinds):
    fires_as_its_reference(seed, d, latency, kinds)


@pytest.mark.slow
@given(*GRAPHS, st.sampled_from(["float32", "float64"]))
@settings(max_examples=400)
def test_many_graphs_in_both_precisions(seed, d, latency, kinds, dtype):
    fires_as_its_reference(seed, d, latency, kinds, dtype)


def layered(widths, density, dtype):
    draw = np.random.default_rng(len(widths))
    nodes = {"x": Input(shape=widths[0])}
    for k, (a, b) in enumerate(itertools.pairwise(widths)):
        nodes[f"w{k}"] = Affine.of(draw.normal(size=(b, a)) / np.sqrt(a), draw.normal(0, 0.3, b))
        nodes[f"n{k}"] = LIF.of(b, tau=5e-3, r=3.0)
    x = draw.normal(size=(45, 2, widths[0]))
    graph = Graph.of({**nodes, "out": Output()}, dtype=dtype)
    return graph, np.where(draw.random(x.shape) < density, x, 0.0)


WIDTHS = st.lists(st.integers(1, 140), min_size=2, max_size=4)
DENSITY = st.sampled_from([0.0, 0.02, 0.3, 1.0])


@given(WIDTHS, DENSITY)
@settings(max_examples=12)
def test_layers_of_any_width_and_density(widths, density):
    check(*layered(widths, density, "float64"))


@pytest.mark.slow
@given(WIDTHS, DENSITY)
@settings(max_examples=150)
def test_layers_in_single_precision(widths, density):
    check(*layered(widths, density, "float32"))


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_neither_chunks_nor_streams_change_a_bit(chunk):
    graph = network(5, Discretisation(reset="subtract"), "none", (LIF, CubaLIF, LI))
    x = np.random.default_rng(0).normal(size=(150, 3, 11))
    options = {"backend": "numba", "progress": False}
    whole = Simulator(graph, batch=3, **options).run(x)
    parts = Simulator(graph, batch=3, chunk=chunk, **options).run(x)
    alone = Simulator(graph, **options).run(x[:, 1:2])
    for name in whole:
        np.testing.assert_array_equal(parts[name], whole[name])
        np.testing.assert_array_equal(alone[name][:, 0], whole[name][:, 1])


def test_threads_share_out_the_streams_and_change_no_bit(monkeypatch):
    graph = network(4, Discretisation(), "none", (LIF, CubaLIF, LI))
    monkeypatch.setattr(threads, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(threads.numba, "get_num_threads", lambda: 2)
    walks = []
    run = cpu._Walk.run
    monkeypatch.setattr(cpu._Walk, "run", lambda self, *a: (walks.append(self), run(self, *a))[1])
    check(graph, np.random.default_rng(0).normal(size=(60, 3, 11)))
    assert sorted(walk.xs.shape[1] for walk in walks) == [1, 2]


def test_what_a_chunk_needed_goes_with_it(monkeypatch):
    graph, x = layered((5, 4), 0.5, "float64")
    walks = []
    run = cpu._Walk.run
    monkeypatch.setattr(
        cpu._Walk, "run", lambda self, *a: (walks.append(weakref.ref(self)), run(self, *a))[1]
    )
    gc.disable()
    try:
        Simulator(graph, batch=2, progress=False).run(x)
        left = [walk() for walk in walks]
    finally:
        gc.enable()
    assert left == [None]


def test_a_frozen_input_is_read_as_any_other():
    graph, x = layered((5, 4), 0.5, "float64")
    x.setflags(write=False)
    check(graph, x)


WINDOWS = [
    {"stride": 1, "padding": 0},
    {"stride": (2, 1), "padding": (1, 2)},
    {"stride": 1, "padding": "same", "dilation": 2},
    {"stride": 3, "padding": 1, "groups": 2},
]


@pytest.mark.parametrize("options", WINDOWS, ids=lambda o: "-".join(map(str, o.values())))
def test_images(options):
    draw = np.random.default_rng(1)
    inner = 4 // options.get("groups", 1)
    graph = Graph.of(
        {
            "x": Input(shape=(4, 9, 8)),
            "conv": Conv2d.of(draw.normal(size=(6, inner, 3, 2)), draw.normal(size=6), **options),
            "pool": SumPool2d(kernel_size=2, stride=1, padding=1),
            "mean": AvgPool2d(kernel_size=(1, 2), stride=(1, 1)),
            "flat": Flatten(start_dim=1),
            "out": Output(),
        }
    )
    x = draw.normal(size=(40, 2, 288))
    check(graph, np.where(draw.random(x.shape) < 0.7, 0.0, x))


def test_stacks_of_matrices():
    draw = np.random.default_rng(2)
    graph = Graph.of(
        {
            "x": Input(shape=(3, 130)),
            "w": Affine.of(draw.normal(size=(3, 4, 130)), draw.normal(size=(3, 4))),
            "out": Output(),
        }
    )
    x = draw.normal(size=(40, 2, 390))
    check(graph, x)
    check(graph, np.where(draw.random(x.shape) < 0.9, 0.0, x))
