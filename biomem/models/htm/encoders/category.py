"""Category encoder: names and integer identifiers, none of which resembles another."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Self

from biomem.engine.params import Params
from biomem.engine.sdr import SDR
from biomem.errors import InputError, require
from biomem.models.htm.encoders.hashing import murmur3_bytes
from biomem.models.htm.encoders.rdse import RDSE
from biomem.models.htm.encoders.scalar import ScalarEncoder
from biomem.models.htm.encoders.values import LARGEST_SIZE, one_of, plain, require_int

__all__ = ["CategoryEncoder", "Vocabulary"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary(Params):
    """Names in the order they were first seen; an immutable value that `learn` extends.

    Identifiers start at 1; 0 stands for every name that is unknown or came after the vocabulary
    was full. Learning copies the names: for many thousands of them encode by hash instead.

    Parameters
    ----------
    names : tuple of str
    capacity : int
        Most names kept.

    Examples
    --------
    >>> words = Vocabulary(capacity=2)
    >>> number, words = words.learn("red")
    >>> number, words.names, words.number("green")
    (1, ('red',), 0)
    """

    names: tuple[str, ...] = ()
    capacity: int = 1000

    def __post_init__(self) -> None:
        require_int(self, "capacity", 1, LARGEST_SIZE)
        ok = isinstance(self.names, tuple) and all(isinstance(name, str) for name in self.names)
        ok = ok and len(set(self.names)) == len(self.names) <= self.capacity
        require(self, "names", ok, f"a tuple of at most {self.capacity} different str")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names, 1)}

    def number(self, name: str) -> int:
        """Return the identifier of `name`, 0 when unknown."""
        return self._numbers.get(name, 0)

    def learn(self, name: str) -> tuple[int, Self]:
        """Return the identifier of `name` and the vocabulary that knows it, if there is room."""
        if name in self._numbers or len(self.names) >= self.capacity:
            return self.number(name), self
        return len(self.names) + 1, self.replace(names=(*self.names, name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CategoryEncoder(Params):
    """Encode one of several unordered values, so that no two share bits but by chance.

    For a small closed set give `categories`: the numbers 0 .. categories-1 get `active_bits` bits
    each and share none. For an open set give `total_bits`: numbers and names are hashed, and two
    codes share bits by chance only. Do not mix names and numbers in one hashed encoder, since a
    name becomes a number. Not for values with an order: the code would hide it.

    Parameters
    ----------
    categories : int, optional
        Number of values. Exactly one of this and `total_bits`. With a `Vocabulary`, its
        capacity + 1.
    total_bits : int, optional
        Size of the hashed form, ``RDSE(category=True)``.
    active_bits : int
    seed : int
        Of the hashed form, in [1, 2**32).

    Examples
    --------
    >>> CategoryEncoder(categories=3, active_bits=4).encode(1).indices
    array([4, 5, 6, 7], dtype=int32)
    >>> CategoryEncoder(total_bits=400, active_bits=21).encode("pump 3")
    <SDR: 21 of 400 active (5.25 %)>
    """

    categories: int | None = None
    total_bits: int | None = None
    active_bits: int = 21
    seed: int = 42

    def __post_init__(self) -> None:
        plain(self)
        # An identifier below 2**32 times the active bits stays exact in float64.
        require_int(self, "active_bits", 1, 2**20)
        if one_of(self, "categories", "total_bits") == "categories":
            require_int(self, "categories", 2, LARGEST_SIZE // self.active_bits)
        _ = self.code

    @cached_property
    def code(self) -> RDSE | ScalarEncoder:
        """The encoder that does the work."""
        if self.categories is not None:
            return ScalarEncoder(
                minimum=0, maximum=self.categories - 1, active_bits=self.active_bits, category=True
            )
        assert self.total_bits is not None
        return RDSE(
            size=self.total_bits, active_bits=self.active_bits, category=True, seed=self.seed
        )

    @property
    def size(self) -> int:
        """Number of bits."""
        return self.code.size

    def encode(self, value: int | str | None) -> SDR:
        """Return the pattern of a number or name; None and NaN give no active bit.

        Raises
        ------
        InputError
            A number that is no category, or a name in the closed form.
        """
        if isinstance(value, str):
            if self.categories is not None:
                raise InputError(
                    f"CategoryEncoder.encode: value must be one of 0 .. {self.categories - 1}, "
                    f"got {value!r}; a Vocabulary turns names into numbers, total_bits hashes them"
                )
            value = murmur3_bytes(value.encode(), self.seed)
        return self.code.encode(value)
