"""Drawn spiking tasks that need no file: templates, orders, moving bars, chirps, paired senses."""

from __future__ import annotations

from biomem.datasets.tasks.spikes.bars import MovingBars as MovingBars
from biomem.datasets.tasks.spikes.chirps import Chirps as Chirps
from biomem.datasets.tasks.spikes.order import SpikeOrder as SpikeOrder
from biomem.datasets.tasks.spikes.paired import PairedBatch as PairedBatch
from biomem.datasets.tasks.spikes.paired import PairedTemplates as PairedTemplates
from biomem.datasets.tasks.spikes.templates import JitteredTemplates as JitteredTemplates

__all__ = [
    "Chirps",
    "JitteredTemplates",
    "MovingBars",
    "PairedBatch",
    "PairedTemplates",
    "SpikeOrder",
]
