"""The leaky network: the paper's equation, its physics, its refusals."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.engine.simulator import Simulator
from biomem.errors import ParameterError
from biomem.models.recurrent import LeakyNetwork, LeakyNetworkState
from biomem.testing import check_model


def plain(model: LeakyNetwork, h: np.ndarray, xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equation 1 of the paper, unit by unit."""
    w, p = model.weights, model.params
    hs, ys = [], []
    for x in xs:
        new = np.empty_like(h)
        for b in range(len(h)):
            for i in range(p.n_units):
                tau = max(p.tau_min, w["tau"][i])
                total = w["b_r"][i] + w["b_in"][i] + w["W_in"][i] @ x[b]
                for j in range(p.n_units):
                    total += w["W_r"][i, j] * h[b, j] if j != i else 0.0
                pre = (1 - 1 / tau) * h[b, i] + total / tau
                new[b, i] = pre if pre > 0 else p.slope * pre
        h = new
        hs.append(h)
        ys.append(np.einsum("kou,bu->bko", w["W_out"], h) + w["b_out"])
    return np.array(hs), np.array(ys)


def test_the_folded_step_is_the_papers_equation(rng):
    model = LeakyNetwork(n_inputs=2, n_units=6, n_outputs=3, n_heads=2, tau_high=9.0, seed=3)
    weights = {**model.weights, "W_r": rng.normal(size=(6, 6)), "tau": rng.uniform(0.2, 9.0, 6)}
    model = model.with_weights(weights)
    xs = rng.normal(size=(12, 4, 2))
    state = model.init_state(4, Rng(1))
    hs, ys = plain(model, state.h, xs)
    _, got = loop(model, state, xs, 0)
    np.testing.assert_allclose(got.h, hs, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(got.y, ys, rtol=1e-13, atol=1e-14)


def test_a_lone_unit_decays_with_its_time_constant():
    tau = 7.5
    model = LeakyNetwork(n_units=1, n_outputs=1, tau_low=tau, tau_high=tau)
    zero = {name: np.zeros_like(w) for name, w in model.weights.items()}
    model = model.with_weights({**zero, "tau": np.array([tau])})
    _, ys = loop(model, LeakyNetworkState(np.ones((1, 1))), np.zeros((30, 1, 1)), 0)
    np.testing.assert_allclose(ys.h[:, 0, 0], (1 - 1 / tau) ** np.arange(1, 31), rtol=1e-13)


def test_a_constant_input_settles_at_itself_whatever_tau():
    model = LeakyNetwork(n_units=3, tau_low=1.0, tau_high=20.0, seed=1)
    zero = {name: np.zeros_like(w) for name, w in model.weights.items()}
    model = model.with_weights(
        {**zero, "tau": model.weights["tau"], "W_in": np.array([[1.0], [2.0], [3.0]])}
    )
    _, ys = loop(model, model.init_state(1, Rng(0)), np.ones((800, 1, 1)), 0)
    np.testing.assert_allclose(ys.h[-1, 0], [1.0, 2.0, 3.0], rtol=1e-12)


def test_the_initial_weights_and_state_are_those_of_the_paper():
    model = LeakyNetwork(n_units=400, n_inputs=4, seed=2)
    w = model.weights
    assert 1.0 <= w["tau"].min() < 1.02
    assert 1.98 < w["tau"].max() < 2.0
    assert np.all(np.diag(w["W_r"]) == 0.0)
    assert 0.049 < np.abs(w["W_r"]).max() <= 0.05
    assert 0.45 < np.abs(w["W_in"]).max() <= 0.5
    h = model.init_state(50, Rng(0)).h
    assert 0.0 <= h.min() < 1e-4
    assert 0.0999 < h.max() < 0.1
    assert not np.array_equal(h[0], h[1])
    other = LeakyNetwork(n_units=400, n_inputs=4, seed=3).weights
    assert all(not np.array_equal(w[name], other[name]) for name in w)


def test_self_connections_and_time_constants_below_the_least_have_no_effect(rng):
    model = LeakyNetwork(n_units=4, seed=1)
    w = dict(model.weights)
    spoiled = {
        **w,
        "W_r": w["W_r"] + np.diag(rng.normal(size=4)),
        "tau": np.where(np.arange(4) == 2, 1.0, w["tau"]),
    }
    below = {**spoiled, "tau": np.where(np.arange(4) == 2, -3.0, w["tau"])}
    clean = {**spoiled, "W_r": w["W_r"]}
    xs = rng.normal(size=(9, 2, 1))
    runs = [
        loop(model.with_weights(v), model.init_state(2, Rng(0)), xs, 0)[1]
        for v in (spoiled, below, clean)
    ]
    np.testing.assert_array_equal(runs[0].y, runs[1].y)
    np.testing.assert_array_equal(runs[0].y, runs[2].y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_keeps_the_contract(dtype):
    model = LeakyNetwork(n_units=13, n_inputs=3, n_heads=2, dtype=dtype, seed=4)
    report = check_model(model, new_process=dtype == "float64")
    assert "numba" in repr(report)


def test_weights_of_other_names_or_shapes_are_refused():
    model = LeakyNetwork(n_units=4)
    with pytest.raises(ParameterError, match=r"'W_r' must have shape \(4, 4\), got \(4, 3\)"):
        model.with_weights({**model.weights, "W_r": np.zeros((4, 3))})
    with pytest.raises(ParameterError, match="weights must be"):
        model.with_weights({"tau": np.ones(4)})


def test_the_work_of_a_run_is_its_connections():
    sim = Simulator(LeakyNetwork(n_units=5, n_inputs=2, n_heads=3), batch=2, progress=False)
    sim.run(np.zeros((10, 2, 2)))
    assert sim.work.macs == 10 * 2 * 5 * (5 + 2 + 6)
