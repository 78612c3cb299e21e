"""The customary detectors in our form: statistics against SciPy, windows against a plain loop."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from biomem.errors import BackendUnavailable, InputError, ParameterError
from biomem.models.htm.drift import CUSUM, SPRT, DriftMonitor, MeanTest
from biomem.stream.baselines import AnyOf, ModelDrift, RiverDrift, WindowDrift, threshold_for
from biomem.stream.baselines_cpu import kolmogorov, stability, wasserstein

samples = st.lists(st.integers(-5, 5) | st.floats(-5, 5), min_size=2, max_size=40)


@given(a=samples, b=samples)
def test_statistics_are_those_of_scipy(a: list[float], b: list[float]) -> None:
    x, y = np.sort(np.array(a, float)), np.sort(np.array(b, float))
    want = stats.ks_2samp(x, y, method="asymp").statistic
    assert kolmogorov(x, y) == pytest.approx(want, abs=1e-12)
    if x.std() > 1e-6:
        want = stats.wasserstein_distance(x, y) / x.std()
        assert wasserstein(x, y) == pytest.approx(want, rel=1e-9, abs=1e-9)


def test_stability_counts_records_in_bins_of_equal_share() -> None:
    a, b = np.sort(np.random.default_rng(0).normal(size=(2, 200)), axis=1)
    edges = a[np.arange(1, 10) * 20]
    p = (np.histogram(a, [-np.inf, *edges, np.inf])[0] + 0.5) / 205
    q = (np.histogram(b + 1, [-np.inf, *edges, np.inf])[0] + 0.5) / 205
    assert stability(a, b + 1, 10) == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert stability(a, a, 10) == 0
    assert stability(np.zeros(20), np.zeros(20), 10) == 0


def test_a_flat_reference_tells_any_change() -> None:
    flat = np.ones(10)
    assert wasserstein(flat, flat) == 0
    assert wasserstein(flat, flat + 1e-3) == np.inf


@pytest.mark.parametrize("reference", [None, 30])
@pytest.mark.parametrize("every", [1, 4])
def test_windows_are_the_last_records_and_those_before_or_the_first(
    reference: int | None, every: int
) -> None:
    xs = np.random.default_rng(3).normal(size=400)
    xs[200:] += 2.5
    got = WindowDrift("ks", 0.7, window=20, reference=reference, every=every).run(xs)
    begin, found = 0, []
    for t in range(len(xs)):
        seen = xs[begin : t + 1]
        if len(seen) % every or len(seen) < 20 + (reference or 20):
            continue
        kept = seen[-40:-20] if reference is None else seen[:30]
        if stats.ks_2samp(kept, seen[-20:]).statistic >= 0.7 - 1e-12:
            found.append(t)
            begin = t + 1
    assert np.flatnonzero(got).tolist() == found
    assert found


def detectors(batch: int) -> list:
    monitor = DriftMonitor(test=MeanTest(), side="both", baseline=100, limit=6.0)
    return [
        ModelDrift(monitor, batch),
        ModelDrift(CUSUM(test=MeanTest(), limit=5.0), batch),
        ModelDrift(SPRT(test=MeanTest(), alpha=1e-3), batch),
        WindowDrift("wasserstein", 1.0, window=20, batch=batch),
        WindowDrift("psi", 2.0, window=20, reference=60, every=3, batch=batch),
        AnyOf(ModelDrift(monitor, batch), WindowDrift("ks", 0.8, batch=batch)),
    ]


@pytest.mark.parametrize("which", range(6))
def test_updates_chunks_and_single_streams_agree_and_missing_records_are_none(which: int) -> None:
    xs = np.random.default_rng(1).normal(size=(300, 3))
    xs[150:] += 2.5
    whole = detectors(3)[which].run(xs)
    assert whole[150:].any(axis=0).all()
    parts = detectors(3)[which]
    chunks = [parts.run(xs[:77]), parts.run(xs[77:200])]
    chunks += [parts.update(x)[None] for x in xs[200:]]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    np.testing.assert_array_equal(detectors(1)[which].run(xs[:, 1]), whole[:, 1])
    holes = np.insert(xs, [5, 120, 160, 160], np.nan, axis=0)
    got = detectors(3)[which].run(holes)
    np.testing.assert_array_equal(got[~np.isnan(holes[:, 0])], whole)
    assert not got[np.isnan(holes[:, 0])].any()


def test_a_threshold_keeps_the_rate_it_was_found_for() -> None:
    rng = np.random.default_rng(0)

    def make(x: float) -> WindowDrift:
        return WindowDrift("wasserstein", x, window=30, batch=50)

    found = threshold_for(make, rng.normal(size=(4000, 50)), 1000, 0.2, 3.0)
    assert found.false_alarm_every == pytest.approx(1000, rel=0.1)
    fresh = make(found.setting).run(rng.normal(size=(4000, 50)))
    assert 1 / fresh.mean() == pytest.approx(1000, rel=0.35)
    with pytest.raises(ParameterError, match=r"no setting in \[2.0, 3.0\] gives a false alarm"):
        threshold_for(make, rng.normal(size=(400, 50)), 100, 2.0, 3.0)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("statistic", {"statistic": "t"}),
        ("threshold", {"threshold": 0.0}),
        ("window", {"window": 1}),
        ("reference", {"reference": 1}),
        ("every", {"every": 0}),
        ("bins", {"bins": 1}),
        ("batch", {"batch": 0}),
    ],
)
def test_refuses_settings(name: str, changes: dict) -> None:
    with pytest.raises(ParameterError, match=f"WindowDrift: {name} must be .*, got"):
        WindowDrift(**{"statistic": "ks", "threshold": 0.5, **changes})


@pytest.mark.parametrize("xs", [np.ones((5, 3)), np.ones(5), [[1.0, np.inf]], np.ones((1, 1, 2))])
def test_refuses_records(xs: object) -> None:
    with pytest.raises(InputError, match="WindowDrift: xs must"):
        WindowDrift("ks", 0.5, batch=2).run(xs)


def test_refuses_detectors_of_different_batches() -> None:
    with pytest.raises(ParameterError, match=r"one batch, got batches \[1, 2\]"):
        AnyOf(WindowDrift("ks", 0.5, batch=1), WindowDrift("ks", 0.5, batch=2))


def test_river_detectors_or_what_to_install() -> None:
    if importlib.util.find_spec("river") is None:
        with pytest.raises(BackendUnavailable, match="pip install river"):
            RiverDrift("ADWIN")
        return
    xs = np.random.default_rng(0).normal(size=(1000, 2))
    xs[500:, 0] += 3
    xs[100] = np.nan
    got = RiverDrift("ADWIN", 2).run(xs)
    assert got[500:560, 0].any()
    assert not got[:, 1].any()
    with pytest.raises(ParameterError, match=r"river\.drift has no detector 'DDM9'"):
        RiverDrift("DDM9")
