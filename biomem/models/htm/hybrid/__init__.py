"""HTM with a sequential test: anomalies, drifts and forecasts of the fields of a record stream."""

from biomem.models.htm.hybrid.events import events_of as events_of
from biomem.models.htm.hybrid.model import HTMDriftDetector as HTMDriftDetector
from biomem.models.htm.hybrid.params import FieldParams as FieldParams
from biomem.models.htm.hybrid.params import HTMDriftParams as HTMDriftParams
from biomem.models.htm.hybrid.signals import fuse_scores as fuse_scores
from biomem.models.htm.hybrid.state import HTMDriftOutput as HTMDriftOutput

__all__ = [
    "FieldParams",
    "HTMDriftDetector",
    "HTMDriftOutput",
    "HTMDriftParams",
    "events_of",
    "fuse_scores",
]
