"""MurmurHash3 against published answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.models.htm.encoders.cpu import murmur3_word
from biomem.models.htm.encoders.hashing import murmur3_bytes, murmur3_words

uint32 = st.integers(0, 2**32 - 1)


# Published test vectors of murmur3_x86_32 (SMHasher's reference implementation).
@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"", 0xFFFFFFFF, 0x81F16F39),
        (b"\0\0\0\0", 0, 0x2362F9DE),
        (b"\xff\xff\xff\xff", 0, 0x76293B50),
        (b"\x21\x43\x65\x87", 0, 0xF55B516B),
        (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
        (b"\x21\x43\x65", 0, 0x7E4A8634),
        (b"\x21\x43", 0, 0xA0F7B07A),
        (b"\x21", 0, 0x72661CF4),
    ],
)
def test_known_answers(data, seed, expected):
    assert murmur3_bytes(data, seed) == expected


@settings(deadline=None)
@given(st.lists(uint32, min_size=1, max_size=8), uint32)
def test_three_forms_agree_on_words(keys, seed):
    expected = [murmur3_bytes(key.to_bytes(4, "little"), seed) for key in keys]
    assert murmur3_words(np.array(keys, np.uint32), seed).tolist() == expected
    assert [int(murmur3_word(np.uint32(k), np.uint32(seed))) for k in keys] == expected
