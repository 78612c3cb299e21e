"""What a drift does to the HTM that it was found in.

A drift says that the stream is no longer what the HTM has learned. What should follow depends on
why, so it is for the user to choose, none or several of:

``"reset"``
    A new sequence begins with the next record: what came before the drift no longer predicts.
``"rebaseline"``
    The anomaly likelihood forgets its history of raw scores and begins as at the start. Until it
    has one again it says 0.5, and a monitor that watches it is given nothing.
``"faster"``
    For `faster_records` records permanences of both layers move `faster_gain` times as far.
``"forget"``
    The Temporal Memory loses its segments and the predictor its weights; the Spatial Pooler's
    code of values stays.

All take effect with the record after the drift, in the HTM of that field alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from biomem.models.htm.classifier import model as classifier
from biomem.models.htm.hybrid.state import UnitState
from biomem.models.htm.temporal_memory.state import init_state as empty_memory

if TYPE_CHECKING:
    from biomem.models.htm.hybrid.model import HTMDriftDetector

__all__ = ["after_drift"]


def after_drift(model: HTMDriftDetector, u: int, unit: UnitState) -> UnitState:
    """Return HTM `u` after a record that raised a drift."""
    p, actions = model.params, model.params.on_drift
    if "reset" in actions:
        unit = unit._replace(pending=np.ones(1, bool))
    if "rebaseline" in actions:
        unit = unit._replace(judged=np.zeros(1, np.int64), again=np.ones(1, bool))
    if "faster" in actions:
        unit = unit._replace(faster=np.full(1, p.faster_records, np.int64))
    if "forget" in actions:
        unit = unit._replace(
            temporal_memory=empty_memory(p.detector.temporal_memory),
            predictor=classifier.initial(model.classifiers[u], 1),
        )
    return unit
