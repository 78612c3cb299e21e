"""RDSE: htm.core's bits, the laws of overlap, the table, refusals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.sdr import SDR
from biomem.errors import BiomemWarning, InputError, ParameterError
from biomem.models.htm.encoders import RDSE
from biomem.models.htm.encoders.rdse import confusion_chance

# Made with htm.core 2.2.0: size 400, activeBits 21, resolution 1, seed 42.
HTMCORE = {
    0: "18 49 66 107 147 149 168 173 185 191 288 320 339 344 345 363 365 374 398 399",
    1: "18 49 66 107 143 147 149 168 173 185 288 320 339 344 345 363 365 374 398 399",
    10: "18 37 49 105 110 115 143 149 168 173 185 288 315 320 326 332 335 344 363 365 381",
}


@pytest.fixture
def nab():
    return RDSE(size=400, active_bits=21, resolution=1.0, seed=42)


@pytest.mark.parametrize("compat", ["biomem", "htmcore"])
@pytest.mark.parametrize(("x", "bits"), HTMCORE.items())
def test_bits_equal_htmcore(nab, compat, x, bits):
    assert list(nab.replace(compat=compat).encode(x)) == [int(bit) for bit in bits.split()]


def test_truncation_only_in_the_compatible_form(nab):
    truncating = nab.replace(compat="htmcore")
    assert truncating.encode(-0.5) == truncating.encode(0)
    assert nab.encode(-0.5) == nab.encode(-1)
    assert nab.encode(-0.5) != nab.encode(0)
    # Below zero the index wraps modulo 2**32, in both forms.
    assert nab.encode(-3) == truncating.encode(-3) == nab.encode(2**32 - 3)


def test_parameter_pairs_mean_the_same():
    given_bits = RDSE(size=4000, active_bits=400, resolution=0.001)
    assert RDSE(size=4000, sparsity=0.1, resolution=0.001).encode(7.7) == given_bits.encode(7.7)
    by_radius = RDSE(size=4000, active_bits=400, radius=0.4)
    assert by_radius.r == 0.001
    assert by_radius.encode(7.7) == given_bits.encode(7.7)


@settings(deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(0, 60), st.integers(1, 2**32 - 1))
def test_overlap_falls_by_one_per_bucket(bucket, distance, seed):
    # So many bits that the hash has no collisions to speak of: each key is one bit.
    code = RDSE(size=2**31 - 1, active_bits=21, resolution=0.5, seed=seed)
    overlap = code.encode(bucket / 2 + 0.1).overlap(code.encode((bucket + distance) / 2 + 0.2))
    assert abs(overlap - max(0, 21 - distance)) <= 1


def test_distant_codes_overlap_at_chance_level(nab):
    codes = [nab.encode(30 * i) for i in range(60)]
    overlaps = [a.overlap(b) for i, a in enumerate(codes) for b in codes[:i]]
    # Hypergeometric mean w**2 / n; 1770 pairs of variance about 1 give a standard error of 0.03.
    assert np.mean(overlaps) == pytest.approx(21 * 21 / 400, abs=0.12)


@pytest.mark.parametrize("w", [1, 21, 49, 93])
def test_categories_share_no_key(w):
    code = RDSE(size=2**31 - 1, active_bits=w, category=True)
    codes = SDR.stack(code.encode(i) for i in range(20))
    assert len(np.unique(codes.indices)) == len(codes.indices) == 20 * w


def test_huge_values_have_a_code_of_their_own(nab):
    limit = nab.encode(1e308)
    assert limit == nab.replace(resolution=1e-3).encode(-1e308) == nab.encode(2.0**53)
    assert limit.overlap(nab.encode(0)) < 7
    # A large counter still tells its neighbours apart.
    assert nab.encode(1e12) != nab.encode(1e12 + 1)


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan")])
@pytest.mark.parametrize("table", [False, True])
def test_missing_value_has_no_active_bit(missing, table):
    assert RDSE(active_bits=21, resolution=1.0, table=table).encode(missing) == SDR.empty(400)


@pytest.mark.parametrize(
    ("size", "w", "seed"), [(400, 21, 42), (400, 21, 2**32 - 1), (260, 11, 1), (1000, 41, 7)]
)
def test_table_has_the_stated_overlaps(size, w, seed):
    code = RDSE(size=size, active_bits=w, resolution=1.0, seed=seed, table=True)
    table = code.bucket_table()
    assert table.shape == (1000, w)
    assert table.dtype == np.int32
    assert (np.diff(table, axis=1) > 0).all()
    member = np.zeros((1000, size), np.int64)
    np.put_along_axis(member, table.astype(np.int64), 1, axis=1)
    overlap = member @ member.T
    distance = np.abs(np.subtract.outer(np.arange(1000), np.arange(1000)))
    near = distance < w
    np.testing.assert_array_equal(overlap[near], (w - distance)[near])
    assert overlap[~near].max() <= 2


def test_table_is_shared_and_cannot_be_written():
    code = RDSE(active_bits=21, resolution=1.0, table=True)
    assert code.bucket_table() is code.replace(resolution=2.0).bucket_table()
    with pytest.raises(ValueError, match="read-only"):
        code.bucket_table()[0, 0] = 1


@pytest.mark.parametrize(
    ("x", "bucket"),
    [
        (10.0, 500),
        (10.24, 500),
        (10.25, 501),
        (9.75, 499),
        (9.8, 500),
        (260.0, 999),
        (1e308, 999),
        (-240.0, 0),
        (-1e308, 0),
    ],
)
def test_bucket_is_counted_from_the_offset_halves_away_from_zero(x, bucket):
    code = RDSE(active_bits=21, resolution=0.5, table=True)
    assert code.bucket(x, 10.0) == code.replace(offset=10.0).bucket(x) == bucket
    expected = SDR(code.bucket_table()[bucket], 400)
    assert code.encode(x, 10.0) == code.replace(offset=10.0).encode(x) == expected


def test_offset_argument_wins_over_the_parameter():
    assert RDSE(active_bits=21, resolution=1.0, table=True, offset=0.0).bucket(3.0, 3.0) == 500


def test_weak_code_warns_and_the_standard_one_does_not():
    with pytest.warns(BiomemWarning, match="probability 1; use a larger size") as caught:
        RDSE(size=50, active_bits=10, resolution=1.0)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RDSE(size=400, active_bits=21, resolution=1.0)
        RDSE(size=1000, active_bits=200, resolution=1.0)


def test_chance_of_confusion_equals_the_published_one():
    # htm.core's construction check refuses its own benchmark encoder in 2.8 % of constructions.
    assert confusion_chance(400, 21) == pytest.approx(0.028, abs=5e-4)
    assert confusion_chance(9, 9) == 1


def test_numpy_numbers_become_python_numbers():
    code = RDSE(size=np.int64(400), active_bits=np.int32(21), resolution=np.float32(0.5))
    assert repr(code) == repr(RDSE(size=400, active_bits=21, resolution=0.5))


def test_repr_and_dict_round_trip(nab):
    for code in (nab, RDSE(sparsity=0.05, radius=2.0, table=True, offset=3.0)):
        assert eval(repr(code)) == code
        assert RDSE.from_dict(code.to_dict()) == code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resolution": 1.0}, r"exactly one of active_bits, sparsity, got none of them"),
        (
            {"active_bits": 21, "sparsity": 0.1, "resolution": 1.0},
            r"exactly one of active_bits, spars",
        ),
        ({"active_bits": 21}, r"exactly one of resolution, radius, category, got none"),
        ({"active_bits": 21, "radius": 1.0, "resolution": 1.0}, r"got resolution=1.0, radius=1.0"),
        ({"active_bits": 21, "radius": 1.0, "category": True}, r"got radius=1.0, category=True"),
        ({"active_bits": 21, "resolution": 0}, r"resolution must be a finite number > 0, got 0"),
        ({"active_bits": 21, "resolution": -1.0}, r"resolution must be a finite number > 0"),
        ({"active_bits": 21, "radius": float("inf")}, r"radius must be a finite number > 0"),
        ({"active_bits": 21, "radius": 5e-324}, r"radius must be large enough"),
        ({"active_bits": 0, "resolution": 1.0}, r"active_bits must be an int in \[1, 400\], got 0"),
        ({"active_bits": 401, "resolution": 1.0}, r"active_bits must be an int in \[1, 400\]"),
        ({"active_bits": 2.5, "resolution": 1.0}, r"active_bits must be an int"),
        ({"sparsity": 1.0, "resolution": 1.0}, r"sparsity must be < 1, got 1.0"),
        (
            {"active_bits": 21, "resolution": 1.0, "seed": 0},
            r"seed must be in .*hidden random seed",
        ),
        ({"active_bits": 21, "resolution": 1.0, "seed": 2**32}, r"seed must be an int in"),
        ({"active_bits": 21, "resolution": 1.0, "size": 0}, r"size must be an int in"),
        ({"active_bits": 21, "resolution": 1.0, "compat": "nupic"}, r"compat must be 'biomem' or"),
        (
            {"active_bits": 21, "resolution": 1.0, "offset": 1.0},
            r"offset must be None without table",
        ),
        (
            {"active_bits": 21, "category": True, "table": True},
            r"table must be False with category",
        ),
        (
            {"active_bits": 21, "resolution": 1, "table": True, "compat": "htmcore"},
            r"table must be False",
        ),
        (
            {"active_bits": 21, "resolution": 1, "table": True, "size": 126},
            r"size must be > 6 \* .* 126",
        ),
    ],
)
def test_wrong_parameters_are_refused_by_name(arguments, message):
    with pytest.raises(ParameterError, match=message):
        RDSE(**arguments)


def test_table_too_dense_to_build_is_refused():
    with pytest.raises(ParameterError, match=r"size must be larger .* got 127"):
        RDSE(size=127, active_bits=21, resolution=1.0, table=True).bucket_table()


@pytest.mark.parametrize("value", [float("inf"), "3", [1, 2], 10**400, 1j])
def test_what_is_no_number_is_refused(nab, value):
    with pytest.raises(InputError, match=r"RDSE.encode: value must be"):
        nab.encode(value)


def test_unusable_calls_are_refused(nab):
    with pytest.raises(InputError, match="offset must be given with table=True"):
        nab.replace(table=True).encode(1.0)
    with pytest.raises(InputError, match="category must be an integer"):
        RDSE(active_bits=21, category=True).encode(1.5)
    with pytest.raises(ParameterError, match="table must be True to have a table"):
        nab.bucket_table()
