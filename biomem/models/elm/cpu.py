"""Numba scans of the ELM neuron, for dense and for sparse input.

The first layer is folded into the synapses: the drive of a channel on the first layer,
``C = drive_weights @ W_branches``, is one row per channel, and ``projected = W_branches trace``
obeys the recurrence of the traces themselves. A tick then costs one row of ``C`` per event instead
of one pass over all synapses and branches. Where more channels speak than there are branches, the
sums per branch are projected instead; which of the two is cheaper is decided row by row, so a
result depends neither on the chunk nor on whether the input came dense or as events.

Streams run in parallel; each is computed by one thread from its own arrays, so the number of
threads changes no bit. Tables are computed in float64 and rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import prange

from biomem.backends.jit import njit
from biomem.models.elm.math_cpu import activate, add_product, exponents, padded, tanh
from biomem.models.elm.model import UPDATE_BOUND, decay_branch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.models.elm.events import Events
    from biomem.models.elm.model import ELM, ELMState
    from biomem.models.elm.params import ELMParams

__all__ = ["Tables", "scan", "scan_events", "tables_of"]

_SLOPE = 2.0 / 3.0
_BLOCK = 64


class Tables(NamedTuple):
    """A model in the form the kernels take; widths of rows are padded with zeros.

    Attributes
    ----------
    starts, branches, efficacies : arrays
        Channel ``c`` drives ``branches[starts[c]:starts[c + 1]]``, each by its efficacy.
    channel_rows : array, shape ``(channel, first)``
        Drive of a channel on the first layer.
    branch_rows, memory_rows : arrays, shapes ``(branch, first)`` and ``(memory, first)``
        First layer, transposed.
    first_bias : array, shape ``(first,)``
    hidden_rows, hidden_bias : arrays, shapes ``(n_layers - 1, hidden, hidden)``, ``(..., hidden)``
    update_rows, update_bias : arrays, shapes ``(hidden, memory)`` and ``(memory,)``
    readout_rows, readout_bias : arrays, shapes ``(memory, output)`` and ``(output,)``
    decay, gain : arrays, shape ``(memory,)``
        Kept share of a memory, and largest update.
    decay_branch : array, shape ``(1,)``
    n_layers : int
    silu : bool
    """

    starts: np.ndarray
    branches: np.ndarray
    efficacies: np.ndarray
    channel_rows: np.ndarray
    branch_rows: np.ndarray
    memory_rows: np.ndarray
    first_bias: np.ndarray
    hidden_rows: np.ndarray
    hidden_bias: np.ndarray
    update_rows: np.ndarray
    update_bias: np.ndarray
    readout_rows: np.ndarray
    readout_bias: np.ndarray
    decay: np.ndarray
    gain: np.ndarray
    decay_branch: np.ndarray
    n_layers: int
    silu: bool


@njit(cache=True)
def _fold(starts, branches, efficacies, branch_rows):
    out = np.zeros((len(starts) - 1, branch_rows.shape[1]))
    for channel in range(out.shape[0]):
        for i in range(starts[channel], starts[channel + 1]):
            for k in range(out.shape[1]):
                out[channel, k] += efficacies[i] * branch_rows[branches[i], k]
    return out


def tables_of(model: ELM) -> Tables:
    """Return the tables of `model`, computed on first use and kept with it."""
    kept = vars(model).get("_tables")
    if kept is None:
        kept = model.__dict__["_tables"] = _tables(model)
    return kept


def _tables(model: ELM) -> Tables:
    p = model.params
    channel, branches = np.nonzero(model.drive_weights)
    starts = np.searchsorted(channel, np.arange(p.n_inputs + 1))
    efficacies = model.drive_weights[channel, branches].astype(np.float64)
    branches = branches.astype(np.int32)
    rows = _padded_rows(model.layers[0][0][:, : p.branches].T)
    return pack(
        p,
        layers=model.layers,
        readout=(model.weights["readout_weights"], model.weights["readout_bias"]),
        decay=model.decay_memory,
        gain=model.update_gain,
        synapses=(starts, branches, efficacies),
        channel_rows=_fold(starts, branches, efficacies, rows),
    )


def pack(
    params: ELMParams,
    *,
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    readout: tuple[np.ndarray, np.ndarray],
    decay: np.ndarray,
    gain: np.ndarray,
    synapses: tuple[np.ndarray, np.ndarray, np.ndarray],
    channel_rows: np.ndarray,
) -> Tables:
    """Return the tables of the given arrays; `layers` and `readout` as in `ELM`."""
    (first, first_bias), *rest = layers
    n, width = params.branches, padded(first.shape[0])
    hidden = [(_padded_rows(w.T, width), _padded(b)) for w, b in rest[:-1]]
    update, update_bias = rest[-1] if rest else (first[:, :0], first_bias)
    starts, branches, efficacies = synapses
    floats = {
        "efficacies": efficacies,
        "channel_rows": channel_rows,
        "branch_rows": _padded_rows(first[:, :n].T),
        "memory_rows": _padded_rows(first[:, n:].T),
        "first_bias": _padded(first_bias),
        "hidden_rows": np.array([w for w, _ in hidden]).reshape(-1, width, width),
        "hidden_bias": np.array([b for _, b in hidden]).reshape(-1, width),
        "update_rows": _padded_rows(update.T, width if rest else 0),
        "update_bias": _padded(update_bias),
        "readout_rows": _padded_rows(readout[0].T),
        "readout_bias": _padded(readout[1]),
        "decay": _padded(decay),
        "gain": _padded(gain) * UPDATE_BOUND,
        "decay_branch": np.array([decay_branch(params)]),
    }
    return Tables(
        starts=starts,
        branches=branches,
        n_layers=params.n_layers,
        silu=params.activation == "silu",
        **{name: np.ascontiguousarray(a, dtype=params.dtype) for name, a in floats.items()},
    )


def _padded(array: np.ndarray) -> np.ndarray:
    return np.pad(np.asarray(array, np.float64), (0, padded(len(array)) - len(array)))


def _padded_rows(array: np.ndarray, rows: int | None = None) -> np.ndarray:
    n, width = array.shape
    short = 0 if rows is None else rows - n
    return np.pad(np.asarray(array, np.float64), ((0, short), (0, padded(width) - width)))


class _Scratch(NamedTuple):
    """What one stream needs between two lines of a tick."""

    projected: np.ndarray
    memory: np.ndarray
    drive: np.ndarray
    below: np.ndarray
    above: np.ndarray
    rest: np.ndarray
    y: np.ndarray
    bits: np.ndarray
    powers: np.ndarray


@njit(cache=True)
def _scratch(tables, bits):
    real = tables.first_bias.dtype
    n_memory, n_first = len(tables.decay), len(tables.first_bias)
    widest = max(n_first, n_memory)
    return _Scratch(
        np.zeros(n_first, real),
        np.zeros(n_memory, real),
        np.zeros(len(tables.branch_rows), real),
        np.zeros(widest, real),
        np.zeros(widest, real),
        np.zeros(widest, real),
        np.zeros(len(tables.readout_bias), real),
        bits,
        bits.view(real),
    )


@njit(cache=True)
def _receive(tables, trace, s, channels, values):
    """Decay the traces and add what arrives, to the branches and to their projection."""
    decay = tables.decay_branch[0]
    projected, rows = s.projected, tables.channel_rows
    width = len(projected)
    for k in range(width):
        projected[k] *= decay
    for k in range(len(trace)):
        trace[k] *= decay
    n = len(channels)
    drive = trace
    if n > len(trace):
        drive = s.drive
        drive[:] = drive.dtype.type(0.0)
    for e in range(n):
        for i in range(tables.starts[channels[e]], tables.starts[channels[e] + 1]):
            drive[tables.branches[i]] += values[e] * tables.efficacies[i]
    if n > len(trace):
        for k in range(len(trace)):
            trace[k] += drive[k]
        add_product(projected, drive, tables.branch_rows)
        return
    whole = n - n % 4
    for e in range(0, whole, 4):
        a, b, c, d = channels[e], channels[e + 1], channels[e + 2], channels[e + 3]
        xa, xb, xc, xd = values[e], values[e + 1], values[e + 2], values[e + 3]
        for k in range(width):
            projected[k] += (xa * rows[a, k] + xb * rows[b, k]) + (
                xc * rows[c, k] + xd * rows[d, k]
            )
    for e in range(whole, n):
        a, xa = channels[e], values[e]
        for k in range(width):
            projected[k] += xa * rows[a, k]


@njit(cache=True)
def _update(tables, s, e, y):
    """Run the MLP on projection and memory, change the memory, read it out."""
    memory, n_memory = s.memory, len(tables.memory_rows)
    real = memory.dtype.type
    u, h = s.below, s.above
    width = len(tables.first_bias)
    for k in range(len(memory)):
        memory[k] *= tables.decay[k]
    for k in range(width):
        u[k] = s.projected[k] + tables.first_bias[k]
    add_product(u[:width], memory, tables.memory_rows)
    for layer in range(tables.n_layers):
        activate(u, width, tables.silu, e, s.rest, h)
        if layer < tables.n_layers - 1:
            u[:width] = tables.hidden_bias[layer]
            add_product(u[:width], h, tables.hidden_rows[layer])
        else:
            u[: len(memory)] = tables.update_bias
            add_product(u[: len(memory)], h, tables.update_rows)
    for k in range(len(memory)):
        u[k] *= real(_SLOPE)
    tanh(u, len(memory), e, s.rest, h)
    for k in range(len(memory)):
        memory[k] += tables.gain[k] * h[k]
    s.y[:] = tables.readout_bias
    add_product(s.y, memory[:n_memory], tables.readout_rows)
    for k in range(len(y)):
        y[k] = s.y[k]


@njit(cache=True)
def _find(x, words, channels, values):
    """Collect the non-zero entries of one row; `words` are the bits of `x`."""
    n, found = len(x), 0
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        any_bit = words[start]
        for i in range(start + 1, stop):
            any_bit |= words[i]
        if any_bit != 0:
            for i in range(start, stop):
                # Writing first and counting after spares a branch that nobody could predict.
                channels[found] = i
                values[found] = x[i]
                found += x[i] != 0
    return found


@njit(cache=True)
def _dense_stream(tables, trace, projected, memory, xs, words, bits, b, ys):
    s = _scratch(tables, bits)
    e = exponents(s.bits, s.powers)
    s.projected[: projected.shape[1]] = projected[b]
    s.memory[: memory.shape[1]] = memory[b]
    channels = np.empty(xs.shape[2] + 1, np.int32)
    values = np.empty(xs.shape[2] + 1, xs.dtype)
    for t in range(xs.shape[0]):
        n = _find(xs[t, b], words[t, b], channels, values)
        _receive(tables, trace[b], s, channels[:n], values[:n])
        _update(tables, s, e, ys[t, b])
    projected[b] = s.projected[: projected.shape[1]]
    memory[b] = s.memory[: memory.shape[1]]


@njit(cache=True)
def _event_stream(tables, trace, projected, memory, channels, values, indptr, bits, b, ys):
    s = _scratch(tables, bits)
    e = exponents(s.bits, s.powers)
    s.projected[: projected.shape[1]] = projected[b]
    s.memory[: memory.shape[1]] = memory[b]
    for t in range(ys.shape[0]):
        row = t * ys.shape[1] + b
        start, stop = indptr[row], indptr[row + 1]
        _receive(tables, trace[b], s, channels[start:stop], values[start:stop])
        _update(tables, s, e, ys[t, b])
    projected[b] = s.projected[: projected.shape[1]]
    memory[b] = s.memory[: memory.shape[1]]


@njit(cache=True, parallel=True)
def _scan_dense(tables, trace, projected, memory, xs, words, bits, ys):
    for b in prange(len(memory)):
        _dense_stream(tables, trace, projected, memory, xs, words, bits[b], b, ys)


@njit(cache=True, parallel=True)
def _scan_events(tables, trace, projected, memory, channels, values, indptr, bits, ys):
    for b in prange(len(memory)):
        _event_stream(tables, trace, projected, memory, channels, values, indptr, bits[b], b, ys)


def _buffers(tables: Tables, ticks: int, batch: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    real = tables.decay.dtype
    widest = max(len(tables.first_bias), len(tables.decay))
    integer = np.int32 if real.itemsize == 4 else np.int64
    return np.zeros((batch, widest), integer), np.empty((ticks, batch, outputs), real)


def scan(model: ELM, state: ELMState, xs: np.ndarray, tick: int) -> tuple[ELMState, np.ndarray]:
    """Advance over a chunk of shape ``(time, batch, channel)``, in the state's own buffers."""
    tables = tables_of(model)
    xs = np.ascontiguousarray(xs)
    bits, ys = _buffers(tables, *xs.shape[:2], model.params.n_outputs)
    _scan_dense(tables, *state, xs, xs.view(bits.dtype), bits, ys)
    return state, ys


def scan_events(
    model: ELM, state: ELMState, events: Events, tick: int
) -> tuple[ELMState, np.ndarray]:
    """Advance over events, in the state's own buffers; equals `scan` bit for bit."""
    tables = tables_of(model)
    bits, ys = _buffers(tables, *events.shape, model.params.n_outputs)
    values = events.values.astype(tables.decay.dtype)
    _scan_events(tables, *state, events.channels, values, events.indptr, bits, ys)
    return state, ys
