"""Drifts of a source: rows are the model's, events are the rows', and resuming is exact."""

import contextlib
import csv
import json
import os

import numpy as np
import pytest

from biomem import HTMDriftDetector, Simulator
from biomem.errors import CheckpointMismatch, OutputError, ParameterError
from biomem.models.htm.drift import Phase
from biomem.models.htm.hybrid import HTMDriftParams, events_of
from biomem.stream import RecordReader
from biomem.stream import journal as journal_module
from biomem.stream.detect import detect
from biomem.stream.drift import DriftOptions, drift
from biomem.stream.drift_rows import COLUMNS, read_drift

OPTIONS = DriftOptions(probation=60, baseline=100, signal="value", test="mean", cooldown=10)


@pytest.fixture
def tiny(small):
    """Return the parameters of a small detector for the options of a drift run."""

    def make(options=OPTIONS):
        p = options.detector(-1.0, 6.0, timed=True)
        d = p.detector.replace(
            spatial_pooler=small.spatial_pooler, temporal_memory=small.temporal_memory
        )
        return p.replace(detector=d)

    return make


@pytest.fixture
def load(tmp_path, series):
    """A daily rhythm that stands three higher from record 300 to 420."""
    path = tmp_path / "load.csv"
    text = series(520).splitlines(keepends=True)
    for k in range(300, 420):
        stamp, _, value = text[k + 1].partition(",")
        text[k + 1] = f"{stamp},{float(value) + 3}\n"
    path.write_text("".join(text))
    return path


def table(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_rows_and_events_are_the_models_own(tmp_path, load, tiny, format) -> None:
    report = drift(load, tmp_path / "out", OPTIONS, params=tiny(), format=format)
    assert report.scores.name == f"drift.{format}"
    assert report.events == tmp_path / "out" / f"events.{format}"
    assert report.plot.exists()
    with RecordReader(load) as reader:
        records = list(reader)
    xs = np.array([(r.time, r.reset, r.value, 1.0) for r in records])[:, None]
    want = Simulator(HTMDriftDetector(tiny()), backend="numpy").run(xs)
    rows = table(report.scores)
    assert [row["timestamp"] for row in rows] == [r.stamp for r in records]
    for name in COLUMNS:
        expected = want[name].reshape(len(records), -1)[:, 0]
        got = [row[name] for row in rows]
        if name == "phase":
            assert got == [Phase(p).name.lower() for p in expected]
        else:
            got = [np.nan if v in ("", None) else float(v) for v in got]
            np.testing.assert_array_equal(got, expected)
    events = table(report.events)
    found = events_of(tiny(), want)
    assert len(events) == len(found) == report.drifts >= 1
    for row, event in zip(events, found, strict=True):
        for name in ("record", "direction", "onset", "S", "A", "B", "n", "before", "after"):
            assert float(row[name]) == getattr(event, name)
        assert row["timestamp"] == records[event.record].stamp
        assert row["onset_timestamp"] == records[event.onset].stamp
    assert 300 <= found[0].record < 420
    assert abs(found[0].onset - 300) < 24
    assert report.first_drifts[0] == events[0]["timestamp"]
    text = str(report)
    assert f"drifts          {len(found)}: {events[0]['timestamp']}" in text
    assert str(report.events) in text


def test_columns_read_back(tmp_path, load, tiny) -> None:
    report = drift(load, tmp_path / "o.csv", OPTIONS, params=tiny(), plot=False)
    assert report.events == tmp_path / "o.events.csv"
    columns = read_drift(report.scores, "iso")
    assert len(columns.times) == 520
    assert columns.times[1] - columns.times[0] == 3600
    assert columns.phase[0] == Phase.PROBATION
    assert columns.drifts
    assert columns.onsets[0] <= columns.drifts[0]


def test_a_quiet_series_has_no_drift_and_an_event_file_without_rows(tmp_path, tiny, series) -> None:
    path = tmp_path / "quiet.csv"
    path.write_text(series(290))
    report = drift(path, tmp_path / "o.csv", OPTIONS, params=tiny(), plot=False)
    assert (report.drifts, report.phase) == (0, "normal")
    assert table(report.events) == []
    assert report.events.read_text().startswith("timestamp,record,direction,onset,")


def test_a_sensor_that_stands_still_is_counted(tmp_path, tiny) -> None:
    path = tmp_path / "still.csv"
    lines = [f"2024-05-01 {k // 60:02}:{k % 60:02},{min(k, 30)}\n" for k in range(60)]
    path.write_text("time,load\n" + "".join(lines))
    options = DriftOptions(probation=20, flatline=10)
    report = drift(path, tmp_path / "o.csv", options, params=tiny(options), plot=False)
    assert report.flat == 21
    assert [row["flat"] for row in table(report.scores)][38:40] == ["0", "1"]
    assert "flat            21 records" in str(report)


def test_a_new_file_goes_on_counting_and_its_onsets_may_stand_in_the_old_one(
    tmp_path, load, tiny
) -> None:
    text = load.read_text().splitlines(keepends=True)
    whole = drift(load, tmp_path / "w.csv", OPTIONS, params=tiny(), plot=False)
    (event,) = table(whole.events)
    first, cut = tmp_path / "first.csv", int(event["record"]) - 3
    first.write_text("".join(text[: cut + 1]))
    go = {"params": tiny(), "resume": tmp_path / "ck", "on_event": lambda *event: None}
    drift(first, tmp_path / "a.csv", OPTIONS, plot=False, **go)
    first.write_text("".join(text))
    report = drift(first, tmp_path / "b.csv", OPTIONS, **go)
    assert table(report.scores) == table(whole.scores)[cut:]
    assert table(report.events) == [{**event, "onset_timestamp": ""}]
    assert read_drift(report.scores, "iso").onsets == (0,)
    assert report.plot.exists()


class Killed(BaseException):
    """Ends a run between two system calls; nothing may be tidied up after it."""


def kill_at(monkeypatch, step):
    left = [step]

    def dying(write):
        def call(*arguments, **more):
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return write(*arguments, **more)

        return call

    monkeypatch.setattr(journal_module, "_write_at", dying(journal_module._write_at))
    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(os, "truncate", dying(os.truncate))
    return left


def test_killed_at_every_write_and_resumed_it_equals_one(tmp_path, load, tiny) -> None:
    def go(name, **changes):
        told = {"params": tiny(), "plot": False, "on_event": lambda *event: None, **changes}
        return drift(load, tmp_path / name, OPTIONS, **told)

    load.write_bytes(load.read_bytes()[:-1])
    whole = go("whole.csv")
    want = whole.scores.read_bytes(), whole.events.read_bytes()
    ck = tmp_path / "ck"
    for step in range(1, 100):
        for path in (ck, tmp_path / "o.csv", tmp_path / "o.events.csv"):
            path.unlink(missing_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            left = kill_at(patch, step)
            with contextlib.suppress(Killed):
                go("o.csv", resume=ck, save_every=150)
            over = left[0] > 0
        if over:
            break
        report = go("o.csv", resume=ck, save_every=70)
        assert (report.scores.read_bytes(), report.events.read_bytes()) == want
        assert (report.drifts, report.phase) == (whole.drifts, whole.phase)
    assert step > 10


def test_checkpoints_of_another_kind_or_of_other_options_are_refused(
    tmp_path, load, tiny, small
) -> None:
    drift(load, tmp_path / "o.csv", OPTIONS, params=tiny(), plot=False, save=tmp_path / "d.ck")
    detect(load, tmp_path / "s.csv", params=small, plot=False, save=tmp_path / "s.ck")
    with pytest.raises(CheckpointMismatch, match="of HTMDetector, but not of a drift run"):
        drift(load, tmp_path / "o.csv", OPTIONS, params=tiny(), resume=tmp_path / "s.ck")
    with pytest.raises(CheckpointMismatch, match="of HTMDriftDetector, but not of a detect run"):
        detect(load, tmp_path / "s.csv", params=small, resume=tmp_path / "d.ck")
    other = OPTIONS.replace(cooldown=11)
    with pytest.raises(CheckpointMismatch, match="cooldown was 10 and is 11"):
        drift(load, tmp_path / "o.csv", other, params=tiny(), resume=tmp_path / "d.ck")


def test_an_event_file_that_cannot_be_is_found_out_before_any_work(tmp_path, load, tiny) -> None:
    (tmp_path / "o.events.csv").mkdir()
    with pytest.raises(OutputError, match=r"o\.events\.csv"):
        drift(load, tmp_path / "o.csv", OPTIONS, params=tiny())
    assert not (tmp_path / "o.csv").exists()
    with pytest.raises(ParameterError, match="the input and the events are the same file"):
        drift(tmp_path / "o.events.csv", tmp_path / "o.csv", OPTIONS, params=tiny())


def test_options_become_the_detector_they_say() -> None:
    p = DriftOptions().detector(0.0, 10.0, timed=False)
    assert p.detector.time is None
    assert (p.signal, p.predictor, p.monitor.side) == ("log_likelihood", None, "up")
    assert p.monitor.probation == 388
    options = DriftOptions(signal="residual", test="mean", on_drift=("reset", "faster"))
    p = options.detector(0.0, 10.0, timed=True)
    assert p.predictor is not None
    assert p.on_drift == ("reset", "faster")
    assert p.monitor.side == "both"
    paper = DriftOptions(preset="paper", kind="slow").detector(0.0, 10.0, timed=True)
    assert paper == HTMDriftParams.paper({"value": (0.0, 10.0)}, drift="slow")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"signal": "mood"}, "DriftOptions.signal must be one of log_likelihood"),
        ({"test": "median"}, "DriftOptions.test must be one of share"),
        ({"side": "left"}, "DriftOptions.side must be up, down or both"),
        ({"shift": 0.0}, "DriftOptions.shift must be a number > 0"),
        ({"shift": 0.97}, "DriftOptions.shift must be below 0.95"),
        ({"baseline": 3}, "DriftOptions.baseline must be an integer >= 40"),
        ({"false_alarm_every": 0.0}, "DriftOptions.false_alarm_every must be"),
        ({"flatline": -1}, "DriftOptions.flatline must be a whole number"),
        ({"on_drift": ("restart",)}, "DriftOptions.on_drift must be different ones of reset, "),
        ({"preset": "paper", "test": "mean"}, "the paper preset has a test of its own"),
        ({"minimum": 1.0}, "DriftOptions: give both minimum and maximum"),
        ({"preset": "nab"}, "DriftOptions.preset must be one of live, paper"),
    ],
)
def test_options_out_of_range_are_refused(changes, text) -> None:
    with pytest.raises(ParameterError, match=text):
        DriftOptions(**changes)
