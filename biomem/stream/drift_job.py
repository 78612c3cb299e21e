"""The drift detector's part of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biomem.models.htm.hybrid import HTMDriftDetector, HTMDriftParams
from biomem.stream.drift_options import DriftOptions
from biomem.stream.drift_rows import COLUMNS, Drifts, drift_header, drift_rows, write_events
from biomem.stream.job import Job
from biomem.stream.output import Outputs
from biomem.stream.picture import draw_drift
from biomem.stream.records import Record
from biomem.stream.report import RunReport
from biomem.typing import FloatArray

__all__ = ["DriftJob", "DriftReport"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftReport(RunReport):
    """Outcome of a run of `biomem.stream.drift`.

    Parameters
    ----------
    drifts : int
        Over the whole stream.
    first_drifts : tuple of str
        Timestamps of the first few.
    phase : str
        Of the last record.
    flat : int
        Records with a value that stood still.
    events : Path or None
        File of the drifts; None if nothing was scored.
    """

    drifts: int
    first_drifts: tuple[str, ...]
    phase: str
    flat: int
    events: Path | None

    def found(self) -> list[tuple[str, str]]:
        """Return the lines of the table about drifts."""
        more = ", ..." if self.drifts > len(self.first_drifts) else ""
        text = f"{self.drifts:,}: {', '.join(self.first_drifts)}{more}" if self.drifts else "none"
        rows = [("drifts", text), ("phase", self.phase)]
        if self.flat:
            rows.append(("flat", f"{self.flat:,} records"))
        return rows

    def files(self) -> list[tuple[str, str]]:
        """Return the lines of the table about files of rows."""
        return [("rows", str(self.scores)), ("events", str(self.events))]


class DriftJob(Job):
    """Watches for changes that stay, and tells what the monitor made of every record."""

    name = "drift"
    stem = "drift"
    model = HTMDriftDetector
    tally = Drifts
    columns = COLUMNS

    options: DriftOptions

    def params(
        self, low: float, high: float, *, records: int | None, timed: bool
    ) -> HTMDriftParams:
        """Return the detector's parameters."""
        return self.options.detector(low, high, timed=timed)

    def begin(self, params: HTMDriftParams) -> Drifts:
        """Return drifts of which there are none yet."""
        return Drifts()

    def go_on(self, tally: Drifts, notice: Callable[[str], None]) -> None:
        """Take nothing anew: every option decides what is found."""

    def timed(self, model: HTMDriftDetector) -> bool:
        """Return whether the time of day is encoded."""
        return model.params.detector.time is not None

    def inputs(self, model: HTMDriftDetector, records: Sequence[Record]) -> FloatArray:
        """Return time, reset, value and presence."""
        return np.array([(r.time, r.reset, r.value, 1.0) for r in records], np.float64)

    def header(self, path: Path) -> str:
        """Return the header of a drift file."""
        return drift_header(path)

    def rows(
        self,
        path: Path,
        records: Sequence[Record],
        out: Mapping[str, np.ndarray],
        tally: Drifts,
        tick: int,
    ) -> str:
        """Return rows of what the monitor made of the records."""
        return drift_rows(path, records, out, tally, tick)

    def close(
        self, outputs: Outputs, model: Any, layout: dict[str, Any], tz: str, title: str, plot: bool
    ) -> None:
        """Write the events, and draw the rows."""
        limits = model.params.monitor.limits
        assert outputs.events is not None
        write_events(outputs.scores, outputs.events, limits)
        if plot and outputs.plot is not None:
            draw_drift(outputs.plot, outputs.scores, layout, tz=tz, limits=limits, title=title)

    def report(self, outputs: Outputs, tally: Drifts | None, **common: Any) -> DriftReport:
        """Return the report."""
        events = None if tally is None else outputs.events
        tally = tally or Drifts()
        return DriftReport(
            **common,
            drifts=tally.count,
            first_drifts=tuple(tally.first),
            phase=tally.phase,
            flat=tally.flat,
            events=events,
        )
