"""What a sequential test compares: the law of a record without drift, and with it.

The increment of a record ``x`` with weight ``w`` is the logarithm of its likelihood ratio,
drift over no drift. All but the last are polynomials ``a w + b u + c u^2``::

    Bernoulli   u = [x > threshold]    u ln(p1 / p0) + (1 - u) ln((1 - p1) / (1 - p0))
    mean        x standardised         delta (x - delta / 2)
    variance    x standardised         -ln r + x^2 / 2 (1 - 1 / r^2)
    Poisson     x counts, w exposure   x ln(rate1 / rate0) - w (rate1 - rate0)
    density     x in bin i             ln(f1_i / f0_i)

Sources: A. Wald, "Sequential Analysis" (1947), chapters 3 and 5 to 8; the density form is that of
a histogram with Laplace smoothing. A tuple of effect sizes instead of one number makes a mixture:
the log of the mean of the likelihood ratios, each over the whole run.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

import numpy as np

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.typing import FloatArray

__all__ = [
    "BINS",
    "EXCEEDANCE",
    "GRID",
    "PLAIN",
    "BernoulliTest",
    "Coefficients",
    "DensityTest",
    "MeanTest",
    "PoissonTest",
    "SequentialTest",
    "VarianceTest",
]

GRID = (0.25, 0.5, 1.0, 2.0)
"""Effect sizes, in standard deviations, for a shift of unknown size."""

PLAIN, EXCEEDANCE, BINS = 0, 1, 2
"""How a record is read: as it is, as above a threshold or not, as the number of a bin."""

Effects: TypeAlias = float | tuple[float, ...]

SMALLEST_P = 1e-6
MOST_LOG_RATIO = 3.0

_REACH = 9.0
_POINTS = 361


class Coefficients(NamedTuple):
    """Increments of a test in the form the kernels take.

    `polynomial` has shape ``(side, effect, 3)``; `edges` the inner bin edges, and `table` the
    increment of each bin, both empty unless `reading` is `BINS`.
    """

    reading: int
    threshold: float
    polynomial: FloatArray
    edges: FloatArray
    table: FloatArray


def _tuple(effects: Effects) -> tuple[float, ...]:
    return effects if isinstance(effects, tuple) else (effects,)


def _finite(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def _normal(mean: float, std: float) -> tuple[FloatArray, FloatArray]:
    """Return points and probabilities of a normal law on a regular grid."""
    z = np.linspace(-_REACH, _REACH, _POINTS)
    p = np.exp(-z * z / 2)
    return mean + std * z, p / p.sum()


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequentialTest(Params):
    """Base of the five tests; see `BernoulliTest` and the others."""

    kind: ClassVar[str] = ""
    kinds: ClassVar[dict[str, type[SequentialTest]]] = {}
    reading: ClassVar[int] = PLAIN
    mirrored: ClassVar[bool] = True
    """Whether the test has a down side."""
    weighted: ClassVar[bool] = False
    """Whether the weight of a record scales its increment, beyond saying that it is there."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        SequentialTest.kinds[cls.kind] = cls

    @property
    def effects(self) -> tuple[float, ...]:
        """Effect sizes of the up side; several make a mixture."""
        raise TypeError("SequentialTest is the base class; use BernoulliTest or another")

    def _coefficients(self, effect: float, sign: int) -> tuple[float, float, float]:
        raise TypeError("SequentialTest is the base class; use BernoulliTest or another")

    def coefficients(self, signs: tuple[int, ...] = (1,)) -> Coefficients:
        """Return the increments, one side per entry of `signs`."""
        polynomial = [[self._coefficients(e, sign) for e in self.effects] for sign in signs]
        return Coefficients(
            reading=self.reading,
            threshold=float(getattr(self, "threshold", 0.0)),
            polynomial=np.array(polynomial, float),
            edges=np.empty(0),
            table=np.empty(0),
        )

    def law(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return the values an increment takes and their probabilities, for a single effect.

        Continuous laws come on a fine grid.

        Parameters
        ----------
        drifted : bool
            Under the alternative of `sign`, or without drift.
        sign : int
            +1 for the up side, -1 for the down side.
        """
        u, p = self.values(drifted=drifted, sign=sign)
        a, b, c = self._coefficients(self.effects[0], sign)
        return a + (b + c * u) * u, p

    def values(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return what the test reads of a record and its probabilities, as `law` does."""
        raise TypeError("SequentialTest is the base class; use BernoulliTest or another")

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters, and under ``"kind"`` which test they belong to."""
        return {"kind": self.kind, **super().to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the test that ``values["kind"]`` names."""
        rest = dict(values)
        kind = rest.pop("kind", cls.kind)
        found = SequentialTest.kinds.get(kind)
        if found is None or not issubclass(found, cls):
            raise ParameterError(
                f"{cls.__name__}.from_dict: kind must be one of {sorted(SequentialTest.kinds)}, "
                f"got {kind!r}"
            )
        return super(SequentialTest, found).from_dict(rest)  # type: ignore[misc]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BernoulliTest(SequentialTest):
    """How often a record exceeds a threshold: `p0` without drift, `p1` with it.

    When not to use it: for a shift smaller than the spread of what is thresholded (nine tenths of
    what a record says are thrown away: use `MeanTest`).

    Parameters
    ----------
    p0 : float
        Chance of an exceedance without drift, in [1e-6, 1 - 1e-6].
    p1 : float or tuple of float
        Chance with drift, above `p0`. The down side has the inverse odds ratio.
    threshold : float
        ``x > threshold`` is an exceedance. A `DriftMonitor` sets its own, from the baseline.
    """

    kind = "bernoulli"
    reading = EXCEEDANCE

    p0: float = 0.05
    p1: Effects = 0.2
    threshold: float = 0.5

    def __post_init__(self) -> None:
        low, high = SMALLEST_P, 1 - SMALLEST_P
        require(self, "p0", _finite(self.p0) and low <= self.p0 <= high, f"in [{low}, {high}]")
        ok = all(_finite(p) and self.p0 < p <= high for p in self.effects) and self.effects
        require(self, "p1", bool(ok), f"in (p0 = {self.p0}, {high}]")
        require(self, "threshold", _finite(self.threshold), "finite")

    @property
    def effects(self) -> tuple[float, ...]:
        """Chances with drift."""
        return _tuple(self.p1)

    def _against(self, p1: float, sign: int) -> float:
        if sign > 0:
            return p1
        odds = (self.p0 / (1 - self.p0)) ** 2 * (1 - p1) / p1
        return odds / (1 + odds)

    def _coefficients(self, effect: float, sign: int) -> tuple[float, float, float]:
        p1 = self._against(effect, sign)
        miss = math.log((1 - p1) / (1 - self.p0))
        return miss, math.log(p1 / self.p0) - miss, 0.0

    def values(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return what the test reads of a record and its probabilities, as `law` does."""
        p = self._against(self.effects[0], sign) if drifted else self.p0
        return np.array([0.0, 1.0]), np.array([1 - p, p])


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanTest(SequentialTest):
    """The mean of a normal record of known spread moves by `delta` standard deviations.

    Records come standardised: mean 0 and standard deviation 1 without drift. A `DriftMonitor`
    does that itself. When not to use it: on values with heavy tails, unless increments are
    clipped; on a mean that changes all the time, which is not a drift from a fixed baseline.

    Parameters
    ----------
    delta : float or tuple of float
        Smallest shift worth an alarm, > 0; `GRID` where its size is not known.
    """

    kind = "mean"

    delta: Effects = 1.0

    def __post_init__(self) -> None:
        ok = all(_finite(d) and d > 0 for d in self.effects) and self.effects
        require(self, "delta", bool(ok), "finite and > 0 standard deviations")

    @property
    def effects(self) -> tuple[float, ...]:
        """Shifts, in standard deviations."""
        return _tuple(self.delta)

    def _coefficients(self, effect: float, sign: int) -> tuple[float, float, float]:
        return -effect * effect / 2, sign * effect, 0.0

    def values(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return what the test reads of a record and its probabilities, as `law` does."""
        return _normal(sign * self.effects[0] if drifted else 0.0, 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VarianceTest(SequentialTest):
    """The standard deviation of a normal record changes by the factor `ratio`.

    Records come standardised, as for `MeanTest`. The down side tests for ``1 / ratio``. When not
    to use it: where the mean may move as well; a shift of the mean looks like a greater variance.

    Parameters
    ----------
    ratio : float or tuple of float
        Smallest change worth an alarm, > 1: the square root of 2 for a variance that doubles.
    """

    kind = "variance"

    ratio: Effects = 1.4142135623730951

    def __post_init__(self) -> None:
        ok = all(_finite(r) and r > 1 for r in self.effects) and self.effects
        require(self, "ratio", bool(ok), "finite and > 1")

    @property
    def effects(self) -> tuple[float, ...]:
        """Ratios of standard deviations."""
        return _tuple(self.ratio)

    def _coefficients(self, effect: float, sign: int) -> tuple[float, float, float]:
        ratio = effect if sign > 0 else 1 / effect
        return -math.log(ratio), 0.0, (1 - 1 / (ratio * ratio)) / 2

    def values(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return what the test reads of a record and its probabilities, as `law` does."""
        ratio = self.effects[0] if sign > 0 else 1 / self.effects[0]
        return _normal(0.0, ratio if drifted else 1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoissonTest(SequentialTest):
    """The rate of counts goes from `rate0` to `rate1` per unit of exposure.

    The exposure is the weight of the record. In a `DriftMonitor` both rates are in units of the
    baseline's: ``PoissonTest(rate0=1, rate1=1.5)`` asks for one and a half times as many.
    When not to use it: for counts that spread more than their mean (they are not Poisson).

    Parameters
    ----------
    rate0 : float
        Rate without drift, > 0.
    rate1 : float or tuple of float
        Rate with drift, above `rate0`. The down side tests for ``rate0^2 / rate1``.
    """

    kind = "poisson"
    weighted = True

    rate0: float = 1.0
    rate1: Effects = 1.5

    def __post_init__(self) -> None:
        require(self, "rate0", _finite(self.rate0) and self.rate0 > 0, "finite and > 0")
        ok = all(_finite(r) and r > self.rate0 for r in self.effects) and self.effects
        require(self, "rate1", bool(ok), f"finite and > rate0 = {self.rate0}")

    @property
    def effects(self) -> tuple[float, ...]:
        """Rates with drift."""
        return _tuple(self.rate1)

    def _against(self, rate1: float, sign: int) -> float:
        return rate1 if sign > 0 else self.rate0 * self.rate0 / rate1

    def _coefficients(self, effect: float, sign: int) -> tuple[float, float, float]:
        rate1 = self._against(effect, sign)
        return self.rate0 - rate1, math.log(rate1 / self.rate0), 0.0

    def law(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return the law of an increment at an exposure of 1."""
        return super().law(drifted=drifted, sign=sign)

    def values(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return what the test reads of a record and its probabilities, as `law` does."""
        rate = self._against(self.effects[0], sign) if drifted else self.rate0
        most = math.ceil(rate + 12 * math.sqrt(rate) + 20)
        counts = np.arange(most, dtype=float)
        logs = counts * math.log(rate) - np.array([math.lgamma(k + 1) for k in counts])
        p = np.exp(logs - logs.max())
        return counts, p / p.sum()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DensityTest(SequentialTest):
    """Two histograms of any quantity: `reference` without drift, `changed` with it.

    Increments are clipped at 3 either way. Values beyond the edges fall into the outer bins.
    When not to use it: with few counts per bin (the smoothing then decides), or where a mean, a
    spread or a rate says what is meant.

    Parameters
    ----------
    edges : tuple of float
        Ascending bin edges, one more than bins.
    reference, changed : tuple of float
        Counts per bin, >= 0.
    smoothing : float
        Added to every count, > 0; Laplace's is 1.
    """

    kind = "density"
    reading = BINS
    mirrored = False

    edges: tuple[float, ...]
    reference: tuple[float, ...]
    changed: tuple[float, ...]
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        e = self.edges
        rising = len(e) >= 3 and all(_finite(x) for x in e) and bool((np.diff(e) > 0).all())
        require(self, "edges", rising, "at least 3 finite ascending numbers")
        for name in ("reference", "changed"):
            counts = getattr(self, name)
            ok = len(counts) == len(e) - 1 and all(_finite(n) and n >= 0 for n in counts)
            require(self, name, ok, f"{len(e) - 1} counts >= 0, one per bin")
        require(self, "smoothing", _finite(self.smoothing) and self.smoothing > 0, "> 0")

    @property
    def effects(self) -> tuple[float, ...]:
        """One effect: the changed histogram."""
        return (1.0,)

    def _shares(self, counts: tuple[float, ...]) -> FloatArray:
        smooth = np.array(counts, float) + self.smoothing
        return smooth / smooth.sum()

    def _table(self) -> FloatArray:
        ratio = np.log(self._shares(self.changed) / self._shares(self.reference))
        return np.clip(ratio, -MOST_LOG_RATIO, MOST_LOG_RATIO)

    def coefficients(self, signs: tuple[int, ...] = (1,)) -> Coefficients:
        """Return the increment of every bin."""
        return Coefficients(
            reading=BINS,
            threshold=0.0,
            polynomial=np.zeros((len(signs), 1, 3)),
            edges=np.array(self.edges[1:-1], float),
            table=self._table(),
        )

    def law(self, *, drifted: bool, sign: int = 1) -> tuple[FloatArray, FloatArray]:
        """Return the law of an increment under either histogram."""
        return self._table(), self._shares(self.changed if drifted else self.reference)
