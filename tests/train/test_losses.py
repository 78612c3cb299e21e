from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from biomem.datasets.tasks import Batch
from biomem.errors import InputError, ParameterError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the torch extra")

from torch import nn  # noqa: E402

from biomem.train import cross_entropy, evaluate, fit, mean_squared_error, to_tensors  # noqa: E402


class Outputs(NamedTuple):
    y: torch.Tensor
    z: torch.Tensor


class Echo(nn.Module):
    """Its output is its input, and twice that."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, xs):
        return Outputs(self.scale * xs, self.scale * xs * 2), None


def log_softmax(z):
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


@pytest.mark.parametrize("when", ["last", "every"])
@pytest.mark.parametrize("heads", [None, [2, 0]])
def test_cross_entropy_is_the_mean_over_time_and_batch_summed_over_heads(rng, when, heads):
    x = rng.normal(size=(5, 4, 3, 6))
    shown = x if heads is None else x[:, :, heads]
    shown = shown[-1] if when == "last" else shown
    y = rng.integers(0, 6, shown.shape[:-1])
    loss, metrics = cross_entropy("y", when, heads)(Echo(), to_tensors(Batch(x, y)))
    chosen = np.take_along_axis(log_softmax(shown), y[..., None], -1)[..., 0]
    assert loss.item() == pytest.approx(-chosen.sum(-1).mean(), rel=1e-12)
    assert metrics["accuracy"] == pytest.approx((shown.argmax(-1) == y).mean())


def test_outputs_are_chosen_by_name_and_the_first_is_the_default(rng):
    x, y = rng.normal(size=(5, 4, 6)), rng.integers(0, 6, 4)
    batch = to_tensors((x, y))
    first, named = cross_entropy()(Echo(), batch)[0], cross_entropy("z")(Echo(), batch)[0]
    doubled = cross_entropy()(Echo(), to_tensors((2 * x, y)))[0]
    assert first.item() != named.item()
    assert named.item() == pytest.approx(doubled.item(), rel=1e-14)
    with pytest.raises(ParameterError, match=r"has outputs \['y', 'z'\], not 'w'"):
        cross_entropy("w")(Echo(), batch)


@pytest.mark.parametrize("when", ["last", "every"])
def test_mean_squared_error(rng, when):
    x = rng.normal(size=(5, 4, 2))
    y = rng.normal(size=(4, 2) if when == "last" else (5, 4, 2)).astype(np.float32)
    loss = mean_squared_error(when=when)(Echo(), to_tensors((x, y)))
    want = (((x[-1] if when == "last" else x) - y) ** 2).mean()
    assert loss.item() == pytest.approx(want, rel=1e-12)


def test_targets_of_another_shape_are_refused_by_both_shapes():
    batch = to_tensors((np.zeros((5, 4, 2)), np.zeros(4)))
    with pytest.raises(InputError, match=r"targets must have shape \(4, 2\), got \(4,\)"):
        mean_squared_error()(Echo(), batch)
    with pytest.raises(InputError, match=r"targets must have shape \(5, 4\), got \(4,\)"):
        cross_entropy(when="every")(Echo(), batch)
    with pytest.raises(ParameterError, match="when must be 'last' or 'every', got 'first'"):
        cross_entropy(when="first")


def test_to_tensors_keeps_the_form():
    batch = {"pair": (np.arange(2), [np.ones(1), "text"]), "batch": Batch(np.zeros(1), np.ones(1))}
    got = to_tensors(batch)
    assert got["pair"][0].tolist() == [0, 1]
    assert got["pair"][1][1] == "text"
    assert isinstance(got["batch"], Batch)
    assert got["batch"].y.tolist() == [1.0]


def test_a_loss_that_is_no_scalar_and_a_source_without_length_are_refused():
    def source(step, rng):
        return np.zeros((1, 2, 3)), np.zeros((2, 3))

    with pytest.raises(InputError, match=r"must return a scalar tensor.*shape \(3,\)"):
        fit(Echo(), source, lambda m, b: torch.zeros(3), steps=1, lr=0.1, progress=False)
    with pytest.raises(ParameterError, match="no length; pass batches="):
        evaluate(Echo(), source, mean_squared_error())
    with pytest.raises(ParameterError, match="batches must be >= 1"):
        evaluate(Echo(), source, mean_squared_error(), batches=0)
