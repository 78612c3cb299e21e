"""Stopping at any row and resuming gives what one pass gives, on files that grow or rotate too."""

import io
import json
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biomem.errors import CheckpointMismatch, DataError
from biomem.stream import Counts, ReadOptions, RecordReader

ROWS = st.sampled_from(
    [
        b"2014-07-01 00:00:00,1\n",
        b"2014-07-01 00:05:00,2\r\n",
        b"2014-07-01 00:10:00,NaN\n",
        b"2014-07-01 00:15:00,3\n",
        b'"2014-07-01 00:20:00","4"\n',
        b"2014-07-01 02:00:00,5\n",
        b"2014-07-03 00:00:00+02:00,6\n",
        b"2014-07-03 00:00:00,1e308\n",
        b"2014-07-04 00:00:00,7\n",
        b"\n",
        b"broken\n",
        b"\xff\xfe\n",
        b"2014-07-05,8," + b"9" * 80 + b"\n",
    ]
)
FILES = st.builds(
    lambda head, rows, tail: head + b"".join(rows) + tail,
    st.sampled_from([b"", b"timestamp,value\n", b"\xef\xbb\xbfvalue;ts\n", b"a,b,c\n"]),
    st.lists(ROWS, max_size=25),
    st.sampled_from([b"", b"2014-07-06 00:00:00,10", b"2014-07-0", b"timestamp,val"]),
)
OPTIONS = st.builds(
    ReadOptions,
    missing=st.sampled_from(["skip", "hold"]),
    late=st.sampled_from(["skip", "keep"]),
    duplicate=st.sampled_from(["skip", "keep"]),
    last_line=st.sampled_from(["use", "hold"]),
    tz=st.sampled_from(["UTC", "Europe/Berlin"]),
    gap_factor=st.sampled_from([None, 2.0]),
    max_line_bytes=st.just(64),
)


def quiet(data, options=None, position=None):
    return RecordReader(io.BytesIO(data), options, position, on_event=lambda *event: None)


def drained(reader, chunk=1000):
    """Everything to the end, and how it ended."""
    records = []
    try:
        while got := reader.read_chunk(chunk):
            records += got
    except DataError as error:
        return records, str(error)
    return records, None


def drained_once(reader):
    try:
        return reader.read_chunk(1), None
    except DataError as error:
        return [], str(error)


def through_json(position):
    return json.loads(json.dumps(position))


@settings(max_examples=400, deadline=None)
@given(FILES, OPTIONS, st.integers(0, 25), st.integers(1, 7))
def test_a_stop_at_any_record_changes_nothing(data, options, stop, chunk):
    whole = quiet(data, options)
    expected, ended = drained(whole, chunk)
    first = quiet(data, options)
    records, error = [], None
    while len(records) < stop:
        got, error = drained_once(first)
        records += got
        if not got:
            break
    if error is not None:
        assert (records, error) == (expected, ended)
        return
    second = quiet(data, None, through_json(first.position))
    assert second.same_source
    assert second.unterminated == first.unterminated
    rest, rest_ended = drained(second, chunk)
    assert (records + rest, rest_ended) == (expected, ended)
    assert second.counts == whole.counts
    if ended is None:
        assert second.position == whole.position


@settings(max_examples=400, deadline=None)
@given(FILES, OPTIONS, st.integers(0, 10**6), st.integers(1, 7))
@example(b"timestamp,value\n2014-07-01,1\n2014-07-02,108\n", ReadOptions(), 42, 5)
def test_a_file_cut_anywhere_that_grows_afterwards_reads_as_if_it_had_been_whole(
    data, options, cut, chunk
):
    cut = cut % (len(data) + 1)
    whole = quiet(data, options)
    expected, ended = drained(whole, chunk)
    part = quiet(data[:cut], options)
    records, kept = [], part.position
    try:
        while got := part.read_chunk(chunk):
            if part.unterminated:
                break  # as documented: keep the position and the results from before it
            records += got
            kept = part.position
    except DataError:
        # Nothing usable so far, or a column that the cut header does not name yet.
        kept = quiet(data[:cut], options).position
        records = []
    second = quiet(data, None, through_json(kept))
    assert second.same_source
    rest, rest_ended = drained(second, chunk)
    assert (records + rest, rest_ended) == (expected, ended)
    if ended is None:
        assert second.position == whole.position


HEAD = b"timestamp,value\n2014-07-01,1\n"


def test_an_unterminated_line_that_proves_whole_is_one_row():
    reader = quiet(HEAD + b"2014-07-02,2")
    assert len(list(reader)) == 2
    grown = HEAD + b"2014-07-02,2\r\n2014-07-03,3\n"
    second = quiet(grown, None, reader.position)
    assert [r.value for r in second] == [3.0]
    one_pass = quiet(grown)
    assert len(list(one_pass)) == 3
    assert second.position == one_pass.position


def test_an_unterminated_line_that_goes_on_is_an_error_not_a_wrong_score():
    reader = quiet(HEAD + b"2014-07-02,10")
    assert [r.value for r in reader] == [1.0, 10.0]
    for more in (b"8\n", b"8"):
        second = quiet(HEAD + b"2014-07-02,10" + more, None, reader.position)
        with pytest.raises(DataError, match=r":3: .* goes on with '8'; resume from a position"):
            list(second)


def test_a_reader_follows_a_file_that_is_being_written(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(HEAD)
    options = ReadOptions(last_line="hold")
    with RecordReader(path, options, on_event=lambda *event: None) as reader:
        assert len(reader.read_chunk()) == 1
        assert reader.read_chunk() == []
        for piece, got in [(b"2014-07-02,1", []), (b"08\n2014-", [108.0]), (b"07-03,5\n", [5.0])]:
            with path.open("ab") as log:
                log.write(piece)
            assert [r.value for r in reader.read_chunk()] == got
        assert reader.counts == Counts(rows=3, records=3)


def test_another_file_starts_at_its_beginning_and_carries_the_stream_on():
    rows = b"".join(b"2014-07-%02d,%d\n" % (day, day) for day in range(1, 11))
    first = quiet(b"timestamp,value\n" + rows, ReadOptions(gap_factor=3.0))
    assert len(list(first)) == 10
    rotated = b"value;when\n99;2014-07-10\n20;2014-07-20\n21;2014-07-21\n"
    events = []
    second = RecordReader(
        io.BytesIO(rotated), None, first.position, on_event=lambda *event: events.append(event)
    )
    assert not second.same_source
    assert [(r.row, r.value, r.reset) for r in second] == [(2, 20.0, True), (3, 21.0, False)]
    assert second.counts == Counts(rows=13, records=12, duplicate=1, gaps=1)
    assert [kind for kind, *_ in events] == ["other_source", "duplicate", "gaps"]


def test_ticks_go_on_in_another_file():
    first = quiet(b"value\n1\n2\n")
    assert [r.time for r in first] == [0.0, 1.0]
    second = quiet(b"value\n3\n", None, first.position)
    assert [(r.row, r.time) for r in second] == [(1, 2.0)]


def test_another_file_without_a_record_is_an_error():
    first = quiet(HEAD)
    list(first)
    with pytest.raises(DataError, match="the file is empty"):
        list(quiet(b"", None, first.position))


def test_the_same_file_without_news_is_no_error():
    first = quiet(HEAD)
    list(first)
    assert list(quiet(HEAD, None, first.position)) == []


def test_a_pipe_that_tells_everything_again_gives_only_the_news():
    first = quiet(HEAD)
    list(first)
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as out:
        out.write(HEAD + b"2014-07-02,2\n")
    with os.fdopen(read_end, "rb") as pipe:
        second = RecordReader(pipe, None, first.position, on_event=lambda *event: None)
        assert not second.same_source
        assert [r.value for r in second] == [2.0]


def test_other_options_are_refused_by_name():
    position = quiet(HEAD).position
    assert quiet(HEAD, ReadOptions(), position).same_source
    with pytest.raises(CheckpointMismatch, match="late was 'skip' and is 'keep'"):
        quiet(HEAD, ReadOptions(late="keep"), position)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"options": {"colour": "blue"}},
        {"options": None},
        {"clock": {}},
        {"counts": {"cows": 1}},
        {"counts": 3},
        {"offset": "x"},
        {"value": "x"},
        {"layout": {"names": None}},
        {"layout": 7},
    ],
)
def test_a_damaged_position_is_refused(change):
    reader = quiet(HEAD)
    next(reader)
    with pytest.raises(CheckpointMismatch, match="position"):
        quiet(HEAD, None, {**reader.position, **change})


@pytest.mark.parametrize("position", [{}, [], "x", 3])
def test_something_else_is_no_position(position):
    with pytest.raises(CheckpointMismatch, match=r"position must be what RecordReader\.position"):
        quiet(HEAD, None, position)
