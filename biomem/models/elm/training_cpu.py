"""Forward and backward loops of the ELM for training, with the traces kept per branch.

`forward` stores what `backward` needs; sums over time and batch that are plain products of
matrices (the gradients of all layers) are left to the caller. With ``z_l`` the input of layer
``l``'s activation, ``u = z_L``, ``g_`` gradients, and ``S = 1.7159``::

    g_m     += W_y^T g_y                                     and, at the end, that of the state
    g_u      = g_m * gain * S * 2/3 * (1 - tanh^2(2/3 u))
    g_z      = act'(z) * (W^T g_above)                       down through the layers
    g_kept   = g_m + W_memory^T g_z0
    g_decay += g_kept * m_{t-1}         g_gain += g_m * S * tanh(2/3 u)
    g_m      = decay * g_kept                                for the tick before
    g_trace  = W_branch^T g_z0 + decay_branch * g_trace      backwards in time
    g_w     += x * g_trace                                   for the synapses of x's channel

Streams run in parallel; each writes to arrays of its own.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from biomem.backends.jit import njit
from biomem.backends.simd import (
    add_product,
    affine,
    copy,
    find,
    relu,
    relu_slope,
    scale,
    silu,
    silu_slope,
)
from biomem.models.elm.cpu import drive_branches
from biomem.models.elm.model import UPDATE_BOUND
from biomem.models.elm.simd_cpu import bound

__all__ = ["backward", "forward", "synapse_gradient"]

_SLOPE = 2.0 / 3.0


@njit(cache=True, forceinline=True)
def _store(out, t, b, x):
    for k in range(out.shape[2]):
        out[t, b, k] = x[k]


@njit(cache=True)
def _forward_stream(tables, trace, memory, xs, b, traces, inputs, bounded, memories, ys):
    (starts, branches, efficacies, _, branch_rows, memory_rows, first_bias) = tables[:7]
    (hidden_rows, hidden_bias, update_rows, update_bias, readout_rows) = tables[7:12]
    (readout_bias, decay, gain, decay_branch, n_layers, lanes, uses_silu, _) = tables[12:]
    real, n = xs.dtype, xs.shape[2]
    n_branches, n_memory, n_hidden = len(trace), len(memory), update_rows.shape[0]
    widest = max(len(first_bias), len(decay))
    u, h, y = np.zeros(widest, real), np.zeros(widest, real), np.zeros(len(readout_bias), real)
    own, held, kept = trace.copy(), np.zeros(len(decay), real), np.zeros(len(decay), real)
    copy(held, memory)
    words = np.zeros((n + 63) // 64, np.uint64)
    picks, scales = np.empty(n + 1, np.int32), np.empty(n + 1, real)
    first_vectors, vectors = len(first_bias) // lanes, len(decay) // lanes
    for t in range(len(xs)):
        found = find(xs[t, b], words, picks, scales)
        for k in range(n_branches):
            own[k] *= decay_branch[0]
        drive_branches(starts, branches, efficacies, own, picks, scales, 0, found)
        _store(traces, t, b, own)
        scale(kept, held, decay, vectors)
        affine(u, first_bias, own, branch_rows, n_branches, False)
        affine(u, u, kept, memory_rows, n_memory, False)
        for layer in range(n_layers):
            _store(inputs[layer], t, b, u)
            if uses_silu:
                silu(u, u, first_vectors)
            else:
                relu(u, u, first_vectors)
            if layer < n_layers - 1:
                affine(h, hidden_bias[layer], u, hidden_rows[layer], n_hidden, False)
            else:
                affine(h, update_bias, u, update_rows, n_hidden, False)
            u, h = h, u
        bound(h, u, vectors)
        _store(bounded, t, b, h)
        add_product(held, kept, gain, h, vectors)
        _store(memories, t, b, held)
        affine(y, readout_bias, held, readout_rows, n_memory, False)
        _store(ys, t, b, y)


@njit(cache=True, parallel=True)
def forward(tables, trace, memory, xs, traces, inputs, bounded, memories, ys):
    """Scan ``xs (time, batch, channel)`` from a state that is not written to.

    Parameters
    ----------
    tables : Tables
        Their ``channel_rows`` are not read.
    trace, memory : arrays, shapes ``(batch, branch)`` and ``(batch, memory)``
    xs : array
    traces, inputs, bounded, memories, ys : arrays to fill
        Traces ``(time, batch, branch)``, inputs of the activations ``(n_layers, time, batch,
        hidden)``, bounded updates ``tanh(2/3 u)`` and memories ``(time, batch, memory)``, outputs
        ``(time, batch, output)``.
    """
    for b in prange(xs.shape[1]):
        _forward_stream(tables, trace[b], memory[b], xs, b, traces, inputs, bounded, memories, ys)


@njit(cache=True)
def _backward_stream(net, memory, kept, g_memories, b, grads):
    decay, gain, memory_columns, hidden, update, lanes, uses_silu = net
    inputs, bounded, memories = kept
    g_inputs, g_update, g_decay, g_gain, g_start = grads
    real = memory.dtype.type
    n_layers, n_memory, n_hidden = inputs.shape[0], memory.shape[1], inputs.shape[3]
    g_m, g_u = np.zeros(len(decay), memory.dtype), np.zeros(len(decay), memory.dtype)
    hidden_width = update.shape[1]
    z, g_z = np.zeros(hidden_width, memory.dtype), np.zeros(hidden_width, memory.dtype)
    below, nothing = np.zeros(hidden_width, memory.dtype), np.zeros(hidden_width, memory.dtype)
    before = np.zeros(n_memory, memory.dtype)
    vectors, hidden_vectors = len(decay) // lanes, hidden_width // lanes
    for t in range(len(memories) - 1, -1, -1):
        for k in range(n_memory):
            before[k] = memories[t - 1, b, k] if t > 0 else memory[b, k]
            g_m[k] += g_memories[t, b, k]
            h = bounded[t, b, k]
            g_gain[b, k] += g_m[k] * (real(UPDATE_BOUND) * h)
            g_u[k] = g_m[k] * (gain[k] * real(UPDATE_BOUND * _SLOPE)) * (real(1.0) - h * h)
        _store(g_update, t, b, g_u)
        for layer in range(n_layers - 1, -1, -1):
            if layer == n_layers - 1:
                affine(below, nothing, g_u, update, n_memory, False)
            else:
                affine(below, nothing, g_z, hidden[layer], n_hidden, False)
            for k in range(n_hidden):
                z[k] = inputs[layer, t, b, k]
            if uses_silu:
                silu_slope(g_z, z, below, hidden_vectors)
            else:
                relu_slope(g_z, z, below, hidden_vectors)
            _store(g_inputs[layer], t, b, g_z)
        if n_layers > 0:
            affine(g_m, g_m, g_z, memory_columns, n_hidden, False)
        else:
            affine(g_m, g_m, g_u, memory_columns, n_memory, False)
        for k in range(n_memory):
            g_decay[b, k] += g_m[k] * before[k]
        scale(g_m, g_m, decay, vectors)
    for k in range(n_memory):
        g_start[b, k] = g_m[k]


@njit(cache=True, parallel=True)
def backward(net, memory, kept, g_memories, grads):
    """Run the memory's recursion backwards in time.

    Parameters
    ----------
    net : tuple
        Decay and gain ``(memory,)``, memory columns of the first layer ``(first, memory)``,
        hidden layers ``(n_layers - 1, hidden, hidden)``, update layer ``(memory, hidden)``, all
        padded in their last axis; the elements of a vector, and whether the activation is silu.
    memory : array, shape ``(batch, memory)``
        State before the first tick.
    kept : tuple
        ``inputs``, ``bounded`` and ``memories`` of `forward`.
    g_memories : array, shape ``(time, batch, memory)``
        Gradient that reaches each memory from outside.
    grads : tuple of arrays to fill
        Of the activations' inputs ``(n_layers, time, batch, hidden)`` and of ``u`` ``(time,
        batch, memory)``; zeros on entry, ``(batch, memory)``: of decay, gain and first state.
    """
    for b in prange(memory.shape[0]):
        _backward_stream(net, memory, kept, g_memories, b, grads)


@njit(cache=True)
def _synapse_stream(tables, xs, b, g_traces, out):
    starts, branches, decay = tables.starts, tables.branches, tables.decay_branch[0]
    n, last = xs.shape[2], len(xs) - 1
    words = np.zeros((n + 63) // 64, np.uint64)
    picks, scales = np.empty(n + 1, np.int32), np.empty(n + 1, xs.dtype)
    for t in range(last, -1, -1):
        if t < last:
            for k in range(g_traces.shape[2]):
                g_traces[t, b, k] += decay * g_traces[t + 1, b, k]
        for i in range(find(xs[t, b], words, picks, scales)):
            for j in range(starts[picks[i]], starts[picks[i] + 1]):
                out[b, j] += scales[i] * g_traces[t, b, branches[j]]


@njit(cache=True, parallel=True)
def synapse_gradient(tables, xs, g_traces, out):
    """Carry the traces' gradients back in time, in place, and add them up per synapse.

    Parameters
    ----------
    tables : Tables
    xs : array, see `forward`
    g_traces : array, shape ``(time, batch, branch)``
        On entry what reaches each trace from its own tick, on return all of it.
    out : array, shape ``(batch, synapse)``, zeros on entry
        Per stream, in the order of ``tables.efficacies``.
    """
    for b in prange(xs.shape[1]):
        _synapse_stream(tables, xs, b, g_traces, out)
