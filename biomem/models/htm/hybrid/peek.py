"""What a detector would say of a record, without taking it."""

from __future__ import annotations

from typing import Any

import numpy as np

from biomem.engine.model import map_arrays
from biomem.models.htm.hybrid import cpu
from biomem.models.htm.hybrid.model import HTMDriftDetector
from biomem.models.htm.hybrid.state import HTMDriftOutput

__all__ = ["peek"]


def peek(model: HTMDriftDetector, state: Any, xs: np.ndarray, tick: int) -> HTMDriftOutput:
    """Return the scores of one record as the next one, leaving `state` as it is.

    Permanences, synapses and classifier weights, all but a few kilobytes of a state, are read in
    place and not copied. There are no forecasts, and the monitor is not asked.

    Parameters
    ----------
    model : HTMDriftDetector
    state : HTMDriftState
        As the numba kernel left it.
    xs : array, shape ``(1, 1, feature)``
    tick : int
        Of that record.
    """
    idle = model.monitor.init_state(1)
    shadows, constants = [], []
    for unit, c in zip(state, cpu.constants_of(model), strict=True):
        small = {
            name: np.array(getattr(unit, name))
            for name in unit._fields
            if isinstance(getattr(unit, name), np.ndarray)
        }
        memory = unit.temporal_memory
        shadows.append(
            unit._replace(
                temporal_memory=memory._replace(counters=memory.counters.copy()),
                likelihood=map_arrays(np.array, unit.likelihood),
                monitor=map_arrays(np.array, idle),
                **small,
            )
        )
        constants.append(
            c._replace(
                spatial_pooler=c.spatial_pooler._replace(learn=False),
                temporal_memory=c.temporal_memory._replace(learn=False),
                predicts=False,
                signal=cpu.NONE,
            )
        )
    return cpu.advance(model, tuple(constants), type(state)(*shadows), xs, tick)[1]
