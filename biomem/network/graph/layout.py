"""Order, delays and places: what follows from nodes and edges alone.

*Order.* A tick evaluates the nodes along the edges. Of every cycle one edge is cut; it brings what
its source gave in the tick before, and before the first tick what the source gives while all
neurons rest. A walk from the inputs, depth first and in the order of nodes and edges, cuts the
edges that lead back to where it came from. A cut behind a node without memory is then moved in
front of it (``neuron -> W -> neuron`` is cut before ``W``), which changes no value and keeps the
state small. A `Delay` on a cycle is its memory, and nothing is cut there.

*Segments.* Nodes that feed each other are evaluated tick by tick; the segments between them may be
evaluated over several ticks at once.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from biomem.errors import ParameterError
from biomem.network.graph.nodes import (
    Affine,
    Conv2d,
    Delay,
    Input,
    Neuron,
    Output,
    Shape,
)
from biomem.network.graph.params import GraphParams

__all__ = ["Layout", "layout_of"]


class Source(NamedTuple):
    """One edge into a node: where it comes from, and whether it is one tick old."""

    node: int
    delayed: bool


class Layout(NamedTuple):
    """What a graph's step needs to know; nodes are numbered as in the parameters.

    Attributes
    ----------
    order : tuple of int
    segments : tuple of (start, stop, cyclic)
        Ranges of `order`.
    shapes : tuple of tuple of int
        Of every node's output.
    sources : tuple of tuple of Source
        Into every node, in the order of the edges.
    late : frozenset of int
        Delays that stand on a cycle and read their input after all nodes.
    inputs, outputs, membranes, currents, delays, feedback, spiking, traced : dict of int to slice
        Where a node's values stand on the axis of that name.
    """

    order: tuple[int, ...]
    segments: tuple[tuple[int, int, bool], ...]
    shapes: tuple[Shape, ...]
    sources: tuple[tuple[Source, ...], ...]
    late: frozenset[int]
    inputs: dict[int, slice]
    outputs: dict[int, slice]
    membranes: dict[int, slice]
    currents: dict[int, slice]
    delays: dict[int, slice]
    feedback: dict[int, slice]
    spiking: dict[int, slice]
    traced: dict[int, slice]


@functools.lru_cache(maxsize=64)
def layout_of(params: GraphParams) -> Layout:
    """Return the layout of checked parameters.

    Raises
    ------
    ParameterError
        Shapes that do not fit, or that cannot be told.
    """
    nodes, index = params.nodes, params.index
    edges = [(index[a], index[b]) for a, b in params.edges]
    shapes = _shapes(params, edges)
    component = _components(len(nodes), edges)
    cyclic = {c for c in component if component.count(c) > 1}
    cyclic |= {component[a] for a, b in edges if a == b}
    late = frozenset(
        i for i, node in enumerate(nodes) if isinstance(node, Delay) and component[i] in cyclic
    )
    delayed = _delayed(params, edges, late)
    order = _order(edges, delayed, late, component)
    traces = (
        {index[n] for n in params.traces} if params.traces is not None else set(range(len(nodes)))
    )

    def places(chosen: list[int]) -> dict[int, slice]:
        stops = np.cumsum([math.prod(shapes[i]) for i in chosen], dtype=int).tolist()
        starts = [0, *stops][: len(chosen)]
        return {i: slice(a, b) for i, a, b in zip(chosen, starts, stops, strict=True)}

    def of(kind: type) -> list[int]:
        return [i for i, node in enumerate(nodes) if isinstance(node, kind)]

    neurons = {i: node for i, node in enumerate(nodes) if isinstance(node, Neuron)}
    return Layout(
        order=tuple(order),
        segments=_segments(order, component, cyclic),
        shapes=shapes,
        sources=tuple(
            tuple(Source(a, (a, b) in delayed) for a, b in edges if b == i)
            for i in range(len(nodes))
        ),
        late=late,
        inputs=places(of(Input)),
        outputs=places(of(Output)),
        membranes=places(list(neurons)),
        currents=places([i for i, n in neurons.items() if n.has_current]),
        delays=places(of(Delay)),
        feedback=places(sorted({a for a, _ in delayed})),
        spiking=places([i for i, n in neurons.items() if n.spiking and i in traces]),
        traced=places([i for i in neurons if i in traces]),
    )


def _shapes(params: GraphParams, edges: list[tuple[int, int]]) -> tuple[Shape, ...]:
    """Return every node's output shape: follow the edges until nothing new is known."""
    nodes = params.nodes
    known: list[Shape | None] = [None] * len(nodes)
    changed = True
    while changed:
        changed = False
        for i, node in enumerate(nodes):
            if known[i] is None:
                given = next((known[a] for a, b in edges if b == i and known[a]), None)
                known[i] = node.gives(given)
                changed |= known[i] is not None
    for a, b in edges:
        source, given, wanted = nodes[a], known[a], nodes[b].takes()
        if given is None:
            raise ParameterError(
                f"Graph: the shape of node {source.name!r} ({type(source).__name__}) cannot be "
                "told, since it stands on a cycle of nodes without a shape of their own"
            )
        nodes[b].gives(given)
        first = next(known[s] for s, t in edges if t == b)
        wanted = wanted or first
        if given != wanted:
            raise ParameterError(
                f"Graph: node {nodes[b].name!r} ({type(nodes[b]).__name__}) takes shape {wanted}, "
                f"got {given} from {source.name!r} ({type(source).__name__})"
            )
    return tuple(shape for shape in known if shape is not None)


def _components(n: int, edges: list[tuple[int, int]]) -> list[int]:
    rows, columns = np.array(edges).T
    matrix = coo_array((np.ones(len(edges)), (rows, columns)), shape=(n, n))
    return connected_components(matrix, directed=True, connection="strong")[1].tolist()


def _delayed(
    params: GraphParams, edges: list[tuple[int, int]], late: frozenset[int]
) -> set[tuple[int, int]]:
    """Return the edges that bring what was a tick ago."""
    nodes = params.nodes
    cut: set[tuple[int, int]] = set()
    if params.latency == "weights":
        cut = {(a, b) for a, b in edges if isinstance(nodes[a], Affine | Conv2d)}
    # What leads into a late delay is read after all nodes, so it is no part of the walk.
    followed = [(a, b) for a, b in edges if b not in late and (a, b) not in cut]
    after: list[list[int]] = [[] for _ in nodes]
    for a, b in followed:
        after[a].append(b)
    starts = [i for i, node in enumerate(nodes) if isinstance(node, Input)]
    cut |= _back_edges(after, [*starts, *late, *range(len(nodes))])
    return _moved_upstream(params, edges, cut, late)


def _back_edges(after: list[list[int]], starts: list[int]) -> set[tuple[int, int]]:
    """Return the edges that a depth-first walk finds leading to a node it is still under."""
    found: set[tuple[int, int]] = set()
    seen: set[int] = set()
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        path, waiting = {start}, [(start, iter(after[start]))]
        while waiting:
            node, rest = waiting[-1]
            target = next(rest, None)
            if target is None:
                waiting.pop()
                path.discard(node)
            elif target in path:
                found.add((node, target))
            elif target not in seen:
                seen.add(target)
                path.add(target)
                waiting.append((target, iter(after[target])))
    return found


def _moved_upstream(
    params: GraphParams, edges: list[tuple[int, int]], cut: set[tuple[int, int]], late: frozenset
) -> set[tuple[int, int]]:
    """Move cuts from behind a node to in front of it, where the node has no memory."""
    nodes, moved = params.nodes, set()
    while True:
        for i, node in enumerate(nodes):
            into, out = [e for e in edges if e[1] == i], [e for e in edges if e[0] == i]
            if (
                i not in moved
                and not isinstance(node, Input | Output | Neuron | Delay)
                and out
                and all(e in cut and e[1] not in late for e in out)
                and not any(e in cut or isinstance(nodes[e[0]], Input) for e in into)
            ):
                cut = (cut - set(out)) | set(into)
                moved.add(i)
                break
        else:
            return cut


def _order(
    edges: list[tuple[int, int]],
    delayed: set[tuple[int, int]],
    late: frozenset[int],
    component: list[int],
) -> list[int]:
    """Return the nodes along the edges, those of one strong component together."""
    before: dict[int, set[int]] = {i: set() for i in range(len(component))}
    for a, b in edges:
        if component[a] == component[b] and ((a, b) in delayed or b in late):
            continue
        before[b].add(a)
    waits = {
        c: {component[a] for i, c2 in enumerate(component) if c2 == c for a in before[i]} - {c}
        for c in component
    }
    order: list[int] = []
    done: set[int] = set()
    while len(done) < len(waits):
        block = next(c for c in component if c not in done and waits[c] <= done)
        members = [i for i, c in enumerate(component) if c == block]
        while members:
            ready = next(i for i in members if before[i] <= set(order))
            order.append(ready)
            members.remove(ready)
        done.add(block)
    return order


def _segments(
    order: list[int], component: list[int], cyclic: set[int]
) -> tuple[tuple[int, int, bool], ...]:
    """Return the ranges of `order` that are one cycle each, and those between them."""
    found: list[tuple[int, int, bool]] = []
    keys = [component[i] if component[i] in cyclic else -1 for i in order]
    for place, key in enumerate(keys):
        if found and keys[place - 1] == key:
            start, _, loop = found.pop()
            found.append((start, place + 1, loop))
        else:
            found.append((place, place + 1, key >= 0))
    return tuple(found)
