"""Stacks of snnTorch neurons to a graph of primitives, and back, parameter by parameter.

snnTorch's neurons add their input as it is: with ``beta`` the share of the membrane kept per tick,
a `LIF` of rule ``unit_gain`` has ``tau = dt / (1 - beta)`` and ``r = tau / dt``. When a membrane is
reset depends on the layer and on its `reset_delay`; `Discretisation.reset_tick` names each case.

Source: J. K. Eshraghian et al., Proc. IEEE 111 (2023) 1016; behaviour read from snnTorch 1.0.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biomem.engine.recording.export import need
from biomem.errors import ParameterError
from biomem.network.graph import (
    IF,
    LIF,
    Affine,
    AvgPool2d,
    Conv2d,
    CubaLIF,
    Discretisation,
    Flatten,
    Graph,
    Input,
    Output,
    Scale,
)
from biomem.network.graph.layout import layout_of
from biomem.network.graph.nodes import Neuron, Node, Part

__all__ = ["from_snntorch", "to_snntorch"]

LATE = {"Leaky": "next", "Synaptic": "held", "RLeaky": "held", "RSynaptic": "held"}
"""When a delayed reset to zero falls, by the layer's class."""


def from_snntorch(
    module: Any, dt: float = 1e-4, input_shape: tuple[int, ...] | None = None
) -> Graph:
    """Return the graph of an ``nn.Sequential`` of torch and snnTorch layers.

    Parameters
    ----------
    module : torch.nn.Sequential
        Of ``Linear``, ``Conv2d``, ``AvgPool2d``, ``Flatten``, ``Leaky``, ``Synaptic``, ``RLeaky``
        and ``RSynaptic``.
    dt : float
        Length of a tick, s; snnTorch counts ticks, so it is a convention: its own export takes
        0.1 ms.
    input_shape : tuple of int, optional
        Of one sample; needed where the first layer does not tell, such as a convolution.

    Returns
    -------
    Graph
        In float64, nodes named by the layers' places, ``"0"``, ``"1"`` ...

    Raises
    ------
    ParameterError
        Layers or settings that a graph cannot carry; all of them are listed.
    """
    torch = need("torch", "torch")
    need("snntorch", "torch")
    layers = list(module.named_children())
    if not isinstance(module, torch.nn.Sequential) or not layers:
        raise ParameterError(
            f"from_snntorch: module must be a torch.nn.Sequential of layers, got "
            f"{type(module).__name__}; put the layers into one in the order of their calls"
        )
    wrong = [line for name, layer in layers for line in _cannot(name, layer)]
    if wrong:
        raise ParameterError("from_snntorch: a graph cannot carry " + "; ".join(wrong))
    if input_shape is None:
        first = layers[0][1]
        if not hasattr(first, "in_features"):
            raise ParameterError("from_snntorch: input_shape is needed, the first layer has none")
        input_shape = (int(first.in_features),)
    nodes: dict[str, Node | Part] = {"input": Input(shape=input_shape)}
    edges: list[tuple[str, str]] = []
    shape, before = tuple(input_shape), "input"
    for name, layer in layers:
        nodes[name] = _node(layer, shape, dt)
        edges.append((before, name))
        loop = _loop(layer, shape)
        if loop is not None:
            nodes[f"{name}.rec"] = loop
            edges += [(name, f"{name}.rec"), (f"{name}.rec", name)]
        shape = _shape_after(nodes[name], shape)
        before = name
    nodes["output"] = Output()
    return Graph.of(nodes, [*edges, (before, "output")], dt=dt)


def _cannot(name: str, layer: Any) -> list[str]:
    """Return what of a layer a graph cannot carry."""
    kind = type(layer).__name__
    if kind in ("Linear", "Flatten"):
        return []
    if kind == "Conv2d":
        return [f"padding_mode of layer {name}"] if layer.padding_mode != "zeros" else []
    if kind == "AvgPool2d":
        odd = layer.ceil_mode or not layer.count_include_pad or layer.divisor_override
        return [f"ceil_mode, count_include_pad or divisor of layer {name}"] if odd else []
    if kind not in LATE:
        return [f"layer {name}, a {kind}"]
    found = []
    if layer.inhibition:
        found.append(f"inhibition of layer {name}")
    if layer.state_quant:
        found.append(f"state_quant of layer {name}")
    if float(getattr(layer, "graded_spikes_factor", 1.0)) != 1.0:
        found.append(f"graded_spikes_factor of layer {name}")
    return found


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu().numpy(), np.float64)


def _node(layer: Any, shape: tuple[int, ...], dt: float) -> Node | Part:
    kind = type(layer).__name__
    bias = getattr(layer, "bias", None)
    if kind == "Linear":
        return Affine.of(_array(layer.weight), None if bias is None else _array(bias))
    if kind == "Conv2d":
        return Conv2d.of(
            _array(layer.weight),
            None if bias is None else _array(bias),
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
    if kind == "AvgPool2d":
        return AvgPool2d(kernel_size=layer.kernel_size, stride=layer.stride, padding=layer.padding)
    if kind == "Flatten":
        # torch counts the batch axis, a graph does not.
        first = layer.start_dim - 1 if layer.start_dim > 0 else layer.start_dim
        last = layer.end_dim - 1 if layer.end_dim > 0 else layer.end_dim
        return Flatten(start_dim=first, end_dim=last)
    return _neuron(layer, shape, dt)


def _neuron(layer: Any, shape: tuple[int, ...], dt: float) -> Part:
    kind = type(layer).__name__
    reset = {"subtract": "subtract", "zero": "to_value", "none": "none"}[layer.reset_mechanism]
    if layer.reset_delay:
        tick = LATE[kind] if reset == "to_value" else "next"
    else:
        tick = "same_once" if reset == "subtract" else "same"
    rules = Discretisation(rule="unit_gain", reset=reset, reset_tick=tick)
    beta = np.clip(_array(layer.beta), 0.0, 1.0)
    arrays: dict[str, np.ndarray] = {"v_threshold": _array(layer.threshold)}
    if kind in ("Synaptic", "RSynaptic"):
        alpha = np.clip(_array(layer.alpha), 0.0, 1.0)
        _leaks(kind, alpha, beta)
        arrays |= {
            "tau_syn": dt / (1 - alpha),
            "w_in": 1 / (1 - alpha),
            "tau_mem": dt / (1 - beta),
            "r": 1 / (1 - beta),
        }
        return CubaLIF.of(shape, discretisation=rules, **arrays)
    if (beta == 1.0).all():
        return IF.of(shape, discretisation=rules, r=1 / dt, **arrays)
    _leaks(kind, beta)
    arrays |= {"tau": dt / (1 - beta), "r": 1 / (1 - beta)}
    return LIF.of(shape, discretisation=rules, **arrays)


def _leaks(kind: str, *shares: np.ndarray) -> None:
    for share in shares:
        if (share >= 1.0).any():
            raise ParameterError(
                f"from_snntorch: a {kind} with a decay of 1 beside others has no time constant; "
                "set it below 1"
            )


def _loop(layer: Any, shape: tuple[int, ...]) -> Node | Part | None:
    """Return the node that brings a recurrent layer's spikes back to it."""
    recurrent = getattr(layer, "recurrent", None)
    if recurrent is None:
        return None
    if hasattr(recurrent, "V"):
        return Scale.of(np.broadcast_to(_array(recurrent.V), shape))
    return _node(recurrent, shape, 1.0)


def _shape_after(what: Node | Part, shape: tuple[int, ...]) -> tuple[int, ...]:
    node = what.node if isinstance(what, Part) else what
    found = node.gives(shape)
    assert found is not None
    return found


def to_snntorch(graph: Graph) -> Any:
    """Return the stack of torch and snnTorch layers that a graph is.

    Parameters
    ----------
    graph : Graph
        One chain from input to output, whose neurons may feed themselves through an `Affine` or a
        `Scale`. Gains are folded into thresholds: membranes are then in units of ``a r`` (rule
        ``euler``), spikes are the same.

    Returns
    -------
    torch.nn.Sequential
        In the precision of the graph, with hidden states of its own; call
        ``snntorch.utils.reset`` before a run, and the stack once per tick.

    Raises
    ------
    ParameterError
        Nodes or rules that snnTorch has no layer for; all of them are listed.
    """
    torch = need("torch", "torch")
    need("snntorch", "torch")
    chain, loops, wrong = _chain(graph)
    for node in chain:
        wrong += _has_no_layer(graph, node)
    if wrong:
        raise ParameterError("to_snntorch: snnTorch cannot carry " + "; ".join(wrong))
    dtype = getattr(torch, graph.params.dtype)
    layers = [
        _layer(torch, graph, node, loops.get(node.name)).to(dtype)
        for node in chain
        if not isinstance(node, Input | Output)
    ]
    stack = torch.nn.Sequential(*layers)
    for layer in stack.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            # snnTorch's spikes are float32, whatever its membranes are.
            layer.register_forward_pre_hook(lambda _, args: tuple(x.to(dtype) for x in args))
    return stack


def _chain(graph: Graph) -> tuple[list[Node], dict[str, Node], list[str]]:
    """Return the nodes from input to output, those that feed a neuron back, and faults."""
    p = graph.params
    after = {node.name: [b for a, b in p.edges if a == node.name] for node in p.nodes}
    named = {node.name: node for node in p.nodes}
    loops: dict[str, Node] = {}
    for node in p.nodes:
        into = [a for a, b in p.edges if b == node.name]
        if len(into) == 1 and after[node.name] == into and isinstance(node, Affine | Scale):
            loops[into[0]] = node
    starts = [node for node in p.nodes if isinstance(node, Input)]
    if len(starts) != 1:
        return [], {}, [f"{len(starts)} inputs"]
    back = {node.name for node in loops.values()}
    chain: list[Node] = [starts[0]]
    wrong: list[str] = []
    while True:
        rest = [name for name in after[chain[-1].name] if name not in back]
        if not rest:
            break
        if len(rest) > 1 or len(chain) > len(p.nodes):
            wrong.append(f"several ways on from node {chain[-1].name!r}")
            break
        chain.append(named[rest[0]])
    left = set(named) - {node.name for node in chain} - back
    wrong += (
        [f"node {name!r}, which is off the chain" for name in sorted(left)] if not wrong else []
    )
    return chain, loops, wrong


def _has_no_layer(graph: Graph, node: Node) -> list[str]:
    name = node.name
    if isinstance(node, Input | Output | Affine | Conv2d | AvgPool2d | Flatten):
        return [f"leading axes of {name!r}"] if isinstance(node, Affine) and node.lead else []
    if not isinstance(node, LIF | CubaLIF):
        return [f"node {name!r}, a {type(node).__name__}"]
    d = node.discretisation or graph.params.discretisation
    found = [
        f"{array} of {name!r}, which is not 0"
        for array in ("v_leak", "v_reset")
        if np.asarray(graph.weights[f"{name}/{array}"]).any()
    ]
    for field, allowed in (
        ("rule", ("unit_gain", "euler")),
        ("comparison", ("strict",)),
        ("spikes", ("single",)),
        ("lower", ("none",)),
    ):
        if getattr(d, field) not in allowed:
            found.append(f"{field}={getattr(d, field)!r} of {name!r}")
    if isinstance(node, CubaLIF) and d.reset == "to_value" and d.reset_tick == "next":
        found.append(f"reset_tick='next' of {name!r}: snnTorch loses the input there ('held')")
    if d.reset == "subtract" and d.reset_tick == "same":
        found.append(f"reset_tick='same' of {name!r}: snnTorch resets by 'same_once' or 'next'")
    return found


def _layer(torch: Any, graph: Graph, node: Node, loop: Node | None) -> Any:
    own = {a: np.asarray(graph.weights[f"{node.name}/{a}"], np.float64) for a in node.arrays()}
    if isinstance(node, Affine):
        layer = torch.nn.Linear(node.n_in, node.n_out, bias=node.bias)
    elif isinstance(node, Conv2d):
        layer = torch.nn.Conv2d(
            node.in_channels,
            node.out_channels,
            node.kernel_size,
            stride=node.stride,
            padding=node.padding,
            dilation=node.dilation,
            groups=node.groups,
            bias=node.bias,
        )
    elif isinstance(node, AvgPool2d):
        return torch.nn.AvgPool2d(node.kernel_size, node.stride, node.padding)
    elif isinstance(node, Flatten):
        first = node.start_dim + 1 if node.start_dim >= 0 else node.start_dim
        last = node.end_dim + 1 if node.end_dim >= 0 else node.end_dim
        return torch.nn.Flatten(first, last)
    else:
        assert isinstance(node, Neuron)
        return _spiking(torch, graph, node, own, loop)
    layer = layer.double()
    with torch.no_grad():
        for name, array in own.items():
            getattr(layer, name).copy_(torch.from_numpy(array))
    return layer


def _spiking(
    torch: Any, graph: Graph, node: Neuron, own: dict[str, np.ndarray], loop: Node | None
) -> Any:
    snntorch = need("snntorch", "torch")
    d, dt = node.discretisation or graph.params.discretisation, graph.params.dt
    shape = layout_of(graph.params).shapes[graph.params.index[node.name]]
    tau = own["tau_mem" if node.has_current else "tau"]
    threshold = own["v_threshold"]
    if d.rule == "euler":
        threshold = threshold / (dt / tau * own["r"])
        if node.has_current:
            threshold = threshold / (dt / own["tau_syn"] * own["w_in"])
    options: dict[str, Any] = {
        "beta": torch.from_numpy(1 - dt / tau),
        "threshold": torch.from_numpy(threshold),
        "reset_mechanism": {"to_value": "zero", "subtract": "subtract", "none": "none"}[d.reset],
        "reset_delay": d.reset == "none" or d.reset_tick in ("next", "held"),
        "init_hidden": True,
    }
    if node.has_current:
        options["alpha"] = torch.from_numpy(1 - dt / own["tau_syn"])
    late = d.reset == "to_value" and d.reset_tick in ("next", "held")
    zero_loop = late and not node.has_current and d.reset_tick == "held" and loop is None
    if loop is None and not zero_loop:
        return (snntorch.Synaptic if node.has_current else snntorch.Leaky)(**options)
    kind = snntorch.RSynaptic if node.has_current else snntorch.RLeaky
    if isinstance(loop, Affine):
        layer = kind(**options, all_to_all=True, linear_features=shape[0]).double()
        with torch.no_grad():
            layer.recurrent.weight.copy_(torch.tensor(graph.weights[f"{loop.name}/weight"]))
            bias = graph.weights.get(f"{loop.name}/bias")
            zero = np.zeros(shape[0])
            layer.recurrent.bias.copy_(torch.tensor(zero if bias is None else bias))
        return layer
    scale = np.zeros(shape) if loop is None else graph.weights[f"{loop.name}/scale"]
    return kind(**options, all_to_all=False, V=torch.tensor(scale)).double()
