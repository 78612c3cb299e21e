"""The expressive leaky memory neuron (ELM): synaptic traces, branches, and a learned memory.

Per step of length ``dt``, with ``x'`` the input routed to the synapses (`routing`)::

    b = decay_b * b + sum over the synapses of a branch of  relu(w) * x'      branch trace
    k = decay_m * m                                                           kept memory
    u = MLP([b, k])                                 n_layers hidden layers, then n_memory outputs
    m = k + gain_m * 1.7159 * tanh(2/3 * u)
    y = W_y m + b_y

    decay_b = exp(-dt / tau_branch)
    decay_m = exp(-dt / tau_m)      tau_m = tau_min + (tau_max - tau_min) * sigmoid(tau_logits)
    gain_m  = gain * (1 - decay_m)              version "v1"
              1 - exp(-dt * gain / tau_m)       version "v2"

The original form keeps one trace per synapse. All traces share one time constant, so their sum
over a branch obeys the equation above to the last algebraic step, and the state shrinks from
``n_synapses`` to ``n_branches`` numbers; `ELM.synaptic_traces` gives the original form.

The bound of the memory is ``1.7159 * gain`` in v1 and ``1.7159 * gain_m / (1 - decay_m)`` in v2.

Source: Spieler, Rahaman, Martius, Schoelkopf, Levina, "The expressive leaky memory neuron: an
efficient and expressive phenomenological neuron model can solve long-horizon tasks", ICLR 2024
(arXiv 2306.16922), and the code published with it (v1, and v2 as revised later).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import numpy as np

from biomem.backends import namespace, ops, to_numpy
from biomem.engine.model import Field, Model
from biomem.engine.random import Rng, Stream
from biomem.engine.work import Work
from biomem.errors import InputError, ParameterError
from biomem.models.elm.params import TAU_MARGIN, ELMParams
from biomem.models.elm.routing import route
from biomem.typing import Array, FloatArray

if TYPE_CHECKING:
    from biomem.engine.events import Events

__all__ = ["ELM", "UPDATE_BOUND", "ELMState"]

UPDATE_BOUND = 1.7159
"""Largest update before the gain; the scaled hyperbolic tangent 1.7159 tanh(2u/3) of LeCun."""

_SLOPE = 2.0 / 3.0


class ELMState(NamedTuple):
    """Traces and memory of every stream."""

    trace: Annotated[Array, Field("batch", "branch", dtype="float", doc="trace of each branch")]
    projected: Annotated[
        Array,
        Field(
            "batch",
            "first",
            dtype="float",
            doc="first-layer weights times trace; kernels advance it by its own recurrence",
        ),
    ]
    memory: Annotated[Array, Field("batch", "memory", dtype="float", doc="memory units")]


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))``; neither overflows nor loses the small end."""
    xp = namespace(x)
    return xp.exp(-xp.logaddexp(xp.zeros_like(x), -x))


def activate(name: str, x: Array) -> Array:
    """Apply the activation `name` of the hidden layers."""
    if name == "silu":
        return x * sigmoid(x)
    return relu(x)


def relu(x: Array) -> Array:
    """Return the positive part of `x`; its gradient at 0 is 0. NaN passes."""
    xp = namespace(x)
    return xp.where(x <= 0, xp.zeros_like(x), x)


def decay_branch(params: ELMParams) -> float:
    """Return the share of a trace that is left after one step."""
    return math.exp(-params.dt / params.tau_branch)


class ELM(Model):
    """One expressive leaky memory neuron; with fewer branches than synapses, a Branch-ELM.

    Inputs are spikes per bin or any real series. Synapses are excitatory: feed channels of
    inhibitory presynaptic cells as -1. The equations are those of this module.

    When not to use it: where a linear filter of the input would do; where the time constants are
    not known to within the range ``tau_min`` to ``tau_max``; and with ``learn_tau`` where the two
    extreme time constants must move (they start where the sigmoid is flat, and stay).

    Parameters
    ----------
    params, weights, **changes
        See `Model` and `ELMParams`. The weights are ``synapses (synapse,)``, ``tau_logits
        (memory,)``, ``hidden{i}_weights (hidden, width before)``, ``hidden{i}_bias (hidden,)``,
        ``update_weights (memory, width before)``, ``update_bias (memory,)``, ``readout_weights
        (output, memory)``, ``readout_bias (output,)``, ``channels (synapse,)`` int64 and
        ``valid (synapse,)`` bool. The first layer's columns are branches, then memory units.

    Attributes
    ----------
    efficacy : array, shape ``(synapse,)``
        Effective synaptic weights, 0 where rectified or masked.
    drive_weights : array, shape ``(channel, branch)``
        Sum of the efficacies of a channel on a branch.
    tau_memory, decay_memory, update_gain : array, shape ``(memory,)``
        ``tau_m`` (s), ``decay_m`` and ``gain_m`` of the equations.
    decay_branch : float
        Share of a trace that is left after one step.

    Raises
    ------
    ParameterError
        Weights of other names, shapes or dtypes than these.

    Examples
    --------
    >>> from biomem import Simulator
    >>> model = ELM(n_inputs=8, n_memory=5, n_branches=4, synapses_per_branch=2, n_outputs=2)
    >>> spikes = np.random.default_rng(0).random((50, 1, 8)) < 0.1
    >>> Simulator(model, progress=False).run(spikes)["y"].shape
    (50, 1, 2)
    """

    Params = ELMParams
    State = ELMState
    Output = Field("output", dtype="float")
    Input = Field("channel", dtype="float")
    array_api = True
    kernels = {
        "numba": "biomem.models.elm.cpu:scan",
        "cuda": "biomem.models.elm.cuda:scan",
        "torch": "biomem.models.elm.autograd:scan",
    }
    takes_events = ("numba",)

    params: ELMParams

    def __init__(
        self,
        params: ELMParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights=weights, **changes)
        self.weights = MappingProxyType(self._checked(self.weights))
        self._derive()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Channels, synapses, branches, width of the first layer, memory units and outputs."""
        p = self.params
        return {
            "channel": p.n_inputs,
            "synapse": p.n_synapses,
            "branch": p.branches,
            "first": p.widths[1],
            "memory": p.n_memory,
            "output": p.n_outputs,
        }

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names of the weights that training changes."""
        fixed = {"channels", "valid"} | (set() if self.params.learn_tau else {"tau_logits"})
        return tuple(name for name in self._shapes() if name not in fixed)

    @property
    def n_trainable(self) -> int:
        """Number of trained parameters."""
        return sum(math.prod(self._shapes()[name]) for name in self.trainable)

    @property
    def layers(self) -> list[tuple[Array, Array]]:
        """Weights and bias of every layer of the MLP, from its input to its output."""
        w = self.weights
        names = [*(f"hidden{i}" for i in range(self.params.n_layers)), "update"]
        return [(w[f"{name}_weights"], w[f"{name}_bias"]) for name in names]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        p = self.params
        shapes: dict[str, tuple[int, ...]] = {
            "synapses": (p.n_synapses,),
            "tau_logits": (p.n_memory,),
        }
        for i, (before, width) in enumerate(zip(p.widths[:-1], p.widths[1:], strict=True)):
            name = "update" if i == p.n_layers else f"hidden{i}"
            shapes[f"{name}_weights"] = (width, before)
            shapes[f"{name}_bias"] = (width,)
        shapes["readout_weights"] = (p.n_outputs, p.n_memory)
        shapes["readout_bias"] = (p.n_outputs,)
        shapes["channels"] = shapes["valid"] = (p.n_synapses,)
        return shapes

    def _checked(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        shapes = self._shapes()
        if weights.keys() != shapes.keys():
            raise ParameterError(
                f"ELM: weights must be {sorted(shapes)}; "
                f"missing {sorted(set(shapes) - set(weights))}, "
                f"unknown {sorted(set(weights) - set(shapes))}"
            )
        kinds = {"channels": "int64", "valid": "bool"}
        checked = {}
        for name, shape in shapes.items():
            given = weights[name]
            if tuple(given.shape) != shape:
                raise ParameterError(
                    f"ELM: weights[{name!r}] must have shape {shape}, got {tuple(given.shape)}"
                )
            xp = namespace(given)
            wanted = getattr(xp, kinds.get(name, self.params.dtype))
            checked[name] = xp.astype(given, wanted, copy=False)
        channels = to_numpy(checked["channels"])
        if channels.min() < 0 or channels.max() >= self.params.n_inputs:
            raise ParameterError(
                f"ELM: weights['channels'] must lie in [0, n_inputs = {self.params.n_inputs}), "
                f"got values in [{channels.min()}, {channels.max()}]"
            )
        return checked

    def _derive(self) -> None:
        p, w = self.params, self.weights
        synapses = w["synapses"]
        xp = namespace(synapses)
        valid = xp.astype(w["valid"], synapses.dtype)
        self.efficacy = relu(synapses) * valid
        branch = np.arange(p.n_synapses) // p.synapses_per_branch
        place = w["channels"] * p.branches + xp.asarray(branch, device=synapses.device)
        flat = xp.zeros(p.n_inputs * p.branches, dtype=synapses.dtype, device=synapses.device)
        summed = ops.scatter_add(flat, place, self.efficacy)
        self.drive_weights = xp.reshape(summed, (p.n_inputs, p.branches))

        self.tau_memory = p.tau_min + p.tau_span * sigmoid(w["tau_logits"])
        self.decay_memory = xp.exp(-p.dt / self.tau_memory)
        # expm1: with tau of ten thousand steps, 1 - exp loses three digits of a float32.
        if p.version == "v1":
            self.update_gain = -p.gain * xp.expm1(-p.dt / self.tau_memory)
        else:
            self.update_gain = -xp.expm1(-p.dt * p.gain / self.tau_memory)
        self.decay_branch = decay_branch(p)

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Draw layers uniformly in +-1/sqrt(width before); everything else is set, not drawn.

        Time constants start evenly spaced on a logarithmic scale between the ends of their
        range, synapses at ``synapse_init``.
        """
        p = self.params
        weights: dict[str, Array] = {"tau_logits": self._initial_tau_logits()}
        for number, (name, shape) in enumerate(self._shapes().items()):
            if name.endswith(("_weights", "_bias")):
                fan_in = self._shapes()[name.replace("_bias", "_weights")][1]
                draws = rng.uniform(Stream.INIT, np.arange(math.prod(shape)), batch=number)
                weights[name] = ((2 * draws - 1) / math.sqrt(fan_in)).reshape(shape)
        weights["synapses"] = np.full(p.n_synapses, p.synapse_init)
        weights["channels"], weights["valid"] = route(p, rng)
        return weights

    def _initial_tau_logits(self) -> FloatArray:
        p = self.params
        low, high = p.tau_min + TAU_MARGIN, p.tau_min + p.tau_span - TAU_MARGIN
        tau = np.clip(np.geomspace(low, high, p.n_memory), low, high)
        return np.log((tau - p.tau_min) / (p.tau_min + p.tau_span - tau))

    def init_state(self, batch: int, rng: Rng | None = None) -> ELMState:
        """Return zeros; nothing is drawn."""
        sizes = self.sizes
        return ELMState(
            *(np.zeros((batch, sizes[a]), self.params.dtype) for a in ("branch", "first", "memory"))
        )

    def step(self, state: ELMState, x: Array, tick: int) -> tuple[ELMState, Array]:
        """Advance by one tick: the equations of this module. ``state.projected`` is not read."""
        xp = namespace(x)
        n = self.params.branches
        (first, bias), *rest = self.layers
        trace = self.decay_branch * state.trace + x @ self.drive_weights
        projected = trace @ first[:, :n].T
        kept = self.decay_memory * state.memory
        u = projected + kept @ first[:, n:].T + bias
        for layer, bias in rest:
            u = activate(self.params.activation, u) @ layer.T + bias
        memory = kept + self.update_gain * (UPDATE_BOUND * xp.tanh(_SLOPE * u))
        y = memory @ self.weights["readout_weights"].T + self.weights["readout_bias"]
        return ELMState(trace, projected, memory), y

    def synaptic_traces(self, xs: Array) -> Array:
        """Return the trace of every single synapse, from rest: the original form of the model.

        For reading which synapse contributed what; simulation needs only their sums per branch.

        Parameters
        ----------
        xs : array, shape ``(time, batch, channel)``

        Returns
        -------
        array, shape ``(time, batch, synapse)``
        """
        xp = namespace(xs)
        driven = xs[:, :, self.weights["channels"]] * self.efficacy
        trace, traces = xp.zeros_like(driven[0]), []
        for drive in driven:
            trace = self.decay_branch * trace + drive
            traces.append(trace)
        return xp.stack(traces)

    def scan_events(
        self, events: Events, state: ELMState | None = None, tick: int = 0
    ) -> tuple[ELMState, FloatArray]:
        """Advance over sparse input with the compiled kernel; only arriving events are touched.

        Equals the dense scan of ``events.to_dense()`` bit for bit.

        Parameters
        ----------
        events : Events
        state : ELMState, optional
            Where to go on from, not written to; default zeros.
        tick : int
            Index of the first tick; no equation depends on it.

        Returns
        -------
        state : ELMState
        ys : array, shape ``(time, batch, output)``

        Raises
        ------
        InputError
            Events of another number of channels, or a state of another batch.
        """
        from biomem.models.elm import cpu

        batch = events.shape[1]
        if events.n_channels != self.params.n_inputs:
            raise InputError(
                f"ELM.scan_events: events must have n_channels = {self.params.n_inputs}, "
                f"got {events.n_channels}"
            )
        if state is None:
            state = self.init_state(batch)
        elif len(state.memory) != batch:
            raise InputError(
                f"ELM.scan_events: state must have batch {batch} like the events, "
                f"got {len(state.memory)}"
            )
        return cpu.scan_events(self, ELMState(*map(np.array, state)), events, tick)

    def work(self, state: ELMState, ticks: int, batch: int) -> Work:
        """Count a multiply-accumulate per synapse, decay and weight of every layer, dense input."""
        p = self.params
        layers = sum(a * b for a, b in zip(p.widths[:-1], p.widths[1:], strict=True))
        used = int(to_numpy(self.weights["valid"]).sum())
        per_tick = used + p.branches + 2 * p.n_memory + layers + p.n_memory * p.n_outputs
        return Work(macs=ticks * batch * per_tick)

    @classmethod
    def from_npz(cls, path: str | Path, **changes: Any) -> Self:
        """Load released weights from an ``.npz`` file; see `biomem.models.elm.loading`."""
        from biomem.models.elm.loading import read_npz

        return cls(**read_npz(path, changes))

    @classmethod
    def from_torch(
        cls, path: str | Path, config: str | Path | Mapping[str, Any], **changes: Any
    ) -> Self:
        """Load released weights from a torch state dict; see `biomem.models.elm.loading`."""
        from biomem.models.elm.loading import read_torch

        return cls(**read_torch(path, config, changes))
