"""Anomalies of a telemetry file or pipe, from its first record on, exactly resumable.

The score file has one row per record: its timestamp and value, the raw anomaly score, the
likelihood of an anomaly, the score to go by, and 1 where an alarm is raised. ``docs/detect.md``
is the guide for operators.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from biomem.engine.atomic import MissingFileError
from biomem.engine.checkpoint import Checkpoint, read_checkpoint
from biomem.engine.progress import ProgressMode, progress_bar
from biomem.engine.simulator import Simulator
from biomem.errors import BiomemWarning, CheckpointMismatch, ParameterError
from biomem.models.htm.detector import HTMDetector, HTMDetectorParams
from biomem.stream.detect_options import PRESETS, PROBATION, DetectOptions
from biomem.stream.events import Counts
from biomem.stream.inputs import Input
from biomem.stream.journal import Committed, Journal, Repair
from biomem.stream.memo import Memo
from biomem.stream.options import ReadOptions
from biomem.stream.output import Outputs, keep_previous
from biomem.stream.records import Record, RecordReader
from biomem.stream.report import DetectReport
from biomem.stream.scores import Alarms, read_scores
from biomem.stream.session import Session, Stopwatch
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
    """Score every record of `source` and write the scores to `out`.

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
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     report = detect("examples/data/nyc_taxi.csv", folder)  # doctest: +SKIP
    ...     report.alarms  # doctest: +SKIP
    6
    """
    if type(save_every) is not int or save_every < 1:
        raise ParameterError(f"save_every must be an integer >= 1, got {save_every!r}")
    options = DetectOptions() if options is None else options
    outputs = Outputs.of(out, format=format, plot=plot, save=resume if save is None else save)
    events = _Events(on_event)
    watch = Stopwatch()
    checkpoint = _checkpoint(resume, events)
    feed = Input(source, stop)
    try:
        with progress_bar(feed.size(), progress, unit="B") as bar:
            run = _Run(
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
            start = run.begin() if checkpoint is None else run.go_on(checkpoint, str(resume))
            if start is None:
                return run.nothing()
            return run.finish(*start, resumed=checkpoint is not None)
    finally:
        feed.close()


class _Events:
    """Passes each message on once."""

    def __init__(self, on_event: Callable[[str, str], None] | None) -> None:
        self._on_event = on_event
        self._said: set[str] = set()

    def __call__(self, kind: str, message: str, row: int = 0) -> None:
        if message in self._said:
            return
        self._said.add(message)
        if self._on_event is not None:
            self._on_event(kind, message)
        elif kind != "compile":
            warnings.warn(message, BiomemWarning, stacklevel=2)


def _checkpoint(path: StrPath | None, events: _Events) -> Checkpoint | None:
    if path is None:
        return None
    try:
        return read_checkpoint(path)
    except MissingFileError:
        events(
            "notice", f"there is no checkpoint {os.fspath(path)!r} yet; starting at the beginning"
        )
        return None


_Start = tuple[Session, list[Record], dict[str, Any] | None]
"""A session, the records read for it already, and the position before the last of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Run:
    """What `detect` was asked for, and the three things that are done with it."""

    options: DetectOptions
    read: ReadOptions
    params: HTMDetectorParams | None
    outputs: Outputs
    feed: Input
    events: _Events
    backend: str
    save_every: int
    stop: Stop | None
    watch: Stopwatch
    bar: Any

    def begin(self) -> _Start | None:
        """Start at the beginning; None if a stop came before the detector could be made."""
        self.outputs.check(self.feed.path)
        options, params, span, count = self.options, self.params, self.options.range, None
        if params is not None:
            span = None
        elif options.preset == "nab":
            *span, count = self.feed.survey(self.read)
        reader = self.feed.reader(self.read, None, self.events)
        wanted = 1 if params is not None or span else options.probation or PROBATION
        held, before = self._hold(reader, wanted)
        if not held or (self._stopped and len(held) < wanted):
            self.events(
                "notice",
                f"stopped after {len(held)} of the {wanted} records that tell "
                "the expected range; nothing was scored",
            )
            return None
        if params is None:
            if span is None:
                values = [record.value for record in held]
                span = min(values), max(values)
            params = options.detector(*span, records=count, timed=bool(held[0].stamp))
        model = HTMDetector(params)
        sim = Simulator(model, backend=self.backend, seed=options.seed, progress=False)
        if self.outputs.checkpoint is not None:
            kept = keep_previous(self.outputs.checkpoint)
            if kept is not None:
                self.events("notice", f"the checkpoint of an earlier run was kept as {str(kept)!r}")
        journal = Journal.begin(self.outputs.scores)
        alarms = Alarms(params.likelihood.first_estimate, options.threshold)
        return self._session(sim, reader, journal, alarms, span and tuple(span)), held, before

    def go_on(self, checkpoint: Checkpoint, origin: str) -> _Start:
        """Continue from a checkpoint."""
        memo = Memo.of(checkpoint, origin)
        self.options.check_same(memo.options, repr(origin))
        sim = Simulator.restore(
            checkpoint, origin=origin, model=HTMDetector, backend=self.backend, progress=False
        )
        if self.params is not None and sim.model.params != self.params:
            raise CheckpointMismatch(f"{origin!r} was made with other detector parameters")
        reader = self.feed.reader(self.read, memo.position, self.events)
        replay = None
        if memo.provisional is not None and not reader.same_source:
            # What followed in the old file will not be known, so its last line counts as whole.
            replay = memo.provisional
            reader = self.feed.reader(self.read, memo.position_after, self.events)
        journal, moved = self._recover(memo.committed, keep_provisional=replay is not None)
        alarms = memo.alarms
        if alarms.threshold != self.options.threshold:
            now = self.options.threshold
            self.events(
                "notice", f"the threshold was {alarms.threshold:g} and is {now:g} from here on"
            )
            alarms.threshold = now
        session = self._session(sim, reader, journal, alarms, memo.range)
        if replay is not None:
            session.replay(replay)
        if moved:
            session.commit(reader.position)
        return session, [], None

    def nothing(self) -> DetectReport:
        """Report a run that ended before it began."""
        return DetectReport(
            records=0,
            total_records=0,
            counts=Counts(),
            kept=(),
            alarms=0,
            first_alarms=(),
            range=None,
            probation=self.options.probation or PROBATION,
            seconds=0.0,
            cpu_seconds=0.0,
            timed_records=0,
            scores=self.outputs.scores,
            plot=None,
            checkpoint=None,
            resumed=False,
            stopped=self.stop and self.stop.signal,
        )

    def finish(
        self,
        session: Session,
        held: list[Record],
        before: dict[str, Any] | None,
        *,
        resumed: bool,
    ) -> DetectReport:
        """Score all there is, draw it, and report."""
        session.run(held, before)
        wall, cpu = self.watch.read()
        stopped = None if self.stop is None else self.stop.signal
        plot = None if stopped is not None else self.outputs.plot
        if plot is not None:
            self._draw(plot, session.reader.position["layout"])
        alarms = session.alarms
        return DetectReport(
            records=session.records,
            total_records=session.sim.tick,
            counts=session.reader.counts,
            kept=tuple(k for k in ("late", "duplicate") if getattr(self.read, k) == "keep"),
            alarms=alarms.count,
            first_alarms=tuple(alarms.first),
            range=session.range,
            probation=alarms.probation,
            seconds=wall,
            cpu_seconds=cpu,
            timed_records=session.timed_records,
            scores=self.outputs.scores,
            plot=plot,
            checkpoint=self.outputs.checkpoint,
            resumed=resumed,
            stopped=stopped,
        )

    @property
    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.signal is not None

    def _hold(
        self, reader: RecordReader, wanted: int
    ) -> tuple[list[Record], dict[str, Any] | None]:
        """Read the first `wanted` records, and the position before the chunk of the last."""
        durable = self.outputs.checkpoint is not None and not self.feed.live
        held: list[Record] = []
        before = None
        while len(held) < wanted and not self._stopped:
            position = reader.position if durable else None
            try:
                records = reader.read_chunk(wanted - len(held))
            except Stopped:
                break
            if not records:
                break
            held += records
            before = position
        return held, before

    def _recover(self, committed: Committed, *, keep_provisional: bool) -> tuple[Journal, bool]:
        """Make the score file what was committed; a new one is begun later if the name is new."""
        here, there = self.outputs.scores, Path(committed.path)
        moved = os.path.realpath(here) != committed.path
        if moved and here.exists() and here.stat().st_size:
            there, moved = here, False  # the file itself was moved, or this is another's
        repair = None
        try:
            if not moved or there.exists():
                repair = Repair.of(
                    here if not moved else there, committed, keep_provisional=keep_provisional
                )
        except CheckpointMismatch as error:
            if not moved:
                raise
            self.events("notice", f"the earlier output is left alone: {error}")
        self.outputs.check(self.feed.path)
        if moved and repair is None:
            self.events(
                "notice", f"the earlier output {committed.path!r} is gone; {str(here)!r} is new"
            )
        journal = None if repair is None else repair.apply()
        if repair is not None and repair.extra:
            self.events(
                "notice",
                "rows written after the checkpoint are kept; the detector goes on from before them",
            )
        return Journal(here) if moved or journal is None else journal, moved

    def _session(
        self,
        sim: Simulator,
        reader: RecordReader,
        journal: Journal,
        alarms: Alarms,
        span: tuple[float, float] | None,
    ) -> Session:
        return Session(
            sim,
            reader,
            journal,
            alarms,
            outputs=self.outputs,
            options=self.options.to_dict(),
            range=span,
            live=self.feed.live,
            save_every=self.save_every,
            stop=self.stop,
            watch=self.watch,
            progress=self._progress,
            on_compile=lambda: self.events(
                "compile",
                "compiling the kernels, once on this machine; this takes some ten seconds",
            ),
        )

    def _progress(self, reader: RecordReader) -> None:
        if not self.bar.disable:
            self.bar.update(reader.position["offset"] - self.bar.n)

    def _draw(self, path: Path, layout: dict[str, Any]) -> None:
        from biomem.viz import plot_anomalies, save_png

        columns = read_scores(self.outputs.scores, layout["time_format"], self.read.tz)
        column, names = layout["value"], layout["names"]
        label = names[column] if names and isinstance(column, int) else column
        axes = plot_anomalies(
            columns.times,
            columns.values,
            columns.scores,
            self.options.threshold,
            columns.alarms,
            stamps=columns.stamps,
            title=Path(self.feed.path or "standard input").name,
            value_label=str(label) if isinstance(label, str) else "value",
        )
        save_png(path, axes[0].figure)
