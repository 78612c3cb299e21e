"""The order of spikes: nothing linear finds it, coincidences do."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.datasets.tasks import SpikeOrder
from biomem.engine.random import Rng

N_TRAIN, N_TEST = 400, 300


@pytest.fixture(scope="module")
def shown():
    task = SpikeOrder(
        batch_size=N_TRAIN + N_TEST, n_channels=32, width=2e-3, deletion=0.05, background=1.0
    )
    return task, task(0, Rng(0))


def read_out(features: np.ndarray, y: np.ndarray) -> float:
    """Return the test accuracy of ridge regression, its penalty chosen on a part of training."""
    f = np.concatenate([features / (features.std() + 1e-12), np.ones((len(features), 1))], axis=1)
    f[:, :-1] -= f[:N_TRAIN, :-1].mean(axis=0)
    targets = np.eye(y.max() + 1)[y]

    def accuracy(fit: slice, score: slice, penalty: float) -> float:
        kernel = f[fit] @ f[fit].T + penalty * np.eye(fit.stop - fit.start)
        answers = f[score] @ (f[fit].T @ np.linalg.solve(kernel, targets[fit]))
        return (answers.argmax(axis=1) == y[score]).mean()

    penalties = (1e-2, 1.0, 1e2)
    inner = [accuracy(slice(0, 300), slice(300, N_TRAIN), p) for p in penalties]
    best = penalties[int(np.argmax(inner))]
    return accuracy(slice(0, N_TRAIN), slice(N_TRAIN, N_TRAIN + N_TEST), best)


def chance(n: int) -> float:
    return 1 / n + 4 * np.sqrt((1 / n) * (1 - 1 / n) / N_TEST)


def liquid_counts(x: np.ndarray, n: int = 80) -> np.ndarray:
    """Return the spike counts of a small random network of leaky neurons."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.9, (x.shape[2], n)).astype(np.float32)
    recurrent = rng.normal(0, 0.2, (n, n)).astype(np.float32)
    v = np.zeros((x.shape[1], n), np.float32)
    spikes, counts = np.zeros_like(v), np.zeros_like(v)
    for row in x:
        v = np.float32(0.82) * v * (1 - spikes) + row @ weights + spikes @ recurrent
        spikes = (v > 4.0).astype(np.float32)
        counts += spikes
    return counts


def test_counts_and_the_last_bin_leave_a_linear_read_out_at_chance(shown):
    task, (x, y) = shown
    assert read_out(x.sum(axis=0), y) < chance(task.n_classes) < 0.4
    assert read_out(x[-1], y) < chance(task.n_classes)


def test_a_linear_read_out_of_the_whole_raster_or_of_traces_stays_below_one_half(shown):
    _, (x, y) = shown
    coarse = x.reshape(50, 5, *x.shape[1:]).sum(axis=1)
    assert read_out(coarse.transpose(1, 0, 2).reshape(len(y), -1), y) < 0.5
    trace = np.zeros(x.shape[1:])
    for row in x:
        trace = np.exp(-2 / 20) * trace + row
    assert read_out(trace, y) < 0.5


def test_a_small_random_liquid_finds_the_order(shown):
    _, (x, y) = shown
    assert read_out(liquid_counts(x), y) > 0.9


def test_without_noise_every_channel_fires_as_often_in_every_class():
    task = SpikeOrder(batch_size=50, n_volleys=7)
    x, y = task(0, Rng(3))
    assert (x.sum(axis=0) == 7).all()
    assert len(set(y.tolist())) == task.n_classes


def test_the_orders_are_permutations_of_one_volley():
    offsets = SpikeOrder(n_classes=6).offsets
    np.testing.assert_array_equal(np.sort(offsets), np.tile(np.arange(64) * 40e-3 / 64, (6, 1)))
    assert len(np.unique(offsets, axis=0)) == 6


def test_means_of_bins_do_not_tell_the_class():
    task = SpikeOrder(batch_size=4000, n_channels=16, n_volleys=4, width=50e-3)
    x, y = task(0, Rng(3))
    expected = task.n_volleys / task.n_steps
    for k in range(task.n_classes):
        mean = x[:, y == k].mean(axis=1)
        # Four volleys, each in a given bin with a chance of 1/10, and 640 numbers looked at.
        sd = np.sqrt(task.n_volleys * 0.1 * 0.9 / (y == k).sum())
        assert np.abs(mean - expected).max() < 4.5 * sd
