import zlib

import h5py
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.recording import Hdf5Recorder, MemoryRecorder, Recording, Signal, select
from biomem.errors import ParameterError


def spike_signal(shape=(2, 21), **changes):
    axes = ("batch", "unit", "place")[: len(shape)]
    given = {"name": "spikes", "axes": axes, "shape": shape, "dtype": "bool", "dt": 1e-3}
    return Signal(**{**given, **changes})


def recorded(signal, dense, path=None, chunk=7):
    """Record every tick of `dense`, to memory or to `path`."""
    recorder = MemoryRecorder([signal]) if path is None else Hdf5Recorder(path, [signal])
    for tick in range(0, len(dense), chunk):
        rows = select(signal, tick, dense[tick : tick + chunk])
        recorder.append("spikes", tick, rows)
        recorder.commit(min(tick + chunk, len(dense)))
    recorder.close()
    return recorder.recording()


@pytest.fixture(params=["memory", "file"])
def place(request, tmp_path):
    return None if request.param == "memory" else tmp_path / "run.h5"


@given(
    every=st.integers(1, 5),
    tick0=st.integers(0, 9),
    chunk=st.integers(1, 50),
    index=st.none() | st.lists(st.integers(0, 20), min_size=1, max_size=9, unique=True),
    seed=st.integers(0, 99),
)
def test_chunks_never_matter_to_packed_rows(every, tick0, chunk, index, seed):
    dense = np.random.default_rng(seed).random((50, 2, 21)) < 0.2
    signal = spike_signal(
        (2, 21 if index is None else len(index)), every=every, tick0=tick0, index=index
    )
    rec = recorded(signal, dense, chunk=chunk)
    units = np.arange(21) if index is None else np.array(index)
    kept = dense[tick0::every][..., units]
    np.testing.assert_array_equal(rec["spikes"], kept)
    spikes = rec.spikes(batch=1)
    row, column = np.nonzero(kept[:, 1])
    np.testing.assert_array_equal(spikes.ticks, tick0 + every * row)
    np.testing.assert_array_equal(spikes.units, units[column])
    np.testing.assert_array_equal(spikes.times, rec.t("spikes")[row])


def test_the_view_of_a_file_is_that_of_memory(place):
    dense = np.random.default_rng(1).random((3000, 2, 777)) < 0.03
    rec = recorded(spike_signal((2, 777)), dense, place, chunk=1000)
    times, units = rec.spikes()
    row, column = np.nonzero(dense[:, 0])
    np.testing.assert_array_equal(times, row * 1e-3)
    np.testing.assert_array_equal(units, column)
    sdr = rec.to_sdr("spikes")
    assert sdr.shape == (3000, 2)
    np.testing.assert_array_equal(sdr.to_dense(), dense)


def test_a_packed_file_is_an_eighth(tmp_path):
    dense = np.zeros((10_000, 1, 800), bool)
    path = tmp_path / "run.h5"
    recorded(spike_signal((1, 800)), dense, path, chunk=1000).close()
    assert path.stat().st_size < dense.nbytes / 7
    with h5py.File(path) as file:
        assert file["signals/spikes/data"].shape == (10_000, 100)


def test_units_that_are_asked_for_come_in_that_order():
    dense = np.random.default_rng(2).random((60, 1, 21)) < 0.3
    rec = recorded(spike_signal((1, 6), index=[4, 0, 9, 4, 20, 7]), dense)
    assert rec.spikes().labels.tolist() == [4, 0, 9, 20, 7]  # a unit recorded twice counts once
    assert len(rec.spikes()) == dense[:, 0, [4, 0, 9, 20, 7]].sum()
    spikes = rec.spikes(index=[20, 4])
    for train, unit in zip(spikes.trains(), (20, 4), strict=True):
        np.testing.assert_array_equal(train, np.flatnonzero(dense[:, 0, unit]) * 1e-3)
    np.testing.assert_array_equal(spikes.counts, dense[:, 0, [20, 4]].sum(axis=0))
    assert (np.diff(spikes.ticks) >= 0).all()
    together = np.diff(spikes.ticks) == 0
    assert spikes.units[:-1][together].tolist() == [20] * together.sum()
    assert len(rec.spikes(index=[]).trains()) == 0


def test_rows_without_a_batch_axis_and_with_several_axes_of_units():
    dense = np.random.default_rng(3).random((40, 3, 4, 5)) < 0.2
    rec = recorded(spike_signal((3, 4, 5)), dense)
    np.testing.assert_array_equal(
        rec.spikes(batch=2).units, np.nonzero(dense[:, 2].reshape(40, 20))[1]
    )
    flat = recorded(spike_signal((4,), axes=("unit",)), dense[:, 0, :, 0])
    np.testing.assert_array_equal(flat.spikes().units, np.nonzero(dense[:, 0, :, 0])[1])
    one = recorded(spike_signal((), axes=()), dense[:, 0, 0, 0])
    np.testing.assert_array_equal(one.spikes().ticks, np.flatnonzero(dense[:, 0, 0, 0]))
    assert one.to_sdr().counts.sum() == dense[:, 0, 0, 0].sum()


def test_rates_are_spikes_by_time_and_unit():
    dense = np.random.default_rng(4).random((105, 1, 10)) < 0.2
    spikes = recorded(spike_signal((1, 10)), dense).spikes()
    middles, rate = spikes.rate(0.02)
    assert len(rate) == 6
    np.testing.assert_allclose(middles[[0, -1]], [0.010, 0.1025])
    np.testing.assert_allclose(rate[:5], dense[:100].reshape(5, -1).mean(axis=1) / 1e-3)
    np.testing.assert_allclose(rate[5], dense[100:].mean() / 1e-3)
    _, each = spikes.rate(0.02, per_unit=True)
    np.testing.assert_allclose(each.mean(axis=1), rate)
    np.testing.assert_allclose(each[0], dense[:20, 0].mean(axis=0) / 1e-3)
    assert (spikes.t_start, spikes.t_stop) == (0.0, 0.105)


def test_the_rate_of_sampled_ticks_is_not_diluted():
    always = np.ones((100, 1, 4), bool)
    _, rate = recorded(spike_signal((1, 4), every=5), always).spikes().rate(0.05)
    np.testing.assert_allclose(rate, 1000.0)


def test_nothing_recorded_gives_empty_views():
    rec = MemoryRecorder([spike_signal()]).recording()
    spikes = rec.spikes()
    assert len(spikes) == 0
    assert [len(train) for train in spikes.trains()] == [0] * 21
    assert [len(part) for part in spikes.rate(0.01)] == [0, 0]
    assert rec["spikes"].shape == (0, 2, 21)
    assert rec.to_sdr().shape == (0, 2)


def test_a_long_recording_is_never_unpacked():
    signal = spike_signal((1, 20_000))
    recorder = MemoryRecorder([signal])
    recorder.reserve(10_000)
    chunk = np.zeros((100, 1, 20_000), bool)
    chunk[:, 0, 77] = True
    for tick in range(0, 10_000, 100):
        recorder.append("spikes", tick, chunk)
        recorder.commit(tick + 100)
    rec = recorder.recording()
    process = psutil.Process()
    before = process.memory_info().rss
    assert len(rec.spikes()) == 10_000
    assert process.memory_info().rss - before < 30 << 20  # of 200 MB
    assert repr(rec).startswith("<Recording of 1 signals, 25 MB")


def test_rows_are_unpacked_once_for_those_who_keep_them():
    rec = recorded(spike_signal(), np.ones((40, 2, 21), bool))
    rows = rec["spikes"]
    assert rec["spikes"] is rows
    assert not rows.flags.writeable


def test_bits_behind_the_last_element_are_ignored(tmp_path):
    path = tmp_path / "run.h5"
    recorded(spike_signal((1, 3)), np.zeros((5, 1, 3), bool), path).close()
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file["signals/spikes/data"][:] = 0b11111010
        file["meta/committed"][1] = zlib.crc32(b"\xfa" * 5)
    with Recording.open(path) as rec:
        assert rec["spikes"][:].sum() == len(rec.spikes()) == rec.to_sdr().counts.sum() == 5


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ({"batch": 2}, r"batch of 'spikes' must be in \[0, 2\), got 2"),
        ({"batch": -1}, "batch of 'spikes'"),
        ({"index": [21]}, "distinct units among the 21 of 'spikes'"),
        ({"index": [1, 1]}, "distinct units"),
        ({"index": [0.5]}, "distinct units"),
        ({"name": "v"}, "'v' holds float64; it must be a recording of bool"),
    ],
)
def test_what_cannot_be_viewed_is_refused(ask, said):
    v = Signal(name="v", axes=("unit",), shape=(2,), dtype="f8", dt=1e-3)
    rec = MemoryRecorder([spike_signal(), v]).recording()
    with pytest.raises(ParameterError, match=said):
        rec.spikes(**ask)


def test_without_dt_there_are_only_ticks():
    spikes = recorded(spike_signal(dt=None), np.ones((4, 2, 21), bool)).spikes()
    assert len(spikes.ticks) == 84
    assert "4 rows from tick 0" in repr(spikes)
    for need in (lambda: spikes.times, spikes.trains, lambda: spikes.rate(0.1)):
        with pytest.raises(ParameterError, match="no time scale"):
            need()


@pytest.mark.parametrize("width", [0.0, 0.0005, 0.0015, -1e-3])
def test_a_bin_that_is_no_number_of_ticks_is_refused(width):
    spikes = recorded(spike_signal(), np.ones((4, 2, 21), bool)).spikes()
    with pytest.raises(ParameterError, match=r"multiple of 0.001 s"):
        spikes.rate(width)
