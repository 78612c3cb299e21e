"""Differentiable scan of the ELM for torch: compiled loops forwards and backwards in time.

Gradients reach the inputs, the state, and every weight: those of the time constants through decay
and gain, and those of the synapses through the rectifier, which torch differentiates as part of
what `ELM` derives from its weights. Computed on the CPU; tensors elsewhere take the loop of the
reference step, which torch differentiates by itself. There are no second derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from biomem.backends import to_numpy
from biomem.backends.simd import lanes_of
from biomem.engine.scan import loop
from biomem.models.elm import training_cpu
from biomem.models.elm.cpu import Tables, pack, wide
from biomem.models.elm.model import ELMState

if TYPE_CHECKING:
    from torch import Tensor

    from biomem.models.elm.model import ELM

__all__ = ["scan"]


class _Inputs(NamedTuple):
    """The differentiable arguments of `_Scan`, after the model, in their order."""

    xs: Tensor
    trace: Tensor
    memory: Tensor
    efficacy: Tensor
    decay: Tensor
    gain: Tensor
    layers: tuple[Tensor, ...]

    @property
    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and bias of each layer, the readout last."""
        return list(zip(self.layers[::2], self.layers[1::2], strict=True))


class _Kept(NamedTuple):
    """What the forward loop stores for the backward one; see `training_cpu.forward`."""

    traces: Tensor
    inputs: Tensor
    bounded: Tensor
    memories: Tensor


def scan(model: ELM, state: ELMState, xs: Tensor, tick: int) -> tuple[ELMState, Tensor]:
    """Advance over ``xs (time, batch, channel)``; the tensors of `state` are not written to.

    Parameters
    ----------
    model : ELM
        With weights that are tensors; those that require gradients get them.
    state : ELMState
        Of tensors; a state with a history is differentiated through.
    xs : tensor
    tick : int
        No equation depends on it.

    Returns
    -------
    state : ELMState
    ys : tensor, shape ``(time, batch, output)``
    """
    if xs.device.type != "cpu":
        return loop(model, state, xs, tick)
    readout = model.weights["readout_weights"], model.weights["readout_bias"]
    ys, trace, memory = _Scan.apply(
        model,
        xs,
        state.trace,
        state.memory,
        model.efficacy,
        model.decay_memory,
        model.update_gain,
        *(tensor for layer in [*model.layers, readout] for tensor in layer),
    )
    first = model.layers[0][0][:, : model.params.branches]
    return ELMState(trace, trace @ first.T, memory), ys


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, model: ELM, *args: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        given = _Inputs(*args[:6], layers=args[6:])
        p = model.params
        time, batch, _ = given.xs.shape
        ctx.model, ctx.order = model, _by_channel(model)
        ctx.tables = _tables(model, given, ctx.order)
        kept = _Kept(
            given.xs.new_empty(time, batch, p.branches),
            given.xs.new_empty(p.n_layers, time, batch, p.hidden),
            given.xs.new_empty(time, batch, p.n_memory),
            given.xs.new_empty(time, batch, p.n_memory),
        )
        ys = given.xs.new_empty(time, batch, p.n_outputs)
        training_cpu.forward(
            ctx.tables,
            _array(given.trace),
            _array(given.memory),
            _array(given.xs),
            *map(_array, (*kept, ys)),
        )
        ctx.save_for_backward(*args, *kept)
        return ys, kept.traces[-1].clone(), kept.memories[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g_ys: Tensor, g_trace: Tensor, g_memory: Tensor
    ) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        kept = _Kept(*saved[-4:])
        given = _Inputs(*saved[:6], layers=saved[6:-4])
        *layers, (readout, _) = given.pairs
        p = ctx.model.params
        g_memories = g_ys @ readout
        g_memories[-1] += g_memory
        g_inputs, g_update, g_decay, g_gain, g_start = _backwards(ctx, given, kept, g_memories)

        before = torch.cat([given.memory[None], kept.memories[:-1]])
        below = [torch.cat([kept.traces, given.decay * before], dim=2)]
        below += [_activate(p.activation, z) for z in kept.inputs]
        g_layers: list[Tensor] = []
        pairs = zip([*g_inputs, g_update], below, strict=True)
        for above, x in [*pairs, (g_ys, kept.memories)]:
            flat = above.flatten(0, 1)
            g_layers += [flat.T @ x.flatten(0, 1), flat.sum(0)]

        first = g_inputs[0] if len(g_inputs) else g_update
        g_traces = (first @ layers[0][0][:, : p.branches]).contiguous()
        g_traces[-1] += g_trace
        g_sorted = given.xs.new_zeros(len(given.trace), len(ctx.order))
        training_cpu.synapse_gradient(
            ctx.tables, _array(given.xs), _array(g_traces), _array(g_sorted)
        )
        g_efficacy = torch.zeros_like(given.efficacy)
        g_efficacy[ctx.order] = g_sorted.sum(0)
        drive_weights = ctx.model.drive_weights.detach()
        g_xs = g_traces @ drive_weights.T if ctx.needs_input_grad[1] else None
        g_start_trace = ctx.model.decay_branch * g_traces[0]
        return None, g_xs, g_start_trace, g_start, g_efficacy, g_decay, g_gain, *g_layers


def _backwards(ctx: Any, given: _Inputs, kept: _Kept, g_memories: Tensor) -> tuple[Tensor, ...]:
    """Run `training_cpu.backward`, and add up what it keeps apart per stream."""
    p = ctx.model.params
    first, *rest, _ = [_array(weight) for weight, _ in given.pairs]
    hidden = np.stack(rest[:-1]) if len(rest) > 1 else first[:0, None]
    net = (
        _array(given.decay),
        _array(given.gain),
        first[:, p.branches :],
        hidden,
        rest[-1] if rest else first[:, :0],
    )
    zeros = given.memory.new_zeros
    grads = (
        torch.empty_like(kept.inputs),
        torch.empty_like(kept.bounded),
        zeros(given.memory.shape),
        zeros(given.memory.shape),
        zeros(given.memory.shape),
    )
    training_cpu.backward(
        (*(wide(a, p.dtype) for a in net), lanes_of(p.dtype), p.activation == "silu"),
        _array(given.memory),
        tuple(map(_array, kept[1:])),
        _array(g_memories),
        tuple(map(_array, grads)),
    )
    g_inputs, g_update, g_decay, g_gain, g_start = grads
    return g_inputs, g_update, g_decay.sum(0), g_gain.sum(0), g_start


def _activate(name: str, x: Tensor) -> Tensor:
    return torch.nn.functional.silu(x) if name == "silu" else torch.relu(x)


def _array(tensor: Tensor) -> np.ndarray:
    return to_numpy(tensor.detach().contiguous())


def _by_channel(model: ELM) -> Tensor:
    """Return the used synapses, those of channel 0 first."""
    channels, valid = model.weights["channels"], model.weights["valid"]
    used = torch.nonzero(torch.as_tensor(valid))[:, 0]
    return used[torch.argsort(torch.as_tensor(channels)[used], stable=True)]


def _tables(model: ELM, given: _Inputs, order: Tensor) -> Tables:
    p = model.params
    *layers, readout = [(_array(w), _array(b)) for w, b in given.pairs]
    channels = to_numpy(model.weights["channels"])[order.numpy()]
    return pack(
        p,
        layers=layers,
        readout=readout,
        decay=_array(given.decay),
        gain=_array(given.gain),
        synapses=(
            np.searchsorted(channels, np.arange(p.n_inputs + 1)),
            (order.numpy() // p.synapses_per_branch).astype(np.int32),
            _array(given.efficacy)[order.numpy()],
        ),
        channel_rows=np.zeros((0, 0)),
    )
