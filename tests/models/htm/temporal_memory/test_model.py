"""The reference of the Temporal Memory: what it learns, what it keeps, what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biomem.errors import InputError
from biomem.models.htm.temporal_memory import (
    TemporalMemory,
    TemporalMemoryParams,
    TemporalMemoryState,
)
from biomem.models.htm.temporal_memory.model import (
    activate_dendrites,
    advance,
    init_state,
    predicted_columns,
    reset,
)

WIDTH = 6
SMALL: dict[str, Any] = {
    "n_columns": 60,
    "cells_per_column": 4,
    "activation_threshold": 4,
    "min_threshold": 3,
    "max_new_synapses": 6,
    "max_synapses_per_segment": 12,
    "max_segments_per_cell": 8,
}


def small(**changes: Any) -> TemporalMemoryParams:
    return TemporalMemoryParams(**{**SMALL, **changes})


def pattern(letter: str) -> np.ndarray:
    """Ten letters A..J, each six columns of its own."""
    first = WIDTH * (ord(letter) - ord("A"))
    return np.arange(first, first + WIDTH, dtype=np.int32)


class Memory:
    """A state that moves on as words are read to it."""

    def __init__(self, params: TemporalMemoryParams) -> None:
        self.params, self.state, self.tick = params, init_state(params), 0

    def read(self, word: str, *, begin: bool = False) -> list[float]:
        if begin:
            self.state = reset(self.state)
        scores = []
        for letter in word:
            self.state, score = advance(self.params, self.state, pattern(letter), self.tick)
            self.tick += 1
            scores.append(score)
        return scores

    def foresees(self) -> str:
        columns = predicted_columns(self.params, self.state)
        return "".join(sorted({chr(ord("A") + int(c) // WIDTH) for c in columns}))


def check_state(params: TemporalMemoryParams, state: TemporalMemoryState) -> None:
    """Assert what must hold of any state."""
    live = state.seg_cell >= 0
    n_segments, n_synapses = state.counters[:2]
    assert live.sum() == n_segments
    assert state.seg_nsyn.sum() == n_synapses
    n_free = live.size - n_segments
    stack = state.free[:n_free]
    assert sorted(stack) == np.flatnonzero(~live).tolist()
    assert (state.free[n_free:] == -1).all()
    assert len(set(state.seg_used[live])) == n_segments
    assert (state.seg_used[~live] == -1).all()
    used = np.arange(state.syn_pre.shape[1]) < state.seg_nsyn[:, None]
    assert (state.seg_nsyn[~live] == 0).all()
    assert (state.syn_pre[~used] == -1).all()
    assert (state.syn_perm[~used] == 0).all()
    assert (state.syn_perm[used] > 0).all()
    assert (state.syn_perm <= 1).all()
    assert (state.syn_pre[used] >= 0).all()
    assert state.seg_nsyn.max() <= params.max_synapses_per_segment
    for row, n in zip(state.syn_pre, state.seg_nsyn, strict=True):
        assert np.unique(row[:n]).size == n
    per_cell = np.bincount(state.seg_cell[live], minlength=1)
    assert per_cell.max() <= params.max_segments_per_cell
    for cells in (state.active_cells, state.winner_cells):
        assert (np.diff(cells) > 0).all()
    assert np.isin(state.winner_cells, state.active_cells).all()


def test_two_columns_in_turn_follow_the_equations_by_hand() -> None:
    params = TemporalMemoryParams(
        n_columns=2,
        cells_per_column=1,
        activation_threshold=1,
        min_threshold=1,
        max_new_synapses=1,
        max_synapses_per_segment=1,
    )
    state, scores, permanences = init_state(params), [], []
    for tick in range(12):
        state, score = advance(params, state, np.array([tick % 2]), tick)
        scores.append(score)
        permanences.append(float(state.syn_perm[0, 0]))
    # The segment on column 1 is made at tick 1 with 0.21 and gains 0.1 at ticks 3, 5, 7; a tick is
    # foreseen once 0.51 is reached, at tick 9. Column 0 lags by one.
    assert scores == [1.0] * 9 + [0.0] * 3
    steps = np.array([0, 0.21, 0.21, 0.31, 0.31, 0.41, 0.41, 0.51, 0.51, 0.61, 0.61, 0.71])
    np.testing.assert_allclose(permanences, steps, atol=1e-6)
    assert state.counters[:2].tolist() == [2, 2]
    assert state.syn_pre[:2, 0].tolist() == [0, 1]


def test_a_repeated_sequence_becomes_foreseen() -> None:
    memory = Memory(small())
    scores = [memory.read("ABCDEFGHIJ", begin=True) for _ in range(12)]
    assert scores[0] == [1.0] * 10
    assert scores[-1] == [1.0] + [0.0] * 9  # nothing foretells how a sequence begins
    assert memory.state.active_cells.size == WIDTH
    check_state(memory.params, memory.state)


def test_an_endless_loop_is_foreseen_once_its_contexts_close() -> None:
    memory = Memory(small())
    scores = np.array([memory.read("ABCD") for _ in range(40)])
    assert scores[0].min() == 1.0
    assert scores[10].mean() == 0.25  # known to be a loop, not yet how often it turned
    assert scores[-5:].max() == 0.0


def test_what_was_never_seen_bursts() -> None:
    memory = Memory(small())
    for _ in range(12):
        memory.read("ABCDEFGH", begin=True)
    memory.read("ABC", begin=True)
    assert memory.foresees() == "D"
    assert memory.read("J") == [1.0]
    assert memory.state.active_cells.size == WIDTH * memory.params.cells_per_column
    assert memory.state.winner_cells.size == WIDTH


def test_anomaly_is_the_share_of_columns_that_were_not_foreseen() -> None:
    memory = Memory(small())
    for _ in range(12):
        memory.read("AB", begin=True)
    memory.read("A", begin=True)
    mixed = np.sort(np.concatenate([pattern("B")[:4], pattern("J")[:2]]))
    _, score = advance(memory.params, memory.state, mixed, memory.tick)
    assert score == 2 / 6


def test_an_empty_tick_scores_zero_and_breaks_the_chain() -> None:
    memory = Memory(small())
    for _ in range(12):
        memory.read("AB", begin=True)
    memory.read("A", begin=True)
    state, score = advance(memory.params, memory.state, np.empty(0, np.int32), memory.tick)
    assert score == 0.0
    assert state.active_cells.size == 0
    assert predicted_columns(memory.params, state).size == 0


@pytest.mark.parametrize(
    ("cells_per_column", "after_abc", "after_xbc"), [(4, "D", "G"), (1, "DG", "DG")]
)
def test_shared_middles_are_told_apart_only_with_several_cells(
    cells_per_column: int, after_abc: str, after_xbc: str
) -> None:
    memory = Memory(small(cells_per_column=cells_per_column, predicted_segment_dec=0.03))
    for _ in range(40):
        memory.read("ABCD", begin=True)
        memory.read("FBCG", begin=True)
    memory.read("ABC", begin=True)
    assert memory.foresees() == after_abc
    memory.read("FBC", begin=True)
    assert memory.foresees() == after_xbc


def test_reset_keeps_sequences_apart() -> None:
    apart, joined = Memory(small()), Memory(small())
    for _ in range(40):
        for word in ("AB", "CD"):
            apart.read(word, begin=True)
            joined.read(word)
    apart.read("AB", begin=True)
    joined.read("AB")
    assert apart.foresees() == ""
    assert joined.foresees() == "C"


def test_reset_touches_no_synapse() -> None:
    memory = Memory(small())
    memory.read("ABCABCABC")
    after = reset(memory.state)
    assert after.active_cells.size == after.winner_cells.size == 0
    for name in ("seg_cell", "syn_pre", "syn_perm", "free", "counters"):
        assert getattr(after, name) is getattr(memory.state, name)


@pytest.mark.parametrize(("punishment", "expected"), [(0.0, "BC"), (0.05, "C")])
def test_false_predictions_are_forgotten_only_when_punished(
    punishment: float, expected: str
) -> None:
    memory = Memory(small(predicted_segment_dec=punishment))
    for word in ["AB"] * 12 + ["AC"] * 30:
        memory.read(word, begin=True)
    memory.read("A", begin=True)
    assert memory.foresees() == expected


def test_nothing_is_learned_with_learning_off() -> None:
    memory = Memory(small())
    memory.read("ABCDABCDABCD")
    frozen, before = small(learn=False), memory.state
    state, _ = advance(frozen, before, pattern("J"), memory.tick)
    state, _ = advance(frozen, state, pattern("A"), memory.tick + 1)
    for name in ("seg_cell", "seg_used", "syn_pre", "syn_perm", "free"):
        np.testing.assert_array_equal(getattr(state, name), getattr(before, name))


def test_steps_leave_the_old_state_alone() -> None:
    memory = Memory(small(predicted_segment_dec=0.05))
    memory.read("ABCABDABCABD")
    before = [a.copy() for a in memory.state[:-1]]
    advance(memory.params, memory.state, pattern("C"), memory.tick)
    for old, now in zip(before, memory.state[:-1], strict=True):
        np.testing.assert_array_equal(old, now)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_the_pool_keeps_its_bound_and_its_books(limit: int) -> None:
    params = small(max_segments=limit, max_segments_per_cell=2)
    rng, state = np.random.default_rng(1), init_state(params)
    for tick in range(150):
        columns = np.flatnonzero(rng.random(60) < 0.1)
        state, _ = advance(params, state, columns, tick)
        check_state(params, state)
    assert state.counters[0] == state.seg_cell.size == limit


def test_no_segment_is_made_where_every_one_matches() -> None:
    params = TemporalMemoryParams(
        n_columns=4,
        cells_per_column=1,
        activation_threshold=1,
        min_threshold=1,
        max_new_synapses=1,
        max_synapses_per_segment=1,
        max_segments=1,
    )
    state = init_state(params)
    for tick, column in enumerate((0, 1, 0)):
        state, _ = advance(params, state, np.array([column]), tick)
    owner = state.seg_cell[0]
    assert owner == 0  # moved from column 1 at tick 2, since nothing matched
    state, _ = advance(params, state._replace(active_cells=state.syn_pre[0, :1]), np.array([3]), 3)
    assert state.seg_cell[0] == owner


@pytest.mark.parametrize(("prune", "gone"), [("lru", 0), ("weakest", 1)])
def test_a_full_cell_gives_up_the_stale_or_the_weak_segment(prune: str, gone: int) -> None:
    params = TemporalMemoryParams(
        n_columns=8,
        cells_per_column=1,
        activation_threshold=2,
        min_threshold=2,
        max_new_synapses=2,
        max_synapses_per_segment=2,
        max_segments_per_cell=2,
        prune=prune,
    )
    state = init_state(params)
    tick = 0
    for pair in ([0, 1], [0, 1], [2, 3]):  # the older segment, onto 0 and 1, is the stronger
        for columns in (pair, [7]):
            state, _ = advance(params, state, np.array(columns), tick)
            tick += 1
        state = reset(state)
    assert sorted(state.syn_pre[0, :2]) == [0, 1]
    for columns in ([4, 5], [7]):
        state, _ = advance(params, state, np.array(columns), tick)
        tick += 1
    assert sorted(state.syn_pre[gone, :2]) == [4, 5]
    check_state(params, state)


@pytest.mark.parametrize(("rule", "left"), [("empty", 1), ("min_threshold", 0)])
def test_a_segment_goes_when_empty_or_when_it_can_no_longer_match(rule: str, left: int) -> None:
    params = TemporalMemoryParams(
        n_columns=8,
        cells_per_column=1,
        activation_threshold=2,
        min_threshold=2,
        max_new_synapses=2,
        max_synapses_per_segment=2,
        predicted_segment_dec=0.2,
        destroy_below=rule,
    )
    state = init_state(params)
    for tick, columns in enumerate(([0, 1], [7])):
        state, _ = advance(params, state, np.array(columns), tick)
    weak = state.syn_perm.copy()
    weak[0, 0] = 0.1
    state = reset(state._replace(syn_perm=weak))
    for tick, columns in enumerate(([0, 1], [6]), start=2):
        state, _ = advance(params, state, np.array(columns), tick)
    # Column 6 grew the one other segment; the one on column 7 lost the weak synapse.
    assert (state.seg_cell == 7).sum() == left
    check_state(params, state)


def test_overlaps_count_active_and_connected_synapses() -> None:
    params = small()
    state = init_state(params)
    state.seg_cell[[3, 5]] = [20, 8]
    state.seg_nsyn[[3, 5]] = [4, 5]
    state.syn_pre[3, :4], state.syn_perm[3, :4] = [0, 1, 2, 9], [0.9, 0.5, 0.49, 0.9]
    state.syn_pre[5, :5], state.syn_perm[5, :5] = [0, 1, 2, 3, 9], 0.5
    state = state._replace(active_cells=np.arange(4, dtype=np.int32))
    dendrites = activate_dendrites(params, state)
    assert dendrites.potential[[3, 5]].tolist() == [3, 4]
    assert dendrites.connected[[3, 5]].tolist() == [2, 4]
    assert dendrites.matching.tolist() == [5, 3]  # by cell, then by segment
    assert dendrites.active.tolist() == [5]


def test_winners_of_unknown_columns_are_drawn_evenly() -> None:
    params = TemporalMemoryParams(n_columns=2000, cells_per_column=4)
    state, _ = advance(params, init_state(params), np.arange(2000), 0)
    counts = np.bincount(state.winner_cells % 4, minlength=4)
    # Chi squared with 3 degrees of freedom; 16.3 is passed once in a thousand.
    assert ((counts - 500) ** 2 / 500).sum() < 16.3


def test_growth_samples_the_winners_evenly() -> None:
    params = TemporalMemoryParams(
        n_columns=1010,
        cells_per_column=1,
        activation_threshold=1,
        min_threshold=1,
        max_new_synapses=4,
        max_synapses_per_segment=4,
    )
    state, _ = advance(params, init_state(params), np.arange(10), 0)
    state, _ = advance(params, state, np.arange(10, 1010), 1)
    counts = np.bincount(state.syn_pre[state.seg_cell >= 0].ravel(), minlength=10)
    assert counts.sum() == 4000
    # Chi squared with 9 degrees of freedom; 27.9 is passed once in a thousand.
    assert ((counts - 400) ** 2 / 400).sum() < 27.9


@pytest.mark.parametrize("rule", ["least_used", "previous"])
def test_an_input_that_stands_still_keeps_its_winner_only_on_request(rule: str) -> None:
    params = small(burst_winner=rule, cells_per_column=32, learn=False)
    first, _ = advance(params, init_state(params), pattern("A"), 0)
    second, _ = advance(params, first, pattern("A"), 1)
    same = np.array_equal(first.winner_cells, second.winner_cells)
    assert same == (rule == "previous")


def test_output_counts_what_the_state_holds() -> None:
    model = TemporalMemory(small())
    state = model.init_state()
    x = np.zeros((1, 60), bool)
    for tick in range(40):
        x[:] = False
        x[0, pattern("ABCD"[tick % 4])] = True
        state, y = model.step(state, x, tick)
    assert y.anomaly.tolist() == [0.0]
    assert y.n_predicted.tolist() == y.n_active_cells.tolist() == [WIDTH]
    assert y.n_segments[0] == (state.seg_cell >= 0).sum()
    assert y.n_synapses[0] == state.seg_nsyn.sum()
    assert model.work(state, 40, 1).synaptic_events > 0


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([3, 1], "ascending and distinct"),
        ([1, 1], "ascending and distinct"),
        ([-1, 2], r"in \[0, 60\)"),
        ([5, 60], r"in \[0, 60\)"),
        ([0.0, 1.0], "one-dimensional array of integers, got float64"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ([True, False], "np.flatnonzero"),
    ],
)
def test_columns_that_are_no_sparse_pattern_are_refused(columns: Any, told: str) -> None:
    params = small()
    with pytest.raises(InputError, match=told):
        advance(params, init_state(params), np.array(columns), 0)
