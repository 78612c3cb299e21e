"""Where the results of a run go, and whether they can go there: found out before any work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from biomem.engine.atomic import output_error, sync_folder
from biomem.errors import OutputError, ParameterError
from biomem.stream.scores import FORMATS

__all__ = ["Outputs", "keep_previous"]


class Outputs(NamedTuple):
    """Files of a run: the scores, their picture, and the checkpoint (absolute paths)."""

    scores: Path
    plot: Path | None
    checkpoint: Path | None
    folder: bool = False
    """The scores lie in a folder made for them."""
    events: Path | None = None
    """File of the events that are in the rows, if there is to be one."""

    @classmethod
    def of(
        cls,
        out: str | os.PathLike[str],
        *,
        format: str | None = None,
        plot: bool = True,
        save: str | os.PathLike[str] | None = None,
        stem: str = "scores",
        events: bool = False,
    ) -> Outputs:
        """Return the files that `out` stands for.

        Parameters
        ----------
        out : path
            A file name in ``.csv`` or ``.jsonl``, or else a folder.
        format : {"csv", "jsonl"}, optional
            Of the scores in a folder, default csv; a file's format is its suffix.
        plot : bool
            Whether there is to be a picture.
        save : path, optional
            The checkpoint.
        stem : str
            Name of the row file in a folder.
        events : bool
            Whether there is to be a file of events.

        Raises
        ------
        ParameterError
            No usable name, or `format` contradicts it.
        """
        if format is not None and format not in FORMATS:
            raise ParameterError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
        for role, path in (("output", out), ("checkpoint", save)):
            if path is not None and os.fspath(path) in ("", "-"):
                raise ParameterError(f"the {role} must be a file, got {os.fspath(path)!r}")
        target = Path(os.path.abspath(out))
        suffix = target.suffix[1:]
        if suffix not in FORMATS:
            scores = target / f"{stem}.{format or 'csv'}"
        elif format not in (None, suffix):
            raise ParameterError(
                f"format is {format!r}, but the output {str(target)!r} is a .{suffix}"
            )
        else:
            scores = target
        checkpoint = None if save is None else Path(os.path.abspath(save))
        picture = scores.with_suffix(".png") if plot else None
        folder = suffix not in FORMATS
        told = None
        if events:
            name = f"events{scores.suffix}" if folder else f"{scores.stem}.events{scores.suffix}"
            told = scores.with_name(name)
        return cls(scores, picture, checkpoint, folder, told)

    def check(self, source: str | os.PathLike[str] | None) -> None:
        """Find out whether every file can be written; makes the folder that `out` named.

        Parameters
        ----------
        source : path or None
            What is read, which must be none of the files.

        Raises
        ------
        OutputError
            A file cannot be written; none was changed.
        ParameterError
            Two of the files are one.
        """
        named = {
            "input": None if source is None else Path(os.path.abspath(source)),
            "scores": self.scores,
            "plot": self.plot,
            "events": self.events,
            "checkpoint": self.checkpoint,
        }
        seen: dict[str, str] = {}
        for role, path in named.items():
            if path is None:
                continue
            real = os.path.realpath(path)
            if real in seen:
                raise ParameterError(
                    f"the {seen[real]} and the {role} are the same file {str(path)!r}"
                )
            seen[real] = role
        if self.folder:
            try:
                self.scores.parent.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                if isinstance(exc, FileExistsError):
                    raise OutputError(
                        f"cannot write into {str(self.scores.parent)!r}: it is no folder; name a "
                        "folder, or a file in .csv or .jsonl"
                    ) from exc
                raise output_error(self.scores.parent, exc) from exc
        for path in (self.scores, self.plot, self.events, self.checkpoint):
            if path is not None:
                _try(path)


def _try(path: Path) -> None:
    """Raise OutputError unless `path` can be written and replaced; leave no trace."""
    try:
        # A folder that takes no new file keeps the picture and the checkpoint from being replaced.
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass
        if path.is_file() or path.is_dir():
            with path.open("r+b"):
                pass
    except OSError as exc:
        raise output_error(path, exc) from exc
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {str(path)!r}: it is a device, pipe or socket")


def keep_previous(checkpoint: Path) -> Path | None:
    """Move an existing checkpoint out of the way; return its new name."""
    if not checkpoint.exists():
        return None
    kept = checkpoint.with_name(checkpoint.name + ".prev")
    try:
        os.replace(checkpoint, kept)
        sync_folder(kept.parent)
    except OSError as exc:
        raise output_error(kept, exc) from exc
    return kept
