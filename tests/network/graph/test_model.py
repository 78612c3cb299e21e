"""Graphs: the contract, physics of their neurons, wiring, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from biomem.engine.simulator import Simulator
from biomem.errors import ParameterError
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
)
from biomem.testing import check_model


def draw(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape)


def run(graph, x, **options):
    return Simulator(graph, progress=False, **options).run(np.asarray(x, float))


def chain(*parts, **params):
    nodes = {f"n{i}": part for i, part in enumerate(parts)}
    return Graph.of({"in": Input(shape=1), **nodes, "out": Output()}, **params)


FEED_FORWARD = Graph.of(
    {
        "in": Input(shape=5),
        "fc": Affine.of(draw(6, 5)),
        "lif": LIF.of(6, tau=10e-3, v_threshold=0.2),
        "out": Output(),
    }
)
RECURRENT = Graph.of(
    {
        "in": Input(shape=4),
        "fc": Affine.of(draw(5, 4)),
        "cuba": CubaLIF.of(5, tau_syn=5e-3, tau_mem=10e-3, v_threshold=0.1),
        "w.rec": Affine.of(draw(5, 5), np.full(5, 0.1)),
        "late": Delay.of([1e-3, 2e-3, 3e-3, 1e-3, 2e-3]),
        "out": Output(),
    },
    [
        ("in", "fc"),
        ("fc", "cuba"),
        ("cuba", "w.rec"),
        ("w.rec", "cuba"),
        ("cuba", "late"),
        ("late", "out"),
    ],
)
IMAGE = Graph.of(
    {
        "in": Input(shape=(2, 6, 6)),
        "conv": Conv2d.of(draw(4, 1, 3, 3), draw(4), padding="same", groups=2),
        "if": IF.of((4, 6, 6), r=500.0),
        "sum": SumPool2d(kernel_size=2),
        "mean": AvgPool2d(kernel_size=3, stride=1, padding=1),
        "flat": Flatten(),
        "scale": Scale.of(np.linspace(0.5, 2, 36)),
        "threshold": Threshold.of(0.3, 36),
        "out": Output(),
    }
)


@pytest.mark.parametrize(
    "graph", [FEED_FORWARD, RECURRENT, IMAGE], ids=["ff", "recurrent", "image"]
)
def test_a_graph_keeps_the_model_contract(graph):
    check_model(graph)


@pytest.mark.parametrize("rule", ["euler", "exp"])
def test_a_constant_input_fires_at_the_analytic_rate(rule):
    tau, i = 20e-3, 1.5
    graph = chain(LIF.of(1, tau=tau), dt=1e-5, discretisation=Discretisation(rule=rule))
    ticks = np.flatnonzero(run(graph, np.full((20000, 1), i))["y"][:, 0, 0])
    period = tau * math.log(i / (i - 1))
    assert np.diff(ticks).mean() * 1e-5 == pytest.approx(period, rel=2e-3)


def test_a_leaky_integrator_steps_to_its_input_exponentially():
    rules = Discretisation(rule="exp")
    graph = chain(LI.of(1, tau=20e-3, r=2.0, v_leak=0.5), dt=1e-3, discretisation=rules)
    t = 1e-3 * np.arange(1, 101)
    want = 0.5 + 2.0 * (1 - np.exp(-t / 20e-3))
    np.testing.assert_allclose(run(graph, np.ones((100, 1)))["y"][:, 0, 0], want, rtol=1e-12)


def test_euler_converges_with_the_first_order():
    errors = []
    for dt in (1e-3, 5e-4, 2.5e-4):
        n = round(0.02 / dt)
        y = run(chain(CubaLI.of(1), dt=dt), np.ones((n, 1)))["y"][-1, 0, 0]
        m, s = 20e-3, 5e-3
        exact = 1 - (m * math.exp(-0.02 / m) - s * math.exp(-0.02 / s)) / (m - s)
        errors.append(abs(y - exact))
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2.0, atol=0.2)


def test_an_integrator_sums():
    graph = chain(I.of(1, r=3.0), dt=1e-2)
    x = np.random.default_rng(0).normal(size=(50, 1))
    np.testing.assert_allclose(
        run(graph, x)["y"][:, 0, 0], 3e-2 * np.cumsum(x), rtol=1e-10, atol=1e-15
    )


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4))
@settings(max_examples=15)
def test_a_delay_shifts_by_its_ticks(ticks):
    n = len(ticks)
    graph = Graph.of({"in": Input(shape=n), "d": Delay.of(np.array(ticks) * 1e-3), "out": Output()})
    x = np.random.default_rng(0).normal(size=(12, n))
    y = run(graph, x)["y"][:, 0]
    for j, d in enumerate(ticks):
        np.testing.assert_array_equal(y[:d, j], 0.0)
        np.testing.assert_array_equal(y[d:, j], x[: 12 - d, j])


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, "same", 2)])
def test_a_convolution_is_a_correlation(stride, padding, dilation):
    w, x = draw(3, 2, 3, 3), draw(1, 2, 7, 7)
    graph = Graph.of(
        {
            "in": Input(shape=(2, 7, 7)),
            "c": Conv2d.of(w, stride=stride, padding=padding, dilation=dilation),
            "out": Output(),
        }
    )
    wide = np.zeros((3, 2, 1 + 2 * dilation, 1 + 2 * dilation))
    wide[:, :, ::dilation, ::dilation] = w
    pad = dilation if padding == "same" else padding
    image = np.pad(x[0], ((0, 0), (pad, pad), (pad, pad)))
    want = [
        sum(signal.correlate2d(image[c], k[c], "valid") for c in range(2))[::stride, ::stride]
        for k in wide
    ]
    got = run(graph, x.reshape(1, -1))["y"][0, 0]
    np.testing.assert_allclose(got, np.ravel(want), rtol=1e-12, atol=1e-13)


def test_a_loop_hears_the_tick_before():
    graph = Graph.of(
        {
            "in": Input(shape=1),
            "li": LI.of(1, tau=1e-3),
            "w": Affine.of([[0.5]]),
            "out": Output(),
        },
        [("in", "li"), ("li", "w"), ("w", "li"), ("li", "out")],
    )
    want, y = [], 0.0
    for x in (1.0, 0.0, 0.0, 2.0):
        y = x + 0.5 * y
        want.append(y)
    assert run(graph, [[1.0], [0.0], [0.0], [2.0]])["y"][:, 0, 0].tolist() == want


def test_several_spikes_a_tick_and_a_lower_bound():
    rules = Discretisation(
        comparison="inclusive", reset="subtract", spikes="multiple", lower="minus_threshold"
    )
    graph = chain(IF.of(1), dt=1.0, discretisation=rules)
    found = run(graph, [[2.5], [-9.0], [0.5], [2.0]])
    assert found["spikes"][:, 0, 0].tolist() == [2.0, 0.0, 0.0, 1.0]
    assert found["v"][:, 0, 0].tolist() == [0.5, -1.0, -0.5, 0.5]
    assert not np.signbit(found["spikes"]).any()


@pytest.mark.parametrize(("comparison", "spikes"), [("strict", [1, 1]), ("inclusive", [1, 0])])
def test_what_is_left_at_threshold_counts_as_above_where_that_fires(comparison, spikes):
    rules = Discretisation(comparison=comparison, reset="subtract", reset_tick="same_once")
    found = run(chain(IF.of(1), dt=1.0, discretisation=rules), [[2.0], [0.5]])
    assert found["spikes"][:, 0, 0].tolist() == spikes


@pytest.mark.parametrize(
    ("reset", "tick", "spikes", "v"),
    [
        ("to_value", "same", [1, 0, 1], [0.0, 0.6, 0.0]),
        ("subtract", "same", [1, 1, 0], [0.5, 0.1, 0.7]),
        ("none", "same", [1, 1, 1], [1.5, 2.1, 2.7]),
        ("to_value", "next", [1, 0, 1], [1.5, 0.6, 1.2]),
        ("subtract", "next", [1, 1, 0], [1.5, 1.1, 0.7]),
        ("to_value", "held", [1, 0, 0], [1.5, 0.0, 0.6]),
    ],
)
def test_resets_are_what_they_are_called(reset, tick, spikes, v):
    rules = Discretisation(reset=reset, reset_tick=tick)
    found = run(chain(IF.of(1), dt=1.0, discretisation=rules), [[1.5], [0.6], [0.6]])
    assert found["spikes"][:, 0, 0].tolist() == spikes
    np.testing.assert_allclose(found["v"][:, 0, 0], v, rtol=1e-12)


def test_latency_of_weights_lags_one_tick():
    nodes = {"in": Input(shape=1), "w": Affine.of([[2.0]]), "out": Output()}
    assert run(Graph.of(nodes), [[1.0], [3.0]])["y"].ravel().tolist() == [2.0, 6.0]
    late = run(Graph.of(nodes, latency="weights"), [[1.0], [3.0]])["y"].ravel()
    assert late.tolist() == [0.0, 2.0]


def test_the_summary_names_every_node():
    text = RECURRENT.summary()
    assert all(name in text for name in ("w.rec", "CubaLIF", "late", "(t-1)"))


def test_training_leaves_time_constants_alone_unless_told():
    assert FEED_FORWARD.trainable == ["fc/weight"]
    assert RECURRENT.trainable == ["fc/weight", "w.rec/weight", "w.rec/bias"]


@pytest.mark.torch
def test_gradients_flow_through_spikes_and_are_exact_without():
    import torch

    from biomem.train import TorchModule

    module = TorchModule(FEED_FORWARD.replace(dtype="float64"))
    ys, _ = module(np.abs(draw(20, 3, 5)))
    ys.y.sum().backward()
    weight = dict(module.named_parameters())
    grads = [p.grad for name, p in weight.items() if "weight" in name]
    assert grads
    assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in grads)

    smooth = Graph.of(
        {"in": Input(shape=2), "w": Affine.of(draw(3, 2)), "li": LI.of(3), "out": Output()}
    )
    x = draw(6, 1, 2)
    module = TorchModule(smooth)
    ys, _ = module(x)
    (ys.y**2).sum().backward()
    got = next(p.grad for n, p in module.named_parameters() if "weight" in n).numpy()
    name, step = "w/weight", 1e-6
    for place in np.ndindex(3, 2):
        sides = []
        for sign in (1, -1):
            w = smooth.weights[name].copy()
            w[place] += sign * step
            moved = smooth.with_weights({**smooth.weights, name: w})
            sides.append((run(moved, x)["y"] ** 2).sum())
        assert got[place] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-6)


LINE = {"in": Input(shape=2), "fc": Affine.of(np.ones((3, 2))), "out": Output()}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Graph.of({"out": Output()}, []), "at least one Input"),
        (lambda: Graph.of({"in": Input()}, []), "at least one Output"),
        (lambda: Graph.of(LINE, [("in", "fc"), ("fc", "ou")]), "'ou', which is no node"),
        (lambda: Graph.of(LINE, [("in", "fc")]), "no edge leads to node 'out'"),
        (lambda: Graph.of(LINE, [("in", "fc"), ("fc", "in")]), "must not lead into an Input"),
        (
            lambda: Graph.of({"in": Input(shape=3), "fc": LINE["fc"], "out": Output()}),
            r"takes shape \(2,\), got \(3,\)",
        ),
        (lambda: chain(LIF.of(1, tau=0.0)), r"'n0/tau'\] must be > 0 s, got 0.0"),
        (lambda: chain(LIF.of(1, tau=0.9e-3)), "would overshoot, got 0.0009 s"),
        (lambda: chain(LIF.of(1, v_leak=np.nan)), "must be finite"),
        (lambda: chain(Delay.of(-1e-3, 1)), "must be >= 0 s"),
        (lambda: chain(LIF.of(1, threshold=1.0)), "has no array 'threshold'"),
        (
            lambda: chain(LIF.of(1), discretisation=Discretisation(rule="unit_gain")),
            "fold the gain into the weights",
        ),
        (
            lambda: chain(
                IF.of(1, v_threshold=0.0),
                discretisation=Discretisation(spikes="multiple"),
            ),
            "thresholds must be > 0",
        ),
        (
            lambda: Graph.of(
                {"in": Input(), "d": Delay.of(0.0, 1), "li": LI.of(1), "out": Output()},
                [("in", "li"), ("li", "d"), ("d", "li"), ("li", "out")],
            ),
            "stands on a cycle, so every delay must be at least one tick",
        ),
        (lambda: FEED_FORWARD.with_weights({}), "weights lack"),
        (lambda: FEED_FORWARD.place("spiking", "fc"), "has no place on axis"),
    ],
)
def test_graphs_that_cannot_be_are_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()
