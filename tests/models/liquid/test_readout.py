"""Linear read-outs: equal to what SciPy and algebra give, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from biomem.errors import InputError, ParameterError
from biomem.models.liquid import RLS, LinearHead, Logistic, Ridge
from biomem.testing import check_model


@pytest.fixture
def data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 7)) * draw.uniform(0.1, 9.0, 7) + 3.0
    y = x @ draw.normal(size=(7, 2)) + 1.0 + 0.1 * draw.normal(size=(120, 2))
    return x, y


def test_ridge_solves_the_penalised_normal_equations(data):
    x, y = data
    found = Ridge(lambdas=(0.3,)).fit(x, y)
    z = x - x.mean(0)
    gram = z.T @ z
    penalty = 0.3 * np.trace(gram) / 7
    want = linalg.solve(gram + penalty * np.eye(7), z.T @ (y - y.mean(0)), assume_a="pos")
    np.testing.assert_allclose(found.weights, want, rtol=1e-9)
    np.testing.assert_allclose(found.bias, y.mean(0) - x.mean(0) @ want, rtol=1e-9)


def test_parts_of_the_data_give_the_whole(data):
    x, y = data
    parts = Ridge()
    for rows in (slice(0, 50), slice(50, 51), slice(51, 120)):
        parts.partial_fit(x[rows], y[rows])
    np.testing.assert_allclose(parts.solve().weights, Ridge().fit(x, y).weights, rtol=1e-8)


def test_generalised_cross_validation_is_that_of_the_hat_matrix(data):
    x, y = data[0][:40], data[1][:40, :1]
    shares = (1e-4, 1e-2, 1.0, 100.0)
    z = x - x.mean(0)
    unit = np.trace(z.T @ z) / 7
    errors = []
    for share in shares:
        hat = z @ np.linalg.solve(z.T @ z + share * unit * np.eye(7), z.T) + 1 / 40
        left = y - hat @ y
        errors.append((left**2).sum() / (40 - np.trace(hat)) ** 2)
    assert Ridge(lambdas=shares).fit(x, y).penalty == shares[int(np.argmin(errors))]


def test_validation_data_choose_the_penalty():
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(30, 25)), draw.normal(size=30)
    fresh = draw.normal(size=(400, 25)), draw.normal(size=400)
    # There is nothing to learn: the strongest penalty predicts fresh data best.
    assert Ridge(lambdas=(1e-6, 1e4)).fit(x, y, validation=fresh).penalty == 1e4


def test_classes_far_apart_are_told_by_every_read_out():
    draw = np.random.default_rng(2)
    labels = draw.integers(0, 3, 300)
    x = 6 * np.eye(3)[labels] + draw.normal(size=(300, 3))
    for read_out in (Ridge(3), Logistic(3)):
        assert read_out.fit(x[:200], labels[:200]).score(x[200:], labels[200:]) > 0.97
    found = Logistic(3).fit(x, labels).probabilities(x)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_logistic_regression_stands_at_its_minimum():
    draw = np.random.default_rng(3)
    x, labels = draw.normal(size=(80, 4)), draw.integers(0, 2, 80)
    found = Logistic(2, penalty=0.1).fit(x, labels)
    z = (x - x.mean(0)) / x.std(0)
    slope = found.probabilities(x) - np.eye(2)[labels]
    weights = found.weights * x.std(0)[:, None]
    np.testing.assert_allclose(z.T @ slope / 80 + 0.1 * weights, 0.0, atol=1e-5)


def test_recursive_least_squares_is_ridge_regression(data):
    x, y = data
    recursive = RLS(7, 2, alpha=0.5)
    for one, wanted in zip(x, y, strict=True):
        recursive.learn(one, wanted)
    want = np.linalg.solve(x.T @ x + 0.5 * np.eye(7), x.T @ y)
    np.testing.assert_allclose(recursive.weights, want, rtol=1e-7)
    np.testing.assert_allclose(recursive.predict(x[0]), x[0] @ want, rtol=1e-7)


def test_features_that_never_vary_leave_the_mean():
    found = Ridge().fit(np.full((50, 4), 10.0), np.arange(50.0))
    np.testing.assert_allclose(found.predict(np.full((1, 4), 10.0)), 24.5)


def test_the_linear_head_keeps_the_model_contract():
    check_model(LinearHead(n_features=4, n_outputs=3, dtype="float64"))


@pytest.mark.torch
def test_the_linear_head_trains():
    import torch

    from biomem.train import TorchModule

    draw = np.random.default_rng(4)
    labels = draw.integers(0, 3, 90)
    x = (4 * np.eye(3)[labels] + draw.normal(size=(90, 3))).astype(np.float32)
    head = TorchModule(LinearHead(n_features=3, n_outputs=3))
    optimiser = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        y, _ = head(x[None])
        torch.nn.functional.cross_entropy(y[0], torch.from_numpy(labels)).backward()
        optimiser.step()
    assert (y[0].argmax(1).numpy() == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Ridge(1), "n_classes must be None or >= 2, got 1"),
        (lambda: Ridge(lambdas=(0.0,)), "lambdas must be finite, > 0"),
        (lambda: Logistic(2, penalty=-1.0), "penalty must be finite, >= 0, got -1"),
        (lambda: RLS(0), "must be >= 1, got 0"),
        (lambda: RLS(2, alpha=0.0), "alpha must be finite, > 0"),
    ],
)
def test_settings_out_of_range_are_refused(call, words):
    with pytest.raises(ParameterError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Ridge().fit([[np.nan]], [1.0]), "features must be finite"),
        (lambda: Ridge().fit([[1.0], [2.0]], [1.0]), "targets must be finite, of shape"),
        (lambda: Ridge(2).fit([[1.0], [2.0]], [0, 2]), r"labels must be 2 integers in \[0, 2\)"),
        (lambda: Ridge().predict([[1.0]]), "not fitted; call fit"),
        (lambda: Ridge().fit([[1.0]], [1.0]), "needs two samples or more, got 1"),
        (lambda: Logistic(2).predict([[1.0]]), "not fitted"),
        (lambda: RLS(2).learn([1.0], 0.0), "a sample must be 2 finite numbers"),
        (lambda: RLS(1).learn([1.0], [np.inf]), "target must be"),
    ],
)
def test_bad_data_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
