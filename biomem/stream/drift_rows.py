"""Rows of a drift file: how they are written, how they are read, and the events in them."""

from __future__ import annotations

import dataclasses
import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biomem.engine.atomic import replace_file
from biomem.models.htm.drift import Phase
from biomem.stream.records import Record
from biomem.stream.scores import StampClock, csv_text, stamp_of
from biomem.typing import FloatArray

__all__ = ["COLUMNS", "DriftColumns", "Drifts", "drift_header", "drift_rows", "read_drift"]

COLUMNS = (
    *("score", "signal", "phase", "statistic", "direction", "n"),
    *("onset", "before", "after", "flat", "drift"),
)
"""Columns of the model, after those of the record."""

_FIXED = ("timestamp", "value", "record")

EVENTS = (
    *("timestamp", "record", "direction", "onset", "onset_timestamp"),
    *("S", "A", "B", "n", "before", "after"),
)

PHASES = tuple(phase.name.lower() for phase in Phase)
_FIRST = 5


@dataclasses.dataclass
class Drifts:
    """What was found so far.

    Parameters
    ----------
    count : int
        Drifts.
    first : list of str
        Stamps of the first few.
    phase : str
        Of the last record.
    flat : int
        Records with a value that stood still.
    """

    count: int = 0
    first: list[str] = dataclasses.field(default_factory=list)
    phase: str = PHASES[0]
    flat: int = 0


def drift_header(path: Path) -> str:
    """Return what a drift file begins with: a line of names in CSV, nothing in JSONL."""
    return "" if path.suffix == ".jsonl" else ",".join((*_FIXED, *COLUMNS)) + "\n"


def drift_rows(
    path: Path,
    records: Sequence[Record],
    out: Mapping[str, np.ndarray],
    drifts: Drifts,
    tick: int,
) -> str:
    """Return the rows of `records`, numbers so that they read back; `drifts` is moved on.

    Parameters
    ----------
    out : mapping of str to array
        Outputs of an `HTMDriftDetector` of one field.
    tick : int
        Number of the first record, which rows and onsets go by.
    """
    row = _json_row if path.suffix == ".jsonl" else _csv_row
    told = [out[name].reshape(len(records), -1)[:, 0].tolist() for name in COLUMNS]
    lines = []
    for now, (record, *fields) in enumerate(zip(records, *told, strict=True), tick):
        stamp = stamp_of(record)
        values: dict[str, Any] = dict(zip(COLUMNS, fields, strict=True))
        values["phase"] = drifts.phase = PHASES[values["phase"]]
        drifts.flat += values["flat"]
        if values["drift"]:
            drifts.count += 1
            if len(drifts.first) < _FIRST:
                drifts.first.append(stamp)
        lines.append(row(stamp, record.value, now, values))
    return "".join(lines)


def _csv_row(stamp: str, value: float, tick: int, values: Mapping[str, Any]) -> str:
    cells = [csv_text(stamp), repr(value), str(tick), *(_cell(v) for v in values.values())]
    return ",".join(cells) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def _json_row(stamp: str, value: float, tick: int, values: Mapping[str, Any]) -> str:
    known = {k: None if v != v else v for k, v in values.items()}
    row = {"timestamp": stamp, "value": value, "record": tick, **known}
    return json.dumps(row, ensure_ascii=False) + "\n"


class DriftColumns(NamedTuple):
    """A drift file as columns of n records."""

    times: FloatArray
    """Wall clock, s since 1970, or ticks."""
    values: FloatArray
    statistic: FloatArray
    phase: np.ndarray[Any, np.dtype[np.int8]]
    stamps: tuple[str, ...]
    """The first record's timestamp, empty if the times are ticks."""
    drifts: tuple[int, ...]
    """Rows that decided for a drift."""
    onsets: tuple[int, ...]
    """Rows at which those began; the first row for one that began in an earlier file."""


def read_drift(path: Path, time_format: str | None, tz: str = "UTC") -> DriftColumns:
    """Read a drift file that `biomem.stream.drift` wrote.

    Parameters
    ----------
    path : Path
    time_format : str or None
        Format of the timestamps as `ReadOptions.time_format` names it; None: they are ticks.
    tz : str
        As in `ReadOptions`.
    """
    clock = StampClock(time_format, tz)
    times, values, statistic, phase = array("d"), array("d"), array("d"), array("b")
    drifts, onsets, first, place = [], [], "", array("q")
    for number, row in enumerate(_fields(path)):
        first = first or row["timestamp"]
        place.append(int(row["record"]))
        times.append(clock.wall(row["timestamp"]))
        values.append(float(row["value"]))
        statistic.append(float(row["statistic"]))
        phase.append(PHASES.index(row["phase"]))
        if int(row["drift"]):
            drifts.append(number)
            onsets.append(int(row["onset"]))
    rows = {tick: number for number, tick in enumerate(place)} if onsets else {}
    return DriftColumns(
        np.asarray(times),
        np.asarray(values),
        np.asarray(statistic),
        np.asarray(phase, np.int8),
        ("",) if time_format is None else (first,),
        tuple(drifts),
        tuple(rows.get(onset, 0) for onset in onsets),
    )


def write_events(rows: Path, events: Path, limits: tuple[float, float]) -> None:
    """Write the drifts that are in a drift file to `events`, in its format, atomically.

    Parameters
    ----------
    limits : (float, float)
        Lower and upper limit of the statistic.
    """
    wanted = {int(row["onset"]) for row in _fields(rows) if int(row["drift"])}
    stamps, found = {}, []
    for row in _fields(rows):
        record = int(row["record"])
        if record in wanted:
            stamps[record] = row["timestamp"]
        if not int(row["drift"]):
            continue
        onset = int(row["onset"])
        found.append(
            {
                "timestamp": row["timestamp"],
                "record": record,
                "direction": int(row["direction"]),
                "onset": onset,
                # An onset is never later; it may stand in an earlier file of the stream.
                "onset_timestamp": stamps.get(onset, ""),
                "S": float(row["statistic"]),
                "A": limits[1],
                "B": limits[0],
                "n": int(row["n"]),
                "before": float(row["before"]),
                "after": float(row["after"]),
            }
        )
    if events.suffix == ".jsonl":
        text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in found)
    else:
        lines = [",".join(EVENTS)]
        for event in found:
            cells = [csv_text(v) if isinstance(v, str) else _cell(v) for v in event.values()]
            lines.append(",".join(cells))
        text = "\n".join(lines) + "\n"
    replace_file(events, text.encode())


def _fields(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        if path.suffix == ".jsonl":
            for line in file:
                yield json.loads(line)
            return
        file.readline()
        for line in file:
            stamp, *cells = line.rstrip("\n").rsplit(",", len(COLUMNS) + 2)
            if stamp.startswith('"'):
                stamp = stamp[1:-1].replace('""', '"')
            yield dict(zip((*_FIXED, *COLUMNS), (stamp, *cells), strict=True))
