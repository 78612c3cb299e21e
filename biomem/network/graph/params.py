"""Parameters of a graph: its nodes and edges, checked as a whole."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeAlias

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.network.graph.discretisation import Discretisation
from biomem.network.graph.nodes import (
    IF,
    LI,
    LIF,
    Affine,
    AvgPool2d,
    Conv2d,
    CubaLI,
    CubaLIF,
    Delay,
    Flatten,
    I,
    Input,
    Neuron,
    Output,
    Scale,
    SumPool2d,
    Threshold,
)

__all__ = ["AnyNode", "GraphParams"]

# Frozen, so one may be the default of many.
_EULER = Discretisation()

SURROGATES = ("atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through")

AnyNode: TypeAlias = (
    Input
    | Affine
    | Conv2d
    | SumPool2d
    | AvgPool2d
    | Flatten
    | Scale
    | Threshold
    | Delay
    | I
    | LI
    | IF
    | LIF
    | CubaLI
    | CubaLIF
    | Output
)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class GraphParams(Params):
    """A graph of primitives without its arrays.

    Parameters
    ----------
    nodes : tuple of nodes
        See `biomem.network.graph.nodes`; at least one `Input` and one `Output`.
    edges : tuple of pairs of str
        Names of source and target. What several edges bring to a node adds up, in the order of
        the edges.
    dt : float
        Time step, s.
    discretisation : Discretisation
        Of every neuron that has none of its own.
    latency : {"none", "weights"}
        ``weights``: what leaves an `Affine` or `Conv2d` arrives one tick later, as on Lava.
    traces : tuple of str, optional
        Neurons whose spikes and membranes are outputs of every tick; default all of them.
    surrogate : {"atan", "fast_sigmoid", "sigmoid", "triangular", "straight_through"}
        Derivative that training with torch takes for that of a spike; see
        `biomem.network.graph.surrogate`.
    slope : float
        Its steepness, > 0.
    seed : int
        Of weights that are not given.
    dtype : {"float32", "float64"}

    Notes
    -----
    ``repr`` spells nodes as dicts, since two classes of the library may share a name.
    """

    nodes: tuple[AnyNode, ...] = (Input(name="input"), Output(name="output"))
    edges: tuple[tuple[str, str], ...] = (("input", "output"),)
    dt: float = 1e-3
    discretisation: Discretisation = _EULER
    latency: str = "none"
    traces: tuple[str, ...] | None = None
    surrogate: str = "atan"
    slope: float = 2.0
    seed: int = 0
    dtype: str = "float64"

    def __post_init__(self) -> None:
        require(self, "dt", math.isfinite(self.dt) and self.dt > 0, "finite, > 0 s")
        require(self, "slope", math.isfinite(self.slope) and self.slope > 0, "finite, > 0")
        require(self, "dtype", self.dtype in ("float32", "float64"), "'float32' or 'float64'")
        require(self, "latency", self.latency in ("none", "weights"), "'none' or 'weights'")
        known = self.surrogate in SURROGATES
        require(self, "surrogate", known, f"one of {', '.join(map(repr, SURROGATES))}")
        _check_nodes(self)
        _check_edges(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_dict({self.to_dict()!r})"

    @property
    def index(self) -> dict[str, int]:
        """Place of every node by its name."""
        return {node.name: i for i, node in enumerate(self.nodes)}


def _check_nodes(graph: GraphParams) -> None:
    names = [node.name for node in graph.nodes]
    for node in graph.nodes:
        if not isinstance(node, AnyNode):
            raise ParameterError(f"Graph: nodes must be primitives, got {node!r}")
        if not node.name or "/" in node.name:
            raise ParameterError(
                f"Graph: a node's name must be text without '/', got {node.name!r} for a "
                f"{type(node).__name__}"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParameterError(
            f"Graph: names of nodes must differ, got {twice[0]!r} more than once; rename one"
        )
    for kind in (Input, Output):
        if not any(isinstance(node, kind) for node in graph.nodes):
            raise ParameterError(f"Graph: needs at least one {kind.__name__} node, got {names}")
    neurons = [node.name for node in graph.nodes if isinstance(node, Neuron)]
    for name in graph.traces or ():
        if name not in neurons:
            raise ParameterError(f"Graph: traces must name neurons, {neurons}, got {name!r}")


def _check_edges(graph: GraphParams) -> None:
    index = graph.index
    for edge in graph.edges:
        for name in edge:
            if name not in index:
                raise ParameterError(
                    f"Graph: edge {edge} names {name!r}, which is no node; nodes are {list(index)}"
                )
        source, target = (graph.nodes[index[name]] for name in edge)
        if isinstance(target, Input) or isinstance(source, Output):
            raise ParameterError(
                f"Graph: edge {edge} must not lead into an Input nor out of an Output"
            )
    if len(set(graph.edges)) < len(graph.edges):
        twice = next(e for e in graph.edges if graph.edges.count(e) > 1)
        raise ParameterError(f"Graph: edge {twice} stands there twice; a node adds up each once")
    fed = {target for _, target in graph.edges}
    for node in graph.nodes:
        if not isinstance(node, Input) and node.name not in fed:
            raise ParameterError(
                f"Graph: no edge leads to node {node.name!r} ({type(node).__name__}); connect or "
                "remove it"
            )
