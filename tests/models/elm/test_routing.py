"""Routing of channels to synapses: the published table, and what holds for every size."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.random import Rng
from biomem.models.elm import ELMParams
from biomem.models.elm.routing import route


def test_published_table() -> None:
    channels, valid = route(ELMParams.neuronio(), Rng(0))
    assert channels.dtype == np.int64
    assert channels[:6].tolist() == [0, 639, 1, 640, 2, 641]
    assert valid.sum() == 4282
    fan_out = np.bincount(channels[valid], minlength=1278)
    assert (fan_out.min(), fan_out.max(), round(fan_out.mean(), 2)) == (1, 4, 3.35)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_every_channel_is_heard_and_halves_alternate(half: int, branches: int, more: int) -> None:
    n = 2 * half
    per_branch = -(-n // branches) + more
    params = ELMParams(
        n_inputs=n, n_branches=branches, synapses_per_branch=per_branch, routing="neuronio"
    )
    channels, valid = route(params, Rng(0))
    assert channels.min() >= 0
    assert channels.max() < n
    assert set(channels[valid]) == set(range(n))
    within = valid.reshape(branches, -1)
    second_half = (channels >= half).reshape(branches, -1)
    pairs = within[:, 1:] & within[:, :-1]
    assert (second_half[:, 1:] != second_half[:, :-1])[pairs].all()


def test_no_routing_is_the_identity() -> None:
    channels, valid = route(ELMParams(n_inputs=5), Rng(0))
    assert channels.tolist() == [0, 1, 2, 3, 4]
    assert valid.all()


def test_random_routing_is_uniform_and_belongs_to_its_seed() -> None:
    params = ELMParams(n_inputs=10, n_branches=100, synapses_per_branch=200, routing="random")
    channels, valid = route(params, Rng(3))
    assert valid.all()
    counts = np.bincount(channels, minlength=10)
    # 20000 draws over 10 channels: 2000 each, with a standard deviation of 42.
    assert np.abs(counts - 2000).max() < 5 * 42.4
    np.testing.assert_array_equal(channels, route(params, Rng(3))[0])
    assert (channels != route(params, Rng(4))[0]).any()
