import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from biomem.engine.recording.bits import bytes_of, pack, set_bits, unpack


@given(rows=arrays(bool, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=19)))
def test_packing_loses_nothing(rows):
    packed = pack(rows)
    assert packed.dtype == np.uint8
    assert packed.shape == (len(rows), bytes_of(rows.shape[1:]))
    np.testing.assert_array_equal(unpack(packed, rows.shape[1:]), rows)


@given(
    rows=arrays(bool, st.tuples(st.integers(0, 40), st.integers(0, 300))),
    every=st.integers(1, 3),
)
def test_set_bits_are_those_numpy_finds(rows, every):
    row, bit = set_bits(pack(rows[::every]))
    expected = np.nonzero(rows[::every])
    np.testing.assert_array_equal(row, expected[0])
    np.testing.assert_array_equal(bit, expected[1])


@pytest.mark.parametrize("element", [0, 7, 8, 20])
def test_the_bit_of_an_element_is_where_the_format_says(element):
    row = np.zeros((1, 3, 7), bool)
    row.flat[element] = True
    expected = np.zeros(3, np.uint8)
    expected[element // 8] = 1 << element % 8
    np.testing.assert_array_equal(pack(row)[0], expected)
