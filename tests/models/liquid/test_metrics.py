"""Measures of reservoirs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.errors import InputError, ParameterError
from biomem.models.liquid.metrics import (
    avalanche_exponents,
    avalanches,
    branching_parameter,
    information_processing_capacity,
    memory_capacity,
    rank,
    separation,
    silent_and_saturated,
)


def branching_process(m, ticks, runs, seed=0, drive=5.0):
    draw = np.random.default_rng(seed)
    a = np.zeros((ticks, runs), np.int64)
    a[0] = drive / max(1 - m, 0.05)
    for t in range(1, ticks):
        a[t] = draw.poisson(m * a[t - 1] + drive)
    return a


@pytest.mark.parametrize("m", [0.3, 0.7, 0.9, 0.98])
def test_branching_of_a_branching_process(m):
    counts = branching_process(m, 600, 150)[100:]
    assert branching_parameter(counts) == pytest.approx(m, abs=0.03)
    # Of every fourth neuron the plain ratio would say a quarter of it.
    seen = np.random.default_rng(1).binomial(counts, 0.25)
    assert branching_parameter(seen) == pytest.approx(m, abs=0.06)


def test_branching_of_what_never_varies_is_zero():
    assert branching_parameter(np.zeros((50, 3))) == 0.0


def test_avalanches_are_the_stretches_between_silence():
    sizes, durations = avalanches(np.array([0, 2, 1, 0, 0, 5, 0, 1]))
    assert sizes.tolist() == [3, 5, 1]
    assert durations.tolist() == [2, 1, 1]
    assert avalanches(np.zeros(4, int))[0].size == 0


def test_avalanche_exponents_of_drawn_power_laws():
    draw = np.random.default_rng(0)
    sizes = np.minimum(draw.zipf(2.5, 4000), 10**6)
    counts = np.stack([sizes, np.zeros_like(sizes)], axis=1).reshape(-1)
    assert avalanche_exponents(counts)[0] == pytest.approx(2.5, abs=0.1)


def test_shares_of_silent_and_saturated_neurons():
    spikes = np.zeros((10, 2, 4), bool)
    spikes[:, :, 1] = True
    spikes[0, 0, 2] = True
    assert silent_and_saturated(spikes) == (0.5, 0.25)


def test_rank_of_a_matrix_of_known_rank():
    draw = np.random.default_rng(0)
    states = draw.normal(size=(30, 4)) @ draw.normal(size=(4, 12))
    assert rank(states) == 4
    assert rank(states + 1e-6 * draw.normal(size=states.shape)) == 12
    assert rank(states + 1e-6 * draw.normal(size=states.shape), 0.01) == 4
    assert rank(np.zeros((3, 3))) == 0


def test_separation_of_one_spike_is_its_filtered_mean():
    u, v = np.zeros((50, 1, 3), bool), np.zeros((50, 1, 3), bool)
    assert separation(u, v, 1e-3) == 0.0
    v[10, 0, 1] = True
    want = np.exp(-np.arange(40) * 1e-3 / 5e-3).sum() / 50
    assert separation(u, v, 1e-3) == pytest.approx(want, rel=1e-12)


def states_of(u, n, depth):
    """A delay line, with units that hear nothing."""
    lagged = np.stack([np.concatenate([np.zeros(k), u[: len(u) - k]]) for k in range(1, depth + 1)])
    return np.concatenate([lagged, np.zeros((n - depth, len(u)))]).T


def test_memory_of_a_delay_line_is_its_length():
    u = np.random.default_rng(0).uniform(-1, 1, 3000)
    found = memory_capacity(u, states_of(u, 12, 12), max_lag=20)
    np.testing.assert_allclose(found[:12], 1.0, atol=1e-9)
    assert found[12:].sum() < 0.1


def test_memory_of_noise_is_none():
    draw = np.random.default_rng(0)
    found = memory_capacity(draw.uniform(-1, 1, 2000), draw.normal(size=(2000, 30)), max_lag=30)
    assert found.sum() < 1.0


@pytest.mark.parametrize("n", [5, 15])
def test_memory_of_a_random_linear_reservoir_stays_below_its_size(n):
    draw = np.random.default_rng(n)
    w, _ = np.linalg.qr(draw.normal(size=(n, n)))
    w_in, u, x, states = draw.normal(size=n), draw.uniform(-1, 1, 8000), np.zeros(n), []
    for value in u:
        x = 0.9 * w @ x + w_in * value
        states.append(x)
    total = memory_capacity(np.roll(u, -1)[:-1], np.array(states)[:-1], max_lag=80).sum()
    assert 0.9 * n < total <= n


def test_capacity_of_products_is_found_by_degree():
    u = np.random.default_rng(0).uniform(-1, 1, 6000)
    one, two = np.roll(u, 1), np.roll(u, 2)
    states = np.stack([one, one * two, 1.5 * u**2 - 0.5], axis=1)
    found = information_processing_capacity(u, states, max_degree=3, max_lag=4)
    assert found[1] == pytest.approx(1.0, abs=0.02)
    assert found[2] == pytest.approx(2.0, abs=0.05)
    assert found[3] == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: branching_parameter(np.zeros(5)), InputError, "at least 20 ticks"),
        (lambda: avalanches(np.zeros(3)), InputError, "must be integers"),
        (lambda: rank(np.zeros(3)), InputError, "shape"),
        (lambda: rank(np.ones((2, 2)), 2.0), ParameterError, "'precision' or in"),
        (
            lambda: separation(np.zeros((2, 1, 1)), np.zeros((3, 1, 1)), 1e-3),
            InputError,
            "one shape",
        ),
        (lambda: memory_capacity(np.zeros(9), np.zeros((8, 2))), InputError, "u must be"),
        (lambda: memory_capacity(np.zeros(99), np.zeros((99, 2))), InputError, "too few"),
        (
            lambda: information_processing_capacity(np.full(999, 2.0), np.zeros((999, 2))),
            InputError,
            r"\[-1, 1\]",
        ),
    ],
)
def test_bad_data_are_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
