"""Winners of many streams, as the host asks for them: in the simulator, against the reference.

tests/backends/test_cuda.py runs each kernel's own cases, and compiles it to PTX.
"""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from biomem.engine.random import Rng
from biomem.models.htm.spatial_pooler import SpatialPooler, SpatialPoolerParams
from biomem.models.htm.spatial_pooler import cuda, model

cuda.THREADS = 8  # the simulator runs each in Python
draw = np.random.default_rng(0)
for stimulus, shared in ((0, False), (2, False), (0, True)):
    p = SpatialPoolerParams.nab(
        (30,), column_shape=(50,), n_active=6, stimulus_threshold=stimulus, potential_pct=0.4
    )
    pooler = SpatialPooler(p)
    states = [pooler.init_state(1, Rng(0 if shared else b)) for b in range(3)]
    connected = np.stack([s.connected for s in states[: 1 if shared else 3]])
    counts = np.array([0, 4, 9], np.int32)
    inputs = np.stack([np.sort(draw.permutation(30)[:9]) for _ in range(3)]).astype(np.int32)
    columns, n = cuda.winners(connected, inputs, counts, 6, stimulus)
    for b in range(3):
        bits = inputs[b, : counts[b]]
        keys = model.boosted(model.overlap(states[b].connected, bits), states[b].boost, p)
        want = model.inhibit(keys, 0, p)
        assert n[b] == len(want)
        assert np.array_equal(columns[b, : n[b]], want), (b, columns[b], want)
        assert (columns[b, n[b] :] == -1).all()
print("equal")
"""


@pytest.mark.cuda_sim
def test_winners_equal_the_reference_in_the_simulator():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:.*rid size", "-c", SCRIPT],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "equal"
