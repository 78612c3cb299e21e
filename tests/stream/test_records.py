"""What a reader makes of clean files and of every kind of bad input."""

import io
import itertools
import math
import os
import sys
import threading
from pathlib import Path

import pytest

from biomem.errors import BiomemWarning, DataError, ParameterError
from biomem.stream import MAX_ABS_VALUE, Counts, ReadOptions, Record, RecordReader

JULY = 1404172800.0  # 2014-07-01 00:00:00 UTC
HEAD = "timestamp,value\n"


def reader_of(data, **options):
    data = data.encode() if isinstance(data, str) else data
    return RecordReader(io.BytesIO(data), ReadOptions(**options), on_event=lambda *event: None)


def read(data, **options):
    reader = reader_of(data, **options)
    return list(reader), reader


def values(data, **options):
    return [record.value for record in read(data, **options)[0]]


def stamped(*texts):
    return HEAD + "".join(f"2014-07-01 00:{i:02}:00,{text}\n" for i, text in enumerate(texts))


def test_a_plain_file():
    records, reader = read(HEAD + "2014-07-01 00:00:00,10844\n2014-07-01 00:30:00,8127.5\n")
    assert records == [
        Record(1, JULY, "2014-07-01 00:00:00", 10844.0, False),
        Record(2, JULY + 1800.0, "2014-07-01 00:30:00", 8127.5, False),
    ]
    assert reader.counts == Counts(rows=2, records=2)
    assert reader.same_source
    assert not reader.unterminated
    assert reader.warnings == {}


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (b"\xef\xbb\xbftimestamp,value\n2014-07-01,1\n2014-07-02,2\n", {}),
        (b"timestamp,value\r\n2014-07-01,1\r\n2014-07-02,2\r\n", {}),
        (b"\n\nTime;Load\n2014-07-01;1\n \n2014-07-02;2\n\n", {}),
        (b"load\twhen\tts\n1\tx\t2014-07-01\n2\ty\t2014-07-02\n", {}),
        (b'"a","Date","value"\n"x, y","2014-07-01","1"\n"""","2014-07-02","2"\n', {}),
        (b"2014-07-01,1\n2014-07-02,2\n", {}),
        (b"2014-07-01|1|\n2014-07-02|2|\n", {"value": "1"}),
        (b"day,id,name,load\n2014-07-01,7,a,1\n2014-07-02,7,b,2\n", {"value": "LOAD"}),
        (b"day,name,load\n2014-07-01,a,1\n2014-07-02,b,2\n", {}),
        (b"t;v\n2014-07-01;1,0\n2014-07-02;2,0\n", {"decimal": ","}),
        (b"01.07.2014 1\n02.07.2014 2\n", {"delimiter": " ", "time_format": "%d.%m.%Y"}),
        (b"value,7\n1,2014-07-01\n2,2014-07-02\n", {"timestamp": 1, "header": True}),
        (b"1404172800,1\n1404259200,2\n", {}),
        (b'{"ts": 1404172800000, "value": 1}\n{"value": 2, "ts": 1404259200000}\n', {}),
        (
            b'{"id": "a", "time": "2014-07-01", "load": "1.0"}\n{"time": "2014-07-02", "load": 2}',
            {},
        ),
        (b"timestamp,value\n2014-07-01,1\n2014-07-02,2\n,\n", {"format": "csv"}),
        (b"timestamp,value\n2014-07-01,1,\n2014-07-02,2,,\n", {}),
    ],
)
def test_dialects_of_the_same_two_records(data, options):
    records, reader = read(data, **options)
    assert [(r.row, r.time, r.value) for r in records] == [(1, JULY, 1.0), (2, JULY + 86400, 2.0)]
    assert reader.counts.records == 2


def test_without_timestamps_records_count_ticks():
    for data in (
        "value\n5\nnan\n6\n",
        "5\n\n7x\n6\n",
        '{"value": 5}\n{"value": null}\n{"value": 6}\n',
    ):
        records, _ = read(data)
        assert [(r.row, r.time, r.stamp, r.value) for r in records] == [
            (1, 0.0, "", 5.0),
            (3, 1.0, "", 6.0),
        ]
    assert values("a,value\nx,1\nx,2\n", timestamp="none") == [1.0, 2.0]


def test_stamps_with_a_zone_become_its_wall_clock():
    records, reader = read(
        "ts,value\n2024-10-27T00:30:00Z,1\n2024-10-27T01:30:00Z,2\n2024-10-27T02:30:00Z,3\n",
        tz="Europe/Berlin",
    )
    hours = [(r.time - records[0].time) / 3600 for r in records]
    # 02:30 happens twice; order is judged in UTC, so neither record is late or repeated.
    assert hours == [0.0, 0.0, 1.0]
    assert reader.counts == Counts(rows=3, records=3)


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        (b"2014-07-01 00:05:00", "bad", "has 1 fields; expected 2"),
        (b"2014-07-01 00:05:00,1,5", "bad", "has 3 fields; expected 2"),
        (b"2014-07-01 00:05:00,abc", "bad", "value 'abc' is not a number"),
        (b"2014-07-01 00:05:00,1_000", "bad", "value '1_000' is not a number"),
        (b"2014-07-01 00:05:00,0x10", "bad", "not a number"),
        (b"2014-13-01 00:05:00,1", "bad", "timestamp '2014-13-01 00:05:00' does not read as 'iso'"),
        (b"2014-07-01\r00:05:00,1", "bad", "timestamp"),
        (b",1", "bad", "timestamp ''"),
        (b"timestamp,value", "bad", "timestamp 'timestamp'"),
        (b'2014-07-01 00:05:00,"1', "bad", "wrongly quoted"),
        (b'"2014-07-01 00:05:00"x,1', "bad", "wrongly quoted"),
        (b"2014-07-01 00:05:00,1\xb0", "bad", "is not UTF-8"),
        (b"2014-07-01 00:05:00,1\0", "bad", "holds NUL bytes"),
        (bytes(range(128, 200)), "bad", "is not UTF-8"),
        (b"2014-07-01 00:05:00,", "missing", "the value is missing"),
        (b"2014-07-01 00:05:00, NaN ", "missing", "NaN"),
        (b"2014-07-01 00:05:00,null", "missing", "missing"),
        (b"2014-07-01 00:05:00,N/A", "missing", "missing"),
        (b"2014-07-01 00:05:00,inf", "out_of_range", "expected abs <= 1e+150"),
        (b"2014-07-01 00:05:00,1e308", "out_of_range", "'1e308' is out of range"),
        (b"2014-07-01 00:05:00,-1e999", "out_of_range", "out of range"),
        (b"2014-06-30 00:05:00,1", "late", "is earlier than '2014-07-01 00:00:00'"),
        (b"2014-07-01 00:00:00,1", "duplicate", "repeats the record before"),
        (b"2014-07-01 00:05:00," + b"1" * 70000, "overlong", "max_line_bytes = 65536"),
    ],
)
def test_a_bad_row_is_skipped_counted_and_reported_once(row, kind, said):
    data = HEAD.encode() + b"2014-07-01 00:00:00,1\n" + row + b"\n" + row + b"\n"
    data += b"2014-07-01 00:10:00,2\n"
    events = []
    reader = RecordReader(io.BytesIO(data), on_event=lambda *event: events.append(event))
    assert [(r.row, r.value) for r in reader] == [(1, 1.0), (4, 2.0)]
    assert reader.counts == Counts(rows=4, records=2, **{kind: 2})
    [(reported, message, number)] = events
    assert (reported, number) == (kind, 2)
    assert message.startswith("<BytesIO>:3: ")
    assert said in message
    assert len(message) < 250
    assert reader.warnings == {kind: message}


def test_the_default_report_is_a_warning_of_the_library():
    reader = RecordReader(io.BytesIO(stamped("1", "x", "y", "2").encode()))
    with pytest.warns(BiomemWarning, match=r"^<BytesIO>:3: value 'x' is not a number"):
        assert len(list(reader)) == 2


def test_the_largest_admissible_value_is_safe_to_square():
    assert values(stamped("1e150", "-1e150", "1.0001e150")) == [1e150, -1e150]
    assert math.isfinite((2 * MAX_ABS_VALUE) ** 2)


def test_missing_values_can_hold_the_last_one():
    records, reader = read(stamped("", "1", "nan", "x", "2", ""), missing="hold")
    assert [(r.row, r.value) for r in records] == [(2, 1.0), (3, 1.0), (5, 2.0), (6, 2.0)]
    assert reader.counts == Counts(rows=6, records=4, missing=3, bad=1)


def test_late_and_repeated_rows_can_be_kept():
    data = HEAD + "".join(f"2014-07-01 0{h}:00:00,{h}\n" for h in (1, 2, 2, 1, 0, 3))
    assert values(data) == [1, 2, 3]
    assert values(data, duplicate="keep") == [1, 2, 2, 3]
    records, reader = read(data, late="keep", duplicate="keep")
    assert [(r.time - JULY) / 3600 for r in records] == [1, 2, 2, 1, 0, 3]
    assert reader.counts == Counts(rows=6, records=6, late=2, duplicate=1)


def test_a_stamp_far_in_the_future_is_pointed_out():
    data = HEAD + "2099-01-01,0\n" + "".join(f"2014-07-01 00:{m:02},1\n" for m in range(60)) * 2
    records, reader = read(data)
    assert len(records) == 1
    assert reader.counts.late == 120
    assert "2099-01-01" in reader.warnings["late_run"]


def test_a_gap_marks_the_record_after_it():
    days = [*range(1, 11), 20, 21]
    data = HEAD + "".join(f"2014-07-{day:02},{day}\n" for day in days)
    assert not any(r.reset for r in read(data)[0])
    records, reader = read(data, gap_factor=5.0)
    assert [r.value for r in records if r.reset] == [20.0]
    assert reader.counts == Counts(rows=12, records=12, gaps=1)
    assert "gap of more than 5 times the median interval" in reader.warnings["gaps"]
    assert not any(r.reset for r in read(data, gap_factor=None)[0])


def test_an_unterminated_record_is_used_alone_and_counted():
    reader = reader_of(HEAD + "2014-07-01,1\n2014-07-02,2")
    assert [r.value for r in reader.read_chunk(100)] == [1.0]
    before = reader.position
    assert not reader.unterminated
    assert [r.value for r in reader.read_chunk(100)] == [2.0]
    assert reader.unterminated
    assert reader.counts == Counts(rows=2, records=2, unterminated=1)
    assert reader.position["offset"] == before["offset"] + len("2014-07-02,2")
    assert reader.read_chunk(100) == []


@pytest.mark.parametrize("tail", ["2014-07-0", "2014-07-02,", "2014-07-02,x", "2014-06-30,1", '"'])
def test_an_unterminated_line_that_is_no_record_is_left_unread(tail):
    records, reader = read(HEAD + "2014-07-01,1\n" + tail)
    assert len(records) == 1
    assert reader.counts == Counts(rows=1, records=1, unterminated=1)
    assert reader.position["offset"] == len(HEAD + "2014-07-01,1\n")
    assert reader.position["counts"]["unterminated"] == 0
    assert "left unread" in reader.warnings["unterminated"]


def test_an_unterminated_record_can_be_held_back():
    records, reader = read(HEAD + "2014-07-01,1\n2014-07-02,2", last_line="hold")
    assert len(records) == 1
    assert reader.counts == Counts(rows=1, records=1, unterminated=1)


def test_an_overlong_unterminated_line_is_left_unread():
    records, reader = read(HEAD + "2014-07-01,1\n" + "9" * 70_000)
    assert len(records) == 1
    assert reader.counts == Counts(rows=1, records=1, unterminated=1)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (b"", {}, "the file is empty"),
        (b"\n\n", {}, "there are no data rows"),
        (b"timestamp,value\n", {}, "there are no data rows"),
        (b"timestamp,value", {}, "there are no data rows but an unfinished line"),
        (b"timestamp,value\n2014-07-01,\n", {}, "none of 1 rows is a usable record; the first"),
        (b"t,v\n07/01/2014,1\n07/02/2014,2\n", {}, "say what it is with time_format"),
        (b"2014-07-01;1,5\n", {}, "decimal=','"),
        (b"a,b,c\nx,y,z\n", {}, "no column but the timestamp's holds a number"),
        (b"\x00" * 50 + b"\n", {}, "NUL bytes"),
        (b"timestamp,value\n2014-07-01,1\n", {"value": "load"}, "no column 'load' for the value; "),
        (b"timestamp,value\n2014-07-01,1\n", {"value": "load"}, "are 'timestamp', 'value'"),
        (b"timestamp,value\n2014-07-01,1\n", {"timestamp": 2}, "no column 2 for the timestamp"),
        (b"2014-07-01,1\n", {"value": "load"}, "it has no header (header=True reads one)"),
        (b'{"a": 1, "b": 2}\n', {"value": "c"}, "its columns are 'a', 'b'"),
        (b"value\n1\n", {"timestamp": "value"}, "no column for the value besides"),
        ("timestamp,value\n".encode("utf-16"), {}, "UTF-16"),
        (b"\x1f\x8b\x08\x00\x00", {}, "gzip"),
        (b"PK\x03\x04\n", {}, "ZIP"),
    ],
)
def test_a_file_without_records_is_one_line_of_error(data, options, said):
    with pytest.raises(DataError) as caught:
        read(data, **options)
    message = str(caught.value)
    assert message.startswith("<BytesIO>: ")
    assert said in message
    assert "\n" not in message


def test_a_path_a_folder_and_an_absent_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEAD + "2014-07-01,1\n")
    for source in (path, str(path)):
        with RecordReader(source) as reader:
            assert [r.value for r in reader] == [1.0]
            assert reader.name == str(path)
    for source in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(DataError, match=r"^/.*: cannot be read: "):
            RecordReader(source)


def test_standard_input(monkeypatch):
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as out:
        out.write((HEAD + "2014-07-01,1\n2014-07-02,2\n").encode())
    with os.fdopen(read_end, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        reader = RecordReader("-")
        assert reader.name == "<stdin>"
        assert [r.value for r in reader.read_chunk()] == [1.0, 2.0]
        assert reader.read_chunk() == []


def test_a_chunk_has_at_least_one_record():
    reader = reader_of(stamped("1"))
    with pytest.raises(ParameterError, match="n must be >= 1, got 0"):
        reader.read_chunk(0)


def test_nyc_taxi_reads_without_a_gap():
    folder = os.environ.get("BIOMEM_DATA")
    if not folder:
        pytest.skip("BIOMEM_DATA does not name the folder with nab/")
    path = Path(folder) / "nab/data/realKnownCause/nyc_taxi.csv"
    records, reader = read(path.read_bytes())
    assert reader.counts == Counts(rows=10320, records=10320, unterminated=1)
    assert records[0] == Record(1, JULY, "2014-07-01 00:00:00", 10844.0, False)
    assert {b.time - a.time for a, b in itertools.pairwise(records)} == {1800.0}


def test_a_record_on_a_pipe_does_not_wait_behind_a_row_that_is_skipped() -> None:
    read, write = os.pipe()
    os.write(write, b"timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:01:00,spoiled\n")
    got: list[list] = []
    with os.fdopen(read, "rb") as source, RecordReader(source, on_event=lambda *_: None) as reader:
        worker = threading.Thread(target=lambda: got.append(reader.read_chunk()))
        worker.start()
        worker.join(timeout=10)
        waited = worker.is_alive()
        os.close(write)
        worker.join()
    assert not waited
    assert [[record.value for record in chunk] for chunk in got] == [[1.0]]
