"""Our detectors keep river's rules; its checks of anomaly detectors run on records made here."""

import math

import numpy as np
import pytest

pytest.importorskip("river", reason="needs river: pip install -c constraints.txt -e '.[river]'")

import river.datasets
from river import checks, drift

from biomem.stream.adapters.for_river import HTMAnomaly, HTMDrift, MonitorDrift


class Records:
    """In the place of a data set that would have to be downloaded: cycles, some of them broken."""

    def take(self, n: int) -> list[tuple[dict[str, float], bool]]:
        rng, out = np.random.default_rng(0), []
        for t in range(min(n, 700)):
            bad = t > 300 and t % 150 < 12
            cycle = [math.sin(t / 3 + i) + 0.02 * rng.normal() for i in range(4)]
            x = rng.uniform(-1, 1, 4).tolist() if bad else cycle
            out.append(({f"f{i}": v for i, v in enumerate(x)}, bad))
        return out


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(river.datasets, "CreditCard", Records)


@pytest.mark.slow
@pytest.mark.parametrize("joint", [False, True])
def test_the_anomaly_detector_passes_rivers_checks(joint: bool) -> None:
    checks.check_estimator(HTMAnomaly(prefix=20, probation=40, light=True, joint=joint))


def names_of_failing_checks(detector) -> set[str]:
    """Return which of river's general checks fail: drift detectors are no estimators to it."""
    failed = set()
    for check in checks.yield_checks(detector):
        try:
            check(detector.clone())
        except Exception:
            failed.add(check.__name__)
    return failed


@pytest.mark.parametrize("detector", [HTMDrift(light=True, prefix=20), MonitorDrift()])
def test_the_drift_detectors_pass_what_rivers_own_pass(detector) -> None:
    assert names_of_failing_checks(detector) <= names_of_failing_checks(drift.ADWIN())


def test_the_score_is_that_of_the_record_when_it_is_learned() -> None:
    detector = HTMAnomaly(prefix=20, probation=40, light=True)
    scores = []
    for x, _ in Records().take(400):
        score = detector.score_one(x)
        assert score == detector.score_one(x)
        detector.learn_one(x)
        scores.append(score)
    assert scores[:20] == [0.0] * 20
    assert max(scores[300:330]) > max(scores[150:300])


def drifts(detector, values) -> list[int]:
    found = []
    for t, v in enumerate(values):
        detector.update(v)
        if detector.drift_detected:
            found.append(t)
    return found


def test_a_shift_of_the_mean_is_found_once_and_noise_is_not() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(5, 2, 1500)
    assert drifts(MonitorDrift(), values) == []
    values[1000:] += 3
    values[1200] = math.nan
    (found,) = drifts(MonitorDrift(cooldown=600), values)
    assert 1000 <= found < 1020


def test_a_rhythm_that_breaks_is_a_drift_and_the_rhythm_is_not() -> None:
    t = np.arange(3000)
    values = np.sin(t / 4) + np.random.default_rng(0).normal(0, 0.02, t.size)
    detector = HTMDrift(light=True, baseline=400)
    assert drifts(detector, values[:2000]) == []
    values[2000:] = np.random.default_rng(1).uniform(-1, 1, 1000)
    found = drifts(detector, values[2000:])
    assert found
    assert found[0] < 100


@pytest.mark.parametrize(("test", "shift"), [("variance", 0.4), ("bernoulli", 0.15)])
def test_other_tests_can_be_chosen(test: str, shift: float) -> None:
    values = np.random.default_rng(2).normal(0, 1, 900)
    values[600:] *= 4
    side = "up"
    found = drifts(MonitorDrift(test=test, shift=shift, side=side), values)
    assert found
    assert 600 <= found[0] < 640
