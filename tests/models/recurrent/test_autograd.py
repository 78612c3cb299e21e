"""The differentiable scan: values of the step, gradients of finite differences; and it learns."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.datasets.tasks import Curriculum, Parity
from biomem.engine.random import Rng
from biomem.engine.simulator import Simulator
from biomem.models.recurrent import LeakyNetwork

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the torch extra")

from biomem.engine.scan import loop  # noqa: E402
from biomem.train import EarlyStopping, TorchModule, cross_entropy, evaluate, fit  # noqa: E402


def make(**changes):
    return TorchModule(LeakyNetwork(**{"n_units": 5, "n_inputs": 2, "n_heads": 2, **changes}))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_are_those_of_the_step(rng, dtype):
    module = make(dtype=dtype)
    xs = torch.tensor(rng.normal(size=(7, 3, 2)), dtype=getattr(torch, dtype))
    ys, state = module(xs)
    end, want = loop(module.bind(), module.initial_state(3), xs, 0)
    tolerance = 1e-13 if dtype == "float64" else 1e-6
    for name in want._fields:
        torch.testing.assert_close(
            getattr(ys, name), getattr(want, name), rtol=tolerance, atol=tolerance
        )
    torch.testing.assert_close(state.h, end.h, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ticks", [1, 6])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_gradients_of_every_weight_input_and_state_equal_finite_differences(rng, ticks, slope):
    module = make(slope=slope, tau_low=1.5, tau_high=4.0)
    xs = torch.tensor(rng.normal(size=(ticks, 3, 2)), requires_grad=True)
    h = torch.tensor(rng.uniform(0.1, 0.5, size=(3, 5)), requires_grad=True)
    names, start = zip(*module.named_parameters(), strict=True)
    # Random self-connections: their gradient must be zero, not only their effect.
    with torch.no_grad():
        start[names.index("W_r")].add_(torch.tensor(rng.normal(size=(5, 5))))

    def run(xs, h, *weights):
        bound = module.model.with_weights(dict(zip(names, weights, strict=True)))
        state, ys = module._scan(bound, type(module.initial_state(3))(h), xs, 0)
        return ys.y, ys.h, state.h

    weights = [p.detach().clone().requires_grad_() for p in start]
    assert torch.autograd.gradcheck(run, (xs, h, *weights), eps=1e-6, atol=1e-7)


def test_gradients_equal_those_of_the_loop(rng):
    module = make(n_units=17)
    xs = rng.normal(size=(20, 4, 2))
    gradients = []
    for scan in (module._scan, loop):
        module.zero_grad()
        module._scan = scan
        ys, state = module(xs)
        ((ys.y**2).mean() + (ys.h[3] * 2).sum() + state.h.prod(-1).sum()).backward()
        gradients.append({n: p.grad.clone() for n, p in module.named_parameters()})
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=1e-9, atol=1e-13)


def test_a_time_constant_below_the_least_and_a_self_connection_get_no_gradient(rng):
    module = make()
    with torch.no_grad():
        module.tau[1] = 0.5
    ys, _ = module(rng.normal(size=(5, 2, 2)))
    ys.y.pow(2).sum().backward()
    assert module.tau.grad[1] == 0.0
    assert module.tau.grad[0] != 0.0
    assert torch.all(torch.diagonal(module.W_r.grad) == 0.0)


def test_parity_is_learned_by_the_cumulative_curriculum():
    module = TorchModule(LeakyNetwork(n_units=30, n_heads=2, dtype="float32", seed=1))
    for lengths in Curriculum(kind="cumulative", last=3):
        task = Parity(lengths=lengths, batch_size=128)
        loss = cross_entropy("y", heads=[n - 2 for n in lengths])
        history = fit(
            module,
            task,
            loss,
            lr=0.01,
            clip_norm=2.0,
            steps=600,
            validate=lambda net, task=task, loss=loss: evaluate(
                net, task, loss, batches=10, seed=77
            ),
            validate_every=50,
            early_stopping=EarlyStopping("accuracy", "max", goal=0.98),
            seed=1,
            progress=False,
        )
        assert history.stopped.startswith("accuracy reached"), history
    trained = module.to_model()
    x, y = Parity(lengths=(2, 3), batch_size=500)(10**6, Rng(5))
    sim = Simulator(trained, batch=500, progress=False)
    logits = sim.run(x)["y"][-1]
    assert (np.asarray(logits).argmax(-1) == y).mean() > 0.97
