"""Which backends can run here, and if not, why and what to install."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import textwrap
from functools import cache
from typing import Any, NamedTuple

from biomem.errors import BackendUnavailable, ParameterError

__all__ = [
    "NAMES",
    "Probe",
    "check_name",
    "cupy_wheels",
    "one_line",
    "probe",
    "require",
    "version_of",
]

NAMES = ("numpy", "numba", "cuda", "torch")
"""The backends, in the order in which they are shown."""

_INSTALL = {
    "numpy": "pip install numpy",
    "numba": "pip install numba",
    "cuda": 'pip install "biomem[cuda12]" or "biomem[cuda13]", whichever matches the driver',
    "torch": 'pip install "biomem[torch]"',
}


class _Unusable(Exception):
    """The message is the whole reason."""


class Probe(NamedTuple):
    """What is known about a backend on this machine.

    Attributes
    ----------
    name : str
    available : bool
    reason : str
        Why it is, or is not, available; one line.
    install : str
        What would make it available; empty when it is.
    version : str
        Version of the package behind it, empty when absent.
    """

    name: str
    available: bool
    reason: str
    install: str
    version: str = ""


def version_of(package: str) -> str:
    """Return the installed version of a distribution without importing it, ``""`` if absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def check_name(name: str, *more: str) -> None:
    """Refuse a name that is no backend (nor one of `more`)."""
    allowed = (*more, *NAMES)
    if name not in allowed:
        raise ParameterError(f"backend must be one of {', '.join(allowed)}, got {name!r}")


def one_line(error: BaseException) -> str:
    """Return the kind and the first 200 characters of an error, without line breaks."""
    kind = "" if isinstance(error, _Unusable) else f"{type(error).__name__}: "
    return textwrap.shorten(f"{kind}{error}", 200, placeholder=" ...")


def probe(name: str, *, deep: bool = False) -> Probe:
    """Tell whether a backend can run here. Never raises for a backend that cannot.

    Parameters
    ----------
    name : {"numpy", "numba", "cuda", "torch"}
    deep : bool
        Import the package behind ``"numba"`` and ``"torch"`` instead of only finding it, which
        also notices a broken installation. ``"cuda"`` always runs a one-element kernel, as there
        is no other way to know; packages are imported only once all are found.

    Returns
    -------
    Probe
        Cached for the life of the process.

    Raises
    ------
    ParameterError
        `name` is no backend.
    """
    check_name(name)
    if name == "cuda":
        return _probe_cuda()
    return _probe_package(name, deep or name == "numpy")


def require(name: str) -> Probe:
    """Return the deep probe of a backend, or raise with the reason and the install line.

    Raises
    ------
    BackendUnavailable
    ParameterError
        `name` is no backend.
    """
    found = probe(name, deep=True)
    if not found.available:
        raise BackendUnavailable(
            f"backend {name!r} is not available: {found.reason}; {found.install}"
        )
    return found


def cupy_wheels() -> list[str]:
    """Return the installed CuPy distributions; more than one break each other."""
    names = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    return sorted(n for n in names if n == "cupy" or n.startswith(("cupy-cuda", "cupy-rocm")))


@cache
def _probe_package(name: str, deep: bool) -> Probe:
    if importlib.util.find_spec(name) is None:
        return Probe(name, False, f"{name} is not installed", _INSTALL[name])
    version = version_of(name)
    if deep:
        try:
            importlib.import_module(name)
        except Exception as error:
            # A package built against another NumPy fails with whatever its start-up raises.
            return Probe(
                name, False, f"import {name} fails: {one_line(error)}", _INSTALL[name], version
            )
    return Probe(name, True, f"{name} {version}", "", version)


@cache
def _probe_cuda() -> Probe:
    def no(reason: str, install: str = _INSTALL["cuda"]) -> Probe:
        return Probe("cuda", False, reason, install, version_of(wheels[0]) if wheels else "")

    wheels = cupy_wheels()
    if len(wheels) > 1:
        return no(
            f"{len(wheels)} CuPy packages are installed and overwrite each other: "
            + ", ".join(wheels),
            f"pip uninstall {' '.join(wheels)}, then {_INSTALL['cuda']}",
        )
    if importlib.util.find_spec("cupy") is None:
        return no("CuPy is not installed")
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        return no(
            "NUMBA_ENABLE_CUDASIM is set: the simulator checks kernels but cannot run models",
            "unset NUMBA_ENABLE_CUDASIM",
        )
    if not _probe_package("numba", True).available:
        return no(_probe_package("numba", True).reason, _INSTALL["numba"])
    if importlib.util.find_spec("numba.cuda") is None:
        return no("this numba has no CUDA target")
    try:
        return Probe("cuda", True, _run_one_element(), "", version_of(wheels[0]) if wheels else "")
    except Exception as error:
        # No driver, no device, a driver older than the runtime, a missing compiler library:
        # RuntimeErrors and OSErrors of several packages, none of them an ImportError.
        return no(one_line(error))


def _run_one_element() -> str:
    import cupy
    from numba import cuda

    if not cupy.cuda.is_available():
        raise _Unusable(f"CuPy {cupy.__version__} finds no CUDA device or no driver")
    if not cuda.is_available():
        raise _Unusable("numba.cuda finds no CUDA driver or no libNVVM")

    def add_one(a):
        a[0] += 1

    array = cupy.ones(1)
    kernel: Any = cuda.jit(add_one)
    kernel[1, 1](array)
    if float(array[0]) != 2.0:
        raise _Unusable("a one-element kernel gave a wrong result")
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return f"{properties['name'].decode()}, CuPy {cupy.__version__}"
