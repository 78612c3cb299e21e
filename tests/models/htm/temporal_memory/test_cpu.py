"""The compiled Temporal Memory equals the reference bit for bit, and its links stay true."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine.model import fields_of, flatten
from biomem.models.htm.temporal_memory import (
    TemporalMemory,
    TemporalMemoryParams,
    TemporalMemoryState,
    cpu,
)
from biomem.models.htm.temporal_memory.model import advance, init_state, reset
from biomem.models.htm.temporal_memory.params import constants
from biomem.testing import check_model

DECLARED = fields_of(TemporalMemoryState)


@st.composite
def small_params(draw: st.DrawFn) -> TemporalMemoryParams:
    activation = draw(st.integers(1, 4))
    most = draw(st.integers(activation, 8))
    step = st.sampled_from([0.0, 0.03, 0.1, 0.3, 1.0])
    return TemporalMemoryParams(
        n_columns=draw(st.integers(3, 16)),
        cells_per_column=draw(st.integers(1, 4)),
        activation_threshold=activation,
        min_threshold=draw(st.integers(1, activation)),
        initial_permanence=draw(st.sampled_from([0.05, 0.21, 0.5, 1.0])),
        connected_permanence=draw(st.sampled_from([0.1, 0.5])),
        max_new_synapses=draw(st.integers(activation, most)),
        permanence_inc=draw(step),
        permanence_dec=draw(step),
        predicted_segment_dec=draw(st.sampled_from([0.0, 0.0, 0.05, 0.4])),
        max_segments_per_cell=draw(st.integers(1, 4)),
        max_synapses_per_segment=most,
        max_segments=draw(st.sampled_from([None, 1, 5, 30])),
        prune=draw(st.sampled_from(["lru", "weakest"])),
        destroy_below=draw(st.sampled_from(["empty", "min_threshold"])),
        burst_winner=draw(st.sampled_from(["least_used", "previous"])),
        learn=draw(st.sampled_from([True, True, True, False])),
        seed=draw(st.sampled_from([0, 42, 2**64 - 1])),
    )


@st.composite
def runs(draw: st.DrawFn) -> tuple[TemporalMemoryParams, list[np.ndarray | None], int]:
    """Parameters, a run over a few patterns (None is a reset), and its first tick."""
    params = draw(small_params())
    column = st.integers(0, params.n_columns - 1)
    patterns = draw(st.lists(st.sets(column, max_size=8), min_size=2, max_size=6))
    known = [np.array(sorted(p), np.int32) for p in patterns]
    order = draw(st.lists(st.sampled_from([*known, *known, None]), min_size=10, max_size=60))
    return params, order, draw(st.sampled_from([0, 2**32 - 5]))


def assert_same(reference: TemporalMemoryState, compiled: TemporalMemoryState, where: Any) -> None:
    kept = dict(flatten(compiled))
    for name, expected in flatten(reference):
        if DECLARED[name].kind == "persistent":
            assert kept[name].dtype == expected.dtype, (name, where)
            np.testing.assert_array_equal(kept[name], expected, err_msg=f"{name} at {where}")


def assert_links_true(params: TemporalMemoryParams, state: TemporalMemoryState) -> None:
    """Compare the links, as sets, with what the persistent arrays say."""
    links, slots = state.links, state.syn_pre.shape[1]
    pre, perm = state.syn_pre.ravel(), state.syn_perm.ravel()
    connected = perm >= constants(params).connected
    assert not links.cell_mark.any()
    assert not links.overlap.any()
    listed = 0
    for cell, (start, n) in enumerate(zip(links.cell_list, links.cell_n_synapses, strict=True)):
        entries = links.lists[start : start + n]
        synapses = entries >> 1
        np.testing.assert_array_equal(pre[synapses], cell)
        np.testing.assert_array_equal(entries & 1, connected[synapses])
        np.testing.assert_array_equal(links.place[synapses], np.arange(n))
        listed += n
    assert listed == state.counters[1] == (links.place >= 0).sum()
    assert listed == (np.arange(slots) < state.seg_nsyn[:, None]).sum()
    live = np.flatnonzero(state.seg_cell >= 0)
    np.testing.assert_array_equal(
        links.cell_n_segments,
        np.bincount(state.seg_cell[live], minlength=links.cell_n_segments.size),
    )
    ring, node = [], links.newer[0]
    while node:
        ring.append(node - 1)
        node = links.newer[node]
    assert ring == live[np.argsort(state.seg_used[live])].tolist()


@settings(max_examples=80)
@given(run=runs())
def test_kernel_equals_reference(
    run: tuple[TemporalMemoryParams, list[np.ndarray | None], int],
) -> None:
    params, order, first = run
    c = constants(params)
    reference, compiled = init_state(params), init_state(params)
    for tick, columns in enumerate(order, start=first):
        if columns is None:
            reference, compiled = reset(reference), cpu.reset(compiled)
            continue
        reference, expected = advance(params, reference, columns, tick)
        compiled, anomaly = cpu.tick(compiled, c, columns, tick)
        assert anomaly == expected
        assert_same(reference, compiled, tick)
    if compiled.links.cell_mark.size:
        assert_links_true(params, compiled)


def test_of_two_segments_equally_weak_the_lower_goes() -> None:
    params = TemporalMemoryParams(
        n_columns=8,
        cells_per_column=1,
        activation_threshold=2,
        min_threshold=2,
        max_new_synapses=2,
        max_synapses_per_segment=2,
        max_segments_per_cell=2,
        prune="weakest",
    )
    reference, compiled = init_state(params), init_state(params)
    for tick, columns in enumerate(([0, 1], [7], [2, 3], [7], [4, 5], [7])):
        if columns != [7]:
            reference, compiled = reset(reference), cpu.reset(compiled)
        active = np.array(columns, np.int32)
        reference, _ = advance(params, reference, active, tick)
        compiled, _ = cpu.tick(compiled, constants(params), active, tick)
    assert sorted(reference.syn_pre[0, :2]) == [4, 5]
    assert sorted(reference.syn_pre[1, :2]) == [2, 3]
    assert_same(reference, compiled, "the end")


def words_with_noise(n_columns: int, width: int, ticks: int, seed: int) -> np.ndarray:
    """Return columns of overlapping sequences of 10 patterns out of 30, some bits flipped."""
    rng = np.random.default_rng(seed)
    patterns = np.zeros((30, n_columns), bool)
    for row in patterns:
        row[rng.choice(n_columns, width, replace=False)] = True
    starts = rng.integers(0, 20, ticks // 10)
    xs = patterns[(starts[:, None] + np.arange(10)).ravel()]
    return xs ^ (rng.random(xs.shape) < 0.05 * width / n_columns)


def compare_run(params: TemporalMemoryParams, xs: np.ndarray) -> TemporalMemoryState:
    model = TemporalMemory(params)
    reference, compiled = model.init_state(), model.init_state()
    compiled, ys = cpu.scan(model, compiled, xs[:, None], 0)
    for tick, x in enumerate(xs):
        reference, y = model.step(reference, x[None], tick)
        for name, value in y._asdict().items():
            assert getattr(ys, name)[tick] == value, (name, tick)
    assert_same(reference, compiled, "the end")
    assert_links_true(params, compiled)
    return compiled


def test_kernel_equals_reference_over_a_long_run() -> None:
    params = TemporalMemoryParams(
        n_columns=256,
        cells_per_column=8,
        activation_threshold=6,
        min_threshold=4,
        max_new_synapses=9,
        max_synapses_per_segment=12,
        max_segments_per_cell=3,
        predicted_segment_dec=0.01,
    )
    state = compare_run(params, words_with_noise(256, 10, 500, seed=0))
    assert state.seg_cell.size > 64  # the pool has grown
    assert (state.free[: state.seg_cell.size - state.counters[0]] >= 0).all()


def test_kernel_equals_reference_in_a_pool_that_is_full() -> None:
    params = TemporalMemoryParams(
        n_columns=128,
        cells_per_column=4,
        activation_threshold=5,
        min_threshold=3,
        max_new_synapses=7,
        max_synapses_per_segment=7,
        max_segments=100,
        predicted_segment_dec=0.03,
        prune="weakest",
    )
    state = compare_run(params, words_with_noise(128, 8, 300, seed=1))
    assert state.counters[0] == 100


def test_kernel_equals_reference_at_the_size_of_nab() -> None:
    state = compare_run(TemporalMemoryParams.nab(), words_with_noise(2048, 40, 70, seed=2))
    assert state.counters[0] > 500


def test_links_built_anew_changes_nothing() -> None:
    params = TemporalMemoryParams(
        n_columns=128,
        cells_per_column=4,
        activation_threshold=5,
        min_threshold=3,
        max_new_synapses=7,
        max_synapses_per_segment=9,
        max_segments=150,
    )
    model, xs = TemporalMemory(params), words_with_noise(128, 8, 200, seed=3)[:, None]
    whole, _ = cpu.scan(model, model.init_state(), xs, 0)
    state = model.init_state()
    for start in range(0, 200, 20):
        state, _ = cpu.scan(model, model.rebuild(state), xs[start : start + 20], start)
    assert_same(whole, state, "the end")


def test_contract() -> None:
    params = TemporalMemoryParams(
        n_columns=64,
        cells_per_column=4,
        activation_threshold=3,
        min_threshold=2,
        max_new_synapses=5,
        max_synapses_per_segment=8,
        predicted_segment_dec=0.02,
        max_segments=300,
    )
    check_model(TemporalMemory(params), ticks=60, new_process=False)
