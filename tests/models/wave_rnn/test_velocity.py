"""The estimator finds velocities that are known, and says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem import Simulator
from biomem.errors import InputError
from biomem.models.wave_rnn import WaveRNN, kernel_velocity, wave_velocity


def driven(taps: tuple, n: int, ticks: int, rings: int) -> np.ndarray:
    """Return rings whose units are driven by noise of a seed each, (time, ring, unit)."""
    model = WaveRNN(
        n_inputs=n,
        n_units=n,
        activation="identity",
        bias_init="zero",
        record_hidden=True,
        dtype="float64",
    )
    weights = {**model.weights, "input_weight": np.eye(n)[None], "ring_weight": np.array([[taps]])}
    noise = [np.random.default_rng(seed).normal(size=(ticks, n)) for seed in range(rings)]
    return np.asarray(
        Simulator(model.with_weights(weights), batch=rings).run(np.stack(noise, axis=1))["h"]
    )[:, :, 0]


def drifting(velocity: float, n: int, ticks: int, seed: int) -> np.ndarray:
    """Return a random pattern moved by a fraction of a unit per tick in Fourier space, renewed."""
    rng = np.random.default_rng(seed)
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(n) * velocity)
    h, out = np.zeros(n), []
    for _ in range(ticks):
        h = 0.99 * np.fft.irfft(np.fft.rfft(h) * turn, n) + rng.normal(size=n)
        out.append(h)
    return np.array(out)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "ticks"), [(64, 256), (48, 200)])
@pytest.mark.parametrize("velocity", [-1.0, -0.5, 0.25, 0.0, 1.6])
def test_velocity_of_drifting_patterns(velocity: float, n: int, ticks: int, seed: int) -> None:
    found = wave_velocity(drifting(velocity, n, ticks, seed))
    assert abs(found.velocity - velocity) <= 0.02
    assert found.scores.shape == (801,)
    assert found.score == found.scores.max()


@pytest.mark.parametrize("velocity", [-1.0, -0.5, 0.25, 0.0])
def test_velocity_of_every_single_ring_driven_by_noise(velocity: float) -> None:
    nu = abs(velocity)
    h = driven((0.0, 1.0 - nu, nu), 64, 256, rings=64)
    found = wave_velocity(h[..., ::-1] if velocity > 0 else h)
    assert found.velocity.shape == found.score.shape == found.line.shape == (64,)
    assert abs(found.velocity - velocity).max() <= 0.02
    assert abs(found.velocity.mean() - velocity) <= 0.004
    # The line alone is four times as far off where short waves diffuse away.
    assert abs(found.line - velocity).max() <= 0.1


@given(velocity=st.floats(-1.9, 1.9), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_velocity_of_patterns_that_move_by_parts_of_a_unit(velocity: float, seed: int) -> None:
    found = wave_velocity(drifting(velocity, 48, 256, seed))
    assert abs(found.velocity - velocity) <= 0.02
    assert abs(found.velocity - found.line) <= 0.025


def test_a_pattern_handed_on_whole_has_its_velocity_to_the_last_digits() -> None:
    ring = np.random.default_rng(0).normal(size=33)
    for step in (-2, -1, 0, 1):
        if step:
            found = wave_velocity([np.roll(ring, step * t) for t in range(99)])
            assert abs(found.velocity - step) < 1e-12


@pytest.mark.parametrize("taps", [(0.05, 0.2, 0.75), (0.2, 0.5, 0.3), (0.1, 0.8, 0.1)])
def test_velocity_of_waves_that_spread_both_ways_is_that_of_the_kernel(taps: tuple) -> None:
    h = driven(taps, 64, 256, rings=64)
    want = kernel_velocity([[taps]]).item()
    found = wave_velocity(h)
    assert abs(np.median(found.velocity) - want) < 0.01
    assert (
        np.mean(abs(found.velocity - want) < 0.03) > 0.95 > np.mean(abs(found.line - want) < 0.03)
    )


def test_a_ring_that_never_changes_has_no_velocity() -> None:
    found = wave_velocity(np.stack([np.ones((20, 6)), drifting(0.0, 6, 20, 0)], axis=1))
    assert np.isnan(found.velocity).tolist() == np.isnan(found.line).tolist() == [True, False]
    assert found.score[0] == 0


def test_the_score_tells_waves_from_noise() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 48))
    assert wave_velocity(drifting(-1.0, 48, 200, 0)).score > 10 * wave_velocity(noise).score


def test_velocity_does_not_depend_on_scale_and_offset() -> None:
    h = drifting(-0.5, 48, 200, 0)
    assert abs(wave_velocity(1e-6 * h + 3.0).velocity - wave_velocity(h).velocity) < 1e-6


@pytest.mark.parametrize("nu", [0.0, 0.25, 1.0])
def test_kernel_velocity_is_that_of_the_initial_wave(nu: float) -> None:
    for tie, shape in (("conv", (3,)), ("local", (3, 8))):
        weights = WaveRNN(n_units=8, n_channels=3, nu=nu, tie_weights=tie).weights
        np.testing.assert_allclose(kernel_velocity(weights["ring_weight"]), np.full(shape, -nu))


def test_a_kernel_without_sum_has_no_velocity() -> None:
    assert np.isnan(kernel_velocity([[[1.0, 0.0, -1.0]]])).all()


@pytest.mark.parametrize(
    ("h", "message"),
    [
        (np.zeros(9), r"got float64 of shape \(9,\)"),
        (np.zeros((3, 9)), "time >= 4"),
        (np.zeros((9, 1)), "unit >= 2"),
        (np.full((9, 9), np.inf), "must be finite"),
        (np.zeros((9, 9), complex), "got complex128"),
    ],
)
def test_refusals(h: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        wave_velocity(h)


def test_kernels_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"kernel_velocity: u must have shape .*got \(4, 4\)"):
        kernel_velocity(np.eye(4))
