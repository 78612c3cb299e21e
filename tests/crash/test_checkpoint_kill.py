"""kill -9 while checkpoints are being written."""

import os
import random

import numpy as np
import pytest

from biomem.engine.checkpoint import read_checkpoint, write_checkpoint

pytestmark = pytest.mark.crash


def write_for_ever(path, n):
    while True:
        n += 1
        v = np.full(40_000, n, "f8")
        write_checkpoint(path, {"n": n}, {"state/v": v}, keep_previous=True)
        print(n, flush=True)


def whole(path):
    read = read_checkpoint(path)
    assert (read.arrays["state/v"] == read.header["n"]).all()
    return read.header["n"]


def test_a_readable_checkpoint_survives_every_kill(tmp_path, victims):
    path = tmp_path / "a.ckpt"
    write_checkpoint(path, {"n": 0}, {"state/v": np.zeros(40_000)})
    rng = random.Random(7)
    n = 0
    for _ in range(25):
        first = victims.start(str(path), n)
        assert first == n + 1
        said = max([first, *victims.kill(rng.random() * 0.02)])
        n = whole(path)
        assert n in (said, said + 1)
        assert whole(f"{path}.prev") in (n - 1, n)
    # The two, and of the last victim perhaps its temporary file and a second link.
    assert len(os.listdir(tmp_path)) <= 4
