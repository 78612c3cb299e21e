"""Sequence tasks as deterministic sources: a batch is a pure function of ``(seed, step)``.

NumPy only. ``task(step, Rng(seed))`` returns a `Batch`; `biomem.train.fit` takes a task as it is.
"""

from __future__ import annotations

from biomem.datasets.tasks.base import Batch as Batch
from biomem.datasets.tasks.base import Draws as Draws
from biomem.datasets.tasks.base import Task as Task
from biomem.datasets.tasks.images import NoisyCIFAR10 as NoisyCIFAR10
from biomem.datasets.tasks.images import SequentialMNIST as SequentialMNIST
from biomem.datasets.tasks.memory import Adding as Adding
from biomem.datasets.tasks.memory import Copy as Copy
from biomem.datasets.tasks.memory import Curriculum as Curriculum
from biomem.datasets.tasks.memory import DelayedMatch as DelayedMatch
from biomem.datasets.tasks.memory import Parity as Parity

__all__ = [
    "Adding",
    "Batch",
    "Copy",
    "Curriculum",
    "DelayedMatch",
    "Draws",
    "NoisyCIFAR10",
    "Parity",
    "SequentialMNIST",
    "Task",
]
