"""Compiled gradients against differences of the compiled run; no torch needed."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from biomem.backends import threads
from biomem.models.wave_rnn import WaveRNN, bptt_cpu


def network(**changes: object) -> WaveRNN:
    base = {
        "n_inputs": 2,
        "n_units": 11,
        "n_channels": 5,
        "activation": "tanh",
        "init_u": "random",
        "v_init": "uniform",
        "dtype": "float64",
    }
    return WaveRNN(**{**base, **changes})


def run(
    model: WaveRNN, h: np.ndarray, xs: np.ndarray, kept: np.ndarray, weigh: np.ndarray
) -> float:
    outputs, last, trace = bptt_cpu.forward(model, h, xs, kept, trace=False)
    assert trace is None
    return float((outputs * weigh[:-1]).sum() + (last * weigh[-1]).sum())


@pytest.mark.parametrize(
    ("activation", "f", "units", "channels"),
    [("tanh", 3, 11, 5), ("tanh", 7, 9, 2), ("identity", 3, 16, 4), ("relu", 5, 20, 6)],
)
def test_gradients_equal_differences(
    activation: str, f: int, units: int, channels: int, rng: np.random.Generator
) -> None:
    model = network(activation=activation, kernel_size=f, n_units=units, n_channels=channels)
    ticks, batch = 7, 3
    xs, h = rng.normal(size=(ticks, batch, 2)), rng.normal(size=(batch, channels, units))
    kept = np.array([-1, 0, -1, 1, 2, -1, 3])
    weigh = rng.normal(size=(5, batch, channels, units))
    outputs, last, trace = bptt_cpu.forward(model, h, xs, kept, trace=True)
    assert outputs.shape == (4, batch, channels, units)
    np.testing.assert_array_equal(outputs[3], last)
    assert trace is not None
    found = bptt_cpu.backward(trace, weigh[:-1], weigh[-1], with_x=True)

    weights = {k: np.asarray(w) for k, w in model.weights.items()}

    def moved(name: str, step: np.ndarray) -> float:
        if name == "h":
            return run(model, h + step, xs, kept, weigh)
        if name == "x":
            return run(model, h, xs + step, kept, weigh)
        return run(model.with_weights({**weights, name: weights[name] + step}), h, xs, kept, weigh)

    named = {
        "ring_weight": found.ring,
        "input_bias": found.bias,
        "input_weight": found.drive,
        "h": found.h,
        "x": found.x,
    }
    for name, gradient in named.items():
        assert gradient is not None
        direction = rng.normal(size=gradient.shape)
        step = 1e-5 * direction
        want = (moved(name, step) - moved(name, -step)) / 2e-5
        assert (gradient * direction).sum() == pytest.approx(want, rel=1e-6), name


@pytest.mark.parametrize("ticks", [1, 2, 10])
def test_any_number_of_ticks_and_streams(ticks: int, rng: np.random.Generator) -> None:
    model, batch = network(), 19
    xs, h = rng.normal(size=(ticks, batch, 2)), rng.normal(size=(batch, 5, 11))
    kept = np.full(ticks, -1)
    kept[-1] = 0
    weigh = rng.normal(size=(batch, 5, 11))

    def gradients(streams: slice) -> bptt_cpu.Gradients:
        part = np.ascontiguousarray(xs[:, streams])
        _, last, trace = bptt_cpu.forward(model, h[streams].copy(), part, kept, trace=True)
        assert trace is not None
        return bptt_cpu.backward(trace, weigh[streams][None], 0 * last, with_x=False)

    whole = gradients(slice(None))
    single = [gradients(slice(b, b + 1)) for b in range(batch)]
    for name in ("ring", "bias", "drive"):
        total = sum(getattr(g, name) for g in single)
        np.testing.assert_allclose(getattr(whole, name), total, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(whole.h, np.concatenate([g.h for g in single]))
    assert whole.x is None


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(threads, "WORTH_A_THREAD", 1)
    model, kept = network(activation="relu"), np.arange(6)
    xs, h = rng.normal(size=(6, 11, 2)), rng.normal(size=(11, 5, 11))
    found = []
    for n in (1, 2, 5):
        monkeypatch.setattr(numba, "get_num_threads", lambda n=n: n)
        outputs, last, trace = bptt_cpu.forward(model, h, xs, kept, trace=True)
        assert trace is not None
        found.append(bptt_cpu.backward(trace, outputs, last, with_x=True))
    for other in found[1:]:
        for name in other._fields:
            np.testing.assert_array_equal(getattr(found[0], name), getattr(other, name))


def test_a_gradient_that_vanishes_ends_at_zero() -> None:
    model = network(activation="identity", init_u="identity", nu=0.0, n_channels=1)
    tenth = {**model.weights, "ring_weight": 0.1 * np.asarray(model.weights["ring_weight"])}
    xs, h = np.zeros((400, 1, 2)), np.zeros((1, 1, 11))
    kept = np.full(400, -1)
    kept[-1] = 0
    outputs, last, trace = bptt_cpu.forward(model.with_weights(tenth), h, xs, kept, trace=True)
    assert trace is not None
    found = bptt_cpu.backward(trace, np.ones_like(outputs), 0 * last, with_x=False)
    assert (found.h == 0).all()
    assert found.bias == pytest.approx(1 / 0.9)
