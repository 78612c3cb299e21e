"""Two senses of one code: what pairs them, and what can be reached."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.datasets.tasks import PairedTemplates
from biomem.engine.random import Rng


def accuracy(task, sense):
    batch = task(0, Rng(0))
    return (task.oracle(batch[sense], sense) == batch.y).mean()


@pytest.mark.parametrize("sense", [0, 1])
def test_the_oracle_finds_the_class_as_far_as_the_noise_lets_it(sense):
    task = PairedTemplates(batch_size=300, n_channels=(40, 30), width=10e-3)
    clean, usual, loud = (accuracy(task.replace(noise=n), sense) for n in (0.0, 0.3, 2.0))
    assert clean > 0.97
    assert clean >= usual > 0.9
    assert usual > loud + 0.2


def test_only_the_classes_asked_for_are_shown_and_answered():
    unseen = PairedTemplates(batch_size=60, classes=(7, 8, 9), width=10e-3)
    batch = unseen(0, Rng(0))
    assert set(batch.y.tolist()) == {7, 8, 9}
    assert set(unseen.oracle(batch.x).tolist()) <= {7, 8, 9}
    assert (unseen.oracle(batch.partner, 1) == batch.y).mean() > 0.9


def test_the_senses_share_the_class_and_no_noise():
    task = PairedTemplates(batch_size=400, width=10e-3, noise=1.0, classes=(2,), n_classes=4)
    batch = task(0, Rng(0))
    counts = batch.x.sum(axis=(0, 2)), batch.partner.sum(axis=(0, 2))
    assert abs(np.corrcoef(*counts)[0, 1]) < 4 / np.sqrt(400)


def test_rates_are_those_of_the_code():
    task = PairedTemplates(
        batch_size=2000, n_classes=2, classes=(1,), noise=0.0, width=10e-3, n_channels=(8, 8)
    )
    x = task(0, Rng(0)).x
    rates = task.rates(0, task.codes[1])
    expected = -np.expm1(-rates * task.width)
    got = x.reshape(5, 10, 2000, 8).mean(axis=(1, 2))
    sd = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(got - expected) < 4.5 * sd).all()


def test_a_map_learned_of_seven_classes_holds_for_three_others():
    """A linear map from one sense's codes to the other's finds the partner of unseen classes."""
    seen = PairedTemplates(batch_size=400, classes=tuple(range(7)), width=50e-3, noise=0.1)
    unseen = seen.replace(classes=(7, 8, 9))

    def features(x):
        stretches = x.reshape(5, 2, *x.shape[1:]).sum(axis=1)
        return np.sqrt(stretches).transpose(1, 0, 2).reshape(x.shape[1], -1)

    a, b, _ = seen(0, Rng(0))
    a, b = features(a), features(b)
    centre = a.mean(axis=0), b.mean(axis=0)
    a, b = a - centre[0], b - centre[1]
    mapped = a.T @ np.linalg.solve(a @ a.T + 100 * np.eye(len(a)), b)
    query, gallery, y = unseen(0, Rng(1))
    found = (features(query) - centre[0]) @ mapped
    gallery = features(gallery) - centre[1]
    distance = (gallery**2).sum(axis=1) - 2 * found @ gallery.T
    assert (y[distance.argmin(axis=1)] == y).mean() > 0.6
