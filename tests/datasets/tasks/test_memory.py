from __future__ import annotations

import numpy as np
import pytest

from biomem.datasets.tasks import Adding, Copy, Curriculum, DelayedMatch, Parity
from biomem.engine.random import Rng
from biomem.errors import ParameterError


@pytest.mark.parametrize("cue", ["before", "with"])
@pytest.mark.parametrize("n_blank", [0, 1, 7])
def test_copy_shows_a_list_then_blanks_then_the_delimiter_and_wants_the_list(cue, n_blank):
    task = Copy(batch_size=300, n_recall=3, n_symbols=4, n_blank=n_blank, cue=cue)
    x, y = task(2, Rng(1))
    seen = x.argmax(-1)
    np.testing.assert_array_equal(x.sum(-1), 1.0)
    assert x.shape == (task.n_steps, 300, 6)
    assert task.n_steps == 3 + n_blank + (1 if cue == "before" else 0) + 3
    assert set(np.unique(seen[:3])) == {1, 2, 3, 4}
    assert np.all(seen[3 : 3 + n_blank] == 0)
    assert np.all(seen[3 + n_blank] == 5)
    assert np.all(seen[4 + n_blank :] == 0)
    np.testing.assert_array_equal(y[-3:], seen[:3])
    assert np.all(y[:-3] == 0)
    if cue == "with":
        assert np.all(seen[-3] == 5)


def test_copy_metrics_of_a_perfect_and_of_a_guessing_model():
    task = Copy(batch_size=50, n_recall=5, n_blank=19)
    batch = task(0, Rng(0))
    perfect = np.where(np.arange(10) == batch.y[..., None], 50.0, 0.0)
    got = task.metrics(perfect, batch)
    assert got["recall"] == 1.0
    assert got["cross_entropy"] < 1e-15
    # Blank until the recall, then equal chances for the eight symbols.
    logits = np.full((30, 50, 10), -60.0)
    logits[:25, :, 0] = 60.0
    logits[25:, :, 1:9] = 0.0
    got = task.metrics(logits, batch)
    assert got["cross_entropy"] == pytest.approx(5 * np.log(8) / 30, rel=1e-9)
    assert got["paper_mse"] == got["cross_entropy"] / 50
    assert got["recall"] == pytest.approx(1 / 8, abs=0.08)


@pytest.mark.parametrize("n_steps", [2, 3, 10, 101])
def test_adding_marks_one_number_in_each_half(n_steps):
    x, y = Adding(batch_size=400, n_steps=n_steps)(3, Rng(1))
    half = n_steps // 2
    np.testing.assert_array_equal(x[:half, :, 1].sum(0), 1.0)
    np.testing.assert_array_equal(x[half:, :, 1].sum(0), 1.0)
    np.testing.assert_array_equal(y[:, 0], (x[..., 0] * x[..., 1]).sum(0))
    assert 0 <= x[..., 0].min() <= x[..., 0].max() < 1
    assert np.all(x[..., 1].sum(axis=1) > 0)


def test_the_mean_answer_of_adding_has_the_stated_error():
    task = Adding(batch_size=20_000, n_steps=4)
    batch = task(0, Rng(0))
    assert task.metrics(np.ones((20_000, 1)), batch)["mse"] == pytest.approx(1 / 6, abs=0.004)


def test_parity_answers_are_the_parity_of_the_last_bits():
    task = Parity(batch_size=64, lengths=(1, 2, 5))
    lengths, shares = set(), []
    for step in range(300):
        x, y = task(step, Rng(2))
        assert y.shape == (64, 3)
        bits = x[..., 0].astype(int)
        assert set(np.unique(bits)) <= {0, 1}
        for head, n in enumerate((1, 2, 5)):
            want = [int(sum(lane[-n:])) % 2 for lane in bits.T.tolist()]
            assert y[:, head].tolist() == want
        lengths.add(len(x))
        shares.append(bits.mean())
    assert lengths == set(range(7, 14))
    # Every batch has a share of ones of its own, uniform in [0, 1).
    assert min(shares) < 0.05
    assert max(shares) > 0.95
    assert abs(np.mean(shares) - 0.5) < 0.05


def test_delayed_match_compares_the_nth_bit_from_the_end_with_the_last():
    task = DelayedMatch(batch_size=64, lengths=(1, 2, 4))
    lengths, matches = set(), []
    for step in range(200):
        x, y = task(step, Rng(2))
        bits = x[..., 0]
        for head, n in enumerate((1, 2, 4)):
            assert y[:, head].tolist() == [int(lane[-n] == lane[-1]) for lane in bits.T]
        lengths.add(len(x))
        matches.append(y.mean(axis=0))
    assert lengths == set(range(6, 18))
    np.testing.assert_allclose(np.mean(matches, axis=0), [1.0, 0.5, 0.5], atol=0.02)


def test_longest_sets_the_length_for_fewer_heads():
    task = Parity(lengths=(2,), longest=20)
    assert all(22 <= task.n_steps(step, Rng(0)) < 52 for step in range(100))
    with pytest.raises(ParameterError, match=r"longest must be >= 5"):
        Parity(lengths=(5,), longest=4)


def test_curricula():
    assert list(Curriculum(kind="single", first=3, last=5)) == [(3,), (4,), (5,)]
    assert list(Curriculum(kind="cumulative", first=2, last=4)) == [(2,), (2, 3), (2, 3, 4)]
    assert list(Curriculum(kind="sliding", last=5, width=2)) == [(2, 3), (3, 4), (4, 5)]
    assert list(Curriculum(last=2)) == [(2,)]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Copy(n_recall=0), r"Copy\.n_recall must be an integer >= 1, got 0"),
        (lambda: Copy(n_symbols=1), r"Copy\.n_symbols must be an integer >= 2"),
        (lambda: Copy(n_blank=-1), r"Copy\.n_blank must be an integer >= 0"),
        (lambda: Copy(cue="after"), r"Copy\.cue must be 'before' or 'with'"),
        (lambda: Adding(n_steps=1), r"Adding\.n_steps must be an integer >= 2"),
        (lambda: Parity(lengths=()), r"Parity\.lengths must be a tuple of integers >= 1"),
        (lambda: Parity(lengths=(0,)), r"Parity\.lengths"),
        (lambda: Curriculum(kind="all"), r"Curriculum\.kind must be one of"),
        (lambda: Curriculum(last=1), r"Curriculum\.last must be an integer >= 2"),
        (lambda: Curriculum(kind="sliding", width=9), r"Curriculum\.width must be <= 4"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, named):
    with pytest.raises(ParameterError, match=named):
        make()
