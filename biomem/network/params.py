"""Populations, projections, and the network they make; validated as a whole."""

from __future__ import annotations

import dataclasses
import math

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.network.connect import (
    AllToAll,
    Bernoulli,
    Convolution,
    DistanceDependent,
    Explicit,
    FixedInDegree,
    FixedOutDegree,
    OneToOne,
    Procedural,
    SmallWorld,
)
from biomem.network.draws import Distribution, Gamma, Lognormal, Normal, Uniform
from biomem.network.neurons import (
    LIF,
    AdaptiveLIF,
    ConductanceExp,
    CurrentExp,
    CurrentInput,
    Izhikevich,
    Poisson,
    SpikeArray,
    SpikeInput,
    is_number,
)
from biomem.network.plasticity import STDP, TsodyksMarkram

__all__ = ["Population", "Projection", "SpikingNetworkParams"]

# Parameter sets are frozen, so one may be the default of many.
_LIF, _ALL = LIF(), AllToAll()

Rule = (
    AllToAll
    | Bernoulli
    | Convolution
    | DistanceDependent
    | Explicit
    | FixedInDegree
    | FixedOutDegree
    | OneToOne
    | Procedural
    | SmallWorld
)

MAX_DELAY = 2**15 - 1
"""Longest delay, ticks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Population(Params):
    """Neurons or sources of one kind.

    Parameters
    ----------
    name : str
        Unique in the network; without ``/`` and ``>``.
    n : int
        Number of units, >= 1.
    neuron : LIF, AdaptiveLIF, Izhikevich, SpikeInput, CurrentInput, Poisson or SpikeArray
    sign : {"exc", "inh", "any"}
        Dale's law: an excitatory population has no negative outgoing weight, an inhibitory one no
        positive (none negative onto conductances, where weights are magnitudes). It also decides
        which receptor its spikes reach.
    grid : tuple of int, optional
        Positions on an integer lattice of this shape, of as many places as there are units.
    points : tuple of tuples of float, optional
        Positions one by one, instead of `grid`.
    """

    name: str = "neurons"
    n: int = 1
    neuron: LIF | AdaptiveLIF | Izhikevich | SpikeInput | CurrentInput | Poisson | SpikeArray = _LIF
    sign: str = "any"
    grid: tuple[int, ...] | None = None
    points: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        named = isinstance(self.name, str) and self.name and not set(self.name) & set("/>")
        require(self, "name", bool(named), "a name without '/' and '>'")
        whole = isinstance(self.n, int) and not isinstance(self.n, bool)
        require(self, "n", whole and self.n >= 1, "an integer >= 1")
        known = isinstance(
            self.neuron,
            LIF | Izhikevich | SpikeInput | CurrentInput | Poisson | SpikeArray,
        )
        require(self, "neuron", known, "a neuron or a source, such as LIF() or Poisson()")
        require(self, "sign", self.sign in ("exc", "inh", "any"), "'exc', 'inh' or 'any'")
        if self.grid is not None:
            fits = math.prod(self.grid) == self.n and min(self.grid, default=1) >= 1
            require(self, "grid", fits, f"a shape of n = {self.n} places")
        if self.points is not None:
            require(self, "points", self.grid is None, "None where `grid` is given")
            axes = {len(point) for point in self.points}
            ok = len(self.points) == self.n and len(axes) == 1
            require(self, "points", ok, f"n = {self.n} tuples of one length")

    @property
    def is_source(self) -> bool:
        """Whether its activity comes from outside the equations."""
        return isinstance(self.neuron, SpikeInput | CurrentInput | Poisson | SpikeArray)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection(Params):
    """Synapses from one population to another.

    Parameters
    ----------
    pre, post : str
        Names of the populations.
    rule : connection rule
        Who is connected to whom; see `biomem.network.connect`.
    weight : float or distribution
        Of every synapse, in the unit the target's synapse model says.
    delay : float or distribution, optional
        s; ``round(delay / dt)`` ticks. 0 arrives within the tick and is refused on a cycle.
        Default one tick, and 0 from inputs.
    receptor : {"auto", "exc", "inh"}
        Which of the target's two filtered currents it drives; ``auto`` follows the source's sign,
        ``exc`` where that is ``any``.
    stp : TsodyksMarkram, optional
    stdp : STDP, optional
        The weights become part of the state.
    storage : {"auto", "dense", "csr"}
        How the kernels hold the weights; ``auto`` takes the faster, `SpikingNetwork.explain`
        tells which and why. It changes no result.
    name : str
        Default ``"pre>post"``; needed where two projections connect the same populations.
    """

    pre: str = "neurons"
    post: str = "neurons"
    rule: Rule = _ALL
    weight: float | Normal | Uniform | Gamma | Lognormal = 1.0
    delay: float | Uniform | Normal | Gamma | Lognormal | None = None
    receptor: str = "auto"
    stp: TsodyksMarkram | None = None
    stdp: STDP | None = None
    storage: str = "auto"
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Params):
            require(self, "weight", is_number(self.weight), "finite, or a distribution")
        if self.delay is not None and not isinstance(self.delay, Params):
            ok = is_number(self.delay) and self.delay >= 0
            require(self, "delay", ok, "None, a distribution, or finite and >= 0 s")
        self._check_kinds()
        require(self, "receptor", self.receptor in ("auto", "exc", "inh"), "auto, exc or inh")
        require(self, "storage", self.storage in ("auto", "dense", "csr"), "auto, dense or csr")
        if not self.name:
            object.__setattr__(self, "name", f"{self.pre}>{self.post}")
        require(self, "name", "/" not in self.name, "a name without '/'")
        if isinstance(self.rule, Procedural):
            plain = not isinstance(self.weight, Params) and not isinstance(self.delay, Params)
            require(self, "rule", plain, "stored, where weights or delays are drawn")
        fixed = isinstance(self.rule, Procedural | Convolution)
        if fixed:
            require(self, "delay", not isinstance(self.delay, Params), f"one value for {self.rule}")
            require(self, "stdp", self.stdp is None, "None for a rule without stored synapses")
            spread = self.stp is not None and self.stp.spread > 0
            require(self, "stp", not spread, "of spread 0 for a rule without stored synapses")
        csr_only = isinstance(self.delay, Params) or self.stdp is not None
        csr_only = csr_only or (self.stp is not None and self.stp.spread > 0)
        if csr_only:
            require(self, "storage", self.storage != "dense", "'csr' with plasticity or own delays")

    def _check_kinds(self) -> None:
        for name, kind, allowed in (
            ("rule", Rule, "a connection rule, such as Bernoulli()"),
            ("stp", TsodyksMarkram | None, "None or a TsodyksMarkram"),
            ("stdp", STDP | None, "None or an STDP"),
        ):
            require(self, name, isinstance(getattr(self, name), kind), allowed)
        for name in ("weight", "delay"):
            value = getattr(self, name)
            drawn = isinstance(value, Distribution) or not isinstance(value, Params)
            require(self, name, drawn, "a number, a Normal, Uniform, Gamma or Lognormal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingNetworkParams(Params):
    """A network of spiking populations.

    Parameters
    ----------
    populations : tuple of Population
    projections : tuple of Projection
    dt : float
        Time step, s.
    traces : tuple of str
        Populations whose membrane is an output of every tick.
    seed : int
        Of connections, weights and delays.
    dtype : {"float32", "float64"}
        Of membranes and currents. Spikes add up in 32- and 64-bit integers of a fixed point
        chosen so that no sum can overflow.
    """

    populations: tuple[Population, ...] = (Population(),)
    projections: tuple[Projection, ...] = ()
    dt: float = 1e-3
    traces: tuple[str, ...] = ()
    seed: int = 0
    dtype: str = "float64"

    def __post_init__(self) -> None:
        require(self, "dt", is_number(self.dt) and self.dt > 0, "finite, > 0 s")
        require(self, "dtype", self.dtype in ("float32", "float64"), "'float32' or 'float64'")
        for name, kind in (("populations", Population), ("projections", Projection)):
            parts = getattr(self, name)
            sound = isinstance(parts, tuple) and all(isinstance(part, kind) for part in parts)
            require(self, name, sound, f"a tuple of {kind.__name__}")
        require(self, "populations", len(self.populations) > 0, "at least one")
        whole = isinstance(self.seed, int) and 0 <= self.seed < 2**64
        require(self, "seed", whole, "an integer in [0, 2^64)")
        self._check_names()
        for projection in self.projections:
            _check_projection(self, projection)
        for name in self.traces:
            found = self.named.get(name)
            ok = found is not None and not found.is_source
            require(self, "traces", ok, "names of populations of neurons")
        for population in self.populations:
            neuron = population.neuron
            if isinstance(neuron, Poisson) and neuron.rate * self.dt > 1:
                raise ParameterError(
                    f"Population {population.name!r}: rate * dt must be <= 1, got "
                    f"{neuron.rate} Hz * {self.dt} s; take a smaller dt"
                )
            if isinstance(neuron, LIF) and neuron.rule == "euler":
                _check_euler(population.name, neuron, self.dt)
        self.order  # noqa: B018 - refuses a cycle without delay

    @property
    def named(self) -> dict[str, Population]:
        """Populations by name."""
        return {population.name: population for population in self.populations}

    def delay_ticks(self, projection: Projection) -> int | None:
        """Return the common delay of a projection in ticks, None where every synapse has its own.

        A shortest delay of an own distribution below half a tick is refused when it is drawn.
        """
        if isinstance(projection.delay, Params):
            return None
        if projection.delay is None:
            source = self.named[projection.pre].neuron
            return 0 if isinstance(source, SpikeInput | CurrentInput) else 1
        return round(projection.delay / self.dt)

    @property
    def order(self) -> tuple[int, ...]:
        """Populations in the order a tick visits them: along every projection without delay."""
        index = {population.name: i for i, population in enumerate(self.populations)}
        before: dict[int, set[int]] = {i: set() for i in index.values()}
        for projection in self.projections:
            if self.delay_ticks(projection) == 0:
                before[index[projection.post]].add(index[projection.pre])
        done: list[int] = []
        while len(done) < len(index):
            ready = [i for i, need in before.items() if i not in done and need <= set(done)]
            if not ready:
                stuck = [self.populations[i].name for i in before if i not in done]
                raise ParameterError(
                    f"SpikingNetworkParams: projections without delay form a cycle through "
                    f"{stuck}; give one of them a delay of at least dt = {self.dt} s"
                )
            done.append(ready[0])
        return tuple(done)

    def _check_names(self) -> None:
        for what, names in (
            ("populations", [p.name for p in self.populations]),
            ("projections", [p.name for p in self.projections]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ParameterError(
                    f"SpikingNetworkParams.{what}: names must differ, got {twice[0]!r} twice; "
                    "give one of them another `name`"
                )


def _check_euler(name: str, neuron: LIF, dt: float) -> None:
    taus = {"tau_mem": neuron.tau_mem}
    if isinstance(neuron.synapse, CurrentExp | ConductanceExp):
        taus |= {"tau_exc": neuron.synapse.tau_exc, "tau_inh": neuron.synapse.tau_inh}
    if isinstance(neuron, AdaptiveLIF):
        taus["tau_adapt"] = neuron.tau_adapt
    for which, tau in taus.items():
        if dt > tau and not (which == "tau_mem" and neuron.decay is not None):
            raise ParameterError(
                f"Population {name!r}: {which} must be >= dt = {dt} s with rule='euler', got "
                f"{tau} s: the step would overshoot; take a smaller dt or rule='exp'"
            )


def _check_projection(network: SpikingNetworkParams, projection: Projection) -> None:
    named = network.named
    for end in ("pre", "post"):
        if getattr(projection, end) not in named:
            raise ParameterError(
                f"Projection {projection.name!r}: {end} must be one of {sorted(named)}, got "
                f"{getattr(projection, end)!r}"
            )
    pre, post = named[projection.pre], named[projection.post]
    if post.is_source:
        raise ParameterError(
            f"Projection {projection.name!r}: post must be neurons, got the "
            f"{type(post.neuron).__name__} {post.name!r}"
        )
    rule = projection.rule
    if isinstance(rule, OneToOne) and pre.n != post.n:
        raise ParameterError(
            f"Projection {projection.name!r}: OneToOne needs populations of one size, got "
            f"{pre.n} and {post.n}"
        )
    if isinstance(rule, Convolution):
        want = math.prod(rule.in_shape), math.prod(rule.out_shape)
        if (pre.n, post.n) != want:
            raise ParameterError(
                f"Projection {projection.name!r}: Convolution from {rule.in_shape} to "
                f"{rule.out_shape} needs {want[0]} sources and {want[1]} targets, got "
                f"{pre.n} and {post.n}"
            )
    if isinstance(pre.neuron, CurrentInput):
        plain = projection.delay in (None, 0.0) and projection.stp is None
        if not plain or projection.stdp is not None or isinstance(rule, Procedural | Convolution):
            raise ParameterError(
                f"Projection {projection.name!r}: currents from outside act at once and through "
                "stored weights; leave out delay, stp, stdp, and take a stored rule"
            )
    delay = network.delay_ticks(projection)
    if delay is not None and delay > MAX_DELAY:
        raise ParameterError(
            f"Projection {projection.name!r}: delay must be <= {MAX_DELAY} ticks of "
            f"{network.dt} s, got {projection.delay} s"
        )
    _check_signs(projection, pre, post)


def _check_signs(projection: Projection, pre: Population, post: Population) -> None:
    """Refuse bounds of plasticity that would let a weight cross zero."""
    stdp = projection.stdp
    if stdp is None:
        return
    sign = allowed_sign(pre, post)
    if (sign > 0 and stdp.w_min < 0) or (sign < 0 and stdp.w_max > 0):
        raise ParameterError(
            f"Projection {projection.name!r}: weights of the {pre.sign!r} population {pre.name!r} "
            f"must not {'be negative' if sign > 0 else 'be positive'}, got STDP bounds "
            f"[{stdp.w_min}, {stdp.w_max}]"
        )


def allowed_sign(pre: Population, post: Population) -> int:
    """Return +1 or -1 where the weights from `pre` to `post` may have one sign only, else 0."""
    if isinstance(getattr(post.neuron, "synapse", None), ConductanceExp):
        return 1
    return {"exc": 1, "inh": -1, "any": 0}[pre.sign]
