"""The picture of a series: what is drawn, that nothing is lost, and that any input gives one."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from biomem.errors import InputError, OutputError
from biomem.viz import plot_anomalies, save_png
from biomem.viz.series import envelope

JULY = 1404172800.0


def drawn(axes):
    axes[0].figure.draw_without_rendering()
    return axes


def labels(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_series_alarms_threshold_and_windows_are_drawn():
    times = JULY + 1800.0 * np.arange(100)
    values, scores = np.sin(times), np.linspace(0.0, 1.0, 100)
    axes = drawn(
        plot_anomalies(
            times,
            values,
            scores,
            0.9,
            scores > 0.97,
            windows=[(times[90], times[99])],
            title="taxi.csv",
            value_label="passengers",
        )
    )
    upper, lower = axes
    line, marks = upper.get_lines()
    assert np.array_equal(line.get_ydata(), values)
    assert np.array_equal(marks.get_ydata(), values[scores > 0.97])
    assert labels(upper) == ["3 alarms", "labelled anomaly"]
    assert labels(lower) == ["threshold 0.9"]
    assert np.array_equal(lower.get_lines()[0].get_ydata(), scores)
    assert set(lower.get_lines()[1].get_ydata()) == {0.9}
    assert upper.get_title(loc="left") == "taxi.csv"
    assert upper.get_ylabel() == "passengers"
    assert lower.get_xlabel() == "time (2014-07-01 00:00 to 2014-07-03 01:30)"
    assert any("Jul" in text.get_text() for text in lower.get_xticklabels())


@pytest.mark.parametrize(
    ("times", "stamps", "label"),
    [
        ([0.0, 1.0], None, "record (tick)"),
        ([0.0, 1.0], ["", ""], "record (tick)"),
        ([JULY, JULY + 1.0], ["", ""], "record (tick)"),
        ([0.0, 60.0], ["1970-01-01", "1970-01-01 00:01"], "time (1970-01-01 00:00 to"),
        ([JULY, JULY + 60.0], None, "time (2014-07-01 00:00 to 2014-07-01 00:01)"),
        ([-6.2e10, 2.5e11], ["0005-04-17", "9892-03-01"], "time (s since 1970)"),
        ([], [], "record (tick)"),
    ],
)
def test_the_time_axis_says_what_it_shows(times, stamps, label):
    n = len(times)
    axes = drawn(plot_anomalies(times, [1.0] * n, [0.5] * n, stamps=stamps))
    assert axes[1].get_xlabel().startswith(label)


def test_scores_share_a_scale_unless_they_leave_it():
    assert plot_anomalies([0, 1], [0, 1], [0.1, 0.2])[1].get_ylim() == (-0.04, 1.08)
    assert plot_anomalies([0, 1], [0, 1], [-3.0, 5.0])[1].get_ylim()[1] > 5.0
    assert plot_anomalies([0, 1], [0, 1], [0.1, 0.2], 2.0)[1].get_ylim()[1] >= 2.0


def test_a_gap_breaks_the_line():
    axes = plot_anomalies([0, 1, 9, 10], [1, 2, 3, 4], [0, 0, 0, 0], resets=[0, 0, 1, 0])
    for axis in axes:
        y = axis.get_lines()[0].get_ydata()
        assert np.flatnonzero(np.isnan(y)).tolist() == [2]


def test_a_long_series_keeps_its_peaks_in_few_points():
    n = 300_000
    values = np.sin(np.arange(n) / 1000.0)
    values[[7, 123_456, 299_998]] = [50.0, -40.0, 60.0]
    upper, _ = drawn(plot_anomalies(np.arange(n), values, np.zeros(n), alarms=[123_456]))
    x, y = upper.get_lines()[0].get_data()
    assert len(y) <= 2 * 4000 + 2
    for index in (0, 7, 123_456, 299_998, n - 1):
        assert y[np.searchsorted(x, index)] == values[index]


@given(
    st.lists(
        st.tuples(st.one_of(st.floats(-10, 10), st.just(np.nan)), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_the_envelope_holds_the_extremes_of_every_stretch(points, bins):
    y = np.array([value for value, _ in points])
    breaks = np.array([flag for _, flag in points])
    breaks[0] = False
    x = np.arange(len(y), dtype=float)
    ex, ey = envelope(x, y, breaks, bins=bins)
    assert np.all(np.diff(ex) >= 0)
    edges = np.unique(np.linspace(0, len(y), bins + 1).astype(int))
    for a, b in itertools.pairwise(edges):
        part = y[a:b][~np.isnan(y[a:b])]
        if len(part):
            inside = ey[(ex >= a) & (ex < b)]
            assert np.nanmin(inside) == part.min()
            assert np.nanmax(inside) == part.max()
    # Between any two points drawn with a break between them there is a NaN.
    for at in np.flatnonzero(breaks):
        right = np.searchsorted(ex, at)
        assert np.isnan(ey[right]) or right == 0


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(-6.2e10, 2.5e11), max_size=5).map(sorted),
    st.sampled_from([0.0, 1e-300, 1.0, 1e150, -1e150]),
    st.text(max_size=3).map(lambda text: f"${text}$ _^"),
)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_any_times_values_and_names_give_a_picture(times, value, text):
    n = len(times)
    values = [value * (-1) ** i for i in range(n)]
    drawn(
        plot_anomalies(
            times, values, [np.nan] * n, 0.5, stamps=[text] * n, title=text, value_label=text
        )
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([0, 1], [1], [0, 0]),
            r"values must have shape \(2,\), one for each of times, got \(1,\)",
        ),
        (([0, 1], [1, 2], [[0, 0]]), r"scores must have shape \(2,\)"),
        (([[0]], [1], [0]), r"times must have shape \(n,\), got \(1, 1\)"),
        (([0, 1], [1, 2], [0, 0], None, [2]), r"indices in \[0, 2\), got \[2\]"),
        (([0, 1], [1, 2], [0, 0], None, [-1]), r"indices in \[0, 2\)"),
        (([0, 1], [1, 2], [0, 0], None, [0.5]), r"indices in \[0, 2\)"),
        (([0, 1], [1, 2], [0, 0], None, [True]), r"mask must have shape \(2,\), got \(1,\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        plot_anomalies(*arguments)


def test_given_axes_are_used():
    axes = Figure().subplots(2, 1)
    assert plot_anomalies([0, 1], [1, 2], [0, 1], ax=axes).tolist() == axes.tolist()


def test_a_png_replaces_the_one_before_or_leaves_it(tmp_path):
    figure = plot_anomalies([0, 1], [1, 2], [0, 1])[0].figure
    path = tmp_path / "out.png"
    path.write_text("before")
    save_png(path, figure)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert os.listdir(tmp_path) == ["out.png"]
    with pytest.raises(OutputError, match="cannot write"):
        save_png(tmp_path / "absent" / "out.png", figure)


def test_drawing_leaves_pyplot_alone_and_importing_leaves_matplotlib_alone():
    code = (
        "import sys, biomem.viz; assert 'matplotlib' not in sys.modules\n"
        "biomem.viz.plot_anomalies([0, 1], [1, 2], [0, 1])[0].figure.draw_without_rendering()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
