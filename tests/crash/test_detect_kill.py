"""kill -9 at random moments of ``biomem detect``, resumed by the same command each time."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from biomem.cli import main

pytestmark = pytest.mark.crash

SOURCE = Path(__file__).parents[2] / "examples" / "data" / "nyc_taxi.csv"
RECORDS = 2500


def command(folder, out):
    files = [str(folder / "taxi.csv"), "-o", str(folder / out), "--resume", str(folder / "ck")]
    return ["detect", *files, "--save-every", "120", "--no-plot", "--quiet"]


def write_for_ever(folder, out):
    print(0, flush=True)
    assert main(command(Path(folder), out)) == 0
    print(1, flush=True)
    signal.pause()


if __name__ == "<run_path>":
    # The process that the victims are forked from: what it has loaded, they need not.
    from biomem.models.htm.detector.cpu import scan as scan


@pytest.fixture
def whole(tmp_path):
    """Scores of an uninterrupted run; its last line has no line break."""
    lines = SOURCE.read_text().splitlines(keepends=True)
    (tmp_path / "taxi.csv").write_text("".join(lines[: RECORDS + 1]).rstrip("\n"))
    assert main(command(tmp_path, "whole.csv")) == 0
    (tmp_path / "ck").unlink()
    content = (tmp_path / "whole.csv").read_bytes()
    assert content.count(b"\n") == RECORDS + 1
    return content


def killed_and_resumed(tmp_path, victims, whole, kills, seed):
    rng = random.Random(seed)
    out = tmp_path / "out.csv"
    cuts = set()
    while kills:
        # Some kills strike right away, some after several commits; then a run may be complete.
        victims.start(str(tmp_path), "out.csv")
        victims.kill(rng.uniform(0, 0.2 + 1.0 * (rng.random() < 0.5)))
        kills -= 1
        written = out.read_bytes() if out.exists() else b""
        assert whole.startswith(written)
        cuts.add(len(written))
        if len(written) == len(whole) or not kills:
            assert main(command(tmp_path, "out.csv")) == 0
            assert out.read_bytes() == whole
            (tmp_path / "ck").unlink()
            out.unlink()
    return cuts


def test_five_kills(tmp_path, victims, whole):
    killed_and_resumed(tmp_path, victims, whole, 5, seed=1)


@pytest.mark.slow
def test_twenty_five_kills(tmp_path, victims, whole):
    cuts = killed_and_resumed(tmp_path, victims, whole, 25, seed=2)
    assert len(cuts) >= 5
