"""The score of the Numenta Anomaly Benchmark, and a figure that needs no threshold.

In a series of ``n`` records the first ``min(floor(0.15 n), 750)`` are probation and never looked
at. A record is a detection when its score is at least the threshold. With
``sig(y) = 2 / (1 + exp(5 y)) - 1``:

- a detection at row ``i`` of a window of rows ``a..b``, ``w = b - a + 1`` wide, is worth
  ``A_TP * sig(-(b - i + 1) / w) / sig(-1)``: 1 at the first row, near 0 at the last. A window
  counts its best detection, or ``-A_FN`` if it has none;
- a detection outside every window costs ``A_FP * sig((i - b) / (w - 1))`` with ``b, w`` of the
  last window before it: little just after a window; ``-A_FP`` later than three widths, or when no
  window came before.

The sum over the corpus is scaled so that 0 is a detector that never fires and 100 a perfect one.
One threshold serves the whole corpus: the one that maximises the sum, found by trying every
distinct score.

The threshold is thus tuned on the test data, and a window of a tenth of the series is easily hit by
luck; state `average_precision` next to the score.

Source: Lavin, Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta Anomaly
Benchmark", ICMLA 2015, with the conventions of the published results (NAB 1.1).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from biomem.errors import InputError, require
from biomem.typing import FloatArray, IntArray

__all__ = [
    "NabScore",
    "Profile",
    "SeriesLabels",
    "average_precision",
    "probation",
    "score_at",
    "score_corpus",
    "unit_weights",
]

NEVER = 1.1
"""A threshold no score in [0, 1] reaches."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """What finding a window earns (``tp`` > 0), missing one and a false alarm cost (>= 0).

    Examples
    --------
    >>> Profile(tp=1.0, fn=2.0, fp=0.11)
    Profile(tp=1.0, fn=2.0, fp=0.11)
    """

    tp: float
    fn: float
    fp: float

    def __post_init__(self) -> None:
        require(self, "tp", 0 < self.tp < float("inf"), "a finite number > 0")
        for name in ("fn", "fp"):
            require(self, name, 0 <= getattr(self, name) < float("inf"), "a finite number >= 0")


class SeriesLabels(NamedTuple):
    """Number of records of a series, and the rows of its anomaly windows."""

    records: int
    windows: IntArray
    """Shape ``(windows, 2)``: first and last row of each, ascending and disjoint."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NabScore:
    """Result of scoring a corpus at one threshold."""

    score: float
    """Normalised: 0 for a detector that never fires, 100 for a perfect one."""
    threshold: float
    raw: float
    """The sum that `score` is scaled from."""
    null: float
    """`raw` of a detector that never fires."""
    perfect: float
    """`raw` of a perfect detector."""
    windows_found: int
    windows_missed: int
    false_positives: int
    """Records outside every window with a score at or above the threshold."""


class _Corpus(NamedTuple):
    """All records after probation, of all series, end to end."""

    scores: FloatArray
    weights: FloatArray
    window: IntArray
    windows: int


def probation(records: int) -> int:
    """Return the number of records at the start of a series that are never scored.

    Examples
    --------
    >>> probation(1000), probation(22695)
    (150, 750)
    """
    return min(int(0.15 * records), 750)


def _sigmoid(y: FloatArray) -> FloatArray:
    return 2.0 / (1.0 + np.exp(5.0 * y)) - 1.0


def unit_weights(labels: SeriesLabels) -> tuple[FloatArray, IntArray]:
    """Return what a detection at each row is worth before the profile's factor.

    Returns
    -------
    weights : float64 array, shape ``(records,)``
        In (0, 1] inside a window, in [-1, 0) outside.
    window : int64 array, shape ``(records,)``
        Index of the window a row lies in, or -1.
    """
    weights = np.full(labels.records, -1.0)
    window = np.full(labels.records, -1)
    one = _sigmoid(np.array(-1.0))
    for k, (a, b) in enumerate(labels.windows):
        width = b - a + 1
        rows = np.arange(a, b + 1)
        weights[a : b + 1] = _sigmoid(-(b - rows + 1) / width) / one
        window[a : b + 1] = k
        # Three widths on, the cost is full; a window of one row has no "just after".
        after = np.arange(b + 1, min(b + 3 * (width - 1) + 1, labels.records))
        weights[after] = _sigmoid((after - b) / (width - 1)) if width > 1 else -1.0
        weights[b + 1 + len(after) :] = -1.0
    return weights, window


def score_corpus(
    scores: Mapping[str, Any], labels: Mapping[str, SeriesLabels], profile: Profile
) -> NabScore:
    """Return the NAB score of a detector at the best threshold for the whole corpus.

    Parameters
    ----------
    scores : mapping of series name to array, shape ``(records,)``
        Anomaly scores in [0, 1] of every series in `labels`, and of no other.
    labels : mapping of series name to SeriesLabels
    profile : Profile

    Returns
    -------
    NabScore
        Of the highest threshold among the best; 1.1 when not firing at all is best.

    Raises
    ------
    InputError
        A series is missing or unknown, an array has the wrong length, a score lies outside [0, 1];
        windows that overlap or lie outside their series; no window at all.
    """
    corpus = _collect(scores, labels)
    order = np.argsort(-corpus.scores, kind="stable")
    ranked, window = corpus.scores[order], corpus.window[order]
    weights = corpus.weights[order]
    gain = np.where(window < 0, profile.fp * weights, 0.0)
    by_window = np.argsort(window, kind="stable")
    bounds = np.searchsorted(window[by_window], np.arange(corpus.windows + 1))
    for first, last in itertools.pairwise(bounds):
        rows = by_window[first:last]
        best = profile.tp * np.maximum.accumulate(weights[rows])
        gain[rows] = np.diff(best, prepend=-profile.fn)
    ends = _ends_of_ties(ranked)
    above_null = np.append(0.0, np.cumsum(gain)[ends])
    thresholds = np.append(NEVER, ranked[ends])
    return _score(corpus, float(thresholds[np.argmax(above_null)]), profile)


def score_at(
    scores: Mapping[str, Any],
    labels: Mapping[str, SeriesLabels],
    threshold: float,
    profile: Profile,
) -> NabScore:
    """Return the NAB score at a threshold chosen elsewhere; otherwise as `score_corpus`."""
    return _score(_collect(scores, labels), float(threshold), profile)


def average_precision(scores: Mapping[str, Any], labels: Mapping[str, SeriesLabels]) -> float:
    """Return the area under the precision-recall curve over records, in [0, 1].

    A record after probation is positive when it lies in a window; equal scores share one point of
    the curve, and the area is the step sum over its points. A detector without knowledge scores the
    share of positive records.
    """
    corpus = _collect(scores, labels)
    order = np.argsort(-corpus.scores, kind="stable")
    ranked = corpus.scores[order]
    hits = np.cumsum(corpus.window[order] >= 0)
    ends = _ends_of_ties(ranked)
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / hits[-1]
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


def _ends_of_ties(ranked: FloatArray) -> IntArray:
    """Return the last index of every run of equal values."""
    return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def _score(corpus: _Corpus, threshold: float, profile: Profile) -> NabScore:
    fired = corpus.scores >= threshold
    inside = corpus.window >= 0
    best = np.zeros(corpus.windows)
    hits = fired & inside
    np.maximum.at(best, corpus.window[hits], corpus.weights[hits])
    found = int(np.count_nonzero(best))
    missed = corpus.windows - found
    alarms = fired & ~inside
    raw = float(
        profile.tp * best.sum() - profile.fn * missed + profile.fp * corpus.weights[alarms].sum()
    )
    null, perfect = -profile.fn * corpus.windows, profile.tp * corpus.windows
    return NabScore(
        score=100.0 * (raw - null) / (perfect - null),
        threshold=threshold,
        raw=raw,
        null=null,
        perfect=perfect,
        windows_found=found,
        windows_missed=missed,
        false_positives=int(np.count_nonzero(alarms)),
    )


def _collect(scores: Mapping[str, Any], labels: Mapping[str, SeriesLabels]) -> _Corpus:
    """Check everything and lay the corpus end to end, without the probation records."""
    missing, unknown = sorted(set(labels) - set(scores)), sorted(set(scores) - set(labels))
    if missing or unknown:
        what = f"misses {missing[0]!r}" if missing else f"has unknown {unknown[0]!r}"
        raise InputError(
            f"scores must name exactly the {len(labels)} labelled series, but {what} "
            f"({len(missing)} missing, {len(unknown)} unknown); to score a part of a corpus, pass "
            "that part of the labels"
        )
    kept, weights, window, windows = [], [], [], 0
    for name, given in labels.items():
        label = _check_windows(name, given)
        start = probation(label.records)
        worth, number = unit_weights(label)
        # A window wholly within probation can be neither found nor missed.
        counted = label.windows[:, 1] >= start
        renumbered = np.append(windows + np.cumsum(counted) - 1, -1)
        windows += int(counted.sum())
        kept.append(_check_scores(name, scores[name], label)[start:])
        weights.append(worth[start:])
        window.append(renumbered[number][start:])
    if windows == 0:
        raise InputError("labels hold no anomaly window after probation, so no score is defined")
    return _Corpus(np.concatenate(kept), np.concatenate(weights), np.concatenate(window), windows)


def _check_scores(name: str, scores: Any, label: SeriesLabels) -> FloatArray:
    given = np.asarray(scores, dtype=np.float64)
    if given.shape != (label.records,):
        raise InputError(
            f"scores of {name!r} must have shape ({label.records},), one per record, "
            f"got {given.shape}"
        )
    bad = ~((given >= 0.0) & (given <= 1.0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"scores of {name!r} must lie in [0, 1], got {given[row]} at row {row}; rescale them"
        )
    return given


def _check_windows(name: str, label: SeriesLabels) -> SeriesLabels:
    rows = np.asarray(label.windows)
    if rows.size == 0:
        return SeriesLabels(label.records, np.empty((0, 2), np.int64))
    fits = rows.ndim == 2 and rows.shape[1] == 2 and rows.dtype.kind in "iu"
    if fits:
        first, last = rows.T
        fits = first[0] >= 0 and last[-1] < label.records and (first <= last).all()
    if not fits or (rows[1:, 0] <= rows[:-1, 1]).any():
        raise InputError(
            f"windows of {name!r} must be integer rows (first, last) in [0, {label.records}), "
            f"ascending and disjoint, shape (windows, 2), got {rows.tolist()}"
        )
    return SeriesLabels(label.records, rows)
