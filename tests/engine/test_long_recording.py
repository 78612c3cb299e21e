"""Ten million ticks to disk through the engine, in memory that does not grow."""

import subprocess
import sys

from biomem.engine.recording import Recording

SCRIPT = """
import sys
import numpy as np, psutil
from biomem import Simulator
from biomem.testing import LeakyIntegrator

process, xs = psutil.Process(), np.ones((100_000, 2))
sim = Simulator(LeakyIntegrator(n_units=2, sigma=0.1), progress=False)
sim.record("v", to=sys.argv[1])
sim.run(xs)
before = process.memory_info().rss
for _ in range(99):
    sim.run(xs)
sim.close()
print(sim.tick, process.memory_info().rss - before)
"""


def test_ten_million_ticks_grow_memory_by_less_than_32_mib(tmp_path) -> None:
    path = tmp_path / "long.h5"
    child = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True
    )
    ticks, growth = map(int, child.stdout.split())
    assert ticks == 10_000_000
    assert growth < 32 << 20
    with Recording.open(path) as recording:
        assert recording["v"].shape == (10_000_000, 1, 2)
