"""What the documents show is run: the README's Python, and every script in the examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "examples").symlink_to(ROOT / "examples")
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_readme_finds_christmas_and_the_snow_storm(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    done = run_in(tmp_path, "-c", "\n".join(blocks))
    assert done.returncode == 0, done.stderr
    assert "2014-12-25" in done.stdout
    assert "2015-01-27" in done.stdout
    assert (tmp_path / "taxi.h5").is_file()


@pytest.mark.parametrize("page", ["events", "liquid", "spiking"])
def test_the_code_of_each_guide_runs(page, tmp_path):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    done = run_in(tmp_path, "-c", "\n".join(blocks))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", [p.name for p in sorted((ROOT / "examples").glob("*.py"))])
def test_each_example_runs(script, tmp_path):
    done = run_in(tmp_path, f"examples/{script}")
    assert done.returncode == 0, done.stderr
