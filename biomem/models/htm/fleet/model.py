"""Many anomaly detectors advanced together: `HTMDetector`, once per row of an arena.

A tick holds at most one record of every stream, and a flag which streams have one. Everything a
stream is stands in its row: its memory, its history, its own clock (`records`) and the seed its
draws are keyed by. So a row follows from its own records alone; which other rows there are, and
on which ticks they move, cannot change a bit of it.

For a stream the equations are those of `biomem.models.htm.detector`, with two additions:

- Its Temporal Memory draws with the row's `seed` instead of the template's.
- While ``range_records`` records of an unknown range have not been seen, they are held back
  (reported as raw 1 and likelihood 1/2, which is what a detector says in its probation). With the
  last of them the resolution follows as NAB's for their range, and all are learned in turn: what
  comes after equals a detector that had been given this range from the start. An adaptive encoder
  would instead have to unlearn its first codes.

Why the class is a batched model: the engine then steps, records, checks and saves a fleet like
anything else. `HTMFleet` adds what an operator needs around it: names for the rows, streams that
come and go, and calls that carry records of a few streams only.

Permanences of the Spatial Pooler are per stream where it learns; where it does not, all streams
read one set (axis ``pooler`` of length 1). Pools are shared always.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model, flatten, map_arrays
from biomem.engine.work import Work
from biomem.models.htm.detector import HTMDetector, HTMDetectorOutput, HTMDetectorState
from biomem.models.htm.detector.params import HTMDetectorParams, resolution_for
from biomem.models.htm.fleet.params import HTMFleetParams
from biomem.models.htm.likelihood import LikelihoodState
from biomem.models.htm.likelihood.model import log_likelihood
from biomem.models.htm.spatial_pooler import SpatialPooler
from biomem.models.htm.spatial_pooler.model import SpatialPoolerState, connections
from biomem.models.htm.temporal_memory.params import constants
from biomem.models.htm.temporal_memory.state import EVENTS
from biomem.models.htm.temporal_memory.state import init_state as empty_memory
from biomem.typing import Array

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = [
    "FEATURES",
    "HTMFleetModel",
    "HTMFleetState",
    "MemoryState",
    "PoolerState",
    "stream_seed",
]

FEATURES = ("value", "time", "reset", "present")
"""What a row gets per tick: a record as `HTMDetector` takes it, and whether it is there at all."""

HELD = (1.0, 0.5, log_likelihood(0.5), log_likelihood(0.5))
"""Output of a record held back: that of a detector in its probation that knows nothing yet."""


def stream_seed(seed: int, key: str | int) -> int:
    """Return the 64-bit seed of the stream `key` in a fleet whose template has `seed`.

    BLAKE2b of the key, salted with the seed: the same in every process, on every machine. The
    string ``"1"`` and the number 1 are different keys.
    """
    kind = b"int:" if isinstance(key, int) else b"str:"
    digest = hashlib.blake2b(
        kind + str(key).encode(), digest_size=8, salt=seed.to_bytes(8, "little")
    )
    return int.from_bytes(digest.digest(), "little")


class PoolerState(NamedTuple):
    """`SpatialPoolerState`, per stream or shared."""

    permanences: Annotated[Array, Field("pooler", "column", "synapse", dtype="float32")]
    overlap_duty: Annotated[Array, Field("pooler", "column", dtype="float32")]
    active_duty: Annotated[Array, Field("pooler", "column", dtype="float32")]
    min_overlap_duty: Annotated[Array, Field("pooler", "column", dtype="float32")]
    boost: Annotated[Array, Field("pooler", "column", dtype="float32")]
    inhibition_radius: Annotated[Array, Field("pooler", "single", dtype="int64", unit="column")]
    connected: Annotated[Array, Field("pooler", "input", "column", dtype="uint8", kind="derived")]


class MemoryState(NamedTuple):
    """Persistent fields of `TemporalMemoryState`, each row with room for every segment allowed."""

    seg_cell: Annotated[Array, Field("batch", "segment", dtype="int32")]
    seg_nsyn: Annotated[Array, Field("batch", "segment", dtype="int32")]
    seg_used: Annotated[Array, Field("batch", "segment", dtype="int64")]
    syn_pre: Annotated[Array, Field("batch", "segment", "slot", dtype="int32")]
    syn_perm: Annotated[Array, Field("batch", "segment", "slot", dtype="float32")]
    free: Annotated[Array, Field("batch", "segment", dtype="int32")]
    counters: Annotated[Array, Field("batch", "counter", dtype="int64")]
    active_cells: Annotated[Array, Field("batch", "active", dtype="int32", doc="padded with -1")]
    winner_cells: Annotated[Array, Field("batch", "active", dtype="int32", doc="padded with -1")]


class HTMFleetState(NamedTuple):
    """One row per stream."""

    pooler: PoolerState
    memory: MemoryState
    likelihood: LikelihoodState
    centre: Annotated[Array, Field("batch", doc="value at the centre of the encoder's table")]
    minimum: Annotated[Array, Field("batch", doc="smallest value seen, inf before the first")]
    maximum: Annotated[Array, Field("batch", doc="largest value seen, -inf before the first")]
    resolution: Annotated[Array, Field("batch", doc="of the value encoder, NaN while unknown")]
    held: Annotated[Array, Field("batch", "held", "record", doc="records held back")]
    records: Annotated[Array, Field("batch", dtype="int64", doc="records so far, held or not")]
    seed: Annotated[Array, Field("batch", dtype="uint64", doc="key of the stream's draws")]


class HTMFleetModel(Model):
    """A row of independent detectors under one set of parameters.

    Input is ``(value, time, reset, present)`` per tick and stream; where `present` is 0 nothing
    happens and the output is NaN. Row ``b`` draws with ``stream_seed(..., b)``: it is the stream
    with the key ``b`` of an `HTMFleet`.

    Not for streams of different shape: a template per kind, a fleet per template. Not where
    memory is short and streams are few: a row has room for every segment it may ever own.

    Parameters
    ----------
    params : HTMFleetParams

    Examples
    --------
    >>> from biomem import Simulator
    >>> sim = Simulator(HTMFleetModel(HTMFleetParams.light(0.0, 100.0)), batch=2, backend="numpy")
    >>> sim.step([[42.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).raw
    array([ 1., nan])
    """

    Params = HTMFleetParams
    State = HTMFleetState
    Output = HTMDetectorOutput
    Input = Field("feature", doc="value, time, reset, present")
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.fleet.cpu:scan"}

    params: HTMFleetParams

    def __init__(
        self,
        params: HTMFleetParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        if params is None and "detector" not in changes:
            params = HTMFleetParams.light()
        super().__init__(params, weights=weights, **changes)
        self.template = HTMDetector(self.params.detector, weights=self.weights)

    @property
    def shares_pooler(self) -> bool:
        """Whether all streams read one set of permanences."""
        return not self.params.detector.spatial_pooler.learn

    @property
    def most_columns(self) -> int:
        """Largest number of columns a tick can activate."""
        p = self.params.detector.spatial_pooler
        if not p.global_inhibition:
            return p.n_columns
        return p.n_active or int(p.density(p.n_columns) * p.n_columns)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Axes of the template, and the room of a row."""
        memory = self.params.detector.temporal_memory
        return {
            **self.template.sizes,
            "feature": len(FEATURES),
            "record": len(FEATURES) - 1,
            "held": self.params.range_records,
            "segment": constants(memory).max_segments,
            "active": self.most_columns * memory.cells_per_column,
        }

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Return the Spatial Pooler's pools, drawn from its own seed."""
        return dict(SpatialPooler(self.params.detector.spatial_pooler).weights)

    def init_state(self, batch: int, rng: Rng) -> HTMFleetState:
        """Return streams that have seen nothing, all with the same permanences drawn from `rng`."""
        first = self.template.init_state(1, rng)
        pooler = PoolerState(
            *(_rows(a, 1 if self.shares_pooler else batch) for a in first.spatial_pooler)
        )
        seeds = [stream_seed(self.params.detector.temporal_memory.seed, b) for b in range(batch)]
        known = self.params.detector.value.r if self.params.range_records == 0 else math.nan
        return HTMFleetState(
            pooler=pooler,
            memory=map_arrays(lambda a: _rows(a, batch), self._empty_memory()),
            likelihood=self.template.likelihood.init_state(batch),
            centre=np.repeat(first.centre, batch),
            minimum=np.repeat(first.minimum, batch),
            maximum=np.repeat(first.maximum, batch),
            resolution=np.full(batch, known),
            held=np.zeros((batch, self.params.range_records, len(FEATURES) - 1)),
            records=np.zeros(batch, np.int64),
            seed=np.array(seeds, np.uint64),
        )

    def _empty_memory(self) -> MemoryState:
        """Return one row: the memory of a detector, with the room it may grow to."""
        empty, size = empty_memory(self.params.detector.temporal_memory), self.sizes
        segments, slots, cells = size["segment"], size["slot"], np.full(size["active"], -1, "i4")
        return MemoryState(
            seg_cell=np.full(segments, -1, np.int32),
            seg_nsyn=np.zeros(segments, np.int32),
            seg_used=np.full(segments, -1, np.int64),
            syn_pre=np.full((segments, slots), -1, np.int32),
            syn_perm=np.zeros((segments, slots), np.float32),
            free=np.arange(segments - 1, -1, -1, dtype=np.int32),
            counters=empty.counters,
            active_cells=cells,
            winner_cells=cells,
        )

    def rebuild(self, state: HTMFleetState) -> HTMFleetState:
        """Recompute the connection matrices from the permanences."""
        p = self.params.detector.spatial_pooler
        n = len(state.pooler.permanences)
        connected = np.empty((n, p.n_inputs, p.n_columns), np.uint8)
        state = state._replace(pooler=state.pooler._replace(connected=connected))
        self.connect(state, n)
        return state

    def connect(self, state: HTMFleetState, n: int) -> None:
        """Write the connection matrices of the first `n` streams."""
        pools, p = self.weights["pools"], self.params.detector.spatial_pooler
        for row in range(1 if self.shares_pooler else n):
            state.pooler.connected[row] = connections(state.pooler.permanences[row], pools, p)

    def detector_params(self, seed: int, resolution: float) -> HTMDetectorParams:
        """Return the parameters of the single detector that a stream equals."""
        p = self.params.detector
        value = dataclasses.replace(p.value, radius=None, resolution=resolution)
        return p.replace(value=value, temporal_memory=p.temporal_memory.replace(seed=seed))

    def detector_state(self, state: HTMFleetState, b: int) -> HTMDetectorState:
        """Return the state of stream `b` as the single detector has it, arrays shared."""
        row = 0 if self.shares_pooler else b
        memory = {name: field[b] for name, field in state.memory._asdict().items()}
        for name in ("active_cells", "winner_cells"):
            memory[name] = memory[name][memory[name] >= 0]
        return HTMDetectorState(
            spatial_pooler=SpatialPoolerState(*(a[row] for a in state.pooler)),
            temporal_memory=empty_memory(self.params.detector.temporal_memory)._replace(**memory),
            likelihood=LikelihoodState(*(a[b : b + 1] for a in state.likelihood)),
            centre=state.centre[b : b + 1],
            minimum=state.minimum[b : b + 1],
            maximum=state.maximum[b : b + 1],
        )

    def step(
        self, state: HTMFleetState, x: Array, tick: int
    ) -> tuple[HTMFleetState, HTMDetectorOutput]:
        """Take the records of one tick; ``x`` has shape ``(batch, 4)``."""
        state = map_arrays(np.array, state)
        ys = HTMDetectorOutput(*(np.full(len(x), np.nan) for _ in HTMDetectorOutput._fields))
        for b in np.flatnonzero(x[:, 3]):
            for y, score in zip(ys, self._take(state, int(b), x[b, :3]), strict=True):
                y[b] = score
        return state, ys

    def _take(self, state: HTMFleetState, b: int, record: Array) -> tuple[float, ...]:
        """Take one record of stream `b`, in place."""
        n = int(state.records[b])
        state.records[b] += 1
        if not math.isnan(state.resolution[b]):
            return self._advance(state, b, record, n)
        state.held[b, n] = record
        if n + 1 < self.params.range_records:
            return HELD
        values = state.held[b, :, 0]
        state.resolution[b] = resolution_for(float(values.min()), float(values.max()))
        return [self._advance(state, b, r, i) for i, r in enumerate(state.held[b])][-1]

    def _advance(self, state: HTMFleetState, b: int, record: Array, n: int) -> tuple[float, ...]:
        """Advance stream `b` by one step of the single detector, in place."""
        params = self.detector_params(int(state.seed[b]), float(state.resolution[b]))
        detector = HTMDetector(params, weights=self.weights)
        new, y = detector.step(self.detector_state(state, b), record[None], n)
        target = dict(flatten(self.detector_state(state, b)))
        for name, array in flatten(new):
            if name in target and target[name].shape == array.shape:
                target[name][...] = array
        for name in ("active_cells", "winner_cells"):
            cells = getattr(new.temporal_memory, name)
            row = getattr(state.memory, name)[b]
            row[: len(cells)], row[len(cells) :] = cells, -1
        return tuple(float(score[0]) for score in y)

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return shifted noisy daily cycles; every fifth record is missing."""
        one = self.template.example_inputs(ticks, 1, rng)
        xs = np.zeros((ticks, batch, len(FEATURES)))
        for b in range(batch):
            xs[:, b, :3] = np.roll(one[:, 0], 3 * b, axis=0)
            xs[:, b, 3] = (np.arange(ticks) + b) % 5 > 0
        return xs

    def work(self, state: HTMFleetState, ticks: int, batch: int) -> Work:
        """Return the synaptic events of all Temporal Memories since tick 0."""
        return Work(synaptic_events=int(state.memory.counters[:, EVENTS].sum()))


def _rows(array: Array, n: int) -> Array:
    return np.repeat(array[None], n, axis=0)
