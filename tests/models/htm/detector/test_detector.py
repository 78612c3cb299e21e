"""The detector as a whole: its kernel equals its reference, and it finds what it should."""

import csv

import numpy as np
import pytest

from biomem import HTMDetector, Simulator
from biomem.errors import InputError, ParameterError
from biomem.models.htm.detector import HTMDetectorParams, resolution_for
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams
from biomem.testing import check_model
from biomem.testing.contract import persistent

NAB_FILES = (
    "realKnownCause/nyc_taxi.csv",
    "realAWSCloudwatch/ec2_cpu_utilization_5f5533.csv",
    "artificialWithAnomaly/art_daily_jumpsup.csv",
)


def small(table: bool = False, time: bool = True, **changes) -> HTMDetectorParams:
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
            predicted_segment_dec=0.01,
        ),
        likelihood=AnomalyLikelihoodParams(
            learning_period=20, estimation_samples=10, historic_window=60, reestimation_period=7
        ),
        **changes,
    )


def assert_same_run(model: HTMDetector, xs: np.ndarray) -> None:
    reference, kernel = Simulator(model, backend="numpy"), Simulator(model, backend="numba")
    want, got = reference.run(xs), kernel.run(xs)
    for name in want:
        np.testing.assert_array_equal(want[name], got[name], err_msg=name)
    states = persistent(reference), persistent(kernel)
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


@pytest.mark.parametrize("params", [small(), small(table=True, range_rule=True), small(time=False)])
def test_the_detector_keeps_the_contract(params: HTMDetectorParams) -> None:
    check_model(HTMDetector(params), ticks=60, new_process=params.range_rule)


def nab_records(nab, name: str, n: int) -> np.ndarray:
    with (nab / "data" / name).open() as file:
        rows = list(csv.reader(file))[1:]
    stamps = np.array([r[0] for r in rows], "datetime64[s]").astype(np.float64)
    values = np.array([float(r[1]) for r in rows])
    return np.stack([values, stamps, np.zeros(len(rows))], axis=-1)[:n]


@pytest.mark.parametrize("name", NAB_FILES)
@pytest.mark.parametrize(
    "records", [pytest.param(80, id="80"), pytest.param(2000, id="2000", marks=pytest.mark.slow)]
)
def test_kernel_equals_reference_on_nab_with_all_permanences(nab, name: str, records: int) -> None:
    xs = nab_records(nab, name, records)
    values = xs[:, 0]
    assert_same_run(HTMDetector(HTMDetectorParams.nab(values.min(), values.max(), records)), xs)


def daily(days: int, noise: float = 1.0) -> np.ndarray:
    t = np.arange(48 * days)
    value = 50 + 40 * np.sin(2 * np.pi * t / 48) + np.random.default_rng(1).normal(0, noise, t.size)
    return np.stack([value, t * 1800.0, np.zeros(t.size)], axis=-1)


def test_a_day_without_rhythm_is_found_and_nothing_before_it() -> None:
    xs = daily(60)
    where = 48 * 50
    xs[where : where + 48, 0] = np.random.default_rng(5).uniform(0, 100, 48)
    model = HTMDetector(HTMDetectorParams.for_range(0, 100, probation=480))
    score = Simulator(model).run(xs)["score"][:, 0]
    assert score[480:where].max() < 0.3
    assert score[where : where + 12].max() > 0.5


def test_the_range_rule_reports_one_and_changes_nothing_else() -> None:
    xs = daily(4)
    xs[150, 0] = 1000.0
    off = Simulator(HTMDetector(small())).run(xs)
    on = Simulator(HTMDetector(small(range_rule=True))).run(xs)
    outside = on["score"] != off["score"]
    assert outside[150, 0]
    assert (on["score"][outside] == 1.0).all()
    np.testing.assert_array_equal(on["log_likelihood"], off["log_likelihood"])


def test_a_reset_forgets_the_sequence_but_not_what_was_learned() -> None:
    xs = daily(30, noise=0.0)
    again = xs.copy()
    again[1200, 2] = 1.0
    model = HTMDetector(small())
    plain, broken = (Simulator(model).run(x)["raw"][:, 0] for x in (xs, again))
    np.testing.assert_array_equal(plain[:1200], broken[:1200])
    assert broken[1200] == 1.0
    assert plain[1200] < 1.0
    assert broken[1201:1250].mean() < 0.5


def test_a_learned_cycle_is_predicted() -> None:
    model = HTMDetector(HTMDetectorParams.for_range(0, 100))
    raw = Simulator(model).run(daily(40, noise=0.0))["raw"][:, 0]
    assert raw[:10].mean() > 0.9
    assert raw[-48:].mean() < 0.1


def test_seed_changes_the_permanences_only_at_the_start() -> None:
    a, b = (Simulator(HTMDetector(small()), seed=s).state.spatial_pooler for s in (1, 2))
    assert not np.array_equal(a.permanences, b.permanences)


def test_resolution_is_nabs() -> None:
    assert resolution_for(0, 130) == pytest.approx(1.4)
    assert resolution_for(5, 5) == 0.001


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: HTMDetectorParams.for_range(2.0, 1.0), r"minimum <= maximum .* got 2.0 and 1.0"),
        (lambda: HTMDetectorParams.for_range(0.0, float("inf")), "must be finite"),
        (lambda: small().replace(time=None), r"input_shape must be \(600,\)"),
        (
            lambda: small().replace(temporal_memory=TemporalMemoryParams.nab()),
            "n_columns must be 128",
        ),
        (lambda: small().replace(range_fraction=-1.0), "range_fraction must be finite and >= 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(build, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        build()


def test_missing_values_are_refused_by_name() -> None:
    sim = Simulator(HTMDetector(small()))
    with pytest.raises(InputError, match="inputs must be finite, got nan"):
        sim.step([np.nan, 0.0, 0.0])
    assert sim.tick == 0
