"""Recordings: what a run leaves behind, in memory or in a file that survives ``kill -9``."""

from __future__ import annotations

from biomem.engine.recording.memory import MemoryRecorder
from biomem.engine.recording.signal import Recorder, Signal, select
from biomem.engine.recording.spikes import SpikeTrains
from biomem.engine.recording.view import Recording
from biomem.engine.recording.writer import Hdf5Recorder

__all__ = [
    "Hdf5Recorder",
    "MemoryRecorder",
    "Recorder",
    "Recording",
    "Signal",
    "SpikeTrains",
    "select",
]
