"""What a checkpoint of a run holds beside the detector's state."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from biomem.engine.checkpoint import Checkpoint
from biomem.errors import CheckpointMismatch
from biomem.stream.job import Job
from biomem.stream.journal import Committed
from biomem.stream.records import Record

__all__ = ["Memo"]

_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memo:
    """Where a run stood.

    Parameters
    ----------
    options : dict
        `RunOptions.to_dict` of the run.
    range : (float, float) or None
        Expected range of the values, None if the detector's parameters were given.
    position : dict
        `RecordReader.position`.
    committed : Committed
        The row file.
    alarms : Tally
        What was found so far.
    provisional : Record, optional
        An unterminated last line, read after `position` and scored, but not in the state.
    position_after : dict, optional
        The position after it.
    """

    options: dict[str, Any]
    range: tuple[float, float] | None
    position: dict[str, Any]
    committed: Committed
    alarms: Any
    provisional: Record | None = None
    position_after: dict[str, Any] | None = None

    def to_extra(self, job: Job) -> dict[str, Any]:
        """Return what `Simulator.save` takes as `extra`."""
        return {job.name: {"version": _VERSION, **dataclasses.asdict(self)}}

    @classmethod
    def of(cls, checkpoint: Checkpoint, origin: str, job: Job) -> Self:
        """Return the memo in a checkpoint.

        Raises
        ------
        CheckpointMismatch
            A sound checkpoint of something else, or of a newer biomem.
        """
        header = checkpoint.header
        name = str(header.get("model"))
        extra = header.get("extra")
        values = extra.get(job.name) if isinstance(extra, dict) else None
        if name != job.model.qualified_name() or not isinstance(values, dict):
            raise CheckpointMismatch(
                f"{origin!r} is a checkpoint of {name.rpartition(':')[2]}, but not of a "
                f"{job.name} run"
            )
        values = dict(values)
        if (version := values.pop("version", None)) != _VERSION:
            raise CheckpointMismatch(
                f"{origin!r} is of a {job.name} run in version {version!r}; this is version "
                f"{_VERSION}"
            )
        try:
            if values["range"] is not None:
                values["range"] = tuple(values["range"])
            values["committed"] = Committed(**values["committed"])
            values["alarms"] = job.tally(**values["alarms"])
            if values["provisional"] is not None:
                values["provisional"] = Record(*values["provisional"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise CheckpointMismatch(f"{origin!r} is no whole {job.name} run: {error}") from error
