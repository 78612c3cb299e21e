from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from biomem.datasets.neuronio import NeuronIO, convert_neuronio, scale_soma
from biomem.engine.random import Rng
from biomem.errors import CorruptFileError, DataError, ParameterError

SEGMENTS, LENGTH = 5, 900


def simulation(draw, length=LENGTH):
    """One simulation of the published layout, as Python objects."""

    def spikes():
        return {
            s: np.sort(draw.choice(length, draw.integers(0, 40), replace=False)).tolist()
            for s in range(SEGMENTS)
        }

    return {
        "exInputSpikeTimes": spikes(),
        "inhInputSpikeTimes": {s: np.array(v, np.int64) for s, v in spikes().items()},
        "outputSpikeTimes": np.sort(draw.uniform(0.5, length, 12)),
        "somaVoltageLowRes": draw.uniform(-80, -40, length).astype(np.float16),
    }


def write(path, simulations, segments=SEGMENTS, protocol=2):
    content = {
        "Params": {"allSegmentsType": ["basal"] * segments, "totalSimDurationInSec": 0.9},
        "Results": {"listOfSingleSimulationDicts": simulations},
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.fixture
def converted(tmp_path, rng):
    simulations = [simulation(rng) for _ in range(5)]
    sources = [
        write(tmp_path / "a.p", simulations[:2]),
        write(tmp_path / "b.p", simulations[2:], protocol=4),
    ]
    assert convert_neuronio(sources, tmp_path / "all.h5") == 5
    return tmp_path / "all.h5", simulations


def dense(simulation):
    """Input and targets of a whole simulation, by the definition."""
    x = np.zeros((LENGTH, 2 * SEGMENTS), np.float32)
    kinds = ((0, 1.0, "exInputSpikeTimes"), (SEGMENTS, -1.0, "inhInputSpikeTimes"))
    for first, sign, name in kinds:
        for segment, times in simulation[name].items():
            for t in times:
                x[t, first + segment] = sign
    y = np.zeros((LENGTH, 2), np.float32)
    for t in simulation["outputSpikeTimes"]:
        y[int(t - 0.5), 0] = 1.0
    v = simulation["somaVoltageLowRes"].astype(np.float32)
    y[:, 1] = (np.minimum(v, -55.0) + 67.7) / 10.0
    return x, y


def test_windows_are_those_of_the_simulations_after_the_warm_up(converted):
    path, simulations = converted
    whole = [dense(s) for s in simulations]
    task = NeuronIO(path=path, window=150, batch_size=3)
    assert (task.n_inputs, task.n_outputs) == (10, 2)
    seen = set()
    for step in range(25):
        batch = task(step, Rng(1))
        assert batch.x.shape == (150, 3, 10)
        for lane in range(3):
            places = [
                (i, start)
                for i, (x, y) in enumerate(whole)
                for start in range(500, LENGTH - 150 + 1)
                if np.array_equal(y[start : start + 150, 1], batch.y[:, lane, 1])
            ]
            assert len(places) == 1
            i, start = places[0]
            np.testing.assert_array_equal(batch.x[:, lane], whole[i][0][start : start + 150])
            np.testing.assert_array_equal(batch.y[:, lane], whole[i][1][start : start + 150])
            seen.add(i)
    assert seen == set(range(5))


def test_events_are_ordered_and_make_the_input(converted):
    task = NeuronIO(path=converted[0], window=100, batch_size=4)
    events, batch = task.events(2, Rng(0)), task(2, Rng(0))
    keys = np.stack([events.tick, events.lane, events.channel], axis=1).tolist()
    assert keys == sorted(keys)
    x = np.zeros_like(batch.x)
    x[events.tick, events.lane, events.channel] = np.where(events.channel < SEGMENTS, 1, -1)
    np.testing.assert_array_equal(x, batch.x)


def test_the_soma_is_clipped_and_scaled():
    np.testing.assert_allclose(
        scale_soma(np.array([-67.7, -57.7, -55.0, 20.0])), [0, 1, 1.27, 1.27], atol=1e-6
    )


def test_a_window_that_does_not_fit_is_refused(converted):
    with pytest.raises(ParameterError, match=r"NeuronIO\.window must be <= 400"):
        NeuronIO(path=converted[0], window=401)(0, Rng(0))
    assert NeuronIO(path=converted[0], window=400)(0, Rng(0)).x.shape == (400, 8, 10)


def test_sources_of_another_form_are_refused_and_leave_no_file(tmp_path, rng):
    good = simulation(rng)
    target = tmp_path / "all.h5"
    cases = [
        ([{**good, "somaVoltageLowRes": np.zeros((2, 2))}], "somaVoltageLowRes has shape"),
        ([{**good, "outputSpikeTimes": np.array([1e6])}], "output spikes outside the 900 ms"),
        ([{**good, "exInputSpikeTimes": {7: [1]}}], "has a segment 7 of 5"),
        ([{**good, "exInputSpikeTimes": {0: [-3]}}], "input spikes outside"),
        ([{"somaVoltageLowRes": [0.0]}], "'exInputSpikeTimes'"),
        ([good, simulation(rng, 600)], "different lengths"),
        ([], "holds no simulation"),
    ]
    for simulations, named in cases:
        with pytest.raises(DataError, match=named):
            convert_neuronio([write(tmp_path / "a.p", simulations)], target)
    sources = [write(tmp_path / "a.p", [good]), write(tmp_path / "b.p", [good], segments=6)]
    with pytest.raises(DataError, match="6 segments, the others have 5"):
        convert_neuronio(sources, target)
    with pytest.raises(DataError, match="no source files"):
        convert_neuronio([], target)
    (tmp_path / "c.p").write_bytes(pickle.dumps(np.random.default_rng(0)))
    with pytest.raises(CorruptFileError, match="is not read: it names"):
        convert_neuronio([tmp_path / "c.p"], target)
    assert not target.exists()


def test_a_file_not_written_by_the_converter_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["soma"] = np.zeros((1, 900))
    with pytest.raises(DataError, match="was not written by convert_neuronio"):
        NeuronIO(path=path)(0, Rng(0))
