"""The SDR classifier against an independent softmax regression, its kernel, and what it learns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from biomem import Simulator
from biomem.errors import ParameterError
from biomem.models.htm.classifier import SDRClassifier, SDRClassifierParams
from biomem.testing import check_model
from biomem.testing.contract import persistent


def small(**changes) -> SDRClassifierParams:
    settings = {"size": 12, "minimum": -1.0, "maximum": 2.0, "buckets": 6, "alpha": 0.3}
    return SDRClassifierParams(**{**settings, **changes})


def records(values, patterns, present=None) -> np.ndarray:
    values = np.asarray(values, float)
    there = np.ones(len(values)) if present is None else np.asarray(present, float)
    return np.concatenate([values[:, None], there[:, None], np.asarray(patterns, float)], axis=1)


@pytest.mark.parametrize("horizons", [(1,), (2, 5), ()])
def test_the_classifier_keeps_the_contract(horizons: tuple[int, ...]) -> None:
    model = SDRClassifier(small(horizons=horizons, distribution=True))
    check_model(model, ticks=60, new_process=False)


def one_hot_regression(xs: np.ndarray, p: SDRClassifierParams, h: int) -> np.ndarray:
    """Return the distribution after every record, all buckets known: dense matrices, NumPy."""
    weights = np.zeros((p.size, p.buckets))
    out = []
    for t, row in enumerate(xs):
        bucket = min(max(int((row[0] - p.minimum) // p.width), 0), p.buckets - 1)
        if t >= h:
            before = xs[t - h, 2:]
            target = np.eye(p.buckets)[bucket]
            weights += np.outer(before, p.alpha * (target - softmax(before @ weights)))
        out.append(softmax(row[2:] @ weights))
    return np.array(out)


@pytest.mark.parametrize("h", [1, 3])
def test_it_is_softmax_regression(h: int) -> None:
    rng = np.random.default_rng(4)
    xs = records(rng.uniform(-1.2, 2.2, 80), rng.random((80, 12)) < 0.25)
    xs[0, 0] = 2.0
    p = small(horizons=(h,), distribution=True)
    got = Simulator(SDRClassifier(p), backend="numpy").run(xs)["distribution"][:, 0, 0]
    np.testing.assert_allclose(got, one_hot_regression(xs, p, h), atol=2e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    horizons=st.sets(st.integers(1, 6), min_size=1, max_size=3),
    missing=st.floats(0, 0.6),
    room=st.integers(1, 12),
)
def test_kernel_equals_reference_bit_for_bit(seed, horizons, missing, room) -> None:
    rng = np.random.default_rng(seed)
    there = rng.random(50) >= missing
    xs = records(rng.normal(0.5, 2.0, 50), rng.random((50, 12)) < 0.4, there)
    p = small(horizons=tuple(sorted(horizons)), distribution=True, most_active=room)
    runs = [Simulator(SDRClassifier(p), backend=b) for b in ("numpy", "numba")]
    want, got = (sim.run(xs) for sim in runs)
    for name in want:
        np.testing.assert_array_equal(want[name], got[name], err_msg=name)
    other = persistent(runs[1])
    for name, array in persistent(runs[0]).items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_each_horizon_learns_its_own_distance() -> None:
    cycle = np.array([-0.5, 0.3, 1.4, 0.9, 1.9])
    t = np.arange(1500)
    xs = records(cycle[t % 5], np.eye(12)[t % 5])
    out = Simulator(SDRClassifier(small(horizons=(1, 2, 4)))).run(xs)
    for k, h in enumerate((1, 2, 4)):
        np.testing.assert_allclose(out["likeliest"][-5:, 0, k], cycle[(t[-5:] + h) % 5])
        assert np.abs(out["expected"][-5:, 0, k] - cycle[(t[-5:] + h) % 5]).max() < 0.05
        want = xs[h:, 0] - out["expected"][:-h, 0, k]
        np.testing.assert_array_equal(out["error"][h:, 0, k], want)
        assert np.isnan(out["error"][:h, 0, k]).all()


def test_a_coin_has_a_wide_distribution_and_its_mean() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(4000) < 0.25, -0.5, 1.5)
    p = small(distribution=True, alpha=0.02)
    out = Simulator(SDRClassifier(p)).run(records(values, np.eye(12)[np.zeros(4000, int)]))
    last = out["distribution"][-1000:, 0, 0].mean(axis=0)
    np.testing.assert_allclose(last.sum(), 1.0)
    np.testing.assert_allclose(last[[1, 5]], [0.25, 0.75], atol=0.03)
    assert abs(out["expected"][-1000:].mean() - 1.0) < 0.08
    assert abs(out["spread"][-1000:].mean() - 2 * np.sqrt(0.25 * 0.75)) < 0.08


def test_a_missing_record_teaches_nothing_and_is_not_forecast() -> None:
    xs = records(np.tile([0.0, 1.0], 20), np.tile(np.eye(12)[:2], (20, 1)))
    xs[11, 1] = 0
    sim = Simulator(SDRClassifier(small()))
    before = sim.run(xs[:11])
    weights = sim.state.weights.copy()
    hole = sim.run(xs[11:13])
    assert np.isfinite(before["expected"]).all()
    assert np.isnan(hole["expected"][11 - 11, 0]).all()
    assert np.isnan(hole["error"]).all()
    np.testing.assert_array_equal(sim.state.weights, weights)


def test_before_anything_is_known_all_known_buckets_are_alike() -> None:
    out = Simulator(SDRClassifier(small(distribution=True))).step(records([0.6], np.eye(12)[:1])[0])
    np.testing.assert_array_equal(out.distribution[0, 0], [0.25, 0.25, 0.25, 0.25, 0, 0])
    assert np.isnan(out.error).all()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": 0}, "size must be an integer >= 1"),
        ({"horizons": (2, 1)}, "horizons must be a tuple of ascending integers >= 1"),
        ({"horizons": (0,)}, "horizons must be"),
        ({"buckets": 1}, "buckets must be an integer >= 2"),
        ({"minimum": 2.0}, "minimum < maximum must be finite, got 2.0 and 2.0"),
        ({"alpha": 0.0}, "alpha must be finite and > 0"),
        ({"rate": 1.5}, r"rate must be in \(0, 1\]"),
        ({"most_active": 0}, "most_active must be"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        small(**changes)
