"""The compiled scan equals the reference, and its bits depend on nothing but the stream."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.backends import threads
from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.models.wave_rnn import WaveRNN, WaveRNNOutput, WaveRNNState, cpu
from biomem.testing import check_model


def start(model: WaveRNN, batch: int, seed: int = 0) -> WaveRNNState:
    p = model.params
    draw = np.random.default_rng(seed)
    return WaveRNNState(draw.normal(size=(batch, p.n_channels, p.n_units)).astype(p.dtype))


def inputs(model: WaveRNN, ticks: int, batch: int, seed: int = 1) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(ticks, batch, model.params.n_inputs)).astype(model.params.dtype)


def by_chunks(
    model: WaveRNN, xs: np.ndarray, cuts: list[int], seed: int = 0
) -> tuple[np.ndarray, WaveRNNOutput]:
    state, parts = start(model, xs.shape[1], seed), []
    edges = [0, *cuts, len(xs)]
    for a, b in itertools.pairwise(edges):
        state, out = cpu.scan(model, state, xs[a:b], a)
        parts.append(out)
    return state.h, WaveRNNOutput(*(np.concatenate(field) for field in zip(*parts, strict=True)))


@settings(max_examples=60)
@given(
    tie=st.sampled_from(["conv", "conv", "local", "dense"]),
    activation=st.sampled_from(["relu", "tanh", "identity"]),
    init_u=st.sampled_from(["shift", "random"]),
    decoder=st.sampled_from(["linear", "mlp"]),
    channels=st.integers(1, 9),
    units=st.integers(7, 70),
    half=st.integers(1, 3),
    n_inputs=st.integers(1, 3),
    every=st.integers(1, 6),
    batch=st.integers(1, 6),
    cut=st.integers(1, 18),
    record=st.booleans(),
    single=st.booleans(),
)
def test_scan_equals_the_reference_and_its_own_chunks(
    tie: str,
    activation: str,
    init_u: str,
    decoder: str,
    channels: int,
    units: int,
    half: int,
    n_inputs: int,
    every: int,
    batch: int,
    cut: int,
    record: bool,
    single: bool,
) -> None:
    model = WaveRNN(
        n_inputs=n_inputs,
        n_units=units,
        n_channels=channels,
        n_outputs=5,
        kernel_size=2 * half + 1,
        tie_weights=tie,
        activation=activation,
        decoder=decoder,
        n_decoder=6,
        readout_every=every,
        record_hidden=record,
        init_u=init_u,
        nu=0.7,
        v_init="uniform",
        dtype="float32" if single else "float64",
    )
    xs = inputs(model, 19, batch)
    want, outputs = loop(model, start(model, batch), xs, 0)
    end, got = by_chunks(model, xs, [])
    for a, b in ((want.h, end), (outputs.y, got.y), (outputs.h, got.h)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        scale = np.abs(a).max(initial=1e-30)
        np.testing.assert_allclose(b, a, rtol=0, atol=scale * (1e-4 if single else 1e-12))
    again, parts = by_chunks(model, xs, [cut])
    np.testing.assert_array_equal(end, again)
    np.testing.assert_array_equal(got.y, parts.y)
    np.testing.assert_array_equal(got.h, parts.h)


@pytest.mark.parametrize("tie", ["conv", "local", "dense"])
def test_a_stream_has_the_same_bits_alone_and_in_a_batch(tie: str) -> None:
    model = WaveRNN(n_units=30, n_channels=5, tie_weights=tie, init_u="random", n_outputs=7)
    xs, state = inputs(model, 9, 7), start(model, 7)
    alone = [
        cpu.scan(model, WaveRNNState(state.h[b : b + 1].copy()), xs[:, b : b + 1].copy(), 0)
        for b in range(7)
    ]
    whole, out = cpu.scan(model, state, xs, 0)
    for b in range(7):
        np.testing.assert_array_equal(whole.h[b], alone[b][0].h[0])
        np.testing.assert_array_equal(out.y[:, b], alone[b][1].y[:, 0])


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORTH_A_THREAD", 1)
    model = WaveRNN(n_units=30, n_channels=5, init_u="random", n_outputs=3)
    xs = inputs(model, 9, 5)
    ends = []
    for n in (1, 3):
        monkeypatch.setattr(numba, "get_num_threads", lambda n=n: n)
        ends.append(cpu.scan(model, start(model, 5), xs, 0))
    np.testing.assert_array_equal(ends[0][0].h, ends[1][0].h)
    np.testing.assert_array_equal(ends[0][1].y, ends[1][1].y)


def test_the_input_is_not_written_to_and_an_overflow_is_seen() -> None:
    model = WaveRNN(n_units=8, activation="identity")
    big = {**model.weights, "ring_weight": np.full((1, 1, 3), 1e30, np.float32)}
    xs = np.ones((8, 1, 1), np.float32)
    _, out = cpu.scan(model.with_weights(big), model.init_state(1, Rng(0)), xs, 0)
    assert not np.isfinite(out.y[-1]).all()
    assert (xs == 1).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"n_channels": 3, "n_outputs": 2, "record_hidden": True},
        {"tie_weights": "dense", "init_u": "identity", "bias_init": "zero", "v_init": "normal"},
        {"tie_weights": "local", "activation": "identity", "nu": 0.5, "dtype": "float64"},
        {"decoder": "mlp", "n_decoder": 5, "activation": "tanh", "init_u": "random"},
        {"kernel_size": 5, "readout_every": 4, "v_init": "identity", "dtype": "float64"},
    ],
)
def test_keeps_the_model_contract(changes: dict[str, object]) -> None:
    check_model(WaveRNN(**{"n_units": 9, "n_inputs": 2, **changes}), batch=3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("tie", ["conv", "local", "dense"])
@pytest.mark.parametrize("decoder", ["linear", "mlp"])
def test_what_is_not_a_number_reaches_the_outputs(activation: str, tie: str, decoder: str) -> None:
    model = WaveRNN(n_units=7, activation=activation, tie_weights=tie, decoder=decoder)
    weights = dict(model.weights)
    weights["ring_bias"] = np.full_like(weights["ring_bias"], np.nan)
    broken = model.with_weights(weights)
    for scan in (loop, cpu.scan):
        state, out = scan(broken, broken.init_state(1, Rng(0)), inputs(model, 2, 1), 0)
        assert np.isnan(state.h).all()
        assert np.isnan(out.y).all()
