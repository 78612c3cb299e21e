"""GPU scan of `LeakyIntegrator`: one thread per unit, time inside the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from biomem.backends.cuda import Launch, device_kernel
from biomem.engine.random import Stream
from biomem.engine.random_cuda import uniform64, words
from biomem.engine.scan import loop
from biomem.testing.toys import LeakyIntegrator, LeakyIntegratorOutput, LeakyIntegratorState

__all__ = ["leaky_scan", "scan"]

NOISE = int(Stream.NOISE)
THREADS = 128


def _reference(
    v: np.ndarray,
    key: np.uint64,
    xs: np.ndarray,
    tick: int,
    gain: float,
    scale: float,
    out: np.ndarray,
) -> None:
    # The parameters come from the coefficients, so the case below must use these two.
    model = LeakyIntegrator(n_units=v.shape[1], tau=1e-3 / gain, dt=1e-3, sigma=SIGMA)
    state = LeakyIntegratorState(v, np.array(key, np.uint64))
    state, ys = loop(model, state, xs, int(tick))
    v[:], out[:] = state.v, ys.v


SIGMA = 0.5


def _case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    batch, units, ticks = 2, 5, 7
    gain, scale = LeakyIntegrator(n_units=units, tau=4e-3, dt=1e-3, sigma=SIGMA).coefficients
    args = (
        draw.normal(size=(batch, units)),
        np.uint64(draw.integers(2**64, dtype=np.uint64)),
        draw.normal(size=(ticks, batch, units)),
        np.int64(draw.integers(2**40)),
        gain,
        scale,
        np.zeros((ticks, batch, units)),
    )
    return Launch(blocks=2, threads=4, args=args)


@device_kernel(
    "leaky_scan",
    "void(float64[:, ::1], uint64, float64[:, :, ::1], int64, float64, float64, "
    "float64[:, :, ::1])",
    reference=_reference,
    case=_case,
    rtol=1e-12,
)
def leaky_scan(v, key, xs, tick, gain, scale, out):
    """Advance every unit over the chunk; any grid covers any size."""
    n_units = v.shape[1]
    for i in range(cuda.grid(1), v.shape[0] * n_units, cuda.gridsize(1)):
        b, u = i // n_units, i % n_units
        x = v[b, u]
        for t in range(xs.shape[0]):
            x = x + (xs[t, b, u] - x) * gain
            if scale > 0:
                w0, w1, _, _ = words(key, NOISE, u, b, tick + t)
                x = x + (uniform64(w0, w1) - 0.5) * scale
            out[t, b, u] = x
        v[b, u] = x


def scan(
    model: LeakyIntegrator, state: LeakyIntegratorState, xs: Any, tick: int
) -> tuple[LeakyIntegratorState, LeakyIntegratorOutput]:
    """Advance over a chunk of CuPy arrays; the state's buffers are reused."""
    gain, scale = model.coefficients
    out = xs.copy()
    blocks = -(-state.v.size // THREADS)
    leaky_scan[blocks, THREADS](state.v, np.uint64(int(state.key)), xs, tick, gain, scale, out)
    return state, LeakyIntegratorOutput(out)
