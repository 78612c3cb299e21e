"""What a checkpoint of a detect run holds beside the detector's state."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from biomem.engine.checkpoint import Checkpoint
from biomem.errors import CheckpointMismatch
from biomem.models.htm.detector import HTMDetector
from biomem.stream.journal import Committed
from biomem.stream.records import Record
from biomem.stream.scores import Alarms

__all__ = ["Memo"]

_KEY, _VERSION = "detect", 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memo:
    """Where a run stood.

    Parameters
    ----------
    options : dict
        `DetectOptions.to_dict` of the run.
    range : (float, float) or None
        Expected range of the values, None if the detector's parameters were given.
    position : dict
        `RecordReader.position`.
    committed : Committed
        The score file.
    alarms : Alarms
    provisional : Record, optional
        An unterminated last line, read after `position` and scored, but not in the state.
    position_after : dict, optional
        The position after it.
    """

    options: dict[str, Any]
    range: tuple[float, float] | None
    position: dict[str, Any]
    committed: Committed
    alarms: Alarms
    provisional: Record | None = None
    position_after: dict[str, Any] | None = None

    def to_extra(self) -> dict[str, Any]:
        """Return what `Simulator.save` takes as `extra`."""
        return {_KEY: {"version": _VERSION, **dataclasses.asdict(self)}}

    @classmethod
    def of(cls, checkpoint: Checkpoint, origin: str) -> Self:
        """Return the memo in a checkpoint.

        Raises
        ------
        CheckpointMismatch
            A sound checkpoint of something else, or of a newer biomem.
        """
        header = checkpoint.header
        name = str(header.get("model"))
        extra = header.get("extra")
        values = extra.get(_KEY) if isinstance(extra, dict) else None
        if name != HTMDetector.qualified_name() or not isinstance(values, dict):
            raise CheckpointMismatch(
                f"{origin!r} is a checkpoint of {name.rpartition(':')[2]}, but not of a detect run"
            )
        values = dict(values)
        if (version := values.pop("version", None)) != _VERSION:
            raise CheckpointMismatch(
                f"{origin!r} is of a detect run in version {version!r}; this is version {_VERSION}"
            )
        try:
            if values["range"] is not None:
                values["range"] = tuple(values["range"])
            values["committed"] = Committed(**values["committed"])
            values["alarms"] = Alarms(**values["alarms"])
            if values["provisional"] is not None:
                values["provisional"] = Record(*values["provisional"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise CheckpointMismatch(f"{origin!r} is no whole detect run: {error}") from error
