"""A fleet equals its detectors one by one, and keeps the contract of a model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem import HTMDetector, Simulator
from biomem.engine.model import flatten
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.fleet import HTMFleet, HTMFleetModel, HTMFleetParams
from biomem.models.htm.fleet.model import HELD, stream_seed
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams
from biomem.testing import check_model


def small(*, range_records=0, table=False, sp_learn=True, segments=40, **changes):
    value = (
        RDSE(size=300, active_bits=11, resolution=1.0, table=True)
        if table
        else RDSE(size=1000, active_bits=11, resolution=1.0)
    )
    clock = DateTimeEncoder(time_of_day=(7, 6.0))
    bits = value.size + clock.size
    detector = HTMDetectorParams(
        value=value,
        time=clock,
        spatial_pooler=SpatialPoolerParams.nab(
            (bits,), column_shape=(48,), n_active=5, potential_pct=0.3, learn=sp_learn
        ),
        temporal_memory=TemporalMemoryParams(
            n_columns=48,
            cells_per_column=3,
            activation_threshold=3,
            min_threshold=2,
            max_new_synapses=4,
            max_segments_per_cell=3,
            max_synapses_per_segment=6,
            max_segments=segments,
            predicted_segment_dec=0.01,
        ),
        likelihood=AnomalyLikelihoodParams(
            learning_period=8, estimation_samples=4, historic_window=20, reestimation_period=5
        ),
        **changes,
    )
    return HTMFleetParams(detector=detector, range_records=range_records)


CASES = {
    "range given": small(),
    "range learned": small(range_records=5, range_rule=True),
    "table": small(table=True),
    "one pooler for all": small(sp_learn=False),
}


@pytest.mark.parametrize("case", CASES)
def test_the_model_keeps_the_contract(case):
    check_model(HTMFleetModel(CASES[case]), ticks=24, batch=2, new_process=case == "range learned")


def records_of(seed, n):
    draw = np.random.default_rng(seed)
    value = 20 + 10 * np.sin(np.arange(n) / 3) + draw.normal(0, 1, n)
    time = np.cumsum(draw.integers(1, 4, n)) * 900.0
    return np.stack([value, time, draw.random(n) < 0.05], axis=-1)


def assert_stream_equals(fleet, key, detector, want, got):
    for name in want:
        np.testing.assert_array_equal(got[name], want[name][:, 0], err_msg=f"{key!r} {name}")
    ours, theirs = (dict(flatten(s)) for s in (fleet.detector_state(key), detector.state))
    for name, array in theirs.items():
        if "links" in name:
            continue
        # The row of a fleet has its whole room from the start; the detector's pool grows into it.
        mine = ours[name]
        if name == "temporal_memory/free":
            live = int(detector.state.temporal_memory.counters[0])
            mine = mine[len(mine) - len(array) :][: len(array) - live]
            array = array[: len(array) - live]
        elif array.ndim and len(mine) != len(array):
            assert name.startswith("temporal_memory/s")
            mine = mine[: len(array)]
        np.testing.assert_array_equal(mine, array, err_msg=f"{key!r} {name}")


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32),
    keys=st.lists(
        st.one_of(st.text(max_size=3).filter(lambda s: s.isprintable()), st.integers()),
        min_size=1,
        max_size=3,
        unique_by=lambda k: (type(k), k),
    ),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=9),
    case=st.sampled_from(sorted(CASES)),
)
def test_a_fleet_equals_a_dictionary_of_reference_detectors(seed, keys, sizes, case):
    """Records of all streams, shuffled between streams, in calls of odd sizes."""
    params = CASES[case]
    draw = np.random.default_rng(seed)
    series = {key: records_of(seed + i, 30) for i, key in enumerate(keys)}
    turn = draw.permutation(np.repeat(np.arange(len(keys)), 30))
    nth = {key: iter(rows) for key, rows in series.items()}
    feed = [(keys[i], next(nth[keys[i]])) for i in turn]
    fleet = HTMFleet(params, capacity=5, seed=7)
    scores: dict = {key: [] for key in keys}
    at = i = 0
    while at < len(feed):
        part = feed[at : at + sizes[i % len(sizes)]]
        names, rows = zip(*part, strict=True)
        rows = np.array(rows)
        ys = fleet.update_many(names, rows[:, 0], times=rows[:, 1], resets=rows[:, 2])
        for row, key in enumerate(names):
            scores[key].append([y[row] for y in ys])
        at, i = at + len(part), i + 1
    held = max(0, params.range_records - 1)
    for key in keys:
        got = np.array(scores[key])
        assert (got[:held] == HELD).all()
        sim = Simulator(HTMDetector(fleet.detector_params(key)), backend="numpy", seed=7)
        y = sim.run(series[key])
        want = {name: np.array(y[name])[held:] for name in y}
        got = dict(zip(y, got[held:].T, strict=True))
        assert_stream_equals(fleet, key, sim, want, got)


def test_rows_of_the_model_are_the_streams_of_a_fleet():
    model = HTMFleetModel(CASES["range learned"])
    xs = np.zeros((30, 3, 4))
    for b in range(3):
        xs[:, b, :3], xs[:, b, 3] = records_of(b, 30), (np.arange(30) + b) % 3 > 0
    run = Simulator(model, batch=3, seed=2).run(xs)
    fleet = HTMFleet(CASES["range learned"], seed=2)
    for t, row in enumerate(xs):
        here = np.flatnonzero(row[:, 3])
        y = fleet.update_many(here, row[here, 0], times=row[here, 1], resets=row[here, 2])
        np.testing.assert_array_equal(run["score"][t, here], y.score)
        assert np.isnan(np.delete(run["score"][t], here)).all()


def test_the_seed_of_a_key_is_pinned():
    assert stream_seed(42, "pump 1") == 12100665601841236831
    assert stream_seed(42, 1) == 17207800892727857423
    assert stream_seed(42, "1") != stream_seed(42, 1) != stream_seed(43, 1)


def test_a_learned_range_scores_like_a_given_one():
    """Scores, not only states: what is held back is reported as a detector in its probation."""
    rows = records_of(3, 40)
    learned, given_ = HTMFleet(small(range_records=10)), HTMFleet(small())
    given_.add("a", rows[:10, 0].min(), rows[:10, 0].max())
    ys = [
        f.update_many(["a"] * 40, rows[:, 0], times=rows[:, 1], resets=rows[:, 2])
        for f in (learned, given_)
    ]
    np.testing.assert_array_equal(ys[0].score, ys[1].score)
    np.testing.assert_array_equal(ys[0].raw[9:], ys[1].raw[9:])
