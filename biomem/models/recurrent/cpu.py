"""Compiled scan of the leaky network: whole sequences, streams in parallel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import copy
from biomem.backends.threads import spread
from biomem.models.recurrent.model import LeakyNetworkOutput

if TYPE_CHECKING:
    from biomem.models.recurrent.model import LeakyNetwork, LeakyNetworkState

__all__ = ["scan"]


@njit(cache=True)
def _add_product(x, matrix, out):
    """Add the row vector `x` times `matrix` to `out`, four rows at a time."""
    rows, columns = matrix.shape
    j = 0
    while j + 4 <= rows:
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        for i in range(columns):
            out[i] += (a * matrix[j, i] + b * matrix[j + 1, i]) + (
                c * matrix[j + 2, i] + d * matrix[j + 3, i]
            )
        j += 4
    while j < rows:
        for i in range(columns):
            out[i] += x[j] * matrix[j, i]
        j += 1


@njit(cache=True, nogil=True)
def _scan(state, xs, recurrent, drive, bias, slope, readout, offset, hs, ys, start, stop):
    for b in range(start, stop):
        h = state[b]
        for t in range(xs.shape[0]):
            new = hs[t, b]
            copy(new, bias)
            _add_product(xs[t, b], drive, new)
            _add_product(h, recurrent, new)
            for i in range(new.shape[0]):
                new[i] = new[i] if new[i] > 0 else slope * new[i]
            copy(ys[t, b], offset)
            _add_product(new, readout, ys[t, b])
            h = new
        copy(state[b], h)


def scan(
    model: LeakyNetwork, state: LeakyNetworkState, xs: np.ndarray, tick: int
) -> tuple[LeakyNetworkState, LeakyNetworkOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, feature)``, in place."""
    p, dtype = model.params, xs.dtype
    hs = np.empty((*xs.shape[:2], p.n_units), dtype)
    ys = np.empty((*xs.shape[:2], p.n_heads * p.n_outputs), dtype)
    matrices = (model.recurrent, model.input, model.bias)
    recurrent, drive, bias = (np.ascontiguousarray(m) for m in matrices)
    readout = np.ascontiguousarray(model.readout)
    weights = (recurrent, drive, bias, dtype.type(p.slope), readout)
    offset = np.ascontiguousarray(model.readout_bias)

    def run(start: int, stop: int) -> None:
        _scan(state.h, xs, *weights, offset, hs, ys, start, stop)

    spread(run, xs.shape[1], model.work(state, *xs.shape[:2]).macs)
    return state, LeakyNetworkOutput(ys.reshape(*ys.shape[:2], p.n_heads, p.n_outputs), hs)
