"""The detector as an outlier detector of scikit-learn."""

import pickle

import numpy as np
import pytest

pytest.importorskip(
    "sklearn", reason="needs scikit-learn: pip install -c constraints.txt -e '.[learn]'"
)

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from biomem import HTMDriftDetector, Simulator
from biomem.stream.adapters.for_sklearn import HTMOutlierDetector
from biomem.stream.adapters.live import LiveOptions, params_for

CONTINUES = "a score depends on the rows before it: predict goes on after the training rows"
EXEMPT = {"check_outliers_fit_predict": CONTINUES, "check_outliers_train": CONTINUES}


def rows(n: int, seed: int = 0) -> np.ndarray:
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 0.02, (n, 2))
    turn = 2 * np.pi * t / 24
    return np.stack([np.sin(turn), np.cos(turn)], axis=1) + noise


def test_it_passes_scikit_learns_checks_but_those_that_shuffle_time() -> None:
    failed = {}
    for result in check_estimator(
        HTMOutlierDetector(light=True), expected_failed_checks=EXEMPT, on_fail=None, on_skip=None
    ):
        if result["status"] == "failed":
            failed[result["check_name"]] = result["exception"]
    assert failed == {}


def test_scores_are_those_of_the_detector_and_scoring_forgets() -> None:
    X = rows(400)
    X[250, 1] = np.nan
    detector = HTMOutlierDetector(light=True, probation=40).fit(X[:300])
    ranges = {f"x{i:04}": (np.nanmin(X[:300, i]), np.nanmax(X[:300, i])) for i in range(2)}
    model = HTMDriftDetector(params_for(ranges, LiveOptions(probation=40, light=True)))
    want = Simulator(model).run(model.records(X))["score"][:, 0]
    for _ in range(2):
        np.testing.assert_array_equal(-detector.score_samples(X[300:]), want[300:])
    twin = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(twin.score_samples(X[300:]), detector.score_samples(X[300:]))
    np.testing.assert_array_equal(
        detector.fit_predict(X[:300]) == -1, -want[:300] < detector.offset_
    )


@pytest.mark.parametrize("joint", [False, True])
def test_a_broken_rhythm_is_an_outlier_and_few_others_are(joint: bool) -> None:
    X = rows(3000)
    X[2700:2712, 1] = np.random.default_rng(5).uniform(-1, 1, 12)
    detector = HTMOutlierDetector(light=True, joint=joint).fit(X[:2500])
    found = np.flatnonzero(detector.predict(X[2500:]) == -1) + 2500
    assert found.size
    assert ((found >= 2700) & (found < 2725)).all()


def test_contamination_sets_how_many_training_rows_are_outliers() -> None:
    X = rows(800)
    detector = HTMOutlierDetector(light=True, probation=100, contamination=0.03)
    assert (detector.fit_predict(X)[100:] == -1).mean() == pytest.approx(0.03, abs=0.01)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotFittedError):
        HTMOutlierDetector().predict(rows(10))
    with pytest.raises(ValueError, match=r"contamination must be 'auto' or in \(0, 0.5\], got 0"):
        HTMOutlierDetector(contamination=0).fit(rows(10))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        HTMOutlierDetector().fit(rows(1))
    with pytest.raises(ValueError, match="must lie within"):
        HTMOutlierDetector(light=True).fit(rows(10) * 1e200)
    detector = clone(HTMOutlierDetector(light=True, probation=7))
    assert detector.get_params()["probation"] == 7
