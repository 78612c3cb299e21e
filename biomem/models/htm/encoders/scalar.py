"""Scalar encoder: a run of adjacent bits whose place follows the value."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np

from biomem.engine.params import Params
from biomem.engine.sdr import SDR
from biomem.errors import InputError, require
from biomem.models.htm.encoders.values import (
    LARGEST_SIZE,
    number,
    one_of,
    plain,
    require_int,
    require_real,
    round_half_away,
)

__all__ = ["ScalarEncoder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScalarEncoder(Params):
    """Encode a number of known range as `w` adjacent bits.

    Bit-compatible with htm.core's scalar encoder. Not for a value whose range is unknown or may
    drift: use `RDSE`, which has no range.

    Parameters
    ----------
    minimum, maximum : float
        The range, `minimum` < `maximum`.
    active_bits : int, optional
        Active bits w. Exactly one of this and `sparsity`.
    sparsity : float, optional
        Active fraction in (0, 1); w = round(total_bits * sparsity), so `total_bits` is needed.
    total_bits : int, optional
        The size. Exactly one of this, `radius`, `resolution` and `category`.
    radius : float, optional
        Values at least this far apart share no bit.
    resolution : float, optional
        Values at least this far apart differ in at least one bit.
    category : bool
        The value is one of the integers `minimum` ... `maximum`; no two share a bit.
    periodic : bool
        The range closes to a circle, on which `minimum` and `maximum` are one point.
    clip_input : bool
        Encode values out of range as the nearest end instead of refusing them.

    Raises
    ------
    ParameterError
        Alternatives not given exactly once, `periodic` with `clip_input`, `category` with
        either, or a size that cannot hold w bits.

    Examples
    --------
    >>> ScalarEncoder(minimum=0, maximum=100, active_bits=5, total_bits=50).encode(33).indices
    array([15, 16, 17, 18, 19], dtype=int32)
    """

    minimum: float
    maximum: float
    active_bits: int | None = None
    sparsity: float | None = None
    total_bits: int | None = None
    radius: float | None = None
    resolution: float | None = None
    category: bool = False
    periodic: bool = False
    clip_input: bool = False

    def __post_init__(self) -> None:
        plain(self)
        require_real(self, "minimum")
        require_real(self, "maximum")
        require(self, "maximum", self.maximum > self.minimum, f"> minimum ({self.minimum!r})")
        require(self, "maximum", math.isfinite(self._extent), "within float64 range of minimum")
        bits = one_of(self, "active_bits", "sparsity")
        span = one_of(self, "total_bits", "radius", "resolution", "category")
        if bits == "active_bits":
            require_int(self, "active_bits", 1, LARGEST_SIZE)
        else:
            require_real(self, "sparsity", above=0)
            ok = span == "total_bits" and self.sparsity < 1  # type: ignore[operator]
            require(self, "sparsity", ok, "below 1 and come with total_bits")
        if span == "total_bits":
            require_int(self, "total_bits", 1, LARGEST_SIZE)
        elif span == "category":
            whole = float(self.minimum).is_integer() and float(self.maximum).is_integer()
            require(self, "category", whole, "used with an integer minimum and maximum")
            require(self, "category", not self.periodic, "False when periodic")
            require(self, "category", not self.clip_input, "False when clip_input")
        else:
            require_real(self, span, above=0)
        require(self, "clip_input", not (self.clip_input and self.periodic), "False when periodic")
        self._check_size(span)

    def _check_size(self, span: str) -> None:
        spare = 0 if self.periodic else 1
        least = self.w + spare
        if span == "total_bits":
            require(self, "total_bits", self.size >= least, f">= {least} to hold {self.w} bits")
        else:
            ok = self.r > 0 and self._buckets <= LARGEST_SIZE and least <= self.size <= LARGEST_SIZE
            hint = f"the size would be {self.size if ok or self.r > 0 else 'infinite'}"
            require(self, span, ok, f"such that the size lies in [{least}, 2**31)", hint)

    @property
    def _extent(self) -> float:
        if self.periodic:
            return float(self.maximum) - float(self.minimum)
        return math.nextafter(float(self.maximum), math.inf) - float(self.minimum)

    @cached_property
    def w(self) -> int:
        """Number of active bits."""
        if self.active_bits is not None:
            return int(self.active_bits)
        assert self.total_bits is not None
        assert self.sparsity is not None
        return max(1, int(round_half_away(self.total_bits * self.sparsity)))

    @cached_property
    def r(self) -> float:
        """Resolution: the width of a bucket, in units of the value."""
        if self.category:
            return 1.0 / self.w
        if self.resolution is not None:
            return float(self.resolution)
        if self.radius is not None:
            return self.radius / self.w
        assert self.total_bits is not None
        places = self.total_bits if self.periodic else self.total_bits - self.w
        return self._extent / places if places > 0 else math.inf

    @cached_property
    def _buckets(self) -> float:
        quotient = self._extent / self.r
        return math.ceil(quotient) if math.isfinite(quotient) else math.inf

    @cached_property
    def size(self) -> int:
        """Number of bits."""
        if self.total_bits is not None:
            return int(self.total_bits)
        if self.category:
            # Exact where ceil(extent / (1 / w)) may lose a bucket to rounding (w = 49).
            return (int(self.maximum) - int(self.minimum) + 1) * self.w
        if not math.isfinite(self._buckets):
            return LARGEST_SIZE + 1
        return int(self._buckets) + (0 if self.periodic else self.w - 1)

    def bucket(self, value: float) -> int:
        """Return the index of the first active bit of a value in range."""
        start = int(round_half_away((value - self.minimum) / self.r))
        return start if self.periodic else min(start, self.size - self.w)

    def encode(self, value: float | None) -> SDR:
        """Return the pattern of `value`; None and NaN give no active bit.

        Raises
        ------
        InputError
            Out of range without `clip_input`, or (with `category`) not an integer.
        """
        x = number(self, value)
        if x is None:
            return SDR.empty(self.size)
        if self.clip_input:
            x = min(max(x, float(self.minimum)), float(self.maximum))
        if not self.minimum <= x <= self.maximum:
            hint = "" if self.periodic or self.category else "; clip_input=True clips it"
            raise InputError(
                f"ScalarEncoder.encode: value must lie in [{self.minimum}, {self.maximum}], "
                f"got {value!r}{hint}"
            )
        if self.category:
            return SDR(self._category_bits(x), self.size)
        bits = np.arange(self.w) + self.bucket(x)
        return SDR(np.sort(bits % self.size), self.size)

    def _category_bits(self, x: float) -> Any:
        if not x.is_integer():
            raise InputError(f"ScalarEncoder.encode: a category must be an integer, got {x!r}")
        return np.arange(self.w) + (int(x) - int(self.minimum)) * self.w
