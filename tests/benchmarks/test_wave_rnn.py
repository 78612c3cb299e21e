"""Tokens per second of the Wave-RNN, one thread, and the distance from what the arithmetic allows.

``pytest tests/benchmarks/test_wave_rnn.py --benchmark-enable -s`` measures, with ``-m torch`` also
interleaved with the plain torch loop of the same equations; without the option each case runs once
at a small size, as a test. CPU time of this process, best of several, so a busy machine disturbs
little.

The peak is measured too: tiles whose rows all lie in the nearest cache, aligned.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from numba import njit

from biomem.backends.simd import lanes_of
from biomem.backends.simd_tiles import tile
from biomem.engine.random import Rng
from biomem.models.wave_rnn import WaveRNN, bptt_cpu, cpu

CASES = {
    "256 x 16": {"n_units": 256, "n_channels": 16},
    "256 x 16, shift": {"n_units": 256, "n_channels": 16, "init_u": "shift"},
    "100 x 27": {"n_units": 100, "n_channels": 27, "n_inputs": 2},
    "100 x 6": {"n_units": 100, "n_channels": 6, "n_inputs": 10},
}


@njit
def _tiles(count, out, rows, offsets, taps, width):
    for _ in range(count):
        tile(
            4, 4, out, 0, width, out, 0, width, out, 0, out, 0, 0,
            rows, 0, offsets, 0, offsets.size, taps, 0, offsets.size, 1, False,
        )  # fmt: skip


def best(runs: list[Callable[[], Any]], rounds: int) -> list[float]:
    """Return the least CPU time of each, s, their rounds taken in turn."""
    least = [np.inf] * len(runs)
    for _ in range(rounds):
        for i, run in enumerate(runs):
            begin = time.process_time()
            run()
            least[i] = min(least[i], time.process_time() - begin)
    return least


def peak(rounds: int) -> float:
    """Return GFLOP/s of one core in single precision."""
    width, q, count = 4 * lanes_of(np.float32), 192, 2000
    out, rows, taps = (np.zeros(n, np.float32) for n in (4 * width, width, 4 * q))
    offsets = np.zeros(q, np.int64)
    _tiles(1, out, rows, offsets, taps, width)
    (least,) = best([lambda: _tiles(count, out, rows, offsets, taps, width)], rounds)
    return 2 * count * q * 4 * width / least / 1e9


def network(case: str, ticks: int, **changes: Any) -> WaveRNN:
    base = {"n_outputs": 10, "init_u": "random", "readout_every": ticks}
    return WaveRNN(**{**base, **CASES[case], **changes})


def eager(model: WaveRNN, xs: Any, weights: dict[str, Any]) -> Any:
    """Return the readout of the published recurrence as a loop of torch operations."""
    from torch.nn import functional

    p, batch, half = model.params, xs.shape[1], model.params.kernel_size // 2
    v = weights["input_weight"].reshape(p.n_neurons, p.n_inputs)
    bias = weights["input_bias"].reshape(-1)
    h = xs.new_zeros(batch, p.n_channels, p.n_units)
    for x in xs:
        padded = functional.pad(h, (half, half), mode="circular")
        z = functional.conv1d(padded, weights["ring_weight"], weights["ring_bias"])
        h = (functional.linear(x, v, bias).reshape(h.shape) + z).relu()
    last = h.reshape(batch, -1)
    return functional.linear(last, weights["readout_weight"], weights["readout_bias"])


@pytest.fixture
def one_thread() -> Any:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("case", CASES)
def test_tokens_per_second(case: str, batch: int, benchmark: Any, one_thread: None) -> None:
    ticks = (784 if batch == 1 else 196) if benchmark.enabled else 8
    model = network(case, ticks)
    xs = np.random.default_rng(0).random((ticks, batch, model.params.n_inputs), np.float32)
    state = model.init_state(batch, Rng(0))
    cpu.scan(model, state, xs, 0)
    benchmark._timer = time.process_time
    benchmark.pedantic(lambda: cpu.scan(model, state, xs, 0), rounds=15)
    assert np.isfinite(state.h).all()
    if benchmark.stats:
        least = benchmark.stats.stats.min
        rate = 2e-9 * model.work(state, ticks, batch).macs / least
        top = peak(9)
        benchmark.extra_info["tokens/s"] = round(batch * ticks / least)
        print(
            f"\n{case}, batch {batch}: {batch * ticks / least:,.0f} tokens/s, {rate:.0f} GFLOP/s "
            f"counted dense, {rate / top:.0%} of the peak of {top:.0f}"
        )


@pytest.mark.torch
@pytest.mark.parametrize(("batch", "factor"), [(1, 5.0), (16, 2.0)])
def test_against_torch(batch: int, factor: float, benchmark: Any, one_thread: None) -> None:
    import torch

    measured = benchmark.enabled
    ticks = (784 if batch == 1 else 196) if measured else 8
    model = network("256 x 16", ticks)
    xs = np.random.default_rng(0).random((ticks, batch, 1), np.float32)
    weights = {name: torch.from_numpy(w) for name, w in model.weights.items()}

    def ours() -> np.ndarray:
        return cpu.scan(model, model.init_state(batch, Rng(0)), xs, 0)[1].y[-1]

    def theirs() -> Any:
        with torch.no_grad():
            return eager(model, torch.from_numpy(xs), weights)

    want = theirs().numpy()
    np.testing.assert_allclose(ours(), want, rtol=0, atol=1e-5 * np.abs(want).max())
    benchmark.pedantic(ours)
    if measured:
        torch.set_num_threads(1)
        mine, other = best([ours, theirs], 7)
        tokens = batch * ticks
        print(
            f"\nbatch {batch}: {tokens / mine:,.0f} tokens/s, torch {tokens / other:,.0f}, "
            f"{other / mine:.1f}x"
        )
        assert other / mine >= factor


@pytest.mark.torch
def test_training_against_torch(benchmark: Any, one_thread: None) -> None:
    """Forward and backward at the size of sequential MNIST, where torch's memory allows."""
    import torch

    measured = benchmark.enabled
    batch, ticks = (64, 196) if measured else (4, 8)
    model = network("256 x 16", ticks)
    draw = np.random.default_rng(0)
    # Nearly a shift, so that gradients neither vanish nor explode, as in a network that learns.
    noise = draw.normal(size=model.weights["ring_weight"].shape).astype(np.float32)
    start = WaveRNN(model.params, init_u="shift").weights["ring_weight"]
    model = model.with_weights({**model.weights, "ring_weight": start + 3e-3 * noise})
    xs = draw.random((ticks, batch, 1), np.float32)
    kept = np.full(ticks, -1)
    kept[-1] = 0
    h = model.init_state(batch, Rng(0)).h
    weights = {name: torch.tensor(w, requires_grad=True) for name, w in model.weights.items()}
    readout = model.weights["readout_weight"]
    split: dict[str, Any] = {}

    def forward() -> None:
        split["run"] = bptt_cpu.forward(model, h, xs, kept, trace=True)

    def backward() -> None:
        outputs, last, trace = split["run"]
        down = np.tile(readout.sum(axis=0), (1, batch, 1)).reshape(outputs.shape)
        split["found"] = bptt_cpu.backward(trace, down, 0 * last, with_x=False)

    def theirs() -> None:
        for w in weights.values():
            w.grad = None
        eager(model, torch.from_numpy(xs), weights).sum().backward()

    forward()
    backward()
    theirs()
    want = weights["ring_weight"].grad.numpy()
    np.testing.assert_allclose(split["found"].ring, want, rtol=0, atol=1e-4 * np.abs(want).max())
    benchmark.pedantic(lambda: (forward(), backward()))
    if measured:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        go, back, other = best([forward, backward, theirs], 4)
        torch.set_flush_denormal(False)
        work = 2e-9 * ticks * batch * 16 * 16 * 3 * 256
        top = peak(9)
        print(
            f"\ntraining: {ticks * batch / (go + back):,.0f} tokens/s, torch "
            f"{ticks * batch / other:,.0f}, {other / (go + back):.1f}x; forward {work / go:.0f}, "
            f"backward {2 * work / back:.0f} useful GFLOP/s ({3 * work / back:.0f} with what is "
            f"computed twice), peak {top:.0f}"
        )
        assert other / (go + back) >= 3
