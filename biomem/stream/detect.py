"""Anomalies of a telemetry file or pipe, from its first record on, exactly resumable.

The score file has one row per record: its timestamp and value, the raw anomaly score, the
likelihood of an anomaly, the score to go by, and 1 where an alarm is raised. ``docs/detect.md``
is the guide for operators.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from biomem.engine.progress import ProgressMode
from biomem.models.htm.detector import HTMDetectorParams
from biomem.stream.detect_job import DetectJob
from biomem.stream.detect_options import PRESETS, DetectOptions
from biomem.stream.options import ReadOptions
from biomem.stream.report import DetectReport
from biomem.stream.run import run_job
from biomem.stream.stopping import Stop

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
    options = DetectOptions() if options is None else options
    report = run_job(
        DetectJob(options),
        source,
        out,
        PRESETS[options.preset] if read is None else read,
        params=params,
        format=format,
        plot=plot,
        save=save,
        save_every=save_every,
        resume=resume,
        backend=backend,
        progress=progress,
        on_event=on_event,
        stop=stop,
    )
    assert isinstance(report, DetectReport)
    return report
