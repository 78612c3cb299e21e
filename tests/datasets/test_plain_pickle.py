"""Data comes out of pickles as it went in; nothing in them runs."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.datasets.plain_pickle import loads_plain, read_plain
from biomem.errors import CorruptFileError

CONTENT = {
    "text": "é",
    "bytes": [b"\x00\xff", b""],
    "numbers": [1, -2.5, True, None, 10**30],
    "nested": {3: (np.arange(6, dtype=">i4").reshape(2, 3), {"deep": np.float64(2.5)})},
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 4), np.uint16),
    "shared": [[1, 2]] * 3,
}


def same(a, b):
    if isinstance(b, np.ndarray):
        assert isinstance(a, np.ndarray)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(b, dict):
        assert list(a) == list(b)
        for k in b:
            same(a[k], b[k])
    elif isinstance(b, list | tuple):
        assert type(a) is type(b)
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_data_comes_out_as_it_went_in(protocol):
    same(loads_plain(pickle.dumps(CONTENT, protocol=protocol)), CONTENT)


def test_a_pickle_of_python_2():
    # {'data': array([[1, 2]], dtype=uint8), 'labels': [7]} as Python 2 and NumPy 1 write it.
    raw = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01"
        b"\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\x02tb"
        b"U\x06labelsq\x08]q\x09K\x07au."
    )
    got = loads_plain(raw)
    same(got, {"data": np.array([[1, 2]], np.uint8), "labels": [7]})


class Evil:
    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


@pytest.mark.parametrize(
    "content",
    [
        Evil(os.mkdir, "made-by-a-pickle"),
        Evil(eval, "__import__('os').mkdir('made-by-a-pickle')"),
        Evil(getattr, "a", "upper"),
        collections.OrderedDict(a=1),
        {1, 2},
        3 + 4j,
        np.random.default_rng(0),
    ],
)
def test_what_is_not_data_is_refused_and_not_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    for protocol in (0, 2, 4):
        with pytest.raises(CorruptFileError, match=r"is not read: it (names|holds)"):
            loads_plain(pickle.dumps([content], protocol=protocol), "the file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("true", "false", "named"),
    [
        (b"K\x02\x85", b"K\x03\x85", r"shape \(3,\) has 2 bytes"),
        (b"K\x02\x85", b"J\xfe\xff\xff\xff\x85", "not laid out"),
        (b"K\x02\x85", b"]", r"shape \[\] has 2 bytes"),
        (b"\x02\x00\x00\x00u1", b"\x02\x00\x00\x00O8", "dtype .O8 are not read"),
        (b"\x02\x00\x00\x00u1", b"\x02\x00\x00\x00V2", "dtype .V2 are not read"),
        (b"\x02\x00\x00\x00u1", b"\x05\x00\x00\x00u1,u1", "are not read"),
        (b"\x01\x00\x00\x00|", b"\x01\x00\x00\x00!", "dtype !u1 are not read"),
    ],
)
def test_an_array_whose_description_lies_is_refused(true, false, named):
    raw = pickle.dumps(np.array([1, 2], np.uint8), protocol=2)
    assert raw.count(true) == 1
    with pytest.raises(CorruptFileError, match=named):
        loads_plain(raw.replace(true, false))


def test_a_container_that_contains_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(CorruptFileError, match="contains itself"):
        loads_plain(pickle.dumps(loop))


def test_shared_parts_stay_shared_so_that_a_small_file_stays_small():
    deep: list = [1]
    for _ in range(60):
        deep = [deep, deep]
    got = loads_plain(pickle.dumps(deep))
    assert got[0] is got[1]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw):
    with contextlib.suppress(CorruptFileError):
        loads_plain(raw)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_pickle_is_read_or_refused(place, value):
    raw = bytearray(pickle.dumps(CONTENT, protocol=2))
    raw[place % len(raw)] = value
    with contextlib.suppress(CorruptFileError):
        loads_plain(bytes(raw))


def test_files(tmp_path):
    path = tmp_path / "data.p"
    path.write_bytes(pickle.dumps([1]))
    assert read_plain(path) == [1]
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "none.p")
    path.write_bytes(b"nothing")
    with pytest.raises(CorruptFileError, match=r"data\.p' is no sound pickle"):
        read_plain(path)
