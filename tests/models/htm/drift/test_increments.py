"""Increments are log likelihood ratios; laws are what they are drawn from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from biomem.errors import ParameterError
from biomem.models.htm.drift import (
    BernoulliTest,
    DensityTest,
    MeanTest,
    PoissonTest,
    SequentialTest,
    VarianceTest,
)
from biomem.models.htm.drift.model import increments, read

DENSITY = DensityTest(edges=(-1.0, 0.0, 1.0, 2.0), reference=(9.0, 0.0, 3.0), changed=(0, 5, 900))


def ratio(test: SequentialTest, sign: int, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log likelihood ratio by the densities of SciPy."""
    match test:
        case BernoulliTest(p0=p0, p1=p1):
            odds = (p0 / (1 - p0)) ** 2 / (p1 / (1 - p1))
            p = p1 if sign > 0 else odds / (1 + odds)
            above = x > test.threshold
            return stats.bernoulli.logpmf(above, p) - stats.bernoulli.logpmf(above, p0)
        case MeanTest(delta=delta):
            return stats.norm.logpdf(x, sign * delta) - stats.norm.logpdf(x)
        case VarianceTest(ratio=r):
            return stats.norm.logpdf(x, 0, r**sign) - stats.norm.logpdf(x)
        case PoissonTest(rate0=a, rate1=b):
            rate = b if sign > 0 else a * a / b
            return stats.poisson.logpmf(x, rate * weight) - stats.poisson.logpmf(x, a * weight)
    raise AssertionError(test)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "test",
    [
        BernoulliTest(p0=0.1, p1=0.3, threshold=0.4),
        MeanTest(delta=0.7),
        VarianceTest(ratio=1.5),
        PoissonTest(rate0=2.0, rate1=3.5),
    ],
)
def test_increments_are_log_likelihood_ratios(test: SequentialTest, sign: int) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=100), np.ones(100)
    if isinstance(test, PoissonTest):
        x, weight = rng.poisson(3, 100).astype(float), rng.uniform(0.5, 2.0, 100)
    c = test.coefficients((sign,))
    got = increments(c, read(c, x), weight, 1e9)[:, 0, 0]
    np.testing.assert_allclose(got, ratio(test, sign, x, weight), rtol=1e-12, atol=1e-12)


def test_density_increments_are_smoothed_and_clipped() -> None:
    c = DENSITY.coefficients()
    x = np.array([-5.0, -0.5, 0.0, 0.99, 1.0, 7.0])
    smooth = np.log(np.array([1, 6, 901]) / 908 / (np.array([10, 1, 4]) / 15))
    want = np.clip(smooth, -3, 3)[[0, 0, 1, 1, 2, 2]]
    np.testing.assert_allclose(increments(c, x, np.ones(6), 1e9)[:, 0, 0], want, rtol=1e-14)
    assert want.min() == -3
    assert want.max() == pytest.approx(math.log(901 / 908 / (4 / 15)))


@pytest.mark.parametrize("drifted", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "test", [BernoulliTest(), MeanTest(delta=0.6), VarianceTest(), PoissonTest(rate0=4.0, rate1=6)]
)
def test_laws_have_the_mean_the_table_gives(test: SequentialTest, sign: int, drifted: bool) -> None:
    points, chances = test.law(drifted=drifted, sign=sign)
    assert chances.sum() == pytest.approx(1)
    match test:
        case BernoulliTest(p0=p0):
            p1 = 0.2 if sign > 0 else (p0 / (1 - p0)) ** 2 / 0.25
            p1 = p1 if sign > 0 else p1 / (1 + p1)
            p = p1 if drifted else p0
            want = p * math.log(p1 / p0) + (1 - p) * math.log((1 - p1) / (1 - p0))
        case MeanTest(delta=delta):
            want = delta * delta / (2 if drifted else -2)
        case VarianceTest(ratio=up):
            r = up**sign
            want = -math.log(r) + ((r * r - 1) if drifted else (1 - 1 / r**2)) / 2
        case PoissonTest(rate0=a):
            b = 6.0 if sign > 0 else a * a / 6
            want = (b if drifted else a) * math.log(b / a) - (b - a)
    assert float(points @ chances) == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert (want > 0) == drifted


@pytest.mark.parametrize("drifted", [False, True])
def test_a_likelihood_ratio_has_mean_one_without_drift(drifted: bool) -> None:
    for test in (BernoulliTest(), MeanTest(), VarianceTest(ratio=1.3), PoissonTest()):
        points, chances = test.law(drifted=drifted)
        mean = float(np.exp(points) @ chances)
        assert (mean == pytest.approx(1.0, rel=1e-9)) != drifted


@pytest.mark.parametrize(
    "test",
    [
        BernoulliTest(p1=(0.1, 0.4)),
        MeanTest(delta=(0.5, 2.0)),
        VarianceTest(),
        PoissonTest(),
        DENSITY,
    ],
)
def test_reads_back_from_its_dict_under_the_base_class(test: SequentialTest) -> None:
    assert SequentialTest.from_dict(test.to_dict()) == test
    assert eval(repr(test)) == test


def test_refuses_an_unknown_kind() -> None:
    with pytest.raises(ParameterError, match=r"kind must be one of .*'mean'.*, got 'median'"):
        SequentialTest.from_dict({"kind": "median"})
    with pytest.raises(ParameterError, match="kind"):
        MeanTest.from_dict(BernoulliTest().to_dict())


@pytest.mark.parametrize(
    ("cls", "name", "changes"),
    [
        (BernoulliTest, "p0", {"p0": 0.0}),
        (BernoulliTest, "p0", {"p0": True}),
        (BernoulliTest, "p1", {"p1": 0.05}),
        (BernoulliTest, "p1", {"p1": ()}),
        (BernoulliTest, "p1", {"p1": (0.2, 1.0)}),
        (BernoulliTest, "threshold", {"threshold": math.nan}),
        (MeanTest, "delta", {"delta": 0.0}),
        (MeanTest, "delta", {"delta": (1.0, math.inf)}),
        (VarianceTest, "ratio", {"ratio": 1.0}),
        (PoissonTest, "rate0", {"rate0": 0.0}),
        (PoissonTest, "rate1", {"rate1": 1.0}),
    ],
)
def test_refuses_and_names_the_parameter(cls: type, name: str, changes: dict) -> None:
    with pytest.raises(ParameterError, match=rf"{cls.__name__}\.{name} must be .*, got"):
        cls(**changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("edges", {"edges": (0.0, 2.0, 1.0, 3.0)}),
        ("edges", {"edges": (0.0, 1.0), "reference": (1.0,), "changed": (1.0,)}),
        ("reference", {"reference": (1.0,)}),
        ("changed", {"changed": (1.0, -1.0, 0.0)}),
        ("smoothing", {"smoothing": 0.0}),
    ],
)
def test_density_refuses_what_is_no_histogram(name: str, changes: dict) -> None:
    with pytest.raises(ParameterError, match=rf"DensityTest\.{name} must be"):
        DENSITY.replace(**changes)
