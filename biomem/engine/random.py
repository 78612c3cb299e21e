"""Counter-based random numbers: Philox4x32-10, the same bits on every backend.

A draw is a pure function of *what it is for*: key (the seed), stream (the purpose), entity, batch
and tick. Nothing is consumed, so the order of evaluation, the number of threads and the chunking
of a run cannot change a number, and a checkpoint needs to store only the key. This module is the
NumPy reference; `biomem.engine.random_cpu` and `biomem.engine.random_cuda` hold the same function
for kernels.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011, section 3.3. G. E. P. Box, M. E. Muller, Ann. Math. Stat. 29 (1958) 610.
"""

from __future__ import annotations

import operator
from enum import IntEnum
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import ParameterError

__all__ = [
    "BUILD_TICK",
    "Rng",
    "Stream",
    "below",
    "philox4x32",
    "uniform32",
    "uniform64",
    "words",
]

BUILD_TICK = 2**48 - 1
"""The tick under which connectivity and tables are drawn; no run ever reaches it."""

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ROUNDS = 10
# Counters per pass over the rounds: the working set (some eight uint64 arrays) stays in L2.
_BLOCK = 8192


class Stream(IntEnum):
    """What a draw is for. Numbers are pinned: a stream may be added, never renumbered."""

    GENERIC = 0
    INIT = 1
    NOISE = 2
    CONNECT = 3
    HTM_TABLE = 16
    SP_POOL = 17
    SP_PERMANENCE = 18
    TM_LEAST_USED = 19
    TM_GROW = 20
    NET_CONNECT = 32
    NET_WEIGHT = 33
    NET_DELAY = 34
    NET_PLASTICITY = 35
    NET_MEMBRANE = 36
    NET_POISSON = 37
    NET_ENCODE = 38


def _ten_rounds(counter: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint32]:
    # 32-bit quantities live in uint64, so a product is exact and nothing ever overflows.
    c0, c1, c2, c3 = (counter[..., i] for i in range(4))
    k0, k1 = key[..., 0], key[..., 1]
    for _ in range(_ROUNDS):
        p0 = c0 * _MULTIPLIER_0
        p1 = c2 * _MULTIPLIER_1
        c0, c1 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK
        c2, c3 = (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL_0) & _MASK, (k1 + _WEYL_1) & _MASK
    return np.stack((c0, c1, c2, c3), axis=-1).astype(np.uint32)


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Encrypt counters with Philox4x32-10.

    Parameters
    ----------
    counter : array of uint32, shape ``(..., 4)``
    key : array of uint32, shape ``(2,)`` or ``(..., 2)``
        Broadcast against `counter` on the leading axes.

    Returns
    -------
    array of uint32, shape ``(..., 4)``

    Raises
    ------
    ParameterError
        A last axis that is not 4 or 2, or a value that is not an unsigned 32-bit integer.

    Notes
    -----
    The raw cipher. Use `words` for draws in a model: it fixes the layout of the counter, on which
    the independence of two draws rests. Not for cryptography.
    """
    counters = _unsigned("counter", counter, 2**32 - 1)
    keys = _unsigned("key", key, 2**32 - 1)
    for name, value, length in (("counter", counters, 4), ("key", keys, 2)):
        if value.ndim == 0 or value.shape[-1] != length:
            raise ParameterError(
                f"philox4x32: {name} must have a last axis of {length}, got shape {value.shape}"
            )
    try:
        lead = np.broadcast_shapes(counters.shape[:-1], keys.shape[:-1])
    except ValueError:
        raise ParameterError(
            f"philox4x32: counter {counters.shape} and key {keys.shape} do not broadcast on their "
            "leading axes"
        ) from None
    if int(np.prod(lead, dtype=np.int64)) <= _BLOCK:
        return np.ascontiguousarray(np.broadcast_to(_ten_rounds(counters, keys), (*lead, 4)))
    flat_counter = np.broadcast_to(counters, (*lead, 4)).reshape(-1, 4)
    flat_key = keys if keys.ndim == 1 else np.broadcast_to(keys, (*lead, 2)).reshape(-1, 2)
    out = np.empty(flat_counter.shape, np.uint32)
    for start in range(0, len(out), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = _ten_rounds(
            flat_counter[block], flat_key if flat_key.ndim == 1 else flat_key[block]
        )
    return out.reshape(*lead, 4)


def words(
    key: SupportsIndex,
    stream: SupportsIndex,
    entity: ArrayLike,
    tick: ArrayLike = BUILD_TICK,
    batch: ArrayLike = 0,
) -> NDArray[np.uint32]:
    """Return the four random words that belong to each ``(stream, entity, batch, tick)``.

    Parameters
    ----------
    key : int
        The seed, in [0, 2**64).
    stream : int
        A `Stream`, or any number in [0, 2**16).
    entity, batch : array of int
        Identifiers in [0, 2**32). `batch` may also carry a second identifier.
    tick : array of int
        In [0, 2**48); `BUILD_TICK` for what is drawn before a run.

    Returns
    -------
    array of uint32, shape ``broadcast(entity, tick, batch) + (4,)``

    Raises
    ------
    ParameterError
        An argument out of range or not an integer, or shapes that do not broadcast.

    Notes
    -----
    counter = (entity, batch, tick & 0xffffffff, stream << 16 | tick >> 32). A fifth word for the
    same tick and entity needs another stream.

    Examples
    --------
    >>> [f"{w:08x}" for w in words(0, 0, entity=0, tick=0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    k = _index("key", key, 2**64 - 1)
    s = np.uint64(_index("stream", stream, 2**16 - 1) << 16)
    e = _unsigned("entity", entity, 2**32 - 1)
    t = _unsigned("tick", tick, BUILD_TICK)
    b = _unsigned("batch", batch, 2**32 - 1)
    try:
        shape = np.broadcast_shapes(e.shape, t.shape, b.shape)
    except ValueError:
        raise ParameterError(
            f"entity {e.shape}, tick {t.shape} and batch {b.shape} do not broadcast together"
        ) from None
    counter = np.empty((*shape, 4), np.uint64)
    counter[..., 0] = e
    counter[..., 1] = b
    counter[..., 2] = t & _MASK
    counter[..., 3] = (t >> _HALF) | s
    pair = np.array([k & 0xFFFFFFFF, k >> 32], np.uint64)
    if counter.size <= 4 * _BLOCK:
        return _ten_rounds(counter, pair)
    flat = counter.reshape(-1, 4)
    out = np.empty(flat.shape, np.uint32)
    for start in range(0, len(flat), _BLOCK):
        out[start : start + _BLOCK] = _ten_rounds(flat[start : start + _BLOCK], pair)
    return out.reshape(counter.shape)


def uniform32(word: ArrayLike) -> Any:
    """Return float32 uniform in [0, 1): the high 24 bits of each uint32 word."""
    high = np.asarray(word, np.uint32) >> np.uint32(8)
    return high.astype(np.float32) * np.float32(2.0**-24)


def uniform64(w0: ArrayLike, w1: ArrayLike) -> Any:
    """Return float64 uniform in [0, 1) with 53 bits: 27 of `w0`, 26 of `w1`."""
    high = (np.asarray(w0, np.uint32) >> np.uint32(5)).astype(np.float64)
    low = (np.asarray(w1, np.uint32) >> np.uint32(6)).astype(np.float64)
    return (high * 2.0**26 + low) * 2.0**-53


def below(word: ArrayLike, n: ArrayLike) -> Any:
    """Return int64 integers in [0, n) as the high half of ``word * n``.

    Parameters
    ----------
    word : array of uint32
    n : array of int
        In [1, 2**32], broadcast against `word`.

    Notes
    -----
    No value's probability differs from 1/n by more than 2**-32. Where that bias matters (n of
    the order of 2**32), draw two words and use `uniform64`.
    """
    bound = _unsigned("n", n, 2**32)
    if (bound == 0).any():
        raise ParameterError("n must be in [1, 4294967296], got 0")
    return ((np.asarray(word, np.uint32).astype(np.uint64) * bound) >> _HALF).astype(np.int64)


class Rng:
    """The draws of one seed.

    Stateless: the same arguments return the same numbers, in any order and any process.

    Parameters
    ----------
    seed : int
        In [0, 2**64).

    Examples
    --------
    >>> rng = Rng(7)
    >>> float(rng.uniform(Stream.INIT, entity=3)) == float(rng.uniform(Stream.INIT, entity=3))
    True
    """

    __slots__ = ("key",)

    key: int

    def __init__(self, seed: SupportsIndex) -> None:
        self.key = _index("seed", seed, 2**64 - 1)

    def words(
        self,
        stream: SupportsIndex,
        entity: ArrayLike,
        tick: ArrayLike = BUILD_TICK,
        batch: ArrayLike = 0,
    ) -> NDArray[np.uint32]:
        """Return four uint32 words per entity; see `biomem.engine.random.words`."""
        return words(self.key, stream, entity, tick, batch)

    def uniform(
        self,
        stream: SupportsIndex,
        entity: ArrayLike,
        tick: ArrayLike = BUILD_TICK,
        batch: ArrayLike = 0,
    ) -> NDArray[np.float64]:
        """Return one float64 in [0, 1) per entity, from words 0 and 1."""
        w = words(self.key, stream, entity, tick, batch)
        return uniform64(w[..., 0], w[..., 1])

    def normal(
        self,
        stream: SupportsIndex,
        entity: ArrayLike,
        tick: ArrayLike = BUILD_TICK,
        batch: ArrayLike = 0,
    ) -> NDArray[np.float64]:
        """Return one standard normal float64 per entity, from all four words (Box-Muller).

        The words are the same everywhere; log and cos may differ in the last bits (2 ulp) between
        maths libraries. Where bits must agree across machines, use `words` or `uniform`.
        """
        w = words(self.key, stream, entity, tick, batch)
        # 1 - u lies in (0, 1], so the logarithm is finite; the largest radius is 8.57.
        radius = np.sqrt(-2.0 * np.log(1.0 - uniform64(w[..., 0], w[..., 1])))
        return radius * np.cos(2.0 * np.pi * uniform64(w[..., 2], w[..., 3]))

    def __repr__(self) -> str:
        return f"Rng({self.key})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rng) and other.key == self.key

    def __hash__(self) -> int:
        return hash((Rng, self.key))


def _index(name: str, value: SupportsIndex, largest: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise ParameterError(f"{name} must be an integer, got {value!r}") from None
    if not 0 <= number <= largest:
        raise ParameterError(f"{name} must be in [0, {largest}], got {number}")
    return number


def _unsigned(name: str, value: ArrayLike, largest: int) -> NDArray[np.uint64]:
    try:
        given = np.asarray(value)
    except OverflowError:
        raise ParameterError(f"{name} must be in [0, {largest}], got {value!r}") from None
    if given.dtype.kind not in "iu" and given.size:
        raise ParameterError(
            f"{name} must be integers in [0, {largest}], got dtype {given.dtype}"
            + (f" ({value!r})" if given.ndim == 0 else "")
        )
    if given.size:
        low, high = int(given.min()), int(given.max())
        if low < 0 or high > largest:
            raise ParameterError(
                f"{name} must be in [0, {largest}], got {low if low < 0 else high}"
            )
    return given.astype(np.uint64)
