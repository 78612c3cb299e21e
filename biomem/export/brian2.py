"""A spiking network as a live Brian2 network: the same steps in the same order.

Brian2: M. Stimberg, R. Brette, D. F. M. Goodman, "Brian 2, an intuitive and efficient neural
simulator", eLife 8 (2019) e47314.

A tick of ours becomes the slots of one time step: every population's `groups`, `thresholds` and
`resets`, and then `synapses`, so that what arrives at a neuron that fires is not lost. Spikes add
to variables ``j_exc`` and ``j_inh`` of their target, which its next update takes in and clears; a
delay of ``d`` ticks therefore is one of ``(d - 1) dt`` in Brian2. Projections without delay run
between the populations they connect, in slots of their own. Refractory ticks are counted in a
variable, since Brian2 counts the tick of the spike as the first of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.random import Rng
from biomem.engine.recording.export import need
from biomem.engine.simulator import Simulator
from biomem.errors import InputError, ParameterError
from biomem.export.brian2_code import (
    AT_ONCE,
    LONG_AGO,
    SHORT_TERM,
    SPIKE,
    TRACES,
    VARIABLES,
    reset,
    threshold,
    update,
)
from biomem.network.deliver import synapses_of
from biomem.network.layout import PopulationLayout, ProjectionLayout
from biomem.network.model import SpikingNetwork

__all__ = ["Brian2Network", "to_brian2"]


@dataclasses.dataclass(frozen=True)
class Brian2Network:
    """What `to_brian2` built.

    Attributes
    ----------
    network : brian2.Network
    groups : dict
        By population: NeuronGroup, PoissonGroup or SpikeGeneratorGroup.
    synapses : dict
        By projection.
    monitors : dict
        A SpikeMonitor by population, and a StateMonitor of ``v`` as ``"<population>/v"`` for each
        of the network's `traces`.
    dt : float
        s.
    """

    network: Any
    groups: dict[str, Any]
    synapses: dict[str, Any]
    monitors: dict[str, Any]
    dt: float

    def run(self, seconds: float, **options: Any) -> None:
        """Advance by `seconds`; `options` go to ``brian2.Network.run``."""
        ticks = seconds / self.dt
        if not (ticks > 0 and abs(ticks - round(ticks)) <= 1e-9 * ticks):
            raise InputError(
                f"Brian2Network.run: seconds must be a positive multiple of dt = {self.dt} s, "
                f"got {seconds!r}"
            )
        # Everything is in the groups' own namespaces, nothing in those of the caller.
        self.network.run(
            round(ticks) * self.dt * need("brian2", "brian2").second, **{"namespace": {}, **options}
        )

    def spikes(self, population: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the ticks and units of a population's spikes, by tick and then by unit."""
        monitor = self.monitors[population]
        tick = np.rint(np.asarray(monitor.t) / self.dt).astype(np.int64)
        unit = np.asarray(monitor.i, np.int64)
        order = np.lexsort((unit, tick))
        return tick[order], unit[order]


def to_brian2(
    network: SpikingNetwork,
    inputs: ArrayLike | None = None,
    *,
    seed: int = 0,
    replay: float | None = None,
) -> Brian2Network:
    """Return a live Brian2 network that does what `network` does.

    Parameters
    ----------
    network : SpikingNetwork
        Of dtype float64.
    inputs : array_like, shape ``(time, inputs)`` or ``(time, 1, inputs)``, optional
        What `Simulator.run` takes; needed by a network with inputs. After its end there are none.
    seed : int
        The simulator's, for initial membranes and, with `replay`, Poisson sources.
    replay : float, optional
        s for which Poisson sources play the spikes they have in `Simulator` with this seed, so
        that both networks hear the same. Default: PoissonGroups, equal in law alone.

    Returns
    -------
    Brian2Network

    Raises
    ------
    BackendUnavailable
        brian2 is not installed.
    ParameterError
        What Brian2 cannot do equally: single precision, STDP with a delay above one tick.
    InputError
        Inputs of the wrong shape, or none where they are needed.

    Notes
    -----
    Brian2 adds the weights of a tick as floats, one after another, where ours are summed exactly;
    membranes differ by that rounding, 1e-16 of their size. Where a threshold falls in between, a
    recurrent network's spikes part from there on. When not to use it: as a way to run large
    networks, since ours are faster; it is for what only Brian2 has, and to check one by the other.

    Examples
    --------
    >>> from biomem.network import SpikingNetwork
    >>> to_brian2(SpikingNetwork()).run(0.1)  # doctest: +SKIP
    """
    module = need("brian2", "brian2")
    _refuse(network)
    return _Builder(module, network, inputs, seed, replay).build()


def _refuse(net: SpikingNetwork) -> None:
    if net.params.dtype != "float64":
        raise ParameterError(
            f"to_brian2: dtype must be 'float64', got {net.params.dtype!r}: Brian2 computes "
            "in double precision; build the network with dtype='float64'"
        )
    for q in net.layout.projections:
        if q.projection.stdp is not None and not 0 <= q.delay <= 1:
            raise ParameterError(
                f"to_brian2: projection {q.projection.name!r} has STDP and a delay above one tick; "
                "Brian2 would read the weight when the spike arrives, not when it is fired; give "
                f"it delay={net.params.dt}"
            )


class _Builder:
    def __init__(
        self,
        module: Any,
        net: SpikingNetwork,
        inputs: ArrayLike | None,
        seed: int,
        replay: float | None,
    ) -> None:
        self.b2, self.net, self.dt = module, net, net.params.dt
        self.clock = module.Clock(dt=self.dt * module.second)
        self.xs = self._inputs(inputs)
        self.state = net.init_state(1, Rng(seed))
        self.drawn = None if replay is None else _poisson_spikes(net, seed, replay)
        self.level = _levels(net)
        self.groups: dict[str, Any] = {}
        self.synapses: dict[str, Any] = {}

    def _inputs(self, inputs: ArrayLike | None) -> NDArray[Any]:
        if self.net.Input is None and inputs is None:
            return np.zeros((0, 0))
        xs = self.net.check_input(inputs, batch=1)
        return np.asarray(xs)[:, 0]

    def slot(self, kind: str, level: int) -> str:
        """Return the slot of a level: those of the deepest have Brian2's own names."""
        return kind if level == max(self.level) else f"{kind}_{level}"

    def build(self) -> Brian2Network:
        layout = self.net.layout
        for number, p in enumerate(layout.populations):
            name = p.population.name
            if p.kind == "currents":
                continue
            self.groups[name] = self._neurons(number, p) if p.n_ports else self._source(p)
        for q in layout.projections:
            made = None if q.graded else self._projection(q)
            if made is not None:
                self.synapses[q.projection.name] = made
        monitors = {
            name: self.b2.SpikeMonitor(group, when="end") for name, group in self.groups.items()
        }
        for name in self.net.params.traces:
            monitors[f"{name}/v"] = self.b2.StateMonitor(
                self.groups[name], "v", record=True, when="end", clock=self.clock
            )
        network = self.b2.Network(
            *self.groups.values(), *self.synapses.values(), *monitors.values()
        )
        network.schedule = self._schedule()
        return Brian2Network(network, self.groups, self.synapses, monitors, self.dt)

    def _schedule(self) -> list[str]:
        kinds = ("groups", "thresholds", "resets", "synapses")
        levels = range(max(self.level) + 1)
        return ["start", *(self.slot(kind, level) for level in levels for kind in kinds), "end"]

    def _source(self, p: PopulationLayout) -> Any:
        second = self.b2.second
        if p.kind == "poisson" and self.drawn is None:
            rate = p.neuron.rate / second
            return self.b2.PoissonGroup(p.n, rate, clock=self.clock, when="start")
        if p.kind == "poisson":
            assert self.drawn is not None
            tick, unit = np.nonzero(self.drawn[:, p.unit : p.unit + p.n])
        elif p.kind == "array":
            tick, unit = self.net.given_spikes(p.population.name)
        else:
            tick, unit = np.nonzero(self.xs[:, p.own : p.own + p.n])
        return self.b2.SpikeGeneratorGroup(
            p.n, unit, tick * self.dt * second, clock=self.clock, when="start"
        )

    def _neurons(self, number: int, p: PopulationLayout) -> Any:
        outside = self._outside(number, p)
        namespace: dict[str, Any] = {**p.coefficients._asdict(), "refractory_ticks": p.refractory}
        equations = [*VARIABLES]
        if outside is not None:
            equations.append("outside = currents(t, i) : 1")
            namespace["currents"] = outside
        group = self.b2.NeuronGroup(
            p.n,
            "\n".join(equations),
            threshold=threshold(p),
            reset="\n".join(reset(p)),
            namespace=namespace,
            clock=self.clock,
        )
        level = self.level[number]
        group.run_regularly(
            "\n".join(update(p, outside is not None)),
            clock=self.clock,
            when=self.slot("groups", level),
        )
        group.set_event_schedule("spike", when=self.slot("thresholds", level))
        group.resetter["spike"].when = self.slot("resets", level)
        group.v = self.state.v[0, p.own : p.own + p.n]
        if p.adaptive >= 0:
            group.adaptation = self.state.adaptation[0, p.adaptive : p.adaptive + p.n]
        return group

    def _outside(self, number: int, p: PopulationLayout) -> Any:
        """Return the currents from outside as a TimedArray, summed as `SpikingNetwork` sums."""
        layout, total = self.net.layout, None
        for q in (layout.projections[k] for n in layout.order for k in layout.outgoing[n]):
            if not q.graded or q.post != number:
                continue
            source, target, synapse = _pairs(self.net, q)
            weight = np.asarray(self.net.weights[f"{q.projection.name}/weight"]).reshape(-1)
            x = self.xs[:, layout.populations[q.pre].own :]
            # A row of zeros at the end: Brian2 holds the last one for ever.
            total = np.zeros((len(self.xs) + 1, p.n)) if total is None else total
            for k in range(layout.populations[q.pre].n):
                own = source == k
                total[:-1, target[own]] += x[:, k, None] * weight[synapse[own]]
        return None if total is None else self.b2.TimedArray(total, dt=self.dt * self.b2.second)

    def _projection(self, q: ProjectionLayout) -> Any:
        source, target, synapse = _pairs(self.net, q)
        if not len(source):
            return None
        p, second = self.net.layout.populations[q.post], self.b2.second
        projection = q.projection
        port = "j_inh" if q.port >= p.port + p.n else "j_exc"
        model, deliver = ["w : 1"], [f"{port}_post += w"]
        namespace: dict[str, Any] = {}
        on_pre, on_post = {}, {}
        if projection.stp is not None:
            model += SHORT_TERM
            deliver = [*SPIKE, f"{port}_post += w*u*R"]
        if projection.stdp is not None:
            model += TRACES
            names = ("a_plus", "a_minus", "w_min", "w_max")
            namespace |= {name: getattr(projection.stdp, name) for name in names}
            for name in ("tau_plus", "tau_minus"):
                namespace[name] = getattr(projection.stdp, name) * second
            on_pre = {"depress": "w = clip(w - a_minus*y, w_min, w_max)", "mark_pre": "x += 1"}
            on_post = {"potentiate": "w = clip(w + a_plus*x, w_min, w_max)", "mark_post": "y += 1"}
        made = self.b2.Synapses(
            self.groups[self.net.layout.populations[q.pre].population.name],
            self.groups[p.population.name],
            "\n".join(model),
            on_pre={"deliver": "\n".join(deliver), **on_pre},
            on_post=on_post or None,
            namespace=namespace,
            clock=self.clock,
        )
        made.connect(i=source, j=target)
        self._fill(made, q, source, synapse)
        self._time(made, q, synapse)
        return made

    def _fill(self, made: Any, q: ProjectionLayout, source: Any, synapse: Any) -> None:
        """Set weights and short-term states."""
        name, layout = q.projection.name, self.net.layout
        if q.form == "procedural":
            made.w = float(q.projection.weight)  # pyright: ignore[reportArgumentType]
        elif q.plastic >= 0:
            made.w = self.state.plastic[0, q.plastic + synapse]
        else:
            made.w = np.asarray(self.net.weights[f"{name}/weight"]).reshape(-1)[synapse]
        stp = q.projection.stp
        if stp is None:
            return
        if stp.spread > 0:
            arrays = [self.net.weights[f"{name}/{part}"] for part in ("U", "tau_rec", "tau_facil")]
            own = [np.asarray(array)[synapse] for array in arrays]
        else:
            n = layout.populations[q.pre].n
            own = [np.full(n, v)[source] for v in (stp.U, stp.tau_rec, stp.tau_facil)]
        made.U, made.u, made.R = own[0], own[0], 1.0
        # A decay at once, which tau = 0 means, and none before a first spike.
        made.tau_rec, made.tau_facil = (
            np.maximum(tau, AT_ONCE) * self.b2.second for tau in own[1:]
        )
        made.last = -LONG_AGO * self.b2.second

    def _time(self, made: Any, q: ProjectionLayout, synapse: Any) -> None:
        """Set delays and slots."""
        second, pathway = self.b2.second, made.deliver
        if q.delay == 0:
            source = self.net.layout.populations[q.pre]
            level = self.level[q.pre]
            pathway.when = self.slot("synapses", level) if source.n_ports else "start"
            pathway.order = 1
        else:
            ticks = self.net.layout.delays(q.projection)[synapse] if q.delay < 0 else q.delay
            pathway.delay = (ticks - 1) * self.dt * second
        if q.plastic >= 0:
            for order, step in enumerate(("depress", "potentiate", "mark_pre", "mark_post")):
                getattr(made, step).order = 2 + order


def _pairs(
    net: SpikingNetwork, q: ProjectionLayout
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return sources and targets of all synapses, and where each has its weight."""
    n_pre = net.layout.populations[q.pre].n
    found = [synapses_of(net, q, source) for source in range(n_pre)]
    target, synapse = (np.concatenate(part) for part in zip(*found, strict=True))
    return np.repeat(np.arange(n_pre), [len(t) for t, _ in found]), target, synapse


def _levels(net: SpikingNetwork) -> list[int]:
    """Return how many projections without delay lead up to each population, sources apart."""
    layout = net.layout
    level = [0] * len(layout.populations)
    for number in layout.order:
        for q in (layout.projections[k] for k in layout.outgoing[number]):
            if q.delay == 0 and layout.populations[number].n_ports:
                level[q.post] = max(level[q.post], level[number] + 1)
    return level


def _poisson_spikes(net: SpikingNetwork, seed: int, seconds: float) -> NDArray[np.bool_]:
    """Return who fires among all units of the same populations without projections."""
    params = net.params.replace(projections=(), traces=())
    arrays = {
        name: array
        for name, array in net.weights.items()
        if name.split("/")[0] in params.named and name.split("/")[1] in ("time", "unit")
    }
    alone = SpikingNetwork(params, weights=arrays)
    ticks = round(seconds / params.dt)
    sim = Simulator(alone, seed=seed, progress=False)
    if alone.Input is None:
        return np.asarray(sim.run(ticks=ticks)["spikes"])[:, 0]
    return np.asarray(sim.run(np.zeros((ticks, 1, alone.sizes["input"])))["spikes"])[:, 0]
