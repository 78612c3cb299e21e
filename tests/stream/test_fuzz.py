"""Arbitrary bytes give records or one DataError, never anything else."""

import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.errors import DataError
from biomem.stream import MAX_ABS_VALUE, ReadOptions, RecordReader

TOKENS = st.sampled_from(
    [
        *(b"\n", b"\r\n", b",", b";", b"\t", b'"', b"'", b"\0", b" ", b"_", b"-", b"{", b"}", b"["),
        *(b"timestamp", b"value", b"2014-07-01 00:00:00", b"2014-07-01T00:05:00Z", b"20140701"),
        *(b"0001-01-01", b"9999-12-31T23:59:59-23:59", b"2024-10-27 02:30", b"1404172800", b"1e18"),
        *(b"1", b"2.5", b"1e308", b"inf", b"nan", b"null", b"9" * 30, b"\xff", b"\xef\xbb\xbf"),
        *(
            b'{"ts": 1, "value": 2}',
            b'{"value": true}',
            b'{"value": [1]}',
            b'{"v": NaN}',
            b"[" * 99,
        ),
    ]
)
FILES = st.one_of(st.binary(max_size=200), st.lists(TOKENS, max_size=60).map(b"".join))
OPTIONS = st.builds(
    ReadOptions,
    timestamp=st.sampled_from([None, None, "none", "timestamp", 0, 1]),
    value=st.sampled_from([None, None, "value", 0, 1]),
    delimiter=st.sampled_from([None, None, ";"]),
    decimal=st.sampled_from([".", ","]),
    header=st.sampled_from(["auto", "auto", True, False]),
    format=st.sampled_from(["auto", "auto", "csv", "jsonl"]),
    time_format=st.sampled_from(["auto", "auto", "iso", "epoch_s", "epoch_ns", "%Y%m%d", "%c %z"]),
    tz=st.sampled_from(["UTC", "America/New_York"]),
    missing=st.sampled_from(["skip", "hold"]),
    late=st.sampled_from(["skip", "keep"]),
    duplicate=st.sampled_from(["skip", "keep"]),
    last_line=st.sampled_from(["use", "hold"]),
    max_line_bytes=st.sampled_from([16, 64, 65536]),
)


@settings(max_examples=300, deadline=None)
@given(FILES, OPTIONS)
def test_any_bytes_give_records_or_one_data_error(data, options):
    events = []
    reader = RecordReader(io.BytesIO(data), options, on_event=lambda *event: events.append(event))
    records, message = [], ""
    try:
        while chunk := reader.read_chunk(3):
            records += chunk
    except DataError as error:
        message = str(error)
    assert "\n" not in message
    counts = reader.counts
    assert counts.records == len(records)
    assert len({kind for kind, *_ in events}) == len(events)
    for record in records:
        assert abs(record.value) <= MAX_ABS_VALUE
        assert -6.3e10 < record.time < 2.6e11
        assert record.stamp.isprintable()
    if message:
        return
    if (options.missing, options.late, options.duplicate) == ("skip", "skip", "skip"):
        skipped = counts.bad + counts.missing + counts.out_of_range
        skipped += counts.late + counts.duplicate + counts.overlong
        assert counts.rows == counts.records + skipped
        times = [record.time for record in records]
        if options.tz == "UTC":
            assert times == sorted(set(times))
    json.dumps(reader.position, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20000), st.sampled_from(["[", '{"a":', '"', "9", '{"value": ' + "9" * 5000]))
def test_nesting_and_length_are_bounded(n, token):
    reader = RecordReader(
        io.BytesIO(b'{"value": 1}\n' + (token * n).encode()[:60000] + b'\n{"value": 2}\n'),
        on_event=lambda *event: None,
    )
    assert [record.value for record in reader] == [1.0, 2.0]
