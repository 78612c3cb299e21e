"""Date parts: the clock, each part's meaning, zones and clock changes, refusals."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.sdr import SDR
from biomem.errors import InputError, ParameterError
from biomem.models.htm.encoders import DateTimeEncoder
from biomem.models.htm.encoders import cpu as compiled
from biomem.models.htm.encoders.date_time import EARLIEST, LATEST, wall_clock

EVERYTHING = DateTimeEncoder(
    season=(11, 91.5),
    day_of_week=21,
    weekend=9,
    custom_days=(7, ("mon", "Wednesday")),
    holiday=13,
    time_of_day=(21, 9.49),
    holidays=((12, 25), (12, 27), (1, 1), (2, 29), (2024, 7, 4)),
)


def scalar(part, moment, **arguments):
    code = DateTimeEncoder(**{part: 5} | arguments)
    return code.scalars(code.wall_seconds(moment))[part]


@settings(deadline=None, max_examples=400)
@given(st.floats(EARLIEST, LATEST, exclude_max=True) | st.integers(-(10**10), 10**11))
def test_compiled_clock_equals_the_reference(seconds):
    now = wall_clock(float(seconds))
    expected = (now.hour, now.weekday, now.day_of_year, now.is_weekend)
    *clock, day = compiled.wall_clock(float(seconds))
    assert tuple(clock) == expected
    assert compiled.civil(day)[:3] == (now.day.year, now.day.month, now.day.day)


def test_compiled_calendar_over_four_centuries_of_days():
    first = datetime(1799, 12, 30)
    start = (first - datetime(1970, 1, 1)).days
    for i in range(0, 146097 + 400):
        if i % 7 and i % 365 > 2:
            continue
        day = (first + timedelta(days=i)).date()
        year_start = day.replace(month=1, day=1)
        expected = (day.year, day.month, day.day, (day - year_start).days)
        assert compiled.civil(start + i) == expected


def test_size_is_that_of_the_parts_in_order():
    sizes = {name: part.size for name, part in EVERYTHING.parts.items()}
    assert list(sizes) == [
        "season",
        "day_of_week",
        "weekend",
        "custom_days",
        "holiday",
        "time_of_day",
    ]
    assert sizes == {
        "season": 44,
        "day_of_week": 147,
        "weekend": 18,
        "custom_days": 14,
        "holiday": 26,
        "time_of_day": 54,
    }
    assert EVERYTHING.size == sum(sizes.values())
    pattern = EVERYTHING.encode(datetime(2024, 3, 6, 10))
    dense = np.split(pattern.to_dense(), np.cumsum(list(sizes.values()))[:-1])
    assert [int(part.sum()) for part in dense] == [11, 21, 9, 7, 13, 21]


def test_time_of_day_counts_seconds_and_closes_at_midnight():
    assert scalar("time_of_day", "2014-07-01 06:15:36") == 6.26
    code = DateTimeEncoder(time_of_day=(21, 9.49))
    late, early = code.encode("2014-07-01 23:59:59"), code.encode("2014-07-02 00:00:00")
    assert late.overlap(early) == 20
    # The bits of htm.core's scalar encoder at 6.25 h.
    assert list(code.encode("2014-07-01 06:15")) == list(range(14, 35))


def test_day_of_week_changes_at_midnight():
    # 2024-05-06 is a Monday; with one bit the code is the day.
    code = DateTimeEncoder(day_of_week=1)
    for day in range(7):
        for hour, minute in ((0, 0), (11, 59), (12, 0), (23, 59)):
            moment = datetime(2024, 5, 6 + day, hour, minute)
            assert list(code.encode(moment)) == [day]


def test_season_counts_days_from_new_year():
    assert scalar("season", "2023-01-01 23:59") == 0
    assert scalar("season", "2023-12-31") == 364
    assert scalar("season", "2024-12-31") == 365
    code = DateTimeEncoder(season=20)
    assert code.encode("2023-12-31").overlap(code.encode("2024-01-01")) >= 19
    assert code.encode("2023-01-01").overlap(code.encode("2023-07-01")) == 0


@pytest.mark.parametrize(
    ("moment", "weekend"),
    [
        ("2024-05-03 18:00:00", 0),
        ("2024-05-03 18:00:01", 1),
        ("2024-05-04 00:00", 1),
        ("2024-05-05 23:59", 1),
        ("2024-05-06 00:00", 0),
    ],
)
def test_weekend_begins_on_friday_evening(moment, weekend):
    assert scalar("weekend", moment) == weekend


def test_custom_days_by_name():
    days = (5, ("Tue", "friday"))
    flags = [scalar("custom_days", f"2024-05-{d:02}", custom_days=days) for d in range(6, 13)]
    assert flags == [0, 1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("moment", "value"),
    [
        ("2023-12-23 23:59:59", 0.0),
        ("2023-12-24 00:00", 0.0),
        ("2023-12-24 18:00", 0.75),
        ("2023-12-25 00:00", 1.0),
        ("2023-12-25 23:59", 1.0),
        ("2023-12-26 06:00", 1.25),
        ("2023-12-27 00:00", 0.0),
    ],
)
def test_holiday_ramps_up_and_down(moment, value):
    assert scalar("holiday", moment) == value


def test_holiday_ramp_crosses_the_new_year_and_knows_years():
    holidays = ((1, 1), (2024, 7, 4), (2, 29))

    def on(moment):
        return scalar("holiday", moment, holidays=holidays)

    assert on("2023-12-31 12:00") == 0.5
    assert on("2024-07-04 12:00") == 1.0
    assert on("2023-07-04 12:00") == 0.0
    assert on("2024-02-29") == 1.0
    assert on("2023-03-01 06:00") == 0.0


def test_between_two_holidays_the_nearer_counts():
    holidays = ((12, 27), (12, 25))
    assert scalar("holiday", "2023-12-26 06:00", holidays=holidays) == 1.25
    assert scalar("holiday", "2023-12-26 18:00", holidays=holidays) == 0.75


@settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
def test_every_way_to_give_a_moment_is_the_same(moment):
    seconds = (moment - datetime(1970, 1, 1)).total_seconds()
    expected = EVERYTHING.encode(moment)
    assert EVERYTHING.encode(moment.isoformat()) == expected
    assert EVERYTHING.encode(moment.isoformat(" ")) == expected
    assert EVERYTHING.encode(seconds) == expected
    assert EVERYTHING.encode(moment.replace(tzinfo=UTC)) == expected
    assert EVERYTHING.encode(np.datetime64(moment)) == expected


def test_offsets_are_converted_to_the_zone_and_wall_clock_is_taken_as_given():
    berlin = DateTimeEncoder(time_of_day=21, tz="Europe/Berlin")
    noon = datetime(2024, 7, 1, 12)
    assert berlin.wall_seconds("2024-07-01T10:00:00Z") == berlin.wall_seconds(noon)
    assert berlin.wall_seconds("2024-07-01T10:00:00+00:00") == berlin.wall_seconds(noon)
    assert berlin.wall_seconds("2024-07-01T12:00:00") == berlin.wall_seconds(noon)
    assert berlin.wall_seconds(noon.replace(tzinfo=timezone(timedelta(hours=5)))) == (
        berlin.wall_seconds(datetime(2024, 7, 1, 9))
    )


def test_clock_changes_never_raise():
    zone = ZoneInfo("Europe/Berlin")
    berlin = EVERYTHING.replace(tz="Europe/Berlin")
    # 02:30 does not exist on 31 March and exists twice on 27 October.
    for text in ("2024-03-31 02:30", "2024-10-27 02:30"):
        naive = datetime.fromisoformat(text)
        assert len(berlin.encode(text)) == len(berlin.encode(naive)) > 0
        for fold in (0, 1):
            assert len(berlin.encode(naive.replace(tzinfo=zone, fold=fold))) > 0
    twice = [datetime(2024, 10, 27, h, 30, tzinfo=UTC) for h in (0, 1)]
    assert berlin.encode(twice[0]) == berlin.encode(twice[1])
    before, after = (datetime(2024, 3, 31, h, 30, tzinfo=UTC) for h in (0, 1))
    assert berlin.wall_seconds(after) - berlin.wall_seconds(before) == 2 * 3600


@pytest.mark.parametrize("missing", [None, float("nan"), np.datetime64("NaT")])
def test_missing_moment_has_no_active_bit(missing):
    assert EVERYTHING.encode(missing) == SDR.empty(EVERYTHING.size)


def test_repr_and_dict_round_trip():
    assert eval(repr(EVERYTHING)) == EVERYTHING
    assert DateTimeEncoder.from_dict(EVERYTHING.to_dict()) == EVERYTHING


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"needs at least one of season"),
        ({"weekend": 0}, r"DateTimeEncoder.weekend=0: .*active_bits.*None leaves the part out"),
        ({"season": (5, -1.0)}, r"DateTimeEncoder.season=\(5, -1.0\): .*radius must be"),
        ({"season": (5, 1.0, 2.0)}, r"season must be a width, or \(width, radius\)"),
        ({"custom_days": 5}, r"custom_days must be \(width, weekday names\)"),
        ({"custom_days": (5, ("someday",))}, r"custom_days must be \(width, weekday names\)"),
        ({"custom_days": (5, ())}, r"custom_days must be \(width, weekday names\)"),
        ({"custom_days": (5, "mon")}, r"custom_days must be \(width, weekday names\)"),
        ({"holiday": 5, "holidays": ((2, 30),)}, r"holidays must be a tuple of"),
        ({"holiday": 5, "holidays": ((2023, 2, 29),)}, r"holidays must be a tuple of"),
        ({"holiday": 5, "holidays": (1,)}, r"holidays must be a tuple of"),
        ({"weekend": 5, "tz": "Mars/Olympus"}, r"tz must be an IANA zone .*'Mars/Olympus'"),
        ({"weekend": 5, "tz": "../x"}, r"tz must be an IANA zone"),
    ],
)
def test_wrong_parameters_are_refused_by_name(arguments, message):
    with pytest.raises(ParameterError, match=message):
        DateTimeEncoder(**arguments)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("yesterday", r"value must be an ISO 8601 time, got 'yesterday'"),
        (1e15, r"from 0001-01-02 to 9999-12-30"),
        (math.inf, r"from 0001-01-02 to 9999-12-30"),
        (datetime.max, r"from 0001-01-02 to 9999-12-30"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))), r"from 0001-01-02"),
        ([], r"value must be a real number"),
    ],
)
def test_what_is_no_moment_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        EVERYTHING.encode(value)
