"""Rows of a score file: which record raises an alarm, how a row is written, how it is read."""

from __future__ import annotations

import dataclasses
import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biomem.stream.records import Record
from biomem.stream.timestamps import StampParser, detect_format, stamp_parser
from biomem.typing import FloatArray

__all__ = [
    "FORMATS",
    "Alarms",
    "ScoreColumns",
    "StampClock",
    "csv_text",
    "format_rows",
    "header_of",
    "read_scores",
    "stamp_of",
]

FORMATS = ("csv", "jsonl")

_NAMES = ("timestamp", "value", "raw", "likelihood", "score", "alarm")
_FIRST = 5


@dataclasses.dataclass
class Alarms:
    """Finds the records that raise an alarm: the first of each stretch of high scores.

    Parameters
    ----------
    probation : int
        Ticks at the start that raise none.
    threshold : float
        A score is high from here on.
    above : bool
        Whether the last record was high.
    count : int
        Alarms so far.
    first : list of str
        Stamps of the first few.
    """

    probation: int
    threshold: float
    above: bool = False
    count: int = 0
    first: list[str] = dataclasses.field(default_factory=list)

    def judge(self, tick: int, score: float, stamp: str) -> bool:
        """Take the score of the next record; whether it raises an alarm."""
        high = score >= self.threshold and tick >= self.probation
        raised = high and not self.above
        self.above = high
        if raised:
            self.count += 1
            if len(self.first) < _FIRST:
                self.first.append(stamp)
        return raised


def header_of(path: Path) -> str:
    """Return what a score file begins with: a line of names in CSV, nothing in JSONL."""
    return "" if path.suffix == ".jsonl" else ",".join(_NAMES) + "\n"


def stamp_of(record: Record) -> str:
    """Return the timestamp as it stood in the file, or the tick if there are none."""
    return record.stamp or str(int(record.time))


def format_rows(
    path: Path,
    records: Sequence[Record],
    raw: FloatArray,
    likelihood: FloatArray,
    score: FloatArray,
    alarms: Alarms,
    tick: int,
) -> str:
    """Return the rows of `records` for a score file called `path`, numbers so that they read back.

    Parameters
    ----------
    raw, likelihood, score : ndarray of shape (n,)
        Scores of the n records.
    alarms : Alarms
        Is moved on.
    tick : int
        Tick of the first record.
    """
    row = _json_row if path.suffix == ".jsonl" else _csv_row
    lines = []
    columns = zip(records, raw.tolist(), likelihood.tolist(), score.tolist(), strict=True)
    for now, (record, r, chance, s) in enumerate(columns, tick):
        stamp = stamp_of(record)
        lines.append(row(stamp, record.value, r, chance, s, alarms.judge(now, s, stamp)))
    return "".join(lines)


def csv_text(text: str) -> str:
    """Return `text` as a CSV cell, quoted where it has to be."""
    if '"' in text or "," in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def _csv_row(stamp: str, value: float, raw: float, chance: float, score: float, alarm: bool) -> str:
    return f"{csv_text(stamp)},{value!r},{raw!r},{chance!r},{score!r},{alarm:d}\n"


def _json_row(
    stamp: str, value: float, raw: float, chance: float, score: float, alarm: bool
) -> str:
    return (
        f'{{"timestamp": {json.dumps(stamp, ensure_ascii=False)}, "value": {value!r}, '
        f'"raw": {raw!r}, "likelihood": {chance!r}, "score": {score!r}, "alarm": {alarm:d}}}\n'
    )


class ScoreColumns(NamedTuple):
    """A score file as columns of n records, as `biomem.viz.plot_anomalies` wants them."""

    times: FloatArray
    """Wall clock, s since 1970, or ticks."""
    values: FloatArray
    scores: FloatArray
    alarms: np.ndarray[Any, np.dtype[np.bool_]]
    stamps: tuple[str, ...]
    """The first record's timestamp, empty if the times are ticks."""


def read_scores(path: Path, time_format: str | None, tz: str = "UTC") -> ScoreColumns:
    """Read a score file that `biomem.stream.detect` wrote.

    Parameters
    ----------
    path : Path
    time_format : str or None
        Format of the timestamps as `ReadOptions.time_format` names it; None: they are ticks.
        Stamps of another format (a stream may go through several files) are recognised.
    tz : str
        As in `ReadOptions`.
    """
    clock = StampClock(time_format, tz)
    times, values, scores, alarms = array("d"), array("d"), array("d"), array("b")
    first = ""
    for stamp, value, score, alarm in _fields(path):
        first = first or stamp
        times.append(clock.wall(stamp))
        values.append(float(value))
        scores.append(float(score))
        alarms.append(int(alarm))
    return ScoreColumns(
        np.asarray(times),
        np.asarray(values),
        np.asarray(scores),
        np.asarray(alarms, dtype=bool),
        ("",) if time_format is None else (first,),
    )


def _fields(path: Path) -> Iterator[tuple[str, Any, Any, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        if path.suffix == ".jsonl":
            for line in file:
                row = json.loads(line)
                yield row["timestamp"], row["value"], row["score"], row["alarm"]
            return
        file.readline()
        for line in file:
            stamp, value, _, _, score, alarm = line.rsplit(",", 5)
            if stamp.startswith('"'):
                stamp = stamp[1:-1].replace('""', '"')
            yield stamp, value, score, alarm


class StampClock:
    """Wall-clock times of the stamps in a file of rows.

    Parameters
    ----------
    time_format : str or None
    tz : str
        As in `read_scores`.
    """

    def __init__(self, time_format: str | None, tz: str) -> None:
        self._tz = tz
        self._parse: StampParser = _tick if time_format is None else stamp_parser(time_format, tz)
        self._newest: float | None = None
        self._wall = 0.0

    def wall(self, stamp: str) -> float:
        """Return the time of the next row's stamp, s since 1970, or its tick."""
        try:
            instant, self._wall = self._parse(stamp, self._newest)
        except (ValueError, OverflowError):
            other = detect_format(stamp)
            if other is None:
                return self._wall  # of a file whose format was given by hand: drawn in its place
            self._parse = stamp_parser(other, self._tz)
            instant, self._wall = self._parse(stamp, self._newest)
        self._newest = instant if self._newest is None else max(instant, self._newest)
        return self._wall


def _tick(stamp: str, newest: float | None) -> tuple[float, float]:
    return float(stamp), float(stamp)
