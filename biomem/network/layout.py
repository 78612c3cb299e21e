"""A network as flat arrays: where everything stands, and what a kernel needs to know of it.

Populations lie one after another on the axes of the state. A *unit* is a source or a neuron; a
*port* is where spikes of one kind arrive at one neuron: two per neuron with filtered currents
(excitatory, inhibitory), else one.

What arrives at a port is summed in integers, in units of ``2^-k``, with ``k`` the largest for which
no sum of the port's synapses can overflow. So a sum is exact, and no order of events, number of
threads or kind of processor can change it; its error against the real numbers is below that of
adding floats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.errors import ParameterError
from biomem.network.coefficients import NeuronCoefficients, coefficients
from biomem.network.connect import Convolution, OneToOne, Procedural
from biomem.network.neurons import (
    LIF,
    AdaptiveLIF,
    ConductanceExp,
    CurrentExp,
    CurrentInput,
    Delta,
    Izhikevich,
    Poisson,
    SpikeArray,
    SpikeInput,
)
from biomem.network.params import MAX_DELAY, Population, Projection, SpikingNetworkParams
from biomem.network.patterns import in_degree
from biomem.network.weights import constant, projection_rng
from biomem.typing import Array

__all__ = ["Layout", "PopulationLayout", "ProjectionLayout"]

DENSE_ABOVE = 0.20
"""Share of possible synapses from which adding whole rows beats following an index."""

BITS_ABOVE = 1 / 16
"""Share of possible synapses from which a bit per pair takes no more room than their index."""

DENSE_BYTES = 1 << 28
"""Largest matrix that `storage="auto"` makes of an index."""

PLASTICITY_AXES = ("plastic", "stp", "stp_source", "trace_pre", "trace_post")
NEURON_AXES = ("neuron", "port", "current", "adaptive", "traced")

TINY = 1e-30
"""Size below which a decaying value becomes 0: arithmetic on denormal numbers is very slow."""


class PopulationLayout(NamedTuple):
    """Where a population stands, and its numbers.

    Attributes
    ----------
    population : Population
    kind : {"spikes", "currents", "poisson", "array", "lif", "adaptive", "izhikevich"}
    synapse : {"", "jump", "pulse", "current", "conductance"}
    unit : int
        First of its units.
    own : int
        First of its places on the axis of its kind: inputs, Poisson sources or neurons.
    port, current, adaptive, traced : int
        First of its ports, filtered currents, adaptations and traced membranes; -1 without.
    n_ports : int
        Ports per neuron.
    exponent : int
        ``k``: what arrives counts ``2^-k``.
    refractory : int
        Ticks.
    coefficients : NeuronCoefficients
    """

    population: Population
    kind: str
    synapse: str
    unit: int
    own: int
    port: int = -1
    current: int = -1
    adaptive: int = -1
    traced: int = -1
    n_ports: int = 0
    exponent: int = 0
    refractory: int = 0
    coefficients: NeuronCoefficients = NeuronCoefficients()

    @property
    def n(self) -> int:
        """Number of units."""
        return self.population.n

    @property
    def neuron(self) -> Any:
        """What the population is made of."""
        return self.population.neuron


class ProjectionLayout(NamedTuple):
    """Where a projection stands.

    Attributes
    ----------
    projection : Projection
    number : int
    pre, post : int
        Numbers of its populations.
    form : {"csr", "bits", "dense", "one_to_one", "convolution", "procedural"}
        ``bits``: an index of which a kernel may hold one bit per pair instead.
    reason : str
        Why this form.
    graded : bool
        Its source gives currents, not spikes.
    port : int
        First port it drives: target ``j`` is ``port + j``.
    delay : int
        Ticks; -1 where every synapse has its own.
    synapses : int
        Stored or possible synapses.
    key : int
        Of its own random numbers.
    plastic, stp, stp_source, trace_pre, trace_post : int
        First of its places on the axes of plasticity; -1 without.
    by_source : bool
        All synapses of a source have one weight, so a kernel holds one per source.
    """

    projection: Projection
    number: int
    pre: int
    post: int
    form: str
    reason: str
    graded: bool
    port: int
    delay: int
    synapses: int
    key: int
    plastic: int = -1
    stp: int = -1
    stp_source: int = -1
    trace_pre: int = -1
    trace_post: int = -1
    by_source: bool = False

    @property
    def rule(self) -> Any:
        """Who is connected to whom."""
        return self.projection.rule


class Layout:
    """All of a network's places and sizes.

    Parameters
    ----------
    params : SpikingNetworkParams
    arrays : mapping of str to array
        Checked weights.

    Attributes
    ----------
    populations : tuple of PopulationLayout
    projections : tuple of ProjectionLayout
    sizes : dict of str to int
        Lengths of the axes of the state.
    accumulator : numpy dtype
        Of the sums at the ports: int32 or int64.
    outgoing : tuple of tuples of int
        Projections by their source population.
    """

    def __init__(self, params: SpikingNetworkParams, arrays: Mapping[str, Array]) -> None:
        self.params, self.arrays = params, arrays
        self.order = params.order
        index = {p.name: i for i, p in enumerate(params.populations)}
        incoming = self._incoming()
        self.accumulator = self._accumulator(incoming)
        self.populations = self._place_populations(incoming)
        self.projections = self._place_projections(index)
        self.outgoing = tuple(
            tuple(q.number for q in self.projections if q.pre == i) for i in range(len(index))
        )

    def _incoming(self) -> dict[str, float]:
        """Return the largest possible sum of one tick at one port, by population."""
        largest = {p.name: 0.0 for p in self.params.populations}
        totals = {p.name: np.zeros(p.n) for p in self.params.populations if not p.is_source}
        for projection in self.params.projections:
            pre = self.params.named[projection.pre]
            if not isinstance(pre.neuron, CurrentInput):
                with np.errstate(over="ignore"):  # refused below
                    totals[projection.post] += self._reach(projection)
        for name, total in totals.items():
            largest[name] = float(total.max())
            if not math.isfinite(largest[name]):
                raise ParameterError(
                    f"Population {name!r}: its incoming weights must add up to a finite number, "
                    "got an overflow; scale the weights down"
                )
        return largest

    def _reach(self, projection: Projection) -> NDArray[np.float64]:
        """Return what all synapses of a projection together can bring to each of its targets."""
        pre = self.params.named[projection.pre]
        n_post = self.params.named[projection.post].n
        if isinstance(projection.rule, Procedural):
            most = pre.n * max(projection.rule.k, 1)
            return np.full(n_post, abs(float(projection.weight)) * most)  # type: ignore[arg-type]
        given = np.asarray(self.arrays[f"{projection.name}/weight"])
        size = constant(given) if projection.stdp is None else None
        if size is not None and f"{projection.name}/target" in self.arrays:
            target = np.asarray(self.arrays[f"{projection.name}/target"])
            return in_degree(target, n_post).astype(np.float64) * abs(size)
        if size is not None and given.shape == (pre.n, n_post):
            return np.full(n_post, pre.n * abs(size))
        weight = np.abs(given.astype(np.float64))
        if projection.stdp is not None:
            weight = np.full_like(weight, max(abs(projection.stdp.w_min), projection.stdp.w_max))
        if isinstance(projection.rule, OneToOne):
            return weight
        if isinstance(projection.rule, Convolution):
            per_channel = weight.sum(axis=(1, 2, 3))
            return np.repeat(per_channel, n_post // len(per_channel))
        if f"{projection.name}/target" in self.arrays:
            target = np.asarray(self.arrays[f"{projection.name}/target"])
            return np.bincount(target, weight, minlength=n_post).astype(np.float64)
        return weight.sum(axis=0)

    def _accumulator(self, incoming: Mapping[str, float]) -> np.dtype[Any]:
        """Return int32 for a float32 network whose weights keep 16 bits in it, else int64."""
        if self.params.dtype == "float64":
            return np.dtype(np.int64)
        for projection in self.params.projections:
            if isinstance(projection.rule, Procedural):
                size = abs(float(projection.weight))  # type: ignore[arg-type]
            else:
                weight = np.asarray(self.arrays[f"{projection.name}/weight"])
                size = constant(weight)
                if size is None:
                    size = float(np.abs(weight).mean()) if weight.size else 0.0
                size = abs(size)
            if size and incoming[projection.post] > size * 2.0**14:
                return np.dtype(np.int64)
        return np.dtype(np.int32)

    def _place_populations(self, incoming: Mapping[str, float]) -> tuple[PopulationLayout, ...]:
        params = self.params
        at: dict[str, int] = dict.fromkeys(("unit", "input", "poisson", "array", *NEURON_AXES), 0)

        def take(axis: str, n: int) -> int:
            first = at[axis]
            at[axis] += n
            return first

        placed = []
        bits = 8 * self.accumulator.itemsize - 2
        # The unit itself is a normal number of the membrane's precision.
        finest = -int(np.finfo(params.dtype).minexp)
        for population in params.populations:
            neuron, n = population.neuron, population.n
            unit = take("unit", n)
            if population.is_source:
                kind, axis = {
                    SpikeInput: ("spikes", "input"),
                    CurrentInput: ("currents", "input"),
                    Poisson: ("poisson", "poisson"),
                    SpikeArray: ("array", "array"),
                }[type(neuron)]
                placed.append(PopulationLayout(population, kind, "", unit, take(axis, n)))
                continue
            assert isinstance(neuron, LIF | Izhikevich)
            synapse = neuron.synapse
            filtered = isinstance(synapse, CurrentExp | ConductanceExp)
            n_ports = 2 if filtered else 1
            adapts = isinstance(neuron, AdaptiveLIF | Izhikevich)
            largest = incoming[population.name]
            placed.append(
                PopulationLayout(
                    population,
                    {LIF: "lif", AdaptiveLIF: "adaptive", Izhikevich: "izhikevich"}[type(neuron)],
                    {
                        Delta: "jump",
                        CurrentExp: "current",
                        ConductanceExp: "conductance",
                    }.get(type(synapse), "pulse"),
                    unit,
                    take("neuron", n),
                    port=take("port", n_ports * n),
                    current=take("current", 2 * n) if filtered else -1,
                    adaptive=take("adaptive", n) if adapts else -1,
                    traced=take("traced", n) if population.name in params.traces else -1,
                    n_ports=n_ports,
                    exponent=min(bits - (math.frexp(largest)[1] if largest else 0), finest),
                    refractory=_refractory(population, params.dt),
                    coefficients=coefficients(neuron, params.dt),
                )
            )
        self.sizes = at
        return tuple(placed)

    def _place_projections(self, index: Mapping[str, int]) -> tuple[ProjectionLayout, ...]:
        placed, longest = [], 0
        at: dict[str, int] = dict.fromkeys(
            ("plastic", "stp", "stp_source", "trace_pre", "trace_post"), 0
        )
        for number, projection in enumerate(self.params.projections):
            pre, post = index[projection.pre], index[projection.post]
            target, graded = self.populations[post], self.populations[pre].kind == "currents"
            n_pre, n_post = self.populations[pre].n, target.n
            form, reason = self._form(projection, n_pre, n_post)
            synapses = self._count(projection, n_pre, n_post)
            places: dict[str, int] = {}

            def take(axis: str, n: int, places: dict[str, int] = places) -> None:
                places[axis] = at[axis]
                at[axis] += n

            if projection.stdp is not None:
                take("plastic", synapses)
                take("trace_pre", n_pre)
                take("trace_post", n_post)
            if projection.stp is not None:
                take("stp", synapses if projection.stp.spread > 0 else n_pre)
                take("stp_source", n_pre)
            delay = self.params.delay_ticks(projection)
            longest = max(longest, self._longest(projection, delay))
            placed.append(
                ProjectionLayout(
                    projection,
                    number,
                    pre,
                    post,
                    form,
                    reason,
                    graded,
                    target.port + self._receptor(projection, target) * n_post,
                    -1 if delay is None else delay,
                    synapses,
                    projection_rng(self.params.seed, number).key,
                    by_source=form in ("csr", "bits", "dense") and self._by_source(projection),
                    **places,
                )
            )
        self.sizes |= {**at, "slot": longest + 1}
        return tuple(placed)

    def _by_source(self, projection: Projection) -> bool:
        """Tell whether one weight per source says it all, of an index or a matrix without one."""
        if isinstance(self.params.named[projection.pre].neuron, CurrentInput):
            return False
        if isinstance(projection.delay, Params) or projection.stp or projection.stdp:
            return False
        weight = np.asarray(self.arrays[f"{projection.name}/weight"])
        indexed = f"{projection.name}/target" in self.arrays
        if projection.storage == "dense" and indexed:
            return False
        if not weight.size or not any(weight.strides):
            return True
        if not indexed:
            return bool((weight == weight[:, :1]).all())
        changes = np.flatnonzero(weight[1:] != weight[:-1]) + 1
        begins = np.asarray(self.arrays[f"{projection.name}/indptr"])
        return len(changes) < len(begins) and bool(np.isin(changes, begins).all())

    def index(self, q: ProjectionLayout) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return where every source's synapses begin, and their targets; of stored rules."""
        name, n_pre = q.projection.name, self.populations[q.pre].n
        if f"{name}/target" in self.arrays:
            return self.arrays[f"{name}/indptr"], self.arrays[f"{name}/target"]
        per_source = q.synapses // n_pre
        indptr = np.arange(n_pre + 1, dtype=np.int64) * per_source
        if isinstance(q.rule, OneToOne):
            return indptr, np.arange(n_pre, dtype=np.int32)
        return indptr, np.tile(np.arange(per_source, dtype=np.int32), n_pre)

    def short_term(self, q: ProjectionLayout) -> tuple[NDArray[np.float64], ...]:
        """Return use, and the kept shares of resources and use per tick, by short-term state."""
        stp, name = q.projection.stp, q.projection.name
        assert stp is not None
        if stp.spread > 0:
            arrays = [self.arrays[f"{name}/{part}"] for part in ("U", "tau_rec", "tau_facil")]
        else:
            n = self.populations[q.pre].n
            arrays = [np.full(n, value) for value in (stp.U, stp.tau_rec, stp.tau_facil)]
        with np.errstate(divide="ignore"):
            kept = [np.exp(-self.params.dt / tau) for tau in arrays[1:]]
        return arrays[0], *kept

    def delays(self, projection: Projection) -> NDArray[np.int64]:
        """Return the own delays of a projection's synapses, ticks."""
        own = np.asarray(self.arrays[f"{projection.name}/delay"], np.float64)
        return np.rint(own / self.params.dt).astype(np.int64)

    def _longest(self, projection: Projection, delay: int | None) -> int:
        if delay is not None:
            return delay
        own = self.delays(projection)
        if len(own) and not 1 <= own.min() <= own.max() <= MAX_DELAY:
            raise ParameterError(
                f"Projection {projection.name!r}: delays must be 1 to {MAX_DELAY} ticks of "
                f"{self.params.dt} s, got {own.min()} to {own.max()}; bound their distribution"
            )
        return int(own.max(initial=1))

    def _receptor(self, projection: Projection, target: PopulationLayout) -> int:
        if target.n_ports == 1 or projection.receptor == "exc":
            return 0
        if projection.receptor == "inh":
            return 1
        return int(self.params.named[projection.pre].sign == "inh")

    def _count(self, projection: Projection, n_pre: int, n_post: int) -> int:
        rule = projection.rule
        if isinstance(rule, Procedural):
            return n_pre * rule.k
        if f"{projection.name}/target" in self.arrays:
            return len(self.arrays[f"{projection.name}/target"])
        if isinstance(rule, Convolution):
            return n_post * rule.in_shape[0] * math.prod(rule.kernel)
        return n_pre if isinstance(rule, OneToOne) else n_pre * n_post

    def _form(self, projection: Projection, n_pre: int, n_post: int) -> tuple[str, str]:
        rule = projection.rule
        if isinstance(rule, Procedural):
            return "procedural", "targets are drawn anew at every spike"
        if isinstance(rule, Convolution):
            return "convolution", "one kernel for all places"
        if isinstance(rule, OneToOne):
            return "one_to_one", "one synapse per source"
        indexed = f"{projection.name}/target" in self.arrays
        if projection.storage == "dense" or (projection.storage == "csr" and indexed):
            return projection.storage, "asked for"
        if not indexed:
            alike = ", with one weight per source" if self._by_source(projection) else ""
            return "dense", f"given as a matrix{alike}"
        if projection.stdp is not None or isinstance(projection.delay, Params):
            return "csr", "every synapse has a state or delay of its own"
        if projection.stp is not None and projection.stp.spread > 0:
            return "csr", "every synapse has a state of its own"
        density = len(self.arrays[f"{projection.name}/target"]) / (n_pre * n_post)
        if density >= BITS_ABOVE and self._by_source(projection):
            return "bits", f"density {density:.3g} and one weight per source: a bit per pair"
        size = n_pre * n_post * self.accumulator.itemsize
        if density < DENSE_ABOVE:
            return "csr", f"density {density:.3g} < {DENSE_ABOVE}: following an index is faster"
        if size > DENSE_BYTES:
            return "csr", f"as a matrix it would take {size / 1e6:.0f} MB"
        return "dense", f"density {density:.3g} >= {DENSE_ABOVE}: adding whole rows is faster"


def _refractory(population: Population, dt: float) -> int:
    neuron = population.neuron
    return round(neuron.tau_ref / dt) if isinstance(neuron, LIF) else 0


def settle(values: NDArray[Any]) -> NDArray[Any]:
    """Return decaying values, those below `TINY` in size as 0."""
    return np.where(np.abs(values) >= values.dtype.type(TINY), values, values.dtype.type(0))


def fixed(values: Array, exponent: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values in units of ``2^-exponent``, rounded to the nearest."""
    return np.rint(np.asarray(values, np.float64) * math.ldexp(1.0, exponent)).astype(dtype)
