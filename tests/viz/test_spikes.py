"""Pictures of spiking networks: what is drawn, and what is refused."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from biomem.engine.recording import MemoryRecorder, Signal
from biomem.errors import InputError
from biomem.viz.spikes import membrane_traces, population_rate, power_spectrum, raster

DT = 1e-3


def dense(ticks=400, units=80, p=0.05, seed=0):
    return np.random.default_rng(seed).random((ticks, units)) < p


@pytest.fixture
def recording():
    spikes = dense()
    v = np.random.default_rng(1).normal(size=(400, 3)).astype("f4")
    signals = [
        Signal(name="spikes", axes=("batch", "unit"), shape=(2, 80), dtype="bool", dt=DT),
        Signal(
            name="v",
            axes=("batch", "unit"),
            shape=(2, 3),
            dtype="f4",
            dt=DT,
            unit="mV",
            index=[4, 0, 70],
        ),
    ]
    recorder = MemoryRecorder(signals)
    recorder.append("spikes", 0, np.stack([~spikes, spikes], 1))
    recorder.append("v", 0, np.stack([-v, v], 1))
    recorder.commit(400)
    return recorder.recording()


def points(ax):
    found = np.concatenate([line.get_xydata() for line in ax.lines])
    return sorted(map(tuple, found.tolist()))


def test_every_spike_is_a_mark_whatever_form_it_comes_in(recording):
    row, unit = np.nonzero(dense())
    expected = sorted(zip((row * DT).tolist(), unit.astype(float).tolist(), strict=True))
    for ax in (
        raster(recording, batch=1),
        raster(recording.spikes(batch=1)),
        raster(dense(), dt=DT),
        raster(np.stack([dense(), dense(seed=5)], 1), dt=DT),
        raster(row * DT, unit),
    ):
        assert points(ax) == expected
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "unit")
    assert raster(dense()).get_xlabel() == "tick"
    assert raster(dense()).get_xlim() == (0, 400)


def test_populations_have_their_colours_and_names_and_the_rest_is_grey():
    ax = raster(
        dense(), dt=DT, populations={"exc": slice(0, 50), "inh": slice(50, 60)}, title="a $b"
    )
    ax.figure.draw_without_rendering()
    assert [text.get_text() for text in ax.texts] == ["exc", "inh"]
    colours = {}
    for line in ax.lines:
        colours[line.get_color()] = sorted(set(line.get_ydata()))
    assert [(y[0], y[-1]) for y in colours.values()] == [(0, 49), (50, 59), (60, 79)]
    assert [text.get_color() for text in ax.texts] == list(colours)[:2]


def test_few_units_are_strokes_and_many_spikes_are_small():
    assert raster(dense(units=10)).lines[0].get_marker() == "|"
    few, many = (raster(dense(ticks=t)).lines[0] for t in (20, 4000))
    assert few.get_marker() == "."
    assert few.get_markersize() > many.get_markersize() >= 1.0


def test_a_huge_raster_draws_what_can_be_seen_once():
    spikes = np.ones((3000, 100), bool)
    line = raster(spikes).lines[0]
    assert len(line.get_xdata()) <= 300_000
    again = np.repeat(np.arange(250.0) / 250, 1000), np.tile(np.arange(100), 2500)
    assert len(raster(*again).lines[0].get_xdata()) == 250 * 100


def test_draws_where_it_is_told_and_what_part_it_is_told():
    given = Figure().subplots()
    ax = raster(dense(), dt=DT, span=(0.1, 0.2), ax=given)
    assert ax is given
    assert ax.get_xlim() == (0.1, 0.2)
    assert 0.1 <= min(points(ax))[0] <= max(points(ax))[0] < 0.2


def test_the_rate_is_spikes_by_time_and_unit():
    ax = population_rate(dense(), dt=DT, bin_width=0.02)
    values, edges, _ = ax.patches[0].get_data()
    np.testing.assert_allclose(edges, np.arange(21) * 0.02)
    np.testing.assert_allclose(values, dense().reshape(20, -1).mean(axis=1) / DT)
    assert ax.get_ylabel() == "rate (Hz)"
    row, unit = np.nonzero(dense())
    same = population_rate(row * DT, unit, n_units=80, bin_width=0.02, span=(0, 0.4))
    np.testing.assert_allclose(same.patches[0].get_data()[0], values)


def test_a_last_bin_that_is_shorter_is_not_a_lower_rate():
    values, edges, _ = (
        population_rate(np.ones((25, 4), bool), dt=DT, bin_width=0.01).patches[0].get_data()
    )
    np.testing.assert_allclose(values, 1000.0)
    assert edges[-1] == 0.025


def test_smoothing_keeps_a_constant_rate_up_to_the_ends():
    ax = population_rate(np.ones((300, 4), bool), dt=DT, sigma=0.02, bin_width=1e-3)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 1000.0)


def test_rates_of_populations_are_told_apart():
    spikes = np.zeros((100, 10), bool)
    spikes[:, :4] = True
    ax = population_rate(spikes, dt=DT, populations={"on": slice(0, 4), "off": slice(4, None)})
    on, off = (patch.get_data().values for patch in ax.patches)
    np.testing.assert_allclose(on, 1000.0)
    np.testing.assert_allclose(off, 0.0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["on", "off"]


def test_sampled_ticks_give_the_rate_that_was_there():
    signal = Signal(name="s", axes=("unit",), shape=(3,), dtype="bool", dt=DT, every=4)
    recorder = MemoryRecorder([signal])
    recorder.append("s", 0, np.ones((50, 3), bool))
    recorder.commit(200)
    ax = population_rate(recorder.recording(), name="s", bin_width=0.02)
    np.testing.assert_allclose(ax.patches[0].get_data().values, 1000.0)


def test_poisson_firing_has_the_flat_power_theory_gives():
    n, p, rows = 50, 0.02, 20_000
    ax = power_spectrum(dense(rows, n, p), dt=DT)
    frequency, power = ax.lines[0].get_data()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert frequency.min() == 1.0
    assert frequency.max() == 500.0
    # A Bernoulli draw a tick has the variance p (1 - p), Poisson's to first order.
    expected = 2 * p * (1 - p) / DT / n
    np.testing.assert_allclose(power[1:-1].mean(), expected, rtol=0.04)


def test_a_rhythm_is_a_peak_at_its_frequency():
    t = np.arange(8000) * DT
    p = 0.02 * (1 + np.sin(2 * np.pi * 25 * t))
    spikes = np.random.default_rng(0).random((8000, 100)) < p[:, None]
    frequency, power = power_spectrum(spikes, dt=DT).lines[0].get_data()
    assert frequency[power.argmax()] == 25.0


def test_membranes_lie_above_one_another_with_strokes_to_the_threshold(recording):
    ax = membrane_traces(recording, threshold=5.0, batch=1, columns=[2, 0])
    ax.figure.draw_without_rendering()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["70", "4"]
    v = np.asarray(recording["v"])[:, 1]
    lower, upper = (line for line in ax.lines if len(line.get_xdata()) == 400)
    np.testing.assert_allclose(np.ptp(lower.get_ydata()), np.ptp(v[:, 2]), rtol=1e-6)
    assert upper.get_ydata().min() > lower.get_ydata().max()
    strokes = ax.collections[0].get_segments()
    at = np.flatnonzero(dense()[:, 70])
    np.testing.assert_allclose([s[0, 0] for s in strokes], at * DT)
    top = 5.0 + lower.get_ydata()[0] - v[0, 2]
    np.testing.assert_allclose([s[1, 1] for s in strokes], top, rtol=1e-6)
    assert any(text.get_text().endswith(" mV") for text in ax.texts)


def test_columns_that_are_numbered_otherwise_get_no_spikes_of_others(recording):
    spikes = recording.signals["spikes"]
    signals = [spikes, Signal(name="v", axes=("batch", "traced"), shape=(2, 1), dtype="f4", dt=DT)]
    recorder = MemoryRecorder(signals)
    recorder.append("spikes", 0, np.asarray(recording["spikes"]))
    recorder.append("v", 0, np.zeros((400, 2, 1), "f4"))
    recorder.commit(400)
    again = recorder.recording()
    assert membrane_traces(again).collections[0].get_segments() == []
    strokes = membrane_traces(again, units=[33], batch=1).collections[0].get_segments()
    assert len(strokes) == dense()[:, 33].sum()


def test_membranes_of_plain_arrays():
    v, spikes = np.zeros((50, 12)), np.zeros((50, 30), bool)
    spikes[7, 21] = True
    ax = membrane_traces(v, spikes, units=np.arange(12) + 20, dt=DT, unit="V", span=(0.0, 0.02))
    ax.figure.draw_without_rendering()
    assert len(ax.get_yticklabels()) == 8
    drawn = [s for c in ax.collections for s in c.get_segments()]
    assert len(drawn) == 1
    assert drawn[0][0, 0] == 7 * DT
    assert membrane_traces(v).get_xlabel() == "tick"


@pytest.mark.parametrize("picture", [raster, population_rate, power_spectrum])
def test_nothing_gives_an_empty_picture_with_labels(picture):
    none = np.zeros((0, 5), bool)
    for args, more in (
        (([], []), {}),
        ((none,), {"dt": DT}),
        ((np.zeros((50, 0), bool),), {"dt": DT}),
        ((np.zeros((50, 5), bool),), {"dt": DT}),
        (([], []), {"populations": {"a": slice(0, 3), "b": slice(3, None)}}),
    ):
        ax = picture(*args, **more)
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert not any(len(line.get_xdata()) for line in ax.lines)
    ax.figure.draw_without_rendering()


def test_no_membranes_give_an_empty_picture():
    for shape in ((0, 3), (5, 0), (1, 1)):
        membrane_traces(np.zeros(shape)).figure.draw_without_rendering()
    membrane_traces(np.full((4, 2), np.nan), threshold=1.0).figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: raster([0.1, 0.2], [1]), r"one shape \(spikes,\)"),
        (lambda: raster([0.1], [0.5]), "integers"),
        (lambda: raster([np.nan], [0]), "finite"),
        (lambda: raster([0.1], [-1]), "units >= 0"),
        (lambda: raster(np.zeros((3, 2))), "bool array"),
        (lambda: raster(dense(), span=(1, 0)), "start < stop"),
        (lambda: raster(dense(), populations={"a": [1, 2]}), r"populations\['a'\] must be a slice"),
        (lambda: population_rate(dense()), "pass dt="),
        (lambda: population_rate(dense(), dt=DT, bin_width=0), "bin_width must be > 0"),
        (lambda: population_rate(dense(), dt=DT, sigma=-1.0), "sigma must be > 0"),
        (lambda: population_rate([0.1], [9], n_units=5), "n_units must be at least 10"),
        (lambda: membrane_traces(np.zeros(5)), r"v must have shape \(time, unit\)"),
        (lambda: membrane_traces(np.zeros((5, 2)), columns=[2]), r"columns must lie in \[0, 2\)"),
        (lambda: membrane_traces(np.zeros((5, 2)), np.zeros((4, 2))), "5 rows as v has, got 4"),
        (lambda: membrane_traces(np.zeros((5, 2)), units=[0]), "units must be 2 integers"),
        (lambda: membrane_traces(np.zeros((5, 2)), threshold=[1, 2, 3]), "threshold must be"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_pyplot_is_not_touched():
    before = "matplotlib.pyplot" in sys.modules
    raster(dense())
    assert ("matplotlib.pyplot" in sys.modules) == before
