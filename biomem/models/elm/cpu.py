"""Numba scans of the ELM neuron, for dense and for sparse input.

The first layer is folded into the synapses: the drive of a channel on the first layer,
``C = drive_weights @ W_branches``, is one row per channel, and ``projected = W_branches trace``
obeys the recurrence of the traces themselves. A tick then costs one row of ``C`` per event instead
of one pass over all synapses and branches. Where more channels speak than there are branches, the
sums per branch are projected instead; which of the two is cheaper is decided row by row, so a
result depends neither on the chunk nor on whether the input came dense or as events.

Streams may run in parallel; each is computed by one thread from its own arrays, so the number of
threads changes no bit. Tables are computed in float64 and rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.backends.simd import (
    add,
    add_product,
    add_rows,
    affine,
    copy,
    find,
    lanes_of,
    padded,
    scale,
    silu,
)
from biomem.backends.threads import spread
from biomem.models.elm.model import UPDATE_BOUND, decay_branch
from biomem.models.elm.simd_cpu import bound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.engine.events import Events
    from biomem.models.elm.model import ELM, ELMState
    from biomem.models.elm.params import ELMParams

__all__ = ["Tables", "drive_branches", "pack", "scan", "scan_events", "tables_of", "wide"]

_JOINED = 128
"""Branches up to which a channel's row also carries its drive on every branch."""


class Tables(NamedTuple):
    """A model in the form the kernels take; rows are padded to whole vectors with zeros.

    Attributes
    ----------
    starts, branches, efficacies : arrays
        Channel ``c`` drives ``branches[starts[c]:starts[c + 1]]``, each by its efficacy.
    channel_rows : array, shape ``(channel, first)`` or ``(channel, first + branch)``
        Drive of a channel on the first layer, followed where `joined` by that on the branches.
    branch_rows, memory_rows : arrays, shapes ``(branch, first)`` and ``(memory, first)``
        First layer, transposed.
    first_bias : array, shape ``(first,)``
    hidden_rows, hidden_bias : arrays, shapes ``(n_layers - 1, hidden, hidden)``, ``(..., hidden)``
    update_rows, update_bias : arrays, shapes ``(hidden, memory)`` and ``(memory,)``
    readout_rows, readout_bias : arrays, shapes ``(memory, output)`` and ``(output,)``
    decay, gain : arrays, shape ``(memory,)``
        Kept share of a memory, and largest update.
    decay_branch : array, shape ``(1,)``
    n_layers, lanes : int
    silu, joined : bool
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
    lanes: int
    silu: bool
    joined: bool


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
    rows = wide(model.layers[0][0][:, : p.branches].T, p.dtype)
    channel_rows = _fold(starts, branches, efficacies, rows)
    joined = p.branches <= _JOINED
    if joined:
        channel_rows = np.concatenate([channel_rows, wide(model.drive_weights, p.dtype)], axis=1)
    return pack(
        p,
        layers=model.layers,
        readout=(model.weights["readout_weights"], model.weights["readout_bias"]),
        decay=model.decay_memory,
        gain=model.update_gain,
        synapses=(starts, branches, efficacies),
        channel_rows=channel_rows,
        joined=joined,
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
    joined: bool = False,
) -> Tables:
    """Return the tables of the given arrays; `layers` and `readout` as in `ELM`."""
    (first, first_bias), *rest = layers
    real, n = params.dtype, params.branches
    width = padded(first.shape[0], real)
    hidden = [(wide(w.T, real), wide(b, real)) for w, b in rest[:-1]]
    update, update_bias = rest[-1] if rest else (first[:, :0], first_bias)
    floats = {
        "efficacies": synapses[2],
        "channel_rows": channel_rows,
        "branch_rows": wide(first[:, :n].T, real),
        "memory_rows": wide(first[:, n:].T, real),
        "first_bias": wide(first_bias, real),
        "hidden_rows": np.array([w for w, _ in hidden]).reshape(-1, first.shape[0], width),
        "hidden_bias": np.array([b for _, b in hidden]).reshape(-1, width),
        "update_rows": wide(update.T, real),
        "update_bias": wide(update_bias, real),
        "readout_rows": wide(readout[0].T, real),
        "readout_bias": wide(readout[1], real),
        "decay": wide(decay, real),
        "gain": UPDATE_BOUND * wide(np.asarray(gain, np.float64), real),
        "decay_branch": np.array([decay_branch(params)]),
    }
    return Tables(
        starts=synapses[0],
        branches=synapses[1],
        n_layers=params.n_layers,
        lanes=lanes_of(real),
        silu=params.activation == "silu",
        joined=joined,
        **{name: np.ascontiguousarray(a, dtype=real) for name, a in floats.items()},
    )


def wide(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return a copy whose last axis is padded with zeros to whole vectors of `dtype`."""
    by = padded(array.shape[-1], dtype) - array.shape[-1]
    return np.ascontiguousarray(np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, by)]))


@njit(cache=True, forceinline=True)
def drive_branches(starts, branches, efficacies, drive, picks, scales, first, last):
    """Add the events from `first` to ``last - 1`` to the branches they arrive at."""
    for e in range(first, last):
        for i in range(starts[picks[e]], starts[picks[e] + 1]):
            drive[branches[i]] += scales[e] * efficacies[i]


@njit(cache=True)
def _stream(tables, trace, projected, memory, xs, picks, scales, indptr, b, ys):
    """Advance one stream over dense rows where `indptr` is empty, else over its events.

    Every array has its own name before the loop starts: taking one out of a tuple inside it costs
    a change of its reference count, as much as a vector operation.
    """
    (starts, branches, efficacies, channel_rows, branch_rows, memory_rows, first_bias) = tables[:7]
    (hidden_rows, hidden_bias, update_rows, update_bias, readout_rows) = tables[7:12]
    (readout_bias, decay, gain, decay_branch, n_layers, lanes, uses_silu, joined) = tables[12:]
    real = memory.dtype
    n_branches, n_memory, n_hidden = len(trace), len(memory), update_rows.shape[0]
    first_width, memory_width = len(first_bias), len(decay)
    received = np.zeros(channel_rows.shape[1], real)
    copy(received, projected)
    own, drive = np.zeros(n_branches, real), np.zeros(n_branches, real)
    if joined:
        copy(received[first_width:], trace)
    else:
        copy(own, trace)
    held, kept = np.zeros(memory_width, real), np.zeros(memory_width, real)
    copy(held, memory)
    widest = max(first_width, memory_width)
    u, h, y = np.zeros(widest, real), np.zeros(widest, real), np.zeros(len(readout_bias), real)
    words = np.zeros((xs.shape[2] + 63) // 64, np.uint64)
    first_vectors, vectors = first_width // lanes, memory_width // lanes
    hinge = n_layers > 0 and not uses_silu
    dense = len(indptr) == 0
    if dense:
        picks, scales = np.empty(xs.shape[2] + 1, np.int32), np.empty(xs.shape[2] + 1, real)

    for t in range(ys.shape[0]):
        if dense:
            begin, end = 0, find(xs[t, b], words, picks, scales)
        else:
            begin, end = indptr[t * ys.shape[1] + b], indptr[t * ys.shape[1] + b + 1]
        few = end - begin <= n_branches
        add_rows(received, decay_branch, channel_rows, picks, scales, begin, end if few else begin)
        if not joined:
            for k in range(n_branches):
                own[k] *= decay_branch[0]
            if few:
                drive_branches(starts, branches, efficacies, own, picks, scales, begin, end)
        if not few:
            drive[:] = 0
            drive_branches(starts, branches, efficacies, drive, picks, scales, begin, end)
            affine(received, received, drive, branch_rows, n_branches, False)
            for k in range(n_branches):
                if joined:
                    received[first_width + k] += drive[k]
                else:
                    own[k] += drive[k]

        scale(kept, held, decay, vectors)
        add(u, received, first_bias, first_vectors)
        affine(u, u, kept, memory_rows, n_memory, hinge)
        for layer in range(n_layers):
            if uses_silu:
                silu(u, u, first_vectors)
            if layer < n_layers - 1:
                affine(h, hidden_bias[layer], u, hidden_rows[layer], n_hidden, hinge)
            else:
                affine(h, update_bias, u, update_rows, n_hidden, False)
            u, h = h, u
        bound(h, u, vectors)
        add_product(held, kept, gain, h, vectors)
        affine(y, readout_bias, held, readout_rows, n_memory, False)
        for k in range(ys.shape[2]):
            ys[t, b, k] = y[k]

    copy(projected, received[: len(projected)])
    copy(memory, held[:n_memory])
    copy(trace, received[first_width : first_width + n_branches] if joined else own)


@njit(cache=True, nogil=True)
def _scan(tables, trace, projected, memory, xs, picks, scales, indptr, ys, start, stop):
    for b in range(start, stop):
        _stream(tables, trace[b], projected[b], memory[b], xs, picks, scales, indptr, b, ys)


def scan(
    model: ELM, state: ELMState, xs: np.ndarray | Events, tick: int
) -> tuple[ELMState, np.ndarray]:
    """Advance over a chunk of shape ``(time, batch, channel)``, in the state's own buffers."""
    if not isinstance(xs, np.ndarray):
        return scan_events(model, state, xs, tick)
    xs = np.ascontiguousarray(xs)
    ys = np.empty((*xs.shape[:2], model.params.n_outputs), xs.dtype)
    none = np.empty(0, np.int32), np.empty(0, xs.dtype), np.empty(0, np.int64)
    tables = tables_of(model)

    def run(start: int, stop: int) -> None:
        _scan(tables, *state, xs, *none, ys, start, stop)

    spread(run, xs.shape[1], model.work(state, *xs.shape[:2]).macs)
    return state, ys


def scan_events(
    model: ELM, state: ELMState, events: Events, tick: int
) -> tuple[ELMState, np.ndarray]:
    """Advance over events, in the state's own buffers; equals `scan` bit for bit."""
    tables = tables_of(model)
    # Copies, since numba compiles anew for arrays that are read-only.
    picks, indptr = events.channels.copy(), events.indptr.copy()
    scales = events.values.astype(tables.decay.dtype)
    ys = np.empty((*events.shape, model.params.n_outputs), scales.dtype)
    none = np.empty((0, 0, 0), scales.dtype)

    def run(start: int, stop: int) -> None:
        _scan(tables, *state, none, picks, scales, indptr, ys, start, stop)

    spread(run, events.shape[1], model.work(state, *events.shape).macs)
    return state, ys
