"""Damaged files: a clean error or the same content, never a silent difference."""

import random

import numpy as np
import pytest

from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.errors import CorruptFileError

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A checkpoint like a small detector's: pools, counters, flags, scalars, empty fields."""
    rng = np.random.default_rng(5)
    arrays = {
        "state/sp/permanences": rng.random((1, 256, 64), dtype=np.float32),
        "state/sp/duty": rng.random((1, 256)),
        "state/tm/segments": rng.integers(-1, 999, (1, 500, 8), dtype=np.int32),
        "state/tm/n": np.array([17], np.int64),
        "state/tm/active": rng.random((1, 2048)) < 0.02,
        "state/key": np.uint64(2**63 + 1),
        "state/none": np.zeros((0, 4), np.float32),
        "weights/w": rng.random((10, 10)),
    }
    path = tmp_path_factory.mktemp("damage") / "a.ckpt"
    write_checkpoint(path, {"tick": 12345, "params": {"n": 256}}, arrays)
    return path.read_bytes()


def outcome(path, data):
    path.write_bytes(data)
    try:
        return read_checkpoint(path)
    except CorruptFileError as exc:
        said = str(exc)
    assert str(path) in said
    assert "\n" not in said
    return None


def test_every_single_bit_flip_is_noticed(written, tmp_path):
    rng = random.Random(1)
    everywhere = [rng.randrange(8 * len(written)) for _ in range(200)]
    user_block = rng.sample(range(8 * 512), 300)
    for bit in everywhere + user_block:
        data = bytearray(written)
        data[bit // 8] ^= 1 << bit % 8
        assert outcome(tmp_path / "b.ckpt", data) is None, bit


def test_every_truncation_and_extension_is_noticed(written, tmp_path):
    rng = random.Random(2)
    lengths = [0, 1, 21, 22, 40, 71, 72, 511, 512, 513, len(written) - 1]
    for n in lengths + [rng.randrange(len(written)) for _ in range(50)]:
        assert outcome(tmp_path / "b.ckpt", written[:n]) is None, n
    assert outcome(tmp_path / "b.ckpt", written + b"\0") is None


def test_overwritten_stretches_are_noticed(written, tmp_path):
    rng = random.Random(3)
    for _ in range(50):
        at, length = rng.randrange(len(written)), rng.randrange(1, 5000)
        data = bytearray(written)
        data[at : at + length] = rng.randbytes(len(data[at : at + length]))
        assert bytes(data) == written or outcome(tmp_path / "b.ckpt", data) is None


def test_the_undamaged_file_is_read(written, tmp_path):
    read = outcome(tmp_path / "b.ckpt", written)
    assert read is not None
    assert read.header["tick"] == 12345
    assert read.arrays["state/key"] == np.uint64(2**63 + 1)
