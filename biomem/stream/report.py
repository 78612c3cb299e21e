"""What a run did."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

from biomem.stream.events import Counts

__all__ = ["DetectReport", "RunReport"]

_SKIPPED = {
    "bad": "unreadable",
    "missing": "without a value",
    "out_of_range": "out of range",
    "late": "late",
    "duplicate": "duplicate",
    "overlong": "overlong",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunReport:
    """Outcome of a run; its text is a closing table.

    Parameters
    ----------
    records : int
        Scored by this run.
    total_records : int
        Scored by this run and those it continued.
    counts : Counts
        What became of the rows, over the whole stream.
    kept : tuple of str
        Which of late and duplicate rows were scored rather than skipped.
    range : (float, float) or None
        Expected range of the values, None if the detector was given or not yet built.
    seconds, cpu_seconds : float
        Wall and processor time of reading, scoring and writing, without compiling.
    timed_records : int
        Records those times are for.
    scores : Path
        The file of rows.
    plot, checkpoint : Path or None
        None if there is none.
    resumed : bool
    stopped : int or None
        The signal that ended the run early.
    """

    records: int
    total_records: int
    counts: Counts
    kept: tuple[str, ...]
    range: tuple[float, float] | None
    seconds: float
    cpu_seconds: float
    timed_records: int
    scores: Path
    plot: Path | None
    checkpoint: Path | None
    resumed: bool
    stopped: int | None

    def found(self) -> list[tuple[str, str]]:
        """Return the lines of the table about what was found."""
        return []

    def files(self) -> list[tuple[str, str]]:
        """Return the lines of the table about files of rows."""
        return [("scores", str(self.scores))]

    @property
    def records_per_second(self) -> float:
        """Records per second of wall time; 0 if nothing was timed."""
        return self.timed_records / self.seconds if self.seconds > 0 else 0.0

    @property
    def records_per_cpu_second(self) -> float:
        """Records per second of processor time; 0 if nothing was timed."""
        return self.timed_records / self.cpu_seconds if self.cpu_seconds > 0 else 0.0

    @property
    def skipped(self) -> dict[str, int]:
        """Rows that were not scored, by kind; kinds that did not occur are left out."""
        counts = {kind: getattr(self.counts, kind) for kind in _SKIPPED if kind not in self.kept}
        return {kind: count for kind, count in counts.items() if count}

    def lines(self) -> list[tuple[str, str]]:
        """Return the table as pairs of name and text."""
        rows = [("records", self._records())]
        skipped = ", ".join(f"{n:,} {_SKIPPED[kind]}" for kind, n in self.skipped.items())
        rows.append(("skipped", skipped or "none"))
        if self.counts.gaps:
            rows.append(("gaps", f"{self.counts.gaps:,}"))
        rows += self.found()
        if self.range is not None:
            rows.append(("expected range", f"{self.range[0]:g} to {self.range[1]:g}"))
        if self.timed_records:
            rate, cpu = self.records_per_second, self.records_per_cpu_second
            rows.append(("speed", f"{rate:,.0f} records/s, {cpu:,.0f} per CPU-second"))
        if self.total_records:
            rows += self.files()
        if self.plot is not None:
            rows.append(("plot", str(self.plot)))
        if self.checkpoint is not None:
            rows.append(("checkpoint", str(self.checkpoint)))
        if self.stopped is not None:
            rows.append(("stopped by", signal.Signals(self.stopped).name))
        return rows

    def __str__(self) -> str:
        return "\n".join(f"{name:<15} {text}" for name, text in self.lines())

    def _records(self) -> str:
        if not self.resumed:
            return f"{self.records:,}"
        return f"{self.records:,} in this run, {self.total_records:,} in all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectReport(RunReport):
    """Outcome of a run of `biomem.stream.detect`.

    Parameters
    ----------
    alarms : int
        Over the whole stream.
    first_alarms : tuple of str
        Timestamps of the first few.
    probation : int
        Records at the start that raise no alarm.
    """

    alarms: int
    first_alarms: tuple[str, ...]
    probation: int

    def found(self) -> list[tuple[str, str]]:
        """Return the lines of the table about alarms."""
        return [("alarms", self._alarms())]

    def _alarms(self) -> str:
        if not self.alarms:
            learning = self.total_records <= self.probation
            note = f" (the first {self.probation:,} records raise none)" if learning else ""
            return f"none{note}"
        more = ", ..." if self.alarms > len(self.first_alarms) else ""
        return f"{self.alarms:,}: {', '.join(self.first_alarms)}{more}"
