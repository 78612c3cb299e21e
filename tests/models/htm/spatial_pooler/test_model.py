"""The reference against plain definitions, and what a Spatial Pooler is for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.model import flatten, map_arrays
from biomem.engine.random import Rng
from biomem.errors import InputError
from biomem.models.htm.spatial_pooler import (
    SpatialPooler,
    SpatialPoolerParams,
    SpatialPoolerState,
)
from biomem.models.htm.spatial_pooler import model as reference
from biomem.testing import check_model


def patterns(n_inputs: int, n_active: int, ticks: int, seed: int = 0) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    for _ in range(ticks):
        x = np.zeros((1, n_inputs), bool)
        x[0, rng.choice(n_inputs, n_active, replace=False)] = True
        yield x


def run(
    model: SpatialPooler, xs: list[np.ndarray], state: SpatialPoolerState | None = None
) -> tuple[SpatialPoolerState, np.ndarray]:
    state = state or model.init_state(1, Rng(model.params.seed))
    wins = []
    for tick, x in enumerate(xs):
        state, y = model.step(state, x, tick)
        wins.append(y.active[0])
    return state, np.array(wins)


def small(**changes: object) -> SpatialPooler:
    values = {
        "input_shape": (100,),
        "column_shape": (128,),
        "potential_radius": None,
        "local_area_density": 0.0625,
    }
    return SpatialPooler(SpatialPoolerParams(**{**values, **changes}))


def test_keeps_the_model_contract() -> None:
    inputs = np.array(list(patterns(40, 8, 110)))
    for changes in ({}, {"global_inhibition": False, "boost_strength": 2.0}):
        model = small(input_shape=(40,), column_shape=(30,), **changes)
        check_model(model, inputs, new_process=False)


# Winners.


@given(
    keys=st.lists(st.integers(0, 6), min_size=20, max_size=40),
    threshold=st.integers(0, 4),
    share=st.sampled_from([0.05, 0.1, 0.29, 0.5]),
)
def test_the_largest_overlaps_win_and_ties_go_to_the_lower_index(
    keys: list[int], threshold: int, share: float
) -> None:
    params = SpatialPoolerParams(
        input_shape=(100,),
        column_shape=(len(keys),),
        local_area_density=share,
        stimulus_threshold=threshold,
    )
    order = sorted(range(len(keys)), key=lambda c: (-keys[c], c))[: math.floor(share * len(keys))]
    expected = sorted(c for c in order if keys[c] >= threshold)
    assert reference.inhibit(np.array(keys, np.float32), 0, params).tolist() == expected


def sweep(keys: list[float], params: SpatialPoolerParams, radius: int) -> list[int]:
    """The sequential rule: of the equal keys of an area, only those already selected count."""
    chosen: list[int] = []
    size = len(keys)
    for c in range(size):
        near = [j for j in range(size) if j != c and min((j - c) % size, (c - j) % size) <= radius]
        ahead = sum(keys[j] > keys[c] or (keys[j] == keys[c] and j in chosen) for j in near)
        if ahead < math.floor(0.5 + params.density(len(near) + 1) * (len(near) + 1)):
            chosen.append(c)
    return chosen


@given(keys=st.permutations(range(24)), radius=st.integers(2, 14))
def test_without_ties_local_inhibition_is_the_sequential_rule(keys: list[int], radius: int) -> None:
    params = SpatialPoolerParams(
        input_shape=(24,), column_shape=(24,), global_inhibition=False, local_area_density=0.3
    )
    got = reference.inhibit(np.array(keys, np.float32), radius, params)
    assert got.tolist() == sweep([float(k) for k in keys], params, radius)


def test_among_equal_neighbours_the_lowest_index_wins() -> None:
    params = SpatialPoolerParams(
        input_shape=(6,),
        column_shape=(6,),
        global_inhibition=False,
        local_area_density=None,
        n_active=1,
    )
    keys = np.array([2, 2, 2, 0, 1, 1], np.float32)
    assert reference.inhibit(keys, 1, params).tolist() == [0, 4]
    strict = params.replace(stimulus_threshold=2)
    assert reference.inhibit(keys, 1, strict).tolist() == [0]


def test_an_area_too_small_for_its_density_still_has_a_winner() -> None:
    params = SpatialPoolerParams(input_shape=(9,), column_shape=(9,), global_inhibition=False)
    keys = np.array([0, 1, 2, 9, 2, 1, 0, 3, 0], np.float32)
    assert reference.inhibit(keys, 1, params).tolist() == [3, 7]


@pytest.mark.parametrize(("columns", "density"), [(2048, 40 / 2048), (2048, 0.02), (500, 0.05)])
def test_exactly_the_asked_share_of_columns_wins(columns: int, density: float) -> None:
    model = small(column_shape=(columns,), local_area_density=density)
    _, wins = run(model, list(patterns(100, 12, 20)))
    assert set(wins.sum(axis=1)) == {math.floor(density * columns)}


def test_forty_of_2048_columns_win_with_nab_parameters_even_on_silence() -> None:
    model = SpatialPooler(SpatialPoolerParams.nab())
    _, wins = run(model, [*patterns(454, 42, 5), np.zeros((1, 454), bool)])
    assert wins.sum(axis=1).tolist() == [40] * 6
    assert wins[-1, :40].all()


# One step, entry by entry.


def test_one_step_follows_the_equations() -> None:
    model = small(column_shape=(40,), boost_strength=3.0, min_pct_overlap_duty_cycle=0.5)
    rng = np.random.default_rng(4)
    before = model.init_state(1, Rng(7))._replace(
        overlap_duty=rng.random(40, np.float32),
        min_overlap_duty=np.full(40, 0.3, np.float32),
        boost=rng.random(40, np.float32) + np.float32(0.5),
    )
    x = next(patterns(100, 9, 1))
    after, y = model.step(before, x, 6)
    pools, on = model.weights["pools"], set(np.flatnonzero(x[0]).tolist())
    overlaps = [
        sum(i in on and p >= 0.1 - 1e-6 for i, p in zip(pool, row, strict=True))
        for pool, row in zip(pools, before.permanences, strict=True)
    ]
    keys = np.array(overlaps) * before.boost
    winners = sorted(sorted(range(40), key=lambda c: (-keys[c], c))[:2])
    assert np.flatnonzero(y.active[0]).tolist() == winners
    for c in range(40):
        duty = before.overlap_duty[c] * 6 / 7 + (overlaps[c] > 0) / 7
        row = before.permanences[c].astype(float)
        if c in winners:
            row = np.array(
                [p + (0.05 if i in on else -0.008) for i, p in zip(pools[c], row, strict=True)]
            )
            row = row.clip(0, 1)
        if duty < 0.3:
            row = np.minimum(row + 0.01, 1)
        np.testing.assert_allclose(after.permanences[c], row, atol=1e-6)
        assert after.overlap_duty[c] == pytest.approx(duty, rel=1e-6)
        active = (c in winners) / 7
        assert after.active_duty[c] == pytest.approx(active, rel=1e-6)
        assert after.boost[c] == pytest.approx(math.exp(3.0 * (0.0625 - active)), rel=1e-6)
    assert any(c not in winners and after.overlap_duty[c] < 0.3 for c in range(40))


def test_slow_quantities_change_every_fifty_iterations() -> None:
    model = small(global_inhibition=False, potential_radius=8, min_pct_overlap_duty_cycle=0.5)
    state, seen = model.init_state(1, Rng(1)), []
    for tick, x in enumerate(patterns(100, 20, 101)):
        old, (state, _) = state, model.step(state, x, tick)
        if not np.array_equal(old.min_overlap_duty, state.min_overlap_duty):
            seen.append(tick + 1)
    assert seen == [50, 100]
    near = reference.neighbour_table((128,), int(state.inhibition_radius[0]), True)
    largest = state.overlap_duty[near].max(axis=1)
    assert np.all(state.min_overlap_duty <= np.float32(0.5) * np.float32(1.02) * largest)


@given(st.data())
def test_inhibition_radius_is_half_the_mean_extent_in_columns(data: st.DataObject) -> None:
    inputs = data.draw(st.sampled_from([(30,), (6, 7), (12, 3)]))
    columns = tuple(data.draw(st.integers(1, 6)) for _ in inputs)
    params = SpatialPoolerParams(
        input_shape=inputs, column_shape=columns, global_inhibition=False, potential_radius=9
    )
    seed, density = data.draw(st.integers(0, 2**32 - 1)), data.draw(st.sampled_from([0, 0.1, 0.5]))
    shape = (math.prod(inputs), math.prod(columns))
    connected = (np.random.default_rng(seed).random(shape) < density).astype(np.uint8)
    extents = []
    for c in range(shape[1]):
        at = np.argwhere(connected[:, c].reshape(inputs))
        extents.append(np.ptp(at, axis=0) + 1 if len(at) else np.zeros(len(inputs)))
    per_input = np.mean([c / i for c, i in zip(columns, inputs, strict=True)])
    exact = max(1.0, (np.mean(extents) * per_input - 1) / 2)
    assert abs(reference.inhibition_radius(connected, params) - exact) <= 0.5 + 1e-9


def test_global_inhibition_reaches_over_the_largest_dimension() -> None:
    params = SpatialPoolerParams(input_shape=(4, 30), column_shape=(5, 60))
    assert reference.inhibition_radius(np.ones((120, 300), np.uint8), params) == 60


def test_exponential_rounds_to_the_float32_of_the_library() -> None:
    x = np.linspace(-80, 80, 40_001)
    np.testing.assert_allclose(reference.exponential(x), np.exp(x), rtol=1e-13)


def test_columns_out_of_reach_of_the_stimulus_are_lifted_as_one() -> None:
    params = SpatialPoolerParams(input_shape=(10,), stimulus_threshold=2, perm_connected=0.5)
    pools = np.array([[0, 1, 2, -1], [0, 1, 2, 3]], np.int32)
    rows = np.array([[0.5, 0.2, 0.1, 0.0], [0.5, 0.6, 0.1, 0.0]], np.float32)
    lifted = reference.raise_to_stimulus(rows, pools, params)
    np.testing.assert_allclose(lifted[0], [0.8, 0.5, 0.4, 0.0], atol=1e-6)
    np.testing.assert_array_equal(lifted[1], rows[1])


# What it is for.


def test_without_learning_nothing_changes() -> None:
    model = small(learn=False, boost_strength=2.0)
    state = model.init_state(1, Rng(1))
    frozen = map_arrays(np.copy, state)
    after, _ = run(model, list(patterns(100, 12, 60)), state)
    for (name, a), (_, b) in zip(flatten(frozen), flatten(after), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_repeated_input_keeps_its_winners_and_raises_their_overlaps() -> None:
    model = small()
    x = next(patterns(100, 12, 1))
    on = np.flatnonzero(x[0])
    start = model.init_state(1, Rng(1))
    end, wins = run(model, [x] * 40, start)
    assert np.all(wins == wins[0])
    before = reference.overlap(start.connected, on)[wins[0]]
    after = reference.overlap(end.connected, on)[wins[0]]
    pooled = np.isin(model.weights["pools"], on).sum(axis=1)[wins[0]]
    np.testing.assert_array_equal(after, pooled)
    assert after.sum() > before.sum()


def test_similar_inputs_share_winners_and_different_ones_do_not() -> None:
    model = SpatialPooler(SpatialPoolerParams.nab(learn=False))
    a, b = (np.flatnonzero(x[0]) for x in patterns(454, 42, 2))
    state, rest = model.init_state(1, Rng(1)), np.setdiff1d(np.arange(454), a)
    near = np.sort(np.concatenate([a[:38], rest[:4]])).astype(np.int32)
    codes = [
        set(reference.advance(model.params, model.weights, state, x.astype(np.int32), 0)[1])
        for x in (a, near, b)
    ]
    assert len(codes[0] & codes[1]) > 20
    assert len(codes[0] & codes[2]) < 10


def test_permanences_stay_between_zero_and_one() -> None:
    model = small(perm_active_inc=0.4, perm_inactive_dec=0.3, min_pct_overlap_duty_cycle=1.0)
    state, _ = run(model, list(patterns(100, 30, 120)))
    assert state.permanences.min() == 0.0
    assert state.permanences.max() == 1.0


def entropy(wins: np.ndarray) -> float:
    rate = wins.mean(axis=0).clip(1e-12, 1 - 1e-12)
    return float(-(rate * np.log2(rate) + (1 - rate) * np.log2(1 - rate)).sum())


def test_boosting_lets_more_columns_take_part() -> None:
    vocabulary = list(patterns(100, 12, 12))
    xs = list(itertools.islice(itertools.cycle(vocabulary), 600))
    plain, boosted = (
        run(small(boost_strength=s, duty_cycle_period=100), xs)[1][-240:] for s in (0.0, 8.0)
    )
    assert boosted.any(axis=0).sum() > plain.any(axis=0).sum()
    assert boosted.mean(axis=0).std() < 0.6 * plain.mean(axis=0).std()
    assert entropy(boosted) > 1.2 * entropy(plain)


def test_columns_that_never_overlap_are_brought_back() -> None:
    model = small(potential_pct=0.2, min_pct_overlap_duty_cycle=0.1)
    start = model.init_state(1, Rng(1))
    permanences = start.permanences.copy()
    permanences[:64] = 0
    start = model.rebuild(start._replace(permanences=permanences))
    assert start.connected[:, :64].sum() == 0
    end, _ = run(model, list(patterns(100, 12, 120)), start)
    assert np.all(end.connected[:, :64].sum(axis=0) > 0)


# Refusals.


def test_refuses_input_of_another_length() -> None:
    with pytest.raises(InputError, match=r"inputs must have shape \(time, batch=1, input=100\)"):
        small().check_input(np.zeros((5, 1, 99), bool), batch=1)


def test_refuses_numbers_that_are_not_bits() -> None:
    with pytest.raises(InputError, match="SpatialPooler: inputs"):
        small().check_input(np.full((5, 1, 100), 0.5), batch=1)
