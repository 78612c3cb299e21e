"""Spiking networks: seconds of CPU per second of model time, against Brian2 and snnTorch.

``pytest tests/benchmarks/test_network.py --benchmark-enable -s`` measures one thread; with
``-m brian2`` interleaved with Brian2's Cython target, with ``-m "brian2 and slow"`` against its
C++ standalone (each network is built once, about 40 s), with ``-m torch`` against snnTorch. CPU
time, best of several, so a busy machine disturbs little. Without the option each case runs once at
a small size, as a test.

The network: 80 % excitatory LIF neurons (20 ms, 2 ms refractory), inhibition four times as strong,
each neuron driven by Poisson spikes at 200 Hz; it fires at 20 to 25 Hz.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    Bernoulli,
    OneToOne,
    Poisson,
    Population,
    Procedural,
    Projection,
    SpikingNetwork,
)

CASES = [
    (1000, 0.01, 1e-3),
    (1000, 0.1, 1e-3),
    (1000, 0.1, 1e-4),
    (4000, 0.01, 1e-3),
    (4000, 0.1, 1e-3),
    (4000, 0.01, 1e-4),
    (4000, 0.1, 1e-4),
]
NAMES = [f"{n}-{p:.0%}-{dt * 1e3:g}ms" for n, p, dt in CASES]
DRIVE = 0.24


def weight_of(n: int, p: float) -> float:
    return 0.1 / math.sqrt(p * n)


def network(n: int, p: float, dt: float) -> SpikingNetwork:
    n_exc, w = int(0.8 * n), weight_of(n, p)
    cells = LIF(tau_mem=20e-3, tau_ref=2e-3)
    rule = Bernoulli(p=p)
    return SpikingNetwork(
        populations=(
            Population(name="drive_exc", n=n_exc, neuron=Poisson(rate=200.0)),
            Population(name="drive_inh", n=n - n_exc, neuron=Poisson(rate=200.0)),
            Population(name="exc", n=n_exc, neuron=cells, sign="exc"),
            Population(name="inh", n=n - n_exc, neuron=cells, sign="inh"),
        ),
        projections=(
            Projection(pre="drive_exc", post="exc", rule=OneToOne(), weight=DRIVE),
            Projection(pre="drive_inh", post="inh", rule=OneToOne(), weight=DRIVE),
            Projection(pre="exc", post="exc", rule=rule, weight=w),
            Projection(pre="exc", post="inh", rule=rule, weight=w),
            Projection(pre="inh", post="exc", rule=rule, weight=-4 * w),
            Projection(pre="inh", post="inh", rule=rule, weight=-4 * w),
        ),
        dt=dt,
        dtype="float32",
    )


def simulator(net: SpikingNetwork) -> Simulator:
    sim = Simulator(net, seed=1, progress=False)
    # One sample and no more: what is measured is the run, as with a Brian2 monitor that counts.
    sim.record("spikes", every=10**9)
    return sim


def timed(run: Callable[[], Any]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def bandwidth() -> float:
    """Return bytes read and written per second by a copy that fits no cache."""
    source, target = np.ones(1 << 25), np.empty(1 << 25)
    return 2 * source.nbytes / min(timed(lambda: np.copyto(target, source)) for _ in range(5))


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize(("n", "p", "dt"), CASES, ids=NAMES)
def test_seconds_per_second(n: int, p: float, dt: float, benchmark: Any, one_thread: None) -> None:
    if not benchmark.enabled:
        n, dt = n // 10, 1e-3
    net = network(n, p, dt)
    sim = simulator(net)
    sim.run(seconds=0.1)
    before = sim.work.synaptic_events
    benchmark._timer = time.process_time
    seconds = 10.0 if benchmark.enabled else 0.1
    benchmark.pedantic(lambda: sim.run(seconds=seconds), rounds=3 if benchmark.enabled else 1)
    done = sim.work.synaptic_events - before
    assert done > 0
    if benchmark.stats:
        least = benchmark.stats.stats.min
        events = done / 3 / least
        # A synapse is an index of two bytes and a sum of four read and written, or, as bits, its
        # part of a row, while the sums stay in registers; the weights are one per source.
        bits = net.layout.projections[-1].form == "bits"
        share = events * (1 / (8 * p) if bits else 2 + 8) / bandwidth()
        print(
            f"\n{n} neurons, {p:.0%}, {dt * 1e3:g} ms: {least / seconds:.4f} s/s, "
            f"{events / 1e6:.0f} M synaptic events/s, {share:.0%} of the copy bandwidth"
        )


def brian2_network(n: int, p: float, dt: float) -> tuple[Any, Any]:
    """Return the same network and a monitor that counts, as a user of Brian2 would write it."""
    import brian2 as b

    b.defaultclock.dt = dt * b.second
    n_exc, w = int(0.8 * n), weight_of(n, p)
    cells = b.NeuronGroup(
        n,
        "dv/dt = -v/(20*ms) : 1 (unless refractory)",
        threshold="v >= 1",
        reset="v = 0",
        refractory=2 * b.ms,
        method="exact",
    )
    exc = b.Synapses(cells[:n_exc], cells, on_pre=f"v_post += {w!r}", delay=dt * b.second)
    exc.connect(p=p)
    inh = b.Synapses(cells[n_exc:], cells, on_pre=f"v_post -= {4 * w!r}", delay=dt * b.second)
    inh.connect(p=p)
    drive = b.PoissonInput(cells, "v", 1, 200 * b.Hz, DRIVE)
    count = b.SpikeMonitor(cells, record=False)
    return b.Network(cells, exc, inh, drive, count), count


@pytest.mark.brian2
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("n", "p", "dt"), CASES, ids=NAMES)
def test_against_brian2(n: int, p: float, dt: float, benchmark: Any, one_thread: None) -> None:
    import brian2 as b

    measured = benchmark.enabled
    if not measured:
        n, dt = 100, 1e-3
    b.prefs.codegen.target = "cython" if measured else "numpy"
    second = 1.0 if measured else 0.02

    def ours_once() -> None:
        simulator(network(n, p, dt)).run(seconds=second)

    def theirs_once() -> None:
        brian2_network(n, p, dt)[0].run(second * b.second)

    ours_once()
    theirs_once()
    sim, (net, count) = simulator(network(n, p, dt)), brian2_network(n, p, dt)
    sim.run(seconds=second)
    net.run(second * b.second)
    benchmark.pedantic(ours_once)
    if not measured:
        return
    once = np.array([(timed(ours_once), timed(theirs_once)) for _ in range(4)]).min(axis=0)
    long = np.array(
        [
            (timed(lambda: sim.run(seconds=10.0)), timed(lambda: net.run(10 * b.second)))
            for _ in range(2)
        ]
    ).min(axis=0)
    print(
        f"\n{n} neurons, {p:.0%}, {dt * 1e3:g} ms: 10 s run {long[0]:.3f} s, Brian2 cython "
        f"{long[1]:.3f} s, {long[1] / long[0]:.1f}x; one 1 s run with set-up {once[0]:.4f} s, "
        f"{once[1]:.3f} s, {once[1] / once[0]:.1f}x; Brian2 fires at "
        f"{count.num_spikes / n / 21:.1f} Hz"
    )
    assert long[1] / long[0] >= 2.0


@pytest.mark.brian2
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_against_brian2_standalone(
    dt: float, benchmark: Any, one_thread: None, tmp_path: Path
) -> None:
    if not benchmark.enabled:
        benchmark(lambda: None)
        pytest.skip("builds C++ for 40 s; with --benchmark-enable only")
    import brian2 as b

    n, p = 4000, 0.1
    b.set_device("cpp_standalone", build_on_run=False)
    # A second build of one process starts from nothing.
    b.device.reinit()
    b.device.activate(build_on_run=False)
    try:
        net, _ = brian2_network(n, p, dt)
        net.run(10 * b.second)
        b.device.build(directory=str(tmp_path), compile=True, run=False)
        sim = simulator(network(n, p, dt))
        sim.run(seconds=0.1)
        ours, loop, child = [], [], []
        for _ in range(3):
            ours.append(timed(lambda: sim.run(seconds=10.0)))
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            b.device.run(directory=str(tmp_path), with_output=False, run_args=[])
            child.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
            loop.append(b.device._last_run_time)
    finally:
        b.set_device("runtime")
    # The loop's wall time grows on a busy machine, the child's CPU time has its set-up in it.
    theirs = min(*loop, *child)
    print(
        f"\n{n} neurons, {p:.0%}, {dt * 1e3:g} ms, 10 s: {min(ours):.3f} s, Brian2 standalone "
        f"{theirs:.3f} s, {theirs / min(ours):.1f}x"
    )
    benchmark.pedantic(lambda: sim.run(seconds=0.1))
    assert theirs >= min(ours)


@pytest.mark.torch
@pytest.mark.parametrize("n", [1000, 4000])
def test_against_snntorch(n: int, benchmark: Any, one_thread: None) -> None:
    """The dense network that snnTorch's own layers make of it, no gradients, 1 ms."""
    import snntorch
    import torch

    measured = benchmark.enabled
    n, ticks = (n, 1000) if measured else (50, 20)
    p, dt = 0.1, 1e-3
    sim = simulator(network(n, p, dt))
    sim.run(ticks=10)
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    weight = np.where(draw.random((n, n)) < p, weight_of(n, p), 0.0)
    weight[int(0.8 * n) :] *= -4
    layer = snntorch.RLeaky(beta=float(np.exp(-dt / 20e-3)), all_to_all=True, linear_features=n)
    with torch.no_grad():
        layer.recurrent.weight.copy_(torch.from_numpy(weight.T.astype(np.float32)))
        layer.recurrent.bias.zero_()

    def theirs() -> None:
        with torch.no_grad():
            spikes, membrane = layer.init_rleaky()
            spikes, membrane = torch.zeros(1, n), torch.zeros(1, n)
            for _ in range(ticks):
                drive = DRIVE * (torch.rand(1, n) < 200.0 * dt)
                spikes, membrane = layer(drive, spikes, membrane)

    theirs()
    benchmark.pedantic(lambda: sim.run(ticks=ticks))
    if measured:
        both = np.array(
            [(timed(lambda: sim.run(ticks=ticks)), timed(theirs)) for _ in range(3)]
        ).min(axis=0)
        print(
            f"\n{n} neurons, 10 %, 1 ms, 1 s: {both[0]:.4f} s, snnTorch {both[1]:.3f} s, "
            f"{both[1] / both[0]:.0f}x"
        )
        assert both[1] / both[0] >= 20.0


def test_a_million_neurons_without_stored_synapses(benchmark: Any) -> None:
    """A thousand ticks of 10^8 procedural synapses; prints the memory of the whole process."""
    # So few as a test that sums stay integers of 32 bits: a kernel that other tests have compiled.
    n, ticks = (10**6, 1000) if benchmark.enabled else (160, 20)
    net = SpikingNetwork(
        populations=(
            Population(
                name="cells",
                n=n,
                neuron=LIF(tau_ref=2e-3, i_bias=1.02, v_init=(0.0, 1.0)),
            ),
        ),
        projections=(
            Projection(pre="cells", post="cells", rule=Procedural(k=100), weight=1e-4, delay=2e-3),
        ),
        dtype="float32",
    )
    sim = simulator(net)
    benchmark._timer = time.process_time
    benchmark.pedantic(lambda: sim.run(ticks=ticks))
    assert sim.tick == ticks
    if benchmark.stats:
        gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"\n10^6 neurons, 10^8 synapses, 1000 ticks: {benchmark.stats.stats.min:.1f} s, "
            f"{sim.work.synaptic_events / 1e9:.2f} G events, {gib:.2f} GiB of the process"
        )
        assert gib < 4.0
