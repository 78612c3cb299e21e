"""GPU scan of the ELM neuron: first the drive of every branch, then one block per stream.

The drive of a branch does not depend on the state, so one thread computes each ``(time, batch,
branch)`` of a chunk. The recursion then runs in one kernel, threads over the units of a layer and
time inside. Every sum has a fixed order: neither the grid nor the chunk changes a bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import cuda

from biomem.backends import to_numpy
from biomem.backends.cuda import Launch, device_kernel
from biomem.backends.simd import padded
from biomem.engine.scan import loop
from biomem.models.elm.cpu import tables_of
from biomem.models.elm.model import ELM, ELMState
from biomem.models.elm.params import ELMParams

__all__ = ["elm_drive", "elm_scan", "scan"]

THREADS = 128
WIDEST = 1024
"""Largest layer the block's shared memory has room for; wider models run the reference step."""

_SLOPE = 2.0 / 3.0


def _drive_reference(
    starts: np.ndarray,
    channels: np.ndarray,
    efficacies: np.ndarray,
    xs: np.ndarray,
    out: np.ndarray,
) -> None:
    for branch in range(out.shape[2]):
        part = slice(starts[branch], starts[branch + 1])
        out[:, :, branch] = xs[:, :, channels[part]] @ efficacies[part]


def _drive_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    starts, channels = np.array([0, 3, 3, 5]), np.array([0, 2, 4, 1, 4])
    xs = draw.integers(-2, 3, size=(4, 2, 5)).astype(np.float64)
    args = (starts, channels, draw.integers(0, 9, 5) / 8.0, xs, np.zeros((4, 2, 3)))
    return Launch(blocks=2, threads=8, args=args)


@device_kernel(
    "elm_drive",
    "void(int64[::1], int64[::1], float64[::1], float64[:, :, ::1], float64[:, :, ::1])",
    reference=_drive_reference,
    case=_drive_case,
    rtol=1e-12,
)
def elm_drive(starts, channels, efficacies, xs, out):
    """Sum what arrives at each branch; any grid covers any size."""
    batch, n_branches = out.shape[1], out.shape[2]
    real = out.dtype.type
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        branch, row = i % n_branches, i // n_branches
        t, b = row // batch, row % batch
        total = real(0.0)
        for j in range(starts[branch], starts[branch + 1]):
            total += xs[t, b, channels[j]] * efficacies[j]
        out[t, b, branch] = total


def _scan_reference(
    drive: np.ndarray,
    trace: np.ndarray,
    projected: np.ndarray,
    memory: np.ndarray,
    *tables: Any,
) -> None:
    (branch_rows, memory_rows, first_bias, hidden_rows, hidden_bias, update_rows) = tables[:6]
    (update_bias, readout_rows, readout_bias, decay, gain, decay_branch) = tables[6:12]
    n_layers, silu, ys = tables[12:]
    n_memory = memory.shape[1]
    for t in range(len(drive)):
        trace[:] = decay_branch[0] * trace + drive[t]
        first = trace @ branch_rows
        projected[:] = first[:, : projected.shape[1]]
        kept = memory * decay[:n_memory]
        u = first + kept @ memory_rows + first_bias
        for layer in range(n_layers):
            h = u / (1.0 + np.exp(-u)) if silu else np.maximum(u, 0.0)
            last = layer == n_layers - 1
            rows = update_rows if last else hidden_rows[layer]
            u = h[:, : len(rows)] @ rows + (update_bias if last else hidden_bias[layer])
        memory[:] = kept + gain[:n_memory] * np.tanh(_SLOPE * u[:, :n_memory])
        ys[t] = (memory @ readout_rows + readout_bias)[:, : ys.shape[2]]


def _scan_case(seed: int) -> Launch:
    draw = np.random.default_rng(seed)
    model = ELM(
        ELMParams(
            n_inputs=6,
            n_outputs=2,
            n_memory=3,
            n_branches=3,
            synapses_per_branch=2,
            n_layers=seed % 3,
            n_hidden=9,
            activation=("relu", "silu")[seed % 2],
            dtype="float64",
            seed=seed,
        )
    )
    batch, ticks = 2, 3
    state = [draw.normal(size=a.shape) for a in model.init_state(batch)]
    drive, ys = draw.normal(size=(ticks, batch, 3)), np.zeros((ticks, batch, 2))
    return Launch(blocks=2, threads=6, args=(drive, *state, *_arguments(model), ys))


def _arguments(model: ELM) -> tuple[Any, ...]:
    t = tables_of(model)
    arrays = (t.branch_rows, t.memory_rows, t.first_bias, t.hidden_rows, t.hidden_bias)
    arrays += (t.update_rows, t.update_bias, t.readout_rows, t.readout_bias)
    return (*arrays, t.decay, t.gain, t.decay_branch, np.int64(t.n_layers), np.int64(t.silu))


_ROWS, _ROW, _CUBE = "float64[:, ::1]", "float64[::1]", "float64[:, :, ::1]"


@device_kernel(
    "elm_scan",
    f"void({_CUBE}, {_ROWS}, {_ROWS}, {_ROWS}, {_ROWS}, {_ROWS}, {_ROW}, {_CUBE}, {_ROWS}, "
    f"{_ROWS}, {_ROW}, {_ROWS}, {_ROW}, {_ROW}, {_ROW}, {_ROW}, int64, int64, {_CUBE})",
    reference=_scan_reference,
    case=_scan_case,
    rtol=1e-9,
)
def elm_scan(
    drive,
    trace,
    projected,
    memory,
    branch_rows,
    memory_rows,
    first_bias,
    hidden_rows,
    hidden_bias,
    update_rows,
    update_bias,
    readout_rows,
    readout_bias,
    decay,
    gain,
    decay_branch,
    n_layers,
    silu,
    ys,
):
    """Advance one stream per block; more streams than blocks are taken in turn."""
    kept = cuda.shared.array(WIDEST, drive.dtype)
    u = cuda.shared.array(WIDEST, drive.dtype)
    h = cuda.shared.array(WIDEST, drive.dtype)
    thread, step = cuda.threadIdx.x, cuda.blockDim.x
    n_memory, n_branches = memory.shape[1], trace.shape[1]
    width, wide, n_hidden = first_bias.shape[0], decay.shape[0], update_rows.shape[0]
    real = drive.dtype.type
    zero, one = real(0.0), real(1.0)
    for b in range(cuda.blockIdx.x, memory.shape[0], cuda.gridDim.x):
        for k in range(thread, wide, step):
            kept[k] = memory[b, k] if k < n_memory else zero
        for t in range(drive.shape[0]):
            for k in range(thread, n_branches, step):
                trace[b, k] = decay_branch[0] * trace[b, k] + drive[t, b, k]
            for k in range(thread, wide, step):
                kept[k] = kept[k] * decay[k]
            cuda.syncthreads()
            for k in range(thread, width, step):
                total = zero
                for j in range(n_branches):
                    total += trace[b, j] * branch_rows[j, k]
                if k < projected.shape[1]:
                    projected[b, k] = total
                for j in range(n_memory):
                    total += kept[j] * memory_rows[j, k]
                u[k] = total + first_bias[k]
            cuda.syncthreads()
            for layer in range(n_layers):
                for k in range(thread, width, step):
                    if silu:
                        h[k] = u[k] / (one + math.exp(-u[k]))
                    else:
                        h[k] = zero if u[k] <= zero else u[k]
                cuda.syncthreads()
                if layer < n_layers - 1:
                    for k in range(thread, width, step):
                        total = hidden_bias[layer, k]
                        for j in range(n_hidden):
                            total += h[j] * hidden_rows[layer, j, k]
                        u[k] = total
                else:
                    for k in range(thread, wide, step):
                        total = update_bias[k]
                        for j in range(n_hidden):
                            total += h[j] * update_rows[j, k]
                        u[k] = total
                cuda.syncthreads()
            for k in range(thread, wide, step):
                kept[k] = kept[k] + gain[k] * math.tanh(real(_SLOPE) * u[k])
            cuda.syncthreads()
            for k in range(thread, ys.shape[2], step):
                total = readout_bias[k]
                for j in range(n_memory):
                    total += kept[j] * readout_rows[j, k]
                ys[t, b, k] = total
            cuda.syncthreads()
        for k in range(thread, n_memory, step):
            memory[b, k] = kept[k]
        cuda.syncthreads()


def scan(model: ELM, state: ELMState, xs: Any, tick: int) -> tuple[ELMState, Any]:
    """Advance over a chunk of CuPy arrays; the state's buffers are reused."""
    if padded(max(model.params.widths[1:]), model.params.dtype) > WIDEST:
        return loop(model, state, xs, tick)
    import cupy

    kept = vars(model).get("_device_tables")
    if kept is None:
        host = model.with_weights({name: to_numpy(w) for name, w in model.weights.items()})
        branch, channels = np.nonzero(host.drive_weights.T)
        starts = np.searchsorted(branch, np.arange(model.params.branches + 1))
        fan_in = (starts, channels, host.drive_weights[channels, branch])
        kept = model.__dict__["_device_tables"] = tuple(
            tuple(cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in group)
            for group in (fan_in, _arguments(host))
        )
    fan_in, arguments = kept
    ticks, batch, _ = xs.shape
    drive = cupy.empty((ticks, batch, model.params.branches), xs.dtype)
    ys = cupy.empty((ticks, batch, model.params.n_outputs), xs.dtype)
    elm_drive[-(-drive.size // THREADS), THREADS](*fan_in, cupy.ascontiguousarray(xs), drive)
    elm_scan[batch, THREADS](drive, *state, *arguments, ys)
    return state, ys
