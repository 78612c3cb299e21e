"""Register of every numba.cuda kernel, and the two checks that need no GPU.

A kernel is registered together with its NumPy reference and a seeded case, so a test can find all
of them and (a) run them in the CUDA simulator, (b) compile them to PTX. numba.cuda means
whichever implementation is installed: the numba-cuda package replaces the one built into numba
under the same import name, and `compile_ptx` covers what differs between the two.

Importing this module imports nothing heavy; its functions import numba.cuda on use.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from biomem.backends.probing import Probe, one_line
from biomem.errors import BackendUnavailable, BiomemError, ParameterError

__all__ = [
    "ARCHITECTURES",
    "DeviceKernel",
    "KernelMismatch",
    "Launch",
    "check",
    "compile_ptx",
    "compiler",
    "device_kernel",
    "kernels",
    "modules",
    "simulated",
]

ARCHITECTURES = ((7, 5), (8, 0), (9, 0))
"""Compute capabilities every kernel must compile for: Turing, Ampere, Hopper."""

PTX_INSTALL = 'pip install "numba-cuda==0.30.4" nvidia-cuda-nvrtc nvidia-nvvm'


class KernelMismatch(BiomemError, AssertionError):
    """A kernel gave other numbers than its reference."""


class Launch(NamedTuple):
    """One call of a kernel: the grid and NumPy arguments, arrays of which it may write to."""

    blocks: int
    threads: int
    args: tuple[Any, ...]


@dataclass(frozen=True)
class DeviceKernel:
    """A numba.cuda kernel with what is needed to check it.

    Attributes
    ----------
    name : str
        Unique in the process.
    signature : str
        numba signature, ``"void(uint64, float32[::1])"``.
    function : callable
        The Python function.
    dispatcher : object
        What ``cuda.jit`` made of it, called as ``dispatcher[blocks, threads](*args)``.
    reference : callable
        NumPy function of the same arguments that fills the same arrays in place.
    case : callable
        ``case(seed) -> Launch``; under 2000 threads and at most 32 a block, since the simulator
        runs each in Python.
    rtol : float
        Allowed relative difference of floats; 0 demands equal bits. Integers are always exact.
    """

    name: str
    signature: str
    function: Callable[..., None]
    dispatcher: Any
    reference: Callable[..., None]
    case: Callable[[int], Launch]
    rtol: float = 0.0


_REGISTRY: dict[str, DeviceKernel] = {}


def device_kernel(
    name: str,
    signature: str,
    *,
    reference: Callable[..., None],
    case: Callable[[int], Launch],
    rtol: float = 0.0,
    **options: Any,
) -> Callable[[Callable[..., None]], Any]:
    """Compile a function with ``cuda.jit(**options)`` on its first launch, and register it.

    Belongs on kernels, not on device functions. For the other parameters see `DeviceKernel`.

    Raises
    ------
    ParameterError
        The name is taken by a kernel of another module.
    """

    def register(function: Callable[..., None]) -> Any:
        from numba import cuda

        known = _REGISTRY.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise ParameterError(
                f"device_kernel: name {name!r} is taken by {known.function.__module__}; "
                f"choose another for {function.__module__}.{function.__qualname__}"
            )
        dispatcher = cuda.jit(**options)(function)
        _REGISTRY[name] = DeviceKernel(name, signature, function, dispatcher, reference, case, rtol)
        return dispatcher

    return register


def modules() -> list[str]:
    """Return the modules of biomem that hold kernels: those named ``cuda`` or ``*_cuda``."""

    def walk(paths: Any, prefix: str) -> Iterator[str]:
        for info in pkgutil.iter_modules(paths, prefix):
            leaf = info.name.rpartition(".")[2]
            if info.ispkg:
                yield from walk([os.path.join(p, leaf) for p in paths], info.name + ".")
            elif (leaf == "cuda" or leaf.endswith("_cuda")) and info.name != __name__:
                yield info.name

    # The package is found by its path: importing it here would point against the layers.
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return sorted(walk([root], "biomem."))


def kernels() -> dict[str, DeviceKernel]:
    """Import `modules` and return every registered kernel by name, those of users included.

    Raises
    ------
    ParameterError
        A module named like one of kernels registers none, so its kernels would go untested.
    """
    for module in modules():
        importlib.import_module(module)
        if not any(k.function.__module__ == module for k in _REGISTRY.values()):
            raise ParameterError(
                f"{module} registers no kernel; decorate its kernels with "
                "biomem.backends.cuda.device_kernel, or rename the module"
            )
    return dict(sorted(_REGISTRY.items()))


def simulated() -> bool:
    """Tell whether numba.cuda is the simulator in this process (``NUMBA_ENABLE_CUDASIM=1``)."""
    from numba import config

    return bool(config.ENABLE_CUDASIM)


def check(kernel: DeviceKernel, seed: int = 0) -> None:
    """Run one case of `kernel`, on the GPU or in the simulator, and compare every array argument.

    Raises
    ------
    KernelMismatch
        Naming the argument, the first differing index and both values.
    """
    from numba import cuda

    launch = kernel.case(seed)
    expected = [np.array(a) if isinstance(a, np.ndarray) else a for a in launch.args]
    kernel.reference(*expected)
    given = [cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in launch.args]
    with warnings.catch_warnings():
        # A case is small on purpose; numba warns that such a grid cannot fill a GPU.
        warnings.filterwarnings("ignore", message=".*[Gg]rid size.*")
        kernel.dispatcher[launch.blocks, launch.threads](*given)
    for position, (want, got) in enumerate(zip(expected, given, strict=True)):
        if isinstance(want, np.ndarray):
            _compare(kernel, seed, position, want, got.copy_to_host())


def _compare(kernel: DeviceKernel, seed: int, at: int, want: np.ndarray, got: np.ndarray) -> None:
    if want.dtype.kind in "fc" and kernel.rtol:
        same = np.isclose(got, want, rtol=kernel.rtol, atol=0.0, equal_nan=True)
    else:
        # Compared as bytes, so that -0.0 differs from 0.0 and a NaN equals itself.
        same = np.all(_bytes(got) == _bytes(want), axis=-1)
    if not np.all(same):
        where = tuple(int(i) for i in np.argwhere(~same)[0])
        raise KernelMismatch(
            f"{kernel.name}, seed {seed}: argument {at} differs in {np.sum(~same)} of {want.size} "
            f"elements, first at {where}: kernel {got[where]!r}, reference {want[where]!r}"
        )


def _bytes(array: np.ndarray) -> np.ndarray:
    flat = np.frombuffer(array.tobytes(), np.uint8)
    return flat.reshape(*array.shape, array.dtype.itemsize)


def compile_ptx(kernel: DeviceKernel, capability: tuple[int, int]) -> str:
    """Compile `kernel` to PTX for a compute capability; needs a compiler but no GPU.

    Raises
    ------
    BackendUnavailable
        No PTX compiler here; see `compiler`.
    """
    found = compiler()
    if not found.available:
        raise BackendUnavailable(f"PTX: {found.reason}; {found.install}")
    return _compile(kernel.function, kernel.signature, capability)


def _compile(function: Callable[..., None], signature: str, capability: tuple[int, int]) -> str:
    from numba import cuda
    from numba.core import sigutils

    args, _ = sigutils.normalize_signature(signature)
    with _device_of(capability):
        ptx, _ = cuda.compile_ptx(function, args, cc=capability)
    return ptx


@contextlib.contextmanager
def _device_of(capability: tuple[int, int]) -> Iterator[None]:
    # compile_ptx takes the capability as an argument, but the device functions a kernel calls ask
    # the current device for it (both implementations do), which needs a driver.
    from numba.cuda import dispatcher

    asked = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = asked


@cache
def compiler() -> Probe:
    """Tell whether kernels can be compiled to PTX here, by compiling an empty one."""
    try:
        from numba import cuda

        if simulated():
            return Probe("ptx", False, "NUMBA_ENABLE_CUDASIM is set", "unset NUMBA_ENABLE_CUDASIM")
        kind = getattr(cuda, "implementation", "")

        def empty(out):
            out[0] = 1

        _compile(empty, "void(int32[::1])", ARCHITECTURES[0])
    except Exception as error:
        # The libraries are searched lazily, and each implementation fails in its own way:
        # NvvmSupportError, RuntimeError, FileNotFoundError, DynamicLibNotFoundError ...
        reason = one_line(error)
        return Probe("ptx", False, reason, PTX_INSTALL)
    return Probe("ptx", True, f"numba.cuda ({kind})", "")
