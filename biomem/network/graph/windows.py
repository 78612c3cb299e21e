"""Where the windows of convolutions and pools lie on an image."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from biomem.engine.params import Params
from biomem.errors import require

__all__ = ["Windows", "as_pair"]

Pair = tuple[int, int]


def as_pair(owner: Params, field: str, least: int) -> None:
    """Turn a field that holds an integer or two of them into a pair, or refuse it."""
    value = getattr(owner, field)
    pair = (value, value) if isinstance(value, int | np.integer) else value
    ok = (
        isinstance(pair, tuple | list | np.ndarray)
        and len(pair) == 2
        and all(isinstance(n, int | np.integer) and n >= least for n in pair)
    )
    require(owner, field, ok, f"an integer >= {least} or a pair of them")
    object.__setattr__(owner, field, (int(pair[0]), int(pair[1])))


class Windows(NamedTuple):
    """Size, spacing and margins of windows, per axis of the image.

    Attributes
    ----------
    size, stride, dilation : pair of int
    before, after : pair of int
        Zeros that stand around the image.
    """

    size: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    after: Pair

    @classmethod
    def of(cls, size: Any, stride: Any, padding: Any, dilation: Any) -> Self:
        """Return the windows of checked pairs; `padding` may be "same" or "valid"."""
        if padding == "valid":
            padding = (0, 0)
        if padding == "same":
            total = [d * (k - 1) for k, d in zip(size, dilation, strict=True)]
            before, after = tuple(n // 2 for n in total), tuple(n - n // 2 for n in total)
        else:
            before = after = padding
        return cls(size, stride, dilation, before, after)

    @property
    def extent(self) -> Pair:
        """Rows and columns that a window spans."""
        rows, columns = (d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))
        return rows, columns

    def fitting(self, image: tuple[int, ...]) -> Pair:
        """Return how many windows fit on an image, down and across; below 1 if none does."""
        rows, columns = (
            (n + b + a - e) // s + 1
            for n, b, a, e, s in zip(
                image, self.before, self.after, self.extent, self.stride, strict=True
            )
        )
        return rows, columns
