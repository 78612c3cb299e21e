"""Sequential tests and the drift monitor: alarms on changes that stay."""

from biomem.models.htm.drift.calibration import Calibration as Calibration
from biomem.models.htm.drift.calibration import calibrate as calibrate
from biomem.models.htm.drift.design import Design as Design
from biomem.models.htm.drift.events import DriftEvent as DriftEvent
from biomem.models.htm.drift.events import drift_events as drift_events
from biomem.models.htm.drift.increments import GRID as GRID
from biomem.models.htm.drift.increments import BernoulliTest as BernoulliTest
from biomem.models.htm.drift.increments import DensityTest as DensityTest
from biomem.models.htm.drift.increments import MeanTest as MeanTest
from biomem.models.htm.drift.increments import PoissonTest as PoissonTest
from biomem.models.htm.drift.increments import SequentialTest as SequentialTest
from biomem.models.htm.drift.increments import VarianceTest as VarianceTest
from biomem.models.htm.drift.model import CUSUM as CUSUM
from biomem.models.htm.drift.model import SPRT as SPRT
from biomem.models.htm.drift.model import SequentialOutput as SequentialOutput
from biomem.models.htm.drift.model import SequentialState as SequentialState
from biomem.models.htm.drift.monitor import DriftMonitor as DriftMonitor
from biomem.models.htm.drift.monitor import DriftMonitorOutput as DriftMonitorOutput
from biomem.models.htm.drift.monitor import DriftMonitorState as DriftMonitorState
from biomem.models.htm.drift.monitor import Phase as Phase
from biomem.models.htm.drift.monitor_params import DriftMonitorParams as DriftMonitorParams
from biomem.models.htm.drift.params import PAPER_WINDOWS as PAPER_WINDOWS
from biomem.models.htm.drift.params import CUSUMParams as CUSUMParams
from biomem.models.htm.drift.params import SPRTParams as SPRTParams
from biomem.models.htm.drift.residual import rescaled_residual as rescaled_residual

__all__ = [
    "CUSUM",
    "GRID",
    "PAPER_WINDOWS",
    "SPRT",
    "BernoulliTest",
    "CUSUMParams",
    "Calibration",
    "DensityTest",
    "Design",
    "DriftEvent",
    "DriftMonitor",
    "DriftMonitorOutput",
    "DriftMonitorParams",
    "DriftMonitorState",
    "MeanTest",
    "Phase",
    "PoissonTest",
    "SPRTParams",
    "SequentialOutput",
    "SequentialState",
    "SequentialTest",
    "VarianceTest",
    "calibrate",
    "drift_events",
    "rescaled_residual",
]
