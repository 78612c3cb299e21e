"""Compiled scan of graphs: node by node over a block of ticks, bit for bit the reference.

Nodes that feed each other advance tick by tick. All others take a whole block at once, so that a
weight that was read serves all its ticks and streams. What has no kernel is done by
`biomem.network.graph.operations` itself. Streams are shared out among threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from biomem.backends.threads import spread
from biomem.network.graph.model import GraphOutput, GraphState
from biomem.network.graph.nodes import Affine, Conv2d, Delay, Input, Neuron, Node
from biomem.network.graph.nodes_cpu import ROWS, advance, convolve, multiply
from biomem.network.graph.operations import apply
from biomem.network.graph.tables_cpu import tables_of, zeros

if TYPE_CHECKING:
    from biomem.network.graph.model import Graph

__all__ = ["scan"]

Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]

BLOCK_BYTES = 1 << 20
"""What the signals of a block may take: they share the second-level cache with a panel."""

BLOCK_TICKS = 64


def scan(
    model: Graph, state: GraphState, xs: np.ndarray, tick: int
) -> tuple[GraphState, GraphOutput]:
    """Advance over a chunk `xs` of shape ``(time, batch, input)``; the state is written to."""
    (ticks, batch), sizes = xs.shape[:2], model.sizes
    out = GraphOutput(
        *(np.empty((ticks, batch, sizes[n]), xs.dtype) for n in ("output", "spiking", "traced"))
    )

    def run(start: int, stop: int) -> None:
        own = slice(start, stop)
        streams = GraphState(*(array[own] for array in state))
        _Walk(model, streams, xs[:, own]).run(GraphOutput(*(a[:, own] for a in out)), tick)

    spread(run, batch, model.work(state, ticks, batch).macs)
    return state, out


class _Walk:
    """Some streams of a graph on their way through a chunk.

    A node's signals are an array ``(block + 1, stream, padded signals)``; row 0 is the tick before
    the block, and rows `lo` to `hi`, counted without it, are what a method is asked for. The block
    begins at row `begin` of the chunk, which is tick `now`.
    """

    def __init__(self, model: Graph, state: GraphState, xs: np.ndarray) -> None:
        self.model, self.state, self.xs = model, state, xs
        self.layout, self.tables = model.layout, tables_of(model)
        tables, (ticks, batch) = self.tables, xs.shape[:2]
        room = sum(tables.strides) + sum(math.prod(f.windows) for f in tables.frames.values())
        block = max(1, min(BLOCK_BYTES // (batch * room * xs.itemsize), BLOCK_TICKS, ticks))
        self.block = block
        self.signals = [zeros((block + 1, batch, n), xs.dtype) for n in tables.strides]
        self.sums = {
            i: np.empty_like(self.signals[sources[0].node][1:])
            for i, sources in enumerate(self.layout.sources)
            if len(sources) > 1
        }
        self.traces = {
            i: np.empty(
                (block * (i in self.layout.traced), batch, cells.numbers.shape[1]), xs.dtype
            )
            for i, cells in tables.cells.items()
        }
        self.images = {
            i: np.zeros((block * batch, *frame.padded), xs.dtype)
            for i, frame in tables.frames.items()
        }
        self.windows = {
            i: zeros((block * batch, *frame.windows), xs.dtype)
            for i, frame in tables.frames.items()
        }
        self.picks = np.empty((ROWS + 1, tables.widest + 1), np.int32)
        self.picks[ROWS] = np.arange(tables.widest + 1)
        self.values = np.empty((ROWS, tables.widest + 1), xs.dtype)
        self.calls: dict[tuple[str, int, int, int], list[Call]] = {}
        self.begin = self.now = 0

    def run(self, out: GraphOutput, tick: int) -> None:
        """Advance over all ticks and record them in `out`."""
        at, feedback = self.layout, self.state.feedback
        for i, place in at.feedback.items():
            self.signals[i][0, :, : place.stop - place.start] = feedback[:, place]
        for begin in range(0, len(self.xs), self.block):
            end = min(begin + self.block, len(self.xs))
            self.begin, self.now = begin, tick + begin
            for first, last, cyclic in at.segments:
                nodes = at.order[first:last]
                late = [i for i in nodes if i in at.late]
                step = 1 if cyclic else end - begin
                for lo in range(0, end - begin, step):
                    for i in nodes:
                        self._do(self._advance, i, lo, lo + step)
                    for i in late:
                        self._do(self._keep, i, lo, lo + step)
            self._record(out, begin, end)
            for i in at.feedback:
                self.signals[i][0] = self.signals[i][end - begin]
        for i, place in at.feedback.items():
            feedback[:, place] = self.signals[i][0, :, : place.stop - place.start]
        # They hold this object too, which would keep its arrays until the next garbage collection.
        self.calls.clear()

    def _do(self, what: Callable[[int, int, int], list[Call]], i: int, lo: int, hi: int) -> None:
        """Make the calls that `what` lists, once for all blocks: their arrays are the same."""
        key = what.__name__, i, lo, hi
        calls = self.calls.get(key)
        if calls is None:
            calls = self.calls[key] = what(i, lo, hi)
        for function, arguments in calls:
            function(*arguments)

    def _record(self, out: GraphOutput, begin: int, end: int) -> None:
        for places, record in ((self.layout.outputs, out.y), (self.layout.spiking, out.spikes)):
            for i, place in places.items():
                found = self.signals[i][1 : end - begin + 1]
                record[begin:end, :, place] = found[..., : place.stop - place.start]
        for i, place in self.layout.traced.items():
            out.v[begin:end, :, place] = self.traces[i][: end - begin]

    def _given(self, i: int, lo: int, hi: int, calls: list[Call]) -> np.ndarray:
        """Return where a node's input will stand; `calls` gets what adds up its edges in order."""
        first, *others = (
            self.signals[node][lo + 1 - delayed : hi + 1 - delayed]
            for node, delayed in self.layout.sources[i]
        )
        for part in others:
            total = self.sums[i][lo:hi]
            calls.append((np.add, (first, part, total)))
            first = total
        return first

    def _advance(self, i: int, lo: int, hi: int) -> list[Call]:
        """Return the calls that advance a node."""
        node, out = self.model.params.nodes[i], self.signals[i][lo + 1 : hi + 1]
        if isinstance(node, Input):
            return [(self._read, (i, lo, hi, out))]
        if isinstance(node, Delay) and i in self.layout.late:
            return [(self._recall, (i, lo, out))]
        calls: list[Call] = []
        given = self._given(i, lo, hi, calls)
        if isinstance(node, Neuron):
            cells, state = self.tables.cells[i], self.state
            trace = _rows(self.traces[i][lo:hi])
            own = state.v, state.i, state.fired, _rows(out), trace
            calls.append((advance, (*cells, _rows(given), *own)))
        elif isinstance(node, Affine) and not node.lead:
            matrix, scratch = self.tables.matrices[i][0], (self.picks, self.values)
            arguments = _rows(given), 0, node.n_in, *matrix, _rows(out), *scratch
            calls.append((multiply, arguments))
        elif isinstance(node, Affine):
            calls.append((self._multiply, (i, node, _rows(given), _rows(out))))
        elif isinstance(node, Conv2d):
            calls.append((self._convolve, (i, node, _rows(given), _rows(out))))
        elif isinstance(node, Delay):
            calls.append((self._delay, (i, lo, hi, given, out)))
        else:
            calls.append((self._apply, (i, node, _rows(given), _rows(out))))
        return calls

    def _keep(self, i: int, lo: int, hi: int) -> list[Call]:
        """Return the calls that store what a delay on a cycle hears, once all nodes have spoken."""
        calls: list[Call] = []
        given = self._given(i, lo, hi, calls)
        return [*calls, (self._store, (i, lo, given[0]))]

    def _read(self, i: int, lo: int, hi: int, out: np.ndarray) -> None:
        place = self.layout.inputs[i]
        xs = self.xs[self.begin + lo : self.begin + hi, :, place]
        out[..., : xs.shape[2]] = xs

    def _apply(self, i: int, node: Node, x: np.ndarray, out: np.ndarray) -> None:
        shapes, p = self.layout.shapes, self.model.params
        shape = shapes[self.layout.sources[i][0].node]
        own = {name: self.model.weights[f"{node.name}/{name}"] for name in node.arrays()}
        given = x[:, : math.prod(shape)].reshape(-1, *shape)
        y = apply(node, own, given, shapes[i], (p.surrogate, p.slope)).reshape(len(x), -1)
        out[:, : y.shape[1]] = y

    def _multiply(self, i: int, node: Affine, x: np.ndarray, out: np.ndarray) -> None:
        for k, matrix in enumerate(self.tables.matrices[i]):
            part = np.empty((len(x), len(matrix.bias)), x.dtype)
            multiply(x, k * node.n_in, node.n_in, *matrix, part, self.picks, self.values)
            out[:, k * node.n_out : (k + 1) * node.n_out] = part[:, : node.n_out]

    def _convolve(self, i: int, node: Conv2d, x: np.ndarray, out: np.ndarray) -> None:
        frame = self.tables.frames[i]
        images, windows = self.images[i][: len(x)], self.windows[i][: len(x)]
        (channels, height, width), (top, left) = frame.image, node.windows.before
        pixels = x[:, : channels * height * width].reshape(-1, channels, height, width)
        images[:, :, top : top + height, left : left + width] = pixels
        flat, outs = images.reshape(len(x), -1), node.out_channels // node.groups
        size, start = outs * windows.shape[1] * windows.shape[2], flat.shape[1] // node.groups
        for k, matrix in enumerate(self.tables.matrices[i]):
            convolve(
                flat,
                k * start,
                frame.places,
                images.shape[3],
                node.windows.stride,
                *matrix,
                self.picks[ROWS],
                windows,
            )
            found = np.moveaxis(windows[..., :outs], 3, 1)
            out[:, k * size : (k + 1) * size] = found.reshape(len(x), -1)

    def _delay(self, i: int, lo: int, hi: int, given: np.ndarray, out: np.ndarray) -> None:
        place, age, ring = self.layout.delays[i], self.model.ages[i], self.state.ring
        n, slots, streams = len(age), ring.shape[1], np.arange(len(ring))[:, None]
        past = ring[:, (self.now + lo + np.arange(slots)) % slots, place]
        line = np.concatenate([past.swapaxes(0, 1), given[..., :n]])
        when = slots + np.arange(hi - lo)[:, None, None] - age
        out[..., :n] = line[when, streams, np.arange(n)]
        latest = self.now + hi + np.arange(-slots, 0)
        ring[:, latest % slots, place] = line[-slots:].swapaxes(0, 1)

    def _recall(self, i: int, lo: int, out: np.ndarray) -> None:
        """Return what a delay on a cycle was told before."""
        place, age, ring = self.layout.delays[i], self.model.ages[i], self.state.ring
        columns, streams = np.arange(place.start, place.stop), np.arange(len(ring))[:, None]
        out[0, :, : len(age)] = ring[streams, (self.now + lo - age) % ring.shape[1], columns]

    def _store(self, i: int, lo: int, given: np.ndarray) -> None:
        place, ring = self.layout.delays[i], self.state.ring
        ring[:, (self.now + lo) % ring.shape[1], place] = given[:, : place.stop - place.start]


def _rows(signals: np.ndarray) -> np.ndarray:
    return signals.reshape(-1, signals.shape[-1])
