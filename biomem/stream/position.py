"""What a reader's position must agree with before it is followed."""

from __future__ import annotations

from typing import Any

from biomem.errors import CheckpointMismatch
from biomem.stream.options import ReadOptions

__all__ = ["POSITION_VERSION", "agreed_options", "damaged"]

POSITION_VERSION = 1


def agreed_options(options: ReadOptions | None, position: dict[str, Any] | None) -> ReadOptions:
    """Return the options to read with; those of a position cannot be changed."""
    if position is None:
        return ReadOptions() if options is None else options
    try:
        version = position["version"]
        former = ReadOptions.from_dict(position["options"]) if version == POSITION_VERSION else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(error) from None
    if former is None:
        raise CheckpointMismatch(
            f"position has version {version!r}; this is version {POSITION_VERSION}"
        )
    if options is not None and options != former:
        old, new = former.to_dict(), options.to_dict()
        changed = [f"{k} was {old[k]!r} and is {new[k]!r}" for k in old if old[k] != new[k]]
        raise CheckpointMismatch(
            f"the position was taken with other options ({'; '.join(changed)}); "
            "resume with the same, or start anew"
        )
    return former


def damaged(error: Exception) -> CheckpointMismatch:
    """Return the error for a position that no reader gave."""
    return CheckpointMismatch(
        f"position must be what RecordReader.position returned; {type(error).__name__}: {error}"
    )
