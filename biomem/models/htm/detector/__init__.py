"""The anomaly detector: encoders, Spatial Pooler, Temporal Memory and likelihood in a chain."""

from biomem.models.htm.detector.model import HTMDetector as HTMDetector
from biomem.models.htm.detector.model import HTMDetectorOutput as HTMDetectorOutput
from biomem.models.htm.detector.model import HTMDetectorState as HTMDetectorState
from biomem.models.htm.detector.params import HTMDetectorParams as HTMDetectorParams
from biomem.models.htm.detector.params import resolution_for as resolution_for

__all__ = [
    "HTMDetector",
    "HTMDetectorOutput",
    "HTMDetectorParams",
    "HTMDetectorState",
    "resolution_for",
]
