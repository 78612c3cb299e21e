"""The bucket table of the RDSE's table form."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from biomem.engine.random import Stream, below, words
from biomem.errors import ParameterError

__all__ = ["BUCKETS", "bucket_table"]

BUCKETS = 1000
_MOST_SHARED = 2


@lru_cache(maxsize=16)
def bucket_table(size: int, w: int, seed: int) -> NDArray[np.int32]:
    """Return the codes of all buckets, shape ``(1000, w)``, each row ascending, read-only.

    Bucket 500 holds w distinct random bits. From there outward each bucket copies its inner
    neighbour and replaces entry ``bucket mod w`` by a bit drawn uniformly from those that keep
    every pair of buckets at its prescribed overlap: w - distance below distance w, at most two
    beyond.

    Parameters
    ----------
    size, w, seed : int

    Raises
    ------
    ParameterError
        No bit was left for some bucket: `size` is too small for w.
    """
    draws = words(seed, Stream.HTM_TABLE, np.arange(BUCKETS))[:, 0]
    middle = BUCKETS // 2
    codes = np.zeros((BUCKETS, w), np.int32)
    member = np.zeros((BUCKETS, size), np.bool_)
    codes[middle] = _first_code(size, w, seed)
    member[middle, codes[middle]] = True
    for step in range(1, middle + 1):
        for outward in (step, -step):
            bucket, inner = middle + outward, middle + outward - outward // step
            if bucket < BUCKETS:
                _extend(codes, member, bucket, inner, int(draws[bucket]))
    table = np.sort(codes, axis=1)
    table.flags.writeable = False
    return table


def _first_code(size: int, w: int, seed: int) -> NDArray[np.int64]:
    """Return w distinct bits: the bits that come first when sorted by a random word each."""
    order = words(seed, Stream.HTM_TABLE, np.arange(size), batch=1)[:, 0]
    return np.argsort(order, kind="stable")[:w]


def _extend(
    codes: NDArray[np.int32], member: NDArray[np.bool_], bucket: int, inner: int, draw: int
) -> None:
    """Fill in one bucket next to the span of those already built."""
    size, w = member.shape[1], codes.shape[1]
    kept = np.delete(codes[inner], bucket % w)
    shared = member[:, kept].sum(axis=1)
    distance = np.abs(np.arange(len(member)) - bucket)
    near = distance < w
    # The entry that leaves was common to all near buckets, so these now hold their prescribed
    # overlap without the new bit; a far one that already shares two bits must not gain a third.
    full = near | (shared >= _MOST_SHARED)
    # With w = 1 not even the neighbour is near, yet its code must differ.
    full[inner] = True
    allowed = np.flatnonzero(~member[full].any(axis=0))
    if not len(allowed):
        raise ParameterError(
            f"RDSE.size must be larger for a table of {len(member)} buckets with {w} active bits: "
            f"got {size}, where bucket {bucket} has no bit left"
        )
    codes[bucket] = codes[inner]
    codes[bucket, bucket % w] = allowed[below(draw, len(allowed))]
    member[bucket, codes[bucket]] = True
