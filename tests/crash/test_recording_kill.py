"""kill -9 while rows are being recorded."""

import random

import h5py
import numpy as np
import pytest

from biomem.engine.recording import Hdf5Recorder, Recording, Signal, select

pytestmark = pytest.mark.crash

SIGNALS = [
    Signal(name="v", axes=("batch", "unit"), shape=(1, 3), dtype="float64", dt=1e-3),
    Signal(name="deep/w", axes=("unit",), shape=(2,), dtype="i4", every=7, index=[0, 4], dt=1e-3),
    Signal(name="spike", axes=("unit",), shape=(300,), dtype="bool", every=2, tick0=3, dt=1e-3),
]


def rows(tick, n):
    t = np.arange(tick, tick + n)
    return {
        "v": t[:, None, None] * np.array([1.0, 0.5, -2.0]),
        "deep/w": (t[:, None] * np.arange(5)).astype("i4"),
        "spike": t[:, None] % (np.arange(300) + 2) == 0,
    }


def write_for_ever(path, tick, resume, n):
    recorder = Hdf5Recorder(path, SIGNALS, {"model": "m"}, resume_tick=tick if resume else None)
    while True:
        new = rows(tick, n)
        for s in SIGNALS:
            recorder.append(s.name, tick, select(s, tick, new[s.name]))
        tick += n
        recorder.commit(tick)
        print(tick, flush=True)


def ticks_in(path):
    """Check every row against what was to be recorded, and return the ticks there are."""
    with Recording.open(path) as rec:
        ticks = len(rec["v"])
        right = rows(0, ticks)
        for s in SIGNALS:
            np.testing.assert_array_equal(np.asarray(rec[s.name]), select(s, 0, right[s.name]))
        assert rec.status == f"recovered: file was not closed, {ticks} ticks"
    return ticks


def test_at_most_one_chunk_is_lost_and_the_run_goes_on(tmp_path, victims):
    path = tmp_path / "run.h5"
    rng = random.Random(8)
    tick, resume = 0, False
    for k in range(20):
        chunk = rng.choice([5, 64, 500])
        first = victims.start(str(path), tick, resume, chunk)
        said = max([first, *victims.kill(rng.random() * 0.15)])
        there = ticks_in(path)
        assert said <= there <= said + chunk
        # Go on where a checkpoint might be: at the end, or some way back.
        tick, resume = (there, k % 2 == 1) if k % 3 else (rng.randrange(there), True)
    recorder = Hdf5Recorder(path, SIGNALS, resume_tick=tick)
    recorder.close()
    rec = Recording.open(path)
    assert rec.status == "complete"
    assert len(rec["v"]) == tick


@pytest.mark.parametrize(("name", "row_bytes"), [("v", 24), ("spike", 38)])
def test_a_chunk_torn_by_the_kill_gives_its_committed_rows(tmp_path, victims, name, row_bytes):
    path = tmp_path / "run.h5"
    said = max([victims.start(str(path), 0, False, 500), *victims.kill()])
    with h5py.File(path, "r", swmr=True) as file:
        data = file[f"signals/{name}/data"]
        info = data.id.get_chunk_info(data.id.get_num_chunks() - 1)
        ticks_in(path)
        with Recording.open(path) as rec:
            rows_in_chunk = len(rec[name]) - info.chunk_offset[0]
    with path.open("r+b") as raw:
        raw.seek(info.byte_offset + rows_in_chunk * row_bytes)  # beyond the committed rows
        raw.write(b"\xff" * row_bytes)
    assert ticks_in(path) >= said


def test_readers_in_another_process_follow_a_live_recording(tmp_path, victims):
    path = tmp_path / "run.h5"
    victims.start(str(path), 0, False, 200)
    try:
        seen = []
        for _ in range(20):
            with Recording.open(path) as rec:
                assert rec.status == "live"
                v = np.asarray(rec["v"])
                seen.append(len(v))
                np.testing.assert_array_equal(v[:, 0, 0], np.arange(len(v)))
                w = np.asarray(rec["deep/w"])
                np.testing.assert_array_equal(w[:, 1], rec.tick("deep/w") * 4)
        assert seen[-1] > seen[0]
    finally:
        victims.kill()
    assert ticks_in(path) >= seen[-1]
