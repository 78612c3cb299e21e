"""Spiking networks: the reference, population by population, in plain NumPy.

One tick visits the populations in the order of their projections without delay. For each:

1. *inputs*: what arrives at its ports in this tick is read from the ring and the ring is cleared;
2. *integrate*: the membranes follow the equation of `biomem.network.neurons`;
3. *fire and reset*;
4. *deliver*: every spike adds the weights of its synapses to the ring, ``delay`` ticks ahead.

After all populations, *learn*: the equations of `biomem.network.plasticity`. In full, for a neuron
that is not refractory, with ``J`` what arrives::

    i   = i_bias + currents from outside (+ J with Pulse)
    v  <- v + J                                  with Delta, before the membrane moves
    I_r <- I_r + J_r                             with CurrentExp, ConductanceExp
    i  += sum_r I_r (e_r - v)                    with ConductanceExp
    v  <- v_leak + K (v - v_leak) + g (i - b w) + sum_r g_r I_r
    z   = v > v_th + beta w;   v <- v_reset, or v - v_th;   w <- w decay_adapt + z
    I_r <- I_r decay_r

A refractory neuron keeps its membrane and hears nothing; its ``I_r`` and ``w`` go on. Whatever
decays becomes 0 below 1e-30.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from biomem.backends import to_numpy
from biomem.engine.model import Field, Model
from biomem.engine.random import Rng, Stream
from biomem.engine.work import Work
from biomem.errors import InputError
from biomem.network.deliver import deliver, deliver_currents, learn
from biomem.network.gaps import gap_table, gaps
from biomem.network.layout import Layout, PopulationLayout
from biomem.network.membrane import integrate
from biomem.network.params import SpikingNetworkParams
from biomem.network.weights import check_weights, draw_weights
from biomem.typing import Array

__all__ = ["SpikingNetwork", "SpikingNetworkOutput", "SpikingNetworkState"]


class SpikingNetworkState(NamedTuple):
    """Everything that changes; populations stand one after another on every axis."""

    key: Annotated[Array, Field("word", dtype="uint64", doc="seed of the Poisson sources")]
    v: Annotated[Array, Field("batch", "neuron", dtype="float", doc="membrane")]
    adaptation: Annotated[Array, Field("batch", "adaptive", dtype="float")]
    current: Annotated[Array, Field("batch", "current", dtype="float", doc="filtered input")]
    fired: Annotated[Array, Field("batch", "neuron", dtype="bool", doc="in the last tick")]
    refractory: Annotated[Array, Field("batch", "neuron", dtype="int32", doc="ticks left")]
    ring: Annotated[
        Array, Field("batch", "slot", "port", dtype="accumulator", doc="spikes on their way")
    ]
    gap: Annotated[
        Array,
        Field(
            "batch", "poisson", dtype="int16", doc="ticks to the next spike, or -ticks to a draw"
        ),
    ]
    plastic: Annotated[Array, Field("batch", "plastic", doc="weights under STDP")]
    trace_pre: Annotated[Array, Field("batch", "trace_pre", doc="STDP trace of sources")]
    trace_post: Annotated[Array, Field("batch", "trace_post", doc="STDP trace of targets")]
    stp_u: Annotated[Array, Field("batch", "stp", doc="use, at the last spike")]
    stp_r: Annotated[Array, Field("batch", "stp", doc="resources, at the last spike")]
    stp_last: Annotated[
        Array, Field("batch", "stp_source", dtype="int64", doc="tick of the last spike, -1 before")
    ]
    events: Annotated[Array, Field("batch", dtype="int64", doc="synaptic events so far")]


class SpikingNetworkOutput(NamedTuple):
    """Who fired, and the membranes asked for."""

    spikes: Annotated[Array, Field("unit", dtype="bool", doc="of every source and neuron")]
    v: Annotated[Array, Field("traced", dtype="float", doc="membranes of `traces`, after the tick")]


class SpikingNetwork(Model):
    """Populations of spiking neurons, event-driven: a tick touches the synapses of what fired.

    Sums of spikes are exact (see `biomem.network.layout`), so the reference, the compiled kernel on
    any number of threads and the GPU kernel give the same bits. All streams of a batch share the
    weights; plastic weights belong to each stream.

    When not to use it: for training by gradient (see `biomem.network.graph`), and for neurons whose
    dendrites compute (see `biomem.ELM`).

    Parameters
    ----------
    params : SpikingNetworkParams, optional
    weights : mapping of str to array, optional
        Any of the arrays `biomem.network.weights` lists; the others are drawn from ``params.seed``.
    **changes
        Parameters by name: ``populations``, ``projections``, ``dt`` ...

    Raises
    ------
    ParameterError
        A name that does not exist, a cycle without delay, weights against Dale's law, not finite,
        or of the wrong shape.

    Examples
    --------
    >>> from biomem.engine.simulator import Simulator
    >>> from biomem.network import LIF, FixedOutDegree, Poisson, Population, Projection
    >>> net = SpikingNetwork(
    ...     populations=(
    ...         Population(name="noise", n=100, neuron=Poisson(rate=200.0)),
    ...         Population(name="exc", n=100, neuron=LIF(tau_ref=2e-3), sign="exc"),
    ...     ),
    ...     projections=(
    ...         Projection(pre="noise", post="exc", rule=FixedOutDegree(k=1), weight=0.3),
    ...         Projection(pre="exc", post="exc", rule=FixedOutDegree(k=10), weight=0.05),
    ...     ),
    ... )
    >>> recording = Simulator(net, seed=1).run(ticks=100)
    >>> recording["spikes"][:, 0, net.units("exc")].shape
    (100, 100)
    """

    Params = SpikingNetworkParams
    State = SpikingNetworkState
    Output = SpikingNetworkOutput
    exact = True
    kernels = {"numba": "biomem.network.cpu:scan", "cuda": "biomem.network.cuda:scan"}

    params: SpikingNetworkParams

    def __init__(
        self,
        params: SpikingNetworkParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights={}, **changes)
        drawn = draw_weights(self.params, weights or {})
        check_weights(self.params, drawn)
        super().__init__(self.params, weights=drawn)
        self.layout = Layout(self.params, self.weights)
        # A network without inputs takes none.
        self.Input = Field("input", dtype="float") if self.layout.sizes["input"] else None  # pyright: ignore[reportAttributeAccessIssue]
        self.gap_tables = [
            gap_table(p.neuron.rate * self.params.dt) if p.kind == "poisson" else None
            for p in self.layout.populations
        ]

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of all axes."""
        return self.layout.sizes | {"word": 1}

    def dtype_of(self, field: Field) -> np.dtype[Any]:
        """Return the dtype of `field`; sums at the ports are integers of the layout's choice."""
        if field.dtype == "accumulator":
            return self.layout.accumulator
        return super().dtype_of(field)

    def with_weights(self, weights: Mapping[str, Array]) -> Self:
        """Return the network with some arrays replaced, the others as they are.

        The arrays stay on the host, whatever device they come from: the kernels read tables.
        """
        host = {name: to_numpy(array) for name, array in weights.items()}
        return type(self)(self.params, weights={**self.weights, **host})

    def units(self, name: str) -> slice:
        """Return where a population stands among the units, such as in the output `spikes`."""
        found = self._named(name)
        return slice(found.unit, found.unit + found.n)

    def neurons(self, name: str) -> slice:
        """Return where a population of neurons stands in the state, such as in ``state.v``."""
        found = self._named(name)
        return slice(found.own, found.own + found.n)

    def _named(self, name: str) -> PopulationLayout:
        for found in self.layout.populations:
            if found.population.name == name:
                return found
        names = [p.population.name for p in self.layout.populations]
        raise InputError(f"SpikingNetwork: no population {name!r}; there are {names}")

    def explain(self) -> str:
        """Say how every projection is held and why, and what it takes."""
        from biomem.network.report import explain

        return explain(self)

    def init_state(self, batch: int, rng: Rng) -> SpikingNetworkState:
        """Return membranes at rest or drawn, nothing on its way, and the first Poisson gaps."""
        sizes, dtype, layout = self.layout.sizes, np.dtype(self.params.dtype), self.layout
        v = np.empty((batch, sizes["neuron"]), dtype)
        adaptation = np.zeros((batch, sizes["adaptive"]), dtype)
        streams = np.arange(batch)[:, None]
        for p in layout.populations:
            if not p.n_ports:
                continue
            neuron, own = p.neuron, slice(p.own, p.own + p.n)
            rest = neuron.c if p.kind == "izhikevich" else neuron.v_leak
            v[:, own] = rest
            if neuron.v_init is not None:
                low, high = neuron.v_init
                u = rng.uniform(Stream.NET_MEMBRANE, np.arange(p.n) + p.own, batch=streams)
                v[:, own] = low + (high - low) * u
            if p.kind == "izhikevich":
                adaptation[:, p.adaptive : p.adaptive + p.n] = dtype.type(neuron.b) * v[:, own]
        key = np.array([rng.key], np.uint64)
        gap = np.zeros((batch, sizes["poisson"]), np.int16)
        for p, table in zip(layout.populations, self.gap_tables, strict=True):
            if table is not None:
                at = np.broadcast_to(np.arange(p.n), (batch, p.n))
                gap[:, p.own : p.own + p.n] = draw_gaps(key, p, table, at, streams, 0)
        return SpikingNetworkState(
            key=key,
            v=v,
            adaptation=adaptation,
            current=np.zeros((batch, sizes["current"]), dtype),
            fired=np.zeros((batch, sizes["neuron"]), bool),
            refractory=np.zeros((batch, sizes["neuron"]), np.int32),
            ring=np.zeros((batch, sizes["slot"], sizes["port"]), layout.accumulator),
            gap=gap,
            **self._plasticity(batch),
            events=np.zeros(batch, np.int64),
        )

    def _plasticity(self, batch: int) -> dict[str, NDArray[Any]]:
        sizes = self.layout.sizes
        plastic = np.zeros(sizes["plastic"])
        use, resources = np.zeros(sizes["stp"]), np.ones(sizes["stp"])
        for q in self.layout.projections:
            name = q.projection.name
            if q.projection.stdp is not None:
                drawn = np.asarray(self.weights[f"{name}/weight"], np.float64).reshape(-1)
                # In float32 a weight at a bound may lie beyond it by a rounding.
                drawn = np.clip(drawn, q.projection.stdp.w_min, q.projection.stdp.w_max)
                plastic[q.plastic : q.plastic + q.synapses] = drawn
            if q.projection.stp is not None:
                own = self.weights.get(f"{name}/U")
                n = self.layout.populations[q.pre].n if own is None else len(own)
                use[q.stp : q.stp + n] = q.projection.stp.U if own is None else own
        return {
            "plastic": np.tile(plastic, (batch, 1)),
            "trace_pre": np.zeros((batch, sizes["trace_pre"])),
            "trace_post": np.zeros((batch, sizes["trace_post"])),
            "stp_u": np.tile(use, (batch, 1)),
            "stp_r": np.tile(resources, (batch, 1)),
            "stp_last": np.full((batch, sizes["stp_source"]), -1, np.int64),
        }

    def check_input(self, xs: Any, *, batch: int, ticks: int | None = None) -> np.ndarray:
        """Return the input as an array, or refuse it; spike inputs hold 0 and 1 only."""
        checked = super().check_input(xs, batch=batch, ticks=ticks)
        for p in self.layout.populations:
            if p.kind != "spikes":
                continue
            own = checked[:, :, p.own : p.own + p.n]
            binary = (own == 0) | (own == 1)
            if not binary.all():
                where = tuple(int(i) for i in np.argwhere(~binary)[0])
                raise InputError(
                    f"SpikingNetwork: inputs of the SpikeInput {p.population.name!r} must be 0 or "
                    f"1, got {own[where]} at (time, batch, unit) = {where}; several events in a "
                    "tick need a smaller dt, graded values a CurrentInput"
                )
        return checked

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return inputs for the contract suite: spikes of probability 0.1, normal currents."""
        shape = (ticks, batch, self.layout.sizes["input"])
        if not shape[2]:
            return np.zeros(shape)
        entities = np.arange(int(np.prod(shape)))
        xs = rng.normal(Stream.GENERIC, entities).reshape(shape)
        for p in self.layout.populations:
            if p.kind == "spikes":
                own = slice(p.own, p.own + p.n)
                xs[:, :, own] = xs[:, :, own] > 1.28
        return xs.astype(self.params.dtype)

    def step(
        self, state: SpikingNetworkState, x: Array, tick: int
    ) -> tuple[SpikingNetworkState, SpikingNetworkOutput]:
        """Advance by one tick: the equations of this module."""
        layout = self.layout
        new = SpikingNetworkState(*(np.array(field) for field in state))
        batch = len(state.v)
        spikes = np.zeros((batch, layout.sizes["unit"]), bool)
        outside = np.zeros((batch, layout.sizes["neuron"]), self.params.dtype)
        slot = tick % layout.sizes["slot"]
        for number in layout.order:
            p = layout.populations[number]
            units = slice(p.unit, p.unit + p.n)
            if p.kind == "currents":
                for q in layout.outgoing[number]:
                    deliver_currents(
                        self, layout.projections[q], x[:, p.own : p.own + p.n], outside
                    )
                continue
            if p.kind == "spikes":
                spikes[:, units] = x[:, p.own : p.own + p.n] != 0
            elif p.kind == "poisson":
                spikes[:, units] = self._poisson(new, number, tick)
            elif p.kind == "array":
                ticks, fired = self.given_spikes(p.population.name)
                spikes[:, p.unit + fired[ticks == tick]] = True
            else:
                spikes[:, units] = integrate(new, p, slot, outside[:, p.own : p.own + p.n])
            for q in layout.outgoing[number]:
                deliver(self, layout.projections[q], new, spikes[:, units], tick)
        for q in layout.projections:
            if q.plastic >= 0:
                learn(self, q, new, spikes)
        traced = [new.v[:, p.own : p.own + p.n] for p in layout.populations if p.traced >= 0] or [
            np.zeros((batch, 0), self.params.dtype)
        ]
        return new, SpikingNetworkOutput(spikes, np.concatenate(traced, axis=1))

    def _poisson(self, new: SpikingNetworkState, number: int, tick: int) -> NDArray[np.bool_]:
        p, table = self.layout.populations[number], self.gap_tables[number]
        assert table is not None
        gap = new.gap[:, p.own : p.own + p.n]
        fires = gap == 1
        due = np.abs(gap) == 1
        gap -= np.sign(gap)
        stream, unit = np.nonzero(due)
        gap[stream, unit] = draw_gaps(new.key, p, table, unit, stream, tick + 1)
        return fires

    def given_spikes(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return ticks and units of the spikes of a `SpikeArray`, ordered by tick, then by unit."""
        ticks = np.rint(self.weights[f"{name}/time"] / self.params.dt).astype(np.int64)
        n = self._named(name).n
        both = np.unique(ticks * n + self.weights[f"{name}/unit"])
        return both // n, both % n

    def work(self, state: SpikingNetworkState, ticks: int, batch: int) -> Work:
        """Count synaptic events, each an addition and the reading of a weight, and the neurons."""
        events = int(np.asarray(state.events).sum())
        bits = 8 * self.layout.accumulator.itemsize
        neurons = self.layout.sizes["neuron"]
        return Work(
            synaptic_events=events,
            acs=events,
            macs=ticks * batch * (2 * neurons + self.layout.sizes["current"]),
            weight_bits_read=events * bits,
        )

    def __repr__(self) -> str:
        sizes = self.layout.sizes
        synapses = sum(q.synapses for q in self.layout.projections)
        inside = ", ".join(
            f"{p.population.name}: {p.n} {type(p.population.neuron).__name__}"
            for p in self.layout.populations
        )
        return (
            f"<SpikingNetwork {sizes['neuron']} neurons, {synapses} synapses in "
            f"{len(self.layout.projections)} projections, dt={self.params.dt:g} s; {inside}>"
        )


def draw_gaps(
    key: NDArray[np.uint64],
    p: PopulationLayout,
    table: NDArray[np.uint64],
    unit: NDArray[np.int64],
    stream: NDArray[np.int64],
    tick: int,
) -> NDArray[np.int16]:
    """Return the ticks to the next spike of Poisson sources, or -256 where none is so near."""
    w = Rng(int(key[0])).words(Stream.NET_POISSON, unit + p.unit, tick, stream).astype(np.uint64)
    u = w[..., 0] << np.uint64(32) | w[..., 1]
    return gaps(table, u).astype(np.int16)
