"""Pools and first permanences: within reach, unbiased, a function of seed, input and column."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.engine.random import Rng
from biomem.models.htm.spatial_pooler import SpatialPooler, SpatialPoolerParams
from biomem.models.htm.spatial_pooler.draws import draw_permanences, draw_pools
from biomem.models.htm.spatial_pooler.topology import centre_of


@pytest.mark.parametrize("wrap", [True, False])
def test_pools_lie_within_reach_without_repetition(wrap: bool) -> None:
    params = SpatialPoolerParams(
        input_shape=(12, 15),
        column_shape=(6, 5),
        potential_radius=2,
        potential_pct=0.4,
        wrap_around=wrap,
    )
    pools = draw_pools(params, Rng(3))
    for column, row in enumerate(pools):
        own = row[row >= 0]
        area = params.input_area(centre_of(column, (6, 5), (12, 15)))
        assert np.all(np.diff(own) > 0)
        assert set(own.tolist()) <= set(area.tolist())
        assert len(own) == params.pool_size(len(area))
        assert np.all(row[len(own) :] == -1)
    assert (pools == -1).any() != wrap


def test_a_pool_depends_on_its_column_alone() -> None:
    few = SpatialPoolerParams(input_shape=(90,), column_shape=(70,), potential_radius=None)
    many = few.replace(column_shape=(200,))
    np.testing.assert_array_equal(draw_pools(few, Rng(5)), draw_pools(many, Rng(5))[:70])
    assert not np.array_equal(draw_pools(few, Rng(5)), draw_pools(few, Rng(6)))


def test_every_input_is_drawn_equally_often() -> None:
    params = SpatialPoolerParams(
        input_shape=(50,), column_shape=(4000,), potential_radius=None, potential_pct=0.3
    )
    counts = np.bincount(draw_pools(params, Rng(1)).ravel(), minlength=50)
    spread = np.sqrt(4000 * 0.3 * 0.7)
    assert abs(counts - 1200).max() < 4.5 * spread


def test_half_of_the_permanences_start_connected_and_uniform() -> None:
    params = SpatialPoolerParams.nab()
    pools = draw_pools(params, Rng(1))
    permanences = draw_permanences(params, pools, Rng(1))
    assert permanences.dtype == np.float32
    connected = permanences[permanences >= np.float32(0.2)]
    below = permanences[permanences < np.float32(0.2)]
    assert abs(len(connected) / permanences.size - 0.5) < 0.004
    for sample, low, high in ((connected, 0.2, 1.0), (below, 0.0, 0.2)):
        shares = np.histogram(sample, bins=10, range=(low, high))[0] / len(sample)
        np.testing.assert_allclose(shares, 0.1, atol=0.003)
        assert low <= sample.min() + 1e-7
        assert sample.max() <= high


def test_stimulus_threshold_is_met_from_the_start() -> None:
    model = SpatialPooler(
        input_shape=(60,),
        column_shape=(80,),
        potential_radius=4,
        wrap_around=False,
        stimulus_threshold=3,
    )
    state = model.init_state(1, Rng(2))
    assert state.connected.sum(axis=0).min() == 3
    assert np.all(state.permanences[model.weights["pools"] < 0] == 0)
    loose = SpatialPooler(model.params.replace(stimulus_threshold=0)).init_state(1, Rng(2))
    assert loose.connected.sum(axis=0).min() < 3
