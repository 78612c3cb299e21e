"""Poisson sources against the Bernoulli process they sample; given spikes on their ticks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from biomem.engine.simulator import Simulator
from biomem.network import Poisson, Population, SpikeArray, SpikingNetwork

DT = 1e-3


def noise(p, n, ticks, *, batch=1, seed=0, backend="numba"):
    net = SpikingNetwork(
        populations=(Population(name="noise", n=n, neuron=Poisson(rate=p / DT)),), dt=DT
    )
    sim = Simulator(net, backend=backend, seed=seed, batch=batch)
    return np.asarray(sim.run(ticks=ticks)["spikes"])


def intervals(spikes):
    """Return gaps that begin in the first half of a run: nearly none of them is cut off."""
    unit, tick = np.nonzero(spikes.T)
    same = unit[1:] == unit[:-1]
    begins = tick[:-1] < len(spikes) / 2
    return np.diff(tick)[same & begins]


@pytest.mark.parametrize(
    ("p", "n", "ticks"), [(0.3, 200, 1000), (0.02, 500, 2000), (2e-3, 999, 9000)]
)
def test_rate_variation_and_intervals_of_poisson_sources(p, n, ticks):
    spikes = noise(p, n, ticks)[:, 0]
    trials = n * ticks
    assert abs(spikes.sum() - trials * p) < 4 * math.sqrt(trials * p * (1 - p))
    gaps = intervals(spikes)
    # Geometric: mean 1/p, square of the coefficient of variation 1 - p.
    assert abs(gaps.mean() * p - 1) < 4 * math.sqrt((1 - p) / len(gaps))
    assert abs(gaps.std() / gaps.mean() - math.sqrt(1 - p)) < 4 / math.sqrt(len(gaps))
    # Bins of equal probability reach beyond the 256 ticks that one draw covers.
    edges = np.unique(stats.geom.ppf(np.linspace(0, 1, 21)[:-1], p))
    edges = np.concatenate([edges, [np.inf]])
    share = np.diff(stats.geom.cdf(edges, p))
    counts = np.histogram(gaps, edges + 0.5)[0]
    assert (
        stats.chisquare(counts, len(gaps) * share / share.sum() * counts.sum() / len(gaps)).pvalue
        > 1e-4
    )


def test_the_first_spike_has_the_law_of_all_others():
    p, n = 0.05, 4000
    spikes = noise(p, n, 400)[:, 0]
    first = spikes.argmax(axis=0) + 1
    assert abs(first.mean() * p - 1) < 4 * math.sqrt((1 - p) / n)


def test_units_streams_and_seeds_are_independent():
    p, n, ticks = 0.1, 300, 1000
    spikes = noise(p, n, ticks, batch=2).astype(float)
    other = noise(p, n, ticks, seed=1).astype(float)
    for a, b in (
        (spikes[:, 0, 1:], spikes[:, 0, :-1]),
        (spikes[:, 0], spikes[:, 1]),
        (spikes[:, 0], other[:, 0]),
        (spikes[1:, 0], spikes[:-1, 0]),
    ):
        together, trials = float((a * b).sum()), a.size
        assert abs(together - trials * p**2) < 4 * math.sqrt(trials * p**2 * (1 - p**2))


def test_two_populations_draw_apart():
    cells = [Population(name=name, n=200, neuron=Poisson(rate=100.0)) for name in "ab"]
    net = SpikingNetwork(populations=tuple(cells))
    spikes = Simulator(net).run(ticks=500)["spikes"][:, 0]
    a, b = spikes[:, net.units("a")], spikes[:, net.units("b")]
    assert abs((a & b).sum() - 1e3) < 4 * math.sqrt(1e3)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_sources_of_rate_0_and_of_a_spike_per_tick(backend):
    assert not noise(0.0, 5, 600, backend=backend).any()
    assert noise(1.0, 5, 600, backend=backend).all()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_given_spikes_fall_on_the_nearest_tick_in_every_stream(backend):
    net = SpikingNetwork(
        populations=(Population(name="given", n=3, neuron=SpikeArray()),),
        weights={
            "given/time": np.array([0.0, 0.0, 2.4e-3, 2.6e-3, 99.0]),
            "given/unit": np.array([0, 2, 1, 1, 0]),
        },
    )
    spikes = Simulator(net, batch=2, backend=backend).run(ticks=5)["spikes"]
    np.testing.assert_array_equal(np.argwhere(spikes[:, 1]), [[0, 0], [0, 2], [2, 1], [3, 1]])
    np.testing.assert_array_equal(spikes[:, 0], spikes[:, 1])
