"""The picture of waves: what is drawn, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from biomem.errors import InputError
from biomem.viz import plot_waves


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
    left, _ = plot_waves(np.zeros((8, 4)))
    left.figure.draw_without_rendering()


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"choose one stream and one ring"):
        plot_waves(np.zeros((9, 1, 1, 9)))
    with pytest.raises(InputError, match="finite"):
        plot_waves(np.full((9, 9), np.nan))
