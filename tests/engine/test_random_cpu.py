"""The numba functions give the bits of the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from biomem.engine import random, random_cpu

U32 = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter, key, answer) -> None:
    assert random_cpu.philox4x32(*(np.uint32(v) for v in (*counter, *key))) == answer


@given(
    key=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**16 - 1),
    entity=U32,
    batch=U32,
    tick=st.integers(0, 2**48 - 1),
)
def test_words_equal_the_reference(key, stream, entity, batch, tick) -> None:
    got = random_cpu.words(np.uint64(key), stream, entity, batch, tick)
    assert list(got) == random.words(key, stream, entity, tick, batch).tolist()


@given(w0=U32, w1=U32, n=st.integers(1, 2**32))
def test_conversions_equal_the_reference(w0, w1, n) -> None:
    a, b = np.uint32(w0), np.uint32(w1)
    assert random_cpu.uniform32(a) == random.uniform32(a)
    assert random_cpu.uniform64(a, b) == random.uniform64(a, b)
    assert random_cpu.below(a, n) == random.below(a, n)


@njit
def _fill(key, stream, batch, tick, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = random_cpu.words(key, stream, i, batch, tick)


def test_inlined_in_a_loop() -> None:
    # Here LLVM vectorises across entities, which a call from Python never does.
    out = np.empty((10_003, 4), np.uint32)
    _fill(np.uint64(2**64 - 59), random.Stream.NOISE.value, 3, 2**47 + 5, out)
    want = random.words(2**64 - 59, random.Stream.NOISE, np.arange(len(out)), 2**47 + 5, 3)
    assert np.array_equal(out, want)


def test_integer_types_of_the_caller_do_not_matter() -> None:
    want = random.words(5, 2, 2**32 - 1, 9, 1).tolist()
    for entity in (np.int64(2**32 - 1), np.uint32(2**32 - 1), np.uint64(2**32 - 1)):
        for batch in (np.int32(1), np.uint8(1)):
            assert list(random_cpu.words(np.int64(5), np.int64(2), entity, batch, 9)) == want
