"""Event recordings: formats round trip, damaged files are refused, bins lose nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.datasets.events import (
    AddressEvents,
    NTidigits,
    bin_events,
    from_tonic,
    open_tonic,
    read_nmnist,
    shd_events,
    write_nmnist,
    write_ntidigits,
)
from biomem.datasets.tasks.spoken import Recordings
from biomem.errors import BackendUnavailable, DataError, InputError, ParameterError


def drawn(n=200, seed=0, sensor=(34, 34, 2), longest=300_000):
    draw = np.random.default_rng(seed)
    t = np.sort(draw.integers(0, longest, n))
    return AddressEvents(t, *(draw.integers(0, k, n) for k in sensor), sensor=sensor)


def same(a, b):
    return a.sensor == b.sensor and all(
        np.array_equal(getattr(a, k), getattr(b, k)) for k in "txyp"
    )


@given(st.integers(0, 400), st.integers(0, 99), st.sampled_from([10**4, 10**6, 10**8]))
@settings(max_examples=20)
def test_nmnist_files_come_back(n, seed, longest):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bin"
        events = drawn(n, seed, longest=longest)
        write_nmnist(path, events)
        assert same(read_nmnist(path), events)


def test_an_overflow_mark_moves_what_follows(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 0x80, 0, 5, 0, 240, 0, 0, 0, 3, 4, 0, 0, 7]))
    events = read_nmnist(path)
    assert events.t.tolist() == [5, 8192 + 7]
    assert (events.x.tolist(), events.y.tolist(), events.p.tolist()) == ([1, 3], [2, 4], [1, 0])


@pytest.mark.parametrize(
    "content", [b"abc", bytes([40, 0, 0, 0, 0]), bytes([0, 0, 0, 0, 9] + [0] * 5)]
)
def test_damaged_nmnist_files_are_refused(tmp_path, content):
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.bin"):
        read_nmnist(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_nmnist(tmp_path / "none.bin")


@pytest.fixture
def spoken(tmp_path):
    path = tmp_path / "n.hdf5"
    made = [
        (f"man-ab-a-{digits}", drawn(50, k, (64, 1, 1)))
        for k, digits in enumerate(("z", "5", "o", "12"))
    ]
    write_ntidigits(path, made)
    return path, made


def test_ntidigits_files_come_back(spoken):
    path, made = spoken
    data = NTidigits(path, single_digits=False)
    assert len(data) == 4
    for (name, events), found in zip(made, data, strict=True):
        assert found.name == name
        assert same(found.events, events)


def test_labels_are_those_of_the_recordings_kept(spoken):
    path, _ = spoken
    assert NTidigits(path).labels == [0, 5, 10]
    assert NTidigits(path, classes="tonic").labels == [10, 5, 0]
    assert NTidigits(path, single_digits=False).labels == [0, 5, 10, None]
    with pytest.raises(ParameterError, match="split must be"):
        NTidigits(path, "validation")
    with pytest.raises(DataError, match="N-TIDIGITS layout"):
        NTidigits(path, "test")


@pytest.mark.parametrize("key", ["addresses", "timestamps"])
def test_recordings_with_a_time_or_an_address_too_few_are_refused(spoken, key):
    import h5py

    path, made = spoken
    name = made[1][0]
    with h5py.File(path, "a") as file:
        values = file[f"train_{key}/{name}"][:-1]
        del file[f"train_{key}/{name}"]
        file[f"train_{key}/{name}"] = values
    a, t = (49, 50) if key == "addresses" else (50, 49)
    words = rf"n\.hdf5.*'{name}'.*addresses of shape \({a},\), timestamps of shape \({t},\)"
    with pytest.raises(DataError, match=words):
        NTidigits(path)[1]


@given(st.data())
@settings(max_examples=40, derandomize=True)
def test_damaged_hdf5_files_are_refused_or_read(data):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.hdf5"
        write_ntidigits(path, [("a-1", drawn(20, 1, (64, 1, 1)))])
        raw = bytearray(path.read_bytes())
        cut = data.draw(st.integers(0, len(raw)))
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw[:cut] if data.draw(st.booleans()) else raw)
        try:
            found = NTidigits(path)
            for i in range(len(found)):
                assert found[i].events.n_channels == 64
        except DataError:
            pass


def test_half_precision_times_do_not_overflow():
    recordings = Recordings(
        np.array([0.9, 0.1, 0.5], np.float16),
        np.array([699, 0, 3], np.uint16),
        np.array([0, 2, 3]),
        np.array([4, 19]),
    )
    first = shd_events(recordings, 0)
    assert first.x.tolist() == [0, 699]
    np.testing.assert_allclose(first.t, [1e5, 9e5], rtol=1e-3)
    with pytest.raises(InputError, match=r"in \[0, 2\)"):
        shd_events(recordings, 2)


@given(st.integers(1, 300), st.integers(0, 50), st.integers(1, 70))
@settings(max_examples=40)
def test_fixed_bins_lose_no_event(n, seed, n_bins):
    events = drawn(n, seed)
    assert bin_events(events, n_bins).sum() == n
    found = bin_events(events, dt=1e-3)
    assert found.sum() == n
    assert len(found) == events.t[-1] // 1000 + 1
    np.testing.assert_array_equal(
        bin_events(events, n_bins, binary=True), bin_events(events, n_bins) > 0
    )


def test_bins_are_where_time_says():
    events = AddressEvents([0, 999, 1000, 2500], [0, 1, 0, 1], sensor=(2, 1, 1))
    assert bin_events(events, dt=1e-3).tolist() == [[1, 1], [1, 0], [0, 1]]
    assert bin_events(events, dt=1e-3, duration=2e-3).tolist() == [[1, 1], [1, 0]]
    assert bin_events(events, 5, 1e-3).sum(axis=1).tolist() == [2, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("dt", "ratio"),
    [
        (1 / 3000, Fraction(1, 3000)),
        (2 / 3000, Fraction(2, 3000)),
        (0.0005005, Fraction(5005, 10**7)),
        (1.5e-6, Fraction(3, 2 * 10**6)),
        (16 / 2205, Fraction(16, 2205)),
    ],
)
def test_bins_of_any_width_do_not_drift(dt, ratio):
    t = np.r_[np.arange(3000), 999_999, 10**6, 10**7 - 1, 10**7]
    events = AddressEvents(t, np.zeros(len(t), int), sensor=(1, 1, 1))
    want = [int(Fraction(int(v), 10**6) // ratio) for v in t]
    np.testing.assert_array_equal(bin_events(events, dt=dt).ravel(), np.bincount(want))


def test_a_duration_is_cut_where_it_ends():
    t = np.arange(400_000)
    events = AddressEvents(t, np.zeros(len(t), int), sensor=(1, 1, 1))
    found = bin_events(events, dt=1 / 3000, duration=1 / 3)
    assert len(found) == 1000
    assert found.sum() == 333_334
    assert bin_events(events, 3, duration=1 / 3).sum() == 333_334


def test_times_since_1970_do_not_overflow():
    events = AddressEvents([0, 17 * 10**14], [0, 0], sensor=(1, 1, 1))
    assert np.flatnonzero(bin_events(events, 10_000)).tolist() == [0, 9999]


def test_stretched_bins_chunk_a_grid_of_milliseconds():
    # Seven milliseconds in three chunks of three: the published rule, with its short tail.
    t = np.arange(7) * 1000 + 10
    events = AddressEvents(t, np.zeros(7, int), sensor=(1, 1, 1))
    assert bin_events(events, 3, binning="stretch").ravel().tolist() == [3, 3, 1]
    assert bin_events(events, 5, binning="stretch").ravel().tolist() == [2, 2, 2, 1, 0]
    assert bin_events(events, 100, binning="stretch").sum() == 7


def test_the_middle_and_one_polarity_of_a_sensor():
    events = drawn(2000)
    middle = events.centre(16, 16)
    inside = (abs(events.x - 16.5) < 8) & (abs(events.y - 16.5) < 8)
    assert len(middle) == inside.sum()
    np.testing.assert_array_equal(middle.x, events.x[inside] - 9)
    on = middle.polarity(0)
    assert on.n_channels == 256
    assert len(on) == (middle.p == 0).sum()
    places = np.ravel_multi_index((middle.p, middle.y, middle.x), (2, 16, 16))
    np.testing.assert_array_equal(middle.channel, places)


def test_structured_arrays_become_address_events():
    fields = [("x", int), ("y", int), ("t", int), ("p", bool)]
    raw = np.array([(3, 4, 20, True), (1, 2, 10, False)], fields)
    events = from_tonic(raw, (34, 34, 2))
    assert events.t.tolist() == [10, 20]
    assert events.p.tolist() == [0, 1]
    audio = np.array([(5, 7, 1)], [("t", int), ("x", int), ("p", int)])
    assert from_tonic(audio, (64, 1, 1)).x.tolist() == [7]
    with pytest.raises(InputError, match="fields t and x"):
        from_tonic(np.zeros(2, [("a", int)]), (1, 1, 1))


def test_a_missing_tonic_is_told_with_its_install_line():
    try:
        import tonic  # noqa: F401
    except ImportError:
        with pytest.raises(BackendUnavailable, match=r"biomem\[tonic\]"):
            open_tonic("NMNIST", "nowhere")
    else:
        with pytest.raises(ParameterError, match="no data set 'MNIST9'"):
            open_tonic("MNIST9", "nowhere")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: AddressEvents([2, 1], [0, 0], sensor=(1, 1, 1)), "must ascend"),
        (lambda: AddressEvents([1], [5], sensor=(5, 1, 1)), r"x must lie in \[0, 5\)"),
        (lambda: AddressEvents([1], [0, 0], sensor=(5, 1, 1)), "as many values"),
        (lambda: AddressEvents([0.5], [0], sensor=(5, 1, 1)), "must be integers"),
        (lambda: AddressEvents([1], [0], sensor=(0, 1, 1)), "three sizes"),
        (lambda: drawn().centre(40, 2), "at most 34 x 34"),
        (lambda: drawn().polarity(2), r"in \[0, 2\)"),
    ],
)
def test_events_that_cannot_be_are_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give n_bins or dt"),
        ({"n_bins": 0}, "n_bins must be >= 1"),
        ({"dt": 1e-9}, "dt must be finite"),
        ({"n_bins": 3, "duration": -1.0}, "duration must be"),
        ({"dt": 1e-3, "binning": "stretch"}, "takes n_bins"),
        ({"n_bins": 3, "binning": "even"}, "must be 'fixed' or 'stretch'"),
    ],
)
def test_bins_that_cannot_be_are_refused(options, words):
    with pytest.raises(ParameterError, match=words):
        bin_events(drawn(5), **options)
