"""Probes tell the truth, stay light, and never raise for what is merely absent."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biomem import backends
from biomem.backends import probing
from biomem.errors import BackendUnavailable, ParameterError


@pytest.fixture
def fresh(monkeypatch):
    """Empty the caches before and after, as a test pretends another machine."""

    def clear() -> None:
        probing._probe_package.cache_clear()
        probing._probe_cuda.cache_clear()

    clear()
    yield monkeypatch
    monkeypatch.undo()
    clear()


def hide(monkeypatch, *packages: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in packages else find(name, *a)
    )


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_required_backends_are_there(name: str) -> None:
    found = backends.probe(name, deep=True)
    assert found.available
    assert found.version
    assert found.install == ""
    assert backends.require(name) == found


@pytest.mark.parametrize("name", backends.NAMES)
def test_an_answer_is_complete(name: str) -> None:
    found = backends.probe(name)
    assert found.name == name
    assert found.reason
    assert "\n" not in found.reason
    assert bool(found.install) is not found.available
    assert backends.probe(name) is found


def test_an_absent_package_is_named_with_its_install_line(fresh) -> None:
    hide(fresh, "torch")
    found = backends.probe("torch")
    assert not found.available
    assert found.reason == "torch is not installed"
    with pytest.raises(
        BackendUnavailable, match=r'torch is not installed; pip install "biomem\[torch\]"'
    ):
        backends.require("torch")


def test_a_broken_package_is_noticed_when_asked_deep(fresh, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('built for\\nanother NumPy')")
    fresh.syspath_prepend(tmp_path)
    fresh.delitem(sys.modules, "torch", raising=False)
    assert backends.probe("torch").available, "finding it is all a shallow probe does"
    found = backends.probe("torch", deep=True)
    assert not found.available
    assert found.reason == "import torch fails: ImportError: built for another NumPy"


def test_cuda_without_cupy_imports_nothing(fresh) -> None:
    hide(fresh, "cupy")
    fresh.setattr(probing, "_run_one_element", lambda: pytest.fail("must not be asked"))
    assert backends.probe("cuda").reason == "CuPy is not installed"


def test_cuda_in_the_simulator_is_refused(fresh) -> None:
    fresh.setattr(probing, "cupy_wheels", lambda: [])
    fresh.setattr(importlib.util, "find_spec", lambda name: object())
    fresh.setenv("NUMBA_ENABLE_CUDASIM", "1")
    found = backends.probe("cuda")
    assert not found.available
    assert "NUMBA_ENABLE_CUDASIM" in found.install


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cudaErrorInsufficientDriver: driver too old"),
        OSError("libnvvm.so: cannot open"),
        probing._Unusable("CuPy 14 finds no CUDA device or no driver"),
    ],
)
def test_a_failing_gpu_is_a_reason_not_an_exception(fresh, error: Exception) -> None:
    def fail() -> str:
        raise error

    fresh.setattr(probing, "cupy_wheels", lambda: ["cupy-cuda13x"])
    fresh.setattr(importlib.util, "find_spec", lambda name: object())
    fresh.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    fresh.setattr(probing, "_run_one_element", fail)
    found = backends.probe("cuda")
    assert not found.available
    assert str(error) in found.reason
    assert "biomem[cuda12]" in found.install


def test_two_cupy_wheels_are_reported(fresh) -> None:
    fresh.setattr(probing, "cupy_wheels", lambda: ["cupy-cuda12x", "cupy-cuda13x"])
    found = backends.probe("cuda")
    assert not found.available
    assert "cupy-cuda12x, cupy-cuda13x" in found.reason
    assert found.install.startswith("pip uninstall cupy-cuda12x cupy-cuda13x")


def test_cupy_wheels_are_read_from_metadata(tmp_path: Path, monkeypatch) -> None:
    for name in ("cupy_cuda13x", "cupy_cuda12x", "cupyish"):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert probing.cupy_wheels() == ["cupy-cuda12x", "cupy-cuda13x"]


@pytest.mark.parametrize("name", ["gpu", "auto", "", "NumPy"])
def test_an_unknown_backend_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="backend must be one of numpy, numba, cuda, torch"):
        backends.probe(name)


def test_importing_and_asking_stays_light() -> None:
    code = """
import sys
import numpy as np
from biomem import backends
backends.probe("torch"), backends.probe("numba"), backends.namespace(np.zeros(1))
backends.to_numpy(np.zeros(1))
heavy = {"numba", "torch", "cupy", "llvmlite", "brian2", "matplotlib", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=dict(os.environ))
