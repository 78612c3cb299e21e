"""State and output of the drift detector."""

from __future__ import annotations

import functools
import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from biomem.engine.model import Field, fields_of
from biomem.models.htm.classifier.model import ClassifierState
from biomem.models.htm.drift.monitor import DriftMonitorState
from biomem.models.htm.likelihood.model import LikelihoodState
from biomem.models.htm.spatial_pooler.model import SpatialPoolerState
from biomem.models.htm.temporal_memory.state import TemporalMemoryState
from biomem.typing import Array

__all__ = ["HTMDriftOutput", "UnitState", "empty_output", "state_of"]


class UnitState(NamedTuple):
    """One HTM with its predictor and its monitor. A channel is a field that it encodes."""

    spatial_pooler: SpatialPoolerState
    temporal_memory: TemporalMemoryState
    likelihood: LikelihoodState
    predictor: ClassifierState
    monitor: DriftMonitorState
    centre: Annotated[Array, Field("channel", doc="value at the centre of the encoder's table")]
    minimum: Annotated[Array, Field("channel", doc="smallest value seen, inf before the first")]
    maximum: Annotated[Array, Field("channel", doc="largest value seen, -inf before the first")]
    last: Annotated[Array, Field("channel", doc="value before, NaN before the first")]
    same: Annotated[Array, Field("channel", dtype="int64", doc="records in a row with that value")]
    recent: Annotated[Array, Field("window", doc="values of the rescaling, a ring")]
    clock: Annotated[Array, Field("single", dtype="int64", doc="records taken")]
    pending: Annotated[Array, Field("single", dtype="bool", doc="a new sequence is to begin")]
    judged: Annotated[
        Array, Field("single", dtype="int64", doc="records the likelihood has taken since it began")
    ]
    again: Annotated[Array, Field("single", dtype="bool", doc="the likelihood was begun anew")]
    faster: Annotated[Array, Field("single", dtype="int64", doc="records left to learn faster")]


class HTMDriftOutput(NamedTuple):
    """What one record says. An HTM without any of its fields has NaN scores on that record.

    The fields from `phase` to `after` are those of `DriftMonitorOutput`, one per HTM.
    """

    score: Annotated[Array, Field(doc="scores of the HTMs fused, NaN if none has a record")]
    raw: Annotated[Array, Field("unit", doc="share of active columns that were not predicted")]
    likelihood: Annotated[Array, Field("unit", doc="likelihood of an anomaly, 0.5 in probation")]
    log_likelihood: Annotated[Array, Field("unit", doc="the same, 0.5 for a chance of 1e-5")]
    unit_score: Annotated[Array, Field("unit", doc="log_likelihood, or 1 by the range rule")]
    ready: Annotated[Array, Field("unit", dtype="int8", doc="1 once the scores mean something")]
    flat: Annotated[Array, Field("field", dtype="int8", doc="1 while the value stands still")]
    signal: Annotated[Array, Field("unit", doc="what the monitor was given, NaN if nothing")]
    expected: Annotated[Array, Field("unit", "horizon", doc="mean of each forecast")]
    likeliest: Annotated[Array, Field("unit", "horizon", doc="value of its likeliest bucket")]
    spread: Annotated[Array, Field("unit", "horizon", doc="its standard deviation")]
    error: Annotated[Array, Field("unit", "horizon", doc="value less what was expected")]
    distribution: Annotated[Array, Field("unit", "horizon", "shown", doc="chance of each bucket")]
    phase: Annotated[Array, Field("unit", dtype="int8", doc="see Phase")]
    drift: Annotated[Array, Field("unit", dtype="int8", doc="1 on the record of the alarm")]
    direction: Annotated[Array, Field("unit", dtype="int8", doc="leading side: 1 up, -1 down")]
    statistic: Annotated[Array, Field("unit", doc="S of the leading side")]
    lower: Annotated[Array, Field("unit", doc="lower limit B of S")]
    upper: Annotated[Array, Field("unit", doc="upper limit A of S")]
    n: Annotated[Array, Field("unit", dtype="int64", doc="tested since the restart")]
    onset: Annotated[Array, Field("unit", dtype="int64", doc="first record of the drift, or -1")]
    before: Annotated[Array, Field("unit", doc="what is watched, over the baseline")]
    after: Annotated[Array, Field("unit", doc="what is watched, since the onset")]


@functools.cache
def state_of(units: int) -> type:
    """Return the NamedTuple of a detector's state: ``u0``, ``u1``, ... of `UnitState`."""
    return NamedTuple("HTMDriftState", [(f"u{i}", UnitState) for i in range(units)])  # type: ignore[misc]


def empty_output(lead: tuple[int, ...], sizes: Any) -> HTMDriftOutput:
    """Return outputs of records that say nothing: NaN, 0 and no onset."""
    arrays = {}
    for name, field in fields_of(HTMDriftOutput).items():
        shape = (*lead, *(sizes[axis] for axis in field.axes))
        fill = math.nan if field.dtype == "float64" and name != "distribution" else 0
        arrays[name] = np.full(shape, fill, field.dtype)
    return HTMDriftOutput(**arrays)
