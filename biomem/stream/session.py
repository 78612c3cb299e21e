"""A detector, its source and its score file, moving on together from commit to commit."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.engine.simulator import Simulator
from biomem.errors import DataError, RunInterrupted
from biomem.stream.job import Job
from biomem.stream.journal import Committed, Journal
from biomem.stream.memo import Memo
from biomem.stream.output import Outputs
from biomem.stream.records import Record, RecordReader
from biomem.stream.stopping import Stop, Stopped
from biomem.typing import FloatArray

__all__ = ["Session", "Stopwatch"]

_CHUNK = 1024
_SILENCE = 0.7  # s of compiling before it is worth a word


class Stopwatch:
    """Wall and processor time since it was made, less what is taken out."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return wall and processor time, s."""
        return time.perf_counter() - self._wall, time.process_time() - self._cpu

    def without(self, work: Callable[[], Any]) -> Any:
        """Do `work` outside the time that is measured."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return work()
        finally:
            self._wall += time.perf_counter() - wall
            self._cpu += time.process_time() - cpu


class Session:
    """The loop of a run.

    Parameters
    ----------
    job : Job
    sim : Simulator
        Of the job's model.
    reader : RecordReader
    journal : Journal
        The row file.
    alarms : Tally
        What was found so far.
    outputs : Outputs
    options : dict
        `RunOptions.to_dict`.
    range : (float, float) or None
    live : bool
        The source cannot be read again, so rows are written at once.
    save_every : int
        Records between two checkpoints.
    stop : Stop, optional
    watch : Stopwatch
    progress : callable
        Called with the records of each chunk, scored and written or about to be.
    on_compile : callable
        Called once if the kernels have to be compiled.
    """

    def __init__(
        self,
        job: Job,
        sim: Simulator,
        reader: RecordReader,
        journal: Journal,
        alarms: Any,
        *,
        outputs: Outputs,
        options: dict[str, Any],
        range: tuple[float, float] | None,
        live: bool,
        save_every: int,
        stop: Stop | None,
        watch: Stopwatch,
        progress: Callable[[RecordReader], None],
        on_compile: Callable[[], None],
    ) -> None:
        self.job = job
        self.sim, self.reader, self.journal, self.alarms = sim, reader, journal, alarms
        self.outputs, self.options, self.range = outputs, options, range
        self.live, self.save_every = live, save_every
        self.stop, self.watch, self.progress = stop, watch, progress
        self.records = 0
        self.timed_records = 0
        self._on_compile = on_compile
        self._rows: list[str] = []
        self._pending = 0
        self._warm = False
        self._timed = job.timed(sim.model)

    @property
    def durable(self) -> bool:
        """Whether the run can be continued exactly: there is a checkpoint, and a file."""
        return self.outputs.checkpoint is not None and not self.live

    def run(self, held: Sequence[Record], before: dict[str, Any] | None) -> None:
        """Score the records `held` and all that follow, and commit.

        Parameters
        ----------
        held : sequence of Record
            Read already.
        before : dict or None
            Position before the last of them, if the reader's line for it is unterminated.
        """
        open_end = self.reader.unterminated and self.durable
        self.score(held[:-1] if open_end else held)
        while not open_end and (self.stop is None or self.stop.signal is None):
            before = self.reader.position if self.durable else None
            size = min(_CHUNK, max(1, self.save_every - self._pending))
            try:
                records = self.reader.read_chunk(size)
            except Stopped:
                break
            except DataError:
                if before is not None:
                    self.commit(before)
                raise
            if not records:
                break
            held = records
            open_end = self.reader.unterminated and self.durable
            if not open_end:
                self.score(records)
        if open_end:
            assert before is not None
            self.commit(before)
            self._score_provisional(held[-1])
        else:
            self.commit(self.reader.position if self.outputs.checkpoint else None)

    def score(self, records: Sequence[Record]) -> None:
        """Score `records`, and write or commit what is due."""
        if not records:
            return
        self._rows.append(self._score(records))
        self._pending += len(records)
        if self.outputs.checkpoint is None:
            self.commit(None)
        elif self._pending >= self.save_every:
            self.commit(self.reader.position)
        elif self.live:
            self._append(self._take_rows())
        self.progress(self.reader)

    def commit(self, position: dict[str, Any] | None) -> None:
        """Write the checkpoint, if there is one, and then the rows it vouches for."""
        text = self._take_rows()
        if self.outputs.checkpoint is not None and position is not None:
            self.journal.sync()
            self.sim.save(self.outputs.checkpoint, self._memo(position, text).to_extra(self.job))
        self._append(text)
        self._pending = 0

    def replay(self, record: Record) -> None:
        """Take in a record whose row has been written."""
        self._score([record])
        self._rows.clear()

    def _memo(self, position: dict[str, Any], spool: str) -> Memo:
        return Memo(
            options=self.options,
            range=self.range,
            position=position,
            committed=Committed(
                path=os.path.realpath(self.journal.path),
                base=self.journal.length,
                digest=self.journal.digest,
                spool=spool,
                live=self.live,
            ),
            alarms=self.alarms,
        )

    def _score_provisional(self, record: Record) -> None:
        """Score an unterminated last line such that the checkpoint stays the one before it."""
        path = self.outputs.checkpoint
        assert path is not None
        saved = read_checkpoint(path)
        memo = Memo.of(saved, str(path), self.job)
        row = self._score([record])
        memo = dataclasses.replace(
            memo,
            committed=dataclasses.replace(memo.committed, provisional=row),
            provisional=record,
            position_after=self.reader.position,
        )
        self.journal.sync()
        write_checkpoint(path, {**saved.header, "extra": memo.to_extra(self.job)}, saved.arrays)
        self._append(row)
        self.progress(self.reader)

    def _take_rows(self) -> str:
        """Return the rows not yet written, the header before the first."""
        text = "".join(self._rows)
        self._rows.clear()
        return text if self.journal.length else self.job.header(self.journal.path) + text

    def _append(self, text: str) -> None:
        self.journal.append(text.encode())

    def _score(self, records: Sequence[Record]) -> str:
        """Advance the detector over `records` and return their rows."""
        if self._timed and not records[0].stamp:
            raise DataError(
                f"{self.reader.name}: there are no timestamps, but the detector was made for some"
            )
        tick = self.sim.tick
        xs = self.job.inputs(self.sim.model, records)
        if self._warm:
            parts = self._advance(xs)
            self.timed_records += len(xs)
        else:
            parts = self.watch.without(lambda: self._compile(xs[:1])) + self._advance(xs[1:])
            self.timed_records += len(xs) - 1
        self.records += len(records)
        out = {name: _join(parts, name) for name in self.job.columns}
        return self.job.rows(self.journal.path, records, out, self.alarms, tick)

    def _compile(self, xs: FloatArray) -> list[Any]:
        """Advance over the first record, which is where kernels are compiled or loaded."""
        timer = threading.Timer(_SILENCE, self._on_compile)
        timer.daemon = True
        if self.sim.backend != "numpy":
            timer.start()
        try:
            return self._advance(xs)
        finally:
            timer.cancel()
            self._warm = True

    def _advance(self, xs: FloatArray) -> list[Any]:
        """Run over all of `xs`; an interrupt that a `Stop` knows of waits until that is done."""
        parts = []
        while len(xs):
            start = self.sim.tick
            try:
                parts.append(self.sim.run(xs, progress=False))
            except RunInterrupted as interrupt:
                if self.stop is None:
                    raise
                self.stop.request(signal.SIGINT)
                parts.append(interrupt.recording)
            xs = xs[self.sim.tick - start :]
        return parts


def _join(parts: list[Any], name: str) -> FloatArray:
    return np.concatenate([part[name][:, 0] for part in parts])
