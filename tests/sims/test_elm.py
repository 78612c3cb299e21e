"""The simulation of the ELM: its quick run, its kept results, and what it would refuse."""

from __future__ import annotations

import copy
import json
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

SIM = Path(__file__).parents[2] / "sims" / "elm"
EXPECTED = tomllib.loads((SIM / "expected.toml").read_text())
KEPT = {path.stem: json.loads(path.read_text()) for path in (SIM / "results").glob("*.json")}


@pytest.fixture
def check():
    return runpy.run_path(str(SIM / "run.py"))["check"]


@pytest.mark.slow
def test_quick_run_is_as_expected():
    command = [sys.executable, str(SIM / "run.py"), "--quick"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("as expected\n")


def test_kept_results_are_as_expected(check):
    assert check(KEPT, EXPECTED) == []


def test_a_model_that_beats_the_elm_is_named(check):
    results = copy.deepcopy(KEPT)
    results["lstm"]["runs"][1]["test_accuracy"] = 1.0
    [failure] = check(results, EXPECTED)
    assert failure == "seed 1: the ELM does not beat lstm"
    results["lstm"]["parameters"] = 10
    assert len(check(results, EXPECTED)) == 2


def test_an_elm_that_learns_nothing_is_named(check):
    results = copy.deepcopy(KEPT)
    results["elm"]["runs"][0]["test_accuracy"] = 0.05
    assert any(line.startswith("elm: accuracy 0.05") for line in check(results, EXPECTED))
