"""The compiled scan under torch: gradients equal those of the reference, and nothing is harmed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from biomem.engine.scan import loop
from biomem.models.wave_rnn import WaveRNN, WaveRNNState

pytestmark = pytest.mark.torch


def network(**changes: Any) -> WaveRNN:
    base = {
        "n_inputs": 2,
        "n_units": 13,
        "n_channels": 5,
        "n_outputs": 3,
        "activation": "tanh",
        "init_u": "random",
        "v_init": "uniform",
        "dtype": "float64",
    }
    return WaveRNN(**{**base, **changes})


def gradients(model: WaveRNN, run: Any, ticks: int, batch: int, tick: int = 0) -> dict[str, Any]:
    """Return outputs, last state and all gradients of a loss that weighs everything at random."""
    import torch

    p = model.params
    draw = np.random.default_rng(0)

    def leaf(array: np.ndarray) -> Any:
        return torch.tensor(array, requires_grad=True)

    tensors = {name: leaf(w) for name, w in model.weights.items()}
    dtype = getattr(torch, p.dtype)
    xs = leaf(draw.normal(size=(ticks, batch, p.n_inputs)).astype(p.dtype))
    h = leaf(draw.normal(size=(batch, p.n_channels, p.n_units)).astype(p.dtype))
    state, out = run(model.with_weights(tensors), WaveRNNState(h), xs, tick)
    loss = torch.zeros((), dtype=dtype)
    for part in (out.y, out.h, state.h):
        weight = torch.tensor(draw.normal(size=tuple(part.shape)), dtype=dtype)
        loss = loss + (part * weight).sum()
    loss.backward()
    found = {name: t.grad for name, t in {**tensors, "xs": xs, "h": h}.items()}
    return {**found, "y": out.y.detach(), "recorded": out.h.detach(), "last": state.h.detach()}


@pytest.mark.parametrize("ticks", [1, 2, 23])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation": "relu", "readout_every": 4, "init_u": "shift", "nu": 0.4},
        {"activation": "identity", "record_hidden": True, "n_channels": 3},
        {"decoder": "mlp", "n_decoder": 6, "kernel_size": 7, "n_units": 32, "n_channels": 8},
        {"readout_every": 9, "record_hidden": True, "n_channels": 1},
        {"tie_weights": "local", "readout_every": 2},
        {"tie_weights": "dense", "activation": "relu"},
    ],
)
def test_gradients_equal_those_of_the_reference(changes: dict[str, Any], ticks: int) -> None:
    from biomem.models.wave_rnn.autograd import scan

    model = network(**changes)
    want = gradients(model, loop, ticks, 3, tick=7)
    got = gradients(model, scan, ticks, 3, tick=7)
    for name, expected in want.items():
        if expected is None:  # nothing was read
            assert got[name] is None or not got[name].any(), name
            continue
        scale = float(abs(expected).max()) if expected.numel() else 1.0
        np.testing.assert_allclose(
            got[name], expected, rtol=0, atol=1e-9 * max(scale, 1e-6), err_msg=name
        )


def test_single_precision() -> None:
    from biomem.models.wave_rnn.autograd import scan

    double = network(activation="relu", n_units=40, n_channels=6)
    single = WaveRNN(
        double.params,
        dtype="float32",
        weights={name: w.astype(np.float32) for name, w in double.weights.items()},
    )
    want, got = (gradients(m, scan, 50, 12) for m in (double, single))
    for name in want:
        assert got[name].dtype.itemsize == 4
        scale = np.abs(want[name].numpy()).max(initial=0.0)
        np.testing.assert_allclose(got[name], want[name], rtol=0, atol=2e-5 * scale)


def test_without_gradients_the_bits_are_those_of_the_compiled_scan(
    rng: np.random.Generator,
) -> None:
    import torch

    from biomem.models.wave_rnn import cpu
    from biomem.models.wave_rnn.autograd import scan

    for tie in ("conv", "local", "dense"):
        model = network(tie_weights=tie, dtype="float32")
        xs = rng.normal(size=(6, 2, 2)).astype(np.float32)
        h = rng.normal(size=(2, 5, 13)).astype(np.float32)
        bound = model.with_weights({k: torch.tensor(w) for k, w in model.weights.items()})
        given = torch.tensor(h)
        state, out = scan(bound, WaveRNNState(given), torch.tensor(xs), 0)
        assert np.array_equal(given, h), "the caller's state was written to"
        want, outputs = cpu.scan(model, WaveRNNState(h.copy()), xs, 0)
        assert np.array_equal(state.h, want.h)
        assert np.array_equal(out.y, outputs.y)


def test_the_state_that_is_given_is_not_written_to_in_training() -> None:
    import torch

    from biomem.models.wave_rnn.autograd import scan

    model = network()
    bound = model.with_weights(
        {k: torch.tensor(w, requires_grad=True) for k, w in model.weights.items()}
    )
    h, xs = torch.ones(2, 5, 13, dtype=torch.float64), torch.ones(3, 2, 2, dtype=torch.float64)
    scan(bound, WaveRNNState(h), xs, 0)
    assert (h == 1).all()
    assert (xs == 1).all()


def test_gradient_of_a_gradient_is_refused() -> None:
    import torch

    from biomem.models.wave_rnn.autograd import scan

    model = network()
    tensors = {k: torch.tensor(w, requires_grad=True) for k, w in model.weights.items()}
    h, xs = torch.ones(1, 5, 13, dtype=torch.float64), torch.ones(3, 1, 2, dtype=torch.float64)
    _, out = scan(model.with_weights(tensors), WaveRNNState(h), xs, 0)
    (first,) = torch.autograd.grad(out.y.sum(), tensors["ring_weight"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_shift_learns_to_copy_and_a_standing_bump_does_not(seed: int) -> None:
    """The ablation of the paper at a size that trains in seconds: copy 5 of 8 symbols over 19."""
    import torch

    from biomem.train import TorchModule

    def recall(**changes: Any) -> float:
        torch.manual_seed(seed)
        model = WaveRNN(n_inputs=10, n_outputs=10, n_units=40, n_channels=6, seed=seed, **changes)
        module = TorchModule(model)
        optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
        draw, right = np.random.default_rng(seed), []
        for _ in range(200):
            symbols = draw.integers(1, 9, size=(5, 64))
            tokens = np.zeros((30, 64), np.int64)
            tokens[:5], tokens[24] = symbols, 9
            xs = torch.nn.functional.one_hot(torch.from_numpy(tokens), 10).float()
            target = torch.zeros(30, 64, dtype=torch.int64)
            target[-5:] = torch.from_numpy(symbols)
            y = module(xs)[0].y
            loss = torch.nn.functional.cross_entropy(y.reshape(-1, 10), target.reshape(-1))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            right.append(float((y[-5:].argmax(-1) == target[-5:]).float().mean()))
        return float(np.mean(right[-10:]))

    assert recall() > 0.99
    assert recall(init_u="identity") < 0.5
