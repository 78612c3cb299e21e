"""Who is connected to whom: rules that draw a pattern of connections before the run.

The patterns themselves, and how they are drawn: `biomem.network.patterns`.

Sources: W. Maass, T. Natschlaeger, H. Markram, Neural Comput. 14 (2002) 2531 (distance rule);
D. J. Watts, S. H. Strogatz, Nature 393 (1998) 440 (small world).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream, below
from biomem.errors import ParameterError, require
from biomem.network.patterns import (
    Ends,
    Pattern,
    by_gaps,
    by_pairs,
    by_source,
    different,
    threshold,
)

__all__ = [
    "AllToAll",
    "Bernoulli",
    "Convolution",
    "DistanceDependent",
    "Explicit",
    "FixedInDegree",
    "FixedOutDegree",
    "OneToOne",
    "Procedural",
    "SmallWorld",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AllToAll(Params):
    """Every source with every target; stored as a matrix."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneToOne(Params):
    """Source ``i`` with target ``i``; both populations have the same size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explicit(Params):
    """Connections given as weights of the network.

    Parameters
    ----------
    storage : {"dense", "csr"}
        ``dense`` takes ``"<projection>/weight"`` of shape (pre, post), where 0 is a synapse too;
        ``csr`` takes ``"<projection>/indptr"``, ``/target`` and ``/weight``.
    """

    storage: str = "dense"

    def __post_init__(self) -> None:
        require(self, "storage", self.storage in ("dense", "csr"), "'dense' or 'csr'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bernoulli(Params):
    """Every pair with probability `p`, independently.

    Along the targets of a source the gaps between its connections are drawn, not the pairs, so the
    time this takes grows with the synapses.

    Parameters
    ----------
    p : float
        In [0, 1].
    autapses : bool
        Whether a neuron may reach itself.
    """

    p: float = 0.1
    autapses: bool = False

    def __post_init__(self) -> None:
        require(self, "p", 0 <= self.p <= 1, "in [0, 1]")

    def pattern(self, ends: Ends, rng: Rng) -> Pattern:
        """Return the pattern of one projection."""
        return by_gaps(ends, rng, self.p, self.autapses)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistanceDependent(Params):
    """Every pair with probability ``c exp(-(D / lam)^2)``, ``D`` its distance; no autapses.

    Parameters
    ----------
    c : float
        Probability at distance 0, in [0, 1].
    lam : float
        Length, in the unit of the positions, >= 0; 0 connects nothing.
    """

    c: float = 0.3
    lam: float = 2.0

    def __post_init__(self) -> None:
        require(self, "c", 0 <= self.c <= 1, "in [0, 1]")
        require(self, "lam", math.isfinite(self.lam) and self.lam >= 0, "finite, >= 0")

    def pattern(self, ends: Ends, rng: Rng) -> Pattern:
        """Return the pattern of one projection."""
        if ends.pre is None or ends.post is None:
            raise ParameterError(
                "DistanceDependent: both populations need positions; give them a `grid` or `points`"
            )
        pre, post = ends.pre, ends.post
        if pre.shape[1] != post.shape[1]:
            raise ParameterError(
                "DistanceDependent: positions of both populations must have the same number of "
                f"axes, got {pre.shape[1]} and {post.shape[1]}"
            )

        def probability(rows: NDArray[np.int64]) -> NDArray[np.float64] | float:
            if self.lam == 0:
                return 0.0
            squared = ((pre[rows][:, None, :] - post[None]) ** 2).sum(axis=2)
            return self.c * np.exp(-squared / self.lam**2)

        return by_pairs(ends, rng, probability, False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedOutDegree(Params):
    """Every source reaches `k` different targets, drawn uniformly.

    Parameters
    ----------
    k : int
        >= 0.
    autapses : bool
        Whether a neuron may reach itself.
    """

    k: int = 100
    autapses: bool = False

    def __post_init__(self) -> None:
        require(self, "k", isinstance(self.k, int) and self.k >= 0, "an integer >= 0")

    def pattern(self, ends: Ends, rng: Rng) -> Pattern:
        """Return the pattern of one projection."""
        hole = ends.same and not self.autapses
        target = different(self, ends.n_pre, ends.n_post, self.k, hole, rng)
        return Pattern(np.arange(ends.n_pre + 1, dtype=np.int64) * self.k, target.reshape(-1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FixedInDegree(Params):
    """Every target listens to `k` different sources, drawn uniformly.

    Parameters
    ----------
    k : int
        >= 0.
    autapses : bool
        Whether a neuron may listen to itself.
    """

    k: int = 100
    autapses: bool = False

    def __post_init__(self) -> None:
        require(self, "k", isinstance(self.k, int) and self.k >= 0, "an integer >= 0")

    def pattern(self, ends: Ends, rng: Rng) -> Pattern:
        """Return the pattern of one projection."""
        hole = ends.same and not self.autapses
        source = different(self, ends.n_post, ends.n_pre, self.k, hole, rng).reshape(-1)
        target = np.repeat(np.arange(ends.n_post, dtype=np.int32), self.k)
        return by_source(source, target, ends.n_pre)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallWorld(Params):
    """A ring where everyone reaches the `k` nearest, each connection moved with probability `p`.

    For a population with itself. A moved connection ends at a target drawn uniformly from those
    its source does not reach yet; with ``p = 1`` the pattern is random of fixed out-degree.

    Parameters
    ----------
    k : int
        Even, >= 2: half on either side.
    p : float
        In [0, 1].
    """

    k: int = 10
    p: float = 0.1

    def __post_init__(self) -> None:
        even = isinstance(self.k, int) and self.k >= 2 and self.k % 2 == 0
        require(self, "k", even, "an even integer >= 2")
        require(self, "p", 0 <= self.p <= 1, "in [0, 1]")

    def pattern(self, ends: Ends, rng: Rng) -> Pattern:
        """Return the pattern of one projection."""
        if not ends.same:
            raise ParameterError(
                "SmallWorld: pre and post must be one population, got two; take Bernoulli or "
                "FixedOutDegree between populations"
            )
        n = ends.n_pre
        if self.k >= n:
            raise ParameterError(f"SmallWorld.k must be below the {n} neurons, got {self.k}")
        offsets = np.concatenate([np.arange(1, self.k // 2 + 1), -np.arange(1, self.k // 2 + 1)])
        near = (np.arange(n)[:, None] + offsets) % n
        w = rng.words(Stream.NET_CONNECT, np.arange(n)[:, None], batch=np.arange(self.k))
        stays = w[..., 0] >= threshold(self.p)
        target = np.empty((n, self.k), np.int32)
        for i in range(n):
            taken = set(near[i, stays[i]].tolist()) | {i}
            for j in range(self.k):
                if stays[i, j]:
                    target[i, j] = near[i, j]
                    continue
                free = below(w[i, j, 1], n - len(taken))
                # The free-th of the places that are not taken yet.
                for place in sorted(taken):
                    free += place <= free
                taken.add(int(free))
                target[i, j] = free
        return Pattern(
            np.arange(n + 1, dtype=np.int64) * self.k, np.sort(target, axis=1).reshape(-1)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convolution(Params):
    """Convolution of a source of shape (channels, height, width), as torch's ``conv2d``.

    The kernel is the weight ``"<projection>/weight"``, shape (out, in, k_height, k_width), drawn
    from the projection's `weight` unless given. The target population has the size of the result.

    Parameters
    ----------
    in_shape : tuple of three ints
        Channels, height, width of the source.
    out_channels : int
    kernel : tuple of two ints
    stride, padding : int
    """

    in_shape: tuple[int, ...] = (1, 28, 28)
    out_channels: int = 8
    kernel: tuple[int, ...] = (3, 3)
    stride: int = 1
    padding: int = 0

    def __post_init__(self) -> None:
        ok = len(self.in_shape) == 3 and min(self.in_shape) >= 1
        require(self, "in_shape", ok, "(channels, height, width), each >= 1")
        require(self, "out_channels", self.out_channels >= 1, ">= 1")
        require(self, "kernel", len(self.kernel) == 2 and min(self.kernel) >= 1, "two ints >= 1")
        require(self, "stride", self.stride >= 1, ">= 1")
        require(self, "padding", self.padding >= 0, ">= 0")
        fits = all(
            n + 2 * self.padding >= k for n, k in zip(self.in_shape[1:], self.kernel, strict=True)
        )
        require(self, "kernel", fits, f"no larger than the padded source {self.in_shape}")

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Channels, height, width of the target."""
        height, width = (
            (n + 2 * self.padding - k) // self.stride + 1
            for n, k in zip(self.in_shape[1:], self.kernel, strict=True)
        )
        return self.out_channels, height, width


@dataclasses.dataclass(frozen=True, kw_only=True)
class Procedural(Params):
    """Every source reaches `k` targets that are drawn anew whenever it fires: no memory at all.

    Targets are drawn with replacement, so a pair may have several synapses and a neuron may reach
    itself. All synapses have one weight and one delay. For networks too large to be stored; below
    some 10^7 synapses a stored pattern is several times faster.

    Parameters
    ----------
    k : int
        Targets per source, in [0, 2^16).
    """

    k: int = 100

    def __post_init__(self) -> None:
        ok = isinstance(self.k, int) and 0 <= self.k < 2**16
        require(self, "k", ok, "an integer in [0, 65536)")

    def targets(self, rng: Rng, source: NDArray[np.int64], n_post: int) -> NDArray[np.int64]:
        """Return the targets of every given source, shape ``(sources, k)``, in order of drawing."""
        blocks = np.arange(-(-self.k // 4))
        w = rng.words(Stream.NET_CONNECT, source[:, None], batch=blocks)
        return below(w.reshape(len(source), -1)[:, : self.k], n_post)
