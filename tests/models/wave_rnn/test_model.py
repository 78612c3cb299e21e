"""The reference against the equations written out, the physics of waves, initial weights."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from biomem import Simulator
from biomem.engine.random import Rng
from biomem.models.wave_rnn import WaveRNN, WaveRNNParams
from biomem.models.wave_rnn.model import WaveRNNState, correlate, ring_weights

SIGMA = {"relu": lambda z: max(z, 0.0), "tanh": np.tanh, "identity": lambda z: z}


def ring(**changes: Any) -> WaveRNN:
    """Return a linear network without biases, so that only the recurrence acts."""
    base = {"activation": "identity", "bias_init": "zero", "dtype": "float64"}
    return WaveRNN(**{**base, **changes})


def next_state(model: WaveRNN, h: np.ndarray) -> np.ndarray:
    x = np.zeros((len(h), model.params.n_inputs))
    return model.step(WaveRNNState(h), x, 0)[0].h


def written_out(model: WaveRNN, h: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the next state of one stream, sums as in the module's docstring."""
    p, w = model.params, {k: np.asarray(a) for k, a in model.weights.items()}
    c, n, f = p.n_channels, p.n_units, p.kernel_size
    out = np.zeros((c, n))
    for o, i in itertools.product(range(c), range(n)):
        z = sum(w["input_weight"][o, i, q] * x[q] for q in range(p.n_inputs))
        z += w["input_bias"][o, i]
        z += w["ring_bias"][o] if p.tie_weights == "conv" else w["ring_bias"][o, i]
        if p.tie_weights == "dense":
            z += w["ring_weight"][o * n + i] @ h.ravel()
        else:
            for k, j in itertools.product(range(c), range(f)):
                u = w["ring_weight"][o, k]
                tap = u[j] if p.tie_weights == "conv" else u[i, j]
                z += tap * h[k, (i + j - f // 2) % n]
        out[o, i] = SIGMA[p.activation](z)
    return out


@pytest.mark.parametrize("tie", ["conv", "local", "dense"])
@pytest.mark.parametrize(("activation", "f"), [("relu", 3), ("tanh", 5), ("identity", 7)])
def test_step_equals_the_sums_written_out(
    tie: str, activation: str, f: int, rng: np.random.Generator
) -> None:
    model = WaveRNN(
        n_inputs=2,
        n_units=7,
        n_channels=3,
        n_outputs=2,
        kernel_size=f,
        tie_weights=tie,
        activation=activation,
        init_u="random",
        v_init="uniform",
        dtype="float64",
    )
    h, x = rng.normal(size=(2, 3, 7)), rng.normal(size=(2, 2))
    state, out = model.step(WaveRNNState(h), x, 0)
    for b in range(2):
        want = written_out(model, h[b], x[b])
        np.testing.assert_allclose(state.h[b], want, rtol=1e-13, atol=1e-14)
        y = model.weights["readout_weight"] @ want.ravel() + model.weights["readout_bias"]
        np.testing.assert_allclose(out.y[b], y, rtol=1e-13)


def test_readout_with_a_hidden_layer(rng: np.random.Generator) -> None:
    model = WaveRNN(n_units=5, n_outputs=2, decoder="mlp", n_decoder=4, dtype="float64")
    h, w = rng.normal(size=(3, 1, 5)), model.weights
    hidden = np.maximum(h[:, 0] @ w["decoder_weight"].T + w["decoder_bias"], 0.0)
    np.testing.assert_allclose(
        model.read(h), hidden @ w["readout_weight"].T + w["readout_bias"], rtol=1e-13
    )


def test_an_impulse_moves_toward_lower_index_and_returns_after_n_ticks() -> None:
    n = 16
    model = ring(n_units=n, record_hidden=True)
    xs = np.zeros((2 * n + 1, 1))
    xs[0] = 1.0
    h = np.asarray(Simulator(model).run(xs)["h"])[:, 0, 0]
    for t in range(2 * n + 1):
        np.testing.assert_array_equal(h[t], np.eye(n)[-t % n], err_msg=f"tick {t}")


def test_what_returns_is_added_to_what_is_injected() -> None:
    xs = np.zeros((9, 1))
    xs[0], xs[8] = 1.0, 2.0
    h = np.asarray(Simulator(ring(n_units=8, record_hidden=True)).run(xs)["h"])
    assert h[8, 0, 0, 0] == 3.0


@pytest.mark.parametrize("tie", ["conv", "local", "dense"])
@pytest.mark.parametrize("nu", [0.0, 0.3, 0.5, 1.0])
def test_dispersion_relation(nu: float, tie: str) -> None:
    n = 24
    model, i = ring(n_units=n, nu=nu, tie_weights=tie), np.arange(n)
    for m in range(n):
        k = 2 * np.pi * m / n
        h = np.stack([np.cos(k * i), np.sin(k * i)])[:, None]
        out = next_state(model, h)[:, 0]
        gain = 1 - nu + nu * np.exp(1j * k)
        np.testing.assert_allclose(
            out[0] + 1j * out[1], gain * np.exp(1j * k * i), atol=1e-13, err_msg=f"mode {m}"
        )
        assert abs(gain) ** 2 == pytest.approx(1 - 4 * nu * (1 - nu) * np.sin(k / 2) ** 2)


@pytest.mark.parametrize("nu", [0.2, 0.7])
def test_eigenvalues_of_the_recurrence(nu: float) -> None:
    n = 12
    matrix = next_state(ring(n_units=n, nu=nu), np.eye(n)[:, None])[:, 0].T
    k = 2 * np.pi * np.arange(n) / n
    want = 1 - nu + nu * np.exp(1j * k)
    found = np.linalg.eigvals(matrix)
    distance = np.abs(found[:, None] - want[None, :])
    assert distance.min(axis=0).max() < 1e-12
    assert np.abs(found).max() <= 1 + 1e-12


def test_stable_up_to_the_cfl_limit_and_not_beyond(rng: np.random.Generator) -> None:
    h = rng.normal(size=(1, 1, 32))

    def after(model: WaveRNN) -> float:
        now = h
        for _ in range(300):
            now = next_state(model, now)
        return float(np.linalg.norm(now) / np.linalg.norm(h))

    for nu in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert after(ring(n_units=32, nu=nu)) <= 1 + 1e-12
    fast = ring(n_units=32)
    kernel = np.array([[[0.0, -0.05, 1.05]]])
    assert after(fast.with_weights({**fast.weights, "ring_weight": kernel})) > 1e3


@pytest.mark.parametrize("nu", [0.0, 1.0])
def test_the_norm_is_kept_at_the_ends_only(nu: float, rng: np.random.Generator) -> None:
    h = rng.normal(size=(1, 2, 17))
    whole = next_state(ring(n_units=17, n_channels=2, nu=nu), h)
    np.testing.assert_array_equal(np.sort(whole), np.sort(h))
    between = next_state(ring(n_units=17, n_channels=2, nu=0.5), h)
    assert np.linalg.norm(between) < 0.99 * np.linalg.norm(h)


def test_a_fractional_shift_diffuses_as_it_says() -> None:
    n, nu, ticks = 256, 0.3, 200
    h = np.zeros((1, 1, n))
    h[..., 128] = 1.0
    for _ in range(ticks):
        h = next_state(ring(n_units=n, nu=nu), h)
    place = np.arange(n) - 128.0
    mean = (h[0, 0] * place).sum()
    assert mean == pytest.approx(-nu * ticks)
    # Diffusion D widens a pulse by 2 D per tick.
    assert (h[0, 0] * (place - mean) ** 2).sum() == pytest.approx(nu * (1 - nu) * ticks)


def test_channels_do_not_mix_before_training(rng: np.random.Generator) -> None:
    h = rng.normal(size=(1, 3, 8))
    h[:, 1] = 0.0
    for tie in ("conv", "local", "dense"):
        out = next_state(ring(n_units=8, n_channels=3, nu=0.4, tie_weights=tie), h)
        assert not out[:, 1].any()
        assert out[:, [0, 2]].any()


def test_untied_weights_start_as_the_tied_ones() -> None:
    h = np.random.default_rng(0).normal(size=(2, 3, 8))
    want = next_state(ring(n_units=8, n_channels=3, nu=0.4), h)
    for tie in ("local", "dense"):
        model = ring(n_units=8, n_channels=3, nu=0.4, tie_weights=tie)
        np.testing.assert_allclose(next_state(model, h), want, rtol=1e-15)


def test_correlation_is_not_flipped(rng: np.random.Generator) -> None:
    h = rng.normal(size=(1, 1, 6))
    taps = np.array([[[1.0, 10.0, 100.0]]])
    want = np.roll(h, 1, axis=2) + 10 * h + 100 * np.roll(h, -1, axis=2)
    np.testing.assert_allclose(correlate(h, taps), want, rtol=1e-15)


def test_input_weights() -> None:
    shape = {"n_inputs": 5, "n_units": 300, "n_channels": 3}
    ones = WaveRNN(v_init="ones", **shape).weights
    assert (ones["input_weight"][:, 0] == 1).all()
    assert not ones["input_weight"][:, 1:].any()
    assert not ones["input_bias"].any()
    assert len(set(ones["ring_bias"].tolist())) == 3, "the bias tells channels apart"
    routed = WaveRNN(v_init="identity", **shape).weights["input_weight"]
    for q in range(5):
        want = np.zeros((3, 300))
        want[q % 3, 0] = 1.0
        np.testing.assert_array_equal(routed[..., q], want)
    normal = WaveRNN(v_init="normal", **shape).weights["input_weight"]
    assert normal.std() == pytest.approx(1e-3, rel=0.05)
    uniform = WaveRNN(v_init="uniform", **shape).weights
    for name in ("input_weight", "input_bias"):
        assert abs(uniform[name]).max() == pytest.approx(5**-0.5, rel=0.02)


@pytest.mark.parametrize(
    ("tie", "limit"), [("conv", 12**-0.5), ("local", 0.5), ("dense", 120**-0.5)]
)
def test_random_ring_weights_and_biases(tie: str, limit: float) -> None:
    params = WaveRNNParams(n_units=30, n_channels=4, tie_weights=tie, init_u="random")
    drawn = ring_weights(params, Rng(3))
    assert limit * 0.9 < abs(drawn).max() <= limit
    assert abs(drawn.mean()) < 0.2 * limit
    bias = WaveRNN(params).weights["ring_bias"]
    assert 0 < abs(bias).max() <= (120 if tie == "dense" else 12) ** -0.5
    assert not WaveRNN(params, bias_init="zero").weights["ring_bias"].any()


def test_weights_are_drawn_from_the_seed_alone() -> None:
    one, two = WaveRNN(n_units=9, seed=5), WaveRNN(n_units=9, seed=5)
    other = WaveRNN(n_units=9, seed=6)
    for name, weight in one.weights.items():
        np.testing.assert_array_equal(weight, two.weights[name])
        assert weight.dtype == np.float32
    assert not np.array_equal(one.weights["readout_weight"], other.weights["readout_weight"])


def test_the_readout_comes_every_so_many_ticks(rng: np.random.Generator) -> None:
    each = WaveRNN(n_units=8, n_outputs=2, v_init="uniform")
    some = WaveRNN(each.params, readout_every=3, weights=each.weights)
    xs = rng.normal(size=(10, 1, 1)).astype(np.float32)
    whole = np.asarray(Simulator(each, backend="numpy").run(xs)["y"])
    third = np.asarray(Simulator(some, backend="numpy").run(xs)["y"])
    want = np.zeros_like(whole)
    want[2::3] = whole[2::3]
    np.testing.assert_array_equal(third, want)


def test_nan_is_not_rectified_away() -> None:
    model = WaveRNN(n_units=4)
    h = np.array([[[np.nan, -1.0, 0.0, 1.0]]], np.float32)
    assert np.isnan(model.activate(h)[0, 0, 0])
    np.testing.assert_array_equal(model.activate(h)[0, 0, 1:], [0.0, 0.0, 1.0])


def test_work_counts_multiply_adds() -> None:
    model = WaveRNN(n_units=256, n_channels=16, n_outputs=10, readout_every=784)
    per_tick = 16 * 16 * 3 * 256 + 16 * 256
    assert model.work(model.init_state(2, Rng(0)), 784, 2).macs == 2 * (784 * per_tick + 40960)
