"""What a run writes and reports."""

import csv
import io
import json
import os
import threading

import numpy as np
import pytest

from biomem import HTMDetector, Simulator
from biomem.errors import BiomemWarning, DataError, OutputError, ParameterError
from biomem.models.htm.detector import HTMDetectorParams
from biomem.stream import ReadOptions, RecordReader
from biomem.stream.detect import DetectOptions, detect
from biomem.stream.inputs import Input
from biomem.stream.stopping import Stop, StoppableInput


@pytest.fixture
def source(tmp_path, series):
    path = tmp_path / "load.csv"
    path.write_text(series(400))
    return path


def records_of(path):
    with RecordReader(path, on_event=lambda *event: None) as reader:
        return list(reader)


def scores_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_the_records_and_the_model_s_own_numbers(tmp_path, source, series, small):
    source.write_text(series(250) + series(340, 490))
    with pytest.warns(BiomemWarning, match="gap of more than"):
        report = detect(source, tmp_path / "out", params=small, plot=False)
    assert report.scores == tmp_path / "out" / "scores.csv"
    records = records_of(source)
    xs = np.array([(r.value, r.time, r.reset) for r in records])
    assert xs[:, 2].sum() == 1
    expected = Simulator(HTMDetector(small), backend="numpy").run(xs)
    rows = scores_of(report.scores)
    assert [row["timestamp"] for row in rows] == [r.stamp for r in records]
    for column, wanted in (
        ("value", [r.value for r in records]),
        *((name, expected[name][:, 0]) for name in ("raw", "likelihood", "score")),
    ):
        assert [float(row[column]) for row in rows] == list(wanted)
    assert report.records == report.total_records == report.counts.records == 400


def test_an_alarm_is_the_first_record_of_each_stretch_after_the_probation(tmp_path, source, small):
    options = DetectOptions(threshold=0.03)
    report = detect(source, tmp_path / "out.csv", options, params=small, plot=False)
    rows = scores_of(report.scores)
    high = [k >= 60 and float(row["score"]) >= 0.03 for k, row in enumerate(rows)]
    wanted = [h and not before for h, before in zip(high, [False, *high], strict=False)]
    assert [row["alarm"] == "1" for row in rows] == wanted
    assert float(rows[59]["score"]) >= 0.03
    assert report.alarms == sum(wanted) > 0
    alarmed = [row["timestamp"] for row, alarm in zip(rows, wanted, strict=True) if alarm]
    assert report.first_alarms == tuple(alarmed[:5])
    assert f"{report.alarms}: {alarmed[0]}, " in str(report)


def test_jsonl_holds_the_same_as_csv(tmp_path, source, small):
    detect(source, tmp_path / "a", params=small, plot=False)
    report = detect(source, tmp_path / "a", params=small, plot=False, format="jsonl")
    assert report.scores == tmp_path / "a" / "scores.jsonl"
    rows = [json.loads(line) for line in report.scores.read_text().splitlines()]
    as_text = [{k: str(v) for k, v in row.items()} for row in rows]
    assert as_text == scores_of(tmp_path / "a" / "scores.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "folder"])
def test_the_picture_lies_beside_the_scores(tmp_path, source, small, name):
    report = detect(source, tmp_path / name, params=small)
    assert report.plot == report.scores.with_suffix(".png")
    assert report.plot.read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("**/*.tmp"))


def test_chunks_and_checkpoints_change_no_byte(tmp_path, source, small):
    plain = detect(source, tmp_path / "a.csv", params=small, plot=False).scores.read_bytes()
    for every in (67, 399, 400, 1000):
        report = detect(
            source,
            tmp_path / "b.csv",
            params=small,
            plot=False,
            save=tmp_path / f"{every}.ck",
            save_every=every,
        )
        assert report.scores.read_bytes() == plain


def test_the_backends_agree(tmp_path, source, small):
    texts = {
        backend: detect(
            source, tmp_path / f"{backend}.csv", params=small, plot=False, backend=backend
        ).scores.read_text()
        for backend in ("numpy", "numba")
    }
    assert texts["numpy"] == texts["numba"]


def params_of(checkpoint):
    return Simulator.load(checkpoint).model.params


def test_the_live_range_is_that_of_the_probation(tmp_path, series):
    path = tmp_path / "a.csv"
    path.write_text(series(40) + "2025-01-01 00:00:00,1000\n")
    with pytest.warns(BiomemWarning, match="gap of more than"):
        report = detect(
            path, tmp_path / "o.csv", DetectOptions(probation=40), plot=False, save=tmp_path / "ck"
        )
    values = [r.value for r in records_of(path)[:40]]
    assert report.range == (min(values), max(values))
    assert params_of(tmp_path / "ck") == HTMDetectorParams.for_range(*report.range, probation=40)
    assert report.probation == 40
    assert report.counts.gaps == 1


def test_a_shorter_file_has_the_range_of_what_there_is(tmp_path, series):
    path = tmp_path / "a.csv"
    path.write_text(series(30))
    report = detect(path, tmp_path / "o.csv", plot=False)
    assert report.records == 30
    assert "the first 388 records raise none" in str(report)


def test_a_given_range_and_no_timestamps(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1\n2\n3\n")
    options = DetectOptions(minimum=-5, maximum=5, range_rule=True, probation=9)
    report = detect(path, tmp_path / "o.csv", options, save=tmp_path / "ck")
    assert params_of(tmp_path / "ck") == HTMDetectorParams.for_range(
        -5.0, 5.0, probation=9, time_of_day=False, range_rule=True
    )
    assert [row["timestamp"] for row in scores_of(report.scores)] == ["0", "1", "2"]
    assert report.plot is not None


def test_the_nab_preset_looks_ahead_and_keeps_every_row(tmp_path, series):
    path = tmp_path / "a.csv"
    path.write_text(series(20) + "2024-05-01 00:00:00,-7.0\n" * 2)
    options = DetectOptions(preset="nab")
    with pytest.warns(BiomemWarning, match="kept, as are further ones"):
        report = detect(path, tmp_path / "o.csv", options, plot=False, save=tmp_path / "ck")
    assert report.records == 22
    assert report.range[0] == -7.0
    assert params_of(tmp_path / "ck") == HTMDetectorParams.nab(*report.range, 22)
    assert report.skipped == {}


def test_a_file_object_is_surveyed_from_where_it_stands(series):
    text = series(20).encode()
    source = io.BytesIO(b"xx" + text)
    source.seek(2)
    feed = Input(source)
    values = [r.value for r in RecordReader(io.BytesIO(text))]
    assert feed.survey(ReadOptions()) == (min(values), max(values), 20)
    reader = feed.reader(ReadOptions(), None, lambda *event: None)
    assert [r.value for r in reader.read_chunk(100)] == values


class Pipe:
    """Bytes that arrive in pieces and cannot be read again."""

    def __init__(self, *pieces):
        self.pieces = [piece.encode() for piece in pieces]

    def read(self, size):
        return self.pieces.pop(0) if self.pieces else b""

    def seekable(self):
        return False


def test_a_pipe_is_scored_as_it_comes(tmp_path, series, small):
    out = tmp_path / "o.csv"
    seen = []

    class Watched(Pipe):
        def read(self, size):
            seen.append(out.read_text().count("\n") if out.exists() else 0)
            return super().read(size)

    lines = series(40).splitlines(keepends=True)
    report = detect(Watched(*lines), out, params=small, plot=False, save=tmp_path / "ck")
    # What has been read is in the file, header for header, before the next piece is waited for.
    assert seen[3:] == list(range(3, 42))
    whole = detect(io.BytesIO(series(40).encode()), tmp_path / "w.csv", params=small, plot=False)
    assert report.scores.read_bytes() == whole.scores.read_bytes()


def test_the_nab_preset_refuses_a_pipe(tmp_path, series):
    with pytest.raises(DataError, match="reads its file twice"):
        detect(Pipe(series(10)), tmp_path / "o.csv", DetectOptions(preset="nab"))
    assert not (tmp_path / "o.csv").exists()


def test_a_stop_before_the_range_is_known_scores_nothing(tmp_path, series):
    with Stop() as stop:

        class Asking(Pipe):
            def read(self, size):
                if len(self.pieces) == 1:
                    stop.request()
                return super().read(size)

        said = []
        report = detect(
            Asking(*series(20).splitlines(keepends=True)),
            tmp_path / "o.csv",
            save=tmp_path / "ck",
            stop=stop,
            on_event=lambda kind, message: said.append(message),
        )
    assert (report.records, report.checkpoint) == (0, None)
    assert "of the 388 records that tell the expected range" in said[0]
    assert [p.name for p in tmp_path.iterdir()] == []


def test_a_stop_keeps_what_was_read(tmp_path, series, small):
    read_end, write_end = os.pipe()
    os.write(write_end, series(20).encode() + b"2024-05-01 20:00:00,2")
    with Stop() as stop:
        timer = threading.Timer(0.5, stop.request)
        timer.start()
        report = detect(
            StoppableInput(read_end, "pipe", stop, owned=False),
            tmp_path / "o.csv",
            params=small,
            save=tmp_path / "ck",
            stop=stop,
        )
    for end in (read_end, write_end):
        os.close(end)
    assert report.records == 20
    assert report.stopped is not None
    assert report.plot is None
    assert Simulator.load(tmp_path / "ck").tick == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preset": "x"}, "preset must be one of live, nab, got 'x'"),
        ({"minimum": 1.0}, "both minimum and maximum"),
        ({"minimum": 2.0, "maximum": 1.0}, "minimum must be <= maximum, got 2.0 > 1.0"),
        ({"minimum": 0.0, "maximum": float("inf")}, r"maximum must be within \+-1e150, got inf"),
        ({"minimum": 0.0, "maximum": 1.0, "preset": "nab"}, "takes the range from the file"),
        ({"probation": 0}, "probation must be a whole number of records >= 1, got 0"),
        ({"threshold": 0.0}, r"threshold must be in \(0, 1\], got 0.0"),
        ({"threshold": float("nan")}, r"threshold must be in \(0, 1\], got nan"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_options_out_of_range_are_refused(changes, words):
    with pytest.raises(ParameterError, match=words):
        DetectOptions(**changes)


def test_outputs_that_cannot_be_are_refused_before_any_work(tmp_path, source, small):
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "pic.png").mkdir()
    (tmp_path / "plain").write_text("")
    cases = [
        ({"out": tmp_path / "dir.csv"}, OutputError, "it is a folder"),
        ({"out": tmp_path / "pic.csv"}, OutputError, "it is a folder"),
        ({"out": tmp_path / "plain"}, OutputError, "it is no folder"),
        ({"out": tmp_path / "plain" / "a.csv"}, OutputError, "not a folder|no folder"),
        ({"out": tmp_path / "none" / "a.csv"}, OutputError, "there is no folder"),
        ({"out": "/dev/full"}, OutputError, "it is no folder"),
        ({"out": tmp_path / "o.csv", "save": tmp_path / "none" / "ck"}, OutputError, "no folder"),
        ({"out": tmp_path / "o.csv", "save": tmp_path / "pic.png"}, OutputError, "a folder"),
        ({"out": tmp_path / "o.csv", "save": "/dev/full"}, OutputError, "device"),
        ({"out": source}, ParameterError, "the input and the scores are the same file"),
        ({"out": tmp_path / "o.csv", "save": source}, ParameterError, "same file"),
        ({"out": tmp_path / "o.csv", "save": tmp_path / "o.png"}, ParameterError, "same file"),
        ({"out": ""}, ParameterError, "must be a file"),
        ({"out": tmp_path / "o.csv", "format": "jsonl"}, ParameterError, "is a .csv"),
        ({"out": tmp_path / "o", "format": "xml"}, ParameterError, "one of csv, jsonl"),
        ({"out": tmp_path / "o.csv", "save_every": 0}, ParameterError, "save_every must be"),
    ]
    before = sorted(tmp_path.iterdir())
    text = source.read_text()
    for arguments, error, words in cases:
        with pytest.raises(error, match=words):
            detect(source, params=small, **arguments)
    assert sorted(tmp_path.iterdir()) == before
    assert source.read_text() == text
