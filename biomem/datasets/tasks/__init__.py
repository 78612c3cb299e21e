"""Sequence tasks as deterministic sources: a batch is a pure function of ``(seed, step)``.

NumPy only. ``task(step, Rng(seed))`` returns a `Batch`; `biomem.train.fit` takes a task as it is.
"""

from __future__ import annotations

from biomem.datasets.tasks.base import Batch as Batch
from biomem.datasets.tasks.base import Draws as Draws
from biomem.datasets.tasks.base import Task as Task
from biomem.datasets.tasks.images import NoisyCIFAR10 as NoisyCIFAR10
from biomem.datasets.tasks.images import SequentialMNIST as SequentialMNIST
from biomem.datasets.tasks.listops import ListOps as ListOps
from biomem.datasets.tasks.memory import Adding as Adding
from biomem.datasets.tasks.memory import Copy as Copy
from biomem.datasets.tasks.memory import Curriculum as Curriculum
from biomem.datasets.tasks.memory import DelayedMatch as DelayedMatch
from biomem.datasets.tasks.memory import Parity as Parity
from biomem.datasets.tasks.pathfinder import Pathfinder as Pathfinder
from biomem.datasets.tasks.pathfinder import Scene as Scene
from biomem.datasets.tasks.spikes import Chirps as Chirps
from biomem.datasets.tasks.spikes import JitteredTemplates as JitteredTemplates
from biomem.datasets.tasks.spikes import MovingBars as MovingBars
from biomem.datasets.tasks.spikes import PairedBatch as PairedBatch
from biomem.datasets.tasks.spikes import PairedTemplates as PairedTemplates
from biomem.datasets.tasks.spikes import SpikeOrder as SpikeOrder
from biomem.datasets.tasks.spoken import SHD as SHD
from biomem.datasets.tasks.spoken import EventBatch as EventBatch
from biomem.datasets.tasks.spoken import SHDAdding as SHDAdding
from biomem.datasets.tasks.spoken import SpokenLikeAdding as SpokenLikeAdding

__all__ = [
    "SHD",
    "Adding",
    "Batch",
    "Chirps",
    "Copy",
    "Curriculum",
    "DelayedMatch",
    "Draws",
    "EventBatch",
    "JitteredTemplates",
    "ListOps",
    "MovingBars",
    "NoisyCIFAR10",
    "PairedBatch",
    "PairedTemplates",
    "Parity",
    "Pathfinder",
    "SHDAdding",
    "Scene",
    "SequentialMNIST",
    "SpikeOrder",
    "SpokenLikeAdding",
    "Task",
]
