"""The drift detector: equal to its parts, its kernel to its reference, and right about drifts."""

import math

import numpy as np
import pytest

from biomem import HTMDetector, Simulator
from biomem.errors import InputError, ParameterError
from biomem.models.htm.classifier import SDRClassifierParams
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.drift import (
    SPRT,
    BernoulliTest,
    DriftMonitor,
    DriftMonitorParams,
    MeanTest,
    Phase,
    SPRTParams,
    VarianceTest,
    rescaled_residual,
)
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.hybrid import (
    FieldParams,
    HTMDriftDetector,
    HTMDriftParams,
    events_of,
)
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams
from biomem.testing import check_model
from biomem.testing.contract import persistent

FIELDS = (
    FieldParams(name="load", minimum=0.0, maximum=100.0),
    FieldParams(name="heat", minimum=-5.0, maximum=5.0),
    FieldParams(name="flow", minimum=10.0, maximum=11.0, resolution=0.01),
)
FORECAST = SDRClassifierParams(size=1, horizons=(1, 4), buckets=9)


def one(table: bool = False, time: bool = True, **changes) -> HTMDetectorParams:
    value = RDSE(size=600, active_bits=15, resolution=1.0, table=table)
    clock = DateTimeEncoder(time_of_day=(7, 6.0)) if time else None
    bits = value.size + (clock.size if clock else 0)
    return HTMDetectorParams(
        value=value,
        time=clock,
        spatial_pooler=SpatialPoolerParams.nab((bits,), column_shape=(128,), n_active=8),
        temporal_memory=TemporalMemoryParams(
            n_columns=128,
            cells_per_column=6,
            activation_threshold=5,
            min_threshold=3,
            max_new_synapses=7,
            max_segments_per_cell=3,
            max_synapses_per_segment=9,
        ),
        likelihood=AnomalyLikelihoodParams(
            learning_period=20, estimation_samples=10, historic_window=60, reestimation_period=7
        ),
        **changes,
    )


def params(n: int = 2, **changes) -> HTMDriftParams:
    values = {"detector": one(), "fields": FIELDS[:n], "monitor": DriftMonitorParams(baseline=40)}
    return HTMDriftParams(**{**values, **changes})


GIVEN = {
    "signal": "rescaled",
    "window": 5,
    "predictor": FORECAST,
    "given": True,
    "monitor": DriftMonitorParams(
        test=BernoulliTest(p0=0.2, p1=0.5), method="sprt", limit=2.0, dependence="none"
    ),
}
CASES = {
    "residual": params(
        signal="residual",
        predictor=FORECAST.replace(distribution=True),
        flatline=2,
        monitor=DriftMonitorParams(baseline=40, test=MeanTest(), side="both"),
    ),
    "given": params(detector=one(table=True, range_rule=True), fusion="majority", **GIVEN),
    "joint": params(3, detector=one(range_rule=True), joint=True, fusion="any"),
    "value": params(
        1,
        detector=one(time=False),
        signal="value",
        monitor=DriftMonitorParams(baseline=40, test=VarianceTest(), side="both"),
    ),
    "exceedance": params(signal="exceedance", threshold=0.02),
    "none": params(1, signal="none"),
}


@pytest.mark.parametrize("name", ["residual", "joint"])
def test_the_detector_keeps_the_contract(name: str) -> None:
    check_model(HTMDriftDetector(CASES[name]), ticks=30, new_process=name == "residual")


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_reference_bit_for_bit(name: str) -> None:
    model = HTMDriftDetector(CASES[name])
    rng = np.random.default_rng(3)
    xs = np.concatenate([inputs(model, 110), inputs(model, 40, seed=1) + shifted(model)])
    xs[20:23, 0, 2 + len(model.params.fields) :] = 0
    xs[21, 0, 1] = 1
    xs[rng.random(150) < 0.05, 0, 0] = 1e13
    runs = [Simulator(model, backend=b) for b in ("numpy", "numba")]
    want, got = (sim.run(xs) for sim in runs)
    for field in want:
        np.testing.assert_array_equal(want[field], got[field], err_msg=field)
    other = persistent(runs[1])
    for field, array in persistent(runs[0]).items():
        np.testing.assert_array_equal(array, other[field], err_msg=field)
    if name != "none":
        assert (want["phase"] == Phase.NORMAL).any()


def inputs(model: HTMDriftDetector, ticks: int, seed: int = 0) -> np.ndarray:
    from biomem.engine.random import Rng

    return model.example_inputs(ticks, 1, Rng(seed))


def shifted(model: HTMDriftDetector) -> np.ndarray:
    """Return what moves every field up by its range."""
    move = np.zeros(model.sizes["feature"])
    for i, field in enumerate(model.params.fields):
        move[2 + i] = field.maximum - field.minimum
    return move


def cycle(n: int, seed: int, middle: float = 50.0, half: float = 40.0) -> np.ndarray:
    t = np.arange(n)
    return (
        middle
        + half * np.sin(2 * np.pi * t / 48 + seed)
        + np.random.default_rng(seed).normal(0, half / 40, n)
    )


def test_each_field_equals_a_detector_of_its_own_where_it_is_present() -> None:
    n = 400
    times, resets = np.arange(n) * 1800.0, np.arange(n) == 150
    values = np.stack([cycle(n, 1), cycle(n, 2, 0.0, 4.0)], axis=1)
    values[np.random.default_rng(0).random((n, 2)) < 0.2] = np.nan
    values[150, 1] = np.nan
    model = HTMDriftDetector(params(detector=one(range_rule=True), predictor=FORECAST))
    out = Simulator(model).run(model.records(values, times, resets))
    for u, encoder in enumerate(model.encoders):
        alone = HTMDetector(one(range_rule=True).replace(value=encoder))
        there = ~np.isnan(values[:, u])
        begins = resets[there].astype(float)
        if u == 1:
            begins[np.count_nonzero(there[:150])] = 1
        xs = np.stack([values[there, u], times[there], begins], axis=-1)
        want = Simulator(alone).run(xs)
        for name, mine in (("raw", "raw"), ("likelihood", "likelihood"), ("score", "unit_score")):
            np.testing.assert_array_equal(out[mine][there, 0, u], want[name][:, 0])
            assert np.isnan(out[mine][~there, 0, u]).all()
        ready = np.cumsum(there) > 30
        np.testing.assert_array_equal(out["ready"][:, 0, u].astype(bool), ready)


@pytest.mark.parametrize("signal", ["raw", "log_likelihood", "score", "residual"])
def test_the_monitor_is_a_drift_monitor_of_the_signal(signal: str) -> None:
    n = 600
    values = cycle(n, 3)
    values[400:] = np.random.default_rng(1).uniform(0, 100, 200)
    p = params(1, signal=signal, predictor=FORECAST)
    model = HTMDriftDetector(p)
    out = Simulator(model).run(model.records(values, np.arange(n) * 1800.0))
    source = {"score": "unit_score", "residual": "error"}.get(signal, signal)
    given = out[source][:, 0, 0].reshape(n, -1)[:, 0]
    np.testing.assert_array_equal(out["signal"][:, 0, 0], given)
    known = ~np.isnan(given)
    alone = Simulator(DriftMonitor(p.monitor))
    want = alone.run(np.stack([np.where(known, given, 0.0), known], axis=-1))
    for name in want:
        np.testing.assert_array_equal(out[name][:, 0, 0], want[name][:, 0], err_msg=name)


def test_the_papers_signal_and_test_are_those_of_the_paper() -> None:
    n = 500
    values = cycle(n, 3)
    p = HTMDriftParams.paper({"load": (0.0, 100.0)})
    assert p.monitor.limits == pytest.approx((math.log(0.005 / 0.95), math.log(0.995 / 0.05)))
    assert p.window == 15
    p = p.replace(detector=one())
    model = HTMDriftDetector(p)
    out = Simulator(model).run(model.records(values, np.arange(n) * 1800.0))
    error = out["error"][:, 0, 0, 0]
    known = ~np.isnan(error)
    assert np.flatnonzero(known)[0] == 1
    want = rescaled_residual(values - np.where(known, error, 0.0), values, window=15)
    signal = out["signal"][known, 0, 0]
    np.testing.assert_allclose(signal, want[known], rtol=1e-12)
    alone = SPRT(SPRTParams.paper())
    records = np.stack([np.nan_to_num(out["signal"][:, 0, 0]), known], axis=-1)
    decided = Simulator(alone).run(records)
    np.testing.assert_array_equal(out["drift"][:, 0, 0], decided["decision"][:, 0] == 1)
    np.testing.assert_allclose(out["statistic"][:, 0, 0], decided["statistic"][:, 0], atol=1e-12)
    assert (decided["decision"] != 0).any()


def test_a_drift_is_told_with_its_field_onset_and_direction() -> None:
    n, where = 1500, 1200
    values = np.stack([cycle(n, 1), cycle(n, 2, 0.0, 4.0)], axis=1)
    values[where:, 1] = np.random.default_rng(7).uniform(-5, 5, n - where)
    monitor = DriftMonitorParams(baseline=500, probation=300)
    model = HTMDriftDetector(params(monitor=monitor, signal="raw"))
    out = Simulator(model).run(model.records(values, np.arange(n) * 1800.0))
    events = [e for e in events_of(model.params, out) if e.record >= where - 100]
    assert [e.stream for e in events][:1] == ["heat"]
    assert not any(e.stream == "load" for e in events)
    first = events[0]
    assert where <= first.record < where + 100
    assert abs(first.onset - where) < 40
    assert first.direction == 1
    assert first.after > first.before
    assert first.version.startswith("HTMDriftDetector ")


def test_a_frozen_sensor_is_flat_and_only_while_it_is() -> None:
    values = np.stack([cycle(60, 1), cycle(60, 2, 0.0, 4.0)], axis=1)
    values[20:40, 1] = values[20, 1]
    values[30, 1] = np.nan
    model = HTMDriftDetector(params(flatline=5))
    out = Simulator(model).run(model.records(values, np.arange(60) * 1800.0))
    flat = np.flatnonzero(out["flat"][:, 0, 1])
    np.testing.assert_array_equal(flat, np.arange(24, 40))
    assert not out["flat"][:, 0, 0].any()


def test_one_htm_for_all_fields_notices_a_field_that_goes_its_own_way() -> None:
    n = 3000
    t = np.arange(n)
    a = 50 + 40 * np.sin(2 * np.pi * t / 24)
    values = np.stack([a, a / 10 - 5], axis=1)
    values[2600:2650, 1] = -values[2600:2650, 1]
    ranges = {"a": (0.0, 100.0), "b": (-5.0, 5.0)}
    p = HTMDriftParams.for_ranges(ranges, joint=True, signal="none")
    assert p.names == ("a+b",)
    assert p.spatial_pooler.n_inputs == 2 * 400 + 54
    model = HTMDriftDetector(p)
    raw = Simulator(model).run(model.records(values, t * 3600.0))["raw"][:, 0, 0]
    assert raw[2400:2600].mean() < 0.05
    assert raw[2600:2650].mean() > 0.3


def test_events_of_other_outputs_are_refused() -> None:
    model = HTMDriftDetector(params())
    sim = Simulator(model)
    sim.record("raw")
    with pytest.raises(InputError, match="lacks 'phase'"):
        events_of(model.params, sim.run(inputs(model, 2)))
    with pytest.raises(InputError, match="must be of 1 fields, got 'phase' of shape"):
        events_of(params(1), Simulator(model).run(inputs(model, 2)))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: params(fields=()), "fields must be a tuple of FieldParams"),
        (lambda: params(fields=(FIELDS[0], FIELDS[0])), "fields of different names"),
        (lambda: params(fusion="mean"), "fusion must be one of"),
        (lambda: params(threshold=0.0), r"threshold must be in \(0, 1\]"),
        (lambda: params(signal="mood"), "signal must be one of"),
        (lambda: params(window=1), "window must be an integer >= 2"),
        (lambda: params(flatline=-1), "flatline must be an integer >= 0"),
        (lambda: params(signal="residual"), "the signal 'residual' is the error of a forecast"),
        (lambda: params(joint=True, predictor=FORECAST), "joint: one HTM for all fields has no"),
        (lambda: params(joint=True, signal="value"), "joint: one HTM for all fields has no"),
        (lambda: FieldParams(minimum=1.0, maximum=0.0), "maximum must be >= minimum = 1.0"),
        (lambda: FieldParams(minimum=math.nan, maximum=0.0), "minimum must be within"),
        (lambda: FieldParams(minimum=0, maximum=1, resolution=0), "resolution must be None or"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(build, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        build()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([[1.0]],), r"values must have shape \(records, 2\), got \(1, 1\)"),
        (([[1.0, 2.0]],), "times must be given"),
        (([[1.0, 2.0]], [0.0, 1.0]), r"times must have shape \(1,\), got \(2,\)"),
    ],
)
def test_records_of_another_shape_are_refused(arguments, text: str) -> None:
    with pytest.raises(InputError, match=text):
        HTMDriftDetector(params()).records(*arguments)
