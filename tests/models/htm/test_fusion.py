"""Learned fusion: features, attribution, and what training may and may not see."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.errors import InputError, ParameterError
from biomem.models.htm.fusion import LearnedFuser, attribute, features_of
from biomem.models.htm.hybrid import fuse_scores


def outputs(n: int = 40, fields: int = 3, horizons: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (n, 1, fields)
    forecast = (*shape, horizons)
    return {
        "raw": rng.random(shape),
        "log_likelihood": rng.random(shape),
        "error": rng.normal(size=forecast),
        "spread": 1 + rng.random(forecast),
        "statistic": rng.random(shape),
        "upper": np.full(shape, 4.0),
    }


def test_features_are_the_definition_and_never_look_ahead() -> None:
    out = outputs()
    out["raw"][5, 0, 1] = np.nan
    got = features_of(out, lags=2)
    assert got.shape == (40, (4 * 3 + 8) * 3)
    t, lag, block = 10, 2, 20
    now = got[t, lag * block : (lag + 1) * block]
    s = t - lag
    want = [out["raw"][s, 0, 0], out["log_likelihood"][s, 0, 0]]
    want += [
        out["error"][s, 0, 0, 0] / out["spread"][s - 1, 0, 0, 0],
        out["statistic"][s, 0, 0] / 4,
    ]
    np.testing.assert_allclose(now[:4], want)
    np.testing.assert_allclose(now[12], out["raw"][s, 0].max())
    np.testing.assert_allclose(now[16], out["raw"][s, 0].mean())
    assert got[5, 4] == 0.0
    assert (got[0, block:] == 0).all()
    later = {name: array.copy() for name, array in out.items()}
    for array in later.values():
        array[20:] *= 1.7
    np.testing.assert_array_equal(features_of(later, lags=2)[:20], got[:20])


def test_without_forecasts_their_error_is_nothing() -> None:
    got = features_of(outputs(horizons=0), lags=0)
    np.testing.assert_array_equal(got[:, 2:12:4], 0)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=5), st.sampled_from(["max", "any", "majority"])
)
def test_attribution_is_the_fall_of_the_score_without_the_field(row, rule: str) -> None:
    got = attribute([row], rule)[0]
    for i in range(len(row)):
        rest = [x for j, x in enumerate(row) if j != i]
        assert got[i] == fuse_scores(row, rule) - fuse_scores(rest, rule)


def test_a_missing_field_is_to_blame_for_nothing() -> None:
    np.testing.assert_array_equal(attribute([[np.nan, 0.7], [np.nan, np.nan]]), [[0, 0.7], [0, 0]])


def problem(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of two pairs of fields; both of a pair being high is an incident."""
    rng = np.random.default_rng(seed)
    out = outputs(n, fields=4)
    high = rng.random((n, 4)) < 0.5
    for name in ("raw", "log_likelihood"):
        out[name] = np.where(high, 0.9, 0.1)[:, None] + rng.normal(0, 0.05, (n, 1, 4))
    return features_of(out, lags=1), (high[:, ::2] & high[:, 1::2]).any(axis=1)


def test_the_network_learns_what_a_line_cannot() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'biomem[learn]'")
    x, y = problem()
    right = {}
    for kind in ("mlp", "logistic"):
        fuser = LearnedFuser.fit(x[:3000], y[:3000], kind=kind, lags=1)
        right[kind] = ((fuser.score(x[3000:]) > 0.5) == y[3000:]).mean()
    assert right["mlp"] > 0.97
    assert right["logistic"] < 0.93


def test_it_is_what_scikit_learn_computes_and_repeats() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'biomem[learn]'")
    from sklearn.linear_model import LogisticRegression

    x, y = problem(2000)
    one, two = (LearnedFuser.fit(x, y, lags=1, epochs=3, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.score(x), two.score(x))
    line = LearnedFuser.fit(x, y, kind="logistic", lags=1, alpha=1e-3)
    z = (x - x[:1700].mean(axis=0)) / x[:1700].std(axis=0).clip(1e-12)
    z = np.where(x[:1700].std(axis=0) > 1e-12, z, 0)
    share = y[:1700].mean()
    weight = np.where(y, 0.5 / share, 0.5 / (1 - share))
    want = LogisticRegression(C=1 / 1.7, max_iter=2000).fit(z, y, sample_weight=weight)
    np.testing.assert_allclose(line.score(x), want.predict_proba(z)[:, 1], atol=1e-6)


def test_the_field_that_stands_out_is_blamed() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'biomem[learn]'")
    rng = np.random.default_rng(1)
    out = outputs(3000, fields=3)
    y = rng.random(3000) < 0.2
    who = rng.integers(0, 3, 3000)
    out["raw"][:, 0] = 0.1 + rng.normal(0, 0.02, (3000, 3))
    out["raw"][y, 0, who[y]] = 1.0
    x = features_of(out, lags=0)
    fuser = LearnedFuser.fit(x[:2000], y[:2000], lags=0)
    blamed = fuser.attribute(x[2000:])[y[2000:]].argmax(axis=1)
    assert (blamed == who[2000:][y[2000:]]).mean() > 0.95


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"kind": "tree"}, ParameterError, "kind must be one of"),
        ({"labels": np.ones(3, bool)}, InputError, r"labels must have shape \(100,\)"),
        ({"labels": np.zeros(100, bool)}, InputError, "labels must hold both kinds"),
        ({"labels": np.arange(100) < 50}, InputError, "labels must hold both kinds"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, error, text: str) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'biomem[learn]'")
    with pytest.raises(error, match=text):
        LearnedFuser.fit(
            **{"features": np.zeros((100, 12)), "labels": np.arange(100) % 2, **change}
        )
