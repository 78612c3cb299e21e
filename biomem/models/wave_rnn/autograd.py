"""The Wave-RNN as part of a torch graph, run forward and backward by compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from biomem.engine.scan import loop
from biomem.models.wave_rnn.model import WaveRNN, WaveRNNOutput, WaveRNNState

if TYPE_CHECKING:
    from biomem.models.wave_rnn.bptt_cpu import Trace
    from biomem.typing import IntArray

__all__ = ["scan"]


class _Rings(torch.autograd.Function):
    """Hidden states after chosen ticks, and after the last, of a convolutional network."""

    @staticmethod
    def forward(
        ctx: Any,
        model: WaveRNN,
        kept: IntArray,
        xs: torch.Tensor,
        h: torch.Tensor,
        ring: torch.Tensor,
        bias: torch.Tensor,
        drive: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        from biomem.models.wave_rnn import bptt_cpu

        trace: Trace | None
        outputs, last, trace = bptt_cpu.forward(
            model, _array(h), _array(xs), kept, trace=any(ctx.needs_input_grad)
        )
        ctx.trace = trace
        return torch.from_numpy(outputs), torch.from_numpy(last)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g_outputs: torch.Tensor, g_last: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        from biomem.models.wave_rnn import bptt_cpu

        found = bptt_cpu.backward(
            ctx.trace, _array(g_outputs), _array(g_last), with_x=ctx.needs_input_grad[2]
        )
        g_x = None if found.x is None else torch.from_numpy(found.x)
        rest = (found.h, found.ring, found.bias, found.drive)
        return None, None, g_x, *map(torch.from_numpy, rest)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def scan(
    model: WaveRNN, state: WaveRNNState, xs: torch.Tensor, tick: int
) -> tuple[WaveRNNState, WaveRNNOutput]:
    """Advance over a chunk ``(time, batch, input)`` of tensors.

    Without gradients this is the compiled scan. With them, convolutional networks on the CPU run
    compiled both ways, once differentiable; the others run the reference step under autograd.
    """
    tensors = [xs, state.h, *model.weights.values()]
    if any(t.device.type != "cpu" for t in tensors):
        return loop(model, state, xs, tick)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)):
        return _without_gradients(model, state, xs, tick)
    if model.params.tie_weights != "conv":
        return loop(model, state, xs, tick)
    return _with_gradients(model, state, xs, tick)


def _without_gradients(
    model: WaveRNN, state: WaveRNNState, xs: torch.Tensor, tick: int
) -> tuple[WaveRNNState, WaveRNNOutput]:
    from biomem.models.wave_rnn import cpu

    # Copied: `h` may be a tensor the caller trains with, and the compiled scan consumes it.
    owned = WaveRNNState(np.array(_array(state.h)))
    end, out = cpu.scan(model, owned, _array(xs), tick)
    return WaveRNNState(torch.from_numpy(end.h)), WaveRNNOutput(*map(torch.from_numpy, out))


def _with_gradients(
    model: WaveRNN, state: WaveRNNState, xs: torch.Tensor, tick: int
) -> tuple[WaveRNNState, WaveRNNOutput]:
    p, w = model.params, model.weights
    ticks, batch = xs.shape[:2]
    read = np.arange(tick + 1, tick + ticks + 1) % p.readout_every == 0
    taken = np.ones(ticks, bool) if p.record_hidden else read
    kept = np.where(taken, np.cumsum(taken) - 1, -1)
    h, last = _Rings.apply(
        model, kept, xs, state.h, w["ring_weight"], model.bias, w["input_weight"]
    )
    if read.all():
        y = model.read(h)
    else:
        rows = torch.from_numpy(np.flatnonzero(read))
        states = h[torch.from_numpy(kept[read])]
        y = xs.new_zeros((ticks, batch, p.n_outputs)).index_copy(0, rows, model.read(states))
    recorded = h if p.record_hidden else xs.new_zeros((ticks, batch, 0, p.n_units))
    return WaveRNNState(last), WaveRNNOutput(y, recorded)
