"""Scalar encoder: htm.core's sizes and bits, overlap, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.sdr import SDR
from biomem.errors import InputError, ParameterError
from biomem.models.htm.encoders import ScalarEncoder
from biomem.models.htm.encoders.cpu import scalar_bits


# Made with htm.core 2.2.0.
def test_periodic_bits_equal_htmcore():
    code = ScalarEncoder(minimum=0, maximum=24, active_bits=21, radius=9.49, periodic=True)
    assert code.size == 54
    assert code.r == pytest.approx(0.451905, abs=5e-7)
    goldens = {0: range(21), 6.25: range(14, 35), 12.5: range(28, 49), 23.9: [*range(20), 53]}
    for x, expected in goldens.items():
        assert list(code.encode(x)) == list(expected)


def test_bits_equal_htmcore():
    code = ScalarEncoder(minimum=0, maximum=100, active_bits=5, total_bits=50)
    assert code.r == pytest.approx(2.2222, abs=5e-5)
    assert list(code.encode(33)) == list(range(15, 20))
    assert list(code.encode(100)) == list(range(45, 50))
    assert list(code.encode(0)) == list(range(5))


@pytest.mark.parametrize(
    ("arguments", "size", "r"),
    [
        ({"resolution": 1.0}, 101 + 20, 1.0),
        ({"radius": 21.0}, 101 + 20, 1.0),
        ({"resolution": 1.0, "periodic": True}, 100, 1.0),
        ({"total_bits": 200, "periodic": True}, 200, 0.5),
        ({"category": True}, 101 * 21, 1 / 21),
    ],
)
def test_size_follows_from_each_alternative(arguments, size, r):
    code = ScalarEncoder(minimum=0, maximum=100, active_bits=21, **arguments)
    assert code.size == size
    assert code.r == pytest.approx(r)


def test_sparsity_sets_the_active_bits():
    code = ScalarEncoder(minimum=0, maximum=1, sparsity=0.05, total_bits=410)
    assert code.w == 21  # 20.5 rounds away from zero


@pytest.mark.parametrize("w", [1, 3, 21, 49, 98])
def test_categories_share_no_bit_whatever_the_rounding(w):
    # 1 / (1 / 49) rounds below 49.
    code = ScalarEncoder(minimum=-2, maximum=3, active_bits=w, category=True)
    codes = SDR.stack(code.encode(i) for i in range(-2, 4))
    np.testing.assert_array_equal(codes.indices, np.arange(6 * w))
    assert code.size == 6 * w


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_overlap_falls_linearly_with_distance(i, j, periodic):
    code = ScalarEncoder(minimum=0, maximum=100, active_bits=9, resolution=1.0, periodic=periodic)
    distance = min(abs(i - j), 100 - abs(i - j)) if periodic else abs(i - j)
    assert code.encode(i).overlap(code.encode(j)) == max(0, 9 - distance)


@settings(deadline=None, max_examples=300)
@given(
    minimum=st.floats(-1e6, 1e6),
    extent=st.floats(1e-3, 1e6),
    share=st.floats(0, 1),
    w=st.integers(1, 40),
    buckets=st.integers(2, 200),
    periodic=st.booleans(),
)
def test_compiled_bits_equal_the_reference(minimum, extent, share, w, buckets, periodic):
    code = ScalarEncoder(
        minimum=minimum,
        maximum=minimum + extent,
        active_bits=w,
        total_bits=w + buckets,
        periodic=periodic,
    )
    x = min(minimum + share * extent, code.maximum)
    out = np.full(w + 2, -1, np.int32)
    end = scalar_bits(x, float(minimum), code.r, code.size, w, periodic, out, 1, 1000)
    pattern = code.encode(x)
    assert len(pattern) == w
    assert end == w + 1
    np.testing.assert_array_equal(out[1:-1], pattern.indices + 1000)
    assert out[0] == out[-1] == -1


def test_clipping_encodes_the_nearest_end():
    code = ScalarEncoder(minimum=0, maximum=10, active_bits=3, resolution=1.0, clip_input=True)
    assert code.encode(1e308) == code.encode(float("inf")) == code.encode(10)
    assert code.encode(-5) == code.encode(0)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_missing_value_has_no_active_bit(missing):
    code = ScalarEncoder(minimum=0, maximum=10, active_bits=3, resolution=1.0)
    assert code.encode(missing) == SDR.empty(code.size)


def test_repr_and_dict_round_trip():
    code = ScalarEncoder(minimum=0, maximum=24, active_bits=21, radius=9.49, periodic=True)
    assert eval(repr(code)) == code
    assert ScalarEncoder.from_dict(code.to_dict()) == code


BASE = {"minimum": 0, "maximum": 10, "active_bits": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (BASE, r"exactly one of total_bits, radius, resolution, category, got none"),
        (BASE | {"radius": 1.0, "resolution": 1.0}, r"got radius=1.0, resolution=1.0"),
        ({"minimum": 0, "maximum": 10, "radius": 1.0}, r"exactly one of active_bits, sparsity"),
        (BASE | {"sparsity": 0.1, "total_bits": 50}, r"exactly one of active_bits, sparsity"),
        ({"minimum": 0, "maximum": 1, "sparsity": 0.1, "radius": 1.0}, r"come with total_bits"),
        (
            {"minimum": 0, "maximum": 1, "sparsity": 1.0, "total_bits": 9},
            r"sparsity must be below 1",
        ),
        (BASE | {"minimum": 10, "radius": 1.0}, r"maximum must be > minimum \(10\), got 10"),
        (BASE | {"maximum": float("nan"), "radius": 1.0}, r"maximum must be a finite number"),
        (BASE | {"minimum": "0", "radius": 1.0}, r"minimum must be a finite number, got '0'"),
        (BASE | {"minimum": -1e308, "maximum": 1e308, "radius": 1.0}, r"within float64 range"),
        (BASE | {"radius": 0.0}, r"radius must be a finite number > 0"),
        (BASE | {"total_bits": 3}, r"total_bits must be >= 4 to hold 3 bits, got 3"),
        (BASE | {"total_bits": 2, "periodic": True}, r"total_bits must be >= 3 to hold 3 bits"),
        (BASE | {"resolution": 1e-9}, r"resolution must be such that the size lies in"),
        (BASE | {"radius": 5e-324}, r"radius must be such that the size lies in"),
        (
            BASE | {"radius": 10.0, "periodic": True, "clip_input": True},
            r"clip_input must be False",
        ),
        (BASE | {"category": True, "periodic": True}, r"category must be False when periodic"),
        (BASE | {"category": True, "clip_input": True}, r"category must be False when clip_input"),
        (BASE | {"category": True, "maximum": 9.5}, r"category must be used with an integer"),
    ],
)
def test_wrong_parameters_are_refused_by_name(arguments, message):
    with pytest.raises(ParameterError, match=message):
        ScalarEncoder(**arguments)


def test_values_out_of_range_are_refused():
    code = ScalarEncoder(minimum=0, maximum=10, active_bits=3, resolution=1.0)
    for x in (-0.1, 10.1, float("inf")):
        with pytest.raises(InputError, match=r"value must lie in \[0, 10\].*clip_input=True"):
            code.encode(x)
    with pytest.raises(InputError, match=r"category must be an integer, got 1.5"):
        ScalarEncoder(minimum=0, maximum=3, active_bits=2, category=True).encode(1.5)
