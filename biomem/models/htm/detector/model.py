"""HTM anomaly detector: from a telemetry record to the likelihood that it is anomalous.

For the record ``(v, s)``, value and wall-clock time::

    x      = encode(v) ++ encode(s)              encoders
    A      = spatial_pooler(x)                   active columns
    raw    = |A not predicted| / |A|             temporal memory, which then learns A
    L      = likelihood(raw, v)                  how unusual the mean of recent raw scores is
    score  = 1  if the range rule is on and v lies far outside everything seen before
             log-scaled L  otherwise

Each step's equations stand in its own room. Source: Ahmad, Lavin, Purdy, Agha, "Unsupervised
real-time anomaly detection for streaming data", Neurocomputing 262 (2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model
from biomem.engine.work import Work
from biomem.models.htm.detector.params import HTMDetectorParams
from biomem.models.htm.encoders import encode_record_reference
from biomem.models.htm.likelihood import model as likelihood
from biomem.models.htm.likelihood import range_rule
from biomem.models.htm.likelihood.model import AnomalyLikelihood, LikelihoodState
from biomem.models.htm.spatial_pooler import model as spatial_pooler
from biomem.models.htm.spatial_pooler.model import SpatialPooler, SpatialPoolerState
from biomem.models.htm.temporal_memory import model as temporal_memory
from biomem.models.htm.temporal_memory.model import TemporalMemory
from biomem.models.htm.temporal_memory.state import TemporalMemoryState, reset
from biomem.typing import Array

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["FEATURES", "HTMDetector", "HTMDetectorOutput", "HTMDetectorState"]

FEATURES = ("value", "time", "reset")
"""What one record is: the value, its wall-clock time in s, and whether a new sequence begins."""


class HTMDetectorState(NamedTuple):
    """States of the parts, and the range of the values seen."""

    spatial_pooler: SpatialPoolerState
    temporal_memory: TemporalMemoryState
    likelihood: LikelihoodState
    centre: Annotated[Array, Field("single", doc="value at the centre of the encoder's table")]
    minimum: Annotated[Array, Field("single", doc="smallest value seen, inf before the first")]
    maximum: Annotated[Array, Field("single", doc="largest value seen, -inf before the first")]


class HTMDetectorOutput(NamedTuple):
    """Scores of one record, all in [0, 1]; high means anomalous."""

    raw: Annotated[Array, Field(doc="share of active columns that were not predicted")]
    likelihood: Annotated[Array, Field(doc="likelihood of an anomaly, 0.5 during probation")]
    log_likelihood: Annotated[Array, Field(doc="the same, 0.5 for a chance of 1e-5")]
    score: Annotated[Array, Field(doc="log_likelihood, or 1 by the range rule")]


class HTMDetector(Model):
    """Detects anomalies in one stream of numbers, learning all the time.

    Input is ``(value, time, reset)`` per record: the value; its wall-clock time in seconds (local
    time written as if it were UTC; ignored without a time encoder); and 1 where the record does
    not continue the one before it, such as after a gap, else 0. Threshold ``score``, at 0.5 to
    begin with.

    Do not use it for a level that changes and stays (it learns the new level: use a drift test),
    for a sensor that may freeze (a constant is perfectly predictable: watch for that separately),
    or for streams of fewer than about a thousand records.

    Parameters
    ----------
    params : HTMDetectorParams
        From `HTMDetectorParams.for_range` unless parts are to be changed.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> model = HTMDetector(HTMDetectorParams.for_range(0.0, 100.0, probation=50))
    >>> sim = Simulator(model, backend="numpy")
    >>> y = sim.step([42.0, 0.0, 0.0])
    >>> y.raw, y.likelihood
    (array([1.]), array([0.5]))
    """

    Params = HTMDetectorParams
    State = HTMDetectorState
    Output = HTMDetectorOutput
    Input = Field("feature", doc="value, time, reset")
    batched = False
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.detector.cpu:scan"}

    params: HTMDetectorParams

    def __init__(
        self,
        params: HTMDetectorParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights=weights, **changes)
        p = self.params
        self.spatial_pooler = SpatialPooler(p.spatial_pooler, weights=self.weights)
        self.temporal_memory = TemporalMemory(p.temporal_memory)
        self.likelihood = AnomalyLikelihood(p.likelihood)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Axes of the parts, and the features of a record."""
        return {
            **self.likelihood.sizes,
            **self.temporal_memory.sizes,
            **self.spatial_pooler.sizes,
            "feature": len(FEATURES),
            "single": 1,
        }

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Return the Spatial Pooler's pools, drawn from its own seed."""
        return dict(SpatialPooler(self.params.spatial_pooler).weights)

    def init_state(self, batch: int, rng: Rng) -> HTMDetectorState:
        """Return parts that have seen nothing; the Spatial Pooler's permanences are drawn."""
        offset = self.params.value.offset
        return HTMDetectorState(
            spatial_pooler=self.spatial_pooler.init_state(batch, rng),
            temporal_memory=self.temporal_memory.init_state(batch, rng),
            likelihood=self.likelihood.init_state(batch, rng),
            centre=np.full(1, math.nan if offset is None else offset),
            minimum=np.full(1, math.inf),
            maximum=np.full(1, -math.inf),
        )

    def rebuild(self, state: HTMDetectorState) -> HTMDetectorState:
        """Recompute the accelerators of the parts."""
        return state._replace(
            spatial_pooler=self.spatial_pooler.rebuild(state.spatial_pooler),
            temporal_memory=self.temporal_memory.rebuild(state.temporal_memory),
        )

    def step(
        self, state: HTMDetectorState, x: Array, tick: int
    ) -> tuple[HTMDetectorState, HTMDetectorOutput]:
        """Take one record; ``x`` has shape ``(1, 3)``."""
        p = self.params
        value, seconds, begins = map(float, x[0])
        centre = state.centre if math.isfinite(state.centre[0]) else np.full(1, value)
        pattern = encode_record_reference(value, seconds, float(centre[0]), p.value, p.time)
        pooler, columns = spatial_pooler.advance(
            p.spatial_pooler, self.weights, state.spatial_pooler, pattern.indices, tick
        )
        memory = reset(state.temporal_memory) if begins else state.temporal_memory
        memory, raw = temporal_memory.advance(p.temporal_memory, memory, columns, tick)
        history = LikelihoodState(*(array[0] for array in state.likelihood))
        history, y = likelihood.advance(p.likelihood, history, raw, value, tick)
        low, high = float(state.minimum[0]), float(state.maximum[0])
        outside = p.range_rule and range_rule(value, low, high, p.range_fraction)
        new = HTMDetectorState(
            spatial_pooler=pooler,
            temporal_memory=memory,
            likelihood=LikelihoodState(*(np.asarray(array)[None] for array in history)),
            centre=centre,
            minimum=np.full(1, min(low, value)),
            maximum=np.full(1, max(high, value)),
        )
        scores = (raw, y.likelihood, y.log_likelihood, 1.0 if outside else y.log_likelihood)
        return new, HTMDetectorOutput(*(np.full(1, s) for s in scores))

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return a noisy daily cycle at half-hour steps, with one gap."""
        t = np.arange(ticks)
        hours = 0.5 * t
        value = 50 + 40 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, t)
        return np.stack([value, hours * 3600, t == ticks // 3], axis=-1)[:, None]

    def work(self, state: HTMDetectorState, ticks: int, batch: int) -> Work:
        """Return the synaptic events of the Temporal Memory since tick 0."""
        return self.temporal_memory.work(state.temporal_memory, ticks, batch)
