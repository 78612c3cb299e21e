"""A detector fed with dicts equals the detector fed with arrays, and peeking changes nothing."""

import copy
import datetime
import math
import pickle

import numpy as np
import pytest

from biomem import HTMDriftDetector, Simulator
from biomem.engine.model import flatten
from biomem.errors import InputError
from biomem.stream.adapters.live import Live, LiveOptions, params_for

OPTIONS = LiveOptions(prefix=20, probation=40, light=True, range_rule=True)


def values(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    return np.stack([np.sin(t / 4), np.cos(t / 5)], axis=1) + rng.normal(0, 0.05, (n, 2))


def dicts(table: np.ndarray) -> list[dict[str, float]]:
    return [{"b": b, "a": a} for a, b in table.tolist()]


def test_records_held_back_and_those_after_equal_one_run() -> None:
    table = values(150)
    live = Live(OPTIONS)
    told = [live.learn(x) for x in dicts(table)]
    assert told[:20] == [None] * 20
    ranges = {n: (table[:20, i].min(), table[:20, i].max()) for i, n in enumerate("ab")}
    model = HTMDriftDetector(params_for(ranges, OPTIONS))
    out = Simulator(model).run(model.records(table))
    scores = [float(y.score[0, 0]) for y in told[20:]]
    np.testing.assert_array_equal(scores, out["score"][20:, 0])
    np.testing.assert_array_equal([y.raw[0, 0] for y in told[20:]], out["raw"][20:, 0])


def test_peeking_gives_the_next_score_and_changes_nothing() -> None:
    live, plain = Live(OPTIONS), Live(OPTIONS)
    assert live.peek({"a": 1.0}) is None
    for i, x in enumerate(dicts(values(200))):
        seen = live.peek(x)
        live.peek({"a": 7.0, "b": math.nan})
        before = None if live.model is None else copy.deepcopy(live._state)
        live.peek(x)
        if before is not None:
            for (name, a), (_, b) in zip(flatten(before), flatten(live._state), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{name} at {i}")
        y, want = live.learn(x), plain.learn(x)
        if y is None:
            continue
        np.testing.assert_array_equal(y.score, want.score)
        if seen is not None:
            np.testing.assert_array_equal(seen.score, y.score)
            np.testing.assert_array_equal(seen.raw, y.raw)


def test_a_pickled_detector_goes_on_as_the_first() -> None:
    live = Live(OPTIONS)
    rows = dicts(values(120))
    for cut in (10, 80):
        for x in rows[live.tick : cut]:
            live.learn(x)
        twin = pickle.loads(pickle.dumps(live))
        again = copy.deepcopy(live)
        for x in rows[cut : cut + 15]:
            told = [d.learn(x) for d in (live, twin, again)]
            assert (told[0] is None) == (told[1] is None)
            if told[0] is not None:
                np.testing.assert_array_equal(told[0].score, told[1].score)
                np.testing.assert_array_equal(told[0].score, told[2].score)


def test_new_keys_are_ignored_and_missing_ones_leave_their_htm_alone() -> None:
    live = Live(OPTIONS)
    rows = dicts(values(60))
    for x in rows[:40]:
        live.learn(x)
    a = live.learn({"a": rows[40]["a"], "new": 5.0, "text": "x", "none": None, "yes": True})
    assert np.isnan(a.raw[0, 0]).tolist() == [False, True]
    assert np.isnan(live.learn({"new": 1.0}).score[0, 0])


def test_times_are_wall_clock_whatever_their_zone() -> None:
    options = LiveOptions(prefix=10, light=True, time="when")
    zone = datetime.timezone(datetime.timedelta(hours=5))
    start = datetime.datetime(2024, 5, 1, 22, 0)
    told = []
    for mark in (lambda t: t, lambda t: t.replace(tzinfo=zone), lambda t: np.datetime64(t)):
        live = Live(options)
        for i in range(40):
            when = mark(start + datetime.timedelta(minutes=30 * i))
            if isinstance(when, np.datetime64):
                when = float(when.astype("datetime64[s]").astype(np.int64))
            y = live.learn({"v": math.sin(i / 3), "when": when})
        told.append(y.raw[0, 0, 0])
        assert [f.name for f in live.model.params.fields] == ["v"]
    assert told[0] == told[1] == told[2]


def test_records_without_numbers_are_refused() -> None:
    live = Live(LiveOptions(prefix=1))
    with pytest.raises(InputError, match="hold no number to watch"):
        live.learn({"name": "x"})
