import os
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.checkpoint import write_checkpoint
from biomem.engine.recording import Hdf5Recorder, Recording, Signal, select
from biomem.engine.recording.superblock import lookup3
from biomem.errors import CorruptFileError, MissingFileError, OutputError, ParameterError

SIGNALS = [
    Signal(name="v", axes=("batch", "unit"), shape=(1, 3), dtype="f4", unit="µV", dt=1e-3),
    Signal(name="deep/w", axes=("unit",), shape=(2,), dtype="i8", every=7, index=[4, 0], dt=1e-3),
    Signal(name="flag", axes=(), shape=(), dtype="bool", every=2, tick0=3, dt=1e-3),
]


def rows(tick, n):
    t = np.arange(tick, tick + n)
    return {
        "v": (t[:, None, None] * np.array([1.0, 0.5, -2.0])).astype("f4"),
        "deep/w": t[:, None] * np.arange(5),
        "flag": t % 3 == 0,
    }


def feed(recorder, tick, n):
    new = rows(tick, n)
    for name, s in recorder.signals.items():
        recorder.append(name, tick, select(s, tick, new[name]))
    recorder.commit(tick + n)


def check(rec, ticks, names=("v", "deep/w", "flag")):
    right = rows(0, ticks)
    assert list(rec) == list(names)
    for s in SIGNALS:
        if s.name in names:
            np.testing.assert_array_equal(np.asarray(rec[s.name]), select(s, 0, right[s.name]))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.h5"


@pytest.fixture
def recorded(path):
    with_all = Hdf5Recorder(path, SIGNALS, {"model": "m", "params": {"tau": 0.5}})
    for tick in range(0, 100, 10):
        feed(with_all, tick, 10)
    with_all.close()
    return path


@pytest.mark.parametrize("swmr", [True, False])
def test_round_trip(path, swmr):
    recorder = Hdf5Recorder(path, SIGNALS, {"model": "m"}, swmr=swmr)
    recorder.reserve(10**15)
    for tick in range(0, 50, 5):
        feed(recorder, tick, 5)
    live = recorder.recording()
    assert live.status == "live"
    check(live, 50)
    check(Recording.open(path), 50)
    recorder.close()
    recorder.close()
    assert live.status == "complete"
    check(live, 50)
    with Recording.open(path) as rec:
        check(rec, 50)
        assert rec.status == "complete"
        assert rec.dt == 1e-3
        assert dict(rec.metadata) == {"model": "m"}
        for s in SIGNALS:
            assert not rec.signals[s.name].difference(s)
    again = Hdf5Recorder(path, SIGNALS, {"model": "m"}, swmr=swmr)
    feed(again, 50, 5)
    again.close()
    check(rec, 50)  # what was opened before goes on showing what it showed
    check(Recording.open(path), 55)


def test_plain_h5py_reads_it(recorded):
    with h5py.File(recorded) as file:
        assert file.attrs["format"] == b"biomem-recording"
        assert file["meta/complete"][0] == 1
        assert file["meta/committed"][0] == 100
        data = file["signals/v/data"]
        assert data.fletcher32
        assert data.shape == (100, 1, 3)
        assert file["signals/v"].attrs["unit"] in ("µV", "µV".encode())
        assert file["signals/deep/w/index"][:].tolist() == [4, 0]


INDEX = st.integers(-30, 29) | st.slices(30)


@given(
    key=INDEX
    | st.tuples(INDEX, st.integers(-1, 0) | st.slices(1))
    | st.tuples(INDEX, st.just(slice(None)), st.integers(-3, 2) | st.slices(3))
    | st.sampled_from(
        [
            ...,
            (),
            (..., 1),
            [3, 1, 1],
            np.arange(30) % 2 == 0,
            (slice(2, 9), 0, [2, 0]),
            (slice(9, 2, -2), slice(None), np.array([True, False, True])),
            (slice(5, 5), 0, [1]),
            (4, ..., None),
            np.int64(7),
        ]
    )
)
def test_rows_are_indexed_as_an_array_is(tmp_path_factory, key):
    path = tmp_path_factory.getbasetemp() / "indexed.h5"
    if not path.exists():
        recorder = Hdf5Recorder(path, SIGNALS)
        feed(recorder, 0, 30)
        recorder.close()
    expected = rows(0, 30)["v"]
    got = Recording.open(path)["v"][key]
    np.testing.assert_array_equal(got, expected[key])
    assert np.shape(got) == np.shape(expected[key])


def test_rows_say_what_they_are(recorded):
    with Recording.open(recorded) as rec:
        v = rec["v"]
        assert (v.shape, v.ndim, v.size, v.nbytes, len(v)) == ((100, 1, 3), 3, 300, 1200, 100)
        assert v.dtype == np.float32
        assert "shape (100, 1, 3)" in repr(v)
        assert np.mean(v) == np.asarray(v).mean()
        with pytest.raises(IndexError):
            v[100]
        with pytest.raises(ValueError, match="copy"):
            np.array(v, copy=False)


def test_one_unit_of_a_long_recording_is_read_in_blocks(path):
    wide = Signal(name="x", axes=("unit",), shape=(20_000,), dtype="f8")
    recorder = Hdf5Recorder(path, [wide])
    chunk = np.zeros((100, 20_000))
    for tick in range(0, 800, 100):
        chunk[:, 7] = np.arange(tick, tick + 100)
        recorder.append("x", tick, chunk)
        recorder.commit(tick + 100)
    recorder.close()
    del chunk
    process = psutil.Process()
    with Recording.open(path) as rec:
        rec["x"][:1, 7]
        before = process.memory_info().rss
        np.testing.assert_array_equal(rec["x"][::-3, 7], np.arange(800.0)[::-3])
        assert process.memory_info().rss - before < 80 << 20  # of 128 MB


def version_1(path, closed):
    """Write what version 1 of the format says, without biomem."""
    new = rows(0, 60)
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs["format"] = np.bytes_("biomem-recording")
        file.attrs["format_version"] = 1
        file.attrs["signals"] = np.bytes_('["v", "deep/w", "flag"]')
        tails = []
        for s in SIGNALS:
            values = select(s, 0, new[s.name])
            group = file.require_group(f"signals/{s.name}")
            full = {"maxshape": (None, *s.shape), "chunks": (16, *s.shape), "fletcher32": True}
            group.create_dataset("data", data=values, **full)
            if s.index is not None:
                group["index"] = s.index
            group.attrs["axes"] = np.bytes_(str(list(s.axes)).replace("'", '"'))
            group.attrs["unit"] = s.unit.encode()
            group.attrs["every"], group.attrs["tick0"], group.attrs["dt"] = s.every, s.tick0, s.dt
            tails.append(zlib.crc32(values[len(values) // 16 * 16 :].tobytes()))
        file["meta/committed"] = np.array([60, *tails])
        file["meta/complete"] = np.array([closed], np.uint8)
        file["meta/description"] = np.frombuffer(b'{"model":"m"}', np.uint8)


@pytest.mark.parametrize("closed", [True, False])
def test_a_recording_of_version_1_is_read_and_continued(path, closed):
    version_1(path, closed)
    with Recording.open(path) as rec:
        check(rec, 60)
        assert rec["flag"].dtype == bool
        assert rec.status == ("complete" if closed else "recovered: file was not closed, 60 ticks")
        flags = select(SIGNALS[2], 0, rows(0, 60)["flag"])
        np.testing.assert_array_equal(rec.spikes("flag").times, rec.t("flag")[flags])
    before = path.read_bytes()
    recorder = Hdf5Recorder(path, SIGNALS, {"model": "m"})
    assert path.read_bytes() != before
    feed(recorder, 60, 20)
    recorder.close()
    check(Recording.open(path), 80)
    with h5py.File(path) as file:
        assert file.attrs["format_version"] == 2
        assert file["signals/flag/data"].dtype == np.uint8


@pytest.mark.parametrize("tick", [0, 3, 4, 50, 99, 100])
def test_a_resumed_run_drops_what_it_will_write_again(recorded, tick):
    recorder = Hdf5Recorder(recorded, SIGNALS, resume_tick=tick)
    check(recorder.recording(), tick)
    feed(recorder, tick, 20)
    recorder.close()
    check(Recording.open(recorded), tick + 20)
    assert dict(Recording.open(recorded).metadata) == {"model": "m", "params": {"tau": 0.5}}


def test_signals_that_begin_later_on_the_same_grid_continue(recorded):
    later = [Signal(**{**vars(s), "tick0": 101 if s.name == "flag" else 105}) for s in SIGNALS]
    later[0] = Signal(**{**vars(SIGNALS[0]), "tick0": 100})
    recorder = Hdf5Recorder(recorded, later)
    feed(recorder, 100, 10)
    recorder.close()
    check(Recording.open(recorded), 110)


def changed(**changes):
    return [Signal(**{**vars(SIGNALS[0]), **changes}), *SIGNALS[1:]]


@pytest.mark.parametrize(
    ("signals", "metadata", "said"),
    [
        (SIGNALS[:1], {}, r"recording of \['deep/w', 'flag', 'v'\], not of \['v'\]"),
        (changed(name="u"), {}, r"not of \['deep/w', 'flag', 'u'\]"),
        (changed(dtype="f8"), {}, "v.dtype"),
        (changed(shape=(1, 4)), {}, "v.shape"),
        (changed(unit="V"), {}, "v.unit"),
        (changed(every=2), {}, "v.every"),
        (changed(dt=2e-3), {}, "v.dt"),
        (changed(index=[0, 1, 2]), {}, "v.index differs"),
        (
            [*SIGNALS[:2], Signal(**{**vars(SIGNALS[2]), "tick0": 4})],
            {},
            "flag was sampled at other ticks",
        ),
        (SIGNALS, {"model": "other"}, "its model is 'm', not 'other'"),
        (SIGNALS, {"params": {"tau": 0.6}}, "its params is"),
        ([], {}, "at least one"),
    ],
)
def test_a_recording_of_something_else_is_not_continued(recorded, signals, metadata, said):
    before = recorded.read_bytes()
    with pytest.raises(ParameterError, match=said):
        Hdf5Recorder(recorded, signals, metadata)
    assert recorded.read_bytes() == before


def test_a_gap_and_an_overwrite_are_refused(recorded):
    before = recorded.read_bytes()
    with pytest.raises(OutputError, match=r"ends at tick 100, before tick 101"):
        Hdf5Recorder(recorded, SIGNALS, resume_tick=101)
    assert recorded.read_bytes() == before
    # A script that is run again, from the start, must not eat its earlier result.
    recorder = Hdf5Recorder(recorded, SIGNALS)
    with pytest.raises(OutputError, match=r"holds the ticks before 100 and the run is at 0"):
        feed(recorder, 0, 10)
    recorder.close()
    check(Recording.open(recorded), 100)


def test_a_second_writer_is_refused(path):
    recorder = Hdf5Recorder(path, SIGNALS)
    feed(recorder, 0, 10)
    with pytest.raises(OutputError, match="being recorded to already"):
        Hdf5Recorder(path, SIGNALS)
    code = (
        "import sys\n"
        "from biomem.engine.recording import Hdf5Recorder, Recording\n"
        "from biomem.errors import OutputError\n"
        "rec = Recording.open(sys.argv[1])\n"
        "assert rec.status == 'live', rec.status\n"
        "try:\n"
        "    Hdf5Recorder(sys.argv[1], rec.signals.values())\n"
        "except OutputError as exc:\n"
        "    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "another process is recording to it" in done.stdout
    feed(recorder, 10, 10)
    recorder.close()
    check(Recording.open(path), 20)


def test_a_forgotten_recorder_is_closed(path):
    recorder = Hdf5Recorder(path, SIGNALS)
    feed(recorder, 0, 10)
    rec = recorder.recording()
    del recorder
    assert rec.status == "complete"
    check(rec, 10)
    code = (
        "import sys, numpy as np\n"
        "from biomem.engine.recording import Hdf5Recorder, Signal\n"
        "s = Signal(name='y', axes=(), shape=(), dtype='f8')\n"
        "kept = Hdf5Recorder(sys.argv[1], [s])\n"
        "kept.append('y', 0, np.arange(5.0)); kept.commit(5)\n"
    )
    other = path.with_name("exit.h5")
    subprocess.run([sys.executable, "-c", code, str(other)], check=True)
    assert Recording.open(other).status == "complete"


def test_a_closed_recorder_takes_no_rows(path):
    recorder = Hdf5Recorder(path, SIGNALS)
    recorder.close()
    assert "closed" in repr(recorder)
    with pytest.raises(OutputError, match="the recorder is closed"):
        recorder.append("v", 0, rows(0, 1)["v"])


FULL = """
import resource, signal, sys
import numpy as np
from biomem.engine.recording import Hdf5Recorder, Recording, Signal
from biomem.errors import OutputError

limit = int(sys.argv[2])
s = Signal(name="y", axes=("unit",), shape=(3,), dtype="f8")
recorder = Hdf5Recorder(sys.argv[1], [s])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
k = 0
try:
    while True:
        recorder.append("y", 1000 * k, np.full((1000, 3), k, "f8"))
        recorder.commit(1000 * (k + 1))
        k += 1
except OutputError as exc:
    print(k, exc)
try:
    recorder.commit(1000 * (k + 1))
except OutputError as exc:
    assert f"ended at tick {1000 * k}" in str(exc), exc
found = np.asarray(recorder.recording()["y"])
assert np.array_equal(found[:, 0], np.repeat(np.arange(k), 1000))
recorder.close()
"""


@pytest.mark.parametrize("limit", [150_000, 700_000, 1_234_567])
def test_a_full_disk_ends_the_recording_and_keeps_what_is_committed(path, limit):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(limit)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")  # libhdf5 crashes here by itself
    chunks, _, said = done.stdout.partition(" ")
    assert f"cannot write {str(path)!r}: the file would pass the size limit" in said
    rec = Recording.open(path)
    assert rec.status.startswith("recovered: file was not closed")
    expected = np.repeat(np.arange(int(chunks)), 1000)
    np.testing.assert_array_equal(rec["y"][:, 0], expected)
    # With space again, the recording goes on.
    recorder = Hdf5Recorder(path, rec.signals.values(), resume_tick=len(expected))
    recorder.append("y", len(expected), np.ones((5, 3)))
    recorder.commit(len(expected) + 5)
    recorder.close()
    assert len(Recording.open(path)["y"]) == len(expected) + 5


def test_a_disk_too_full_to_recover_leaves_the_recording(recorded, monkeypatch):
    before = recorded.read_bytes()
    real = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"):
        Hdf5Recorder(recorded, SIGNALS, resume_tick=50)
    monkeypatch.setattr(os, "fsync", real)
    assert recorded.read_bytes() == before
    assert os.listdir(recorded.parent) == [recorded.name]


def test_ten_million_ticks_take_no_memory(path):
    s = Signal(name="y", axes=("unit",), shape=(3,), dtype="f4")
    chunk = np.random.default_rng(0).random((10_000, 3), dtype=np.float32)
    recorder = Hdf5Recorder(path, [s])
    process = psutil.Process()
    before = process.memory_info().rss
    for tick in range(0, 10_000_000, 10_000):
        recorder.append("y", tick, chunk)
        recorder.commit(tick + 10_000)
    grown = process.memory_info().rss - before
    recorder.close()
    assert grown < 32 << 20
    with Recording.open(path) as rec:
        assert rec["y"].shape == (10_000_000, 3)
        np.testing.assert_array_equal(rec["y"][-10_000:], chunk)
    path.unlink()


def plain_hdf5(path):
    with h5py.File(path, "w", libver="v110") as file:
        file["signals/v/data"] = np.arange(3)


def old_hdf5(path):
    with h5py.File(path, "w", libver="earliest") as file:
        file["x"] = 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.write_bytes(b""), "is empty, expected a biomem recording"),
        (lambda p: p.write_text("a,b\n"), "a text file, expected"),
        (lambda p: p.mkdir(), "is a folder, expected"),
        (lambda p: write_checkpoint(p, {}, {}), "a biomem checkpoint, expected"),
        (plain_hdf5, "a plain HDF5 file, expected"),
        (old_hdf5, "a plain HDF5 file, expected"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n\x03"), "is damaged"),
    ],
)
def test_a_foreign_file_is_named_and_left_alone(path, make, said):
    make(path)
    with pytest.raises(CorruptFileError, match=said) as error:
        Recording.open(path)
    assert "\n" not in str(error.value)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CorruptFileError, match=said):
        Hdf5Recorder(path, SIGNALS)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_missing_files_and_folders(path):
    with pytest.raises(MissingFileError, match="does not exist"):
        Recording.open(path)
    with pytest.raises(OutputError, match="there is no folder"):
        Hdf5Recorder(path / "x.h5", SIGNALS)


def external_link(file):
    del file["signals/v/data"]
    file["signals/v/data"] = h5py.ExternalLink("/etc/passwd", "/x")


def compressed(file):
    del file["signals/v/data"]
    file.create_dataset("signals/v/data", data=np.zeros((100, 1, 3), "f4"), compression="gzip")


def bomb(file):
    file["meta/committed"][0] = 2**50
    file["signals/v/data"].resize(2**50, axis=0)


def behind(file):
    file["meta/committed"][0] = 101


def newer(file):
    file.attrs["format_version"] = 9


def no_grid(file):
    file["signals/v"].attrs["every"] = 0


def gone(file):
    del file["meta"]


def other_shape(file):
    file["signals/flag"].attrs["shape"] = np.bytes_("[9]")
    file["signals/flag"].attrs["axes"] = np.bytes_('["a"]')


def inverted_shape(file):
    file["signals/flag"].attrs["shape"] = np.bytes_("[-2, -4]")
    file["signals/flag"].attrs["axes"] = np.bytes_('["a", "b"]')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external_link, "link to elsewhere"),
        (compressed, "compressed"),
        (bomb, "claims"),
        (behind, "expected 101 rows"),
        (newer, "format version 9, this biomem reads versions 1 to 2"),
        (no_grid, "every must be >= 1"),
        (gone, "is damaged or no recording"),
        (other_shape, r"holds uint8 \(1,\), not bits of \(9,\)"),
        (inverted_shape, r"not bits of \(-2, -4\)"),
    ],
)
def test_a_crafted_file_is_refused(recorded, change, said):
    with h5py.File(recorded, "r+", libver=("v110", "v110")) as file:
        change(file)
    with pytest.raises(CorruptFileError, match=said):
        Recording.open(recorded)


def test_names_that_exclude_each_other_and_rows_of_nothing_are_refused(path):
    for name in ("v/data", "v/data/x", "v/index"):
        nested = [SIGNALS[0], Signal(name=name, axes=(), shape=(), dtype="f8")]
        with pytest.raises(ParameterError, match="the data of 'v' has its place"):
            Hdf5Recorder(path, nested)
    with pytest.raises(ParameterError, match="1 B to 4 GiB"):
        Hdf5Recorder(path, [Signal(name="n", axes=("u",), shape=(0,), dtype="f8")])
    assert not path.exists()


def test_the_reader_in_the_documentation_reads_it(recorded):
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    names = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    found = names["read"](recorded)
    assert list(found) == [s.name for s in SIGNALS]
    with Recording.open(recorded) as rec:
        for name, (ticks, values) in found.items():
            np.testing.assert_array_equal(ticks, rec.tick(name))
            np.testing.assert_array_equal(values, rec[name][:])


def test_the_checksum_is_the_published_one():
    # From the driver in Jenkins's lookup3.c.
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
