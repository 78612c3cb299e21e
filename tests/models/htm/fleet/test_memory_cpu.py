"""The fleet's Temporal Memory equals the reference, whatever the limits and the input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.models.htm.fleet.memory_cpu import Memory, make_memory_scratch, remember
from biomem.models.htm.temporal_memory.model import advance
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams, constants, row_stride
from biomem.models.htm.temporal_memory.state import init_state, reset

COLUMNS, CELLS, MOST = 24, 3, 6


def params(**changes) -> TemporalMemoryParams:
    values = {
        "n_columns": COLUMNS,
        "cells_per_column": CELLS,
        "activation_threshold": 3,
        "min_threshold": 2,
        "max_new_synapses": 4,
        "max_segments_per_cell": 3,
        "max_synapses_per_segment": 5,
        "max_segments": 40,
        "permanence_inc": 0.2,
        "permanence_dec": 0.1,
        "predicted_segment_dec": 0.15,
        "initial_permanence": 0.45,
        "seed": 2**63 + 5,
    }
    return TemporalMemoryParams(**{**values, **changes})


def blank(p: TemporalMemoryParams) -> Memory:
    c = constants(p)
    rows, slots, cells = c.max_segments, row_stride(p), MOST * CELLS
    return Memory(
        np.full(rows, -1, np.int32),
        np.zeros(rows, np.int32),
        np.full(rows, -1, np.int64),
        np.full((rows, slots), -1, np.int32),
        np.zeros((rows, slots), np.float32),
        np.arange(rows - 1, -1, -1, dtype=np.int32),
        np.zeros(5, np.int64),
        np.full(cells, -1, np.int32),
        np.full(cells, -1, np.int32),
        c.key,
    )


def assert_equal(memory: Memory, state, told: str) -> None:
    rows = len(state.seg_cell)
    for name in ("seg_cell", "seg_nsyn", "seg_used", "syn_pre", "syn_perm"):
        row, want = getattr(memory, name), getattr(state, name)
        np.testing.assert_array_equal(row[:rows], want, err_msg=f"{told}: {name}")
        assert (row[rows:] == (0 if name in ("seg_nsyn", "syn_perm") else -1)).all(), told
    # The reference's pool may still be growing; the stack is the same from its top down.
    live = int(state.counters[0])
    np.testing.assert_array_equal(
        memory.free[len(memory.free) - rows : len(memory.free) - live],
        state.free[: rows - live],
        err_msg=told,
    )
    np.testing.assert_array_equal(memory.counters, state.counters, err_msg=told)
    for name in ("active_cells", "winner_cells"):
        cells, want = getattr(memory, name), getattr(state, name)
        np.testing.assert_array_equal(cells[: len(want)], want, err_msg=f"{told}: {name}")
        assert (cells[len(want) :] == -1).all(), told


def assert_same_run(p: TemporalMemoryParams, patterns, resets) -> None:
    memory, scratch = blank(p), make_memory_scratch(constants(p), MOST)
    state = init_state(p)
    for tick, (columns, begins) in enumerate(zip(patterns, resets, strict=True)):
        raw = remember(memory, constants(p), scratch, columns, begins, tick)
        state, want = advance(p, reset(state) if begins else state, columns, tick)
        assert raw == want, tick
        assert_equal(memory, state, f"tick {tick}")
        assert not scratch.mark.any()


def noisy_cycle(seed: int, ticks: int, noise: float) -> list[np.ndarray]:
    """A sequence of seven patterns, some of which are replaced, thinned or empty."""
    draw = np.random.default_rng(seed)
    cycle = [np.sort(draw.permutation(COLUMNS)[:MOST]) for _ in range(7)]
    out = []
    for tick in range(ticks):
        columns = cycle[tick % 7]
        if draw.random() < noise:
            columns = np.sort(draw.permutation(COLUMNS)[: draw.integers(0, MOST + 1)])
        out.append(columns.astype(np.int32))
    return out


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    noise=st.sampled_from([0.0, 0.2, 1.0]),
    prune=st.sampled_from(["lru", "weakest"]),
    destroy_below=st.sampled_from(["empty", "min_threshold"]),
    burst_winner=st.sampled_from(["least_used", "previous"]),
    max_segments=st.sampled_from([1, 7, 40, 200]),
    max_segments_per_cell=st.sampled_from([1, 2, 9]),
    max_new_synapses=st.sampled_from([3, 5]),
    punishment=st.sampled_from([0.0, 0.15]),
    learn=st.booleans(),
)
def test_every_choice_and_limit(
    seed, noise, prune, destroy_below, burst_winner, learn, punishment, **limits
):
    p = params(
        prune=prune,
        destroy_below=destroy_below,
        burst_winner=burst_winner,
        predicted_segment_dec=punishment,
        learn=learn,
        **limits,
    )
    resets = np.random.default_rng(seed).random(60) < 0.05
    assert_same_run(p, noisy_cycle(seed, 60, noise), resets)


@pytest.mark.slow
@pytest.mark.parametrize("prune", ["lru", "weakest"])
def test_a_long_run_at_all_limits(prune):
    p = params(prune=prune, max_segments=60)
    assert_same_run(p, noisy_cycle(3, 2000, 0.2), np.zeros(2000, bool))


def test_more_matching_segments_than_the_smallest_gap_sorts():
    p = params(max_segments=200, max_segments_per_cell=9, min_threshold=1)
    assert_same_run(p, noisy_cycle(5, 150, 0.5), np.zeros(150, bool))
