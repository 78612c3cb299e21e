"""An HTM in front of sequential tests, in the form of the other drift detectors."""

import numpy as np
import pytest

from biomem import Simulator
from biomem.errors import InputError, ParameterError
from biomem.models.htm.drift import DriftMonitor, MeanTest
from biomem.models.htm.hybrid import FieldParams, HTMDriftDetector
from biomem.stream.baselines import ModelDrift, WindowDrift
from biomem.stream.htm_drift import HTMDrift

SMALL = {"probation": 40, "baseline": 60, "limit": 12.0}


def shifted(n: int = 260, batch: int = 2) -> np.ndarray:
    xs = np.random.default_rng(4).normal(size=(n, batch))
    xs[180:, 0] += 3.0
    return xs


def test_chunks_updates_and_single_streams_agree_and_a_step_is_found() -> None:
    xs = shifted()
    xs[[50, 120, 121], 1] = np.nan
    whole = HTMDrift.for_range(-4.0, 4.0, batch=2, **SMALL).run(xs)
    assert whole[180:210, 0].any()
    assert not whole[:180, 0].any()
    parts = HTMDrift.for_range(-4.0, 4.0, batch=2, **SMALL)
    chunks = [
        parts.run(xs[:101]),
        parts.run(xs[101:255]),
        *(parts.update(x)[None] for x in xs[255:]),
    ]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)
    alone = HTMDrift.for_range(-4.0, 4.0, **SMALL).run(xs[:, 1])
    np.testing.assert_array_equal(alone, whole[:, 1])


def test_signals_are_the_outputs_of_the_detector_and_the_verdict_is_of_any_watcher() -> None:
    xs = shifted()
    detector = HTMDrift.for_range(-4.0, 4.0, batch=2, **SMALL)
    signals = detector.signals(xs)
    model = HTMDriftDetector(detector.params)
    out = Simulator(model).run(model.records(xs[:, 1]))
    for name, mine in (("raw", "raw"), ("score", "unit_score"), ("error", "error")):
        want = out[mine].reshape(len(xs), -1)[:, 0]
        np.testing.assert_array_equal(signals[name][:, 1], want, err_msg=name)
    np.testing.assert_array_equal(signals["value"], xs)
    fresh = HTMDrift.for_range(-4.0, 4.0, batch=2, **SMALL).watch
    want = fresh["value"].run(signals["value"]) | fresh["error"].run(signals["error"])
    np.testing.assert_array_equal(detector.judge(signals), want)


def test_the_rate_is_shared_by_the_three_tests() -> None:
    detector = HTMDrift.for_range(0.0, 1.0, false_alarm_every=3000)
    (error,) = [detector.watch["error"]._simulator.model.params]
    assert error.limits == error.replace(false_alarm_every=9000, streams=1).limits
    assert (error.side, error.probation, error.method) == ("up", 300, "sprt")


def test_what_cannot_be_watched_is_refused() -> None:
    params = HTMDrift.for_range(0.0, 1.0).params
    monitor = ModelDrift(DriftMonitor(test=MeanTest()), 2)
    with pytest.raises(ParameterError, match=r"one batch, got batches \[1, 2\]"):
        HTMDrift(params, {"raw": monitor, "value": WindowDrift("ks", 0.5)})
    with pytest.raises(ParameterError, match=r"a signal must be one of .*, got 'mood'"):
        HTMDrift(params, {"mood": monitor})
    two = params.replace(fields=(*params.fields, FieldParams(name="b", minimum=0.0, maximum=1.0)))
    with pytest.raises(ParameterError, match="must have one field, got 2"):
        HTMDrift(two, {"raw": monitor})
    with pytest.raises(ParameterError, match=r"params.predictor must forecast, got None"):
        HTMDrift(params.replace(predictor=None), {"error": monitor})
    with pytest.raises(InputError, match=r"signals: xs must be .* \(time, batch=2\), got \(5,\)"):
        HTMDrift(params, {"raw": monitor}).signals(np.zeros(5))
