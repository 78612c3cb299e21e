"""Numbers turned into spikes, and back where that is possible.

Every encoder is a frozen set of parameters with a pure `encode`. What is drawn is a function of
the seed, the tick, the lane and the channel alone, so a spike does not depend on the batch or the
chunk it is made in.
"""

from __future__ import annotations

from biomem.network.encoders.base import Encoder as Encoder
from biomem.network.encoders.delta import DeltaEncoder as DeltaEncoder
from biomem.network.encoders.latency import LatencyEncoder as LatencyEncoder
from biomem.network.encoders.population import PopulationEncoder as PopulationEncoder
from biomem.network.encoders.rate import RateEncoder as RateEncoder

__all__ = ["DeltaEncoder", "Encoder", "LatencyEncoder", "PopulationEncoder", "RateEncoder"]
