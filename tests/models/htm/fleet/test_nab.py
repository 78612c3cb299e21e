"""What the light preset loses against the full detector on the Numenta Anomaly Benchmark."""

from pathlib import Path

import numpy as np
import pytest

from biomem import HTMDetector, Simulator
from biomem.datasets import NAB
from biomem.datasets.nab_score import probation
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.fleet import HTMFleet, HTMFleetParams

pytestmark = pytest.mark.slow

FILES = (
    "realKnownCause/nyc_taxi.csv",
    "realKnownCause/machine_temperature_system_failure.csv",
    "realKnownCause/cpu_utilization_asg_misconfiguration.csv",
    "realKnownCause/ambient_temperature_system_failure.csv",
    "realAWSCloudwatch/ec2_cpu_utilization_5f5533.csv",
    "realAWSCloudwatch/rds_cpu_utilization_cc0c53.csv",
    "realTraffic/speed_7578.csv",
    "realAdExchange/exchange-2_cpc_results.csv",
    "realTweets/Twitter_volume_AAPL.csv",
    "artificialWithAnomaly/art_daily_jumpsup.csv",
)
THRESHOLD = 0.535
"""Of NAB's standard profile, for the full detector and the light one alike."""


def light(corpus: NAB, files) -> dict[str, np.ndarray]:
    """Score every file as a stream, those of one length of probation in one fleet."""
    series = {file: corpus.series(file) for file in files}
    fleets: dict[int, HTMFleet] = {}
    scores = {}
    for file, s in series.items():
        n = probation(len(s.values))
        if n not in fleets:
            params = HTMFleetParams.light(probation=n, range_rule=True)
            fleets[n] = HTMFleet(params, capacity=len(series))
        fleets[n].add(file, s.values.min(), s.values.max())
        y = fleets[n].update_many([file] * len(s.values), s.values, times=s.timestamps)
        scores[file] = y.score
    return scores


def full(corpus: NAB, file: str) -> np.ndarray:
    stamps, values = corpus.series(file)
    seconds = stamps.astype("datetime64[s]").astype(np.float64)
    params = HTMDetectorParams.nab(values.min(), values.max(), len(values))
    sim = Simulator(HTMDetector(params), progress=False)
    return sim.run(np.stack([values, seconds, np.zeros(len(values))], axis=-1))["score"][:, 0]


def count(corpus: NAB, scores: dict[str, np.ndarray]) -> tuple[int, int]:
    """Return windows found, and records outside of windows that alarm."""
    found = false = 0
    for file, score in scores.items():
        alarm = score >= THRESHOLD
        alarm[: probation(len(score))] = False
        outside = alarm.copy()
        for first, last in corpus.rows[file].windows:
            found += bool(alarm[first : last + 1].any())
            outside[first : last + 1] = False
        false += int(outside.sum())
    return found, false


def test_light_finds_in_ten_files_what_the_full_detector_finds(nab: Path):
    corpus = NAB(nab)
    found, false = count(corpus, light(corpus, FILES))
    found_full, false_full = count(corpus, {file: full(corpus, file) for file in FILES})
    print(f"\nlight {found} windows, {false} false; full {found_full} windows, {false_full} false")
    assert found >= found_full - 1
    assert false <= 2 * false_full


def test_light_over_the_corpus(nab: Path):
    corpus = NAB(nab)
    scores = light(corpus, corpus.files)
    got = {name: corpus.score(scores, name).score for name in corpus.profiles}
    print("\n" + ", ".join(f"{name} {score:.2f}" for name, score in got.items()))
    assert got["standard"] >= 64.5
    assert got["reward_low_FP_rate"] >= 53
    assert got["reward_low_FN_rate"] >= 70
