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
from numba import njit, prange

from biomem.models.elm.cpu import _find
from biomem.models.elm.math_cpu import activate, add_product, exponents, slope, tanh
from biomem.models.elm.model import UPDATE_BOUND

__all__ = ["backward", "forward", "synapse_gradient"]

_SLOPE = 2.0 / 3.0


@njit(cache=True)
def _forward_stream(tables, trace, memory, xs, words, b, kept):
    traces, inputs, bounded, memories, ys = kept
    real, integer = xs.dtype.type, words.dtype
    n_memory, n_branches = memory.shape[1], trace.shape[1]
    width, wide = len(tables.first_bias), len(tables.decay)
    widest = max(width, wide)
    bits = np.zeros(widest, integer)
    e = exponents(bits, bits.view(xs.dtype))
    u, h, rest = np.zeros(widest, xs.dtype), np.zeros(widest, xs.dtype), np.zeros(widest, xs.dtype)
    s, m, y = (
        trace[b].copy(),
        np.zeros(wide, xs.dtype),
        np.zeros(len(tables.readout_bias), xs.dtype),
    )
    m[:n_memory] = memory[b]
    channels = np.empty(xs.shape[2] + 1, np.int32)
    values = np.empty(xs.shape[2] + 1, xs.dtype)
    decay = tables.decay_branch[0]
    for t in range(xs.shape[0]):
        n = _find(xs[t, b], words[t, b], channels, values)
        for k in range(n_branches):
            s[k] *= decay
        for i in range(n):
            for j in range(tables.starts[channels[i]], tables.starts[channels[i] + 1]):
                s[tables.branches[j]] += values[i] * tables.efficacies[j]
        traces[t, b] = s
        for k in range(wide):
            m[k] *= tables.decay[k]
        u[:width] = tables.first_bias
        add_product(u[:width], s, tables.branch_rows)
        add_product(u[:width], m[:n_memory], tables.memory_rows)
        for layer in range(tables.n_layers):
            inputs[layer, t, b] = u[: inputs.shape[3]]
            activate(u, width, tables.silu, e, rest, h)
            if layer < tables.n_layers - 1:
                u[:width] = tables.hidden_bias[layer]
                add_product(u[:width], h, tables.hidden_rows[layer])
            else:
                u[:wide] = tables.update_bias
                add_product(u[:wide], h, tables.update_rows)
        for k in range(wide):
            u[k] *= real(_SLOPE)
        tanh(u, wide, e, rest, h)
        bounded[t, b] = h[:n_memory]
        for k in range(wide):
            m[k] += tables.gain[k] * h[k]
        memories[t, b] = m[:n_memory]
        y[:] = tables.readout_bias
        add_product(y, m[:n_memory], tables.readout_rows)
        ys[t, b] = y[: ys.shape[2]]


@njit(cache=True, parallel=True)
def forward(tables, trace, memory, xs, words, kept):
    """Scan ``xs (time, batch, channel)`` from a state that is not written to.

    Parameters
    ----------
    tables : Tables
    trace, memory : arrays, shapes ``(batch, branch)`` and ``(batch, memory)``
    xs, words : arrays
        Inputs, and their bits as integers of the same width.
    kept : tuple of arrays to fill
        Traces ``(time, batch, branch)``, inputs of the activations ``(n_layers, time, batch,
        hidden)``, bounded updates ``tanh(2/3 u)`` and memories ``(time, batch, memory)``, outputs
        ``(time, batch, output)``.
    """
    for b in prange(xs.shape[1]):
        _forward_stream(tables, trace, memory, xs, words, b, kept)


@njit(cache=True)
def _backward_stream(net, memory, kept, g_memories, b, words, grads):
    decay, gain, memory_columns, hidden, update, silu = net
    _, inputs, bounded, memories = kept
    g_inputs, g_update, g_decay, g_gain, g_start = grads
    real, kind = memory.dtype.type, memory.dtype
    n_layers, width = inputs.shape[0], inputs.shape[3]
    n_memory = memory.shape[1]
    e = exponents(words[b], words[b].view(kind))
    below, rest, local = np.zeros(width, kind), np.zeros(width, kind), np.zeros(width, kind)
    g_m, g_kept = g_start[b], np.zeros(n_memory, kind)
    for t in range(len(memories) - 1, -1, -1):
        before = memories[t - 1, b] if t > 0 else memory[b]
        u = g_update[t, b]
        for k in range(n_memory):
            g_m[k] += g_memories[t, b, k]
            h = bounded[t, b, k]
            g_gain[b, k] += g_m[k] * (real(UPDATE_BOUND) * h)
            u[k] = g_m[k] * (gain[k] * real(UPDATE_BOUND * _SLOPE)) * (real(1.0) - h * h)
        for layer in range(n_layers - 1, -1, -1):
            below[:] = real(0.0)
            if layer == n_layers - 1:
                add_product(below, u, update)
            else:
                add_product(below, g_inputs[layer + 1, t, b], hidden[layer])
            slope(inputs[layer, t, b], width, silu, e, rest, local)
            for k in range(width):
                g_inputs[layer, t, b, k] = below[k] * local[k]
        g_kept[:] = g_m
        if n_layers > 0:
            add_product(g_kept, g_inputs[0, t, b], memory_columns)
        else:
            add_product(g_kept, u, memory_columns)
        for k in range(n_memory):
            g_decay[b, k] += g_kept[k] * before[k]
            g_m[k] = g_kept[k] * decay[k]


@njit(cache=True, parallel=True)
def backward(net, memory, kept, g_memories, words, grads):
    """Run the memory's recursion backwards in time.

    Parameters
    ----------
    net : tuple
        Decay and gain ``(memory,)``, memory columns of the first layer ``(first, memory)``,
        hidden layers ``(n_layers - 1, hidden, hidden)``, update layer ``(memory, hidden)``, and
        whether the activation is silu.
    memory : array, shape ``(batch, memory)``
        State before the first tick.
    kept : tuple
        The first four arrays of `forward`.
    g_memories : array, shape ``(time, batch, memory)``
        Gradient that reaches each memory from outside.
    words : int array, shape ``(batch, hidden)``
        Scratch, of the width of a float.
    grads : tuple of arrays to fill
        Of the activations' inputs ``(n_layers, time, batch, hidden)``, of ``u`` ``(time, batch,
        memory)``; zeros on entry: of decay and gain, per stream; of the first state.
    """
    for b in prange(memory.shape[0]):
        _backward_stream(net, memory, kept, g_memories, b, words, grads)


@njit(cache=True)
def _synapse_stream(tables, xs, words, b, g_traces, out):
    channels = np.empty(xs.shape[2] + 1, np.int32)
    values = np.empty(xs.shape[2] + 1, xs.dtype)
    decay, last = tables.decay_branch[0], len(xs) - 1
    for t in range(last, -1, -1):
        if t < last:
            for k in range(g_traces.shape[2]):
                g_traces[t, b, k] += decay * g_traces[t + 1, b, k]
        n = _find(xs[t, b], words[t, b], channels, values)
        for i in range(n):
            for j in range(tables.starts[channels[i]], tables.starts[channels[i] + 1]):
                out[b, j] += values[i] * g_traces[t, b, tables.branches[j]]


@njit(cache=True, parallel=True)
def synapse_gradient(tables, xs, words, g_traces, out):
    """Carry the traces' gradients back in time, in place, and add them up per synapse.

    Parameters
    ----------
    tables : Tables
    xs, words : arrays, see `forward`
    g_traces : array, shape ``(time, batch, branch)``
        On entry what reaches each trace from its own tick, on return all of it.
    out : array, shape ``(batch, synapse)``, zeros on entry
        Per stream, in the order of ``tables.efficacies``.
    """
    for b in prange(xs.shape[1]):
        _synapse_stream(tables, xs, words, b, g_traces, out)
