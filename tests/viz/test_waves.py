"""The picture of waves: what is drawn, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from biomem.errors import InputError
from biomem.models.wave_rnn import WaveRNN
from biomem.viz.waves import plot_kernels, plot_waves


def moving(ticks: int = 120, units: int = 40, step: int = -1) -> np.ndarray:
    ring = np.random.default_rng(0).normal(size=units)
    return np.stack([np.roll(ring, step * t) for t in range(ticks)])


def test_activity_spectrum_and_velocity_are_drawn() -> None:
    h = moving()
    left, right = plot_waves(h, start=500, title="ring")
    left.figure.draw_without_rendering()
    assert left.get_title() == "ring"
    assert left.get_xlabel() == "tick"
    assert left.get_xlim() == (499.5, 619.5)
    np.testing.assert_array_equal(left.images[0].get_array(), h.T)
    assert right.images[0].get_array().shape == (120, 40)
    assert right.get_legend().get_texts()[0].get_text() == "-1.000 units per tick"
    wave, frequency = right.lines[0].get_data()
    np.testing.assert_allclose(frequency[2:-2], wave[2:-2], atol=1e-12)


def test_the_line_of_a_fast_wave_re_enters() -> None:
    _, right = plot_waves(moving(step=2))
    wave, frequency = right.lines[0].get_data()
    assert np.isnan(frequency).sum() == 2
    cycles = (frequency + 2 * wave)[np.isfinite(frequency)]
    np.testing.assert_allclose(cycles, np.round(cycles), atol=1e-12)
    assert np.nanmax(np.abs(frequency)) <= 0.5


def test_draws_where_it_is_told_and_one_sided_activity_in_one_colour() -> None:
    axes = Figure().subplots(2)
    drawn = plot_waves(np.abs(moving()), ax=axes)
    assert drawn[0] is axes[0]
    assert axes[0].images[0].norm.vmin == 0.0


def test_a_silent_ring_gives_a_picture() -> None:
    left, right = plot_waves(np.zeros((8, 4)))
    left.figure.draw_without_rendering()
    assert right.get_legend().get_texts()[0].get_text() == "no velocity"


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"choose one stream and one ring"):
        plot_waves(np.zeros((9, 1, 1, 9)))
    with pytest.raises(InputError, match="finite"):
        plot_waves(np.full((9, 9), np.nan))


def test_kernels_stand_in_blocks_by_the_ring_they_read() -> None:
    u = np.arange(12.0).reshape(2, 2, 3)
    ax = plot_kernels(u, title="taps")
    ax.figure.draw_without_rendering()
    np.testing.assert_array_equal(ax.images[0].get_array(), u.reshape(2, 6))
    assert ax.images[0].get_clim() == (-11.0, 11.0)
    assert ax.get_xticks().tolist() == [1.0, 4.0]
    assert ax.get_title() == "taps"


def test_kernels_are_drawn_where_told_and_rows_tell_their_velocity() -> None:
    axes = Figure().subplots()
    shifted = WaveRNN(n_units=8, n_channels=3, nu=0.25).weights["ring_weight"]
    assert plot_kernels(shifted, ax=axes) is axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0 (-0.25)", "1 (-0.25)", "2 (-0.25)"]


@pytest.mark.parametrize(
    ("u", "named"),
    [
        (np.zeros((2, 2, 8, 3)), "choose one unit"),
        (np.zeros((2, 3, 3)), r"got \(2, 3, 3\)"),
        (np.zeros((0, 0, 3)), r"got \(0, 0, 3\)"),
        (np.full((1, 1, 3), np.nan), "u must be finite"),
    ],
)
def test_kernels_that_are_refused(u: np.ndarray, named: str) -> None:
    with pytest.raises(InputError, match=named):
        plot_kernels(u)
