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
from biomem.datasets.tasks.spoken import SHD as SHD
from biomem.datasets.tasks.spoken import EventBatch as EventBatch
from biomem.datasets.tasks.spoken import SHDAdding as SHDAdding
from biomem.datasets.tasks.spoken import SpokenLikeAdding as SpokenLikeAdding

__all__ = [
    "SHD",
    "Adding",
    "Batch",
    "Copy",
    "Curriculum",
    "DelayedMatch",
    "Draws",
    "EventBatch",
    "ListOps",
    "NoisyCIFAR10",
    "Parity",
    "Pathfinder",
    "SHDAdding",
    "Scene",
    "SequentialMNIST",
    "SpokenLikeAdding",
    "Task",
]
