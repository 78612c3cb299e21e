import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.recording import MemoryRecorder, Recording, Signal, select
from biomem.errors import BackendUnavailable, InputError, ParameterError, RecordingLimitError


def signal(name="v", shape=(1, 3), **changes):
    axes = ("batch", "unit")[: len(shape)]
    return Signal(**{"name": name, "axes": axes, "shape": shape, "dtype": "f8", **changes})


def rows_of(s, tick, n):
    """Full rows of a chunk in which each row holds its own tick, plus its place."""
    full = s.shape if s.index is None else (*s.shape[:-1], int(s.index.max()) + 1)
    place = np.arange(int(np.prod(full))).reshape(full) * 1000.0
    return (np.arange(tick, tick + n).reshape(-1, *[1] * len(full)) + place).astype(s.dtype)


def feed(recorder, tick, n):
    for s in recorder.signals.values():
        recorder.append(s.name, tick, select(s, tick, rows_of(s, tick, n)))
    recorder.commit(tick + n)


@given(
    every=st.integers(1, 9),
    tick0=st.integers(0, 30),
    chunks=st.lists(st.integers(1, 12), min_size=1, max_size=8),
    index=st.none() | st.lists(st.integers(0, 5), min_size=1, max_size=4),
)
def test_chunks_never_matter(every, tick0, chunks, index):
    shape = (1, 3 if index is None else len(index))
    s = signal(shape=shape, every=every, tick0=tick0, index=index)
    recorder = MemoryRecorder([s])
    tick = 0
    for n in chunks:
        feed(recorder, tick, n)
        tick += n
    whole = rows_of(s, 0, tick)
    wanted = [t for t in range(tick) if t >= tick0 and (t - tick0) % every == 0]
    expected = whole[wanted] if index is None else whole[wanted][..., index]
    rec = recorder.recording()
    np.testing.assert_array_equal(rec["v"], expected)
    assert rec.tick("v").tolist() == wanted
    assert s.rows_before(tick) == len(wanted)


def test_select_without_index_is_a_view_and_recording_copies():
    s = signal()
    chunk = rows_of(s, 0, 4)
    assert np.shares_memory(select(s, 0, chunk), chunk)
    recorder = MemoryRecorder([s])
    recorder.append("v", 0, select(s, 0, chunk))
    recorder.commit(4)
    chunk[:] = -1  # as a kernel that reuses its buffer does
    np.testing.assert_array_equal(recorder.recording()["v"], rows_of(s, 0, 4))


def test_a_reserved_recording_is_one_block_and_not_copied():
    recorder = MemoryRecorder([signal()])
    recorder.reserve(100)
    for tick in range(0, 100, 10):
        feed(recorder, tick, 10)
    first, second = recorder.recording()["v"], recorder.recording()["v"]
    assert first.shape == (100, 1, 3)
    assert np.shares_memory(first, second)
    assert not first.flags.writeable


def test_many_short_runs_make_few_blocks():
    recorder = MemoryRecorder([signal(shape=())])
    for tick in range(3000):
        recorder.reserve(1)
        feed(recorder, tick, 1)
    assert len(recorder._blocks["v"]._blocks) < 40
    np.testing.assert_array_equal(recorder.recording()["v"], np.arange(3000.0))


def test_a_recording_does_not_grow_or_show_uncommitted_rows():
    s = signal()
    recorder = MemoryRecorder([s])
    feed(recorder, 0, 5)
    before = recorder.recording()
    recorder.append("v", 5, rows_of(s, 5, 5))
    assert len(recorder.recording()["v"]) == 5
    recorder.append("v", 5, rows_of(s, 5, 2))  # the chunk failed and is run again, shorter
    recorder.commit(7)
    np.testing.assert_array_equal(recorder.recording()["v"], rows_of(s, 0, 7))
    np.testing.assert_array_equal(before["v"], rows_of(s, 0, 5))


def test_the_limit_is_refused_before_the_run_and_names_the_disk():
    recorder = MemoryRecorder([signal(name="v"), signal(name="w", every=10)], limit_bytes=10_000)
    recorder.reserve(300)
    with pytest.raises(RecordingLimitError) as error:
        recorder.reserve(400)
    said = str(error.value)
    assert "400 more ticks of 'v', 'w' would take 10.6 kB" in said
    assert "the limit is 10 kB" in said
    assert "record('v', to='file.h5')" in said
    feed(recorder, 0, 300)
    assert len(recorder.recording()["w"]) == 30


def test_the_limit_counts_eight_booleans_as_a_byte():
    recorder = MemoryRecorder([signal(shape=(1, 10_001), dtype="bool")], limit_bytes=10_000_000)
    recorder.reserve(7_000)
    with pytest.raises(RecordingLimitError, match=r"8,000 more ticks of 'v' would take 10 MB"):
        recorder.reserve(8_000)


def test_an_endless_run_is_refused_at_the_chunk_that_passes_the_limit():
    recorder = MemoryRecorder([signal()], limit_bytes=1000)
    feed(recorder, 0, 40)
    with pytest.raises(RecordingLimitError, match="the next chunk"):
        feed(recorder, 40, 2)
    np.testing.assert_array_equal(recorder.recording()["v"], rows_of(signal(), 0, 40))


@pytest.mark.parametrize(
    ("tick", "rows", "said"),
    [
        (4, rows_of(signal(), 4, 1), r"rows from tick 4 on do not follow the 5 rows"),
        (9, rows_of(signal(), 9, 1), r"the next tick is 5"),
        (5, np.zeros((1, 3)), r"must be float64 \(time, \*\(1, 3\)\), got float64 \(1, 3\)"),
        (5, np.zeros((1, 1, 3), "f4"), r"got float32"),
    ],
)
def test_rows_that_do_not_follow_are_refused(tick, rows, said):
    recorder = MemoryRecorder([signal()])
    feed(recorder, 0, 5)
    with pytest.raises(InputError, match=said):
        recorder.append("v", tick, rows)


def test_a_commit_without_the_rows_is_refused():
    recorder = MemoryRecorder([signal()])
    feed(recorder, 0, 5)
    with pytest.raises(InputError, match="do not follow"):
        recorder.commit(7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "Signal.name"),
        ({"name": "a//b"}, "Signal.name"),
        ({"name": "../b"}, "Signal.name"),
        ({"dtype": "O"}, "must be a number or bool, got object"),
        ({"every": 0}, "every must be >= 1"),
        ({"tick0": -1}, "tick0 >= 0"),
        ({"index": [1]}, "index must hold one element"),
        ({"index": [0, 1, -1]}, "index must hold one element"),
        ({"shape": (1, 2, 3)}, "do not name the shape"),
    ],
)
def test_signals_refuse_by_name(changes, said):
    with pytest.raises(ParameterError, match=said):
        Signal(**{"name": "v", "axes": ("b", "u"), "shape": (1, 3), "dtype": "f8", **changes})


def test_clashing_names_are_refused():
    with pytest.raises(ParameterError, match="distinct names"):
        MemoryRecorder([signal(), signal()])


@pytest.fixture
def recording():
    recorder = MemoryRecorder(
        [
            signal(unit="V", every=2, dt=0.5),
            signal(name="w", every=2, dt=0.5, index=[1, 4, 5]),
            signal(name="spike", shape=(), dtype="bool", tick0=1, dt=0.5),
        ]
    )
    for tick in range(0, 20, 5):
        feed(recorder, tick, 5)
    return recorder.recording()


def test_time_ticks_and_names(recording):
    assert list(recording) == ["v", "w", "spike"]
    assert recording.status == "complete"
    assert recording.dt == 0.5
    np.testing.assert_array_equal(recording.tick("spike"), np.arange(1, 20))
    np.testing.assert_array_equal(recording.t("v"), np.arange(0, 20, 2) * 0.5)
    assert "v: float64 (10, 1, 3) (time, batch, unit), unit V, every 2" in repr(recording)
    with pytest.raises(KeyError, match=r"no signal 'x'.*'v', 'w', 'spike'"):
        recording["x"]
    with pytest.raises(ValueError, match="read-only"):
        recording["v"][0] = 1


def test_without_dt_there_are_only_ticks():
    recorder = MemoryRecorder([signal()])
    feed(recorder, 0, 2)
    with pytest.raises(ParameterError, match=r"no dt; use tick\('v'\)"):
        recorder.recording().t("v")


def test_merge(recording):
    other = MemoryRecorder([signal(name="x", dt=0.5)])
    feed(other, 0, 3)
    merged = Recording.merge([recording, other.recording()], 0.5)
    assert list(merged) == ["v", "w", "spike", "x"]
    assert merged.status == "complete"
    with pytest.raises(ParameterError, match="'spike' is in two"):
        Recording.merge([recording, recording])


def test_xarray(recording):
    pytest.importorskip("xarray", reason="pip install 'biomem[data]'")
    ds = recording.to_xarray()
    assert ds["v"].dims == ("time_v", "batch", "unit")
    assert ds["w"].dims == ("time_v", "batch", "unit_w")
    assert ds["unit_w"].values.tolist() == [1, 4, 5]
    assert ds["v"].attrs["units"] == "V"
    np.testing.assert_array_equal(ds["time_spike"], np.arange(1, 20) * 0.5)
    np.testing.assert_array_equal(ds["v"], recording["v"])
    one = Recording.merge([recording]).to_xarray()
    assert one.equals(ds)


def test_pandas(recording):
    pytest.importorskip("pandas", reason="pip install 'biomem[data]'")
    frame = recording.to_pandas("v", "w")
    assert list(frame) == ["v[0,0]", "v[0,1]", "v[0,2]", "w[0,1]", "w[0,4]", "w[0,5]"]
    assert frame.index.name == "t / s"
    np.testing.assert_array_equal(frame["w[0,4]"], recording["w"][:, 0, 1])
    assert list(recording.to_pandas("spike")) == ["spike"]
    with pytest.raises(ParameterError, match="sampled at different ticks"):
        recording.to_pandas()


@pytest.mark.parametrize("method", ["to_xarray", "to_pandas"])
def test_a_missing_package_is_named_with_its_install_line(recording, monkeypatch, method):
    monkeypatch.setitem(sys.modules, method[3:], None)
    with pytest.raises(BackendUnavailable, match=r"not installed; pip install 'biomem\[data\]'"):
        getattr(recording, method)()


def test_plots(recording):
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    ax = recording.plot("v")
    assert ax.get_ylabel() == "v / V"
    assert ax.get_xlabel() == "t / s"
    assert len(ax.lines) == 3
    np.testing.assert_array_equal(ax.lines[1].get_xydata()[:, 0], recording.t("v"))
    same = recording.plot("spike", ax=plt.subplots()[1])
    assert len(same.lines[0].get_xydata()) == int(recording["spike"].sum())
    plt.close("all")


def test_a_plot_of_a_long_series_keeps_its_peaks():
    from matplotlib import pyplot as plt

    recorder = MemoryRecorder([signal(shape=(1,))])
    values = np.zeros((300_000, 1))
    values[123_457], values[200_001] = 5.0, -7.0
    recorder.append("v", 0, values)
    recorder.commit(len(values))
    line = recorder.recording().plot("v").lines[0]
    assert len(line.get_ydata()) < 50_000
    assert (line.get_ydata().min(), line.get_ydata().max()) == (-7.0, 5.0)
    wide = MemoryRecorder([signal(shape=(1, 40))])
    feed(wide, 0, 6)
    assert len(wide.recording().plot("v").images) == 1
    plt.close("all")
