"""Our anomaly detector as an outlier detector of scikit-learn (``pip install scikit-learn``)."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from biomem.engine.model import map_arrays
from biomem.engine.random import Rng
from biomem.models.htm.hybrid import HTMDriftDetector
from biomem.stream.adapters.live import LiveOptions, packed, params_for, unpacked

__all__ = ["HTMOutlierDetector"]

LEAST_RECORDS = 2


class HTMOutlierDetector(OutlierMixin, BaseEstimator):
    """HTM anomaly detector over the rows of a table, in the order they stand in.

    `fit` takes the ranges of the columns and learns the rows in turn. The methods that score go
    on from there with the rows they are given, learning as they go, and forget them afterwards,
    so each call scores what follows the training rows. A NaN is a missing field.

    When not to use it: for rows without an order. Shuffle them and there is nothing to learn;
    the score of a row depends on the rows before it.

    Parameters
    ----------
    contamination : float or "auto"
        Share of the training rows that count as outliers, in (0, 0.5]; sets `offset_`. "auto":
        scores from 0.5 on, a chance of 1e-5 given what the detector is used to.
    probation : int
        Records whose likelihood is not judged; never more than half the training rows.
    light : bool
        HTMs of a tenth of the size, for many columns.
    joint : bool
        One HTM for all columns instead of one each.
    range_rule : bool
        Score 1 for a value far outside everything before.
    random_state : int
        Seed of the initial permanences.

    Attributes
    ----------
    model_ : HTMDriftDetector
    offset_ : float
        Threshold on the scores.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(2000)
    >>> X = np.sin(2 * np.pi * t / 24)[:, None]
    >>> X[1900:1912, 0] = np.random.default_rng(0).uniform(-1, 1, 12)
    >>> detector = HTMOutlierDetector(light=True).fit(X[:1500])
    >>> outliers = np.flatnonzero(detector.predict(X[1500:]) == -1) + 1500
    >>> bool(1900 <= outliers[0] < 1912)
    True
    """

    def __init__(
        self,
        *,
        contamination: float | Literal["auto"] = "auto",
        probation: int = 388,
        light: bool = False,
        joint: bool = False,
        range_rule: bool = False,
        random_state: int = 0,
    ) -> None:
        self.contamination = contamination
        self.probation = probation
        self.light = light
        self.joint = joint
        self.range_rule = range_rule
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the rows of `X` in turn; `y` is ignored."""
        share = self.contamination
        if share != "auto" and not (isinstance(share, int | float) and 0 < share <= 0.5):
            raise ValueError(f"contamination must be 'auto' or in (0, 0.5], got {share!r}")
        X = self._checked(X, reset=True)
        ranges = {f"x{i:04}": _range(column) for i, column in enumerate(X.T)}
        options = LiveOptions(
            probation=max(1, min(self.probation, len(X) // 2)),
            light=self.light,
            joint=self.joint,
            range_rule=self.range_rule,
        )
        self.model_ = HTMDriftDetector(params_for(ranges, options))
        blank = self.model_.init_state(1, Rng(int(self.random_state or 0)))
        self._state, scores = self._run(blank, X, 0)
        self._tick = len(X)
        judged = -scores[options.probation :]
        self.offset_ = -0.5 if share == "auto" else float(np.percentile(judged, 100 * share))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the negative score of each row, -1 the most and 0 the least anomalous."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        return -self._run(map_arrays(np.array, self._state), X, self._tick)[1]

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples` less `offset_`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for outliers, 1 for the others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X: Any, y: Any = None, **kwargs: Any) -> np.ndarray:
        """Fit, and return -1 for outliers among the rows of `X` as they were first seen."""
        self.fit(X)
        blank = self.model_.init_state(1, Rng(int(self.random_state or 0)))
        scores = -self._run(blank, self._checked(X, reset=False), 0)[1]
        return np.where(scores < self.offset_, -1, 1)

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        least = LEAST_RECORDS if reset else 1
        return validate_data(
            self,
            X,
            reset=reset,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=least,
        )

    def _run(self, state: Any, X: np.ndarray, tick: int) -> tuple[Any, np.ndarray]:
        from biomem.models.htm.hybrid import cpu

        state, ys = cpu.scan(self.model_, state, self.model_.records(X), tick)
        return state, np.nan_to_num(ys.score[:, 0], nan=0.0)

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(super().__getstate__())
        if "model_" in kept:
            kept["_detector"] = packed(kept.pop("model_"), kept.pop("_state"))
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        kept = dict(kept)
        if "_detector" in kept:
            kept["model_"], kept["_state"] = unpacked(kept.pop("_detector"))
        super().__setstate__(kept)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _range(column: np.ndarray) -> tuple[float, float]:
    known = column[~np.isnan(column)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    if max(abs(low), abs(high)) > 1e150:
        raise ValueError("values must lie within +-1e150")
    return low, high
