"""Linear read-outs of features: ridge regression, logistic regression, and recursive least squares.

Sources: A. E. Hoerl, R. W. Kennard, Technometrics 12 (1970) 55; G. H. Golub, M. Heath, G. Wahba,
Technometrics 21 (1979) 215 (generalised cross-validation); D. Sussillo, L. F. Abbott, Neuron 63
(2009) 544 (FORCE learning).
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import InputError, ParameterError

__all__ = ["RLS", "Logistic", "Ridge"]

DEFAULT_LAMBDAS = tuple(10.0**k for k in range(-8, 5))


def _features(name: str, xs: ArrayLike, n: int | None = None) -> NDArray[np.float64]:
    x = np.asarray(xs, np.float64)
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all() or n not in (None, x.shape[1]):
        wanted = "(samples, features)" if n is None else f"(samples, {n})"
        raise InputError(f"{name}: features must be finite, of shape {wanted}, got {x.shape}")
    return x


def _labels(name: str, labels: ArrayLike, samples: int, n_classes: int) -> NDArray[np.int64]:
    y = np.asarray(labels)
    sound = y.shape == (samples,) and y.dtype.kind in "iu"
    if not sound or y.min() < 0 or y.max() >= n_classes:
        raise InputError(
            f"{name}: labels must be {samples} integers in [0, {n_classes}), got "
            f"{y.dtype} {y.shape}"
        )
    return y.astype(np.int64)


class Ridge:
    """Least squares with a penalty on the weights, solved in closed form.

    Only sums over samples are kept, so data may come in parts of any size; all penalties are solved
    from one eigendecomposition. The penalty is that of least error on validation data where they
    are given, else of least generalised cross-validation.

    Parameters
    ----------
    n_classes : int, optional
        Targets are labels in [0, n_classes): the read-out answers the class whose indicator it
        predicts largest. Default: targets are numbers.
    lambdas : tuple of float
        Penalties to choose from, as shares of the mean variance of a feature, > 0.

    Attributes
    ----------
    weights : array, shape ``(features, outputs)``; bias : array, shape ``(outputs,)``
    penalty : float
        The share chosen.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> round(float(Ridge().fit(x, x @ [[1.0], [2.0], [0.0]]).weights[1, 0]), 3)
    2.0
    """

    def __init__(
        self, n_classes: int | None = None, lambdas: tuple[float, ...] = DEFAULT_LAMBDAS
    ) -> None:
        if n_classes is not None and n_classes < 2:
            raise ParameterError(f"Ridge: n_classes must be None or >= 2, got {n_classes}")
        if not lambdas or not all(math.isfinite(v) and v > 0 for v in lambdas):
            raise ParameterError(f"Ridge: lambdas must be finite, > 0, got {lambdas}")
        self.n_classes, self.lambdas = n_classes, tuple(lambdas)
        self._n = 0
        self._sums: list[NDArray[np.float64]] = []
        self.weights = self.bias = np.zeros(0)
        self.penalty = math.nan

    def partial_fit(self, xs: ArrayLike, targets: ArrayLike) -> Self:
        """Take in more samples; call `solve` when all are in."""
        x = _features("Ridge", xs, len(self._sums[0]) if self._sums else None)
        y = self._targets(targets, len(x))
        if not self._sums:
            k, m = x.shape[1], y.shape[1]
            self._sums = [np.zeros(k), np.zeros(m), np.zeros((k, k)), np.zeros((k, m)), np.zeros(m)]
        if y.shape[1] != len(self._sums[1]):
            raise InputError(
                f"Ridge: targets must have {len(self._sums[1])} columns as before, got {y.shape[1]}"
            )
        self._n += len(x)
        parts = x.sum(0), y.sum(0), x.T @ x, x.T @ y, (y**2).sum(0)
        for total, part in zip(self._sums, parts, strict=True):
            total += part
        return self

    def fit(
        self, xs: ArrayLike, targets: ArrayLike, validation: tuple[Any, Any] | None = None
    ) -> Self:
        """Forget what came before, take in the samples, and solve."""
        self._n, self._sums = 0, []
        return self.partial_fit(xs, targets).solve(validation)

    def solve(self, validation: tuple[Any, Any] | None = None) -> Self:
        """Set the weights from all samples taken in so far."""
        if self._n < 2:
            raise InputError(f"Ridge: needs two samples or more, got {self._n}")
        n = self._n
        mean_x, mean_y = self._sums[0] / n, self._sums[1] / n
        gram = self._sums[2] - n * np.outer(mean_x, mean_x)
        cross = self._sums[3] - n * np.outer(mean_x, mean_y)
        total = self._sums[4] - n * mean_y**2
        values, vectors = np.linalg.eigh(gram)
        values = np.maximum(values, 0.0)
        turned = vectors.T @ cross
        # Features that never vary leave rounding errors only, which must not be taken for variance.
        floor = 1e-12 * float(np.trace(self._sums[2])) / len(mean_x)
        unit = max(float(values.mean()), floor) or 1.0
        best = math.inf
        for share in self.lambdas:
            shrunk = turned / (values + share * unit)[:, None]
            weights = vectors @ shrunk
            bias = mean_y - mean_x @ weights
            if validation is None:
                # Generalised cross-validation; one degree of freedom is the bias.
                left = total - 2 * (shrunk * turned).sum(0) + (values[:, None] * shrunk**2).sum(0)
                free = n - 1 - float((values / (values + share * unit)).sum())
                error = float(np.maximum(left, 0.0).sum()) / max(free, 1e-9) ** 2
            else:
                error = self._error(validation, weights, bias)
            if error < best:
                best, self.weights, self.bias, self.penalty = error, weights, bias, share
        return self

    def _targets(self, targets: ArrayLike, samples: int) -> NDArray[np.float64]:
        if self.n_classes is not None:
            return np.eye(self.n_classes)[_labels("Ridge", targets, samples, self.n_classes)]
        y = np.asarray(targets, np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != samples or not np.isfinite(y).all():
            raise InputError(
                f"Ridge: targets must be finite, of shape ({samples}, outputs), got {y.shape}"
            )
        return y

    def _error(
        self, validation: tuple[Any, Any], weights: NDArray[Any], bias: NDArray[Any]
    ) -> float:
        x = _features("Ridge", validation[0], len(weights))
        y = self._targets(validation[1], len(x))
        found = x @ weights + bias
        squared = float(((found - y) ** 2).mean())
        if self.n_classes is None:
            return squared
        # Classes first; among equals the smaller squared error.
        return float((found.argmax(1) != y.argmax(1)).mean()) + 1e-6 * squared

    def decision(self, xs: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs, shape ``(samples, outputs)``."""
        if math.isnan(self.penalty):
            raise InputError("Ridge: not fitted; call fit, or partial_fit and solve")
        return _features("Ridge", xs, len(self.weights)) @ self.weights + self.bias

    def predict(self, xs: ArrayLike) -> NDArray[Any]:
        """Return labels, or the outputs where there are no classes."""
        found = self.decision(xs)
        return found if self.n_classes is None else found.argmax(axis=1)

    def score(self, xs: ArrayLike, targets: ArrayLike) -> float:
        """Return the share of right labels, or the share of variance explained."""
        found = self.decision(xs)
        y = self._targets(targets, len(found))
        if self.n_classes is not None:
            return float((found.argmax(1) == y.argmax(1)).mean())
        spread = ((y - y.mean(0)) ** 2).sum()
        return 1.0 - float(((found - y) ** 2).sum() / spread) if spread else math.nan

    def __repr__(self) -> str:
        fitted = "not fitted" if math.isnan(self.penalty) else f"penalty={self.penalty:g}"
        return f"<Ridge n_classes={self.n_classes}, {fitted}>"


class Logistic:
    """Multinomial logistic regression with a quadratic penalty, by L-BFGS.

    Slower than `Ridge` and a little more accurate where classes overlap; gives probabilities.

    Parameters
    ----------
    n_classes : int
    penalty : float
        Of the squared weights of standardised features, per sample, >= 0.
    max_iterations : int
    """

    def __init__(self, n_classes: int, penalty: float = 1e-3, max_iterations: int = 500) -> None:
        if n_classes < 2:
            raise ParameterError(f"Logistic: n_classes must be >= 2, got {n_classes}")
        if not (math.isfinite(penalty) and penalty >= 0):
            raise ParameterError(f"Logistic: penalty must be finite, >= 0, got {penalty}")
        self.n_classes, self.penalty = n_classes, penalty
        self.max_iterations = max_iterations
        self.weights = self.bias = np.zeros(0)

    def fit(self, xs: ArrayLike, labels: ArrayLike) -> Self:
        """Set the weights."""
        from scipy.optimize import minimize
        from scipy.special import logsumexp

        x = _features("Logistic", xs)
        y = _labels("Logistic", labels, len(x), self.n_classes)
        mean, sd = x.mean(0), x.std(0)
        sd = np.where(sd > 0, sd, 1.0)
        z = (x - mean) / sd
        k, hot = x.shape[1], np.eye(self.n_classes)[y]

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            w = flat.reshape(k + 1, self.n_classes)
            logits = z @ w[:-1] + w[-1]
            log_p = logits - logsumexp(logits, axis=1, keepdims=True)
            slope = (np.exp(log_p) - hot) / len(z)
            value = -float((log_p * hot).sum()) / len(z)
            value += 0.5 * self.penalty * float((w[:-1] ** 2).sum())
            down = np.concatenate([z.T @ slope + self.penalty * w[:-1], slope.sum(0)[None]])
            return value, down.reshape(-1)

        start = np.zeros((k + 1) * self.n_classes)
        found = minimize(
            loss, start, jac=True, method="L-BFGS-B", options={"maxiter": self.max_iterations}
        ).x.reshape(k + 1, self.n_classes)
        self.weights = found[:-1] / sd[:, None]
        self.bias = found[-1] - mean @ self.weights
        return self

    def decision(self, xs: ArrayLike) -> NDArray[np.float64]:
        """Return the logits, shape ``(samples, classes)``."""
        if not self.weights.size:
            raise InputError("Logistic: not fitted; call fit")
        return _features("Logistic", xs, len(self.weights)) @ self.weights + self.bias

    def probabilities(self, xs: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of every class."""
        from scipy.special import softmax

        return softmax(self.decision(xs), axis=1)

    def predict(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the most probable labels."""
        return self.decision(xs).argmax(axis=1)

    def score(self, xs: ArrayLike, labels: ArrayLike) -> float:
        """Return the share of right labels."""
        found = self.predict(xs)
        return float((found == _labels("Logistic", labels, len(found), self.n_classes)).mean())


class RLS:
    """Recursive least squares: a read-out that learns from one sample after the other.

    ::

        k = P x / (1 + x^T P x)      w <- w + k (target - w^T x)      P <- P - k (P x)^T

    With the read-out fed back into the liquid while it learns, this is FORCE learning. After n
    samples the weights are those of ridge regression with the penalty `alpha` and no bias.

    Parameters
    ----------
    n_features, n_outputs : int
    alpha : float
        Penalty, > 0; ``P`` begins as ``1/alpha``.
    """

    def __init__(self, n_features: int, n_outputs: int = 1, alpha: float = 1.0) -> None:
        if n_features < 1 or n_outputs < 1:
            raise ParameterError(
                f"RLS: n_features and n_outputs must be >= 1, got {n_features}, {n_outputs}"
            )
        if not (math.isfinite(alpha) and alpha > 0):
            raise ParameterError(f"RLS: alpha must be finite, > 0, got {alpha}")
        self.weights = np.zeros((n_features, n_outputs))
        self._p = np.eye(n_features) / alpha

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs of one sample, shape ``(outputs,)``."""
        return self._one(x) @ self.weights

    def learn(self, x: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
        """Take in one sample and return the error made before it."""
        one, wanted = self._one(x), np.atleast_1d(np.asarray(target, np.float64))
        if wanted.shape != self.weights.shape[1:] or not np.isfinite(wanted).all():
            raise InputError(
                f"RLS: target must be {self.weights.shape[1]} finite numbers, got {wanted}"
            )
        error = wanted - one @ self.weights
        reach = self._p @ one
        gain = reach / (1.0 + one @ reach)
        self.weights += np.outer(gain, error)
        self._p -= np.outer(gain, reach)
        return error

    def _one(self, x: ArrayLike) -> NDArray[np.float64]:
        one = np.asarray(x, np.float64)
        if one.shape != self.weights.shape[:1] or not np.isfinite(one).all():
            raise InputError(
                f"RLS: a sample must be {self.weights.shape[0]} finite numbers, got {one.shape}"
            )
        return one
