"""Spike trains as neo objects and back."""

import sys

import numpy as np
import pytest

from biomem.engine.recording import MemoryRecorder, Signal
from biomem.errors import BackendUnavailable, InputError, ParameterError
from biomem.export.neo import from_neo, to_neo

DT = 1e-4


@pytest.fixture
def neo():
    return pytest.importorskip("neo", reason="needs neo: pip install 'biomem[neo]'")


def dense(ticks=2000, units=9):
    return np.random.default_rng(0).random((ticks, 2, units)) < 0.02


@pytest.fixture
def recording():
    spikes = dense()
    v = np.random.default_rng(1).normal(size=(400, 2, 3)).astype("f4")
    recorder = MemoryRecorder(
        [
            Signal(name="spikes", axes=("batch", "unit"), shape=(2, 9), dtype="bool", dt=DT),
            Signal(
                name="v",
                axes=("batch", "traced"),
                shape=(2, 3),
                dtype="f4",
                dt=DT,
                every=5,
                unit="mV",
                index=[7, 0, 3],
            ),
            Signal(
                name="odd", axes=(), shape=(), dtype="f8", dt=DT, every=5, unit="__import__('os')"
            ),
        ]
    )
    recorder.append("spikes", 0, spikes)
    recorder.append("v", 0, v)
    recorder.append("odd", 0, np.arange(400.0))
    recorder.commit(2000)
    return recorder.recording()


def test_a_recording_becomes_trains_and_signals_with_units(neo, recording):
    segment = to_neo(recording, batch=1)
    assert len(segment.spiketrains) == 9
    for unit, train in enumerate(segment.spiketrains):
        np.testing.assert_array_equal(train.magnitude, np.flatnonzero(dense()[:, 1, unit]) * DT)
        assert train.annotations["unit"] == unit
        assert float(train.t_stop.rescale("s")) == 2000 * DT
        assert round(float(train.sampling_rate.rescale("Hz"))) == 10_000
    v, odd = segment.analogsignals
    np.testing.assert_array_equal(v.magnitude, recording["v"][:, 1])
    assert v.magnitude.dtype == np.float32
    assert str(v.dimensionality) == "mV"
    assert float(v.sampling_period.rescale("s")) == 5 * DT
    assert v.array_annotations["unit"].tolist() == [7, 0, 3]
    assert str(odd.dimensionality) == "dimensionless"
    assert odd.annotations["si_unit"] == "__import__('os')"
    assert [len(to_neo(recording, names=["v"]).spiketrains), len(segment.analogsignals)] == [0, 2]


def test_the_way_there_and_back_keeps_every_bit(neo, recording):
    times, units = recording.spikes(batch=1)
    for back in (
        from_neo(to_neo(recording, batch=1)),
        from_neo(to_neo(recording.spikes(batch=1))),
        from_neo(to_neo(times[::-1], units[::-1], 0.2, dt=DT)),
        from_neo(list(to_neo(times, units, 0.2).spiketrains), dt=DT),
    ):
        np.testing.assert_array_equal(back[0], times)
        np.testing.assert_array_equal(back[1], units)


def test_trains_in_other_units_come_back_to_the_tick(neo, recording):
    times, units = recording.spikes()
    trains = [train.rescale("ms") for train in to_neo(recording).spiketrains]
    back, who = from_neo(trains, dt=DT)
    np.testing.assert_array_equal(back, times)
    np.testing.assert_array_equal(who, units)


def test_trains_of_others_are_numbered_in_order(neo):
    trains = [neo.SpikeTrain(t, units="ms", t_stop=100.0) for t in ([5.0, 80.0], [], [5.0, 7.5])]
    times, units = from_neo(trains)
    np.testing.assert_allclose(times, [0.005, 0.005, 0.0075, 0.08])
    assert units.tolist() == [0, 2, 2, 0]


def test_silent_units_are_trains_without_spikes(neo):
    segment = to_neo([0.2], [4], 1.0, labels=[4, 1], t_start=0.1)
    assert [len(train) for train in segment.spiketrains] == [1, 0]
    assert [float(train.t_start) for train in segment.spiketrains] == [0.1, 0.1]
    assert len(to_neo([], [], 1.0).spiketrains) == 0
    assert len(from_neo(to_neo([], [], 1.0))[0]) == 0


# elephant 1.2 still says copy=False to quantities.
@pytest.mark.filterwarnings("ignore:The 'copy' argument in Quantity is deprecated")
def test_elephant_agrees_with_our_rates_and_intervals(neo, recording):
    statistics = pytest.importorskip(
        "elephant.statistics", reason="needs elephant: pip install 'biomem[neo]'"
    )
    spikes = recording.spikes()
    segment = to_neo(spikes)
    ours = spikes.counts / (spikes.t_stop - spikes.t_start)
    for train, own, rate in zip(segment.spiketrains, spikes.trains(), ours, strict=True):
        theirs = statistics.mean_firing_rate(train).rescale("Hz").magnitude
        np.testing.assert_allclose(theirs, rate, rtol=1e-14)
        np.testing.assert_array_equal(statistics.isi(train).magnitude, np.diff(own))


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("µV", "uV"),
        ("V", "V"),
        ("1", "dimensionless"),
        ("A*s", "s*A"),
        ("m/s", "m/s"),
        ("Ω", "ohm"),
    ],
)
def test_si_units_are_understood(neo, unit, said):
    recorder = MemoryRecorder([Signal(name="x", axes=(), shape=(), dtype="f8", dt=DT, unit=unit)])
    recorder.append("x", 0, np.zeros(3))
    recorder.commit(3)
    found = to_neo(recorder.recording()).analogsignals[0]
    assert str(found.dimensionality) == said
    assert "si_unit" not in found.annotations


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: to_neo([0.1], [0]), "need t_stop"),
        (lambda: to_neo([0.1, 0.2], [0], 1.0), "one shape"),
        (lambda: to_neo([0.1], None, 1.0), "one shape"),
        (lambda: to_neo([0.1], [0.5], 1.0), "integers"),
        (lambda: to_neo([1.1], [0], 1.0), r"must lie in \[0, 1\] s"),
        (lambda: to_neo([np.nan], [0], 1.0), "must lie in"),
        (lambda: to_neo([0.1], [3], 1.0, labels=[0, 1]), "hold every one of units"),
        (lambda: from_neo([np.zeros(3)]), "must hold SpikeTrains, got ndarray"),
        (lambda: from_neo(to_neo([0.15], [0], 1.0), dt=0.1), "ticks of 0.1 s"),
    ],
)
def test_refusals(neo, call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_a_stream_that_is_not_there_and_no_time_scale_are_refused(neo, recording):
    with pytest.raises(ParameterError, match="batch of 'spikes'"):
        to_neo(recording, batch=2)
    with pytest.raises(InputError, match="batch must be in"):
        to_neo(recording, names=["v"], batch=2)
    recorder = MemoryRecorder([Signal(name="x", axes=(), shape=(), dtype="f8")])
    with pytest.raises(ParameterError, match="no dt"):
        to_neo(recorder.recording())


def test_a_missing_neo_is_named_with_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(
        BackendUnavailable, match=r"neo is not installed; pip install 'biomem\[neo\]'"
    ):
        to_neo([], [], 1.0)
