"""Weights of the Wave-RNN in the form its kernels take.

Hidden states stand in padded rows: a halo of the ring's last units, the ring, a halo of its first,
so that every tap reads a contiguous stretch; what fills up the last vector is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from biomem.backends import to_numpy
from biomem.backends.simd import lanes_of, padded
from biomem.models.wave_rnn.model import WaveRNN

if TYPE_CHECKING:
    from biomem.typing import FloatArray, IntArray

__all__ = [
    "RELU",
    "TANH",
    "Plan",
    "Rings",
    "Taps",
    "pack_rows",
    "plan_of",
    "rings_of",
    "taps_of",
]

RELU, TANH, IDENTITY = 0, 1, 2
ACTIVATIONS = {"relu": RELU, "tanh": TANH, "identity": IDENTITY}


class Rings(NamedTuple):
    """Shape of one padded hidden state: ring o is ``[o * row + pad, o * row + pad + n)``."""

    c: int
    n: int
    half: int
    pad: int
    row: int
    size: int
    lanes: int
    activation: int


class Taps(NamedTuple):
    """Ring weights by bands of output channels, taps that are zero in a whole band left out.

    Band k holds ``height[k]`` channels from ``channel[k]`` on; the rows its sums run over are
    ``offset[first[k]:first[k + 1]]``, the taps of one row stand together from ``tap[k]`` on.
    """

    channel: IntArray
    height: IntArray
    first: IntArray
    tap: IntArray
    offset: IntArray
    value: FloatArray


class Plan(NamedTuple):
    """Weights of a model in the form the kernels take."""

    rings: Rings
    taps: Taps
    untied: FloatArray
    bias: FloatArray
    drive: FloatArray
    first_layer: FloatArray
    first_bias: FloatArray
    second_layer: FloatArray
    second_bias: FloatArray
    every: int


def rings_of(model: WaveRNN) -> Rings:
    """Return the layout of a model's hidden state; dense weights see one long ring, no halo."""
    p = model.params
    lanes = lanes_of(p.dtype)
    dense = p.tie_weights == "dense"
    c, n = (1, p.n_neurons) if dense else (p.n_channels, p.n_units)
    half = 0 if dense else p.kernel_size // 2
    pad = padded(half, p.dtype)
    row = padded(n, p.dtype) + 2 * pad
    return Rings(c, n, half, pad, row, c * row, lanes, ACTIVATIONS[p.activation])


def pack_rows(array: FloatArray, rings: Rings) -> FloatArray:
    """Return arrays ``(..., channel, unit)`` as padded rows ``(..., size)``, zeros around them."""
    lead = array.shape[:-2]
    out = np.zeros((*lead, rings.c, rings.row), array.dtype)
    out[..., rings.pad : rings.pad + rings.n] = array.reshape(*lead, rings.c, rings.n)
    return out.reshape(*lead, rings.size)


def taps_of(u: FloatArray, rings: Rings) -> Taps:
    """Return the bands of a kernel ``(channel, channel, tap)``.

    Four channels in a band keep the arithmetic busy; where few taps are not zero, as in a pure
    shift, bands of one channel leave out more.
    """
    c, _, f = u.shape
    rows = np.arange(c)[:, None] * rings.row + np.arange(f) - f // 2
    flat = u.reshape(c, c * f)
    bands: list[tuple[int, int]] = []
    o = 0
    while o < c:
        high = 4 if c - o >= 4 else 2 if c - o >= 2 else 1
        used = flat[o : o + high] != 0
        # A lone row runs at about half the speed of a band.
        alone = 2 * np.count_nonzero(used) < high * np.count_nonzero(used.any(axis=0))
        bands += [(o + i, 1) for i in range(high)] if alone else [(o, high)]
        o += high
    offsets, values, first, tap = [], [], [0], [0]
    for start, high in bands:
        kept = np.flatnonzero((flat[start : start + high] != 0).any(axis=0))
        offsets.append(rows.ravel()[kept])
        values.append(flat[start : start + high, kept].T.ravel())
        first.append(first[-1] + len(kept))
        tap.append(tap[-1] + len(kept) * high)
    channel, height = (np.array(column, np.int64) for column in zip(*bands, strict=True))
    return Taps(
        channel,
        height,
        np.array(first, np.int64),
        np.array(tap, np.int64),
        np.concatenate(offsets).astype(np.int64),
        np.ascontiguousarray(np.concatenate(values)),
    )


_PLANS: WeakKeyDictionary[WaveRNN, Plan] = WeakKeyDictionary()


def plan_of(model: WaveRNN) -> Plan:
    """Return the packed weights of a model, made once."""
    found = _PLANS.get(model)
    if found is None:
        found = _PLANS[model] = _pack(model)
    return found


def _pack(model: WaveRNN) -> Plan:
    p, rings = model.params, rings_of(model)
    w = {k: np.ascontiguousarray(to_numpy(a), p.dtype) for k, a in model.weights.items()}
    ring, untied = w["ring_weight"], np.zeros((0, 0, 0), p.dtype)
    if p.tie_weights == "dense":
        untied = np.zeros((rings.n, 1, rings.row), p.dtype)
        untied[:, 0, : rings.n] = ring.T
    elif p.tie_weights == "local":
        untied = np.zeros((rings.c, rings.c * p.kernel_size, rings.row - 2 * rings.pad), p.dtype)
        moved = np.moveaxis(ring, 3, 2)
        untied[..., : rings.n] = moved.reshape(rings.c, -1, rings.n)
    tied = ring if p.tie_weights == "conv" else np.zeros((rings.c, rings.c, 1), p.dtype)
    names = ("decoder", "readout") if p.decoder == "mlp" else ("readout", None)
    first = w[f"{names[0]}_weight"].reshape(-1, p.n_channels, p.n_units)
    empty = np.zeros((0, 0), p.dtype)
    return Plan(
        rings=rings,
        taps=taps_of(tied, rings),
        untied=untied,
        bias=pack_rows(np.ascontiguousarray(to_numpy(model.bias), p.dtype), rings),
        drive=pack_rows(np.ascontiguousarray(np.moveaxis(w["input_weight"], 2, 0)), rings).ravel(),
        first_layer=pack_rows(first, rings).ravel(),
        first_bias=w[f"{names[0]}_bias"],
        second_layer=w[f"{names[1]}_weight"] if names[1] else empty,
        second_bias=w[f"{names[1]}_bias"] if names[1] else empty[0:0].ravel(),
        every=p.readout_every,
    )
