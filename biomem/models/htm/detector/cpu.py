"""The detector's parts in one compiled loop: no Python between a record and its score."""

from __future__ import annotations

import math
import weakref
from typing import Any, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.detector.model import (
    HTMDetector,
    HTMDetectorOutput,
    HTMDetectorState,
)
from biomem.models.htm.encoders.cpu import encode_record
from biomem.models.htm.encoders.record import EncoderConstants
from biomem.models.htm.encoders.record import constants as encoder_constants
from biomem.models.htm.likelihood import cpu as likelihood
from biomem.models.htm.spatial_pooler import cpu as spatial_pooler
from biomem.models.htm.temporal_memory import cpu as temporal_memory

__all__ = ["scan"]


class Constants(NamedTuple):
    """Constants of every part."""

    encoder: EncoderConstants
    spatial_pooler: spatial_pooler.Constants
    temporal_memory: temporal_memory.Constants
    likelihood: likelihood.Constants
    range_rule: bool
    range_fraction: float


_encode = encode_record
_pool = spatial_pooler.tick
_remember = temporal_memory.tick
_begin = temporal_memory.reset
_judge = likelihood.tick
_outside = likelihood.range_rule


@njit(cache=True)
def _scan(state, constants, scratch, bits, xs, first, ys):
    memory = state.temporal_memory
    centre, minimum, maximum = state.centre, state.minimum, state.maximum
    for t in range(xs.shape[0]):
        value, seconds = xs[t, 0, 0], xs[t, 0, 1]
        tick = first + t
        if not math.isfinite(centre[0]):
            centre[0] = value
        n = _encode(value, seconds, centre[0], constants.encoder, bits)
        columns = _pool(state.spatial_pooler, constants.spatial_pooler, scratch, bits[:n], tick)
        if xs[t, 0, 2] != 0:
            memory = _begin(memory)
        memory, raw = _remember(memory, constants.temporal_memory, columns, tick)
        plain, log = _judge(state.likelihood, 0, constants.likelihood, raw, value, tick)
        score = log
        if constants.range_rule and _outside(
            value, minimum[0], maximum[0], constants.range_fraction
        ):
            score = 1.0
        minimum[0] = min(minimum[0], value)
        maximum[0] = max(maximum[0], value)
        ys.raw[t, 0] = raw
        ys.likelihood[t, 0] = plain
        ys.log_likelihood[t, 0] = log
        ys.score[t, 0] = score
    return memory


_constants: weakref.WeakKeyDictionary[HTMDetector, Constants] = weakref.WeakKeyDictionary()


def _constants_of(model: HTMDetector) -> Constants:
    constants = _constants.get(model)
    if constants is None:
        p = model.params
        constants = _constants[model] = Constants(
            encoder=encoder_constants(p.value, p.time),
            spatial_pooler=spatial_pooler.make_constants(p.spatial_pooler, model.weights["pools"]),
            temporal_memory=temporal_memory.constants(p.temporal_memory),
            likelihood=likelihood.constants_of(p.likelihood),
            range_rule=p.range_rule,
            range_fraction=p.range_fraction,
        )
    return constants


def scan(
    model: HTMDetector, state: HTMDetectorState, xs: np.ndarray, tick: int
) -> tuple[HTMDetectorState, HTMDetectorOutput]:
    """Advance over a chunk ``(time, 1, 3)``; consumes `state`."""
    constants = _constants_of(model)
    ys: Any = HTMDetectorOutput(*(np.empty(xs.shape[:2]) for _ in HTMDetectorOutput._fields))
    memory = _scan(
        state,
        constants,
        spatial_pooler.make_scratch(constants.spatial_pooler),
        np.empty(constants.encoder.most_bits, np.int32),
        xs,
        tick,
        ys,
    )
    return state._replace(temporal_memory=memory), ys
