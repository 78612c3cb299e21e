"""What `biomem doctor` prints: the facts about this machine that explain most reports."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from biomem.backends.cuda import compiler
from biomem.backends.probing import NAMES, cupy_wheels, probe, version_of

__all__ = ["Finding", "doctor_report"]

_REQUIRED = ("numpy", "scipy", "numba", "h5py", "array-api-compat", "matplotlib", "cyclopts")
_OPTIONAL = ("torch", "snntorch", "brian2", "numba-cuda", "nir", "xarray", "pandas")
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve")


class Finding(NamedTuple):
    """One line of the report; `hint` says what to do and is empty when there is nothing to do."""

    item: str
    value: str
    ok: bool = True
    hint: str = ""


def doctor_report() -> list[Finding]:
    """Examine this machine; imports numba, and CuPy and torch where they are installed.

    Returns
    -------
    list of Finding
        ``ok`` is False for what is broken or required and missing; an optional package that is
        simply absent is ok.
    """
    return [
        *_versions(),
        *_broken_pairs(),
        *_processor(),
        *_backends(),
        _ptx(),
        _numba_cache(),
    ]


def _versions() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("platform", platform.platform())
    yield Finding("biomem", version_of("biomem") or "a checkout, not installed")
    for package in _REQUIRED:
        version = version_of(package)
        yield Finding(
            package,
            version or "missing",
            bool(version),
            "" if version else f"pip install {package}",
        )
    for package in _OPTIONAL:
        yield Finding(package, version_of(package) or "not installed (optional)")
    yield Finding(
        "cupy",
        ", ".join(f"{w} {version_of(w)}" for w in cupy_wheels()) or "not installed (optional)",
    )


def _broken_pairs() -> Iterator[Finding]:
    brian2, numpy = version_of("brian2"), version_of("numpy")
    if brian2 and _release(brian2) < (2, 10) and _release(numpy) >= (2, 4):
        yield Finding(
            "brian2 + numpy",
            f"brian2 {brian2} does not import with numpy {numpy}",
            False,
            'pip install "numpy<2.4"',
        )
    wheels = cupy_wheels()
    if len(wheels) > 1:
        yield Finding(
            "cupy + cupy",
            f"{' and '.join(wheels)} overwrite each other",
            False,
            f"pip uninstall {' '.join(wheels)}, then install one of them",
        )


def _processor() -> Iterator[Finding]:
    try:
        import llvmlite.binding as llvm

        found = llvm.get_host_cpu_features()
        names = [f for f in _FEATURES if found.get(f)]
        cpu = f"{_cpu_name()} (LLVM: {llvm.get_host_cpu_name()}; {' '.join(names) or 'baseline'})"
    except Exception:
        # llvmlite is part of numba; that it is broken is reported by the numba line.
        cpu = _cpu_name()
    yield Finding("cpu", cpu)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [f"{name}={os.environ[name]}" for name in _THREADS if name in os.environ]
    yield Finding("threads", f"{usable} cores usable; {', '.join(limits) or 'no limit set'}")


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()


def _backends() -> Iterator[Finding]:
    for name in NAMES:
        found = probe(name, deep=True)
        needed = name in ("numpy", "numba")
        value = found.reason if found.available else f"no: {found.reason}"
        yield Finding(f"backend {name}", value, found.available or not needed, found.install)


def _ptx() -> Finding:
    found = compiler()
    value = found.reason if found.available else f"no (only for developing kernels): {found.reason}"
    return Finding("ptx compiler", value, True, found.install)


def _numba_cache() -> Finding:
    """Where numba keeps compiled kernels; without such a place every process compiles anew."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    package = Path(__file__).resolve().parents[1]
    hint = "set NUMBA_CACHE_DIR to a writable folder, or every start compiles for tens of seconds"
    if chosen:
        ok = _writable(Path(chosen))
        return Finding("numba cache", f"{chosen} (NUMBA_CACHE_DIR)", ok, "" if ok else hint)
    if _writable(package):
        return Finding("numba cache", f"{package}, beside the modules")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    ok = _writable(home)
    return Finding(
        "numba cache", f"{home if ok else 'none'}; {package} is read-only", ok, "" if ok else hint
    )


def _writable(folder: Path) -> bool:
    """Try it, in the nearest folder that exists: permission bits do not tell of a full disk."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
