"""The differentiable scan against what torch derives from the reference step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biomem.engine.scan import loop
from biomem.models.elm import ELM, ELMState

pytestmark = pytest.mark.torch

VARIANTS: dict[str, dict[str, Any]] = {
    "neuronio": {"n_inputs": 8, "n_branches": 3, "synapses_per_branch": 5, "routing": "neuronio"},
    "random": {"n_inputs": 8, "n_branches": 4, "synapses_per_branch": 6, "routing": "random"},
    "deep": {"n_inputs": 5, "n_layers": 3, "n_hidden": 11, "activation": "silu", "version": "v1"},
    "linear": {"n_inputs": 5, "n_layers": 0},
}


def build(variant: str, dtype: str = "float64") -> ELM:
    sizes = {"n_memory": 6, "n_outputs": 2, "tau_max": 0.1, "learn_tau": True, "dtype": dtype}
    model = ELM(**sizes, **VARIANTS[variant])
    synapses = model.weights["synapses"].copy()
    synapses[1] = -0.2
    return model.with_weights({**model.weights, "synapses": synapses})


def bind(model: ELM) -> tuple[ELM, dict[str, Any]]:
    import torch

    weights = {name: torch.tensor(w) for name, w in model.weights.items()}
    for name in model.trainable:
        weights[name].requires_grad_()
    return model.with_weights(weights), weights


def problem(model: ELM, ticks: int = 15, batch: int = 3) -> tuple[Any, ELMState]:
    import torch

    rng = np.random.default_rng(0)
    shape = (ticks, batch, model.params.n_inputs)
    xs = (rng.normal(size=shape) * (rng.random(shape) < 0.4)).astype(model.params.dtype)
    start = [rng.normal(size=a.shape).astype(a.dtype) for a in model.init_state(batch)]
    state = ELMState(*(torch.tensor(a, requires_grad=True) for a in start))
    return torch.tensor(xs, requires_grad=True), state


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_gradients_equal_those_of_the_reference(variant: str) -> None:
    import torch

    from biomem.models.elm import autograd

    model = build(variant)
    bound, weights = bind(model)
    xs, state = problem(model)
    found = []
    for scan in (autograd.scan, loop):
        end, ys = scan(bound, state, xs, 0)
        loss = (
            (ys**3).mean() + end.memory.square().sum() + end.trace.sum() + end.projected.sin().sum()
        )
        wanted = [*(weights[n] for n in model.trainable), xs, state.trace, state.memory]
        found.append([loss, *torch.autograd.grad(loss, wanted, retain_graph=True)])
    for got, want in zip(*found, strict=True):
        scale = float(want.detach().abs().max())
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9 * scale)
        assert scale > 0


def test_gradients_hold_in_float32() -> None:
    import torch

    from biomem.models.elm import autograd

    found = []
    for dtype in ("float32", "float64"):
        bound, weights = bind(build("neuronio", dtype))
        xs, state = problem(bound)
        _, ys = autograd.scan(bound, state, xs, 0)
        assert ys.dtype == getattr(torch, dtype)
        names = bound.trainable
        found.append(torch.autograd.grad((ys**2).mean(), [weights[n] for n in names]))
    for single, double in zip(*found, strict=True):
        scale = float(double.abs().max())
        torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5 * scale)


def test_a_run_in_two_pieces_has_the_gradients_of_the_whole() -> None:
    import torch

    from biomem.models.elm import autograd

    bound, weights = bind(build("deep"))
    xs, state = problem(bound)
    wanted = [weights[n] for n in bound.trainable]
    _, whole = autograd.scan(bound, state, xs, 0)
    middle, first = autograd.scan(bound, state, xs[:7], 0)
    _, second = autograd.scan(bound, middle, xs[7:], 7)
    pieces = torch.cat([first, second])
    assert torch.equal(pieces, whole)
    one = torch.autograd.grad(whole.square().sum(), wanted, retain_graph=True)
    two = torch.autograd.grad(pieces.square().sum(), wanted)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_nothing_given_is_written_to_and_no_gradient_is_kept_without_need() -> None:
    import torch

    from biomem.models.elm import autograd

    model = build("neuronio")
    bound = model.with_weights({n: torch.tensor(w) for n, w in model.weights.items()})
    xs, state = problem(model)
    before = [a.detach().clone() for a in (xs, *state)]
    with torch.no_grad():
        end, ys = autograd.scan(bound, state, xs, 0)
    assert not ys.requires_grad
    assert not end.memory.requires_grad
    for a, b in zip((xs, *state), before, strict=True):
        assert torch.equal(a.detach(), b)


def test_second_derivatives_are_refused() -> None:
    import torch

    from biomem.models.elm import autograd

    bound, weights = bind(build("neuronio"))
    xs, state = problem(bound)
    _, ys = autograd.scan(bound, state, xs, 0)
    (grad,) = torch.autograd.grad(ys.square().sum(), [weights["update_bias"]], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_training_learns_a_delayed_response() -> None:
    """A readout of what arrived ten steps ago, beyond the trace: the memory has to carry it."""
    import torch

    from biomem.train import TorchModule

    torch.manual_seed(0)
    model = ELM(n_inputs=2, n_memory=12, tau_branch=1e-3, tau_max=0.05, gain=5.0, seed=1)
    module = TorchModule(model)
    assert len(list(module.parameters())) == len(model.trainable)
    optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
    losses = []
    for step in range(60):
        rng = np.random.default_rng(step)
        xs = np.zeros((20, 32, 2), np.float32)
        side = rng.integers(0, 2, 32)
        xs[3, np.arange(32), side] = 3.0
        ys, _ = module(torch.tensor(xs))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            ys[13, :, 0], torch.tensor(side, dtype=torch.float32)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.5
    assert losses[-1] < 0.2
