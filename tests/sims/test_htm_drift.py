"""The change-point bench runs, resumes, and shows what it should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "sims" / "htm_drift" / "run.py"


def run(out: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_quick_run_is_resumed_without_computing_anything_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    cells = {p: p.stat().st_mtime_ns for p in (tmp_path / "quick").glob("*.json")}
    assert len(cells) == 5 * 5
    gone = tmp_path / "quick" / "monitor_both--variance_2.json"
    found = json.loads(gone.read_text())
    gone.unlink()
    second = run(tmp_path)
    again = {p: p.stat().st_mtime_ns for p in (tmp_path / "quick").glob("*.json")}
    assert {p for p in again if again[p] != cells[p]} == {gone}
    redone = json.loads(gone.read_text())
    timed = "us per record"
    assert {k: v for k, v in redone.items() if k != timed} == {
        k: v for k, v in found.items() if k != timed
    }
    assert second.partition("CPU time")[0] == first.partition("CPU time")[0]

    def cell(method: str, case: str) -> dict:
        return json.loads((tmp_path / "quick" / f"{method}--{case}.json").read_text())

    alarms = "false alarms per 10 000"
    assert (
        cell("monitor_both", "periodic")[alarms] < 2 < 20 < cell("ks_rolling", "periodic")[alarms]
    )
    assert cell("monitor_both", "mean_1")["within 100"] > 0.9
