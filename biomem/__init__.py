"""Brain-inspired memory and computing, simulated.

One engine advances any model, records it, checkpoints it and counts its work. Names are imported
on first use, so ``import biomem`` costs little more than Python itself.

Examples
--------
>>> import biomem
>>> biomem.Simulator
<class 'biomem.engine.simulator.Simulator'>
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from biomem import errors as errors

if TYPE_CHECKING:
    from biomem.engine.model import Field as Field
    from biomem.engine.model import Model as Model
    from biomem.engine.params import Params as Params
    from biomem.engine.random import Rng as Rng
    from biomem.engine.recording import Recording as Recording
    from biomem.engine.sdr import SDR as SDR
    from biomem.engine.simulator import Simulator as Simulator
    from biomem.engine.work import Work as Work
    from biomem.models.elm import ELM as ELM
    from biomem.models.elm import ELMParams as ELMParams
    from biomem.models.htm.detector import HTMDetector as HTMDetector
    from biomem.models.htm.drift import CUSUM as CUSUM
    from biomem.models.htm.drift import SPRT as SPRT
    from biomem.models.htm.drift import DriftMonitor as DriftMonitor
    from biomem.models.htm.encoders import RDSE as RDSE
    from biomem.models.htm.encoders import CategoryEncoder as CategoryEncoder
    from biomem.models.htm.encoders import DateTimeEncoder as DateTimeEncoder
    from biomem.models.htm.encoders import ScalarEncoder as ScalarEncoder
    from biomem.models.htm.ensemble import HTMEnsemble as HTMEnsemble
    from biomem.models.htm.ensemble import HTMEnsembleParams as HTMEnsembleParams
    from biomem.models.htm.fleet import HTMFleet as HTMFleet
    from biomem.models.htm.fleet import HTMFleetParams as HTMFleetParams
    from biomem.models.htm.hybrid import HTMDriftDetector as HTMDriftDetector
    from biomem.models.htm.likelihood import AnomalyLikelihood as AnomalyLikelihood
    from biomem.models.htm.spatial_pooler import SpatialPooler as SpatialPooler
    from biomem.models.htm.temporal_memory import TemporalMemory as TemporalMemory
    from biomem.models.liquid import Liquid as Liquid
    from biomem.models.recurrent import LeakyNetwork as LeakyNetwork
    from biomem.models.recurrent import LeakyNetworkParams as LeakyNetworkParams
    from biomem.models.wave_rnn import WaveRNN as WaveRNN
    from biomem.models.wave_rnn import WaveRNNParams as WaveRNNParams
    from biomem.network import LIF as LIF
    from biomem.network import Population as Population
    from biomem.network import Projection as Projection
    from biomem.network import SpikingNetwork as SpikingNetwork

_HOMES = {
    "Field": "biomem.engine.model",
    "Model": "biomem.engine.model",
    "Params": "biomem.engine.params",
    "Recording": "biomem.engine.recording",
    "Rng": "biomem.engine.random",
    "SDR": "biomem.engine.sdr",
    "Simulator": "biomem.engine.simulator",
    "Work": "biomem.engine.work",
    "AnomalyLikelihood": "biomem.models.htm.likelihood",
    "CUSUM": "biomem.models.htm.drift",
    "CategoryEncoder": "biomem.models.htm.encoders",
    "DateTimeEncoder": "biomem.models.htm.encoders",
    "ELM": "biomem.models.elm",
    "ELMParams": "biomem.models.elm",
    "DriftMonitor": "biomem.models.htm.drift",
    "HTMDetector": "biomem.models.htm.detector",
    "HTMEnsemble": "biomem.models.htm.ensemble",
    "HTMEnsembleParams": "biomem.models.htm.ensemble",
    "HTMFleet": "biomem.models.htm.fleet",
    "HTMFleetParams": "biomem.models.htm.fleet",
    "HTMDriftDetector": "biomem.models.htm.hybrid",
    "LeakyNetwork": "biomem.models.recurrent",
    "LeakyNetworkParams": "biomem.models.recurrent",
    "LIF": "biomem.network",
    "Liquid": "biomem.models.liquid",
    "Population": "biomem.network",
    "Projection": "biomem.network",
    "RDSE": "biomem.models.htm.encoders",
    "SPRT": "biomem.models.htm.drift",
    "ScalarEncoder": "biomem.models.htm.encoders",
    "SpikingNetwork": "biomem.network",
    "SpatialPooler": "biomem.models.htm.spatial_pooler",
    "TemporalMemory": "biomem.models.htm.temporal_memory",
    "WaveRNN": "biomem.models.wave_rnn",
    "WaveRNNParams": "biomem.models.wave_rnn",
}

__all__ = ["errors", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("biomem")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'biomem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
