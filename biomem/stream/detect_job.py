"""The anomaly detector's part of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biomem.models.htm.detector import HTMDetector, HTMDetectorParams
from biomem.stream.detect_options import DetectOptions
from biomem.stream.job import Job
from biomem.stream.output import Outputs
from biomem.stream.picture import draw
from biomem.stream.records import Record
from biomem.stream.report import DetectReport
from biomem.stream.scores import Alarms, format_rows, header_of
from biomem.typing import FloatArray

__all__ = ["DetectJob"]


class DetectJob(Job):
    """Scores every record, and raises an alarm at the first of each stretch of high scores."""

    name = "detect"
    stem = "scores"
    model = HTMDetector
    tally = Alarms
    columns = ("raw", "likelihood", "score")

    options: DetectOptions

    def params(
        self, low: float, high: float, *, records: int | None, timed: bool
    ) -> HTMDetectorParams:
        """Return the detector's parameters."""
        return self.options.detector(low, high, records=records, timed=timed)

    def begin(self, params: HTMDetectorParams) -> Alarms:
        """Return alarms of which there are none yet."""
        return Alarms(params.likelihood.first_estimate, self.options.threshold)

    def go_on(self, tally: Alarms, notice: Callable[[str], None]) -> None:
        """Take the threshold of now."""
        now = self.options.threshold
        if tally.threshold != now:
            notice(f"the threshold was {tally.threshold:g} and is {now:g} from here on")
            tally.threshold = now

    def timed(self, model: HTMDetector) -> bool:
        """Return whether the time of day is encoded."""
        return model.params.time is not None

    def inputs(self, model: HTMDetector, records: Sequence[Record]) -> FloatArray:
        """Return value, time and reset."""
        return np.array([(r.value, r.time, r.reset) for r in records], np.float64)

    def header(self, path: Path) -> str:
        """Return the header of a score file."""
        return header_of(path)

    def rows(
        self,
        path: Path,
        records: Sequence[Record],
        out: Mapping[str, np.ndarray],
        tally: Alarms,
        tick: int,
    ) -> str:
        """Return rows of scores."""
        raw, likelihood, score = (out[name] for name in self.columns)
        return format_rows(path, records, raw, likelihood, score, tally, tick)

    def close(
        self, outputs: Outputs, model: Any, layout: dict[str, Any], tz: str, title: str, plot: bool
    ) -> None:
        """Draw the scores."""
        if plot and outputs.plot is not None:
            threshold = self.options.threshold
            draw(outputs.plot, outputs.scores, layout, tz=tz, threshold=threshold, title=title)

    def report(self, outputs: Outputs, tally: Alarms | None, **common: Any) -> DetectReport:
        """Return the report."""
        if tally is None:
            tally = Alarms(self.options.prefix, self.options.threshold)
        first = tuple(tally.first)
        return DetectReport(
            **common, alarms=tally.count, first_alarms=first, probation=tally.probation
        )
