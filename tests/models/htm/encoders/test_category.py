"""Categories: closed sets, hashed names, vocabularies."""

from __future__ import annotations

import pytest

from biomem.engine.sdr import SDR
from biomem.errors import InputError, ParameterError
from biomem.models.htm.encoders import RDSE, CategoryEncoder, Vocabulary
from biomem.models.htm.encoders.hashing import murmur3_bytes


def test_closed_set_gives_each_number_its_own_bits():
    code = CategoryEncoder(categories=4, active_bits=5)
    assert code.size == 20
    assert SDR.stack(code.encode(i) for i in range(4)).indices.tolist() == list(range(20))


def test_open_set_is_the_category_rdse():
    code = CategoryEncoder(total_bits=1000, active_bits=21, seed=7)
    rdse = RDSE(size=1000, active_bits=21, category=True, seed=7)
    assert code.size == 1000
    assert code.encode(12) == rdse.encode(12)
    assert code.encode("naïve") == rdse.encode(murmur3_bytes("naïve".encode(), 7))


def test_different_names_resemble_each_other_only_by_chance():
    code = CategoryEncoder(total_bits=2000, active_bits=21)
    codes = [code.encode(f"host-{i}") for i in range(40)]
    assert max(a.overlap(b) for i, a in enumerate(codes) for b in codes[:i]) <= 5
    assert code.encode("host-3") == codes[3]


def test_missing_value_has_no_active_bit():
    for code in (CategoryEncoder(categories=3), CategoryEncoder(total_bits=400)):
        assert code.encode(None) == code.encode(float("nan")) == SDR.empty(code.size)


def test_vocabulary_numbers_names_in_order_of_sight_up_to_its_capacity():
    words = Vocabulary(capacity=2)
    numbers = []
    for name in ("b", "a", "b", "c", "a"):
        number, words = words.learn(name)
        numbers.append(number)
    assert numbers == [1, 2, 1, 0, 2]
    assert words.names == ("b", "a")
    assert words.number("c") == 0
    assert Vocabulary.from_dict(words.to_dict()) == words
    assert eval(repr(words)) == words


def test_learning_leaves_the_old_vocabulary_alone():
    old = Vocabulary()
    _, new = old.learn("x")
    assert (old.number("x"), new.number("x")) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"exactly one of categories, total_bits, got none"),
        ({"categories": 3, "total_bits": 400}, r"exactly one of categories, total_bits"),
        ({"categories": 1}, r"categories must be an int in \[2, "),
        ({"categories": 3, "active_bits": 0}, r"active_bits must be an int in"),
        ({"total_bits": 10}, r"active_bits must be an int in \[1, 10\], got 21"),
        ({"total_bits": 400, "seed": 0}, r"seed must be in"),
    ],
)
def test_wrong_parameters_are_refused_by_name(arguments, message):
    with pytest.raises(ParameterError, match=message):
        CategoryEncoder(**arguments)


@pytest.mark.parametrize(
    "arguments", [{"names": ("a", "a")}, {"names": ("a", "b"), "capacity": 1}, {"names": (1,)}]
)
def test_impossible_vocabulary_is_refused(arguments):
    with pytest.raises(ParameterError, match=r"names must be a tuple of at most"):
        Vocabulary(**arguments)


def test_values_that_are_no_category_are_refused():
    closed = CategoryEncoder(categories=3)
    with pytest.raises(InputError, match=r"one of 0 .. 2, got 'red'; a Vocabulary"):
        closed.encode("red")
    with pytest.raises(InputError, match=r"value must lie in \[0, 2\]"):
        closed.encode(3)
