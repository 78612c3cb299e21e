"""Connection rules: exact degrees, probabilities, limits, and targets drawn evenly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from biomem.engine.random import Rng
from biomem.errors import ParameterError
from biomem.network import (
    Bernoulli,
    Convolution,
    DistanceDependent,
    FixedInDegree,
    FixedOutDegree,
    Procedural,
    SmallWorld,
    patterns,
)
from biomem.network.patterns import Ends


def ends(n_pre, n_post=None, *, pre=None, post=None):
    same = n_post is None
    return Ends(n_pre, n_pre if same else n_post, same, pre, pre if same else post)


def matrix(rule, between, seed=0):
    """Return how many synapses lead from each source to each target."""
    found = rule.pattern(between, Rng(seed))
    counts = np.zeros((between.n_pre, between.n_post), int)
    source = np.repeat(np.arange(between.n_pre), np.diff(found.indptr))
    np.add.at(counts, (source, found.target), 1)
    for first, last in zip(found.indptr[:-1], found.indptr[1:], strict=True):
        assert (np.diff(found.target[first:last]) > 0).all()
    assert found.indptr.dtype == np.int64
    assert found.target.dtype == np.int32
    return counts


@pytest.mark.parametrize("k", [0, 1, 7, 25, 38, 39])
@pytest.mark.parametrize("rule", [FixedInDegree, FixedOutDegree])
def test_degrees_are_exact_and_no_neuron_reaches_itself(rule, k):
    counts = matrix(rule(k=k), ends(40))
    assert (counts.sum(axis=0 if rule is FixedInDegree else 1) == k).all()
    assert counts.max(initial=0) <= 1
    assert not np.diag(counts).any()


@pytest.mark.parametrize("rule", [FixedInDegree, FixedOutDegree])
def test_every_partner_is_drawn_as_often_as_any_other(rule):
    counts = matrix(rule(k=6), ends(3000, 20) if rule is FixedOutDegree else ends(20, 3000))
    drawn = counts.sum(axis=0 if rule is FixedOutDegree else 1)
    # Draws without replacement vary less than independent ones, by (1 - k/n) n/(n - 1).
    statistic = ((drawn - 900) ** 2 / 900).sum() / ((1 - 6 / 20) * 20 / 19)
    assert stats.chi2(19).sf(statistic) > 1e-4


def test_autapses_where_asked_for():
    assert np.diag(matrix(FixedOutDegree(k=40, autapses=True), ends(40))).all()
    assert np.diag(matrix(Bernoulli(p=1.0, autapses=True), ends(9))).all()
    assert not np.diag(matrix(Bernoulli(p=1.0), ends(9))).any()
    # Between two populations, equal numbers are no autapse.
    assert matrix(Bernoulli(p=1.0), ends(9, 9)).all()
    assert matrix(FixedInDegree(k=9), ends(9, 9)).all()


@pytest.mark.parametrize("p", [0.0, 0.02, 0.5, 1.0])
def test_bernoulli_connects_with_its_probability(p):
    counts = matrix(Bernoulli(p=p), ends(300, 401))
    pairs = counts.size
    assert abs(counts.sum() - pairs * p) <= 4 * math.sqrt(pairs * p * (1 - p))
    if 0 < p < 1:
        per_source = counts.sum(axis=1)
        assert per_source.var() == pytest.approx(401 * p * (1 - p), rel=4 * math.sqrt(2 / 300))


def test_distance_decides_the_probability():
    grid = np.stack(np.unravel_index(np.arange(1200), (10, 12, 10)), 1).astype(float)
    rule = DistanceDependent(c=0.7, lam=2.5)
    counts = matrix(rule, ends(1200, pre=grid))
    assert not np.diag(counts).any()
    squared = ((grid[:, None] - grid[None]) ** 2).sum(axis=2)
    for s in (1, 2, 3, 4, 5, 8, 9, 13, 18, 25):
        bin_ = counts[squared == s]
        p = 0.7 * math.exp(-s / 2.5**2)
        assert abs(bin_.sum() - bin_.size * p) < 4 * math.sqrt(bin_.size * p * (1 - p)), s


def test_no_length_means_no_connection():
    here = np.zeros((5, 2))
    assert not matrix(DistanceDependent(lam=0.0), ends(5, pre=here)).any()


def test_positions_of_different_axes_are_refused():
    between = ends(5, 6, pre=np.zeros((5, 2)), post=np.zeros((6, 1)))
    with pytest.raises(ParameterError, match="same number of axes, got 2 and 1"):
        DistanceDependent().pattern(between, Rng(0))


def test_small_world_without_moves_is_the_ring():
    counts = matrix(SmallWorld(k=6, p=0.0), ends(50))
    apart = (np.arange(50)[None] - np.arange(50)[:, None]) % 50
    np.testing.assert_array_equal(counts, (np.minimum(apart, 50 - apart) <= 3) & (apart > 0))


def test_small_world_moves_its_share_and_keeps_the_out_degree():
    n, k, p = 400, 10, 0.3
    counts = matrix(SmallWorld(k=k, p=p), ends(n))
    assert (counts.sum(axis=1) == k).all()
    assert counts.max() == 1
    assert not np.diag(counts).any()
    apart = (np.arange(n)[None] - np.arange(n)[:, None]) % n
    near = (np.minimum(apart, n - apart) <= k // 2) & (apart > 0)
    moved = n * k - counts[near].sum()
    # Few of the moved ones fall on a place near by that was left.
    assert abs(moved - n * k * p) < 4 * math.sqrt(n * k * p * (1 - p)) + n * k * p * k / n


def test_small_world_of_moves_alone_is_random():
    n, k = 300, 6
    counts = matrix(SmallWorld(k=k, p=1.0), ends(n))
    apart = (np.arange(n)[None] - np.arange(n)[:, None]) % n
    share = np.bincount(apart[counts == 1], minlength=n)[1:]
    # Even, but for the places a connection has left: they are free for it again.
    assert stats.chisquare(share).pvalue > 1e-4
    assert (counts.sum(axis=1) == k).all()


def test_a_ring_too_short_is_refused():
    with pytest.raises(ParameterError, match="must be below the 6 neurons, got 6"):
        SmallWorld(k=6).pattern(ends(6), Rng(0))


def test_procedural_targets_are_even_and_those_of_their_source():
    rule, rng = Procedural(k=41), Rng(7)
    targets = rule.targets(rng, np.arange(2000), 37)
    assert targets.shape == (2000, 41)
    assert stats.chisquare(np.bincount(targets.reshape(-1), minlength=37)).pvalue > 1e-4
    first, second = targets[:, 0], targets[:, 1]
    together = np.bincount(first * 37 + second, minlength=37 * 37)
    assert stats.chisquare(together).pvalue > 1e-4
    np.testing.assert_array_equal(rule.targets(rng, np.array([99]), 37)[0], targets[99])


@pytest.mark.parametrize("rule", [Bernoulli(p=0.3), FixedInDegree(k=4), FixedOutDegree(k=4)])
def test_the_seed_decides_the_pattern(rule):
    a, b, c = (matrix(rule, ends(30), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_the_shape_a_convolution_makes():
    rule = Convolution(in_shape=(2, 28, 30), out_channels=5, kernel=(5, 4), stride=2, padding=1)
    assert rule.out_shape == (5, 13, 15)


@pytest.mark.parametrize(
    "rule",
    [
        Bernoulli(p=0.1),
        Bernoulli(p=1.0, autapses=True),
        Bernoulli(p=0.0),
        FixedOutDegree(k=150),
        FixedInDegree(k=400),
    ],
)
@pytest.mark.parametrize("same", [False, True])
def test_compiled_draws_of_large_patterns_are_those_of_the_reference(rule, same, monkeypatch):
    both = Ends(600 if same else 700, 600, same, None, None)
    assert both.n_pre * both.n_post > patterns.COMPILED_ABOVE
    compiled = rule.pattern(both, Rng(5))
    monkeypatch.setattr(patterns, "COMPILED_ABOVE", 2**62)
    reference = rule.pattern(both, Rng(5))
    for got, want in zip(compiled, reference, strict=True):
        np.testing.assert_array_equal(got, want, strict=True)
