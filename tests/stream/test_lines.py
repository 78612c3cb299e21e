"""Lines, offsets and digests do not depend on how the bytes arrive."""

import hashlib
import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.errors import DataError, ParameterError
from biomem.stream.lines import LineSource

LIMIT = 16
TEXT = st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\r\n", b"x" * 15, b"y" * 40]), max_size=30)


class Trickle(io.RawIOBase):
    """A source whose reads return as few bytes as it likes."""

    def __init__(self, data, sizes, *, seekable):
        super().__init__()
        self.data, self.sizes, self.at, self.can_seek = data, sizes, 0, seekable

    def readable(self):
        return True

    def seekable(self):
        return self.can_seek

    def seek(self, offset, whence=os.SEEK_SET):
        self.at = offset + (self.at if whence == os.SEEK_CUR else 0)
        return self.at

    def read(self, size=-1):
        size = min(size, self.sizes[self.at % len(self.sizes)])
        block = self.data[self.at : self.at + size]
        self.at += len(block)
        return block


@given(TEXT, st.lists(st.integers(1, 30), min_size=1, max_size=7))
def test_lines_offsets_and_digests_are_those_of_the_bytes(parts, sizes):
    data = b"".join(parts)
    source = LineSource(Trickle(data, sizes, seekable=False), LIMIT)
    whole = data.split(b"\n")
    at = 0
    for expected in whole[:-1]:
        assert source.next() == expected[: LIMIT + 1]
        at += len(expected) + 1
        assert source.offset == at
        assert source.digest() == hashlib.sha256(data[:at]).hexdigest()
    assert source.next() is None
    assert source.tail == whole[-1][: LIMIT + 1]
    assert source.digest() == hashlib.sha256(data[:at]).hexdigest()
    if len(whole[-1]) <= LIMIT:
        assert source.take_tail() == whole[-1]
        assert source.digest() == hashlib.sha256(data).hexdigest()


@given(TEXT, st.integers(0, 30))
def test_resuming_continues_at_the_offset_of_the_same_bytes_only(parts, n):
    data = b"".join(parts)
    first = LineSource(io.BytesIO(data), LIMIT)
    for _ in range(n):
        first.next()
    offset, digest = first.offset, first.digest()
    rest = iter(first.next, None)
    grown = LineSource(io.BytesIO(data + b"more\n"), LIMIT)
    assert grown.resume(offset, digest)
    for line in rest:
        assert grown.next() == line
    if offset:
        other = bytearray(data)
        other[offset - 1] ^= 1
        source = LineSource(io.BytesIO(bytes(other)), LIMIT)
        assert not source.resume(offset, digest)
        assert (source.offset, source.digest()) == (0, hashlib.sha256().hexdigest())
        assert not LineSource(io.BytesIO(data[: offset - 1]), LIMIT).resume(offset, digest)


def test_an_overlong_line_is_never_held_in_memory():
    class Endless(Trickle):
        def read(self, size=-1):
            assert len(source._tail) <= LIMIT + 1024
            return super().read(size)

    data = b"z" * 100_000 + b"\nshort\n"
    reader = Endless(data, [1024], seekable=False)
    source = LineSource(reader, LIMIT)
    assert len(source.next()) == LIMIT + 1
    assert source.next() == b"short"
    assert source.digest() == hashlib.sha256(data).hexdigest()


def test_a_pipe_gives_a_line_as_soon_as_it_is_there():
    read_end, write_end = os.pipe()
    with open(read_end, "rb", buffering=0) as readable, open(write_end, "wb", buffering=0) as out:
        source = LineSource(readable, LIMIT)
        assert source.live
        assert not source.resume(0, hashlib.sha256().hexdigest())
        timer = threading.Timer(0.05, out.write, [b"two\n"])
        out.write(b"one\n")
        assert source.next() == b"one"
        timer.start()
        assert source.next() == b"two"
        timer.join()


def test_an_unreadable_source_is_a_data_error(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path, "nul\0byte"):
        with pytest.raises(DataError, match="cannot be read"):
            LineSource(path, LIMIT)


def test_a_failing_disk_is_a_data_error():
    class Failing(Trickle):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match="cannot be read: Input/output error"):
        LineSource(Failing(b"", [1], seekable=True), LIMIT).next()


def test_a_file_cut_while_it_is_read_is_a_data_error(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"1\n2\n3\n4\n5\n6\n")
    with LineSource(path, LIMIT) as source:
        assert source.next() == b"1"
        os.truncate(path, 2)
        with pytest.raises(DataError, match="shorter while it was read"):
            list(iter(source.next, None))


def test_text_mode_is_refused(tmp_path):
    with pytest.raises(ParameterError, match="binary mode"):
        LineSource(io.StringIO("a\n"), LIMIT)
    with pytest.raises(ParameterError, match="got int"):
        LineSource(3, LIMIT)
