"""A network in the form the kernels take: numbers in rows, synapses one after another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biomem.network.coefficients import NeuronCoefficients
from biomem.network.connect import Convolution
from biomem.network.gaps import GAP_BLOCK, gap_guide
from biomem.network.layout import TINY, Layout, ProjectionLayout, fixed
from biomem.network.neurons import LIF, Izhikevich
from biomem.network.weights import constant

if TYPE_CHECKING:
    from biomem.network.model import SpikingNetwork

__all__ = ["TINY", "Tables", "tables_of"]

KINDS = ("spikes", "currents", "poisson", "array", "lif", "adaptive", "izhikevich")
SPIKES, CURRENTS, POISSON, ARRAY, LEAKY, ADAPTIVE, IZHIKEVICH = range(7)

SYNAPSES = ("", "jump", "pulse", "current", "conductance")
JUMP, PULSE, CURRENT, CONDUCTANCE = range(1, 5)

RESETS = ("to_value", "subtract", "none", "next_tick")
TO_VALUE, SUBTRACT, NONE, NEXT_TICK = range(4)

FORMS = ("csr", "dense", "one_to_one", "convolution", "procedural", "bits", "counted bits")
CSR, DENSE, ONE_TO_ONE, CONVOLUTION, PROCEDURAL, BITS, COUNTED = range(7)
"""Counted bits are those of a projection that has one weight in all."""

# Columns of `Tables.populations`.
KIND, SYNAPSE, N, UNIT, OWN, PORT, OWN_CURRENT, OWN_ADAPTIVE, TRACED = range(9)
REFRACTORY, STRICT, RESET, SUBSTEPS, GIVEN, GIVEN_END = range(9, 15)

# Columns of `Tables.coefficients`: the fields of NeuronCoefficients, then the unit of arrivals.
(KEEP, GAIN, V_LEAK, V_TH, V_RESET, I_BIAS, DECAY_EXC, DECAY_INH, GAIN_EXC, GAIN_INH) = range(10)
(E_EXC, E_INH, BETA, B, DECAY_ADAPT, A, D, H, ARRIVAL) = range(10, 19)

# Columns of `Tables.projections`.
PRE, POST, FORM, GRADED, TO_PORT, DELAY, INDPTR, SYN_TARGET, SYN_WEIGHT, SYN_DELAY = range(10)
PLASTIC, STP, STP_SOURCE, STP_OWN, TRACE_PRE, TRACE_POST, REAL, INCOMING, KEY = range(10, 19)
(C_IN, HEIGHT, WIDTH, C_OUT, OUT_HEIGHT, OUT_WIDTH, K_HEIGHT, K_WIDTH, STRIDE, PADDING) = range(
    19, 29
)
DRAWS, BY_SOURCE, ROW_BYTES = 29, 30, 31

COLUMNS = 32

# Columns of `Tables.learning`.
KEEP_PRE, KEEP_POST, A_PLUS, A_MINUS, W_MIN, W_MAX = range(6)


class Tables(NamedTuple):
    """A network as arrays; columns are named by the constants of this module.

    Attributes
    ----------
    order : int64 array
        Populations in the order of a tick.
    outgoing, outgoing_ptr : int64 arrays
        Projections by source population.
    populations, projections : int64 arrays
    coefficients : array of the network's dtype, shape ``(populations, 19)``
    learning : float64 array, shape ``(projections, 6)``
    fixed_unit : float64 array, shape ``(projections,)``
        ``2^k`` of the target: what makes a weight an integer.
    indptr : int64 array
        Of every indexed projection, from 0.
    target : uint16 or uint32 array
    bits : uint8 array
        In place of targets: of every source a row of bits, the lowest first, one for every target.
    weight : accumulator array
        Of every projection: synapses or their sources, rows of a matrix, or a kernel.
    delay : int32 array
        Of synapses with own delays, ticks.
    real : float64 array
        Weights where short-term plasticity scales them.
    graded : array of the network's dtype
        Weights of currents from outside.
    stp_use, stp_rec, stp_facil : float64 arrays
    incoming_ptr, incoming_source, incoming_synapse : int64, uint32 and int64 arrays
        Synapses by target, of projections that learn.
    gaps : uint64 array, shape ``(populations, 256)``
    guides : uint16 array, shape ``(populations, 1024)``
        Of `gaps`, see `gap_guide`.
    given_tick : int64 array; given_unit : int32 array
        Spikes of spike arrays.
    """

    order: NDArray[np.int64]
    outgoing: NDArray[np.int64]
    outgoing_ptr: NDArray[np.int64]
    populations: NDArray[np.int64]
    projections: NDArray[np.int64]
    coefficients: NDArray[Any]
    learning: NDArray[np.float64]
    fixed_unit: NDArray[np.float64]
    indptr: NDArray[np.int64]
    target: NDArray[Any]
    bits: NDArray[np.uint8]
    weight: NDArray[Any]
    delay: NDArray[np.int32]
    real: NDArray[np.float64]
    graded: NDArray[Any]
    stp_use: NDArray[np.float64]
    stp_rec: NDArray[np.float64]
    stp_facil: NDArray[np.float64]
    incoming_ptr: NDArray[np.int64]
    incoming_source: NDArray[np.uint32]
    incoming_synapse: NDArray[np.int64]
    gaps: NDArray[np.uint64]
    guides: NDArray[np.uint16]
    given_tick: NDArray[np.int64]
    given_unit: NDArray[np.int32]


class _Pile:
    """Arrays put one after another; each learns where it begins."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.parts, self.length = np.dtype(dtype), [], 0

    def add(self, values: Any) -> int:
        first = self.length
        self.parts.append(np.ascontiguousarray(values, self.dtype).reshape(-1))
        self.length += self.parts[-1].size
        return first

    def array(self) -> NDArray[Any]:
        return np.concatenate([*self.parts, np.zeros(0, self.dtype)])


def tables_of(net: SpikingNetwork, *, bits: bool = False) -> Tables:
    """Return the tables of a network, made on first use and kept with it.

    With `bits`, projections whose layout says so are held as bits, else as an index.
    """
    name = "_tables_with_bits" if bits else "_tables"
    kept = vars(net).get(name)
    if kept is None:
        kept = _tables(net, bits)
        vars(net)[name] = kept
    return kept


def _tables(net: SpikingNetwork, bits: bool) -> Tables:
    layout = net.layout
    width = max((p.n for p in layout.populations), default=1)
    piles = {
        "indptr": _Pile(np.int64),
        "target": _Pile(np.uint16 if width <= 2**16 else np.uint32),
        "bits": _Pile(np.uint8),
        "weight": _Pile(layout.accumulator),
        "delay": _Pile(np.int32),
        "real": _Pile(np.float64),
        "graded": _Pile(net.params.dtype),
        "incoming_ptr": _Pile(np.int64),
        "incoming_source": _Pile(np.uint32),
        "incoming_synapse": _Pile(np.int64),
        "given_tick": _Pile(np.int64),
        "given_unit": _Pile(np.int32),
    }
    populations = [_population_row(net, p, piles) for p in layout.populations]
    projections = [_projection_row(net, q, piles, bits) for q in layout.projections]
    piles["bits"].add(np.zeros(64, np.uint8))  # rows are read a vector at a time
    gaps = np.stack([np.zeros(GAP_BLOCK, np.uint64) if t is None else t for t in net.gap_tables])
    outgoing = [q for numbers in layout.outgoing for q in numbers]
    return Tables(
        order=np.array(layout.order, np.int64),
        outgoing=np.array(outgoing, np.int64),
        outgoing_ptr=np.cumsum([0, *map(len, layout.outgoing)], dtype=np.int64),
        populations=np.array(populations, np.int64),
        projections=np.array(projections, np.int64).reshape(-1, COLUMNS),
        coefficients=np.array(
            [[*p.coefficients, math.ldexp(1.0, -p.exponent)] for p in layout.populations]
        ).astype(net.params.dtype),
        learning=np.array([_learning(net, q) for q in layout.projections]).reshape(-1, 6),
        fixed_unit=np.array(
            [math.ldexp(1.0, layout.populations[q.post].exponent) for q in layout.projections]
        ),
        **_short_term(layout),
        gaps=gaps,
        guides=np.stack([gap_guide(table) for table in gaps]),
        **{name: pile.array() for name, pile in piles.items()},
    )


def _population_row(net: SpikingNetwork, p: Any, piles: dict[str, _Pile]) -> list[int]:
    neuron = p.neuron
    lif = isinstance(neuron, LIF)
    given = end = 0
    if p.kind == "array":
        tick, unit = net.given_spikes(p.population.name)
        given = piles["given_tick"].add(tick)
        end = given + len(tick)
        piles["given_unit"].add(unit)
    return [
        KINDS.index(p.kind),
        SYNAPSES.index(p.synapse),
        p.n,
        p.unit,
        p.own,
        p.port,
        p.current,
        p.adaptive,
        p.traced,
        p.refractory,
        int(lif and neuron.strict),
        RESETS.index(neuron.reset) if lif else TO_VALUE,
        neuron.substeps if isinstance(neuron, Izhikevich) else 0,
        given,
        end,
    ]


def _projection_row(
    net: SpikingNetwork, q: ProjectionLayout, piles: dict[str, _Pile], bits: bool
) -> list[int]:
    arrays, name, layout = net.weights, q.projection.name, net.layout
    n_pre, post = layout.populations[q.pre].n, layout.populations[q.post]
    row: dict[int, int] = dict.fromkeys(range(COLUMNS), -1)
    row |= {
        PRE: q.pre,
        POST: q.post,
        FORM: CSR if q.form == "bits" and not bits else FORMS.index(q.form),
        GRADED: int(q.graded),
        TO_PORT: q.port,
        DELAY: q.delay,
        PLASTIC: q.plastic,
        STP: q.stp,
        STP_SOURCE: q.stp_source,
        STP_OWN: int(q.projection.stp is not None and q.projection.stp.spread > 0),
        TRACE_PRE: q.trace_pre,
        TRACE_POST: q.trace_post,
        BY_SOURCE: int(q.by_source),
        # Numba reads the table as signed; the bits are what counts.
        KEY: int(np.uint64(q.key).astype(np.int64)),
    }
    weight = np.asarray(arrays.get(f"{name}/weight", [float("nan")]))
    if q.form == "procedural":
        weight = np.array([float(q.projection.weight)])  # type: ignore[arg-type]
        row[DRAWS] = q.rule.k
    indexed = f"{name}/target" in arrays
    if indexed or q.plastic >= 0:
        indptr, target = layout.index(q)
        row[INDPTR] = piles["indptr"].add(indptr)
        if row[FORM] == BITS:
            if constant(weight) is not None:
                row[FORM] = COUNTED
            packed = _packed(indptr, target, post.n)
            row[SYN_TARGET], row[ROW_BYTES] = piles["bits"].add(packed), packed.shape[1]
        elif row[FORM] == CSR or q.plastic >= 0:
            row[SYN_TARGET] = piles["target"].add(target)
        if q.plastic >= 0:
            row[INCOMING] = _transpose(indptr, target, post.n, piles)
        if q.form == "dense" and indexed:
            matrix = np.zeros((n_pre, post.n))
            matrix[np.repeat(np.arange(n_pre), np.diff(indptr)), target] = weight
            weight = matrix
        if q.by_source and indexed:
            # A source without synapses has none to take the weight of; any will do.
            same = constant(weight)
            weight = np.append(weight, 0.0) if same is None else np.full(1, same)
            weight = weight[np.minimum(indptr[:-1], len(weight) - 1)]
    elif q.by_source:
        weight = weight[:, 0]
    if q.delay < 0:
        row[SYN_DELAY] = piles["delay"].add(layout.delays(q.projection))
    if q.graded:
        row[SYN_WEIGHT] = piles["graded"].add(weight)
    else:
        row[SYN_WEIGHT] = piles["weight"].add(fixed(weight, post.exponent, layout.accumulator))
    if q.projection.stp is not None:
        row[REAL] = piles["real"].add(weight)
    if q.form == "convolution":
        row |= _convolution(q.rule)
    return [row[column] for column in range(COLUMNS)]


def _packed(indptr: NDArray[np.int64], target: NDArray[Any], n: int) -> NDArray[np.uint8]:
    """Return a row of bits per source."""
    from biomem.network.connect_cpu import set_bits  # only a compiled kernel takes bits

    rows = np.zeros((len(indptr) - 1, -(-n // 8)), np.uint8)
    set_bits(indptr, target, rows)
    return rows


def _convolution(rule: Convolution) -> dict[int, int]:
    values = (*rule.in_shape, *rule.out_shape, *rule.kernel, rule.stride, rule.padding)
    return dict(zip(range(C_IN, PADDING + 1), values, strict=True))


def _transpose(
    indptr: NDArray[np.int64], target: NDArray[np.int32], n_post: int, piles: dict[str, _Pile]
) -> int:
    """Add the synapses by target; return where the pointers begin. Entries share one offset."""
    source = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    order = np.argsort(target, kind="stable")
    first = piles["incoming_source"].add(source[order])
    piles["incoming_synapse"].add(order)
    counts = np.bincount(target, minlength=n_post)
    return piles["incoming_ptr"].add(first + np.concatenate([[0], np.cumsum(counts)]))


def _learning(net: SpikingNetwork, q: ProjectionLayout) -> list[float]:
    stdp, dt = q.projection.stdp, net.params.dt
    if stdp is None:
        return [0.0] * 6
    return [
        math.exp(-dt / stdp.tau_plus),
        math.exp(-dt / stdp.tau_minus),
        stdp.a_plus,
        stdp.a_minus,
        stdp.w_min,
        stdp.w_max,
    ]


def _short_term(layout: Layout) -> dict[str, NDArray[np.float64]]:
    found = [layout.short_term(q) for q in layout.projections if q.stp >= 0]
    names = ("stp_use", "stp_rec", "stp_facil")
    return {
        name: np.concatenate([*(parts[i] for parts in found), np.zeros(0)])
        for i, name in enumerate(names)
    }


assert len(NeuronCoefficients._fields) == ARRIVAL
