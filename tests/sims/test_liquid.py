"""The simulation of liquids: its quick run, its kept results, and what it would refuse."""

from __future__ import annotations

import copy
import json
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SIM = Path(__file__).parents[2] / "sims" / "liquid"
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


@pytest.mark.parametrize("name", EXPECTED)
def test_kept_results_are_as_expected(check, name):
    assert check(name, KEPT[name], EXPECTED[name]) == []


def test_what_falls_short_is_named(check):
    order = copy.deepcopy(KEPT["order"])
    order["runs"][1]["counts"] = 0.5
    order["raw"]["counts"] = 0.7
    assert len(check("order", order, EXPECTED["order"])) == 2
    memory = {"reservoirs": {"delay line": {"capacity": 20.0, "bound": 40}}}
    assert check("memory", memory, EXPECTED["memory"]) == ["memory: delay line has 20.0 of 40"]
    edge = KEPT["edge"] | {"branching_at_peak": 0.3, "branching_at_chaos": None}
    assert len(check("edge", edge, EXPECTED["edge"])) == 2
