"""The GPU scan: whole networks in the simulator, and on a GPU, equal the reference bit for bit.

tests/backends/test_cuda.py runs each kernel's own cases, and compiles it to PTX.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

from biomem.backends import cuda
from biomem.engine.model import flatten
from biomem.engine.random import Rng
from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    STDP,
    CurrentExp,
    FixedInDegree,
    FixedOutDegree,
    Poisson,
    Population,
    Procedural,
    Projection,
    SpikingNetwork,
    TsodyksMarkram,
    Uniform,
)
from biomem.network.cuda_cases import example
from biomem.testing import check_model

# Runs networks tick by tick on the simulated device and by the reference, and compares all.
SIMULATE = """
import sys
import numpy as np
from numba import cuda
from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.network import *
from biomem.network.cuda import Chunk, Grid, advance
from biomem.network.cuda_cases import example

def compare(net, ticks, batch, chunk, grid):
    xs = net.example_inputs(ticks, batch, Rng(5)).astype(net.params.dtype)
    start = net.init_state(batch, Rng(3))
    want, ys = loop(net, start, xs, 0)
    state = type(start)(*(cuda.to_device(np.array(a)) for a in start))
    sizes, dtype = net.layout.sizes, net.params.dtype
    for first in range(0, ticks, chunk):
        part = np.ascontiguousarray(xs[first : first + chunk])
        arrays = Chunk(
            part,
            np.zeros((batch, sizes["neuron"]), dtype),
            np.zeros((len(part), batch, sizes["unit"]), bool),
            np.full((len(part), batch, sizes["traced"]), np.nan, dtype),
        )
        seen = Chunk(*map(cuda.to_device, arrays))
        advance(net, state, seen, first, grid)
        for name, got, right in (("spikes", seen.spikes, ys.spikes), ("traces", seen.traces, ys.v)):
            got = got.copy_to_host()
            right = right[first : first + chunk]
            assert got.dtype == right.dtype, name
            assert np.array_equal(got, right), (name, first, np.argwhere(got != right)[:3])
    for name, got, right in zip(start._fields, state, want):
        got = got.copy_to_host()
        assert got.dtype == right.dtype, name
        assert np.array_equal(got, right), (name, np.argwhere(got != right)[:3])
    return {
        p.population.name: int(ys.spikes[:, :, p.unit : p.unit + p.n].sum())
        for p in net.layout.populations
        if p.kind != "currents"
    }

def cells(neuron, dtype="float64", weight=0.5, **changes):
    return SpikingNetwork(
        populations=(
            Population(name="in", n=5, neuron=SpikeInput()),
            Population(name="cells", n=5, neuron=neuron),
        ),
        projections=(
            Projection(pre="in", post="cells", weight=Uniform(high=weight)),
            Projection(pre="cells", post="cells", weight=0.1 * weight, **changes),
        ),
        traces=("cells",),
        dtype=dtype,
    )
"""

EVERYTHING = """
everything = example()
fired = compare(everything, 20, 2, 7, Grid(threads=3, blocks=2))
assert all(fired.values()), fired
assert not np.array_equal(
    everything.init_state(1, Rng(3)).plastic[0],
    loop(everything, everything.init_state(1, Rng(3)), np.ones((20, 1, 7)), 0)[0].plastic[0],
)
one = everything.with_weights({})
one = type(one)(one.params.replace(dtype="float32"), weights=one.weights)
compare(one, 12, 1, 12, Grid(threads=1, blocks=1))
print("equal")
"""

NEURONS = """
for neuron, weight, changes in (
    (LIF(reset="next_tick", v_init=(-0.5, 0.9)), 0.9, dict(rule=FixedOutDegree(k=2))),
    (LIF(reset="none", rule="unit_gain", synapse=Pulse(), v_th=0.5), 0.9, dict(delay=3e-3)),
    (LIF(rule="euler", synapse=ConductanceExp(e_exc=5.0, e_inh=-1.0), r=2.0), 0.9, dict()),
    (AdaptiveLIF(beta=0.3, tau_adapt=20e-3), 0.9, dict(delay=Uniform(low=1e-3, high=4e-3))),
    (Izhikevich(synapse=Delta(), substeps=2), 40.0, dict()),
    (Izhikevich(a=0.1, synapse=CurrentExp()), 20.0, dict()),
):
    fired = compare(cells(neuron, weight=weight, **changes), 20, 1, 20, Grid(threads=3, blocks=1))
    assert fired["cells"], neuron
accumulator = cells(LIF(), "float32", weight=0.9)
assert accumulator.layout.accumulator == np.int32
assert compare(accumulator, 20, 1, 20, Grid(threads=3, blocks=2))["cells"]
print("equal")
"""


@pytest.mark.cuda_sim
@pytest.mark.parametrize("script", [EVERYTHING, NEURONS], ids=["everything", "neurons"])
def test_networks_equal_the_reference_in_the_simulator(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:.*rid size", "-c", SIMULATE + script],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "equal"


class Recording(NamedTuple):
    """Stands for `Grid`, and keeps what would be launched."""

    launches: dict[str, tuple[Any, ...]]

    def each(self, kernel: Any, jobs: int) -> Any:
        return lambda *args: self.launches.setdefault(kernel.py_func.__name__, args)

    blocked = each


def _contracted(kernel: cuda.DeviceKernel) -> list[str]:
    """Return the instructions of a kernel that round once where the reference rounds twice."""
    ptx = cuda.compile_ptx(kernel, (8, 0))
    # What is written without a mode of rounding may be contracted later on.
    return re.findall(r"\bfma\.\S+|\bmul\.f\d+", ptx)


@pytest.mark.cuda_sim
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_launch_of_a_network_compiles_with_no_product_contracted(dtype, monkeypatch) -> None:
    import numba
    import numba.cuda

    from biomem.network.cuda import Chunk, advance

    found = cuda.compiler()
    if not found.available:
        pytest.skip(f"no PTX compiler: {found.reason}; {found.install}")

    def plain(out):
        out[0] = out[0] * out[1] + out[2]

    bad = cuda.DeviceKernel("plain", f"void({dtype}[::1])", plain, None, print, print)
    assert _contracted(bad), "the check can fail"

    monkeypatch.setattr(numba.cuda, "to_device", lambda array: array)
    net = SpikingNetwork(example().params.replace(dtype=dtype), weights=example().weights)
    assert net.layout.accumulator == {"float64": np.int64, "float32": np.int32}[dtype]
    sizes, launches = net.layout.sizes, {}
    chunk = Chunk(
        np.zeros((1, 2, sizes["input"]), dtype),
        np.zeros((2, sizes["neuron"]), dtype),
        np.zeros((1, 2, sizes["unit"]), bool),
        np.zeros((1, 2, sizes["traced"]), dtype),
    )
    advance(net, net.init_state(2, Rng(0)), chunk, 0, Recording(launches))
    known = {name: kernel for name, kernel in cuda.kernels().items() if name.startswith("net_")}
    assert launches.keys() == known.keys()
    for name, args in launches.items():
        types = tuple(map(numba.typeof, args))
        assert _contracted(dataclasses.replace(known[name], signature=types)) == [], name


def _outcome(net: SpikingNetwork, backend: str, ticks: int, batch: int) -> dict[str, np.ndarray]:
    sim = Simulator(net, backend=backend, seed=3, batch=batch, progress=False)
    recording = sim.run(ticks=ticks)
    return {name: np.asarray(recording[name]) for name in recording} | {
        f"state/{name}": np.array(array) for name, array in flatten(sim.state)
    }


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_of_4000_neurons_equals_numba_on_the_gpu(dtype: str, batch: int) -> None:
    net = SpikingNetwork(
        populations=(
            Population(name="noise", n=500, neuron=Poisson(rate=50.0)),
            Population(name="exc", n=3200, neuron=LIF(tau_ref=2e-3), sign="exc"),
            Population(name="inh", n=800, neuron=LIF(synapse=CurrentExp(), r=20.0), sign="inh"),
        ),
        projections=(
            Projection(pre="noise", post="exc", rule=FixedInDegree(k=50), weight=0.2),
            Projection(pre="noise", post="inh", rule=Procedural(k=100), weight=0.2),
            Projection(
                pre="exc",
                post="exc",
                rule=FixedOutDegree(k=50),
                weight=Uniform(high=0.02),
                delay=Uniform(low=1e-3, high=8e-3),
                stdp=STDP(w_max=0.04),
            ),
            Projection(
                pre="exc", post="inh", rule=FixedOutDegree(k=40), weight=0.02, stp=TsodyksMarkram()
            ),
            Projection(pre="inh", post="exc", rule=FixedOutDegree(k=200), weight=-0.05),
        ),
        traces=("inh",),
        dtype=dtype,
    )
    want = _outcome(net, "numba", 200, batch)
    got = _outcome(net, "cuda", 200, batch)
    assert want["spikes"][:, :, net.units("exc")].any()
    assert want["spikes"][:, :, net.units("inh")].any()
    assert want.keys() == got.keys()
    for name, right in want.items():
        assert right.dtype == got[name].dtype, name
        np.testing.assert_array_equal(right, got[name], err_msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contract_on_the_gpu(dtype: str) -> None:
    params = example().params.replace(dtype=dtype)
    check_model(SpikingNetwork(params, weights=example().weights), new_process=False)


def test_weights_of_a_device_come_back_to_the_host() -> None:
    class OnDevice:
        """As much of a device array as a host asks for."""

        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def copy_to_host(self) -> np.ndarray:
            return self.array

    net = example()
    moved: Any = {"one/weight": OnDevice(2 * np.asarray(net.weights["one/weight"]))}
    weight = net.with_weights(moved).weights["one/weight"]
    assert isinstance(weight, np.ndarray)
    np.testing.assert_array_equal(weight, 2 * net.weights["one/weight"])


def test_the_cases_hold_every_kind() -> None:
    layout = example().layout
    assert {p.kind for p in layout.populations} == {
        "spikes",
        "currents",
        "poisson",
        "array",
        "lif",
        "adaptive",
        "izhikevich",
    }
    assert {p.synapse for p in layout.populations if p.n_ports} == {
        "jump",
        "pulse",
        "current",
        "conductance",
    }
    assert {q.form for q in layout.projections} == {
        "bits",
        "csr",
        "dense",
        "one_to_one",
        "convolution",
        "procedural",
    }
    assert any(q.by_source for q in layout.projections)
    assert any(q.delay < 0 for q in layout.projections)
    assert {q.projection.stp is None for q in layout.projections} == {True, False}
