"""Timestamps: spellings, units, zones, and the hour that happens twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.stream.timestamps import EPOCH_SCALES, check_pattern, detect_format, stamp_parser

JULY = 1404172800.0  # 2014-07-01 00:00:00 UTC


@pytest.mark.parametrize(
    ("text", "time_format"),
    [
        ("2014-07-01", "iso"),
        ("2014-07-01 00:00", "iso"),
        ("2014-07-01T00:00:00", "iso"),
        ("2014-07-01 00:00:00.000", "iso"),
        ("2014-07-01T00:00:00Z", "iso"),
        ("2014-07-01T02:00:00+02:00", "iso"),
        ("2014-07-01 00:00:00 +0000", "iso"),
        ("2014-07-01 00:00:00 UTC", "iso"),
        ("2014/07/01 00:00:00", "iso"),
        ("20140701", "%Y%m%d"),
        ("201407010000", "%Y%m%d%H%M"),
        ("20140701000000", "%Y%m%d%H%M%S"),
        ("1404172800", "epoch_s"),
        ("1404172800.0", "epoch_s"),
        ("1404172800000", "epoch_ms"),
        ("1404172800000000", "epoch_us"),
        ("1404172800000000000", "epoch_ns"),
    ],
)
def test_one_moment_in_many_spellings(text, time_format):
    assert detect_format(text) == time_format
    assert stamp_parser(time_format, "UTC")(text, None) == (JULY, JULY)


@pytest.mark.parametrize(
    "text",
    ["", "07/01/2014 00:00", "1.7.2014", "tomorrow", "nan", "inf", "1e400", "1_000", "9" * 40],
)
def test_what_could_mean_several_things_or_nothing_is_not_guessed(text):
    assert detect_format(text) is None


@pytest.mark.parametrize("time_format", sorted(EPOCH_SCALES))
@pytest.mark.parametrize("text", ["", "x", "nan", "-inf", "1_0", "1e300", "9" * 5000])
def test_a_wrong_unix_time_is_a_value_error(text, time_format):
    with pytest.raises(ValueError, match=r".*"):
        stamp_parser(time_format, "Europe/Berlin")(text, None)


def test_nanoseconds_keep_their_microseconds():
    a, _ = stamp_parser("epoch_ns", "UTC")("1404172800000001000", None)
    b, _ = stamp_parser("epoch_ns", "UTC")("1404172800000002000", None)
    assert b - a == pytest.approx(1e-6, rel=0.25)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_the_wall_clock_in_utc_is_the_stamp_itself(moment):
    expected = (moment - datetime(1970, 1, 1)) / timedelta(seconds=1)
    assert stamp_parser("iso", "UTC")(moment.isoformat(" "), None) == (expected, expected)
    aware = moment.replace(tzinfo=UTC).isoformat()
    assert stamp_parser("iso", "UTC")(aware, None) == (expected, expected)


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2037, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_the_wall_clock_of_a_zone_is_what_its_clocks_show(moment, zone):
    local = moment.replace(microsecond=0, tzinfo=UTC).astimezone(ZoneInfo(zone))
    shown = (local.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()
    instant = local.timestamp()
    assert stamp_parser("iso", zone)(local.isoformat(), None) == (instant, shown)
    assert stamp_parser("epoch_s", zone)(str(int(instant)), None) == (instant, shown)
    assert stamp_parser("%Y-%m-%d %H:%M:%S %z", zone)(
        local.strftime("%Y-%m-%d %H:%M:%S %z"), None
    ) == (instant, shown)


def test_local_stamps_stay_in_order_over_the_hour_that_repeats():
    parse = stamp_parser("iso", "Europe/Berlin")
    start = datetime(2024, 10, 26, 23, 30, tzinfo=UTC)
    newest = None
    for step in range(20):
        instant = start + timedelta(minutes=15 * step)
        stamp = instant.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M")
        newest, wall = parse(stamp, newest)
        assert newest == instant.timestamp(), stamp
        assert datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M") == stamp


def test_a_late_local_stamp_is_not_moved_into_the_second_pass():
    parse = stamp_parser("iso", "Europe/Berlin")
    newest, _ = parse("2024-10-27 12:00", None)
    assert parse("2024-10-27 02:30", newest)[0] < newest


@pytest.mark.parametrize("pattern", ["%m/%d/%Y %H:%M", "%d.%m.%y", "%c", "%Y-%j"])
def test_patterns_with_a_year_are_accepted(pattern):
    assert check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "iso8601", "%H:%M", "%Y %Q", "%Y %", None, 3])
def test_patterns_without_a_year_or_meaning_are_refused(pattern):
    assert not check_pattern(pattern)
