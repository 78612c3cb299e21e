"""GPU scan of the Wave-RNN: one block per stream, time in the kernel, rings in shared memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda, float32

from biomem.backends.cuda import Launch, device_kernel
from biomem.engine.scan import loop
from biomem.models.wave_rnn.model import WaveRNN, WaveRNNOutput, WaveRNNState

__all__ = ["scan", "wave_scan"]

NEURONS = 4096
"""Most neurons of one stream; two states of float32 fill two thirds of static shared memory."""

STATES = 2 * NEURONS
THREADS = 256
ACTIVATIONS = ("identity", "relu", "tanh")


def _reference(
    h: np.ndarray,
    xs: np.ndarray,
    ring: np.ndarray,
    bias: np.ndarray,
    drive: np.ndarray,
    readout: np.ndarray,
    readout_bias: np.ndarray,
    activation: int,
    tick: int,
    every: int,
    y: np.ndarray,
    recorded: np.ndarray,
) -> None:
    c, n, d = drive.shape
    model = WaveRNN(
        n_inputs=d,
        n_units=n,
        n_channels=c,
        n_outputs=len(readout_bias),
        kernel_size=ring.shape[2],
        activation=ACTIVATIONS[activation],
        readout_every=int(every),
        record_hidden=recorded.shape[2] > 0,
        weights={
            "input_weight": drive,
            "input_bias": bias,
            "ring_weight": ring,
            "ring_bias": np.zeros(c, np.float32),
            "readout_weight": readout.reshape(-1, c * n),
            "readout_bias": readout_bias,
        },
    )
    state, out = loop(model, WaveRNNState(h), xs, int(tick))
    h[:], y[:], recorded[:] = state.h, out.y, out.h


def _case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    ticks, batch, c, n, d, f, outputs = 5, 2, 2, 7, 2, 3, 3

    # Positive, so that no sum cancels and relative differences mean something; a few units are
    # held down by their bias, so that the rectifier has something to do.
    def positive(*shape: int) -> np.ndarray:
        return draw.uniform(0.05, 0.3, shape).astype(np.float32)

    bias = positive(c, n)
    bias[draw.uniform(size=bias.shape) < 0.2] = -9.0
    activation = seed % len(ACTIVATIONS)
    if activation != ACTIVATIONS.index("relu"):
        bias = np.abs(bias)
    args = (
        positive(batch, c, n),
        positive(ticks, batch, d),
        positive(c, c, f),
        bias,
        positive(c, n, d),
        positive(outputs, c, n),
        positive(outputs),
        np.int64(activation),
        np.int64(draw.integers(2**40)),
        np.int64(1 + seed % 2),
        np.zeros((ticks, batch, outputs), np.float32),
        np.zeros((ticks, batch, c if seed % 3 else 0, n), np.float32),
    )
    return Launch(blocks=batch, threads=8, args=args)


@device_kernel(
    "wave_scan",
    "void(float32[:, :, ::1], float32[:, :, ::1], float32[:, :, ::1], float32[:, ::1], "
    "float32[:, :, ::1], float32[:, :, ::1], float32[::1], int64, int64, int64, "
    "float32[:, :, ::1], float32[:, :, :, ::1])",
    reference=_reference,
    case=_case,
    rtol=1e-5,
)
def wave_scan(
    h, xs, ring, bias, drive, readout, readout_bias, activation, tick, every, y, recorded
):
    """Advance every stream over the chunk; threads take neurons in turn.

    The number of threads is a power of two, at most `THREADS`, and at most `NEURONS` neurons.
    """
    states = cuda.shared.array(STATES, float32)
    partial = cuda.shared.array(THREADS, float32)
    b, me, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    c, n, taps = h.shape[1], h.shape[2], ring.shape[2]
    for p in range(me, c * n, threads):
        states[p] = h[b, p // n, p % n]
    now = 0
    for t in range(xs.shape[0]):
        cuda.syncthreads()
        then = now
        now = NEURONS - now
        for p in range(me, c * n, threads):
            o, i = p // n, p % n
            z = bias[o, i]
            for q in range(xs.shape[2]):
                z += drive[o, i, q] * xs[t, b, q]
            for j in range(taps):
                at = then + (i + j - taps // 2 + n) % n
                for k in range(c):
                    z += ring[o, k, j] * states[at + k * n]
            if activation == 1 and z <= 0:
                z = float32(0)
            if activation == 2:
                z = math.tanh(z)
            states[now + p] = z
            if recorded.shape[2] > 0:
                recorded[t, b, o, i] = z
        if (tick + t + 1) % every == 0:
            for o in range(readout.shape[0]):
                total = float32(0)
                for p in range(me, c * n, threads):
                    total += readout[o, p // n, p % n] * states[now + p]
                partial[me] = total
                half = threads // 2
                while half > 0:
                    cuda.syncthreads()
                    if me < half:
                        partial[me] += partial[me + half]
                    half //= 2
                if me == 0:
                    y[t, b, o] = partial[0] + readout_bias[o]
                cuda.syncthreads()
    for p in range(me, c * n, threads):
        h[b, p // n, p % n] = states[now + p]


def scan(
    model: WaveRNN, state: WaveRNNState, xs: Any, tick: int
) -> tuple[WaveRNNState, WaveRNNOutput]:
    """Advance over a chunk of CuPy arrays; the state's buffer is reused.

    Networks the kernel has no form for, which are those in float64, above `NEURONS` neurons, with
    untied weights or with a hidden layer in the readout, run the reference step.
    """
    import cupy

    p, w = model.params, model.weights
    tied = p.tie_weights == "conv" and p.decoder == "linear"
    if not (tied and p.dtype == "float32" and p.n_neurons <= NEURONS):
        return loop(model, state, xs, tick)
    ticks, batch = xs.shape[:2]
    y = cupy.zeros((ticks, batch, p.n_outputs), xs.dtype)
    recorded = cupy.zeros((ticks, batch, model.sizes["recorded"], p.n_units), xs.dtype)
    readout = w["readout_weight"].reshape(p.n_outputs, p.n_channels, p.n_units)
    wave_scan[batch, THREADS](
        state.h,
        xs,
        w["ring_weight"],
        model.bias,
        w["input_weight"],
        readout,
        w["readout_bias"],
        ACTIVATIONS.index(p.activation),
        tick,
        p.readout_every,
        y,
        recorded,
    )
    return state, WaveRNNOutput(y, recorded)
