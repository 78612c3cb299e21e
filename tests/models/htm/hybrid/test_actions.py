"""What a drift does to the HTM it was found in, in the reference and in the kernel."""

import numpy as np
import pytest

from biomem import Simulator
from biomem.errors import ParameterError
from biomem.models.htm.classifier import SDRClassifierParams
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.drift import DriftMonitorParams, MeanTest
from biomem.models.htm.encoders import RDSE
from biomem.models.htm.hybrid import FieldParams, HTMDriftDetector, HTMDriftParams
from biomem.models.htm.hybrid.params import ACTIONS
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams
from biomem.testing import check_model
from biomem.testing.contract import persistent

PROBATION = 30


def params(*actions: str, n: int = 1, **changes) -> HTMDriftParams:
    value = RDSE(size=600, active_bits=15, resolution=1.0)
    detector = HTMDetectorParams(
        value=value,
        spatial_pooler=SpatialPoolerParams.nab((600,), column_shape=(128,), n_active=8),
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
    )
    fields = tuple(FieldParams(name=f"f{i}", minimum=0.0, maximum=100.0) for i in range(n))
    values = {
        "detector": detector,
        "fields": fields,
        "signal": "value",
        "monitor": DriftMonitorParams(test=MeanTest(), side="both", baseline=40, cooldown=10),
        "on_drift": actions,
        "faster_records": 25,
    }
    return HTMDriftParams(**{**values, **changes})


def shifted(n: int = 300, where: int = 120, by: float = 40.0) -> np.ndarray:
    t = np.arange(n)
    noise = np.random.default_rng(2).normal(0, 2.0, n)
    return 30 + 10 * np.sin(2 * np.pi * t / 12) + noise + by * (t >= where)


def run(p: HTMDriftParams, values: np.ndarray, backend: str = "auto", chunk: int | None = None):
    model = HTMDriftDetector(p)
    sim = Simulator(model, backend=backend, chunk=chunk)
    return sim, sim.run(model.records(values))


FORECAST = SDRClassifierParams(size=1, horizons=(1, 3), buckets=9)
CASES = {
    "all": params(*ACTIONS, predictor=FORECAST, n=2),
    "faster": params("faster"),
    "scores": params("rebaseline", signal="log_likelihood"),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_reference_bit_for_bit(name: str) -> None:
    p = CASES[name]
    values = np.stack([shifted(160, 80), shifted(160, 100, -30.0)], axis=1)[:, : len(p.fields)]
    (a, want), (b, got) = (run(p, values, backend) for backend in ("numpy", "numba"))
    for field in want:
        np.testing.assert_array_equal(want[field], got[field], err_msg=field)
    other = persistent(b)
    for field, array in persistent(a).items():
        np.testing.assert_array_equal(array, other[field], err_msg=field)
    _, parts = run(p, values, "numba", chunk=7)
    for field in want:
        np.testing.assert_array_equal(parts[field], got[field], err_msg=field)
    assert want["drift"][:, 0].any(axis=0).all() or name == "scores"


def test_the_detector_keeps_the_contract() -> None:
    check_model(HTMDriftDetector(CASES["all"]), ticks=12, new_process=False)


def test_nothing_changes_up_to_the_drift_and_something_after_it() -> None:
    values = shifted()
    _, plain = run(params(predictor=FORECAST), values)
    (when,) = np.flatnonzero(plain["drift"][:, 0, 0])
    assert 120 <= when < 160
    for action in ACTIONS:
        _, out = run(params(action, predictor=FORECAST), values)
        for field in plain:
            np.testing.assert_array_equal(out[field][: when + 1], plain[field][: when + 1])
        name = "log_likelihood" if action == "rebaseline" else "raw"
        assert (out[name][when + 1 :] != plain[name][when + 1 :]).any(), action


def test_a_reset_begins_a_sequence_with_the_next_record() -> None:
    values = shifted()
    _, out = run(params("reset"), values)
    (when,) = np.flatnonzero(out["drift"][:, 0, 0])
    model = HTMDriftDetector(params())
    resets = np.arange(len(values)) == when + 1
    want = Simulator(model).run(model.records(values, resets=resets))
    for field in want:
        np.testing.assert_array_equal(out[field], want[field])
    assert out["raw"][when + 1, 0, 0] == 1


def test_a_likelihood_begun_anew_is_one_that_has_seen_nothing() -> None:
    from biomem import AnomalyLikelihood

    values = shifted()
    p = params("rebaseline")
    _, out = run(p, values)
    (when,) = np.flatnonzero(out["drift"][:, 0, 0])
    later = slice(when + 1, None)
    xs = np.stack([out["raw"][later, 0, 0], values[later]], axis=-1)
    want = Simulator(AnomalyLikelihood(p.detector.likelihood)).run(xs)
    np.testing.assert_array_equal(out["likelihood"][later, 0, 0], want["likelihood"][:, 0])
    ready = out["ready"][later, 0, 0]
    assert not ready[:PROBATION].any()
    assert ready[PROBATION:].all()


def test_a_monitor_of_scores_is_given_none_until_the_likelihood_is_back() -> None:
    values = np.random.default_rng(0).integers(0, 4, 900) * 25.0
    values[:400] = np.tile([0.0, 25.0, 50.0, 75.0], 100)
    monitor = DriftMonitorParams(probation=40, baseline=200, cooldown=5, false_alarm_every=500)
    _, out = run(params("rebaseline", signal="log_likelihood", monitor=monitor), values)
    when = np.flatnonzero(out["drift"][:, 0, 0])[0]
    assert 400 <= when < 700
    signal = out["signal"][:, 0, 0]
    assert np.isnan(signal[when + 1 : when + 1 + PROBATION]).all()
    assert not np.isnan(signal[: when + 1]).any()
    assert not np.isnan(signal[when + 1 + PROBATION]).any()
    held = out["phase"][when + 1 : when + 1 + PROBATION, 0, 0]
    assert len(set(held.tolist())) == 1


def test_what_is_learned_faster_is_learned_sooner_and_only_for_a_while() -> None:
    n, where = 900, 500
    t = np.arange(n)
    cycle = np.where(t < where, 10.0 + 10 * (t % 4), 90.0 - 10 * (t * 3 % 5))
    noise = np.random.default_rng(1).normal(0, 0.2, n)
    slow = params().detector.temporal_memory.replace(permanence_inc=0.02, initial_permanence=0.2)

    def of(*actions: str, **changes) -> tuple[HTMDriftParams, np.ndarray]:
        p = params(*actions, **changes)
        p = p.replace(detector=p.detector.replace(temporal_memory=slow))
        return p, run(p, cycle + noise)[1]["raw"][:, 0, 0]

    _, plain = of()
    p, fast = of("faster", faster_records=400, faster_gain=4.0)
    assert p.faster_memory.permanence_inc == 0.08
    assert p.faster_pooler.perm_active_inc == 0.012
    span = slice(where + 40, where + 140)
    assert fast[span].mean() < 0.6 * plain[span].mean()
    assert HTMDriftParams(**{**vars(p), "faster_gain": 1e9}).faster_memory.permanence_inc == 1.0


def test_what_is_forgotten_is_gone_and_what_codes_the_value_stays() -> None:
    values = shifted(400, 300)
    sim, out = run(params("forget", predictor=FORECAST), values)
    (when,) = np.flatnonzero(out["drift"][:, 0, 0])
    _, plain = run(params(predictor=FORECAST), values)
    np.testing.assert_array_equal(out["raw"][when + 1 : when + 3, 0, 0], 1.0)
    assert np.isnan(out["error"][when + 1, 0, 0]).all()
    assert not np.isnan(plain["error"][when + 1, 0, 0]).any()
    other, _ = run(params(predictor=FORECAST), values)
    mine, theirs = persistent(sim), persistent(other)
    name = next(k for k in mine if k.endswith("u0/spatial_pooler/permanences"))
    np.testing.assert_array_equal(mine[name], theirs[name])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"on_drift": "reset"}, "on_drift must be a tuple of different ones of"),
        ({"on_drift": ("restart",)}, "on_drift must be a tuple"),
        ({"on_drift": ("reset", "reset")}, "on_drift must be a tuple"),
        ({"faster_records": 0}, "faster_records must be an integer >= 1"),
        ({"faster_gain": 0.5}, "faster_gain must be finite and >= 1"),
    ],
)
def test_actions_that_are_none_are_refused(changes: dict, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        params(**changes)
