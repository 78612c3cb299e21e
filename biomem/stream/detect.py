"""Anomalies of a telemetry file or pipe, from its first record on, exactly resumable.

The score file has one row per record: its timestamp and value, the raw anomaly score, the
likelihood of an anomaly, the score to go by, and 1 where an alarm is raised. ``docs/detect.md``
is the guide for operators.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from biomem.engine.checkpoint import Checkpoint, read_checkpoint
from biomem.engine.progress import ProgressMode, progress_bar
from biomem.errors import MissingFileError, ParameterError
from biomem.models.htm.detector import HTMDetectorParams
from biomem.stream.detect_options import PRESETS, DetectOptions
from biomem.stream.inputs import Input
from biomem.stream.options import ReadOptions
from biomem.stream.output import Outputs
from biomem.stream.report import DetectReport
from biomem.stream.run import Events, Run
from biomem.stream.session import Stopwatch
from biomem.stream.stopping import Stop, Stopped

__all__ = ["DetectOptions", "DetectReport", "detect"]

StrPath = str | os.PathLike[str]


def detect(
    source: StrPath | BinaryIO,
    out: StrPath,
    options: DetectOptions | None = None,
    read: ReadOptions | None = None,
    *,
    params: HTMDetectorParams | None = None,
    format: str | None = None,
    plot: bool = True,
    save: StrPath | None = None,
    save_every: int = 1000,
    resume: StrPath | None = None,
    backend: str = "auto",
    progress: ProgressMode = False,
    on_event: Callable[[str, str], None] | None = None,
    stop: Stop | None = None,
) -> DetectReport:
    r"""Score every record of `source` and write the scores to `out`.

    Parameters
    ----------
    source : str, path or binary file object
        CSV or JSON lines; ``"-"`` is standard input.
    out : path
        A file name in ``.csv`` or ``.jsonl``; else a folder, made if need be, that gets
        ``scores.csv`` or ``scores.jsonl``. The picture lies beside the scores.
    options : DetectOptions, optional
    read : ReadOptions, optional
        Default: the preset's.
    params : HTMDetectorParams, optional
        A detector of one's own; preset, range, probation and range rule are then not read.
    format : {"csv", "jsonl"}, optional
        Of the scores in a folder.
    plot : bool
        Draw the picture at the end.
    save : path, optional
        Checkpoint to write every `save_every` records and at the end. An existing one is kept as
        ``<save>.prev``. Default: `resume`.
    save_every : int
    resume : path, optional
        Checkpoint to go on from. If it does not exist, the run begins at the beginning.
    backend : {"auto", "numba", "numpy"}
        Results are the same.
    progress : {"auto", True, False}
    on_event : callable, optional
        ``on_event(kind, message)`` for what is worth a line: problems of the source by kind (see
        `RecordReader`), ``"notice"``, and ``"compile"``. Default: all but the last are warnings.
    stop : Stop, optional
        Ends the run early when asked.

    Returns
    -------
    DetectReport

    Raises
    ------
    DataError
        A source that cannot be read or has no record.
    OutputError
        Something cannot be written. A checkpoint is then as it was, and resuming is exact.
    CorruptFileError, CheckpointMismatch
        A checkpoint that is damaged, or does not belong to these options or this output. Nothing
        was changed.
    ParameterError
        Options out of range.

    Notes
    -----
    A run that is killed at any moment and resumed gives, byte for byte, the score file of one that
    was not. When not to use it: for several values per record, or without order in time.

    Examples
    --------
    >>> import io
    >>> from tempfile import TemporaryDirectory
    >>> source = io.BytesIO(b"time,load\n2024-05-01 00:00,1.5\n2024-05-01 00:05,1.6\n")
    >>> with TemporaryDirectory() as folder:
    ...     report = detect(source, folder, backend="numpy", plot=False)
    ...     print(report.scores.read_text())
    timestamp,value,raw,likelihood,score,alarm
    2024-05-01 00:00,1.5,1.0,0.5,0.030102999...,0
    2024-05-01 00:05,1.6,1.0,0.5,0.030102999...,0
    """
    if type(save_every) is not int or save_every < 1:
        raise ParameterError(f"save_every must be an integer >= 1, got {save_every!r}")
    options = DetectOptions() if options is None else options
    outputs = Outputs.of(out, format=format, plot=plot, save=resume if save is None else save)
    events = Events(on_event)
    watch = Stopwatch()
    checkpoint = _checkpoint(resume, events)
    feed = Input(source, stop)
    try:
        with progress_bar(feed.size(), progress, unit="B") as bar:
            run = Run(
                options=options,
                read=PRESETS[options.preset] if read is None else read,
                params=params,
                outputs=outputs,
                feed=feed,
                events=events,
                backend=backend,
                save_every=save_every,
                stop=stop,
                watch=watch,
                bar=bar,
            )
            try:
                start = run.begin() if checkpoint is None else run.go_on(checkpoint, str(resume))
            except Stopped:
                start = None
            if start is None:
                return run.nothing()
            return run.finish(*start, resumed=checkpoint is not None)
    finally:
        feed.close()


def _checkpoint(path: StrPath | None, events: Events) -> Checkpoint | None:
    if path is None:
        return None
    try:
        return read_checkpoint(path)
    except MissingFileError:
        events(
            "notice", f"there is no checkpoint {os.fspath(path)!r} yet; starting at the beginning"
        )
        return None
