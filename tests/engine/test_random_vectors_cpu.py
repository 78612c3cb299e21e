"""Vector ciphers are those of the reference, on any list of entities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from biomem.engine.random import Stream, words
from biomem.engine.random_vectors_cpu import draw64, draw_row64


@njit
def _draw_row(out, key, stream, entity, first, tick):
    draw_row64(out, key, stream, entity, first, tick)


@njit
def _draw(out, key, stream, first, ids, batch, tick):
    draw64(out, key, stream, first, ids, batch, tick)


@settings(deadline=None, max_examples=60)
@given(
    key=st.integers(0, 2**64 - 1),
    first=st.integers(0, 2**31),
    batch=st.integers(0, 2**32 - 1),
    tick=st.integers(0, 2**48 - 1),
    ids=st.lists(st.integers(0, 2**31 - 1), max_size=40),
)
def test_the_words_are_those_of_the_reference(key, first, batch, tick, ids):
    entities = np.array(ids, np.uint32)
    out = np.zeros(len(ids), np.uint64)
    _draw(out, np.uint64(key), int(Stream.NET_POISSON), first, entities, batch, tick)
    for entity, got in zip(ids, out, strict=True):
        high, low = words(key, Stream.NET_POISSON, first + entity, tick, batch)[:2]
        assert int(got) == int(high) << 32 | int(low)


@settings(deadline=None, max_examples=60)
@given(
    key=st.integers(0, 2**64 - 1),
    entity=st.integers(0, 2**32 - 1),
    first=st.integers(0, 2**31),
    tick=st.integers(0, 2**48 - 1),
    n=st.integers(0, 20),
)
def test_the_words_of_a_row_are_those_of_the_reference(key, entity, first, tick, n):
    out = np.zeros(2 * n, np.uint64)
    _draw_row(out, np.uint64(key), int(Stream.NET_CONNECT), entity, first, tick)
    want = words(key, Stream.NET_CONNECT, entity, tick, first + np.arange(n)).astype(np.uint64)
    want = want.reshape(-1, 2)
    np.testing.assert_array_equal(out, want[:, 0] << np.uint64(32) | want[:, 1])


@pytest.mark.parametrize("n", [7, 8, 9, 16])
def test_nothing_is_written_beyond_the_entities(n):
    out = np.zeros(n + 8, np.uint64)
    _draw(out[:n], np.uint64(3), 1, 0, np.arange(n, dtype=np.uint32), 0, 5)
    _draw_row(out[: 2 * (n // 2)], np.uint64(3), 1, 0, 0, 5)
    assert out[:n].all()
    assert not out[n:].any()
