"""snnTorch stacks there and back: identical spikes, membranes to rounding."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.errors import ParameterError
from biomem.network.graph import LI, LIF, Affine, CubaLIF, Graph, Input, Output, Scale

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TICKS = 200
# Thresholds below are short in binary: snnTorch rounds what it subtracts to float32.


@pytest.fixture(autouse=True)
def double():
    torch = pytest.importorskip("torch", reason="pip install 'biomem[torch]'")
    pytest.importorskip("snntorch", reason="pip install 'biomem[torch]'")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def neuron(kind, n, **options):
    import snntorch
    import torch

    beta = torch.linspace(0.7, 0.95, n)
    alpha = {"alpha": torch.linspace(0.3, 0.8, n)} if "Synaptic" in kind else {}
    if kind.startswith("R"):
        options |= {"all_to_all": True, "linear_features": n}
    return getattr(snntorch, kind)(beta=beta, **alpha, init_hidden=True, **options)


def theirs(stack, x):
    """Return the spikes of every tick, and the membranes of the last layer after each."""
    import torch
    from snntorch import utils

    utils.reset(stack)
    for layer in stack.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            # snnTorch's spikes are float32, whatever its membranes are.
            layer.register_forward_pre_hook(lambda _, args: tuple(a.double() for a in args))
    spikes, membranes = [], []
    with torch.no_grad():
        for row in x:
            spikes.append(stack(torch.from_numpy(row)).numpy().copy())
            membranes.append(stack[-1].mem.numpy().copy())
    return np.array(spikes), np.array(membranes)


def ours(graph, x):
    found = Simulator(graph, batch=x.shape[1], progress=False).run(x.reshape(*x.shape[:2], -1))
    last = [node for node in graph.params.nodes if isinstance(node, (LIF, CubaLIF))][-1]
    return found["y"], found["v"][..., graph.place("traced", last.name)]


def inputs(*shape):
    return np.random.default_rng(1).normal(size=(TICKS, 3, *shape)) + 0.3


@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky", "RSynaptic"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_a_stack_and_its_graph_fire_identically(kind, reset, delay):
    import torch

    from biomem.export.snntorch import from_snntorch, to_snntorch

    if kind == "RSynaptic" and not delay:
        pytest.skip("snnTorch 1.0.0 does not run this layer without delay")
    stack = torch.nn.Sequential(
        torch.nn.Linear(6, 8),
        neuron(kind, 8, reset_mechanism=reset, reset_delay=delay, threshold=0.75),
        torch.nn.Linear(8, 4, bias=False),
        neuron(kind, 4, reset_mechanism=reset, reset_delay=delay, threshold=0.25),
    )
    x = inputs(6)
    want, membranes = theirs(stack, x)
    graph = from_snntorch(stack)
    spikes, v = ours(graph, x)
    np.testing.assert_array_equal(spikes, want)
    np.testing.assert_allclose(v, membranes, rtol=1e-11, atol=1e-12)
    assert 0.02 < want.mean() < 0.98 or reset == "none"
    again, _ = theirs(to_snntorch(graph), x)
    np.testing.assert_array_equal(again, want)


def test_convolutions_pools_and_flattening_go_both_ways():
    import snntorch
    import torch

    from biomem.export.snntorch import from_snntorch, to_snntorch

    stack = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1),
        snntorch.Leaky(beta=0.8, init_hidden=True, threshold=0.5),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(36, 3),
        snntorch.Leaky(beta=0.9, init_hidden=True),
    )
    x = inputs(2, 6, 6)
    want, _ = theirs(stack, x)
    graph = from_snntorch(stack, input_shape=(2, 6, 6))
    np.testing.assert_array_equal(ours(graph, x)[0], want)
    np.testing.assert_array_equal(theirs(to_snntorch(graph), x)[0], want)


def test_a_loop_of_one_weight_per_neuron():
    import snntorch
    import torch

    from biomem.export.snntorch import from_snntorch, to_snntorch

    layer = snntorch.RLeaky(
        beta=0.9, V=torch.linspace(-0.5, 0.5, 5), all_to_all=False, init_hidden=True
    )
    stack = torch.nn.Sequential(torch.nn.Linear(4, 5), layer)
    x = inputs(4)
    graph = from_snntorch(stack)
    assert any(isinstance(node, Scale) for node in graph.params.nodes)
    want, _ = theirs(stack, x)
    np.testing.assert_array_equal(ours(graph, x)[0], want)
    np.testing.assert_array_equal(theirs(to_snntorch(graph), x)[0], want)


def test_gains_of_a_graph_in_seconds_go_into_thresholds():
    from biomem.export.snntorch import to_snntorch

    draw = np.random.default_rng(2)
    graph = Graph.of(
        {
            "in": Input(shape=5),
            "a": Affine.of(draw.normal(size=(6, 5))),
            "cuba": CubaLIF.of(6, tau_mem=12e-3, tau_syn=4e-3, r=2.0, v_threshold=0.05),
            "b": Affine.of(draw.normal(size=(3, 6))),
            "lif": LIF.of(3, tau=15e-3, r=3.0, v_threshold=0.1),
            "out": Output(),
        }
    )
    x = inputs(5)
    want, _ = ours(graph, x)
    assert want.any()
    np.testing.assert_array_equal(theirs(to_snntorch(graph), x)[0], want)


def test_what_cannot_be_carried_is_listed_whole():
    import snntorch
    import torch

    from biomem.export.snntorch import from_snntorch, to_snntorch

    with pytest.warns(UserWarning, match="unstable feature"):
        odd = torch.nn.Sequential(
            torch.nn.Linear(2, 2), torch.nn.ReLU(), snntorch.Leaky(beta=0.5, inhibition=True)
        )
    with pytest.raises(ParameterError, match="layer 1, a ReLU; inhibition of layer 2"):
        from_snntorch(odd)
    with pytest.raises(ParameterError, match="must be a torch"):
        from_snntorch(torch.nn.Linear(2, 2))
    with pytest.raises(ParameterError, match="input_shape is needed"):
        from_snntorch(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3)))
    graph = Graph.of(
        {"in": Input(shape=2), "li": LI.of(2), "lif": LIF.of(2, v_leak=0.1), "out": Output()}
    )
    with pytest.raises(ParameterError, match="node 'li', a LI; v_leak of 'lif'"):
        to_snntorch(graph)
