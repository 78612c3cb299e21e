"""The quick forms of the two benches run, and show what they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIMS = Path(__file__).parents[2] / "sims"

pytestmark = pytest.mark.slow


def quick(name: str) -> str:
    done = subprocess.run(
        [sys.executable, str(SIMS / name / "run.py"), "--quick"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nab_has_a_row_for_each_part_of_each_configuration(nab) -> None:
    rows = [line.split("|")[1:-1] for line in quick("htm_nab").splitlines()[2:]]
    scores = {(row[0].strip(), row[1].strip()): float(row[2]) for row in rows}
    parts = {"full", "no range rule", "no likelihood", "raw"}
    for configuration in {name for name, _ in scores}:
        assert parts <= {part for name, part in scores if name == configuration}
    alone = scores["numenta", "range rule alone"]
    assert scores["numenta", "full"] > alone > scores["numenta", "raw"]
    assert scores["numenta_tm", "range rule alone"] == alone


def test_the_network_fuses_best() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'biomem[learn]'")
    assert "the network is best" in quick("htm_fusion")
