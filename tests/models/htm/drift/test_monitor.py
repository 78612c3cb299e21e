"""The monitor: phases, estimates, what it finds, and what it must not find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.model import flatten
from biomem.errors import ParameterError
from biomem.models.htm.drift import (
    GRID,
    BernoulliTest,
    DensityTest,
    DriftMonitor,
    DriftMonitorParams,
    MeanTest,
    Phase,
    PoissonTest,
    VarianceTest,
    cpu,
)
from biomem.testing import check_model

DENSITY = DensityTest(edges=(-9.0, -1.0, 1.0, 9.0), reference=(16, 68, 16), changed=(10, 40, 50))
TESTS = [
    BernoulliTest(p0=0.1, p1=0.4),
    MeanTest(delta=1.0),
    MeanTest(delta=GRID),
    VarianceTest(ratio=1.5),
    PoissonTest(),
    DENSITY,
]
SETTINGS = [
    {"test": test, "dependence": dependence}
    for test in TESTS
    for dependence in ("none", "scale", "batch", "whiten")
    if not (isinstance(test, PoissonTest) and dependence in ("batch", "whiten"))
    and not (isinstance(test, VarianceTest) and dependence == "batch")
]


def run(model: DriftMonitor, values: np.ndarray, weights: np.ndarray | None = None):
    """Run the kernel over ``(time,)`` or ``(time, batch)`` values."""
    values = values[:, None] if values.ndim == 1 else values
    xs = np.stack([values, np.ones_like(values) if weights is None else weights], -1)
    return cpu.monitor_scan(model, model.init_state(xs.shape[1]), xs, 0)


def autoregressive(phi: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    out = noise.copy()
    for t in range(1, shape[0]):
        out[t] = phi * out[t - 1] + math.sqrt(1 - phi * phi) * noise[t]
    return out


def rate(y) -> float:
    """False alarms per record in which there could be one."""
    return int(y.drift.sum()) / int(np.isin(y.phase, (Phase.NORMAL, Phase.DRIFT)).sum())


@given(
    setting=st.sampled_from(SETTINGS),
    side=st.sampled_from(["up", "down", "both"]),
    method=st.sampled_from(["cusum", "sprt"]),
    estimator=st.sampled_from(["moments", "median"]),
    limit=st.sampled_from([0.5, 2.0, 5.0]),
    probation=st.integers(0, 3),
    cooldown=st.integers(0, 4),
    scale=st.sampled_from([0.0, 1e-200, 1.0, 1e200, 1e308]),
    cut=st.integers(0, 220),
    seed=st.integers(0, 2**31),
)
def test_scan_in_two_chunks_equals_the_reference(
    setting: dict, side: str, method: str, limit: float, scale: float, cut: int, seed: int, **rest
) -> None:
    side = side if setting["test"].mirrored else "up"
    model = DriftMonitor(**setting, side=side, method=method, limit=limit, baseline=40, **rest)
    rng = np.random.default_rng(seed)
    xs = np.ones((220, 2, 2))
    xs[..., 0] = rng.normal(size=(220, 2)).round(1)
    xs[90:, :, 0] += rng.choice([-2.0, 0.0, 2.0])
    xs[..., 0] = np.clip(xs[..., 0], -1.7, 1.7) * scale
    xs[..., 1] = rng.choice([0.0, 1.0, 0.5], (220, 2), p=[0.1, 0.6, 0.3])
    state, rows = model.init_state(2), []
    for tick, x in enumerate(xs):
        state, y = model.step(state, x, tick)
        rows.append(y)
    got, first = cpu.monitor_scan(model, model.init_state(2), xs[:cut], 0)
    got, second = cpu.monitor_scan(model, got, xs[cut:], cut)
    for (name, a), (_, b) in zip(flatten(got), flatten(state), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
        assert not np.isnan(a).any(), name
    for i, name in enumerate(first._fields):
        want = np.array([row[i] for row in rows])
        np.testing.assert_array_equal(np.concatenate([first[i], second[i]]), want, err_msg=name)


@pytest.mark.parametrize("setting", SETTINGS[::4], ids=str)
def test_keeps_the_model_contract(setting: dict) -> None:
    check_model(DriftMonitor(**setting, baseline=40, limit=3.0), ticks=200, new_process=False)


@given(
    test=st.sampled_from([*TESTS[:4], MeanTest(delta=0.2), VarianceTest(ratio=4.0)]),
    dependence=st.sampled_from(["none", "scale", "whiten"]),
    method=st.sampled_from(["cusum", "sprt"]),
    limit=st.sampled_from([0.1, 1.0, 6.0]),
    clip=st.sampled_from([0.5, 3.0, 1e6]),
    min_records=st.integers(2, 6),
    outlier=st.floats(-1e300, 1e300),
    place=st.integers(0, 79),
    seed=st.integers(0, 1000),
)
def test_one_record_alone_never_raises_a_drift(
    test, dependence: str, outlier: float, place: int, seed: int, **rules
) -> None:
    model = DriftMonitor(
        test=test,
        side="both" if test.kind == "mean" else "up",
        dependence=dependence,
        estimator="median",
        baseline=60,
        **rules,
    )
    values = np.full(140, 0.0)
    values[:60] = np.random.default_rng(seed).normal(size=60)
    values[60:] = np.median(values[:60])
    values[60 + place] = outlier
    _, y = run(model, values)
    assert not y.drift.any()


@pytest.mark.parametrize("outlier", [1e3, -1e3])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_one_record_among_noise_hardly_ever_raises_a_drift(setting: dict, outlier: float) -> None:
    model = DriftMonitor(**setting, false_alarm_every=1e5)
    rng = np.random.default_rng(2)
    poisson = isinstance(setting["test"], PoissonTest)
    values = rng.poisson(5.0, (1000, 100)) if poisson else rng.normal(size=(1000, 100))
    values = values.astype(float)
    values[700] = abs(outlier) if poisson else outlier
    _, y = run(model, values)
    assert y.drift[700:].any(axis=0).sum() <= 6


def test_goes_through_its_phases() -> None:
    model = DriftMonitor(
        test=MeanTest(), side="both", baseline=40, probation=10, cooldown=20, limit=6.0
    )
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    values[:10], values[150:] = 1e6, values[150:] + 6.0
    state, y = run(model, values)
    phase = y.phase[:, 0]
    drift = int(np.flatnonzero(y.drift[:, 0])[0])
    want = [Phase.PROBATION] * 10 + [Phase.BASELINE] * 40 + [Phase.NORMAL] * (drift - 50)
    want += [Phase.DRIFT] + [Phase.COOLDOWN] * 20 + [Phase.REBASELINE] * 40
    want += [Phase.NORMAL] * (400 - len(want))
    assert phase.tolist() == want
    assert 150 < drift < 160
    assert y.drift.sum() == 1
    assert (y.onset[: drift + 1][phase[: drift + 1] < Phase.NORMAL] == -1).all()
    assert abs(y.onset[drift, 0] - 150) <= 2
    assert y.direction[drift, 0] == 1
    assert y.before[drift, 0] == pytest.approx(values[10:50].mean())
    assert y.after[drift, 0] == pytest.approx(values[y.onset[drift, 0] : drift + 1].mean())
    later = values[drift + 21 : drift + 61]
    assert state.estimates.centre[0] == pytest.approx(later.mean())
    assert state.estimates.scale[0] == pytest.approx(later.std(ddof=1))


def test_median_and_mad_do_not_mind_outliers_in_the_baseline() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 300)
    values[::15] = 1e4
    found = {}
    for estimator in ("moments", "median"):
        state, _ = run(DriftMonitor(test=MeanTest(), estimator=estimator, baseline=300), values)
        found[estimator] = float(state.estimates.centre[0]), float(state.estimates.scale[0])
    assert found["median"] == pytest.approx((3.0, 2.0), rel=0.15)
    assert found["moments"][1] > 100


def test_sets_the_threshold_so_that_the_baseline_exceeds_it_as_stated() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    state, _ = run(DriftMonitor(test=BernoulliTest(p0=0.05), baseline=1000), values)
    assert float(state.estimates.before[0]) == 0.05
    threshold = float(state.estimates.centre[0] + state.estimates.threshold[0])
    assert (values > threshold).sum() == 50


def test_estimates_the_rate_per_exposure() -> None:
    rng = np.random.default_rng(0)
    exposure = rng.uniform(0.5, 2.0, (900, 1))
    counts = rng.poisson(exposure * 3.0)
    counts[600:] = rng.poisson(exposure[600:] * 6.0)
    _, y = run(DriftMonitor(test=PoissonTest()), counts.astype(float), exposure)
    drift = int(np.flatnonzero(y.drift[:, 0])[0])
    assert 600 < drift < 620
    assert y.before[drift, 0] == pytest.approx(counts[:500].sum() / exposure[:500].sum())
    assert y.after[drift, 0] == pytest.approx(6.0, rel=0.3)


@pytest.mark.parametrize("phi", [0.5, 0.9])
@pytest.mark.parametrize("test", [MeanTest(delta=1.0), BernoulliTest(), VarianceTest()])
def test_the_corrections_keep_dependent_records_from_raising_alarms(test, phi: float) -> None:
    values = autoregressive(phi, (6000, 100), 3)
    rates = {}
    for dependence in ("none", "scale", "batch", "whiten"):
        if isinstance(test, VarianceTest) and dependence == "batch":
            continue
        model = DriftMonitor(test=test, dependence=dependence, false_alarm_every=5000.0)
        rates[dependence] = 5000 * rate(run(model, values)[1])
    assert rates.pop("none") > 5
    assert max(rates.values()) < 2.5
    assert rates["whiten"] == pytest.approx(1.0, abs=0.5)


def test_measures_the_correlation() -> None:
    values = autoregressive(0.8, (4000, 20), 0)
    state, _ = run(DriftMonitor(test=MeanTest(), baseline=4000), values)
    assert np.abs(state.estimates.phi - 0.8).max() < 0.06
    assert state.estimates.gain.mean() == pytest.approx(1 / 9, rel=0.1)
    state, _ = run(DriftMonitor(test=MeanTest(), baseline=4000, dependence="batch"), values)
    assert ((state.estimates.length >= 13) & (state.estimates.length <= 20)).all()


def test_false_alarms_come_as_seldom_as_asked_for() -> None:
    values = np.random.default_rng(1).normal(size=(8000, 100))
    for method in ("cusum", "sprt"):
        model = DriftMonitor(
            test=MeanTest(), side="both", method=method, false_alarm_every=4000, baseline=1000
        )
        assert 4000 * rate(run(model, values)[1]) == pytest.approx(1.0, abs=0.35)


def test_finds_a_slow_ramp_that_a_rolling_baseline_would_absorb() -> None:
    values = np.random.default_rng(1).normal(size=(3000, 50))
    values[1000:] += np.minimum(np.arange(2000) / 1000, 1.0)[:, None] * 2
    _, y = run(DriftMonitor(test=MeanTest(), side="both", false_alarm_every=1e5), values)
    assert y.drift[1000:2200].any(axis=0).all()
    assert y.drift[:1000].sum() <= 2


def test_a_flat_baseline_tells_any_change() -> None:
    values = np.full(200, 7.0)
    values[120:] = 7.001
    _, y = run(DriftMonitor(test=MeanTest(), side="both", baseline=100), values)
    assert 123 < int(np.flatnonzero(y.drift[:, 0])[0]) < 130


@given(missing=st.lists(st.integers(0, 200), max_size=30), setting=st.sampled_from(SETTINGS))
def test_missing_records_change_nothing_but_their_count(missing: list[int], setting: dict) -> None:
    model = DriftMonitor(**setting, baseline=40, cooldown=5, limit=3.0)
    values = np.abs(np.random.default_rng(0).normal(size=200))
    values[90:150] += 2.0
    _, want = run(model, values)
    holes = np.insert(values, sorted(min(m, 200) for m in missing), math.pi)
    weights = np.insert(np.ones(200), sorted(min(m, 200) for m in missing), 0.0)[:, None]
    state, got = run(model, holes, weights)
    kept = weights[:, 0] > 0
    for name in got._fields:
        if name != "onset":
            np.testing.assert_array_equal(getattr(got, name)[kept], getattr(want, name), name)
    assert state.test.missing.tolist() == [len(missing)]
    assert got.drift.sum() == want.drift.sum()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("method", {"method": "page"}),
        ("estimator", {"estimator": "mode"}),
        ("dependence", {"dependence": "ar"}),
        ("dependence", {"dependence": "batch", "test": VarianceTest()}),
        ("dependence", {"dependence": "whiten", "test": PoissonTest()}),
        ("clip", {"clip": None}),
        ("limit", {"limit": -1.0}),
        ("beta", {"beta": 0.5}),
        ("min_records", {"min_records": 1}),
        ("probation", {"probation": -1}),
        ("baseline", {"baseline": 39}),
        ("cooldown", {"cooldown": 1.5}),
        ("side", {"test": DENSITY, "side": "both"}),
    ],
)
def test_refuses_and_names_the_parameter(name: str, changes: dict) -> None:
    with pytest.raises(ParameterError, match=rf"DriftMonitorParams\.{name} must be .*, got"):
        DriftMonitorParams(**changes)
