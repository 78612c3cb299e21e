"""GPU scan of spiking networks: the bits of the reference, one small kernel per step of a tick.

Launches per tick: one for every population but those of currents, for spike arrays only where one
fires; one for every projection; three more for every projection that learns. The host issues them
tick by tick, and that takes as long for ten neurons as for a million.

When not to use it: for small networks of few streams, whose whole tick ``backend="numba"`` computes
in the time of a few launches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from biomem.backends.cuda import Launch, device_kernel
from biomem.network import tables as t
from biomem.network.cuda_cases import drawn, example
from biomem.network.currents_cuda import by_target, net_currents
from biomem.network.deliver_cuda import net_convolve, net_deliver, net_draw
from biomem.network.layout import PopulationLayout, ProjectionLayout
from biomem.network.learn_cuda import net_depress, net_potentiate, net_trace
from biomem.network.membrane_cuda import net_integrate
from biomem.network.model import SpikingNetwork, SpikingNetworkOutput, SpikingNetworkState
from biomem.network.poisson_cuda import net_poisson

__all__ = ["Chunk", "Grid", "advance", "net_given", "net_present", "scan", "tables_on_device"]

N, UNIT, OWN = t.N, t.UNIT, t.OWN


def _numbered(kind: str) -> np.int64:
    return np.int64(next(i for i, p in enumerate(example().layout.populations) if p.kind == kind))


def _present_reference(
    populations: np.ndarray, number: int, k: int, xs: np.ndarray, spikes: np.ndarray
) -> None:
    p = example().layout.populations[number]
    spikes[k, :, p.unit : p.unit + p.n] = xs[k, :, p.own : p.own + p.n] != 0


def _present_case(seed: int) -> Launch:
    net = example()
    _, spikes, draw = drawn(seed)
    xs = draw.integers(0, 2, (*spikes.shape[:2], net.layout.sizes["input"])).astype(np.float64)
    populations = t.tables_of(net).populations
    return Launch(2, 3, (populations, _numbered("spikes"), np.int64(1), xs, spikes))


@device_kernel(
    "net_present",
    "void(int64[:, ::1], int64, int64, float64[:, :, ::1], boolean[:, :, ::1])",
    reference=_present_reference,
    case=_present_case,
)
def net_present(populations, number, k, xs, spikes):
    """Take the spikes that come from outside."""
    p = populations[number]
    n = p[N]
    for job in range(cuda.grid(1), n * spikes.shape[1], cuda.gridsize(1)):
        b, i = job // n, job % n
        spikes[k, b, p[UNIT] + i] = xs[k, b, p[OWN] + i] != 0


def _given_reference(
    populations: np.ndarray,
    number: int,
    k: int,
    first: int,
    last: int,
    given_unit: np.ndarray,
    spikes: np.ndarray,
) -> None:
    p = example().layout.populations[number]
    spikes[k][:, p.unit + given_unit[first:last]] = True


def _given_case(seed: int) -> Launch:
    _, spikes, _ = drawn(seed)
    tables = t.tables_of(example())
    place = (np.int64(0), np.int64(2 * seed), np.int64(2 * seed + 2))
    args = (tables.populations, _numbered("array"), *place, tables.given_unit, spikes)
    return Launch(2, 3, args)


@device_kernel(
    "net_given",
    "void(int64[:, ::1], int64, int64, int64, int64, int32[::1], boolean[:, :, ::1])",
    reference=_given_reference,
    case=_given_case,
)
def net_given(populations, number, k, first, last, given_unit, spikes):
    """Take the spikes of one tick from a spike array: entries `first` to `last`."""
    count = last - first
    for job in range(cuda.grid(1), count * spikes.shape[1], cuda.gridsize(1)):
        unit = populations[number, UNIT] + given_unit[first + job % count]
        spikes[k, job // count, unit] = True


class Grid(NamedTuple):
    """Sizes of the launches; they change no bit.

    Attributes
    ----------
    threads : int
        Of a block.
    blocks : int
        At most; more work than that is taken in turns.
    """

    threads: int = 128
    blocks: int = 8192

    def each(self, kernel: Any, jobs: int) -> Any:
        """Return `kernel` to be launched with a thread for every job."""
        return self.blocked(kernel, -(-jobs // self.threads))

    def blocked(self, kernel: Any, jobs: int) -> Any:
        """Return `kernel` to be launched with a block for every job."""
        return kernel[max(1, min(jobs, self.blocks)), self.threads]


class Chunk(NamedTuple):
    """What a chunk reads and writes, on the device.

    Attributes
    ----------
    xs : array, shape ``(time, batch, input)``
    outside : array, shape ``(batch, neuron)``
        Sums of currents, 0 at the beginning and at the end.
    spikes : bool array of zeros, shape ``(time, batch, unit)``
    traces : array, shape ``(time, batch, traced)``
    """

    xs: Any
    outside: Any
    spikes: Any
    traces: Any


Step = Callable[[int, int], None]
"""Does its part of tick ``k`` of the chunk, which is tick ``tick`` of the run."""


def tables_on_device(net: SpikingNetwork) -> tuple[t.Tables, dict[int, tuple[Any, ...]]]:
    """Return the tables of a network and, by projection of currents, its synapses by target."""
    kept = vars(net).get("_device_tables")
    if kept is None:
        tables = t.Tables(*map(cuda.to_device, t.tables_of(net)))
        graded = {
            q.number: tuple(map(cuda.to_device, by_target(net, q.number)))
            for q in net.layout.projections
            if q.graded
        }
        kept = vars(net)["_device_tables"] = tables, graded
    return kept


def advance(
    net: SpikingNetwork,
    state: SpikingNetworkState,
    chunk: Chunk,
    tick: int,
    grid: Grid = Grid(),  # noqa: B008 - it is immutable
) -> None:
    """Advance arrays on the device in place by a chunk that begins at `tick`."""
    with warnings.catch_warnings():
        # A step of a small network is a small launch, and numba warns that it cannot fill a GPU.
        warnings.filterwarnings("ignore", message=".*[Gg]rid size.*")
        steps = _steps(net, state, chunk, grid)
    for k in range(chunk.spikes.shape[0]):
        for step in steps:
            step(k, tick + k)


def _steps(net: SpikingNetwork, state: SpikingNetworkState, chunk: Chunk, grid: Grid) -> list[Step]:
    """Return the launches of a tick in their order."""
    layout, steps = net.layout, []
    for number in layout.order:
        p = layout.populations[number]
        if p.kind == "currents":
            steps += [
                _currents(net, layout.projections[q], chunk, grid) for q in layout.outgoing[number]
            ]
            continue
        steps.append(_population(net, number, p, state, chunk, grid))
        steps += [
            _delivery(net, layout.projections[q], state, chunk, grid)
            for q in layout.outgoing[number]
        ]
    for q in layout.projections:
        if q.plastic >= 0:
            steps += _learning(net, q, state, chunk, grid)
    return steps


def _currents(net: SpikingNetwork, q: ProjectionLayout, chunk: Chunk, grid: Grid) -> Step:
    tables, graded = tables_on_device(net)
    jobs = net.layout.populations[q.post].n * chunk.outside.shape[0]
    launch = grid.each(net_currents, jobs)
    head = tables.populations, tables.projections, q.number
    tail = *graded[q.number], tables.graded, chunk.outside
    return lambda k, tick: launch(*head, k, chunk.xs, *tail)


def _population(
    net: SpikingNetwork,
    number: int,
    p: PopulationLayout,
    state: SpikingNetworkState,
    chunk: Chunk,
    grid: Grid,
) -> Step:
    tables, _ = tables_on_device(net)
    jobs = p.n * chunk.outside.shape[0]
    if p.kind == "spikes":
        launch = grid.each(net_present, jobs)
        return lambda k, tick: launch(tables.populations, number, k, chunk.xs, chunk.spikes)
    if p.kind == "poisson":
        launch = grid.each(net_poisson, jobs)
        head = tables.populations, tables.gaps, number
        return lambda k, tick: launch(*head, k, tick, state.key, state.gap, chunk.spikes)
    if p.kind == "array":
        return _given(net, number, p, chunk, grid.each(net_given, jobs))
    launch, slots = grid.each(net_integrate, jobs), state.ring.shape[1]
    head = tables.populations, tables.coefficients, number
    tail = (
        chunk.outside,
        state.v,
        state.current,
        state.adaptation,
        state.fired,
        state.refractory,
        state.ring,
        chunk.spikes,
        chunk.traces,
    )
    return lambda k, tick: launch(*head, tick % slots, k, *tail)


def _given(
    net: SpikingNetwork, number: int, p: PopulationLayout, chunk: Chunk, launch: Any
) -> Step:
    tables, _ = tables_on_device(net)
    begin = int(t.tables_of(net).populations[number, t.GIVEN])
    ticks, _ = net.given_spikes(p.population.name)

    def step(k: int, tick: int) -> None:
        first, last = (begin + int(i) for i in np.searchsorted(ticks, (tick, tick + 1)))
        if last > first:
            launch(tables.populations, number, k, first, last, tables.given_unit, chunk.spikes)

    return step


def _delivery(
    net: SpikingNetwork,
    q: ProjectionLayout,
    state: SpikingNetworkState,
    chunk: Chunk,
    grid: Grid,
) -> Step:
    tables, _ = tables_on_device(net)
    kernel = {"convolution": net_convolve, "procedural": net_draw}.get(q.form, net_deliver)
    synapses = (tables.weight, tables.real)
    if kernel is net_deliver:
        synapses = (tables.indptr, tables.target, tables.weight, tables.delay, tables.real)
        synapses += (state.plastic,)
    launch = grid.blocked(kernel, net.layout.populations[q.pre].n * chunk.outside.shape[0])
    head = tables.populations, tables.projections, q.number
    unit = float(t.tables_of(net).fixed_unit[q.number])
    tail = (
        *synapses,
        tables.stp_use,
        tables.stp_rec,
        tables.stp_facil,
        state.stp_u,
        state.stp_r,
        state.stp_last,
        state.ring,
        state.events,
    )
    return lambda k, tick: launch(*head, k, tick, unit, chunk.spikes, *tail)


def _learning(
    net: SpikingNetwork,
    q: ProjectionLayout,
    state: SpikingNetworkState,
    chunk: Chunk,
    grid: Grid,
) -> list[Step]:
    tables, _ = tables_on_device(net)
    batch = chunk.outside.shape[0]
    n_pre, n_post = (net.layout.populations[i].n for i in (q.pre, q.post))
    head = tables.populations, tables.projections, tables.learning, q.number
    depress = grid.blocked(net_depress, n_pre * batch)
    potentiate = grid.blocked(net_potentiate, n_post * batch)
    trace = grid.each(net_trace, (n_pre + n_post) * batch)
    down = tables.indptr, tables.target, state.trace_post, state.plastic
    up = tables.incoming_ptr, tables.incoming_source, tables.incoming_synapse
    return [
        lambda k, tick: depress(*head, k, chunk.spikes, *down),
        lambda k, tick: potentiate(*head, k, chunk.spikes, *up, state.trace_pre, state.plastic),
        lambda k, tick: trace(*head, k, chunk.spikes, state.trace_pre, state.trace_post),
    ]


def _seen(array: Any) -> Any:
    """Return a CuPy array as numba takes it at once, without looking at it in every launch."""
    if array.size:
        return cuda.as_cuda_array(array)
    return cuda.device_array(array.shape, array.dtype)


def scan(
    model: SpikingNetwork, state: SpikingNetworkState, xs: Any, tick: int
) -> tuple[SpikingNetworkState, SpikingNetworkOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, input)`` of CuPy arrays."""
    import cupy

    ticks, batch = xs.shape[:2]
    sizes, dtype = model.layout.sizes, model.params.dtype
    spikes = cupy.zeros((ticks, batch, sizes["unit"]), bool)
    traces = cupy.empty((ticks, batch, sizes["traced"]), dtype)
    outside = cupy.zeros((batch, sizes["neuron"]), dtype)
    arrays = (cupy.ascontiguousarray(xs), outside, spikes, traces)
    seen = SpikingNetworkState(*map(_seen, state))
    advance(model, seen, Chunk(*map(_seen, arrays)), tick)
    return state, SpikingNetworkOutput(spikes, traces)
