"""Every registered numba.cuda kernel: in the simulator against its reference, and to PTX."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from biomem.backends import Probe, cuda
from biomem.errors import BackendUnavailable, ParameterError

# Prints, per kernel and seed, null or what differed; and what a deliberately wrong kernel gives.
SIMULATE = """
import json, numpy as np
from biomem.backends import cuda

assert cuda.simulated()
result = {}
for name, kernel in cuda.kernels().items():
    launch = kernel.case(0)
    assert launch.blocks * launch.threads < 2000 and launch.threads <= 32, name
    for seed in range(3):
        try:
            cuda.check(kernel, seed)
            result[f"{name}/{seed}"] = None
        except cuda.KernelMismatch as error:
            result[f"{name}/{seed}"] = str(error)

def case(seed):
    return cuda.Launch(1, 4, (np.float64(seed), np.zeros((2, 2))))

def reference(x, out):
    out[:] = x

@cuda.device_kernel("wrong", "void(float64, float64[:, ::1])", reference=reference, case=case)
def wrong(x, out):
    out[0, 0] = out[0, 1] = out[1, 0] = x
    out[1, 1] = x + 1e-12

@cuda.device_kernel(
    "near", "void(float64, float64[:, ::1])", reference=reference, case=case, rtol=1e-9
)
def near(x, out):
    for i in range(2):
        for j in range(2):
            out[i, j] = x * (1 + 1e-12)

@cuda.device_kernel("zero", "void(float64, float64[:, ::1])", reference=reference, case=case)
def zero(x, out):
    for i in range(2):
        for j in range(2):
            out[i, j] = -0.0

for name, seed in (("wrong", 1), ("near", 1), ("zero", 0)):
    try:
        cuda.check(cuda.kernels()[name], seed)
        result[name] = None
    except cuda.KernelMismatch as error:
        result[name] = str(error)
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def simulation() -> dict[str, str | None]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SIMULATE],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.cuda_sim
def test_every_kernel_equals_its_reference_in_the_simulator(simulation) -> None:
    cases = {name: fault for name, fault in simulation.items() if "/" in name}
    assert {"philox_words/0", "philox_uniform/2"} <= set(cases)
    assert {name: fault for name, fault in cases.items() if fault} == {}


@pytest.mark.cuda_sim
def test_a_wrong_kernel_is_caught_and_named(simulation) -> None:
    assert re.search(
        r"wrong, seed 1: argument 1 differs in 1 of 4 .*first at \(1, 1\)", simulation["wrong"]
    )
    assert "argument 1 differs in 4 of 4" in simulation["zero"], "-0.0 is not 0.0"
    assert simulation["near"] is None


@pytest.mark.cuda_sim
@pytest.mark.parametrize("capability", cuda.ARCHITECTURES)
def test_every_kernel_compiles_to_ptx(capability: tuple[int, int]) -> None:
    found = cuda.compiler()
    if not found.available:
        pytest.skip(f"no PTX compiler: {found.reason}; {found.install}")
    target = "sm_{}{}".format(*capability)
    for name, kernel in cuda.kernels().items():
        ptx = cuda.compile_ptx(kernel, capability)
        assert f".target {target}" in ptx, name
        assert ".visible .entry" in ptx, name
        # Local memory is off-chip: more of it per thread makes a kernel slow on every GPU.
        local = sum(int(n) for n in re.findall(r"\.local[^\[;]*\.b8[^\[;]*\[(\d+)\]", ptx))
        assert local <= 1024, (name, local)


@pytest.mark.cuda_sim
def test_ptx_compiler_rejects_what_the_simulator_would_run() -> None:
    found = cuda.compiler()
    if not found.available:
        pytest.skip(f"no PTX compiler: {found.reason}; {found.install}")

    def untyped(out):
        out[0] = {"a": [1]}["a"]

    kernel = cuda.DeviceKernel("bad", "void(float64[::1])", untyped, None, print, print)
    with pytest.raises(Exception, match=r"array\(float64, 1d"):
        cuda.compile_ptx(kernel, (8, 0))


def test_modules_are_found_by_name() -> None:
    found = cuda.modules()
    assert "biomem.engine.random_cuda" in found
    assert "biomem.backends.cuda" not in found
    assert all(re.search(r"\.(cuda|\w+_cuda)$", name) for name in found)


def test_listing_modules_imports_none_of_them() -> None:
    code = (
        "import sys; from biomem.backends import cuda; found = cuda.modules(); "
        "assert found and not set(found) & set(sys.modules) and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_module_that_registers_nothing_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(cuda, "modules", lambda: ["biomem.errors"])
    with pytest.raises(ParameterError, match=r"biomem\.errors registers no kernel"):
        cuda.kernels()


def test_a_taken_name_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(cuda, "_REGISTRY", dict(cuda.kernels()))

    def mine(out):
        out[0] = 1

    register = cuda.device_kernel(
        "philox_words", "void(int32[::1])", reference=mine, case=lambda _: cuda.Launch(1, 1, ())
    )
    with pytest.raises(ParameterError, match=r"'philox_words' is taken by biomem\.engine"):
        register(mine)


def test_without_a_compiler_the_error_tells_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(
        cuda, "compiler", lambda: Probe("ptx", False, "no libNVVM", "pip install x")
    )
    kernel = cuda.DeviceKernel("k", "void(int32[::1])", print, None, print, print)
    with pytest.raises(BackendUnavailable, match=r"no libNVVM; pip install x"):
        cuda.compile_ptx(kernel, (8, 0))


def test_cases_are_seeded() -> None:
    for kernel in cuda.kernels().values():
        first, again, other = kernel.case(1), kernel.case(1), kernel.case(2)
        assert all(np.array_equal(a, b) for a, b in zip(first.args, again.args, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first.args, other.args, strict=True))
