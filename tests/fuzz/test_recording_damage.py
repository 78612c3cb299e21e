"""Damaged recordings: a clean error, or what was recorded, never another number."""

import random

import numpy as np
import pytest

from biomem.engine.recording import Hdf5Recorder, Recording, Signal
from biomem.errors import CorruptFileError

pytestmark = pytest.mark.crash

N = 400


def expected():
    ticks = np.arange(N)
    return {"v": np.stack([ticks, -ticks], -1) * 0.5, "s": ticks[::5] % 3 == 0}


@pytest.fixture(scope="module", params=["closed", "killed"])
def written(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "a.h5"
    signals = [
        Signal(name="v", axes=("unit",), shape=(2,), dtype="f8", unit="V", dt=0.1, index=[3, 4]),
        Signal(name="s", axes=(), shape=(), dtype="bool", every=5, dt=0.1),
    ]
    recorder = Hdf5Recorder(path, signals, {"model": "m"})
    for name, rows in expected().items():
        recorder.append(name, 0, rows)
    recorder.commit(N)
    if request.param == "killed":
        left = path.read_bytes()  # as a kill at this point leaves it
        recorder.close()
        return left
    recorder.close()
    return path.read_bytes()


def content(path):
    """Return all that a reader takes from a file, None when it is refused."""
    try:
        with Recording.open(path) as rec:
            about = [
                (s.name, s.axes, s.unit, s.every, s.tick0, s.dt, str(s.index))
                for s in rec.signals.values()
            ]
            values = {name: np.asarray(rec[name]).tobytes() for name in rec}
            # The status is left out: a damaged file may pass as one that was not closed.
            return about, values, dict(rec.metadata)
    except CorruptFileError as exc:
        said = str(exc)
    assert str(path) in said
    assert "\n" not in said
    return None


def test_every_single_bit_flip_is_noticed_or_harmless(written, tmp_path):
    path = tmp_path / "b.h5"
    path.write_bytes(written)
    right = content(path)
    assert right is not None
    used = [i for i, byte in enumerate(written) if byte]
    rng = random.Random(4)
    refused = 0
    for k in range(200):
        # Half of the flips hit what holds something, since most of a small file is padding.
        at = rng.choice(used) if k % 2 else rng.randrange(len(written))
        data = bytearray(written)
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        found = content(path)
        refused += found is None
        assert found in (None, right), (at, written[at], data[at])
    assert refused > 50


def test_truncations_are_noticed(written, tmp_path):
    path = tmp_path / "b.h5"
    path.write_bytes(written)
    right = content(path)
    rng = random.Random(6)
    for n in [0, 1, 8, 48, len(written) - 1] + [rng.randrange(len(written)) for _ in range(40)]:
        path.write_bytes(written[:n])
        assert content(path) in (None, right), n
