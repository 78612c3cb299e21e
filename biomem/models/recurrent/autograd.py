"""Differentiable scan of the leaky network for torch: one matrix product a tick each way.

The input of all ticks is projected at once, and the gradients of all weights are single products
over all ticks; only ``h`` and its gradient are carried from tick to tick.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from biomem.models.recurrent.model import LeakyNetworkOutput, LeakyNetworkState

if TYPE_CHECKING:
    import torch

    from biomem.models.recurrent.model import LeakyNetwork

__all__ = ["scan"]


@functools.cache
def _function() -> Any:
    """Return the autograd function; made on first use, so that importing this needs no torch."""
    import torch

    class LeakyScan(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, h: torch.Tensor, drive: torch.Tensor, matrix: torch.Tensor, slope: float
        ) -> torch.Tensor:
            hs = torch.empty_like(drive)
            before = h
            for pre, now in zip(drive, hs, strict=True):
                torch.addmm(pre, before, matrix, out=now)
                torch.nn.functional.leaky_relu_(now, slope)
                before = now
            ctx.save_for_backward(h, hs, matrix)
            ctx.slope = slope
            return hs

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
            ctx: Any, *grad_outputs: torch.Tensor
        ) -> tuple[Any, ...]:
            (d_hs,) = grad_outputs
            h, hs, matrix = ctx.saved_tensors
            # h and its argument have the same sign, or h is zero where the slope is.
            gain = torch.ones_like(hs).masked_fill_(hs <= 0, ctx.slope)
            d_pre = torch.empty_like(hs)
            back = matrix.t()
            d_h = d_hs[-1]
            for t in range(len(hs) - 1, 0, -1):
                torch.mul(d_h, gain[t], out=d_pre[t])
                d_h = torch.addmm(d_hs[t - 1], d_pre[t], back)
            torch.mul(d_h, gain[0], out=d_pre[0])
            d_matrix = h.t() @ d_pre[0]
            if len(hs) > 1:
                d_matrix.addmm_(hs[:-1].flatten(0, 1).t(), d_pre[1:].flatten(0, 1))
            return d_pre[0] @ back, d_pre, d_matrix, None

    return LeakyScan


def scan(
    model: LeakyNetwork, state: LeakyNetworkState, xs: torch.Tensor, tick: int
) -> tuple[LeakyNetworkState, LeakyNetworkOutput]:
    """Advance over `xs` of shape ``(time, batch, feature)``; neither argument is written to."""
    p = model.params
    drive = xs @ model.input + model.bias
    hs = _function().apply(state.h, drive, model.recurrent, p.slope)
    ys = hs @ model.readout + model.readout_bias
    ys = ys.reshape(*ys.shape[:2], p.n_heads, p.n_outputs)
    return LeakyNetworkState(hs[-1]), LeakyNetworkOutput(ys, hs)
