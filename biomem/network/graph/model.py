"""A graph of primitives as a model: what is exported, and what an imported file becomes.

A tick evaluates the nodes along the edges (`biomem.network.graph.layout`); what several edges bring
to a node adds up, and an edge that closes a cycle brings what its source gave in the tick before.
Neurons follow `biomem.network.graph.discretisation`, by default forward Euler::

    i <- i + dt/tau_syn (w_in x - i)          with a synapse, and then x = i
    v <- v + dt/tau (v_leak - v + r x)
    z  = v > v_threshold;   v <- v_reset where z

Source: J. E. Pedersen et al., Nature Communications 15 (2024) 8122.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self

import numpy as np

from biomem.backends import namespace, to_numpy
from biomem.engine.model import Field, Model
from biomem.engine.random import Rng, Stream
from biomem.engine.work import Work
from biomem.errors import ParameterError
from biomem.network.graph.checks import TIMES, check_arrays
from biomem.network.graph.layout import layout_of
from biomem.network.graph.neurons import Cell, advance
from biomem.network.graph.nodes import Affine, Conv2d, Delay, Input, Neuron, Node, Part
from biomem.network.graph.operations import apply
from biomem.network.graph.params import GraphParams
from biomem.typing import Array

__all__ = ["Graph", "GraphOutput", "GraphState"]


class GraphState(NamedTuple):
    """Everything that changes; nodes stand one after another on every axis."""

    v: Annotated[Array, Field("batch", "membrane", dtype="float", doc="membrane")]
    i: Annotated[Array, Field("batch", "current", dtype="float", doc="synaptic current")]
    fired: Annotated[Array, Field("batch", "membrane", dtype="float", doc="spikes, last tick")]
    feedback: Annotated[Array, Field("batch", "feedback", dtype="float", doc="last tick's signals")]
    ring: Annotated[Array, Field("batch", "slot", "delay", dtype="float", doc="delayed signals")]


class GraphOutput(NamedTuple):
    """What reaches the outputs, and what happens inside."""

    y: Annotated[Array, Field("output", dtype="float", doc="signals at the Output nodes")]
    spikes: Annotated[Array, Field("spiking", dtype="float", doc="of the neurons in `traces`")]
    v: Annotated[Array, Field("traced", dtype="float", doc="their membranes, after the tick")]


class Graph(Model):
    """Any graph of the primitives in `biomem.network.graph.nodes`.

    Runs compiled, and on NumPy, CuPy and torch; there training takes a surrogate for the derivative
    of a spike (``params.surrogate``). Weights are the nodes' arrays, ``"<node>/<array>"``;
    `biomem.train.TorchModule` trains matrices, kernels, biases and scales unless told otherwise.

    The compiled scan has the bits of the NumPy step, in any chunk, batch and number of threads:
    both add up input by input. It reads the weights of silent inputs only where few are silent.
    CuPy and torch multiply matrices, and so round differently.

    When not to use it: for large networks of few connections, which `biomem.SpikingNetwork` stores
    sparsely, with delays per synapse and plasticity. On NumPy, for wide layers of dense signals.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem.engine.simulator import Simulator
    >>> from biomem.network.graph import LIF, Affine, Graph, Input, Output
    >>> net = Graph.of(
    ...     {
    ...         "input": Input(shape=3),
    ...         "fc": Affine.of(np.ones((2, 3))),
    ...         "lif": LIF.of(2, tau=20e-3, v_threshold=0.1),
    ...         "output": Output(),
    ...     }
    ... )
    >>> net
    <Graph of 4 nodes, 3 edges: input (3), fc (2), lif (2), output (2); dt=0.001 s>
    >>> Simulator(net).run(np.ones((5, 3)))["y"][:, 0, 0].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """

    Params = GraphParams
    State = GraphState
    Output = GraphOutput
    Input = Field("input", dtype="float")
    array_api = True
    kernels = {"numba": "biomem.network.graph.cpu:scan"}

    params: GraphParams

    def __init__(
        self,
        params: GraphParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights={}, **changes)
        self.layout = layout_of(self.params)
        drawn = self.init_weights(Rng(self.params.seed)) if weights is None else dict(weights)
        check_arrays(self.params, drawn)
        super().__init__(self.params, weights=drawn)
        self._arrays = [self._of(node) for node in self.params.nodes]
        self.rates = [self._decays(i) for i in range(len(self.params.nodes))]
        self.ages = self._delay_ticks()

    @classmethod
    def of(
        cls,
        nodes: Mapping[str, Node | Part],
        edges: Sequence[tuple[str, str]] | None = None,
        **params: Any,
    ) -> Self:
        """Build a graph from nodes with their arrays.

        Parameters
        ----------
        nodes : mapping of str to node
            A node, or what its ``of`` returned.
        edges : sequence of pairs of str, optional
            Default: a chain in the order of `nodes`.
        **params
            Further parameters: ``dt``, ``discretisation`` ...
        """
        names = list(nodes)
        if edges is None:
            edges = list(itertools.pairwise(names))
        parts = {n: p if isinstance(p, Part) else Part(p, {}) for n, p in nodes.items()}
        params = {
            "nodes": tuple(part.node.replace(name=n) for n, part in parts.items()),
            "edges": tuple((a, b) for a, b in edges),
            **params,
        }
        own = GraphParams(**params)
        given = {
            f"{n}/{key}": np.asarray(array, own.dtype)
            for n, part in parts.items()
            for key, array in part.arrays.items()
        }
        return cls(own, weights={**_drawn(own, Rng(own.seed)), **given})

    @property
    def trainable(self) -> list[str]:
        """Names of the weights that training changes unless told otherwise."""
        return [n for n in self.weights if n.rpartition("/")[2] in ("weight", "bias", "scale")]

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of all axes."""
        at = self.layout
        places = {
            "input": at.inputs,
            "output": at.outputs,
            "membrane": at.membranes,
            "current": at.currents,
            "delay": at.delays,
            "feedback": at.feedback,
            "spiking": at.spiking,
            "traced": at.traced,
        }
        lengths = {name: max((s.stop for s in p.values()), default=0) for name, p in places.items()}
        longest = max((int(a.max()) for a in self.ages.values()), default=0)
        return lengths | {"slot": max(longest, 1)}

    def place(self, axis: str, node: str) -> slice:
        """Return where a node stands on an axis: ``"spiking"``, ``"traced"``, ``"output"`` ..."""
        found = {"input": "inputs", "output": "outputs"}.get(axis, axis)
        try:
            return getattr(self.layout, found)[self.params.index[node]]
        except (AttributeError, KeyError):
            raise ParameterError(f"Graph: node {node!r} has no place on axis {axis!r}") from None

    def init_weights(self, rng: Rng) -> dict[str, np.ndarray]:
        """Draw ``weight`` in +-1/sqrt(fan-in); the rest has the defaults of its node."""
        return _drawn(self.params, rng)

    def init_state(self, batch: int, rng: Rng) -> GraphState:
        """Return neurons at rest, and what they give then on the edges that bring the past."""
        sizes, dtype, at = self.sizes, self.params.dtype, self.layout
        v = np.zeros((batch, sizes["membrane"]), dtype)
        for i, place in at.membranes.items():
            rest = self._arrays[i].get("v_leak")
            if rest is not None:
                v[:, place] = np.reshape(to_numpy(rest), -1)
        state = GraphState(
            v=v,
            i=np.zeros((batch, sizes["current"]), dtype),
            fired=np.zeros((batch, sizes["membrane"]), dtype),
            feedback=np.zeros((batch, sizes["feedback"]), dtype),
            ring=np.zeros((batch, sizes["slot"], sizes["delay"]), dtype),
        )
        return state._replace(feedback=self._at_rest(state))

    def _at_rest(self, state: GraphState) -> np.ndarray:
        """Return the signals of feedback sources while neurons rest and nothing comes in."""
        batch, signals = len(state.v), {}
        feedback = np.array(state.feedback)
        soft = self.params.surrogate, self.params.slope
        for i in self.layout.order:
            node, shape = self.params.nodes[i], self.layout.shapes[i]
            if isinstance(node, Neuron) and not node.spiking:
                signals[i] = state.v[:, self.layout.membranes[i]].reshape(batch, *shape)
            elif isinstance(node, Input | Neuron | Delay):
                signals[i] = np.zeros((batch, *shape), state.v.dtype)
            else:
                given = self._given(i, signals, feedback)
                arrays = {name: to_numpy(a) for name, a in self._arrays[i].items()}
                signals[i] = apply(node, arrays, given, shape, soft)
            if i in self.layout.feedback:
                feedback[:, self.layout.feedback[i]] = signals[i].reshape(batch, -1)
        return feedback

    def step(self, state: GraphState, x: Array, tick: int) -> tuple[GraphState, GraphOutput]:
        """Advance by one tick: the equations of this module."""
        xp, p, at = namespace(x), self.params, self.layout
        batch, soft = x.shape[0], (p.surrogate, p.slope)
        signals: dict[int, Array] = {}
        cells: dict[int, Cell] = {}
        for i in at.order:
            node, shape = p.nodes[i], (batch, *at.shapes[i])
            if isinstance(node, Input):
                signals[i] = xp.reshape(x[:, at.inputs[i]], shape)
            elif isinstance(node, Delay):
                now = None if i in at.late else self._given(i, signals, state.feedback)
                signals[i] = self._delayed(i, state.ring, now, tick, shape)
            elif isinstance(node, Neuron):
                place = at.membranes[i]
                current = at.currents.get(i)
                cell = Cell(
                    xp.reshape(state.v[:, place], shape),
                    None if current is None else xp.reshape(state.i[:, current], shape),
                    xp.reshape(state.fired[:, place], shape),
                )
                given = self._given(i, signals, state.feedback)
                rules = node.discretisation or p.discretisation
                cells[i], signals[i] = advance(
                    node, rules, self._arrays[i], self.rates[i], cell, given, p.dt, soft
                )
            else:
                given = self._given(i, signals, state.feedback)
                signals[i] = apply(node, self._arrays[i], given, at.shapes[i], soft)

        def joined(parts: Mapping[int, Any], of: Mapping[int, Array], like: Array) -> Array:
            rows = [xp.reshape(of[i], (batch, -1)) for i in parts]
            return xp.concat(rows, axis=1) if rows else like[:, :0]

        new = GraphState(
            v=joined(at.membranes, {i: c.v for i, c in cells.items()}, state.v),
            i=joined(at.currents, {i: c.i for i, c in cells.items() if c.i is not None}, state.i),
            fired=joined(at.membranes, {i: c.fired for i, c in cells.items()}, state.fired),
            feedback=joined(at.feedback, signals, state.feedback),
            ring=self._written(state.ring, signals, state.feedback, tick),
        )
        membranes = {i: c.v for i, c in cells.items()}
        return new, GraphOutput(
            y=joined(at.outputs, signals, state.v),
            spikes=joined(at.spiking, signals, state.v),
            v=joined(at.traced, membranes, state.v),
        )

    def _given(self, i: int, signals: Mapping[int, Array], feedback: Array) -> Array:
        """Return what the edges bring to a node, added up in their order."""
        total = None
        for source in self.layout.sources[i]:
            if source.delayed:
                shape = (feedback.shape[0], *self.layout.shapes[source.node])
                part = namespace(feedback).reshape(
                    feedback[:, self.layout.feedback[source.node]], shape
                )
            else:
                part = signals[source.node]
            total = part if total is None else total + part
        assert total is not None
        return total

    def _delayed(
        self, i: int, ring: Array, now: Array | None, tick: int, shape: tuple[int, ...]
    ) -> Array:
        """Return a delay's output: for every element what came in its own number of ticks ago."""
        xp, age = namespace(ring), self.ages[i]
        slots, own = ring.shape[1], ring[:, :, self.layout.delays[i]]
        columns = [
            own[:, (tick - int(a)) % slots, j] if a else xp.reshape(now, (shape[0], -1))[:, j]
            for j, a in enumerate(age)
        ]
        return xp.reshape(xp.stack(columns, axis=1), shape)

    def _written(
        self, ring: Array, signals: Mapping[int, Array], feedback: Array, tick: int
    ) -> Array:
        if not self.layout.delays:
            return ring
        xp, batch = namespace(ring), ring.shape[0]
        rows = [
            xp.reshape(self._given(i, signals, feedback), (batch, 1, -1))
            for i in self.layout.delays
        ]
        row, slot = xp.concat(rows, axis=2), tick % ring.shape[1]
        return xp.concat([ring[:, :slot], row, ring[:, slot + 1 :]], axis=1)

    def _of(self, node: Node) -> dict[str, Array]:
        return {name: self.weights[f"{node.name}/{name}"] for name in node.arrays()}

    def _decays(self, i: int) -> dict[str, dict[str, Array]]:
        """Return ``a`` and ``E`` of every time constant of a neuron."""
        rates = {}
        for name in TIMES:
            tau = self._arrays[i].get(name)
            if tau is not None:
                xp = namespace(tau)
                rates[name] = {"a": self.params.dt / tau, "e": xp.exp(-self.params.dt / tau)}
        return rates

    def _delay_ticks(self) -> dict[int, np.ndarray]:
        ages = {}
        for i in self.layout.delays:
            node = self.params.nodes[i]
            ticks = np.rint(to_numpy(self._arrays[i]["delay"]) / self.params.dt).astype(int)
            if i in self.layout.late and (ticks < 1).any():
                raise ParameterError(
                    f"Graph node {node.name!r} (Delay): stands on a cycle, so every delay must be "
                    f"at least one tick of {self.params.dt} s, got {ticks.min()} ticks"
                )
            ages[i] = ticks.reshape(-1)
        return ages

    def work(self, state: GraphState, ticks: int, batch: int) -> Work:
        """Count a multiply-accumulate per weight and place, every tick."""
        macs = 0
        for i, node in enumerate(self.params.nodes):
            if isinstance(node, Affine):
                macs += math.prod(node.arrays()["weight"])
            elif isinstance(node, Conv2d):
                macs += math.prod(node.arrays()["weight"][1:]) * math.prod(self.layout.shapes[i])
        return Work(macs=ticks * batch * macs)

    def summary(self) -> str:
        """Return a table of the nodes: name, kind, output shape, arrays and their bytes."""
        rows = [("node", "kind", "shape", "arrays", "bytes", "from")]
        for i, node in enumerate(self.params.nodes):
            arrays = self._arrays[i]
            size = sum(math.prod(a.shape) for a in arrays.values())
            size *= np.dtype(self.params.dtype).itemsize
            sources = [
                self.params.nodes[s.node].name + (" (t-1)" if s.delayed else "")
                for s in self.layout.sources[i]
            ]
            shape = " x ".join(map(str, self.layout.shapes[i]))
            kind = type(node).__name__
            rows.append((node.name, kind, shape, " ".join(arrays), f"{size:,}", ", ".join(sources)))
        widths = [max(len(row[k]) for row in rows) for k in range(5)]
        return "\n".join(
            "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]).rstrip()
            for row in rows
        )

    def __repr__(self) -> str:
        nodes = [
            f"{node.name} ({' x '.join(map(str, shape))})"
            for node, shape in zip(self.params.nodes, self.layout.shapes, strict=True)
        ]
        shown = nodes if len(nodes) <= 8 else [*nodes[:4], "...", *nodes[-3:]]
        return (
            f"<Graph of {len(nodes)} nodes, {len(self.params.edges)} edges: {', '.join(shown)}; "
            f"dt={self.params.dt:g} s>"
        )


def _drawn(params: GraphParams, rng: Rng) -> dict[str, np.ndarray]:
    drawn: dict[str, np.ndarray] = {}
    for number, node in enumerate(params.nodes):
        known = node.defaults()
        for name, shape in node.arrays().items():
            if name == "weight":
                fan_in = math.prod(shape[1:]) if isinstance(node, Conv2d) else shape[-1]
                u = rng.uniform(Stream.CONNECT, np.arange(math.prod(shape)), batch=number)
                value = ((2 * u - 1) / math.sqrt(fan_in)).reshape(shape)
            else:
                value = np.full(shape, known.get(name, 0.0))
            drawn[f"{node.name}/{name}"] = value.astype(params.dtype)
    return drawn
