"""Graphs of primitives against snnTorch, which runs the same layers tick by tick.

``pytest tests/benchmarks/test_graph.py --benchmark-enable -m torch -s`` measures both on one
thread, interleaved, in CPU time, best of seven; without gradients, single precision, 200 ticks.
Without the option each case runs once at a small size, as a test.

Inputs are drawn anew for every tick: a share of them is not zero, and then 1 (``spikes``) or any
number (``values``).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
import pytest

from biomem.engine.simulator import Simulator

TICKS = 200

CASES = {
    "100-100-10": ("dense", (100, 100, 10), 1, 0.05, "spikes"),
    "784-1000-10": ("dense", (784, 1000, 10), 1, 0.05, "spikes"),
    "1000-1000-1000": ("dense", (1000, 1000, 1000), 1, 0.02, "spikes"),
    "784-1000-10, 32 streams": ("dense", (784, 1000, 10), 32, 0.05, "spikes"),
    "784-1000-10, 32 streams, dense": ("dense", (784, 1000, 10), 32, 1.0, "values"),
    "700-256 recurrent": ("recurrent", (700, 256), 1, 0.05, "spikes"),
    "700-256 recurrent, 32 streams": ("recurrent", (700, 256), 32, 0.05, "spikes"),
    "convolutions": ("images", (2, 12, 32), 1, 0.05, "spikes"),
    "convolutions, 32 streams": ("images", (2, 12, 32), 32, 0.05, "spikes"),
}


def timed(run: Callable[[], Any]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


@pytest.fixture
def one_thread() -> Iterator[None]:
    import torch

    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    numba.set_num_threads(before[0])
    torch.set_num_threads(before[1])


def layers(kind: str, sizes: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """Return a torch module and the shape of its input."""
    import snntorch
    from torch import nn

    def leaky() -> Any:
        return snntorch.Leaky(beta=0.9, threshold=0.5, init_hidden=True)

    if kind == "dense":
        pairs = itertools.pairwise(sizes)
        return nn.Sequential(*(m for a, b in pairs for m in (nn.Linear(a, b), leaky()))), sizes[:1]
    if kind == "recurrent":
        n_in, n = sizes
        cell = snntorch.RLeaky(
            beta=0.9, threshold=0.5, init_hidden=True, all_to_all=True, linear_features=n
        )
        return nn.Sequential(nn.Linear(n_in, n), cell), (n_in,)
    first, second, third = sizes
    blocks = [
        *(nn.Conv2d(first, second, 5), leaky(), nn.AvgPool2d(2)),
        *(nn.Conv2d(second, third, 5), leaky(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(third * 25, 10), leaky()),
    ]
    return nn.Sequential(*blocks), (first, 32, 32)


@pytest.mark.torch
@pytest.mark.parametrize("case", CASES)
def test_against_snntorch(case: str, benchmark: Any, one_thread: None) -> None:
    import torch
    from snntorch import utils

    from biomem.export.snntorch import from_snntorch

    kind, sizes, batch, density, what = CASES[case]
    ticks = TICKS if benchmark.enabled else 4
    if not benchmark.enabled and kind != "images":
        sizes = tuple(-(-n // 20) for n in sizes)
    torch.manual_seed(0)
    module, shape = layers(kind, sizes)
    draw = np.random.default_rng(0)
    full = draw.random((ticks, batch, *shape)) < density
    x = (full * (1.0 if what == "spikes" else draw.normal(size=full.shape))).astype(np.float32)
    given, flat = torch.from_numpy(x), x.reshape(ticks, batch, -1)
    graph = from_snntorch(module, input_shape=shape)
    weights = {name: w.astype(np.float32) for name, w in graph.weights.items()}
    graph = type(graph)(graph.params.replace(dtype="float32", traces=()), weights=weights)
    sim = Simulator(graph, batch=batch, progress=False)

    def theirs() -> Any:
        utils.reset(module)
        with torch.no_grad():
            return torch.stack([module(row) for row in given])

    want, got = theirs().numpy().reshape(ticks, batch, -1), sim.run(flat)["y"]
    # Their sums are rounded in another order, so a spike may fall one tick off in a while.
    assert (want != got).mean() < 1e-3
    benchmark.pedantic(lambda: sim.run(flat))
    if benchmark.enabled:
        ours, snn = np.array([(timed(lambda: sim.run(flat)), timed(theirs)) for _ in range(7)]).min(
            axis=0
        )
        print(
            f"\n{case}: {1e6 * ours / ticks:.0f} us a tick, snnTorch {1e6 * snn / ticks:.0f} us, "
            f"{snn / ours:.1f}x"
        )
