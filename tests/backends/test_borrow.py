"""Borrowed arrays are the same memory, and leave the counts of their owners alone."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

from biomem.backends.borrow import borrow


class Pair(NamedTuple):
    first: np.ndarray
    second: np.ndarray


@njit
def _write(pair, row, number):
    pair, row = borrow((pair, row))
    pair.first[1:3] = number
    row[:] += pair.second
    return pair.first[1:3].sum()


@njit
def _kept(n):
    own = np.full(n, 2.0)
    total = 0.0
    for _ in range(100):
        total += _write(Pair(own, own), own, 1.0)
    return total, own


def test_what_is_written_through_a_borrowed_array_stands_in_the_owners() -> None:
    pair, row = Pair(np.zeros(4), np.arange(4.0)), np.ones(4)
    assert _write(pair, row, 5.0) == 10.0
    np.testing.assert_array_equal(pair.first, [0, 5, 5, 0])
    np.testing.assert_array_equal(row, [1, 2, 3, 4])


def test_owners_are_counted_as_before() -> None:
    pair, row = Pair(np.zeros(4), np.arange(4.0)), np.ones(4)
    counts = [sys.getrefcount(array) for array in (*pair, row)]
    for _ in range(50):
        _write(pair, row, 1.0)
    assert counts == [sys.getrefcount(array) for array in (*pair, row)]


def test_what_a_caller_allocated_is_given_back() -> None:
    _kept(5)
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        for _ in range(20):
            _, own = _kept(1000)
            assert own[0] > 2
        del own
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.alloc - before.alloc == after.free - before.free > 0
