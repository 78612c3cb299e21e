"""The kernel equals the reference to the last bit: winners and every array of the state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from biomem.engine.model import flatten, map_arrays
from biomem.engine.random import Rng
from biomem.errors import ParameterError
from biomem.models.htm.spatial_pooler import SpatialPooler, SpatialPoolerParams, cpu
from biomem.models.htm.spatial_pooler import model as reference


def assert_kernel_equals_reference(
    model: SpatialPooler, xs: np.ndarray, state: reference.SpatialPoolerState | None = None
) -> reference.SpatialPoolerState:
    state = state or model.init_state(1, Rng(model.params.seed))
    given_inputs = xs.copy()
    got, ys = cpu.scan(model, map_arrays(np.copy, state), xs, 0)
    np.testing.assert_array_equal(xs, given_inputs)
    for tick, x in enumerate(xs):
        state, y = model.step(state, x, tick)
        np.testing.assert_array_equal(ys.active[tick], y.active, err_msg=f"winners at {tick}")
    for (name, a), (_, b) in zip(flatten(state), flatten(got), strict=True):
        assert a.dtype == b.dtype, name
        assert a.tobytes() == b.tobytes(), f"{name} differs after {len(xs)} ticks"
    np.testing.assert_array_equal(model.rebuild(got).connected, got.connected)
    return got


def telemetry(ticks: int) -> np.ndarray:
    """A random walk under a daily rhythm: 21 of 400 value bits and 21 of 54 clock bits."""
    rng = np.random.default_rng(11)
    scatter = rng.permutation(400)
    level = (180 + 60 * np.sin(np.arange(ticks) / 20) + rng.normal(0, 8, ticks)).astype(int)
    xs = np.zeros((ticks, 1, 454), bool)
    for t in range(ticks):
        xs[t, 0, scatter[level[t] : level[t] + 21]] = True
        xs[t, 0, 400 + (np.arange(21) + t // 3) % 54] = True
    return xs


def test_300_records_with_nab_parameters() -> None:
    model = SpatialPooler(SpatialPoolerParams.nab())
    end = assert_kernel_equals_reference(model, telemetry(300))
    start = model.init_state(1, Rng(model.params.seed))
    assert (end.connected != start.connected).any()


def test_300_records_with_boosting_on_a_wide_sheet() -> None:
    model = SpatialPooler(SpatialPoolerParams.nab(boost_strength=5.0, duty_cycle_period=50))
    assert_kernel_equals_reference(model, telemetry(300))


shapes = st.sampled_from(
    [((60,), (40,)), ((30,), (7,)), ((130,), (64,)), ((8, 9), (5, 6)), ((1, 40), (3, 11))]
)


@given(
    shape=shapes,
    radius=st.none() | st.integers(1, 9),
    share=st.sampled_from([0.2, 0.5, 1.0]),
    is_global=st.booleans(),
    density=st.sampled_from([0.15, 0.34, 0.5, None]),
    stimulus=st.sampled_from([0, 0, 2, 4]),
    steps=st.sampled_from([(0.05, 0.008), (0.003, 0.0005), (0.5, 0.4), (0.0, 0.0), (1.0, 1.0)]),
    connected=st.sampled_from([0.1, 0.2, 0.5, 1.0]),
    weak=st.sampled_from([0.001, 0.6, 1.0]),
    period=st.sampled_from([1, 20, 1000]),
    boost=st.sampled_from([0.0, 0.0, 1.5, 20.0, 80.0]),
    wrap=st.booleans(),
    learn=st.sampled_from([True, True, True, False]),
    on=st.sampled_from([0.0, 0.02, 0.2, 0.6]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_any_parameters(
    shape: tuple, radius: int | None, share: float, is_global: bool, density: float | None,
    stimulus: int, steps: tuple, connected: float, weak: float, period: int, boost: float,
    wrap: bool, learn: bool, on: float, seed: int,
) -> None:  # fmt: skip
    try:
        model = SpatialPooler(
            input_shape=shape[0],
            column_shape=shape[1],
            potential_radius=radius,
            potential_pct=share,
            global_inhibition=is_global,
            local_area_density=density,
            n_active=None if density else 3,
            stimulus_threshold=stimulus,
            perm_active_inc=steps[0],
            perm_inactive_dec=steps[1],
            perm_connected=connected,
            min_pct_overlap_duty_cycle=weak,
            duty_cycle_period=period,
            boost_strength=boost,
            wrap_around=wrap,
            learn=learn,
            seed=seed,
        )
    except ParameterError as error:
        assume("smallest pool" not in str(error))
        raise
    xs = np.random.default_rng(seed).random((104, 1, model.params.n_inputs)) < on
    assert_kernel_equals_reference(model, xs)


@pytest.mark.parametrize("n_active", [0, 3, 252, 253, 255, 256, 900])
def test_more_active_inputs_than_a_byte_can_count(n_active: int) -> None:
    connected = np.ones((900, 50), np.uint8)
    connected[:, 7:] = np.random.default_rng(0).random((900, 43)) < 0.9
    active = np.arange(900 - n_active, 900, dtype=np.int32)
    overlaps = np.empty(50, np.int32)
    cpu._count_overlaps(connected, active, np.empty(50, np.uint8), overlaps)
    np.testing.assert_array_equal(overlaps, reference.overlap(connected, active))
    assert overlaps[0] == n_active


def test_exponential_has_the_same_bits_in_float64() -> None:
    x = np.linspace(-80, 80, 2001)
    got = np.array([cpu._exponential(v) for v in x])
    np.testing.assert_array_equal(got.view(np.int64), reference.exponential(x).view(np.int64))


def test_chunks_do_not_change_a_run() -> None:
    model = SpatialPooler(SpatialPoolerParams.nab(column_shape=(256,), n_active=10))
    xs = telemetry(120)
    whole, _ = cpu.scan(model, model.init_state(1, Rng(1)), xs, 0)
    parts = model.init_state(1, Rng(1))
    for first in range(0, 120, 7):
        parts, _ = cpu.scan(model, parts, xs[first : first + 7], first)
    for (name, a), (_, b) in zip(flatten(whole), flatten(parts), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_tick_writes_into_the_buffers_it_is_given() -> None:
    model = SpatialPooler(SpatialPoolerParams.nab())
    constants = cpu.make_constants(model.params, model.weights["pools"])
    scratch = cpu.make_scratch(constants)
    state = model.init_state(1, Rng(1))
    active = np.flatnonzero(telemetry(1)[0, 0]).astype(np.int32)
    want, columns = reference.advance(model.params, model.weights, state, active, 0)
    got = cpu.tick(state, constants, scratch, active, 0)
    np.testing.assert_array_equal(got, columns)
    assert np.shares_memory(got, scratch.winners)
    np.testing.assert_array_equal(state.permanences, want.permanences)


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("sheet", [(12,), (7,), (6, 5), (1, 8)])
@pytest.mark.parametrize("density", [0.05, 0.4])
def test_local_winners_at_every_radius(sheet: tuple, wrap: bool, density: float) -> None:
    params = SpatialPoolerParams(
        input_shape=sheet,
        column_shape=sheet,
        global_inhibition=False,
        local_area_density=density,
        wrap_around=wrap,
    )
    constants = cpu.make_constants(params, SpatialPooler(params).weights["pools"])
    winners = np.empty(params.n_columns, np.int32)
    rng = np.random.default_rng(3)
    for radius in range(1, 14):
        for _ in range(10):
            keys = rng.integers(0, 9, params.n_columns, dtype=np.int32)
            n = cpu._inhibit_locally(keys, radius, np.int32(2), constants, winners)
            want = reference.inhibit(
                keys.astype(np.float32), radius, params.replace(stimulus_threshold=0)
            )
            assert winners[:n].tolist() == [c for c in want.tolist() if keys[c] >= 2]


@pytest.mark.parametrize("k", [1, 2, 7, 8, 9, 100])
def test_bisection_finds_the_kth_largest(k: int) -> None:
    rng = np.random.default_rng(k)
    for high in (1, 3, 1000, 2**31 - 1):
        keys = rng.integers(0, high, 100, dtype=np.int32)
        assert cpu._kth_largest(keys, k) == np.sort(keys)[-k]
