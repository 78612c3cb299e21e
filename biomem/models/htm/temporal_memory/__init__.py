"""Temporal Memory: sequences of sparse patterns, and how unforeseen each one was."""

from biomem.models.htm.temporal_memory.model import TemporalMemory as TemporalMemory
from biomem.models.htm.temporal_memory.model import TemporalMemoryOutput as TemporalMemoryOutput
from biomem.models.htm.temporal_memory.model import TemporalMemoryState as TemporalMemoryState
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams as TemporalMemoryParams

__all__ = ["TemporalMemory", "TemporalMemoryOutput", "TemporalMemoryParams", "TemporalMemoryState"]
