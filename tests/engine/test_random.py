"""Philox in NumPy: published answers, the counter layout, the statistics, the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from biomem.engine.random import (
    BUILD_TICK,
    Rng,
    Stream,
    below,
    philox4x32,
    uniform32,
    uniform64,
    words,
)
from biomem.errors import ParameterError

# Random123, kat_vectors: counter, key, answer of philox4x32 with 10 rounds.
KNOWN_ANSWERS = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def of_hex(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter: str, key: str, answer: str) -> None:
    assert philox4x32(of_hex(counter), of_hex(key)).tolist() == of_hex(answer)


def test_stream_numbers_are_pinned() -> None:
    # A number that changes changes every result ever saved under it. Add at the end.
    assert {s.name: int(s) for s in Stream} == {
        "GENERIC": 0,
        "INIT": 1,
        "NOISE": 2,
        "CONNECT": 3,
        "HTM_TABLE": 16,
        "SP_POOL": 17,
        "SP_PERMANENCE": 18,
        "TM_LEAST_USED": 19,
        "TM_GROW": 20,
        "NET_CONNECT": 32,
        "NET_WEIGHT": 33,
        "NET_DELAY": 34,
        "NET_PLASTICITY": 35,
        "NET_MEMBRANE": 36,
        "NET_POISSON": 37,
        "NET_ENCODE": 38,
    }
    assert BUILD_TICK == 281474976710655


def test_counter_layout() -> None:
    got = words(key=0x1111222233334444, stream=0xABCD, entity=5, tick=0x123456789ABC, batch=7)
    want = philox4x32([5, 7, 0x56789ABC, 0xABCD1234], [0x33334444, 0x11112222])
    assert np.array_equal(got, want)


def test_default_tick_is_build_time() -> None:
    assert np.array_equal(words(3, Stream.CONNECT, 1), words(3, Stream.CONNECT, 1, BUILD_TICK, 0))


def test_arguments_broadcast_and_each_element_stands_alone() -> None:
    entity, tick, batch = np.arange(3), np.array([[4], [2**40]]), np.array([0, 1, 9])
    got = words(11, 2, entity, tick, batch)
    assert got.shape == (2, 3, 4)
    assert got.dtype == np.uint32
    for i in range(2):
        for j in range(3):
            single = words(11, 2, int(entity[j]), int(tick[i, 0]), int(batch[j]))
            assert single.shape == (4,)
            assert np.array_equal(got[i, j], single)


def test_keys_broadcast() -> None:
    keys = np.array([[1, 2], [3, 4]], np.uint32)
    got = philox4x32(np.zeros((5, 1, 4), np.uint32), keys)
    assert got.shape == (5, 2, 4)
    assert np.array_equal(got[4, 1], philox4x32([0, 0, 0, 0], [3, 4]))


def test_long_arrays_pass_in_blocks_without_a_seam() -> None:
    n = 20_011
    whole = words(1, 0, np.arange(n))
    assert np.array_equal(
        whole, np.concatenate([words(1, 0, np.arange(9_000)), words(1, 0, np.arange(9_000, n))])
    )
    counter = np.zeros((n, 4), np.uint32)
    counter[:, 0] = np.arange(n)
    keys = np.tile(np.array([7, 8], np.uint32), (n, 1))
    assert np.array_equal(philox4x32(counter, keys), philox4x32(counter, keys[0]))


def test_empty_arrays() -> None:
    assert words(0, 0, np.zeros((2, 0), np.int64)).shape == (2, 0, 4)
    assert words(0, 0, []).shape == (0, 4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**32))
def test_below_is_multiply_high(word: int, n: int) -> None:
    assert int(below(np.uint32(word), n)) == (word * n) >> 32


def test_below_takes_arrays() -> None:
    w = words(1, 0, np.arange(100))[:, 0]
    n = np.arange(1, 101)
    got = below(w, n)
    assert got.dtype == np.int64
    assert (got < n).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_uniforms_are_exact(w0: int, w1: int) -> None:
    assert float(uniform32(np.uint32(w0))) == (w0 >> 8) / 2**24
    assert float(uniform64(np.uint32(w0), np.uint32(w1))) == ((w0 >> 5) * 2**26 + (w1 >> 6)) / 2**53


def test_uniforms_stay_below_one() -> None:
    top = np.uint32(2**32 - 1)
    assert uniform32(top).dtype == np.float32
    assert uniform32(top) == np.float32(1 - 2.0**-24)
    assert uniform64(top, top) == 1 - 2.0**-53


def test_uniform_moments_and_distribution() -> None:
    u = Rng(2024).uniform(Stream.NOISE, np.arange(400_000), tick=1)
    n = u.size
    assert u.dtype == np.float64
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    # Var of the sample variance of U(0, 1): (1/80 - 1/144) / n.
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt((1 / 80 - 1 / 144) / n)
    assert stats.kstest(u, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("byte", range(16))
def test_every_byte_of_a_block_is_flat(byte: int) -> None:
    # Entities, ticks and batches all count up, as they do in use.
    w = words(5, Stream.GENERIC, np.arange(200)[:, None], np.arange(500), np.arange(500) % 7)
    column = w.reshape(-1, 4).view(np.uint8)[:, byte]
    assert stats.chisquare(np.bincount(column, minlength=256)).pvalue > 1e-4


def test_normal_moments_and_distribution() -> None:
    z = Rng(7).normal(Stream.INIT, np.arange(200_000))
    n = z.size
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * np.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * np.sqrt(24 / n)
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_streams_ticks_batches_and_seeds_are_uncorrelated() -> None:
    n = 100_000
    e = np.arange(n)
    base = Rng(1).uniform(1, e, tick=1, batch=1)
    others = [
        Rng(2).uniform(1, e, tick=1, batch=1),
        Rng(1 << 32).uniform(1, e, tick=1, batch=1),
        Rng(1).uniform(2, e, tick=1, batch=1),
        Rng(1).uniform(1, e, tick=2, batch=1),
        Rng(1).uniform(1, e, tick=1 + 2**32, batch=1),
        Rng(1).uniform(1, e, tick=1, batch=2),
        Rng(1).uniform(1, e + 1, tick=1, batch=1),
    ]
    for other in others:
        assert abs(np.corrcoef(base, other)[0, 1]) < 4.5 / np.sqrt(n)


def test_rng_is_a_value() -> None:
    assert eval(repr(Rng(2**64 - 1)), {"Rng": Rng}) == Rng(2**64 - 1)
    assert len({Rng(1), Rng(1), Rng(2)}) == 2
    assert Rng(1) != 1
    assert Rng(np.uint64(2**64 - 1)).key == 2**64 - 1


def test_rng_words_are_words() -> None:
    assert np.array_equal(Rng(9).words(4, [1, 2], 3, 5), words(9, 4, [1, 2], 3, 5))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"key": -1}, "key"),
        ({"key": 2**64}, "key"),
        ({"key": 0.5}, "key"),
        ({"stream": 2**16}, "stream"),
        ({"stream": -1}, "stream"),
        ({"entity": -1}, "entity"),
        ({"entity": np.array([0, 2**32])}, "entity"),
        ({"entity": 2**80}, "entity"),
        ({"entity": 1.0}, "entity"),
        ({"entity": True}, "entity"),
        ({"entity": [-1, 2**63]}, "entity"),
        ({"tick": 2**48}, "tick"),
        ({"tick": -1}, "tick"),
        ({"batch": 2**32}, "batch"),
        ({"batch": np.array(["a"])}, "batch"),
        ({"entity": [1, 2, 3], "tick": [1, 2]}, "broadcast"),
    ],
)
def test_words_refuses(change: dict[str, object], names: str) -> None:
    good: dict[str, object] = {"key": 0, "stream": 0, "entity": 0, "tick": 0, "batch": 0}
    with pytest.raises(ParameterError, match=names):
        words(**{**good, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counter", "key", "names"),
    [
        ([0, 0, 0], [0, 0], "counter"),
        ([0, 0, 0, 0], [0], "key"),
        ([0, 0, 0, 0], 0, "key"),
        ([0, 0, 0, 2**32], [0, 0], "counter"),
        ([0.0] * 4, [0, 0], "counter"),
        (np.zeros((2, 4), int), np.zeros((3, 2), int), "broadcast"),
    ],
)
def test_philox_refuses(counter: object, key: object, names: str) -> None:
    with pytest.raises(ParameterError, match=names):
        philox4x32(counter, key)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -1, 2**32 + 1, 1.5])
def test_below_refuses(n: object) -> None:
    with pytest.raises(ParameterError, match="n must be"):
        below(np.uint32(1), n)  # type: ignore[arg-type]


def test_seed_is_refused_by_its_name() -> None:
    with pytest.raises(ParameterError, match="seed must be in"):
        Rng(-1)
