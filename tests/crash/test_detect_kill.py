"""kill -9 at random moments of ``biomem detect``, resumed by the same command each time."""

from __future__ import annotations

import io
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest

from biomem.cli import main
from biomem.stream.detect import detect

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


def load_kernels():
    source = io.BytesIO(b"time,value\n2024-05-01,1\n")
    with tempfile.TemporaryDirectory() as folder:
        detect(source, folder, plot=False)


if __name__ == "<run_path>":
    # The process that the victims are forked from: what it has loaded, they need not.
    load_kernels()


@pytest.fixture(scope="module")
def buffered():
    """Lines of several processes on one pipe stay whole only if each is written at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONUNBUFFERED", raising=False)
        yield


@pytest.fixture(scope="module")
def victims(buffered, victims):
    return victims


@pytest.fixture
def whole(tmp_path):
    """Scores of an uninterrupted run, and how long it took; its last line has no line break."""
    lines = SOURCE.read_text().splitlines(keepends=True)
    (tmp_path / "taxi.csv").write_text("".join(lines[: RECORDS + 1]).rstrip("\n"))
    load_kernels()
    start = time.perf_counter()
    assert main(command(tmp_path, "whole.csv")) == 0
    seconds = time.perf_counter() - start
    (tmp_path / "ck").unlink()
    content = (tmp_path / "whole.csv").read_bytes()
    assert content.count(b"\n") == RECORDS + 1
    return content, seconds


def killed_and_resumed(tmp_path, victims, whole, kills, seed):
    """Return the lengths of the score file that the kills left."""
    rng = random.Random(seed)
    content, seconds = whole
    out = tmp_path / "out.csv"
    cuts = []
    for kill in range(1, kills + 1):
        victims.start(str(tmp_path), "out.csv")
        victims.kill(rng.uniform(0, 0.7 * seconds))
        written = out.read_bytes() if out.exists() else b""
        assert content.startswith(written)
        cuts.append(len(written))
        if len(written) == len(content) or kill % 5 == 0:
            assert main(command(tmp_path, "out.csv")) == 0
            assert out.read_bytes() == content
            (tmp_path / "ck").unlink()
            out.unlink()
    return cuts


def test_five_kills(tmp_path, victims, whole):
    assert any(killed_and_resumed(tmp_path, victims, whole, 5, seed=1))


@pytest.mark.slow
def test_twenty_five_kills(tmp_path, victims, whole):
    cuts = killed_and_resumed(tmp_path, victims, whole, 25, seed=2)
    assert len({*cuts}) >= 8
