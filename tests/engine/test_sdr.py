"""Sparse patterns: construction, algebra against dense arrays, refusals."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biomem.engine.sdr import SDR
from biomem.errors import InputError

dense_arrays = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
pairs = hnp.array_shapes(min_dims=1, max_dims=3, max_side=6).flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)


@settings(deadline=None)
@given(dense_arrays)
def test_dense_round_trip_keeps_every_bit(dense):
    sdr = SDR.from_dense(dense)
    np.testing.assert_array_equal(sdr.to_dense(), dense)
    assert sdr.shape == dense.shape[:-1]
    assert sdr.size == dense.shape[-1]
    rebuilt = SDR(sdr.indices, sdr.size, indptr=sdr.indptr, shape=sdr.shape)
    assert rebuilt == sdr
    assert hash(rebuilt) == hash(sdr)
    assert pickle.loads(pickle.dumps(sdr)) == sdr
    np.testing.assert_array_equal(sdr.counts, dense.sum(axis=-1))
    np.testing.assert_array_equal(sdr.sparsity, dense.mean(axis=-1))


@settings(deadline=None)
@given(pairs)
def test_algebra_equals_dense_algebra(pair):
    a, b = pair
    x, y = SDR.from_dense(a), SDR.from_dense(b)
    np.testing.assert_array_equal(x.overlap(y), (a & b).sum(axis=-1))
    np.testing.assert_array_equal(x.union(y).to_dense(), a | b)
    np.testing.assert_array_equal(SDR.concat([x, y]).to_dense(), np.concatenate([a, b], axis=-1))
    np.testing.assert_array_equal(SDR.stack([x, y]).to_dense(), np.stack([a, b]))
    assert (x == y) == np.array_equal(a, b)


@settings(deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6)), st.data())
def test_indexing_and_iteration_follow_the_first_axis(dense, data):
    sdr = SDR.from_dense(dense)
    assert len(sdr) == len(dense)
    for pattern, row in zip(sdr, dense, strict=True):
        np.testing.assert_array_equal(pattern.to_dense(), row)
    i = data.draw(st.integers(-len(dense), len(dense) - 1))
    np.testing.assert_array_equal(sdr[i].to_dense(), dense[i])
    bound = st.integers(-8, 8) | st.none()
    cut = slice(data.draw(bound), data.draw(bound))
    np.testing.assert_array_equal(sdr[cut].to_dense(), dense[cut])


def test_one_pattern_is_compared_with_many():
    dense = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    many = SDR.from_dense(dense)
    np.testing.assert_array_equal(many.overlap(SDR([1, 2], 4)), [1, 2, 0])


def test_single_pattern_is_a_sequence_of_its_indices():
    sdr = SDR.from_indices([7, 1, 4, 1], 10)
    assert list(sdr) == [1, 4, 7]
    assert len(sdr) == sdr.counts == 3
    assert sdr.sparsity == 0.3
    assert sdr.indices.dtype == np.int32
    assert sdr.overlap(SDR([4, 5, 7], 10)) == 2
    assert len(SDR.empty(5)) == 0
    assert SDR.empty(5, (2, 3)).to_dense().shape == (2, 3, 5)


def test_repr_tells_the_sizes():
    assert repr(SDR([1, 4, 7], 10)) == "<SDR: 3 of 10 active (30 %)>"
    assert repr(SDR.empty(10, (2, 3))) == "<SDR: (2, 3) patterns, 0 of 60 active (0 %)>"


def test_nothing_can_be_changed():
    given_indices = np.array([1, 2], np.int32)
    sdr = SDR(given_indices, 5)
    given_indices[0] = 0
    assert list(sdr) == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        sdr.indices[0] = 0
    with pytest.raises(AttributeError, match="immutable"):
        sdr.size = 7
    with pytest.raises(AttributeError, match="immutable"):
        del sdr.size


def test_equality_sees_size_and_shape():
    assert SDR([1], 5) != SDR([1], 6)
    assert SDR([1], 5) != SDR([1], 5, shape=(1,))
    assert SDR([1], 5) != [1]
    assert len({SDR([1], 5), SDR([1], 5), SDR([2], 5)}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"indices": [3, 1], "size": 5}, r"indices must ascend.*got 3 before 1 at position 0"),
        ({"indices": [1, 1], "size": 5}, r"indices must ascend without repeats"),
        ({"indices": [1, 5], "size": 5}, r"indices must lie in \[0, 5\), got 5"),
        ({"indices": [-1], "size": 5}, r"indices must lie in \[0, 5\), got -1"),
        ({"indices": [0.5], "size": 5}, r"indices must be a one-dimensional array of int"),
        ({"indices": [[1]], "size": 5}, r"indices must be a one-dimensional array of int"),
        ({"indices": [True], "size": 5}, r"indices must be a one-dimensional array of int"),
        ({"indices": [], "size": 0}, r"size must be in \[1, 2\*\*31\), got 0"),
        ({"indices": [], "size": 2**31}, r"size must be in \[1, 2\*\*31\)"),
        ({"indices": [], "size": 1.5}, r"size must be an int, got 1.5"),
        ({"indices": [1], "size": 5, "indptr": [0, 2]}, r"indptr must rise from 0"),
        ({"indices": [1], "size": 5, "indptr": [1, 1]}, r"indptr must rise from 0"),
        ({"indices": [1, 2], "size": 5, "indptr": [0, 2, 1, 2]}, r"indptr must rise from 0"),
        ({"indices": [], "size": 5, "indptr": []}, r"indptr must hold at least one"),
        ({"indices": [1], "size": 5, "shape": (2,)}, r"shape must have a product of 1"),
        ({"indices": [1], "size": 5, "shape": (-1, -1)}, r"shape must have a product of 1"),
        ({"indices": [2, 1, 1], "size": 5, "indptr": [0, 1, 3]}, r"got 1 before 1 at position 1"),
    ],
)
def test_malformed_patterns_are_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message):
        SDR(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.overlap(SDR([1], 6)), r"overlap: other must have size 5, got size 6"),
        (lambda a: a.union([1]), r"union: other must be an SDR, got list"),
        (lambda a: a.union(SDR.empty(5, (1,))), r"union: every SDR must have size 5"),
        (lambda a: a.overlap(SDR.empty(5, (1,))), r"overlap: every SDR must have size 5"),
        (lambda a: a[0], r"single pattern has no leading axis"),
        (lambda a: SDR.stack([a, a])[::2], r"slices must have step 1, got 2"),
        (lambda a: SDR.stack([a, SDR([1], 6)]), r"stack: every SDR must have size 5"),
        (lambda a: SDR.concat([a, SDR.empty(5, (1,))]), r"concat: patterns must share"),
        (lambda a: SDR.concat([]), r"concat: patterns must hold at least one"),
        (lambda a: SDR.stack([]), r"stack: patterns must hold at least one"),
        (lambda a: SDR.from_dense(1), r"dense must have at least one axis"),
        (lambda a: SDR.from_dense([0, 2]), r"dense must hold only 0 and 1"),
        (lambda a: SDR.from_dense(["a"]), r"dense must hold only 0 and 1"),
        (lambda a: SDR.from_dense(np.zeros((3, 0))), r"size must be in"),
        (lambda a: SDR.from_indices([1.5], 5), r"indices must be a one-dimensional array of int"),
    ],
)
def test_misuse_is_refused_by_name(call, message):
    with pytest.raises(InputError, match=message):
        call(SDR([1, 2], 5))


def test_index_out_of_range_ends_iteration_protocols():
    with pytest.raises(IndexError, match="out of range for axis of 2"):
        SDR.empty(5, (2,))[2]
