"""The page on training shows what runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch", reason="needs the torch extra")

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_page_on_training_trains_a_network(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stopped: accuracy reached" in done.stdout
    assert float(done.stdout.split()[-1]) > 0.97
    assert (tmp_path / "parity.h5").is_file()


def test_without_torch_the_error_says_what_to_install():
    code = "import sys; sys.modules['torch'] = None\nimport biomem.train"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BackendUnavailable: backend 'torch' is not available" in done.stderr
    assert 'pip install "biomem[torch]"' in done.stderr
