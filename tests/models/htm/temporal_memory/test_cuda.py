"""Dendrites of many streams that have learned: in the simulator, against the reference.

tests/backends/test_cuda.py runs each kernel's own cases, and compiles it to PTX.
"""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from biomem.models.htm.temporal_memory import TemporalMemoryParams, cuda, model

cuda.THREADS = 16  # the simulator runs each in Python
p = TemporalMemoryParams(
    n_columns=20, cells_per_column=3, activation_threshold=3, min_threshold=2,
    max_new_synapses=4, max_synapses_per_segment=5, max_segments=64, initial_permanence=0.45,
    permanence_inc=0.2,
)
states = []
for seed in range(3):
    draw = np.random.default_rng(seed)
    cycle = [np.sort(draw.permutation(20)[:5]) for _ in range(4)]
    state = model.init_state(p)
    for tick in range(18 + seed):
        state, _ = model.advance(p, state, cycle[tick % 4], tick)
    states.append((state, cycle[tick % 4 - 3]))

most = max(s.active_cells.size for s, _ in states) + 2
cells = np.full((3, most), -1, np.int32)
for row, (state, _) in zip(cells, states):
    row[: state.active_cells.size] = state.active_cells
rows = [np.stack([getattr(s, f) for s, _ in states]) for f in ("seg_cell", "syn_pre", "syn_perm")]
got = cuda.dendrites(p, cells, *rows)
columns = np.stack([c for _, c in states]).astype(np.int32)
missed = np.zeros(3, np.int32)
cuda.tm_missed[1, 4](columns, got.predicted, missed)
responded = 0
for b, (state, following) in enumerate(states):
    want = model.activate_dendrites(p, state)
    assert np.array_equal(got.overlap[b] & 0xFFFF, want.potential)
    assert np.array_equal(got.overlap[b] >> 16, want.connected)
    assert set(np.flatnonzero(got.segments[b])) == set(want.matching)
    assert set(np.flatnonzero(got.segments[b] == 2)) == set(want.active)
    predicted = model.predicted_columns(p, state)
    assert np.array_equal(np.flatnonzero(got.predicted[b]), predicted)
    assert missed[b] / 5 == model.advance(p, state, following, 99)[1]
    responded += len(want.active)
assert responded > 0
print("equal")
"""


@pytest.mark.cuda_sim
def test_dendrites_equal_the_reference_in_the_simulator():
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
