"""Every exception biomem raises on purpose.

Each class also inherits the built-in a caller would catch, so ``except ValueError`` keeps working.
A message names the argument, what came, what is allowed and what to do.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BackendUnavailable",
    "BiomemError",
    "BiomemWarning",
    "CheckpointMismatch",
    "CorruptFileError",
    "DataError",
    "InputError",
    "MissingFileError",
    "OutputError",
    "ParameterError",
    "RecordingLimitError",
    "RunInterrupted",
    "StateLostError",
    "require",
]


class BiomemError(Exception):
    """Root of all exceptions of the library."""


class ParameterError(BiomemError, ValueError):
    """A parameter lies outside its admissible range."""


class InputError(BiomemError, ValueError):
    """A signal has the wrong shape, dtype, or holds NaN or inf where none is allowed."""


class DataError(BiomemError, ValueError):
    """A data file or stream cannot be used: a missing column, no usable record."""


class OutputError(BiomemError, OSError):
    """An output cannot be written: no permission, no such folder, no space left."""


class CorruptFileError(BiomemError, OSError):
    """A file is damaged, truncated, or not of the kind its reader expects."""


class MissingFileError(BiomemError, FileNotFoundError):
    """A file to be read does not exist."""


class CheckpointMismatch(BiomemError, ValueError):
    """A sound checkpoint that belongs to another model, parameter set or stream."""


class BackendUnavailable(BiomemError, RuntimeError):
    """A backend cannot run here; the message gives the reason and the install line."""


class RecordingLimitError(BiomemError, MemoryError):
    """A recording in memory would pass its limit; the message names the form on disk."""


class StateLostError(BiomemError, RuntimeError):
    """A kernel failed half-way through a chunk, so the state it consumed is no longer whole."""


class RunInterrupted(KeyboardInterrupt):
    """A run was interrupted between two chunks.

    Attributes
    ----------
    recording : Recording
        What was recorded until then.
    output : Output or None
        The output of the tick that was done, when it was `Simulator.step` that was interrupted.
    """

    def __init__(self, message: str, recording: Any = None) -> None:
        super().__init__(message)
        self.recording = recording
        self.output: Any = None


class BiomemWarning(UserWarning):
    """Category of every warning of the library."""


def require(owner: object, name: str, ok: bool, allowed: str, hint: str = "") -> None:
    """Raise `ParameterError` naming ``owner.name``, its value and what is allowed, unless `ok`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> require(SimpleNamespace(tau=-1.0), "tau", False, "> 0 s")
    Traceback (most recent call last):
        ...
    biomem.errors.ParameterError: SimpleNamespace.tau must be > 0 s, got -1.0
    """
    if not ok:
        text = f"{type(owner).__name__}.{name} must be {allowed}, got {getattr(owner, name)!r}"
        raise ParameterError(f"{text}; {hint}" if hint else text)
