"""Fixtures and rules that all tests share."""

from __future__ import annotations

import functools
import importlib.util
import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# Through the environment, so that child processes draw without a display as well.
os.environ["MPLBACKEND"] = "Agg"

# Timing rules are off: a first example compiles kernels, and the cores are shared. In CI the
# examples are the same in every run, so a red build is always the change's own.
_RULES = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("biomem", **_RULES)
hypothesis.settings.register_profile("ci", derandomize=True, database=None, **_RULES)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "biomem")


@functools.cache
def _missing_extra(marker: str) -> str | None:
    """Say why tests with `marker` cannot run here, or return None."""
    if marker in ("torch", "brian2") and importlib.util.find_spec(marker) is None:
        return f"needs {marker}: pip install -c constraints.txt -e '.[{marker}]'"
    if marker == "gpu":
        if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
            return "needs a GPU, and NUMBA_ENABLE_CUDASIM replaces it by the simulator; unset it"
        from numba import cuda

        if not cuda.is_available():
            return (
                "needs an NVIDIA GPU with its driver: pip install -c constraints.txt -e '.[cuda13]'"
            )
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this environment cannot run, with the line that would change it."""
    for marker in item.iter_markers():
        reason = _missing_extra(marker.name)
        if reason:
            pytest.skip(reason)


@pytest.fixture(scope="session")
def nab() -> Path:
    """Folder of the Numenta Anomaly Benchmark: ``data``, ``labels``, ``config``, ``results``."""
    root = os.environ.get("BIOMEM_DATA")
    if not root:
        pytest.skip("needs the NAB corpus: set BIOMEM_DATA to a folder that holds nab/")
    folder = Path(root) / "nab"
    if not folder.is_dir():
        pytest.skip(f"needs the NAB corpus: BIOMEM_DATA is {root}, which holds no nab/")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the golden vectors; BIOMEM_GOLDEN puts another set in its place."""
    return Path(os.environ.get("BIOMEM_GOLDEN") or Path(__file__).parent / "golden")


@pytest.fixture
def seed() -> int:
    """Seed for a model or a simulator, the same in every run."""
    return 20240601


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Generator for test inputs, fresh in every test."""
    return np.random.default_rng(seed)
