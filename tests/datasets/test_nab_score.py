"""The NAB scorer: the published scores, corpora small enough for a pencil, and every refusal."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.datasets import NAB
from biomem.datasets.nab_score import (
    Profile,
    SeriesLabels,
    average_precision,
    probation,
    score_at,
    score_corpus,
    unit_weights,
)
from biomem.errors import InputError, ParameterError

STANDARD = Profile(tp=1.0, fn=1.0, fp=0.11)
LOW_FN = Profile(tp=1.0, fn=2.0, fp=0.11)


def sig(y: float) -> float:
    return 2.0 / (1.0 + math.exp(5.0 * y)) - 1.0


def one_window(*fired: int) -> tuple[dict, dict]:
    """One series of 100 records, probation 15, window at rows 50..59; score 0.9 where fired."""
    scores = np.zeros(100)
    scores[list(fired)] = 0.9
    return {"a": scores}, {"a": SeriesLabels(100, np.array([[50, 59]]))}


@pytest.fixture(scope="module")
def corpus(nab: Path) -> NAB:
    return NAB(nab)


@pytest.fixture(scope="module")
def numenta(nab: Path, corpus: NAB) -> dict[str, np.ndarray]:
    with np.load(nab / "results" / "numenta_scores.npz") as published:
        return {
            file: published[file.removesuffix(".csv").replace("/", "__") + "|score"]
            for file in corpus.files
        }


@pytest.mark.parametrize(
    ("profile", "score"),
    [("standard", 70.101), ("reward_low_FP_rate", 63.209), ("reward_low_FN_rate", 74.320)],
)
def test_numenta_has_its_known_score(
    corpus: NAB, numenta: dict, profile: str, score: float
) -> None:
    result = corpus.score(numenta, profile)
    assert result.score == pytest.approx(score, abs=5e-4)
    assert result.windows_found + result.windows_missed == 116
    assert corpus.score_at(numenta, result.threshold, profile) == result


@pytest.mark.parametrize("profile", ["standard", "reward_low_FP_rate", "reward_low_FN_rate"])
def test_published_thresholds_give_the_published_sums(
    corpus: NAB, numenta: dict, nab: Path, profile: str
) -> None:
    published = json.loads((nab / "config" / "thresholds.json").read_text())["numenta"][profile]
    final = json.loads((nab / "results" / "final_results.json").read_text())["numenta"][profile]
    result = corpus.score_at(numenta, published["threshold"], profile)
    assert result.raw == pytest.approx(published["score"], abs=1e-9)
    assert result.score == pytest.approx(final, abs=1e-9)
    assert corpus.score(numenta, profile).raw >= result.raw - 1e-9


@pytest.mark.parametrize("profile", ["standard", "reward_low_FP_rate", "reward_low_FN_rate"])
def test_a_detector_that_says_nothing_scores_zero(corpus: NAB, profile: str) -> None:
    constant = {file: np.full(rows.records, 0.5) for file, rows in corpus.rows.items()}
    result = corpus.score(constant, profile)
    assert result.score == pytest.approx(0.0, abs=1e-9)
    assert (result.threshold, result.windows_found, result.false_positives) == (1.1, 0, 0)


def test_a_perfect_detector_scores_one_hundred(corpus: NAB) -> None:
    scores = {file: np.zeros(rows.records) for file, rows in corpus.rows.items()}
    for file, rows in corpus.rows.items():
        scores[file][rows.windows[:, 0]] = 1.0
    assert corpus.score(scores).score == pytest.approx(100.0, abs=1e-9)
    assert corpus.score(scores, LOW_FN).perfect == 116.0


def test_precision_of_numenta_beats_chance(corpus: NAB, numenta: dict) -> None:
    chance = average_precision({f: np.zeros(len(s)) for f, s in numenta.items()}, corpus.rows)
    assert chance == pytest.approx(0.1, abs=0.005)
    assert average_precision(numenta, corpus.rows) > 1.5 * chance


@pytest.mark.parametrize(
    ("fired", "raw"),
    [
        ((), -1.0),
        ((50,), 1.0),
        ((59,), sig(-1 / 10) / sig(-1)),
        ((54, 57), sig(-6 / 10) / sig(-1)),
        ((49,), -1.0 - 0.11),
        ((60,), -1.0 + 0.11 * sig(1 / 9)),
        ((50, 87), 1.0 - 0.11),
        ((50, 86), 1.0 + 0.11 * sig(3.0)),
        ((50, 77), 1.0 + 0.11 * sig(2.0)),
        ((0, 14), -1.0),
        ((15,), -1.0 - 0.11),
    ],
)
def test_one_window_by_hand(fired: tuple[int, ...], raw: float) -> None:
    scores, labels = one_window(*fired)
    result = score_at(scores, labels, 0.9, STANDARD)
    assert result.raw == pytest.approx(raw, abs=1e-12)
    assert result.score == pytest.approx(100 * (raw + 1) / 2, abs=1e-10)


def test_counts_by_hand() -> None:
    scores, labels = one_window(3, 20, 52, 53, 70)
    result = score_at(scores, labels, 0.5, LOW_FN)
    assert (result.windows_found, result.windows_missed, result.false_positives) == (1, 0, 2)
    assert (result.null, result.perfect) == (-2.0, 1.0)
    silent = score_at(scores, labels, 0.95, LOW_FN)
    assert (silent.raw, silent.score, silent.windows_missed) == (-2.0, 0.0, 1)


def test_cost_of_a_late_alarm_saturates_at_three_widths() -> None:
    weights, window = unit_weights(SeriesLabels(100, np.array([[50, 59]])))
    assert weights[59 + 27] == pytest.approx(sig(3.0), abs=1e-15)
    assert weights[59 + 28] == -1.0
    assert (weights[:50] == -1.0).all()
    assert (window[50:60] == 0).all()
    assert (window >= 0).sum() == 10


def test_the_last_window_before_an_alarm_sets_its_cost() -> None:
    weights, window = unit_weights(SeriesLabels(60, np.array([[10, 19], [25, 29], [40, 40]])))
    assert weights[24] == pytest.approx(sig(5 / 9))
    assert weights[30] == pytest.approx(sig(1 / 4))
    assert weights[40] == 1.0
    assert (weights[41:] == -1.0).all()
    assert window[[24, 25, 29, 30, 40]].tolist() == [-1, 1, 1, -1, 2]


def test_equal_scores_fire_together() -> None:
    # Row 50 alone would be worth 1, but its score is shared by nine false alarms in front of it.
    scores, labels = one_window(50, *range(20, 29))
    result = score_corpus(scores, labels, STANDARD)
    assert result.threshold == 0.9
    assert result.raw == pytest.approx(1.0 - 9 * 0.11)
    scores, labels = one_window(50, *range(20, 45))
    assert score_corpus(scores, labels, STANDARD).threshold == 1.1


def test_the_highest_of_equally_good_thresholds_wins() -> None:
    scores, labels = one_window(50)
    scores["a"][[51, 52]] = 0.5, 0.3
    assert score_corpus(scores, labels, STANDARD).threshold == 0.9


def test_a_window_within_probation_is_neither_found_nor_missed() -> None:
    labels = {"a": SeriesLabels(100, np.array([[2, 9], [50, 59]]))}
    scores = np.zeros(100)
    scores[[3, 50]] = 1.0
    result = score_corpus({"a": scores}, labels, STANDARD)
    assert (result.score, result.perfect, result.windows_found) == (100.0, 1.0, 1)


def test_a_window_half_in_probation_counts_what_lies_after_it() -> None:
    labels = {"a": SeriesLabels(100, np.array([[10, 19]]))}
    scores = np.zeros(100)
    scores[10:15] = 1.0
    assert score_at({"a": scores}, labels, 1.0, STANDARD).raw == -1.0
    scores[15] = 1.0
    want = sig(-5 / 10) / sig(-1)
    assert score_at({"a": scores}, labels, 1.0, STANDARD).raw == pytest.approx(want)


@pytest.mark.parametrize(("records", "want"), [(0, 0), (6, 0), (7, 1), (4999, 749), (5000, 750)])
def test_probation(records: int, want: int) -> None:
    assert probation(records) == want


@st.composite
def corpora(draw: st.DrawFn) -> tuple[dict, dict]:
    scores, labels = {}, {}
    for name in "ab"[: draw(st.integers(1, 2))]:
        n = draw(st.integers(12, 40))
        edges = sorted(draw(st.sets(st.integers(5, n - 1), min_size=2, max_size=6)))
        windows = np.array(edges[: len(edges) // 2 * 2]).reshape(-1, 2)
        labels[name] = SeriesLabels(n, windows)
        # Few distinct levels, so that ties across windows and series are common.
        levels = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
        scores[name] = np.array(levels) / 4
    return scores, labels


def by_loops(scores: dict, labels: dict, threshold: float, profile: Profile) -> float:
    total = 0.0
    for name, (n, windows) in labels.items():
        fired = [i for i in range(min(int(0.15 * n), 750), n) if scores[name][i] >= threshold]
        for a, b in windows:
            inside = [sig(-(b - i + 1) / (b - a + 1)) / sig(-1) for i in fired if a <= i <= b]
            total += profile.tp * max(inside) if inside else -profile.fn
        for i in fired:
            if any(a <= i <= b for a, b in windows):
                continue
            past = [(a, b) for a, b in windows if b < i]
            cost = -1.0
            if past:
                a, b = past[-1]
                y = (i - b) / (b - a) if b > a else math.inf
                cost = sig(y) if y <= 3 else -1.0
            total += profile.fp * cost
    return total


@given(corpora(), st.sampled_from([STANDARD, LOW_FN, Profile(tp=1.0, fn=1.0, fp=0.22)]))
def test_sweep_equals_trying_every_threshold(drawn: tuple[dict, dict], profile: Profile) -> None:
    scores, labels = drawn
    tried = [1.1, 1.0, 0.75, 0.5, 0.25, 0.0]
    sums = [by_loops(scores, labels, threshold, profile) for threshold in tried]
    for threshold, want in zip(tried, sums, strict=True):
        assert score_at(scores, labels, threshold, profile).raw == pytest.approx(want, abs=1e-12)
    result = score_corpus(scores, labels, profile)
    assert result.raw == pytest.approx(max(sums), abs=1e-12)
    first = next(t for t, s in zip(tried, sums, strict=True) if s >= max(sums) - 1e-12)
    assert result.threshold == first


def test_average_precision_by_hand() -> None:
    labels = {"a": SeriesLabels(6, np.array([[1, 2]]))}
    # Ranked: hit, miss, {hit, miss} tied: points (1/2, 1) and (1, 2/4).
    scores = {"a": np.array([0.1, 0.9, 0.5, 0.8, 0.5, 0.0])}
    assert average_precision(scores, labels) == pytest.approx(0.5 * 1.0 + 0.5 * 0.5)


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ({}, "misses 'a'"),
        ({"a": np.zeros(100), "b": np.zeros(3)}, "has unknown 'b'"),
        ({"a": np.zeros(99)}, r"shape \(100,\)"),
        ({"a": np.full(100, np.nan)}, r"in \[0, 1\], got nan at row 0"),
        ({"a": np.linspace(0, 2, 100)}, r"in \[0, 1\], got 1\.01"),
    ],
)
@pytest.mark.parametrize("function", [score_corpus, average_precision])
def test_refuses_scores_that_do_not_fit(function, scores: dict, text: str) -> None:
    _, labels = one_window()
    arguments = (scores, labels, STANDARD) if function is score_corpus else (scores, labels)
    with pytest.raises(InputError, match=text):
        function(*arguments)


@pytest.mark.parametrize(
    "windows",
    [
        [[50, 100]],
        [[-1, 5]],
        [[60, 50]],
        [[10, 20], [20, 30]],
        [[30, 40], [10, 20]],
        [[1.0, 2.0]],
        [3, 4],
    ],
)
def test_refuses_windows_that_do_not_fit(windows: list) -> None:
    labels = {"a": SeriesLabels(100, np.array(windows))}
    with pytest.raises(InputError, match="windows of 'a' must be integer rows"):
        score_corpus({"a": np.zeros(100)}, labels, STANDARD)


@pytest.mark.parametrize("windows", [[], [[0, 5]]])
def test_refuses_a_corpus_without_a_countable_window(windows: list) -> None:
    labels = {"a": SeriesLabels(100, np.array(windows))}
    with pytest.raises(InputError, match="no anomaly window"):
        score_corpus({"a": np.zeros(100)}, labels, STANDARD)


@pytest.mark.parametrize("bad", [{"tp": 0.0}, {"fn": -1.0}, {"fp": math.nan}, {"tp": math.inf}])
def test_refuses_a_profile_that_rewards_nothing(bad: dict) -> None:
    with pytest.raises(ParameterError, match=f"Profile.{next(iter(bad))} must be"):
        Profile(**{"tp": 1.0, "fn": 1.0, "fp": 0.1, **bad})
