"""Distributions of weights and delays: moments, mirrors, bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from biomem.engine.random import Rng, Stream
from biomem.network import Gamma, Lognormal, Normal, Uniform
from biomem.network.draws import draw

N = 40_000


def values(what, seed=0):
    return draw(what, Rng(seed), Stream.NET_WEIGHT, N)


@pytest.mark.parametrize(
    ("what", "law"),
    [
        (Normal(mean=2.0, sd=0.5), stats.norm(2.0, 0.5)),
        (Uniform(low=-1.0, high=3.0), stats.uniform(-1.0, 4.0)),
        (Gamma(mean=3.0, cv=1.0), stats.expon(scale=3.0)),
        (Gamma(mean=3.0, cv=0.4), stats.gamma(6.25, scale=0.48)),
        (
            Lognormal(mean=2.0, cv=0.5),
            stats.lognorm(math.sqrt(math.log(1.25)), scale=2 / 1.25**0.5),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_draws_follow_their_law(what, law):
    drawn = values(what)
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-4
    assert drawn.mean() == pytest.approx(law.mean(), abs=4 * law.std() / math.sqrt(N))


@pytest.mark.parametrize("kind", [Gamma, Lognormal])
def test_a_negative_mean_mirrors(kind):
    np.testing.assert_array_equal(values(kind(mean=-2.0)), -values(kind(mean=2.0)))


def test_a_cut_normal_stays_within_its_bounds():
    drawn = values(Normal(mean=0.0, sd=1.0, low=0.0, high=1.5))
    assert drawn.min() == 0.0
    assert drawn.max() == 1.5
    assert (drawn == 0.0).mean() == pytest.approx(0.5, abs=0.01)


def test_a_number_is_every_value():
    assert (values(0.25) == 0.25).all()


def test_entities_and_seeds_have_values_of_their_own():
    a, b = values(Uniform()), values(Uniform(), seed=1)
    assert len(np.unique(a)) > N - 5
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(N)
    some = Uniform().values(Rng(0), Stream.NET_WEIGHT, np.array([7, 3]))
    np.testing.assert_array_equal(some, a[[7, 3]])
