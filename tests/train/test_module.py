"""Any model as a torch module: same numbers as the engine, true gradients, clear refusals."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import pytest

from biomem.engine.model import Field, Model
from biomem.engine.random import Rng
from biomem.engine.simulator import Simulator
from biomem.errors import InputError, ParameterError
from biomem.testing import LeakyIntegrator
from biomem.typing import Array

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the torch extra")

from biomem.train import TorchModule  # noqa: E402


class GainState(NamedTuple):
    v: Annotated[Array, Field("batch", "unit")]


class Gain(Model):
    """v' = decay * v + w.a * x, with a gain derived from a weight when the model is made."""

    State = GainState
    Output = Field("unit")
    Input = Field("unit")
    array_api = True

    def __init__(self, params=None, *, weights=None):
        super().__init__(params, weights=weights)
        self.gain = self.weights["w.a"] * 2.0

    @property
    def sizes(self):
        return {"unit": 3}

    def init_weights(self, rng):
        return {"w.a": np.array([1.0, 2.0, 3.0]), "decay": np.array(0.5), "order": np.arange(3)}

    def init_state(self, batch, rng):
        return GainState(rng.uniform(1, np.arange(batch * 3)).reshape(batch, 3))

    def step(self, state, x, tick):
        v = self.weights["decay"] * state.v + self.gain * x
        return GainState(v), v


class KernelGain(Gain):
    """The same with a kernel that writes to the state it is given, as kernels may."""

    def step(self, state, x, tick):
        raise AssertionError("the kernel should have been used")

    @staticmethod
    def scan(model, state, xs, tick):
        ys, v = [], state.v
        for x in xs:
            v = model.weights["decay"] * v + model.gain * x
            ys.append(v)
        state.v.detach().zero_()
        return GainState(v), torch.stack(ys)

    kernels = {"torch": scan.__func__}


def test_the_module_computes_what_the_engine_computes(rng):
    model = LeakyIntegrator(n_units=3, sigma=0.2)
    xs = rng.normal(size=(20, 2, 3))
    recording = Simulator(model, backend="numpy", seed=5, batch=2).run(xs)
    module = TorchModule(model)
    module.seed = 5
    ys, state = module(xs)
    np.testing.assert_array_equal(ys.v.numpy(), recording["v"])
    assert state.v.shape == (2, 3)


def test_two_chunks_with_the_state_and_tick_carried_equal_one(rng):
    module = TorchModule(LeakyIntegrator(n_units=3, sigma=0.2))
    xs = torch.tensor(rng.normal(size=(20, 2, 3)))
    whole, _ = module(xs)
    first, state = module(xs[:7])
    rest, _ = module(xs[7:], state, tick=7)
    assert torch.equal(torch.cat([first.v, rest.v]), whole.v)


def test_gradients_of_the_leaky_integrator_equal_finite_differences(rng):
    module = TorchModule(LeakyIntegrator(n_units=2, sigma=0.1, tau=5e-3))
    xs = torch.tensor(rng.normal(size=(6, 2, 2)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda xs: module(xs)[0].v, xs)
    state = module.initial_state(2)
    v = torch.tensor(rng.normal(size=(2, 2)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: module(xs.detach(), state._replace(v=v))[1].v, v)


def test_gradients_flow_through_what_a_model_derives_from_its_weights(rng):
    module = TorchModule(Gain())
    xs = rng.normal(size=(4, 2, 3))

    def run(a, decay):
        bound = module.model.with_weights({"w.a": a, "decay": decay, "order": module.order})
        state, total = module.initial_state(2), 0.0
        for t, x in enumerate(torch.tensor(xs)):
            state, y = bound.step(state, x, t)
            total = total + (y**2).sum()
        return total

    start = [p.detach().clone().requires_grad_() for p in module.parameters()]
    assert torch.autograd.gradcheck(run, start)
    ys, _ = module(xs)
    (ys**2).sum().backward()
    want = torch.autograd.grad(run(*start), start)
    for parameter, gradient in zip(module.parameters(), want, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=0)


def test_names_trainable_weights_and_buffers():
    module = TorchModule(Gain())
    assert [n for n, _ in module.named_parameters()] == ["w_a", "decay"]
    assert [n for n, _ in module.named_buffers()] == ["order"]
    one = TorchModule(Gain(), trainable=["decay"])
    assert [n for n, _ in one.named_parameters()] == ["decay"]
    assert list(one.weights()) == ["w.a", "decay", "order"]


def test_the_model_may_say_what_is_trainable():
    class Chosen(Gain):
        trainable = ("w.a",)

    assert [n for n, _ in TorchModule(Chosen()).named_parameters()] == ["w_a"]


def test_a_weight_may_have_the_name_of_a_method():
    class Named(Gain):
        def init_weights(self, rng):
            return {**super().init_weights(rng), "forward": np.ones(2), "seed": np.ones(2)}

    module = TorchModule(Named())
    assert set(dict(module.named_parameters())) >= {"forward_", "seed_"}
    module(np.ones((1, 1, 3)))


def test_to_model_returns_the_trained_weights_in_copies():
    module = TorchModule(Gain())
    with torch.no_grad():
        module.decay.fill_(0.25)
    model = module.to_model()
    assert float(model.weights["decay"]) == 0.25
    assert model.gain.tolist() == [2.0, 4.0, 6.0]
    with torch.no_grad():
        module.decay.fill_(0.0)
    assert float(model.weights["decay"]) == 0.25
    assert float(module.model.weights["decay"]) == 0.5


def test_a_torch_kernel_is_used_and_cannot_harm_the_callers_state(rng):
    xs = rng.normal(size=(4, 2, 3))
    module = TorchModule(KernelGain())
    want, _ = TorchModule(Gain())(xs)
    state = module.initial_state(2)
    before = state.v.clone()
    got, _ = module(xs, state)
    assert torch.equal(got, want)
    assert torch.equal(state.v, before)


def test_the_initial_state_follows_the_seed():
    module = TorchModule(Gain())
    assert torch.equal(module.initial_state(2, seed=3).v, module.initial_state(2, seed=3).v)
    assert not torch.equal(module.initial_state(2, seed=3).v, module.initial_state(2).v)
    want = Gain().init_state(2, Rng(3)).v
    np.testing.assert_array_equal(module.initial_state(2, seed=3).v.numpy(), want)


@pytest.mark.parametrize("shape", [(4, 2, 5), (4, 3), (0, 2, 3), (4, 2, 3, 1)])
def test_inputs_of_another_shape_are_refused_by_name(shape):
    with pytest.raises(InputError, match=r"xs must have shape \(time >= 1, batch, 3\), got"):
        TorchModule(Gain())(np.zeros(shape))


def test_what_cannot_be_trained_is_refused_by_name():
    with pytest.raises(ParameterError, match=r"trainable must name floating weights.*'order'"):
        TorchModule(Gain(), trainable=["order"])
    with pytest.raises(ParameterError, match="'missing'"):
        TorchModule(Gain(), trainable=["missing"])


def test_an_event_model_is_refused():
    from biomem.models.htm.likelihood import AnomalyLikelihood

    with pytest.raises(ParameterError, match="does not run on backend 'torch'"):
        TorchModule(AnomalyLikelihood())
