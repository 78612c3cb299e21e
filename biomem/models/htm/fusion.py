"""Scores of several fields made one, by rule or by a small network learned from labels.

The rules ("max", "any", "majority") are those of `HTMDriftDetector`. A learned fuser looks at each
field's raw score, log likelihood, forecast error in spreads and drift statistic, now and some
records back, and at their largest and mean over the fields::

    h = tanh(W x + b)        score = 1 / (1 + exp(-(w h + c)))

or, for ``kind="logistic"``, ``score = 1 / (1 + exp(-(w x + c)))``. It is trained with scikit-learn:
cross-entropy weighted by class, Adam with a step of 1e-3, stopped early by the last 15 % of the
training records. Time is never shuffled across that border. The trained fuser is plain NumPy.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Self

import numpy as np

from biomem.errors import BackendUnavailable, InputError, ParameterError
from biomem.models.htm.hybrid.signals import fuse_scores
from biomem.typing import FloatArray

__all__ = ["LearnedFuser", "attribute", "features_of"]

KINDS = ("mlp", "logistic")
PER_FIELD = 4
HELD_OUT = 0.15
PATIENCE = 15


def features_of(outputs: Any, *, lags: int = 4) -> FloatArray:
    """Return what a fuser sees of each record of an `HTMDriftDetector`.

    Parameters
    ----------
    outputs : Recording or HTMDriftOutput
        With ``raw``, ``log_likelihood``, ``error``, ``spread``, ``statistic`` and ``upper``, of
        shape ``(records, 1, ...)``.
    lags : int
        Records back that are looked at too; before the first record there are zeros.

    Returns
    -------
    array, shape ``(records, (4 fields + 8) * (lags + 1))``
        Lag by lag: four numbers of each field, then their largest and mean over the fields. A
        field that is missing has zeros.
    """

    def read(name: str) -> FloatArray:
        array = getattr(outputs, name) if hasattr(outputs, "_fields") else outputs[name]
        return np.asarray(array, float)[:, 0]

    raw, log = read("raw"), read("log_likelihood")
    error, spread = read("error"), read("spread")
    residual = np.zeros_like(raw)
    if error.shape[-1]:
        # The spread of the forecast that was made for this record, one horizon ago.
        before = np.vstack([np.full((1, raw.shape[1]), np.nan), spread[:-1, :, 0]])
        with np.errstate(divide="ignore", invalid="ignore"):
            residual = np.clip(error[:, :, 0] / before, -10, 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        drift = read("statistic") / read("upper")
    each = np.nan_to_num(np.stack([raw, log, residual, drift], axis=-1), nan=0.0)
    width = each.shape[1] * PER_FIELD
    now = np.concatenate([each.reshape(-1, width), each.max(axis=1), each.mean(axis=1)], axis=1)
    rows = [np.vstack([np.zeros((k, now.shape[1])), now[: len(now) - k]]) for k in range(lags + 1)]
    return np.concatenate(rows, axis=1)


def attribute(scores: Any, rule: str = "max", threshold: float = 0.5) -> FloatArray:
    """Return what each field contributes to the fused score: how far it falls without the field.

    Parameters
    ----------
    scores : array-like, shape ``(records, fields)``
        NaN where a field is missing.
    rule : {"max", "any", "majority"}
    threshold : float

    Returns
    -------
    array, shape ``(records, fields)``
        0 for a missing field, and for the only one that is present its whole score.
    """
    scores = np.asarray(scores, float)
    whole = fuse_scores(scores, rule, threshold)
    out = np.zeros_like(scores)
    for i in range(scores.shape[1]):
        rest = np.nan_to_num(fuse_scores(np.delete(scores, i, axis=1), rule, threshold), nan=0.0)
        out[:, i] = np.where(np.isnan(scores[:, i]), 0.0, np.nan_to_num(whole, nan=0.0) - rest)
    return out


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LearnedFuser:
    """A trained network from the features of all fields to the score of a record.

    When not to use it: without labels of the very system it is to watch, or with fewer than some
    dozen incidents among them; "max" needs none.

    Parameters
    ----------
    mean, scale : array, shape ``(feature,)``
        Of the training records.
    weights, biases : tuple of arrays
        Layer by layer.
    lags : int
        As in `features_of`.
    """

    mean: FloatArray
    scale: FloatArray
    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]
    lags: int

    @classmethod
    def fit(
        cls,
        features: FloatArray,
        labels: Any,
        *,
        kind: Literal["mlp", "logistic"] = "mlp",
        hidden: tuple[int, ...] = (16,),
        lags: int = 4,
        epochs: int = 300,
        alpha: float | None = None,
        seed: int = 0,
    ) -> Self:
        """Train on records in the order of time.

        Parameters
        ----------
        features : array, shape ``(records, feature)``
            From `features_of`, probation left out.
        labels : array-like of bool, shape ``(records,)``
        kind : {"mlp", "logistic"}
        hidden : tuple of int
            Units of the hidden layers.
        lags : int
            Those of the features.
        epochs : int
            At the most.
        alpha : float, optional
            Penalty on squared weights, scikit-learn's; default 1 for the network, 1e-4 for the
            line. Fewer incidents want more.
        seed : int

        Raises
        ------
        BackendUnavailable
            scikit-learn is not installed.
        InputError
            Another number of labels, or only one kind of them in either part.
        ParameterError
            An unknown kind.
        """
        if kind not in KINDS:
            raise ParameterError(f"LearnedFuser.fit: kind must be one of {KINDS}, got {kind!r}")
        try:
            from sklearn.linear_model import LogisticRegression
            from sklearn.neural_network import MLPClassifier
        except ImportError as error:
            raise BackendUnavailable(
                "LearnedFuser.fit needs scikit-learn, which is not installed: "
                "pip install 'biomem[learn]'"
            ) from error
        if alpha is None:
            alpha = 1.0 if kind == "mlp" else 1e-4
        x, y = np.asarray(features, float), np.asarray(labels).astype(int)
        if x.ndim != 2 or y.shape != (len(x),):
            raise InputError(
                f"LearnedFuser.fit: labels must have shape ({len(x)},), one per row of features "
                f"{x.shape}, got {y.shape}"
            )
        cut = round(len(x) * (1 - HELD_OUT))
        if any(np.unique(part).size < 2 for part in (y[:cut], y[cut:])):
            raise InputError(
                "LearnedFuser.fit: labels must hold both kinds, in the first 85 % of the records "
                "and in the rest, which decides when to stop"
            )
        mean = x[:cut].mean(axis=0)
        scale = np.where(x[:cut].std(axis=0) > 1e-12, x[:cut].std(axis=0), 1.0)
        z = (x - mean) / scale
        share = y[:cut].mean()
        weight = np.where(y == 1, 0.5 / share, 0.5 / (1 - share))
        if kind == "logistic":
            line = LogisticRegression(max_iter=2000, C=1 / (alpha * cut))
            line.fit(z, y, sample_weight=weight)
            layers = ((line.coef_.T,), (line.intercept_,))
        else:
            net = MLPClassifier(
                hidden, activation="tanh", learning_rate_init=1e-3, alpha=alpha, random_state=seed
            )
            layers = _train(net, z, y, weight, cut, epochs)
        return cls(mean=mean, scale=scale, weights=layers[0], biases=layers[1], lags=lags)

    def score(self, features: FloatArray) -> FloatArray:
        """Return the score of each record, in [0, 1]."""
        x = (np.asarray(features, float) - self.mean) / self.scale
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.tanh(x @ w + b)
        x = (x @ self.weights[-1] + self.biases[-1])[:, 0]
        return 1 / (1 + np.exp(-np.clip(x, -700, 700)))

    def attribute(self, features: FloatArray) -> FloatArray:
        """Return how far the score falls with each field made average, ``(records, fields)``."""
        features = np.asarray(features, float)
        block = features.shape[1] // (self.lags + 1)
        fields = block // PER_FIELD - 2
        whole, out = self.score(features), np.empty((len(features), fields))
        for i in range(fields):
            without = features.copy()
            for lag in range(self.lags + 1):
                start = lag * block + i * PER_FIELD
                without[:, start : start + PER_FIELD] = self.mean[start : start + PER_FIELD]
                _summarise(without, lag * block, fields)
            out[:, i] = whole - self.score(without)
        return out


def _summarise(features: FloatArray, start: int, fields: int) -> None:
    """Write the largest and the mean over the fields again, in place."""
    end = start + fields * PER_FIELD
    each = features[:, start:end].reshape(-1, fields, PER_FIELD)
    features[:, end : end + PER_FIELD] = each.max(axis=1)
    features[:, end + PER_FIELD : end + 2 * PER_FIELD] = each.mean(axis=1)


def _train(
    net: Any, z: FloatArray, y: Any, weight: FloatArray, cut: int, epochs: int
) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """Return the layers that did best on the held-out end of the records."""
    best, since, layers = np.inf, 0, ((), ())
    for _ in range(epochs):
        net.partial_fit(z[:cut], y[:cut], classes=[0, 1], sample_weight=weight[:cut])
        p = np.clip(net.predict_proba(z[cut:])[:, 1], 1e-12, 1 - 1e-12)
        loss = -np.average(np.log(np.where(y[cut:] == 1, p, 1 - p)), weights=weight[cut:])
        since += 1
        if loss < best:
            best, since = loss, 0
            layers = tuple(w.copy() for w in net.coefs_), tuple(b.copy() for b in net.intercepts_)
        if since >= PATIENCE:
            break
    return layers
