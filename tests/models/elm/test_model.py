"""The neuron itself: contract, physics, counts, and what is refused."""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
import pytest

from biomem import Simulator
from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.errors import InputError, ParameterError
from biomem.models.elm import ELM, ELMParams, ELMState, Events
from biomem.testing import check_model

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"n_inputs": 6},
    "branches": {"n_inputs": 8, "n_branches": 4, "synapses_per_branch": 2, "activation": "silu"},
    "random": {"n_branches": 3, "synapses_per_branch": 5, "routing": "random", "n_inputs": 6},
    "neuronio": {"n_branches": 3, "synapses_per_branch": 5, "routing": "neuronio", "n_inputs": 8},
    "deep v1": {"version": "v1", "n_inputs": 5, "n_layers": 3, "n_hidden": 7},
    "linear": {"n_inputs": 5, "n_layers": 0, "learn_tau": True},
}


def build(variant: str, **changes: Any) -> ELM:
    sizes = {"n_memory": 5, "n_outputs": 2, "tau_max": 0.1}
    return ELM(**{**sizes, **VARIANTS[variant], "dtype": "float64", **changes})


@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant: str) -> None:
    # One variant continues in a new process; the others differ in nothing a file could notice.
    check_model(build(variant), new_process=variant == "plain")


def test_contract_in_float32() -> None:
    check_model(build("neuronio", dtype="float32"), new_process=False)


@pytest.mark.torch
@pytest.mark.parametrize("variant", ["branches", "deep v1", "linear"])
def test_contract_with_torch(variant: str) -> None:
    check_model(build(variant), new_process=False)


def strict(tree: Any) -> Any:
    return type(tree)(*map(array_api_strict.asarray, tree))


@pytest.mark.parametrize("variant", ["branches", "deep v1"])
def test_step_keeps_to_the_array_api(variant: str) -> None:
    model = build(variant)
    bound = strict_model(model)
    xs = np.random.default_rng(0).normal(size=(3, 2, model.params.n_inputs))
    state, want = loop(model, model.init_state(2), xs, 0)
    strict_state = strict(model.init_state(2))
    for t in range(3):
        strict_state, y = bound.step(strict_state, array_api_strict.asarray(xs[t]), t)
    np.testing.assert_allclose(np.asarray(y), want[-1], rtol=1e-13)
    np.testing.assert_allclose(np.asarray(strict_state.memory), state.memory, rtol=1e-13)


def strict_model(model: ELM) -> ELM:
    """Bind everything `step` reads to strict arrays; building uses a scatter they lack."""
    bound = build("plain")
    bound.params = model.params
    bound.weights = {n: array_api_strict.asarray(w) for n, w in model.weights.items()}
    for name in ("drive_weights", "decay_memory", "update_gain"):
        setattr(bound, name, array_api_strict.asarray(getattr(model, name)))
    bound.decay_branch = model.decay_branch
    return bound


def test_parameter_counts_are_the_published_ones() -> None:
    assert ELM(ELMParams.neuronio()).n_trainable == 8_002
    assert ELM(ELMParams.neuronio(n_memory=100)).n_trainable == 54_002
    assert ELM(n_inputs=1278, n_memory=20, n_outputs=2).n_trainable == 54_100
    learned = ELM(ELMParams.neuronio(learn_tau=True))
    assert learned.n_trainable == 8_022
    assert set(learned.weights) - set(learned.trainable) == {"channels", "valid"}


def test_layers_start_within_torch_defaults() -> None:
    model = ELM(n_inputs=50, n_memory=30, seed=4)
    for weights, bias in model.layers:
        limit = 1 / np.sqrt(weights.shape[1])
        assert np.abs(weights).max() <= limit
        assert np.abs(bias).max() <= limit
        # A uniform variable on +-limit has variance limit^2 / 3.
        assert abs(weights.var() * 3 / limit**2 - 1) < 0.15
    other = ELM(n_inputs=50, n_memory=30, seed=5)
    assert (other.weights["update_bias"] != model.weights["update_bias"]).any()


def test_time_constants_start_evenly_on_a_logarithmic_scale() -> None:
    model = build("plain", n_memory=7, tau_min=1e-3, tau_max=1.0)
    np.testing.assert_allclose(model.tau_memory, np.geomspace(1e-3, 1.0, 7), rtol=2e-6)
    assert build("plain", n_memory=1).tau_memory == pytest.approx([1e-3], rel=2e-6)


def test_an_empty_range_of_time_constants_is_widened() -> None:
    model = build("plain", tau_min=0.02, tau_max=0.02)
    assert np.isfinite(model.weights["tau_logits"]).all()
    np.testing.assert_allclose(model.tau_memory, 0.02, rtol=1e-6)


def silent(model: ELM) -> ELM:
    """Return the model with an MLP that always gives zero."""
    zero = {n: np.zeros_like(model.weights[n]) for n in ("update_weights", "update_bias")}
    return model.with_weights({**model.weights, **zero})


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_memory_alone_decays_exponentially(backend: str) -> None:
    model = silent(build("branches", tau_max=10.0, n_memory=9))
    start = np.random.default_rng(0).normal(size=(1, 9))
    state = model.init_state(1)._replace(memory=start.copy())
    state, _ = scan_on(backend)(model, state, np.zeros((300, 1, 8)), 0)
    want = start.copy()
    for _ in range(300):
        want = want * model.decay_memory
    np.testing.assert_array_equal(state.memory, want)
    np.testing.assert_allclose(want, start * np.exp(-0.3 / model.tau_memory), rtol=1e-12)


def scan_on(backend: str) -> Any:
    if backend == "numpy":
        return loop
    from biomem.models.elm import cpu

    return cpu.scan


def test_long_time_constants_keep_their_gain_in_float32() -> None:
    # tau of ten thousand steps: 1 - exp(-dt/tau) in float32 would be wrong in the third digit.
    exact = build("plain", tau_min=10.0, tau_max=10.0, dtype="float64")
    single = build("plain", tau_min=10.0, tau_max=10.0, dtype="float32")
    assert single.update_gain.dtype == np.float32
    np.testing.assert_allclose(single.update_gain, exact.update_gain, rtol=1e-6)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_memory_keeps_its_bound_and_reaches_it(version: str, backend: str) -> None:
    # A constant drive far beyond saturation, with short and long time constants.
    model = build("plain", version=version, tau_max=0.05)
    push = {"update_bias": np.full(5, 50.0), "update_weights": np.zeros((5, 10))}
    model = model.with_weights({**model.weights, **push})
    if version == "v1":
        bound = np.full(5, model.params.gain * 1.7159)
    else:
        bound = 1.7159 * model.update_gain / (1 - model.decay_memory)
    state, _ = scan_on(backend)(model, model.init_state(1), np.zeros((4000, 1, 6)), 0)
    assert (np.abs(state.memory) <= bound * (1 + 1e-12)).all()
    np.testing.assert_allclose(state.memory[0], bound, rtol=1e-9)


def test_update_gains_of_the_two_versions() -> None:
    first, second = build("plain", version="v1"), build("plain", version="v2")
    assert first.update_gain[0] == pytest.approx(5 * (1 - np.exp(-1)), rel=1e-4)
    assert first.update_gain[0] > 1 > second.update_gain.max()
    # Both tend to gain * dt / tau where tau is long.
    slow = [build("plain", version=v, tau_min=100.0, tau_max=100.0) for v in ("v1", "v2")]
    for model in slow:
        np.testing.assert_allclose(model.update_gain, 5 * 1e-3 / 100, rtol=1e-4)


def test_traces_do_not_depend_on_the_version_and_keep_their_bound() -> None:
    xs = np.random.default_rng(0).uniform(-1, 1, (200, 2, 8))
    weights = build("neuronio").weights
    traces = [
        loop(
            build("neuronio", version=v).with_weights(weights),
            build("neuronio").init_state(2),
            xs,
            0,
        )
        for v in ("v1", "v2")
    ]
    np.testing.assert_array_equal(traces[0][0].trace, traces[1][0].trace)
    model = build("neuronio")
    bound = np.abs(model.drive_weights).sum(0) / (1 - model.decay_branch)
    assert (np.abs(traces[0][0].trace) <= bound).all()


@pytest.mark.parametrize("variant", ["random", "neuronio"])
def test_branch_traces_are_the_sums_of_synaptic_traces(variant: str) -> None:
    model = build(variant)
    xs = np.random.default_rng(1).normal(size=(30, 2, model.params.n_inputs))
    synapses = model.synaptic_traces(xs)
    assert synapses.shape == (30, 2, model.params.n_synapses)
    state, _ = loop(model, model.init_state(2), xs, 0)
    sums = synapses[-1].reshape(2, model.params.branches, -1).sum(-1)
    np.testing.assert_allclose(state.trace, sums, rtol=1e-12, atol=1e-14)


def test_negative_synapses_are_silent() -> None:
    model = build("plain")
    synapses = model.weights["synapses"].copy()
    synapses[2] = -0.3
    model = model.with_weights({**model.weights, "synapses": synapses})
    xs = np.zeros((3, 1, 6))
    quiet, _ = loop(model, model.init_state(1), xs, 0)
    xs[0, 0, 2] = 1.0
    loud, _ = loop(model, model.init_state(1), xs, 0)
    np.testing.assert_array_equal(loud.trace, quiet.trace)
    assert (model.efficacy >= 0).all()


def test_a_new_time_step_keeps_the_weights() -> None:
    model = build("plain")
    sim = Simulator(model, dt=0.01, progress=False)
    np.testing.assert_array_equal(sim.model.weights["synapses"], model.weights["synapses"])
    assert sim.model.decay_branch == pytest.approx(np.exp(-2.0))


def test_weights_that_do_not_fit_are_refused() -> None:
    model = build("plain")
    weights = dict(model.weights)
    with pytest.raises(ParameterError, match=r"missing \['synapses'\]"):
        model.with_weights({n: w for n, w in weights.items() if n != "synapses"})
    with pytest.raises(ParameterError, match=r"unknown \['extra'\]"):
        model.with_weights({**weights, "extra": np.zeros(1)})
    with pytest.raises(ParameterError, match=r"'update_bias'.*\(5,\).*\(4,\)"):
        model.with_weights({**weights, "update_bias": np.zeros(4)})
    with pytest.raises(ParameterError, match="channels"):
        model.with_weights({**weights, "channels": np.full(6, 6)})


def test_events_that_do_not_fit_are_refused() -> None:
    model = build("plain")
    with pytest.raises(InputError, match="n_channels = 6, got 4"):
        model.scan_events(Events.from_dense(np.zeros((2, 1, 4))))
    with pytest.raises(InputError, match="batch 1"):
        model.scan_events(Events.from_dense(np.zeros((2, 1, 6))), model.init_state(3))


def test_scan_events_leaves_the_given_state_alone() -> None:
    model = build("plain")
    events = Events.from_dense(np.ones((4, 2, 6)))
    state = model.init_state(2)
    middle, first = model.scan_events(events, state)
    assert not any(array.any() for array in state)
    _, second = model.scan_events(events, middle)
    twice = Events.from_dense(np.ones((8, 2, 6)))
    np.testing.assert_array_equal(np.concatenate([first, second]), model.scan_events(twice)[1])


def test_work_counts_every_multiplication_of_the_published_neuron() -> None:
    model = ELM(ELMParams.neuronio())
    per_tick = 4282 + 45 + 2 * 20 + 65 * 40 + 40 * 20 + 20 * 2
    assert model.work(model.init_state(1), 10, 3).macs == 30 * per_tick


def test_state_is_zero_and_needs_no_generator() -> None:
    state = build("plain").init_state(3, Rng(0))
    assert isinstance(state, ELMState)
    assert [a.shape for a in state] == [(3, 6), (3, 10), (3, 5)]
    assert not any(a.any() for a in state)
