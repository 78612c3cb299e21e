"""The numba.cuda functions in the simulator; tests/backends/test_cuda.py adds seeded cases."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from numba import cuda
from biomem.engine import random, random_cuda

@cuda.jit
def convert(words, n, single, double, index):
    for i in range(cuda.grid(1), words.shape[0], cuda.gridsize(1)):
        single[i] = random_cuda.uniform32(words[i, 0])
        double[i] = random_cuda.uniform64(words[i, 0], words[i, 1])
        index[i] = random_cuda.below(words[i, 0], n[i])

top = 2**32 - 1
for key, stream, first, batch, tick, answer in (
    (0, 0, 0, 0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    (2**64 - 1, 2**16 - 1, top, top, 2**48 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (0x299F31D0A4093822, 0x0370, 0x243F6A88, 0x85A308D3, 0x734413198A2E,
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
):
    out = np.zeros((1, 4), np.uint32)
    random_cuda.philox_words[1, 1](np.uint64(key), stream, first, batch, tick, out)
    assert " ".join(f"{w:08x}" for w in out[0]) == answer, (key, out)

w = random.words(3, 0, np.arange(60))
w[0], w[1] = 0, top
n = np.linspace(1, 2**32, 60).astype(np.int64)
single, double, index = np.zeros(60, np.float32), np.zeros(60), np.zeros(60, np.int64)
convert[2, 8](w, n, single, double, index)
assert np.array_equal(single, random.uniform32(w[:, 0]))
assert np.array_equal(double, random.uniform64(w[:, 0], w[:, 1]))
assert np.array_equal(index, random.below(w[:, 0], n))
print("equal")
"""


@pytest.mark.cuda_sim
def test_known_answers_and_conversions_in_the_simulator() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "equal"
