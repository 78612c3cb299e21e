"""The simulation of the wave network: its quick run, its kept results, and what it would refuse."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

SIM = Path(__file__).parents[2] / "sims" / "wave_rnn"
EXPECTED = tomllib.loads((SIM / "expected.toml").read_text())
KEPT = sorted((SIM / "results").glob("*.json"))


@pytest.fixture
def check(monkeypatch):
    monkeypatch.syspath_prepend(str(SIM))
    yield runpy.run_path(str(SIM / "run.py"))["check"]
    for name in ("digits", "memory_tasks", "waves"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_quick_run_is_as_expected():
    command = [sys.executable, str(SIM / "run.py"), "--quick"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("as expected\n")


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_kept_results_are_as_expected(check, path):
    assert check(path.stem, json.loads(path.read_text()), EXPECTED[path.stem]) == []


def test_what_falls_short_is_named(check):
    wave = {"network": "wave", "seed": 3, "solved_at": 150, "test": {"recall": 1.0}}
    irnn = {"network": "irnn", "seed": 3, "solved_at": None, "test": {"recall": 0.2}}
    want = EXPECTED["copy_30"]
    assert check("copy_30", {"runs": [wave, irnn]}, want) == []
    late, never = wave | {"solved_at": 201}, wave | {"solved_at": None}
    forgot = wave | {"test": {"recall": 0.9}}
    learned = irnn | {"test": {"recall": 0.6}}
    for run in (late, never, forgot, learned):
        [failure] = check("copy_30", {"runs": [run]}, want)
        assert failure.startswith("copy_30, seed 3: ")
    [failure] = check("smnist", {"test_accuracy": 0.1}, EXPECTED["smnist"])
    assert failure == "smnist: accuracy 0.1"
