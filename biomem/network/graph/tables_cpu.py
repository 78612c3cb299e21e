"""A graph's arrays as its compiled kernels read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from biomem.backends.simd import lanes_of
from biomem.backends.simd_llvm import VECTOR_BYTES
from biomem.backends.simd_ordered import WIDE
from biomem.network.graph.nodes import IF, Affine, Conv2d, I, Neuron

if TYPE_CHECKING:
    from biomem.network.graph.model import Graph

__all__ = ["Cells", "Matrix", "Tables", "tables_of", "zeros"]

# Settings of a node's neurons: number; first places on the axes of membranes and currents, the
# latter -1 where there are none; how a value moves; the choices of `Discretisation` as numbers.
N, V_AT, I_AT, FORM, FIRES, INCLUSIVE, RESET, RESET_TICK, MULTIPLE, LOWER = range(10)
EULER, DECAY, SUM = range(3)
TO_VALUE, SUBTRACT, NO_RESET = range(3)
SAME, SAME_ONCE, NEXT, HELD = range(4)

# Rows of numbers: of the membrane, of firing, and from CURRENT on KEEP to REST of the current.
KEEP, SHARE, GAIN, REST, LEVEL, BACK, CURRENT = range(7)


class Matrix(NamedTuple):
    """Weights in panels of `WIDE` vectors of outputs, the last ones of one vector.

    Attributes
    ----------
    panels : flat array
        Panel after panel, in each a row per input; outputs padded to whole vectors with zeros.
    bias : array, shape (padded outputs,)
    """

    panels: np.ndarray
    bias: np.ndarray


class Cells(NamedTuple):
    """A node's neurons: what is the same for all, and the numbers of each in rows."""

    settings: np.ndarray
    numbers: np.ndarray


class Frame(NamedTuple):
    """How a convolution moves over images.

    Attributes
    ----------
    image, padded : tuple of int
        Shapes of an image, with the zeros around it and without: channels, rows, columns.
    windows : tuple of int
        Rows and columns of windows, and padded outputs of each.
    places : int32 array
        Where the inputs of the first window stand in a padded image: by channel of a group, then
        row and column.
    """

    image: tuple[int, int, int]
    padded: tuple[int, int, int]
    windows: tuple[int, int, int]
    places: np.ndarray


class Tables(NamedTuple):
    """Everything the kernels need to know about a graph, by the number of the node.

    Attributes
    ----------
    matrices : dict of int to tuple of Matrix
        One for every matrix of a stack, or for every group of a convolution.
    cells : dict of int to Cells
    frames : dict of int to Frame
    strides : list of int
        Length of every node's output in whole vectors.
    widest : int
        Largest number of inputs of a matrix.
    """

    matrices: dict[int, tuple[Matrix, ...]]
    cells: dict[int, Cells]
    frames: dict[int, Frame]
    strides: list[int]
    widest: int


def zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return zeros from the start of a cache line on: a vector astride two costs two loads."""
    size = math.prod(shape)
    room = np.zeros(size + VECTOR_BYTES // dtype.itemsize, dtype)
    first = -room.ctypes.data % VECTOR_BYTES // dtype.itemsize
    return room[first : first + size].reshape(shape)


_TABLES: WeakKeyDictionary[Graph, Tables] = WeakKeyDictionary()


def tables_of(model: Graph) -> Tables:
    """Return the tables of a graph whose weights are NumPy arrays, made once."""
    found = _TABLES.get(model)
    if found is None:
        found = _TABLES[model] = _made(model)
    return found


def _made(model: Graph) -> Tables:
    lanes, widest = lanes_of(model.params.dtype), 1
    matrices: dict[int, tuple[Matrix, ...]] = {}
    cells: dict[int, Cells] = {}
    frames: dict[int, Frame] = {}
    for i, node in enumerate(model.params.nodes):
        own = {name: np.asarray(model.weights[f"{node.name}/{name}"]) for name in node.arrays()}
        if isinstance(node, Affine | Conv2d):
            if isinstance(node, Affine):
                count, outs = math.prod(node.lead), node.n_out
            else:
                count, outs = node.groups, node.out_channels // node.groups
            weight = own["weight"].reshape(count, outs, -1)
            bias = own.get("bias", np.zeros(count * outs, weight.dtype)).reshape(count, outs)
            matrices[i] = tuple(_matrix(*pair, lanes) for pair in zip(weight, bias, strict=True))
            widest = max(widest, weight.shape[2])
            if isinstance(node, Conv2d):
                source = model.layout.sources[i][0].node
                frames[i] = _frame(node, model.layout.shapes[source], model.layout.shapes[i], lanes)
        elif isinstance(node, Neuron):
            cells[i] = _cells(model, i, node, own)
    strides = [-(-math.prod(shape) // lanes) * lanes for shape in model.layout.shapes]
    return Tables(matrices, cells, frames, strides, widest)


def _matrix(weight: np.ndarray, bias: np.ndarray, lanes: int) -> Matrix:
    rows = np.pad(weight.T, ((0, 0), (0, -len(bias) % lanes)))
    wide, stride = WIDE * lanes, rows.shape[1]
    ends = [*range(wide, stride + 1, wide)]
    ends += range(stride - stride % wide + lanes, stride + 1, lanes)
    panels = np.split(rows, ends[:-1], axis=1)
    flat = zeros((rows.size,), rows.dtype)
    np.concatenate([panel.reshape(-1) for panel in panels], out=flat)
    return Matrix(flat, np.pad(bias, (0, -len(bias) % lanes)))


def _frame(node: Conv2d, image: tuple, out: tuple, lanes: int) -> Frame:
    channels, *edges = image
    w, inner, outs = node.windows, channels // node.groups, node.out_channels // node.groups
    rows, columns = (n + b + a for n, b, a in zip(edges, w.before, w.after, strict=True))
    c, i, j = np.ogrid[:inner, : w.size[0], : w.size[1]]
    places = (c * rows + i * w.dilation[0]) * columns + j * w.dilation[1]
    return Frame(
        image,
        (channels, rows, columns),
        (out[1], out[2], -(-outs // lanes) * lanes),
        places.reshape(-1).astype(np.int32),
    )


def _cells(model: Graph, i: int, node: Neuron, own: dict[str, np.ndarray]) -> Cells:
    d = node.discretisation or model.params.discretisation
    n, dtype = math.prod(model.layout.shapes[i]), np.dtype(model.params.dtype)
    zero, one = np.zeros(n, dtype), np.ones(n, dtype)
    unit, rates = d.rule == "unit_gain", model.rates[i]

    def leak(tau: str, gain: np.ndarray) -> list[np.ndarray]:
        a, e = rates[tau]["a"], rates[tau]["e"]
        keep = {"euler": a, "unit_gain": 1 - a}.get(d.rule, e)
        share = {"exp": 1 - e, "exp_gain_a": a}.get(d.rule, one)
        return [keep, share, one if unit else gain]

    plain = isinstance(node, IF | I)
    if plain:
        membrane = [one, one, one if unit else model.params.dt * own["r"]]
    else:
        membrane = leak("tau_mem" if node.has_current else "tau", own["r"])
    rows = [*membrane, own.get("v_leak", zero)]
    rows += [own.get("v_threshold", zero), own.get("v_reset", zero)]
    rows += [*leak("tau_syn", own["w_in"]), zero] if node.has_current else []
    settings = {
        N: n,
        V_AT: model.layout.membranes[i].start,
        I_AT: model.layout.currents[i].start if node.has_current else -1,
        FORM: SUM if plain else EULER if d.rule == "euler" else DECAY,
        FIRES: node.spiking,
        INCLUSIVE: d.comparison == "inclusive",
        RESET: ("to_value", "subtract", "none").index(d.reset),
        RESET_TICK: ("same", "same_once", "next", "held").index(d.reset_tick),
        MULTIPLE: d.spikes == "multiple",
        LOWER: d.lower == "minus_threshold",
    }
    numbers = np.stack([np.broadcast_to(np.ravel(row), (n,)) for row in rows]).astype(dtype)
    return Cells(np.array([settings[k] for k in range(len(settings))], np.int64), numbers)
