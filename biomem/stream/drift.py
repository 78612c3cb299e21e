"""Drifts of a telemetry file or pipe, from its first record on, exactly resumable.

The drift file has one row per record: its timestamp and value, the anomaly score, what was watched,
the phase and the statistic of the monitor with what they rest on, and 1 where a drift was decided.
The event file has one row per drift. ``docs/drift_operators.md`` is the guide for operators.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from biomem.engine.progress import ProgressMode
from biomem.models.htm.hybrid import HTMDriftParams
from biomem.stream.drift_job import DriftJob, DriftReport
from biomem.stream.drift_options import DriftOptions
from biomem.stream.options import ReadOptions
from biomem.stream.run import run_job
from biomem.stream.stopping import Stop

__all__ = ["DriftOptions", "DriftReport", "drift"]

StrPath = str | os.PathLike[str]


def drift(
    source: StrPath | BinaryIO,
    out: StrPath,
    options: DriftOptions | None = None,
    read: ReadOptions | None = None,
    *,
    params: HTMDriftParams | None = None,
    format: str | None = None,
    plot: bool = True,
    save: StrPath | None = None,
    save_every: int = 1000,
    resume: StrPath | None = None,
    backend: str = "auto",
    progress: ProgressMode = False,
    on_event: Callable[[str, str], None] | None = None,
    stop: Stop | None = None,
) -> DriftReport:
    r"""Watch every record of `source` for drifts, and write rows and events to `out`.

    Parameters
    ----------
    source : str, path or binary file object
        CSV or JSON lines; ``"-"`` is standard input.
    out : path
        A file name in ``.csv`` or ``.jsonl``; else a folder, made if need be, that gets
        ``drift.csv`` or ``drift.jsonl``. Events lie beside it: ``events.csv`` in the folder, or
        ``<name>.events.csv``. They and the picture are written at the end of a run.
    options : DriftOptions, optional
    read : ReadOptions, optional
    params : HTMDriftParams, optional
        A detector of one's own, of one field; the options are then not read, but for what
        resuming compares.
    format, plot, save, save_every, resume, backend, progress, on_event, stop
        As in `biomem.stream.detect.detect`.

    Returns
    -------
    DriftReport

    Raises
    ------
    DataError, OutputError, CorruptFileError, CheckpointMismatch, ParameterError
        As `biomem.stream.detect.detect`.

    Notes
    -----
    A run that is killed at any moment and resumed gives, byte for byte, the files of one that was
    not. When not to use it: for single anomalies (use `detect`), or for several values per record
    (use `HTMDriftDetector`).

    Examples
    --------
    >>> import io
    >>> from tempfile import TemporaryDirectory
    >>> source = io.BytesIO(b"time,load\n2024-05-01 00:00,1.5\n2024-05-01 00:05,1.6\n")
    >>> with TemporaryDirectory() as folder:
    ...     report = drift(source, folder, backend="numpy", plot=False)
    ...     report.scores.name, report.events.name, report.drifts, report.phase
    ('drift.csv', 'events.csv', 0, 'probation')
    """
    options = DriftOptions() if options is None else options
    report = run_job(
        DriftJob(options),
        source,
        out,
        options.presets[options.preset] if read is None else read,
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
        events=True,
    )
    assert isinstance(report, DriftReport)
    return report
