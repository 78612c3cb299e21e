"""The compiled record encoder equals the reference, bit for bit."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.sdr import SDR
from biomem.errors import ParameterError
from biomem.models.htm.encoders import (
    RDSE,
    DateTimeEncoder,
    constants,
    encode_record_reference,
)
from biomem.models.htm.encoders.cpu import encode_record, rdse_bits
from biomem.models.htm.encoders.date_time import EARLIEST, LATEST

VALUES = [
    RDSE(size=400, active_bits=21, resolution=0.9),
    RDSE(size=400, active_bits=21, resolution=0.9, compat="htmcore"),
    RDSE(size=4000, sparsity=0.1, radius=0.4, seed=2**32 - 1),
    RDSE(size=400, active_bits=21, resolution=0.9, table=True),
    RDSE(size=300, active_bits=11, resolution=1e-3, table=True, seed=3),
]
TIMES = [
    None,
    DateTimeEncoder(time_of_day=(21, 9.49)),
    DateTimeEncoder(
        season=(11, 91.5),
        day_of_week=21,
        weekend=9,
        custom_days=(7, ("mon", "Wednesday")),
        holiday=49,
        time_of_day=(21, 9.49),
        holidays=((12, 25), (12, 27), (1, 1), (2, 29), (2024, 7, 4)),
    ),
]
numbers = st.floats(-1e4, 1e4) | st.floats(allow_nan=True, allow_infinity=True)
moments = (
    st.integers(-(2**31), 2**33).map(float)
    | st.floats(EARLIEST, LATEST)
    | st.floats(allow_nan=True, allow_infinity=True)
    # Around the holidays of every year.
    | st.integers(0, 60).flatmap(
        lambda year: st.floats((year * 365.2425 - 9) * 86400, (year * 365.2425 + 2) * 86400)
    )
)


@settings(deadline=None, max_examples=600)
@given(
    value=numbers,
    seconds=moments,
    offset=st.floats(-1e4, 1e4) | st.just(math.nan),
    encoder=st.sampled_from(VALUES),
    time=st.sampled_from(TIMES),
)
def test_compiled_record_equals_the_reference(value, seconds, offset, encoder, time):
    numbers_of = constants(encoder, time)
    out = np.full(numbers_of.most_bits, -1, np.int32)
    count = encode_record(value, seconds, offset, numbers_of, out)
    expected = encode_record_reference(value, seconds, offset, encoder, time)
    assert SDR(out[:count], numbers_of.size) == expected


def test_compiled_record_equals_the_reference_at_every_boundary_of_the_calendar():
    numbers_of = constants(VALUES[0], TIMES[2])
    out = np.empty(numbers_of.most_bits, np.int32)
    for day in range(19710, 19710 + 430):  # from December 2023 into 2025, a leap day between
        for second in (0, 21600, 43199.5, 43200, 64800, 64801, 86399.999):
            seconds = day * 86400.0 + second
            count = encode_record(0.0, seconds, 0.0, numbers_of, out)
            expected = encode_record_reference(0.0, seconds, 0.0, VALUES[0], TIMES[2])
            assert SDR(out[:count], numbers_of.size) == expected, seconds


def test_detector_of_the_anomaly_benchmark_has_454_bits():
    record = constants(VALUES[0], TIMES[1])
    assert record.size == 454
    assert record.most_bits == 42


def test_first_record_of_a_series_defines_the_centre():
    first = encode_record_reference(123.4, math.nan, math.nan, VALUES[3])
    assert first == VALUES[3].encode(123.4, 123.4)
    assert list(first) == VALUES[3].bucket_table()[500].tolist()


def test_compiled_bits_start_where_they_are_told():
    out = np.full(30, -1, np.int32)
    pattern = VALUES[0].encode(7.0)
    end = rdse_bits(7.0, 0.9, 400, 21, 42, False, out, 5, 1000)
    assert end - 5 == len(pattern)
    np.testing.assert_array_equal(out[5:end], pattern.indices + 1000)
    assert (out[:5] == -1).all()
    assert (out[26:] == -1).all()


def test_categories_are_no_record_value():
    with pytest.raises(ParameterError, match="value must be an RDSE with a resolution or radius"):
        constants(RDSE(active_bits=21, category=True))


def test_encoders_load_without_the_compiler():
    code = "import sys, biomem.models.htm.encoders; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
