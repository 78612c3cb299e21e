"""Random distributed scalar encoder (RDSE): a random code that changes one key per bucket."""

from __future__ import annotations

import dataclasses
import math
import warnings
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.engine.sdr import SDR
from biomem.errors import BiomemWarning, InputError, ParameterError, require
from biomem.models.htm.encoders.hashing import murmur3_words
from biomem.models.htm.encoders.table import BUCKETS, bucket_table
from biomem.models.htm.encoders.values import (
    LARGEST_SIZE,
    number,
    one_of,
    plain,
    require_int,
    require_real,
    round_half_away,
)

__all__ = ["RDSE", "confusion_chance"]


def confusion_chance(size: int, w: int) -> float:
    """Return the probability that one of 1000 random codes overlaps a given one by > w/3.

    htm.core draws the thousand and throws; the overlap is hypergeometric, so that nothing needs
    to be drawn. Exact integers: meant for `size` or `w` small enough to matter.
    """
    bad = sum(math.comb(w, k) * math.comb(size - w, w - k) for k in range(int(0.33 * w) + 1, w + 1))
    one = bad / math.comb(size, w)
    return 1.0 if one >= 1 else -math.expm1(1000 * math.log1p(-one))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RDSE(Params):
    """Encode a number of any range as about `w` of `size` bits.

    Hash form (default)::

        idx  = floor(x / r) mod 2**32
        bits = {murmur3_x86_32(uint32(idx + j), seed) mod size : j = 0 .. w-1}

    Adjacent buckets share w-1 keys, so the overlap falls linearly with distance and reaches the
    chance level of about w**2/size at distance w. Keys may collide: the number of active bits
    is often below w. Values more than 2**53 buckets from zero share one code, since float64 no
    longer tells their buckets apart.

    Table form (``table=True``, NuPIC's): exactly w bits, 1000 buckets centred on `offset`,
    values beyond them clipped. Buckets closer than w share exactly w - distance bits, all others
    at most two.

    Not for a value whose meaning lies in a closed range or a cycle: use `ScalarEncoder`. Not for
    values that spread over several decades, unless you encode their logarithm.

    Parameters
    ----------
    size : int
        Number of bits n.
    active_bits : int, optional
        w. Exactly one of this and `sparsity`.
    sparsity : float, optional
        In (0, 1); w = round(size * sparsity).
    resolution : float, optional
        Width r of a bucket. Exactly one of this, `radius` and `category`.
    radius : float, optional
        Values at least this far apart share no key; r = radius / w.
    category : bool
        Integers, none of which shares a key with another.
    seed : int
        In [1, 2**32). 0 is refused: elsewhere it means "draw a seed", and a hidden draw could
        not be repeated.
    table : bool
        The table form.
    offset : float, optional
        Centre of the table, when known beforehand. Otherwise `encode` must be told it.
    compat : {"biomem", "htmcore"}
        ``"htmcore"`` truncates x / r toward zero, which makes the bucket of zero twice as wide.
        Equal for x >= 0.

    Raises
    ------
    ParameterError
        Alternatives not given exactly once, a value out of range, or a table that cannot be
        built (too many active bits for the size).

    Warns
    -----
    BiomemWarning
        Hash form: `confusion_chance` is one half or more.

    References
    ----------
    S. Purdy, "Encoding data for HTM systems", arXiv:1602.05925 (2016).

    Examples
    --------
    >>> code = RDSE(size=400, active_bits=21, resolution=1.0)
    >>> code.encode(10.0).overlap(code.encode(12.0))
    19
    """

    size: int = 400
    active_bits: int | None = None
    sparsity: float | None = None
    resolution: float | None = None
    radius: float | None = None
    category: bool = False
    seed: int = 42
    table: bool = False
    offset: float | None = None
    compat: Literal["biomem", "htmcore"] = "biomem"

    def __post_init__(self) -> None:
        plain(self)
        require_int(self, "size", 1, LARGEST_SIZE)
        if one_of(self, "active_bits", "sparsity") == "active_bits":
            require_int(self, "active_bits", 1, self.size)
        else:
            require_real(self, "sparsity", above=0)
            require(self, "sparsity", self.sparsity < 1, "< 1")  # type: ignore[operator]
        span = one_of(self, "resolution", "radius", "category")
        if span != "category":
            require_real(self, span, above=0)
            require(self, span, self.r > 0, "large enough that a bucket has a width > 0")
        require(
            self,
            "seed",
            self.seed != 0,
            "in [1, 2**32)",
            "0 would mean a hidden random seed; choose a number",
        )
        require_int(self, "seed", 1, 2**32 - 1)
        require(self, "compat", self.compat in ("biomem", "htmcore"), "'biomem' or 'htmcore'")
        if self.offset is not None:
            require(self, "offset", self.table, "None without table=True")
            require_real(self, "offset")
        if self.table:
            self._check_table()
        else:
            self._warn_of_chance_overlap()

    def _check_table(self) -> None:
        require(self, "table", not self.category, "False with category=True")
        require(self, "table", self.compat == "biomem", "False with compat='htmcore'")
        if self.size <= 6 * self.w:
            raise ParameterError(
                f"RDSE.size must be > 6 * active bits = {6 * self.w} with table=True, "
                f"got {self.size}"
            )

    def _warn_of_chance_overlap(self) -> None:
        if self.size >= 1000 and self.w >= 10:
            return
        chance = confusion_chance(self.size, self.w)
        if chance >= 0.5:
            warnings.warn(
                f"RDSE(size={self.size}, active bits {self.w}): of 1000 unrelated codes one "
                f"overlaps a given one by more than a third with probability {chance:.2g}; "
                "use a larger size",
                BiomemWarning,
                stacklevel=4,
            )

    @cached_property
    def w(self) -> int:
        """Number of keys; the number of active bits but for collisions."""
        if self.active_bits is not None:
            return int(self.active_bits)
        assert self.sparsity is not None
        return max(1, int(round_half_away(self.size * self.sparsity)))

    @cached_property
    def r(self) -> float:
        """Resolution: the width of a bucket, in units of the value."""
        if self.resolution is not None:
            return float(self.resolution)
        return (1.0 if self.radius is None else self.radius) / self.w

    @property
    def truncates(self) -> bool:
        """Whether x / r is truncated toward zero rather than rounded down."""
        return self.compat == "htmcore"

    def bucket_table(self) -> NDArray[np.int32]:
        """Return the table form's codes, shape ``(1000, w)``, each row ascending, read-only."""
        require(self, "table", self.table, "True to have a table")
        return bucket_table(self.size, self.w, self.seed)

    def bucket(self, value: float, offset: float | None = None) -> int:
        """Return the bucket of a finite value.

        Parameters
        ----------
        value : float
        offset : float, optional
            Table form: the value at the centre; default ``self.offset``. NuPIC takes the first
            value seen; a caller that does so keeps it, since encoding has no memory.

        Returns
        -------
        int
            In [0, 1000) in the table form, in [0, 2**32) in the hash form.
        """
        if self.table:
            centre = self.offset if offset is None else offset
            if centre is None:
                raise InputError(
                    "RDSE.encode: offset must be given with table=True, got None; set "
                    "RDSE(offset=...) or pass the first value of the series"
                )
            steps = (float(value) - centre) / self.r
            steps = min(max(steps, -float(BUCKETS)), float(BUCKETS))
            return min(max(BUCKETS // 2 + int(round_half_away(steps)), 0), BUCKETS - 1)
        if self.category and not self.truncates:
            quotient = float(value) * self.w
        else:
            quotient = float(value) / self.r
        if not abs(quotient) < 2.0**53:
            return 2**31
        return (int(quotient) if self.truncates else math.floor(quotient)) % 2**32

    def encode(self, value: float | None, offset: float | None = None) -> SDR:
        """Return the pattern of `value`; None and NaN give no active bit.

        Parameters
        ----------
        value : float or None
        offset : float, optional
            See `bucket`.

        Raises
        ------
        InputError
            An infinite value, a category that is not an integer, a table without an offset.
        """
        x = number(self, value)
        if x is None:
            return SDR.empty(self.size)
        if math.isinf(x):
            raise InputError(f"RDSE.encode: value must be finite, got {x}")
        if self.category and not x.is_integer():
            raise InputError(f"RDSE.encode: a category must be an integer, got {value!r}")
        index = self.bucket(x, offset)
        if self.table:
            return SDR(self.bucket_table()[index], self.size)
        keys = (np.arange(self.w, dtype=np.uint64) + np.uint64(index)).astype(np.uint32)
        return SDR(np.unique(murmur3_words(keys, self.seed) % np.uint32(self.size)), self.size)
