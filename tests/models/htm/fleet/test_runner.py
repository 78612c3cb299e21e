"""A running fleet: independence of its streams, checkpoints, limits, refusals."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from biomem import Simulator
from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.engine.model import fields_of, flatten
from biomem.errors import CheckpointMismatch, CorruptFileError, InputError, ParameterError
from biomem.models.htm.fleet import HTMFleet, HTMFleetModel, HTMFleetParams, HTMFleetState

LIGHT = HTMFleetParams.light(0.0, 100.0, probation=20)


def wave(n, t, seed=0):
    phase = np.arange(n) * 1.7
    noise = np.random.default_rng([seed, t]).normal(0, 2, n)
    return 50 + 40 * np.sin(t / 5 + phase) + noise


def feed(fleet, keys, first, last):
    out = []
    for t in range(first, last):
        y = fleet.update_many(keys, wave(len(keys), t), times=np.full(len(keys), t * 600.0))
        out.append(y.score)
    return np.array(out)


def states(fleet):
    """Persistent arrays of every stream, by key and path, as bytes."""
    kinds = fields_of(HTMFleetState)
    found = {}
    for key in fleet.keys:
        slot = fleet._slots[key]
        found |= {
            (key, name): rows[slot].tobytes()
            for name, rows in flatten(fleet._arena)
            if kinds[name].kind == "persistent"
        }
    return found


def test_neither_order_nor_placement_nor_calls_change_a_stream():
    keys = [f"k{i}" for i in range(6)]
    together = HTMFleet(LIGHT)
    feed(together, keys, 0, 60)
    apart = HTMFleet(LIGHT, capacity=9)
    for key in ("other", *reversed(keys)):
        apart.add(key)
    for i in np.random.default_rng(1).permutation(6):
        rows = np.array([wave(6, t)[i] for t in range(60)])
        apart.update_many([keys[i]] * 60, rows, times=np.arange(60) * 600.0)
    ours, theirs = states(together), states(apart)
    assert all(theirs[at] == ours[at] for at in ours)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads):
    keys = list(range(7))
    one, many = HTMFleet(LIGHT), HTMFleet(LIGHT, threads=threads)
    for first in (0, 20):
        np.testing.assert_array_equal(
            feed(one, keys, first, first + 20), feed(many, keys, first, first + 20)
        )
    assert states(one) == states(many)


def test_the_key_decides_the_draws():
    y = HTMFleet(LIGHT)
    feed(y, [1, "1", 2], 0, 3)
    value = np.full(3, 50.0)
    for t in range(30):
        y.update_many([1, "1", 2], value + t % 5, times=np.full(3, 1e6))
    cells = [y.detector_state(k).temporal_memory.seg_cell.tobytes() for k in y.keys]
    assert len(set(cells)) == 3


def test_memory_is_bounded_and_told():
    fleet = HTMFleet(LIGHT, capacity=4)
    before = sum(a.nbytes for _, a in flatten(fleet._arena))
    feed(fleet, range(4), 0, 400)
    assert sum(a.nbytes for _, a in flatten(fleet._arena)) == before
    assert before == 4 * fleet.bytes_per_stream
    assert f"{fleet.bytes_per_stream} bytes each" in repr(fleet)
    assert fleet.bytes_per_stream < 512 * 1024


def test_a_full_fleet_refuses_new_streams_and_changes_nothing():
    fleet = HTMFleet(LIGHT, capacity=2)
    feed(fleet, ["a"], 0, 2)
    before = states(fleet)
    with pytest.raises(InputError, match=r"no room for 2 new streams beside 1 .* first is 'b'"):
        fleet.update_many(["a", "b", "c"], [1.0, 2.0, 3.0], times=np.zeros(3))
    assert states(fleet) == before
    feed(fleet, ["a", "b"], 2, 3)
    fleet.remove("a")
    feed(fleet, ["c"], 3, 4)
    assert fleet.keys == ["b", "c"]


def test_a_removed_stream_begins_anew():
    fleet, fresh = HTMFleet(LIGHT), HTMFleet(LIGHT)
    feed(fleet, ["a", "b"], 0, 40)
    fleet.remove("a")
    feed(fleet, ["a"], 0, 10)
    feed(fresh, ["a"], 0, 10)
    assert {k: v for k, v in states(fleet).items() if k[0] == "a"} == states(fresh)


BAD = [
    ({"keys": [1.5]}, "a key must be an int or a str of Unicode, got 1.5"),
    ({"keys": [True]}, "a key must be an int"),
    ({"keys": ["\ud800"]}, "a key must be an int"),
    ({"keys": [["a"]]}, "a key must be an int"),
    ({"keys": ["a", "b"]}, r"values must have shape \(2,\), one entry per key, got \(1,\)"),
    ({"values": [np.nan]}, "values must be finite, got nan at index 0"),
    ({"values": [np.inf]}, "values must be finite, got inf"),
    ({"values": ["x"]}, "values must be numbers"),
    ({"times": [np.nan]}, "times must be finite"),
    ({"times": None}, "times must be given"),
    ({"resets": [0, 1]}, r"resets must have shape \(1,\)"),
]


@pytest.mark.parametrize(("changes", "text"), BAD)
def test_bad_records_are_refused_by_name(changes, text):
    fleet = HTMFleet(LIGHT)
    feed(fleet, ["a"], 0, 2)
    before = states(fleet)
    good = {"keys": ["a"], "values": [1.0], "times": [0.0], "resets": [0]}
    with pytest.raises(InputError, match=text):
        fleet.update_many(**{**good, **changes})
    assert states(fleet) == before


def test_times_may_be_datetimes():
    a, b = HTMFleet(LIGHT), HTMFleet(LIGHT)
    stamps = np.datetime64("2024-03-01T00:00") + np.arange(30) * np.timedelta64(17, "m")
    seconds = stamps.astype("datetime64[s]").astype(float)
    for fleet, times in ((a, stamps), (b, seconds)):
        fleet.update_many(["x"] * 30, wave(30, 0), times=times)
    assert states(a) == states(b)


def test_no_records_are_no_work():
    fleet = HTMFleet(LIGHT)
    assert fleet.update_many([], [], times=[]).score.shape == (0,)
    assert "a" not in fleet
    assert len(fleet) == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f: f.add("a"), "there is a stream 'a' already"),
        (lambda f: f.add("b", 1.0), "both or neither, got 1.0 and None"),
        (lambda f: f.add("b", 2.0, 1.0), "both or neither, got 2.0 and 1.0"),
        (lambda f: f.add("b", 0.0, np.inf), "must be finite"),
        (lambda f: f.remove("b"), "there is no stream 'b'"),
        (lambda f: f.detector_params("b"), "there is no stream 'b'"),
    ],
)
def test_bad_calls_are_refused(call, text):
    fleet = HTMFleet(LIGHT)
    fleet.add("a")
    with pytest.raises(InputError, match=text):
        call(fleet)
    assert fleet.keys == ["a"]


def test_a_range_still_being_learned_has_no_parameters():
    fleet = HTMFleet(HTMFleetParams.light(probation=20))
    feed(fleet, ["a"], 0, 19)
    with pytest.raises(InputError, match="still learning its range, from its first 20 records"):
        fleet.detector_params("a")
    feed(fleet, ["a"], 19, 20)
    assert fleet.detector_params("a").value.r > 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"capacity": 0}, "capacity must be an integer >= 1, got 0"),
        ({"threads": 1.5}, "threads must be an integer >= 1, got 1.5"),
        ({"capacity": 10**9}, "capacity=1000000000 needs .* more than this machine"),
        ({"capacity": 10**15}, "capacity=1000000000000000 needs .* more than this machine"),
    ],
)
def test_bad_fleets_are_refused(arguments, text):
    with pytest.raises(ParameterError, match=text):
        HTMFleet(LIGHT, **arguments)


def test_a_saved_fleet_continues_bit_for_bit(tmp_path):
    path = tmp_path / "fleet.h5"
    keys = ["a", 7, "b"]
    whole, first = HTMFleet(LIGHT, seed=3), HTMFleet(LIGHT, capacity=5, seed=3)
    scores = feed(whole, keys, 0, 60)
    feed(first, ["gone", *keys], 0, 1)
    first.remove("gone")
    for key in keys:
        first.remove(key)
    feed(first, keys, 0, 30)
    first.save(path, {"offset": 12})
    second, extra = HTMFleet.load(path, capacity=3, threads=2)
    assert extra == {"offset": 12}
    assert second.keys == keys
    np.testing.assert_array_equal(feed(second, keys, 30, 60), scores[30:])
    assert states(second) == states(whole)


def test_a_fleets_checkpoint_is_one_of_its_model(tmp_path):
    fleet = HTMFleet(LIGHT)
    feed(fleet, [0, 1], 0, 10)
    fleet.save(tmp_path / "a.h5")
    sim = Simulator.load(tmp_path / "a.h5", progress=False)
    x = [[40.0, 6000.0, 0.0, 1.0], [60.0, 6000.0, 0.0, 1.0]]
    want = fleet.update_many([0, 1], [40.0, 60.0], times=[6000.0, 6000.0])
    np.testing.assert_array_equal(sim.step(x).raw, want.raw)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    fleet = HTMFleet(LIGHT)
    feed(fleet, ["a", "b"], 0, 3)
    fleet.save(path)
    with pytest.raises(CheckpointMismatch, match="2 streams, more than"):
        HTMFleet.load(path, capacity=1)
    good = read_checkpoint(path)
    for header, arrays, text in (
        ({"model": "x:Y"}, {}, "was made by x:Y, not by a fleet"),
        ({"params": {}}, {}, "cannot rebuild the fleet"),
        ({}, {"state/seed": np.zeros(2)}, r"'seed' must be uint64 \(2,\), got float64"),
        ({}, {"state/memory/free": np.zeros((1, 1), np.int32)}, "'memory/free' must be int32"),
    ):
        write_checkpoint(tmp_path / "b.h5", good.header | header, good.arrays | arrays)
        with pytest.raises(CheckpointMismatch, match=text):
            HTMFleet.load(tmp_path / "b.h5")
    Simulator(HTMFleetModel(LIGHT), progress=False).save(tmp_path / "c.h5")
    with pytest.raises(CheckpointMismatch, match="not by a fleet"):
        HTMFleet.load(tmp_path / "c.h5")
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError):
        HTMFleet.load(path)


CHILD = """
import sys
import numpy as np
from biomem.models.htm.fleet import HTMFleet, HTMFleetParams
n, path = int(sys.argv[1]), sys.argv[2]
fleet = HTMFleet(HTMFleetParams.light(probation=20), capacity=n)
keys = [f"stream {i}" for i in range(n)]
for t in range(60):
    values = 50 + 40 * np.sin(t / 5 + np.arange(n)) + np.random.default_rng(t).normal(0, 2, n)
    fleet.update_many(keys, values, times=np.full(n, t * 600.0))
    if t == 39:
        fleet.save(path, {"t": t})
        print("saved", flush=True)
    if t == 59:
        fleet.save(path + ".end")
        print("end", flush=True)
"""


def run_to(word, n, path):
    """Run the child until it says `word`, then kill it where it stands."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(n), str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == word:
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.crash
@pytest.mark.parametrize("n", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_streams_continue_bit_for_bit_after_kill_9(tmp_path, n):
    run_to("end", n, tmp_path / "whole.h5")
    run_to("saved", n, tmp_path / "part.h5")
    fleet, extra = HTMFleet.load(tmp_path / "part.h5")
    for t in range(extra["t"] + 1, 60):
        values = 50 + 40 * np.sin(t / 5 + np.arange(n)) + np.random.default_rng(t).normal(0, 2, n)
        fleet.update_many(fleet.keys, values, times=np.full(n, t * 600.0))
    fleet.save(tmp_path / "resumed.h5")
    want, got = (read_checkpoint(tmp_path / name) for name in ("whole.h5.end", "resumed.h5"))
    assert got.header["keys"] == want.header["keys"] == [f"stream {i}" for i in range(n)]
    assert got.arrays.keys() == want.arrays.keys()
    for name, array in want.arrays.items():
        assert got.arrays[name].tobytes() == array.tobytes(), name
