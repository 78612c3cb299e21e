"""Compiled scan of `LeakyIntegrator`."""

from __future__ import annotations

import numpy as np

from biomem.backends.jit import njit
from biomem.engine.random import Stream
from biomem.engine.random_cpu import uniform64, words
from biomem.testing.toys import LeakyIntegrator, LeakyIntegratorOutput, LeakyIntegratorState

__all__ = ["scan"]

NOISE = int(Stream.NOISE)


@njit(cache=True)
def _scan(v, key, xs, tick, gain, scale, out):
    for t in range(xs.shape[0]):
        for b in range(v.shape[0]):
            for u in range(v.shape[1]):
                x = v[b, u] + (xs[t, b, u] - v[b, u]) * gain
                if scale > 0:
                    w0, w1, _, _ = words(key, NOISE, u, b, tick + t)
                    x = x + (uniform64(w0, w1) - 0.5) * scale
                v[b, u] = x
                out[t, b, u] = x


def scan(
    model: LeakyIntegrator, state: LeakyIntegratorState, xs: np.ndarray, tick: int
) -> tuple[LeakyIntegratorState, LeakyIntegratorOutput]:
    """Advance over a chunk; the state's buffers are reused."""
    gain, scale = model.coefficients
    out = np.empty_like(xs)
    _scan(state.v, np.uint64(state.key), xs, tick, gain, scale, out)
    return state, LeakyIntegratorOutput(out)
