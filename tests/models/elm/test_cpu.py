"""Compiled scans: equal to the reference, to each other, and to themselves in pieces."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.backends import threads
from biomem.engine.scan import loop
from biomem.engine.simulator import Simulator
from biomem.models.elm import ELM, ELMState, Events, cpu

# Few branches (a channel's row carries its drive on all of them) and more than that.
SIZES: dict[str, dict[str, Any]] = {
    "joined": {"n_inputs": 70, "n_branches": 6, "synapses_per_branch": 20, "routing": "neuronio"},
    "apart": {"n_inputs": 150, "n_layers": 2, "n_hidden": 33, "activation": "silu"},
    "linear": {"n_inputs": 70, "n_branches": 7, "synapses_per_branch": 10, "n_layers": 0},
}


def build(size: str, dtype: str = "float64") -> ELM:
    return ELM(n_memory=9, n_outputs=3, tau_max=0.2, dtype=dtype, **SIZES[size])


def mixed(model: ELM, ticks: int, batch: int, seed: int = 0) -> np.ndarray:
    """Return rows from silent to fully active, so that both ways of adding a row are taken."""
    rng = np.random.default_rng(seed)
    shape = (ticks, batch, model.params.n_inputs)
    density = rng.choice([0.0, 0.02, 0.1, 1.0], size=shape[:2])[..., None]
    return (rng.normal(size=shape) * (rng.random(shape) < density)).astype(model.params.dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_whole_runs_stay_with_the_reference(size: str, dtype: str, tolerance: float) -> None:
    model = build(size, dtype)
    xs = mixed(model, 120, 3)
    want_state, want = loop(model, model.init_state(3), xs, 0)
    state, ys = cpu.scan(model, model.init_state(3), xs, 0)
    assert ys.dtype == dtype
    for a, b in zip((ys, *state), (want, *want_state), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("weight", ["hidden0_bias", "update_bias", "synapses"])
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_what_is_not_a_number_reaches_the_outputs(weight: str, activation: str) -> None:
    model = ELM(n_inputs=5, n_memory=3, activation=activation)
    broken = model.with_weights(
        {**model.weights, weight: np.full_like(model.weights[weight], np.nan)}
    )
    xs = np.ones((2, 1, 5), np.float32)
    for scan in (loop, cpu.scan):
        with np.errstate(invalid="ignore"):
            _, ys = scan(broken, broken.init_state(1), xs, 0)
        assert np.isnan(ys).all()


@settings(max_examples=25)
@given(st.sampled_from(list(SIZES)), st.integers(0, 11), st.integers(1, 3), st.integers(0, 99))
def test_pieces_and_events_give_the_same_bits(size: str, cut: int, batch: int, seed: int) -> None:
    model = build(size)
    xs = mixed(model, 12, batch, seed)
    whole_state, whole = cpu.scan(model, model.init_state(batch), xs, 0)
    state, first = cpu.scan(model, model.init_state(batch), xs[:cut], 0)
    state, second = model.scan_events(Events.from_dense(xs[cut:]), state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    for a, b in zip(state, whole_state, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_simulator_runs_events_to_the_bits_of_the_array(dtype: str) -> None:
    model = build("joined", dtype)
    xs = mixed(model, 30, 2)
    want = Simulator(model, batch=2).run(xs)["y"]
    # Pairs that cancel leave zeros behind, which no dense row has.
    where = np.nonzero(xs)
    silent = np.nonzero(xs == 0)
    columns = [np.concatenate([a, b, b]) for a, b in zip(where, silent, strict=True)]
    values = np.concatenate([xs[where], np.ones(len(silent[0])), -np.ones(len(silent[0]))])
    events = Events.from_coordinates(*columns, values, shape=xs.shape[:2], n_channels=xs.shape[2])
    sim = Simulator(model, batch=2, chunk=7)
    np.testing.assert_array_equal(sim.run(events)["y"], want)


def test_streams_do_not_see_each_other_nor_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORTH_A_THREAD", 1)
    model = build("joined", "float32")
    xs = mixed(model, 40, 5)
    ends = []
    for n in (1, 3):
        monkeypatch.setattr(numba, "get_num_threads", lambda n=n: n)
        ends.append(cpu.scan(model, model.init_state(5), xs, 0)[1])
    one, many = ends
    np.testing.assert_array_equal(one, many)
    for b in range(5):
        _, alone = cpu.scan(model, model.init_state(1), xs[:, b : b + 1], 0)
        np.testing.assert_array_equal(alone[:, 0], many[:, b])


def test_inputs_stay_as_they_are_and_the_state_is_reused() -> None:
    model = build("joined")
    xs = mixed(model, 5, 2)
    before, state = xs.copy(), model.init_state(2)
    after, _ = cpu.scan(model, state, xs, 0)
    np.testing.assert_array_equal(xs, before)
    assert all(a is b for a, b in zip(after, state, strict=True))


def test_projection_is_that_of_the_trace() -> None:
    model = build("apart")
    state, _ = cpu.scan(model, model.init_state(2), mixed(model, 60, 2), 0)
    first = model.layers[0][0][:, : model.params.branches]
    np.testing.assert_allclose(state.projected, state.trace @ first.T, rtol=1e-11, atol=1e-13)


def test_other_weights_get_other_tables() -> None:
    model = build("joined")
    xs, start = mixed(model, 5, 1), ELMState(*model.init_state(1))
    _, ys = cpu.scan(model, start, xs, 0)
    moved = model.with_weights({**model.weights, "readout_bias": np.ones(3)})
    _, shifted = cpu.scan(moved, moved.init_state(1), xs, 0)
    np.testing.assert_allclose(shifted - ys, np.ones_like(ys) - model.weights["readout_bias"])
