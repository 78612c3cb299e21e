"""What all drawn spiking tasks keep, and that each can be told apart the way it says."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.datasets.tasks import (
    Chirps,
    JitteredTemplates,
    MovingBars,
    PairedTemplates,
    SpikeOrder,
)
from biomem.engine.random import Rng
from biomem.errors import ParameterError

TASKS = [
    JitteredTemplates(batch_size=4, width=5e-3, background=3.0),
    MovingBars(batch_size=4, width=10e-3, polarities=2),
    Chirps(batch_size=4, width=5e-3),
    PairedTemplates(batch_size=4, width=5e-3),
    SpikeOrder(batch_size=4, background=2.0, deletion=0.1),
]
by_name = pytest.mark.parametrize("task", TASKS, ids=lambda t: type(t).__name__)


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@by_name
def test_an_item_is_a_function_of_seed_and_index_alone(task):
    batch = task(3, Rng(5))
    assert batch.x.dtype == np.float32
    assert batch.x.shape == (task.n_steps, 4, task.n_inputs)
    assert batch.y.dtype == np.int64
    assert same(task.replace(batch_size=4)(3, Rng(5)), batch)
    one = task.items([14], Rng(5)).to_batch(task.n_steps, task.n_inputs)
    np.testing.assert_array_equal(one.x[:, 0], batch.x[:, 2])
    assert one.y.tolist() == [batch.y[2]]
    wider = task.replace(batch_size=8)(1, Rng(5))
    np.testing.assert_array_equal(wider.x[:, 4:], batch.x)
    assert not same(task(3, Rng(6)), batch)
    assert not same(task(4, Rng(5)), batch)
    assert eval(repr(task), {type(task).__name__: type(task)}) == task


@by_name
def test_events_are_the_batch(task):
    batch, events = task(1, Rng(0)), task.events(1, Rng(0))
    keys = np.stack([events.tick, events.lane, events.channel], axis=1)
    assert keys.tolist() == sorted(keys.tolist())
    sparse = events.to_events(task.n_steps, task.n_inputs)
    np.testing.assert_array_equal(sparse.to_dense(), batch.x)
    assert len(events.tick) == batch.x.sum() > 0


@by_name
def test_all_classes_come_and_the_templates_are_those_of_their_seed(task):
    y = task.items(np.arange(300), Rng(0)).y
    assert sorted(set(y.tolist())) == list(range(task.n_outputs))
    if not isinstance(task, MovingBars):
        assert not same(task.replace(template_seed=1)(0, Rng(0)), task(0, Rng(0)))


@by_name
def test_a_background_adds_its_rate(task):
    quiet = task.replace(background=0.0, batch_size=20)(0, Rng(0))
    loud = task.replace(background=20.0, batch_size=20)(0, Rng(0))
    np.testing.assert_array_equal(quiet.y, loud.y)
    places = loud.x.size
    chance = -np.expm1(-20.0 * task.width)  # a bin takes one at most
    sd = np.sqrt(places * chance * (1 - chance))
    added = (loud.x - quiet.x).sum()
    # Where spikes are drawn bin by bin, those of the background may fall on one that is there.
    hidden = chance * (quiet.x > 0).sum() if isinstance(task, PairedTemplates) else 0
    assert abs(added + hidden - places * chance) < 4 * sd


@pytest.mark.parametrize(
    ("task", "changes", "named"),
    [
        (SpikeOrder, {"n_channels": 8}, "n_channels must be an integer >= 16"),
        (SpikeOrder, {"span": 1.0}, "span must be <= duration"),
        (SpikeOrder, {"deletion": 1.0}, "deletion must be in"),
        (SpikeOrder, {"width": 3e-3}, "width must be a whole fraction of duration"),
        (SpikeOrder, {"width": float("nan")}, "width must be finite and > 0"),
        (SpikeOrder, {"n_classes": 1}, "n_classes must be an integer >= 2"),
        (SpikeOrder, {"jitter": -1e-3}, "jitter must be finite and >= 0"),
        (JitteredTemplates, {"rate": 2e3}, "rate must be <= 1000 Hz"),
        (MovingBars, {"polarities": 3}, "polarities must be 1 or 2"),
        (MovingBars, {"spread": 1.0}, "spread must be in"),
        (Chirps, {"warp": 1.0}, "warp must be in"),
        (Chirps, {"n_spikes": 0}, "n_spikes must be an integer >= 1"),
        (PairedTemplates, {"classes": (11,)}, r"classes must be one or more of range\(10\)"),
        (PairedTemplates, {"classes": ()}, "classes must be one or more"),
        (PairedTemplates, {"n_channels": (3,)}, "n_channels must be two integers"),
    ],
)
def test_settings_out_of_range_are_refused(task, changes, named):
    with pytest.raises(ParameterError, match=rf"{task.__name__}\.{named}"):
        task(**changes)


def test_items_and_steps_that_are_none_are_refused():
    task = SpikeOrder(batch_size=2)
    with pytest.raises(ParameterError, match="step must be >= 0"):
        task(-1, Rng(0))
    with pytest.raises(ParameterError, match="indices must be a list of integers"):
        task.items([0.5], Rng(0))
    with pytest.raises(ParameterError, match="tick must be in"):
        task.items([-1], Rng(0))


def nearest_mean(train, test, n):
    """Return the accuracy of the nearest mean raster, over all of time."""
    flat = [b.x.transpose(1, 0, 2).reshape(len(b.y), -1) for b in (train, test)]
    means = np.stack([flat[0][train.y == k].mean(axis=0) for k in range(n)])
    distance = (means**2).sum(axis=1) - 2 * flat[1] @ means.T
    return (distance.argmin(axis=1) == test.y).mean()


@pytest.mark.parametrize(
    "task",
    [
        JitteredTemplates(batch_size=200, n_channels=16, width=10e-3, jitter=4e-3),
        MovingBars(batch_size=400, width=20e-3),
        Chirps(batch_size=200, width=10e-3),
    ],
    ids=lambda t: type(t).__name__,
)
def test_the_nearest_mean_raster_finds_the_class(task):
    assert nearest_mean(task(0, Rng(0)), task(0, Rng(1)), task.n_classes) > 0.9
