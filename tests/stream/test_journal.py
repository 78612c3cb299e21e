"""A score file after every way a crash can leave it, and after some that no crash can."""

import hashlib

import pytest

from biomem.errors import CheckpointMismatch, OutputError
from biomem.stream import journal as module
from biomem.stream.journal import Committed, Journal, Repair

BASE, SPOOL, LAST = b"head\n1\n", b"2\n33\n", b"4\n"


def committed(path, **changes):
    digest = hashlib.sha256(BASE).hexdigest()
    values = {"path": str(path), "base": len(BASE), "digest": digest, "spool": SPOOL.decode()}
    return Committed(**{**values, **changes})


def repaired(path, memo, **how):
    journal = Repair.of(path, memo, **how).apply()
    content = path.read_bytes()
    assert journal.length == len(content)
    assert journal.digest == hashlib.sha256(content).hexdigest()
    journal.append(b"5\n")
    journal.sync()
    assert path.read_bytes() == content + b"5\n"
    return content


@pytest.mark.parametrize("torn", range(len(SPOOL) + 1))
def test_missing_rows_are_completed(tmp_path, torn):
    path = tmp_path / "a.csv"
    path.write_bytes(BASE + SPOOL[:torn])
    assert repaired(path, committed(path)) == BASE + SPOOL


@pytest.mark.parametrize("torn", range(len(SPOOL + LAST) + 1))
def test_the_provisional_row_is_withdrawn_or_kept(tmp_path, torn):
    path = tmp_path / "a.csv"
    memo = committed(path, provisional=LAST.decode())
    path.write_bytes(BASE + (SPOOL + LAST)[:torn])
    assert repaired(path, memo) == BASE + SPOOL
    path.write_bytes(BASE + (SPOOL + LAST)[:torn])
    assert repaired(path, memo, keep_provisional=True) == BASE + SPOOL + LAST


def test_a_file_that_was_not_made_yet(tmp_path):
    path = tmp_path / "a.csv"
    memo = committed(path, base=0, digest=hashlib.sha256().hexdigest())
    assert repaired(path, memo) == SPOOL
    path.unlink()
    empty = committed(path, base=0, digest=hashlib.sha256().hexdigest(), spool="")
    assert repaired(path, empty) == b""


def test_rows_of_a_live_source_stay_but_torn_ones(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(BASE + SPOOL + b"6\n7")
    memo = committed(path, live=True)
    assert Repair.of(path, memo).extra
    assert repaired(path, memo) == BASE + SPOOL + b"6\n"
    path.write_bytes(BASE + SPOOL[:3])
    assert repaired(path, memo) == BASE + SPOOL


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BASE[:-1], "holds 6 bytes of the 7"),
        (b"Head\n1\n" + SPOOL, "changed within its first 7 bytes"),
        (BASE + b"2\n34\n", "changed after its first 7 bytes"),
        (BASE + SPOOL + b"6\n", "has 2 bytes after the 12 of the checkpoint"),
        (None, "holds 0 bytes of the 7"),
    ],
)
def test_what_no_crash_can_have_left_is_refused_and_left_alone(tmp_path, content, words):
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointMismatch, match=words):
        Repair.of(path, committed(path))
    assert (path.read_bytes() if path.exists() else None) == content


def test_a_failed_append_leaves_whole_rows(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    journal = Journal.begin(path)
    journal.append(b"1\n")
    write = module._write_at

    def full(path, offset, data):
        write(path, offset, data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_at", full)
    with pytest.raises(OutputError, match="no space left"):
        journal.append(b"22\n")
    assert path.read_bytes() == b"1\n"
    assert journal.length == 2


def test_an_append_to_a_file_that_something_else_changed_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    journal = Journal.begin(path)
    journal.append(b"1\n")
    path.write_bytes(b"1\n2\n")
    with pytest.raises(OutputError, match="something else has changed it"):
        journal.append(b"3\n")
