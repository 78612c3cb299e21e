"""The three parts of a run: its beginning, or where it goes on from; its loop; its end."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from biomem.engine.checkpoint import Checkpoint, read_checkpoint
from biomem.engine.progress import ProgressMode, progress_bar
from biomem.engine.simulator import Simulator
from biomem.errors import BiomemWarning, CheckpointMismatch, MissingFileError, ParameterError
from biomem.stream.events import Counts
from biomem.stream.inputs import Input
from biomem.stream.job import Job
from biomem.stream.journal import Committed, Journal, Repair
from biomem.stream.memo import Memo
from biomem.stream.options import ReadOptions
from biomem.stream.output import Outputs, keep_previous
from biomem.stream.records import Record, RecordReader
from biomem.stream.report import RunReport
from biomem.stream.session import Session, Stopwatch
from biomem.stream.stopping import Stop, Stopped

__all__ = ["Events", "Run", "run_job"]


class Events:
    """Passes each message on once; while `hold` is in force, not yet."""

    def __init__(self, on_event: Callable[[str, str], None] | None) -> None:
        self._on_event = on_event
        self._said: set[str] = set()
        self._held: list[tuple[str, str]] | None = None

    def __call__(self, kind: str, message: str, row: int = 0) -> None:
        """Pass `message` on, unless it was before."""
        if message in self._said:
            return
        self._said.add(message)
        if self._held is not None:
            self._held.append((kind, message))
        elif self._on_event is not None:
            self._on_event(kind, message)
        elif kind != "compile":
            warnings.warn(message, BiomemWarning, stacklevel=2)

    def hold(self) -> None:
        """Keep messages back: an error to come may say the same."""
        self._held = []

    def release(self) -> None:
        """Pass on what was held back, and from now on at once."""
        held, self._held = self._held or [], None
        for kind, message in held:
            self._said.discard(message)
            self(kind, message)


Start = tuple[Session, list[Record], dict[str, Any] | None]
"""A session, the records read for it already, and the position before the last of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a function such as `biomem.stream.detect.detect` was asked for, and how it is done."""

    job: Job
    read: ReadOptions
    params: Any
    outputs: Outputs
    feed: Input
    events: Events
    backend: str
    save_every: int
    stop: Stop | None
    watch: Stopwatch
    bar: Any

    def begin(self) -> Start | None:
        """Start at the beginning; None if a stop came before the detector could be made."""
        self.outputs.check(self.feed.path)
        options, params = self.job.options, self.params
        span, count = (options.range if params is None else None), None
        if params is None and options.looks_ahead:
            low, high, count = self.feed.survey(self.read)
            span = low, high
        self.events.hold()
        reader = self.feed.reader(self.read, None, self.events)
        wanted = 1 if params is not None or span else options.prefix
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
            params = self.job.params(*span, records=count, timed=bool(held[0].stamp))
        detector = params
        sim = self.watch.without(
            lambda: Simulator(
                self.job.model(detector), backend=self.backend, seed=options.seed, progress=False
            )
        )
        self._keep_previous()
        journal = Journal.begin(self.outputs.scores)
        alarms = self.job.begin(params)
        return self._session(sim, reader, journal, alarms, span), held, before

    def go_on(self, checkpoint: Checkpoint, origin: str) -> Start:
        """Continue from a checkpoint."""
        memo = Memo.of(checkpoint, origin, self.job)
        self.job.options.check_same(memo.options, repr(origin))
        sim = self.watch.without(
            lambda: Simulator.restore(
                checkpoint,
                origin=origin,
                model=self.job.model,
                backend=self.backend,
                progress=False,
            )
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
        target = self.outputs.checkpoint
        if target is not None and os.path.realpath(target) != os.path.realpath(origin):
            self._keep_previous()
        alarms = memo.alarms
        self.job.go_on(alarms, lambda message: self.events("notice", message))
        session = self._session(sim, reader, journal, alarms, memo.range)
        if replay is not None:
            session.replay(replay)
        if moved:
            session.commit(reader.position)
        return session, [], None

    def nothing(self) -> RunReport:
        """Report a run that ended before it began."""
        return self.job.report(
            self.outputs,
            None,
            records=0,
            total_records=0,
            counts=Counts(),
            kept=(),
            range=None,
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
    ) -> RunReport:
        """Score all there is, draw it, and report."""
        session.run(held, before)
        wall, cpu = self.watch.read()
        stopped = None if self.stop is None else self.stop.signal
        plot = None if stopped is not None else self.outputs.plot
        self.job.close(
            self.outputs,
            session.sim.model,
            session.reader.position["layout"],
            self.read.tz,
            Path(self.feed.path or "standard input").name,
            plot is not None,
        )
        return self.job.report(
            self.outputs,
            session.alarms,
            records=session.records,
            total_records=session.sim.tick,
            counts=session.reader.counts,
            kept=tuple(k for k in ("late", "duplicate") if getattr(self.read, k) == "keep"),
            range=session.range,
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

    def _keep_previous(self) -> None:
        """Move a checkpoint that this run would replace, but does not continue, out of the way."""
        kept = self.outputs.checkpoint and keep_previous(self.outputs.checkpoint)
        if kept is not None:
            self.events("notice", f"the checkpoint of an earlier run was kept as {str(kept)!r}")

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
            self.events.release()
            if not records:
                break
            held += records
            before = position
        self.events.release()
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
        alarms: Any,
        span: tuple[float, float] | None,
    ) -> Session:
        return Session(
            self.job,
            sim,
            reader,
            journal,
            alarms,
            outputs=self.outputs,
            options=self.job.options.to_dict(),
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


StrPath = str | os.PathLike[str]


def run_job(
    job: Job,
    source: StrPath | BinaryIO,
    out: StrPath,
    read: ReadOptions,
    *,
    params: Any,
    format: str | None,
    plot: bool,
    save: StrPath | None,
    save_every: int,
    resume: StrPath | None,
    backend: str,
    progress: ProgressMode,
    on_event: Callable[[str, str], None] | None,
    stop: Stop | None,
    events: bool = False,
) -> RunReport:
    """Do `job` on every record of `source`; see `biomem.stream.detect.detect` for the rest.

    Parameters
    ----------
    events : bool
        The job writes a file of events beside its rows.
    """
    if type(save_every) is not int or save_every < 1:
        raise ParameterError(f"save_every must be an integer >= 1, got {save_every!r}")
    outputs = Outputs.of(
        out,
        format=format,
        plot=plot,
        save=resume if save is None else save,
        stem=job.stem,
        events=events,
    )
    say = Events(on_event)
    watch = Stopwatch()
    checkpoint = _checkpoint(resume, say)
    feed = Input(source, stop)
    try:
        with progress_bar(feed.size(), progress, unit="B") as bar:
            run = Run(
                job=job,
                read=read,
                params=params,
                outputs=outputs,
                feed=feed,
                events=say,
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
