"""Tokens per second of the ELM neuron beside the same equations as a plain torch loop, one thread.

``OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 pytest tests/benchmarks/test_elm.py -m torch
--benchmark-enable -s`` measures; without the option each case runs once, as a test. CPU time of
this process, both sides in turn, the best of each: a busy machine disturbs little.

The torch loop holds one trace per synapse, as published: gather of the routed inputs, decay of all
traces, sum per branch, MLP, update, readout. The bound is the time the multiply-accumulates of a
token would take at the rate of a large matrix product on the same core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from biomem.models.elm import ELM, ELMParams, ELMState, Events, cpu

DENSITY = 0.01
CASES = {1: 2000, 8: 500}


def spikes(ticks: int, batch: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    sign = np.where(np.arange(1278) < 639, 1, -1)
    return ((rng.random((ticks, batch, 1278)) < DENSITY) * sign).astype(np.float32)


def best(sides: dict[str, Callable[[], Any]], rounds: dict[str, int]) -> dict[str, float]:
    """Return the best CPU seconds of each side, run in turn after a first round that counts not."""
    for run in sides.values():
        run()
    found = dict.fromkeys(sides, float("inf"))
    for i in range(max(rounds.values())):
        for name, run in sides.items():
            if i < rounds[name]:
                start = time.process_time()
                run()
                found[name] = min(found[name], time.process_time() - start)
    return found


def macs_per_token(p: ELMParams) -> float:
    """Multiply-accumulates that remain after folding: a row per event, MLP, readout."""
    mlp = p.n_memory * p.hidden + p.hidden * p.n_memory
    return DENSITY * p.n_inputs * p.hidden + mlp + p.n_memory * p.n_outputs


def mac_rate() -> float:
    """Multiply-accumulates per second of a 512 x 512 product, one thread."""
    a = np.random.default_rng(0).random((512, 512), np.float32)
    seconds = best({"product": lambda: a @ a}, {"product": 10})["product"]
    return 512**3 / seconds


class TorchLoop:
    """The published equations, one torch operation after the other."""

    def __init__(self, model: ELM) -> None:
        import torch

        self.torch, self.p = torch, model.params
        self.weights = {n: torch.tensor(w) for n, w in model.weights.items()}
        for name in model.trainable:
            self.weights[name].requires_grad_()
        self.mask = self.weights["valid"].float()

    def __call__(self, xs: Any) -> Any:
        torch, p, w = self.torch, self.p, self.weights
        batch = xs.shape[0]
        tau = p.tau_min + p.tau_span * torch.sigmoid(w["tau_logits"])
        decay = torch.exp(-p.dt / tau)
        decay_synapse = torch.exp(torch.full((p.n_synapses,), -p.dt / p.tau_branch))
        synapses = torch.relu(w["synapses"])
        routed = xs[:, :, w["channels"]] * self.mask
        trace, memory = torch.zeros(batch, p.n_synapses), torch.zeros(batch, p.n_memory)
        outputs = []
        for t in range(xs.shape[1]):
            trace = decay_synapse * trace + synapses * routed[:, t]
            branches = trace.view(batch, p.branches, p.synapses_per_branch).sum(2)
            kept = decay * memory
            hidden = torch.nn.functional.linear(
                torch.cat([branches, kept], 1), w["hidden0_weights"], w["hidden0_bias"]
            )
            u = torch.nn.functional.linear(
                torch.relu(hidden), w["update_weights"], w["update_bias"]
            )
            memory = kept + p.gain * (1 - decay) * (1.7159 * torch.tanh(2 / 3 * u))
            outputs.append(
                torch.nn.functional.linear(memory, w["readout_weights"], w["readout_bias"])
            )
        return torch.stack(outputs, 1)


@pytest.mark.torch
@pytest.mark.parametrize("batch", CASES)
def test_inference_beside_the_torch_loop(batch: int, benchmark: Any) -> None:
    import torch

    torch.set_num_threads(1)
    measured = benchmark.enabled
    ticks = CASES[batch] if measured else 20
    model = ELM(ELMParams.neuronio())
    xs = spikes(ticks, batch)
    events, peer = Events.from_dense(xs), TorchLoop(model)
    series = torch.tensor(xs.transpose(1, 0, 2).copy())

    def torch_loop() -> Any:
        with torch.no_grad():
            return peer(series)

    sides = {
        "torch loop": torch_loop,
        "dense": lambda: cpu.scan(model, model.init_state(batch), xs, 0),
        "events": lambda: model.scan_events(events),
    }
    want = torch_loop().numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(sides["dense"]()[1], want, atol=5e-5)
    np.testing.assert_array_equal(sides["events"]()[1], sides["dense"]()[1])
    benchmark.pedantic(sides["events"], rounds=1)
    if not measured:
        return
    seconds = best(sides, {"torch loop": 5, "dense": 25, "events": 25})
    macs, rate, tokens = macs_per_token(model.params), mac_rate(), ticks * batch
    print(f"\nbatch {batch}: {macs:.0f} MAC a token, product at {rate / 1e9:.1f} GMAC/s")
    for name, s in seconds.items():
        print(
            f"  {name:<10} {tokens / s / 1e3:8.1f} k tokens/s, "
            f"{2 * macs * tokens / s / 1e9:6.2f} GFLOP/s, "
            f"{s * rate / (macs * tokens):6.1f} times the bound, "
            f"{seconds['torch loop'] / s:6.1f} times the torch loop"
        )
    assert seconds["torch loop"] / seconds["events"] >= 100
    assert seconds["torch loop"] / seconds["dense"] >= 20


@pytest.mark.torch
def test_training_beside_the_torch_loop(benchmark: Any) -> None:
    import torch

    from biomem.models.elm import autograd

    torch.set_num_threads(1)
    measured = benchmark.enabled
    batch, ticks = 8, 500 if measured else 20
    model = ELM(ELMParams.neuronio())
    peer = TorchLoop(model)
    xs = spikes(ticks, batch)
    ours, theirs = torch.tensor(xs), torch.tensor(xs.transpose(1, 0, 2).copy())
    state = ELMState(*map(torch.tensor, model.init_state(batch)))
    trained = [peer.weights[name] for name in model.trainable]

    def torch_loop() -> Any:
        return torch.autograd.grad((peer(theirs) ** 2).mean(), trained)

    def compiled() -> Any:
        bound = model.with_weights(peer.weights)
        _, ys = autograd.scan(bound, state, ours, 0)
        return torch.autograd.grad((ys**2).mean(), trained)

    for got, want in zip(compiled(), torch_loop(), strict=True):
        scale = float(want.abs().max())
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4 * scale)
    benchmark.pedantic(compiled, rounds=1)
    if not measured:
        return
    seconds = best(
        {"torch loop": torch_loop, "compiled": compiled}, {"torch loop": 4, "compiled": 20}
    )
    print("\nforward and backward, batch 8:")
    for name, s in seconds.items():
        ratio = seconds["torch loop"] / s
        print(
            f"  {name:<10} {ticks * batch / s / 1e3:8.1f} k tokens/s, {ratio:6.1f} times the loop"
        )
    assert seconds["torch loop"] / seconds["compiled"] >= 5


def test_shd_width_runs(benchmark: Any) -> None:
    """700 channels, each its own branch, 100 memory units: the other published setting."""
    model = ELM(n_inputs=700, n_memory=100, n_outputs=20, tau_max=0.5, dt=0.01)
    xs = np.random.default_rng(0).poisson(0.02, (100, 8, 700)).astype(np.float32)
    benchmark._timer = time.process_time
    _, ys = benchmark(lambda: cpu.scan(model, model.init_state(8), xs, 0))
    assert np.isfinite(ys).all()
    if benchmark.stats:
        rate = xs.shape[0] * xs.shape[1] / benchmark.stats.stats.min
        print(f"\nSHD setting, batch 8: {rate / 1e3:.1f} k tokens/s")
