"""kill -9 at random moments of ``biomem drift``, resumed by the same command each time."""

from __future__ import annotations

import io
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest

from biomem.cli import main
from biomem.stream.drift import DriftOptions, drift

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SOURCE = Path(__file__).parents[2] / "examples" / "data" / "nyc_taxi.csv"
RECORDS = 2500


def command(folder, out):
    files = [str(folder / "taxi.csv"), "-o", str(folder / out), "--resume", str(folder / "ck")]
    test = ["--baseline", "200", "--probation", "300", "--false-alarm-every", "500"]
    test += ["--signal", "raw", "--test", "mean", "--side", "both", "--shift", "0.3"]
    return ["drift", *files, "--save-every", "120", "--no-plot", "--quiet", *test]


def write_for_ever(folder, out):
    print(0, flush=True)
    assert main(command(Path(folder), out)) == 0
    print(1, flush=True)
    signal.pause()


def load_kernels():
    source = io.BytesIO(b"time,value\n2024-05-01,1\n")
    with tempfile.TemporaryDirectory() as folder:
        drift(source, folder, DriftOptions(probation=1), plot=False)


if __name__ == "<run_path>":
    # The process that the victims are forked from: what it has loaded, they need not.
    load_kernels()


def files(folder, name):
    paths = folder / f"{name}.csv", folder / f"{name}.events.csv"
    return tuple(path.read_bytes() if path.exists() else b"" for path in paths)


def test_twenty_five_kills(tmp_path, victims):
    lines = SOURCE.read_text().splitlines(keepends=True)
    (tmp_path / "taxi.csv").write_text("".join(lines[: RECORDS + 1]).rstrip("\n"))
    load_kernels()
    start = time.perf_counter()
    assert main(command(tmp_path, "whole.csv")) == 0
    seconds = time.perf_counter() - start
    (tmp_path / "ck").unlink()
    whole = files(tmp_path, "whole")
    assert whole[0].count(b"\n") == RECORDS + 1
    assert whole[1].count(b"\n") > 1
    rng, cuts = random.Random(3), set()
    for kill in range(1, 26):
        victims.start(str(tmp_path), "out.csv")
        victims.kill(rng.uniform(0, 0.8 * seconds))
        written = files(tmp_path, "out")[0]
        assert whole[0].startswith(written)
        cuts.add(len(written))
        if kill % 5 == 0:
            assert main(command(tmp_path, "out.csv")) == 0
            assert files(tmp_path, "out") == whole
            for name in ("ck", "out.csv", "out.events.csv"):
                (tmp_path / name).unlink()
    assert len(cuts) >= 6
