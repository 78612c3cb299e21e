"""Going on: after every kind of end, with every kind of source, and what is refused."""

import io
import json
import os
import shutil

import pytest

from biomem.engine import atomic
from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.errors import (
    CheckpointMismatch,
    CorruptFileError,
    DataError,
    OutputError,
    ParameterError,
)
from biomem.stream import ReadOptions
from biomem.stream import journal as journal_module
from biomem.stream.detect import DetectOptions, detect


class Killed(BaseException):
    """Ends a run between two system calls; nothing may be tidied up after it."""


@pytest.fixture
def go(tmp_path, small):
    """Run `detect` on tmp_path/load.csv; returns the report and what was said."""

    def run(name="o.csv", *, source=tmp_path / "load.csv", every=50, **changes):
        said = []
        arguments = {"params": small, "plot": False, "save_every": every, **changes}
        report = detect(
            source, tmp_path / name, on_event=lambda kind, text: said.append(text), **arguments
        )
        return report, said

    return run


@pytest.fixture
def load(tmp_path):
    return tmp_path / "load.csv"


@pytest.fixture
def ck(tmp_path):
    return tmp_path / "run.ck"


@pytest.fixture
def whole(tmp_path, load, go, series):
    """Scores of 330 records in one go."""
    load.write_text(series(330))
    return go("whole.csv")[0].scores.read_bytes()


def test_a_run_in_two_parts_equals_one(tmp_path, load, ck, go, series, whole):
    load.write_text(series(217))
    first, said = go(resume=ck)
    assert said == [f"there is no checkpoint {str(ck)!r} yet; starting at the beginning"]
    assert (first.records, first.resumed) == (217, False)
    load.write_text(series(330))
    second, said = go(resume=ck)
    assert said == []
    assert (second.records, second.total_records, second.resumed) == (113, 330, True)
    assert second.counts.records == 330
    assert second.scores.read_bytes() == whole
    third, _ = go(resume=ck)
    assert third.records == 0
    assert third.scores.read_bytes() == whole
    assert "0 in this run, 330 in all" in str(third)


def kill_at(monkeypatch, step, torn):
    """Make the `step`-th write to the disk the last thing that happens, `torn` or not begun."""
    left = [step]

    def dying(write, tear):
        def call(*arguments, **more):
            left[0] -= 1
            if left[0] == 0:
                if torn:
                    tear(*arguments, **more)
                raise Killed
            if left[0] < 0:
                raise Killed  # nothing comes after a kill, not even tidying
            return write(*arguments, **more)

        return call

    def tear_append(path, offset, data):
        append(path, offset, data[: len(data) * 2 // 3])

    append = journal_module._write_at
    replace, truncate = os.replace, os.truncate
    monkeypatch.setattr(journal_module, "_write_at", dying(append, tear_append))
    monkeypatch.setattr(os, "replace", dying(replace, replace))
    monkeypatch.setattr(os, "truncate", dying(truncate, truncate))
    return left


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("open_end", [False, True])
def test_killed_at_every_write_and_resumed_it_equals_one(
    tmp_path, load, ck, go, whole, torn, open_end
):
    if open_end:
        load.write_bytes(load.read_bytes()[:-1])
    kills = 0
    for step in range(1, 100):
        for path in (ck, tmp_path / "o.csv"):
            path.unlink(missing_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            left = kill_at(patch, step, torn)
            try:
                go(resume=ck, every=100)
            except Killed:
                kills += 1
            over = left[0] > 0
        if over:
            break
        # Resuming is killed as well, at its first write.
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, 1, torn)
            with pytest.raises(Killed):
                go(resume=ck, every=100)
        report, _ = go(resume=ck, every=70)
        assert report.scores.read_bytes() == whole
        assert report.total_records == 330
    # Four checkpoints and as many appends; an unterminated line has one more of each.
    assert kills >= 8 + 2 * open_end


@pytest.mark.parametrize("changes", [{"name": "new.csv"}, {"name": "new.jsonl"}])
def test_another_name_completes_the_old_file_and_starts_a_new_one(
    tmp_path, load, ck, go, series, whole, changes
):
    load.write_text(series(217))
    go(resume=ck)
    old = tmp_path / "o.csv"
    complete = old.read_bytes()
    old.write_bytes(complete[:-5])
    load.write_text(series(330))
    report, said = go(resume=ck, **changes)
    assert said == []
    assert old.read_bytes() == complete
    lines, rest = whole.splitlines(keepends=True), report.scores.read_bytes()
    if report.scores.suffix == ".csv":
        assert rest == lines[0] + b"".join(lines[218:])
    else:
        assert len(rest.splitlines()) == 113
        assert json.loads(rest.splitlines()[0])["timestamp"] == lines[218].decode().split(",")[0]


def test_a_kill_while_a_new_file_is_begun(tmp_path, load, ck, go, series, whole):
    lines = whole.splitlines(keepends=True)
    for step in range(1, 4):
        for path in (ck, tmp_path / "o.csv", tmp_path / "new.csv"):
            path.unlink(missing_ok=True)
        load.write_text(series(200))
        go(resume=ck)
        load.write_text(series(330))
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, step, torn=True)
            with pytest.raises(Killed):
                go("new.csv", resume=ck)
        report, _ = go("new.csv", resume=ck)
        assert report.scores.read_bytes() == lines[0] + b"".join(lines[201:])


def test_a_file_that_was_moved_goes_on(tmp_path, load, ck, go, series, whole):
    load.write_text(series(200))
    go(resume=ck)
    shutil.move(tmp_path / "o.csv", tmp_path / "moved.csv")
    load.write_text(series(330))
    report, said = go("moved.csv", resume=ck)
    assert said == []
    assert report.scores.read_bytes() == whole


def test_an_old_file_that_is_gone_or_changed_is_left_alone(tmp_path, load, ck, go, series, whole):
    load.write_text(series(200))
    go(resume=ck)
    (tmp_path / "o.csv").write_text("mine now")
    _, said = go("new.csv", resume=ck)
    assert "the earlier output is left alone" in said[0]
    assert (tmp_path / "o.csv").read_text() == "mine now"
    (tmp_path / "new.csv").unlink()
    _, said = go("newer.csv", resume=ck)
    assert "is gone" in said[0]


def untouched(tmp_path):
    return {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


@pytest.mark.parametrize("damage", ["shorter", "longer", "changed", "missing"])
def test_an_output_that_no_kill_can_have_left_is_refused(tmp_path, load, ck, go, series, damage):
    load.write_text(series(200))
    report, _ = go(resume=ck)
    content = report.scores.read_bytes()
    report.scores.unlink()
    if damage != "missing":
        changed = {"shorter": content[:500], "longer": content + b"x\n"}
        report.scores.write_bytes(changed.get(damage, content.replace(b"2024", b"2025", 1)))
    before = untouched(tmp_path)
    with pytest.raises(CheckpointMismatch, match="is not as the checkpoint left it"):
        go(resume=ck)
    assert untouched(tmp_path) == before


def test_an_existing_other_file_is_not_overwritten(tmp_path, load, ck, go, series):
    load.write_text(series(200))
    go(resume=ck)
    (tmp_path / "notes.csv").write_text("mine")
    with pytest.raises(CheckpointMismatch, match=r"notes\.csv"):
        go("notes.csv", resume=ck)
    assert (tmp_path / "notes.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"options": DetectOptions(preset="nab")}, "preset was 'live' and is 'nab'"),
        ({"options": DetectOptions(minimum=0.0, maximum=1.0)}, "maximum was None and is 1.0"),
        ({"options": DetectOptions(probation=9)}, "probation was None and is 9"),
        ({"options": DetectOptions(range_rule=True)}, "range_rule was None and is True"),
        ({"options": DetectOptions(seed=1)}, "seed was 0 and is 1"),
        ({"read": ReadOptions(value="load")}, "value was None and is 'load'"),
        ({"read": ReadOptions(gap_factor=None)}, "gap_factor was 50.0 and is None"),
    ],
)
def test_other_options_are_refused_by_name(tmp_path, load, ck, go, series, changes, words):
    load.write_text(series(100))
    go(resume=ck)
    before = untouched(tmp_path)
    with pytest.raises(CheckpointMismatch, match=words):
        go(resume=ck, **changes)
    assert untouched(tmp_path) == before


def test_another_detector_is_refused(load, ck, go, series, small):
    load.write_text(series(100))
    go(resume=ck)
    with pytest.raises(CheckpointMismatch, match="other detector parameters"):
        go(resume=ck, params=small.replace(range_rule=True))


def test_the_threshold_may_change(load, ck, go, series):
    load.write_text(series(100))
    go(resume=ck)
    _, said = go(resume=ck, options=DetectOptions(threshold=0.7))
    assert said == ["the threshold was 0.5 and is 0.7 from here on"]


def test_the_backend_may_change(load, ck, go, series, whole):
    load.write_text(series(200))
    go(resume=ck, backend="numpy")
    load.write_text(series(330))
    report, _ = go(resume=ck, backend="numba")
    assert report.scores.read_bytes() == whole


def test_an_existing_checkpoint_is_kept_unless_resumed(tmp_path, load, ck, go, series):
    load.write_text(series(100))
    go(save=ck)
    first = ck.read_bytes()
    report, said = go("p.csv", save=ck)
    kept = tmp_path / "run.ck.prev"
    assert said == [f"the checkpoint of an earlier run was kept as {str(kept)!r}"]
    assert kept.read_bytes() == first
    assert report.checkpoint == ck


def test_resuming_from_one_and_saving_to_another(tmp_path, load, ck, go, series, whole):
    load.write_text(series(200))
    go(save=ck)
    first, other = ck.read_bytes(), tmp_path / "other.ck"
    other.write_bytes(b"something")
    load.write_text(series(330))
    report, said = go(resume=ck, save=other)
    assert report.scores.read_bytes() == whole
    assert ck.read_bytes() == first
    assert (tmp_path / "other.ck.prev").read_bytes() == b"something"
    assert "kept as" in said[0]
    with pytest.raises(CheckpointMismatch, match="after the"):
        go(resume=ck, save=other)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, load, ck, go, series, content):
    load.write_text(series(100))
    ck.write_bytes(content)
    before = untouched(tmp_path)
    with pytest.raises(CorruptFileError):
        go("folder", resume=ck)
    assert untouched(tmp_path) == before
    assert not (tmp_path / "folder").exists()


def test_flipped_bits_are_refused(tmp_path, load, ck, go, series, rng):
    load.write_text(series(100))
    go(resume=ck)
    content = ck.read_bytes()
    for at in rng.integers(0, len(content), 20):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        ck.write_bytes(damaged)
        before = untouched(tmp_path)
        with pytest.raises(CorruptFileError):
            go(resume=ck)
        assert untouched(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h.update(model="biomem.testing.toys:LeakyIntegrator"), "LeakyIntegrator"),
        (lambda h: h.update(extra={}), "HTMDetector, but not of a detect run"),
        (lambda h: h["extra"]["detect"].update(version=99), "version 99; this is version 1"),
        (lambda h: h["extra"]["detect"].pop("alarms"), "no whole detect run"),
        (lambda h: h["extra"]["detect"].update(more=1), "no whole detect run"),
        (lambda h: h["extra"]["detect"]["position"].update(version=9), "version 9"),
    ],
)
def test_a_foreign_checkpoint_is_refused(tmp_path, load, ck, go, series, change, words):
    load.write_text(series(100))
    go(resume=ck)
    saved = read_checkpoint(ck)
    change(saved.header)
    write_checkpoint(ck, saved.header, saved.arrays)
    before = untouched(tmp_path)
    with pytest.raises(CheckpointMismatch, match=words):
        go(resume=ck)
    assert untouched(tmp_path) == before


def test_a_line_that_was_cut_is_scored_again_when_it_is_whole(
    tmp_path, load, ck, go, series, whole
):
    text = series(330)
    cut = text.index("\n", text.index("2024-05-10 00:00:00")) - 2
    load.write_text(text[:cut])
    first, said = go(resume=ck)
    assert "no line break" in said[1]
    assert first.scores.read_bytes()[:-100] in whole
    assert first.scores.read_bytes() not in whole
    again, _ = go(resume=ck)
    assert again.scores.read_bytes() == first.scores.read_bytes()
    load.write_text(text)
    report, _ = go(resume=ck)
    assert report.scores.read_bytes() == whole


def test_a_cut_line_counts_as_whole_when_another_file_follows(tmp_path, ck, go, series, whole):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(series(200).removesuffix("\n"))
    two.write_text("time,load\n" + series(200, 330))
    go(source=one, resume=ck)
    report, said = go(source=two, resume=ck)
    assert "not the file the position was taken in" in said[0]
    assert len(said) == 1
    assert report.scores.read_bytes() == whole
    assert report.total_records == 330


def test_another_file_continues_the_stream_from_its_beginning(
    tmp_path, load, ck, go, series, whole
):
    load.write_text(series(200))
    go(resume=ck)
    load.unlink()
    load.write_text("time,load\n" + series(190, 330))
    report, _ = go(resume=ck)
    # Ten rows had been seen: late or duplicate, they are not scored twice.
    assert report.scores.read_bytes() == whole
    assert report.skipped == {"late": 9, "duplicate": 1}


def test_a_file_without_times_does_not_continue_one_with(tmp_path, load, ck, go, series):
    load.write_text(series(100))
    go(resume=ck)
    load.write_text("1\n2\n")
    with pytest.raises(DataError, match="no timestamps"):
        go(resume=ck)


class Pipe(io.BytesIO):
    def seekable(self):
        return False


def test_a_pipe_goes_on_where_the_detector_stood(tmp_path, ck, go, series, whole):
    go(source=Pipe(series(200).encode()), resume=ck)
    report, said = go(source=Pipe(("time,load\n" + series(200, 330)).encode()), resume=ck)
    assert report.scores.read_bytes() == whole
    assert "or a pipe" in said[0]


def test_rows_a_killed_pipe_wrote_after_the_checkpoint_stay(tmp_path, ck, go, series, whole):
    class Dying(Pipe):
        def read1(self, size):
            block = super().read1(700)
            if not block:
                raise Killed
            return block

    with pytest.raises(Killed):
        go(source=Dying(series(130).encode()), resume=ck, every=100)
    before = (tmp_path / "o.csv").read_bytes()
    assert before in whole
    (tmp_path / "o.csv").write_bytes(before[:-3])
    rest = Pipe(("time,load\n" + series(130, 330)).encode())
    report, said = go(source=rest, resume=ck, every=100)
    assert any("kept" in text for text in said)
    after = report.scores.read_bytes()
    lines = before.splitlines(keepends=True)
    assert after.startswith(b"".join(lines[:-1]))
    assert after.splitlines()[-1].startswith(whole.splitlines()[-1].split(b",")[0])


@pytest.mark.parametrize("where", ["checkpoint", "rows"])
def test_a_full_disk_loses_nothing(tmp_path, load, ck, go, whole, where):
    """Fail each write in turn with ENOSPC, then go on when there is room again."""
    for step in range(1, 6):
        for path in (ck, tmp_path / "o.csv"):
            path.unlink(missing_ok=True)
        left = [step]

        def full(write, left=left):
            def call(first, *arguments):
                left[0] -= 1
                if left[0] <= 0:
                    if where == "rows":
                        write(first, arguments[0], arguments[1][:7])
                    raise OSError(28, "No space left on device")
                return write(first, *arguments)

            return call

        module, name = (journal_module, "_write_at") if where == "rows" else (atomic, "_write")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, full(getattr(module, name)))
            with pytest.raises(OutputError, match="no space left"):
                go(resume=ck, every=70)
        assert not list(tmp_path.glob(".*"))
        report, _ = go(resume=ck, every=70)
        assert report.scores.read_bytes() == whole


def test_a_file_that_shrinks_while_it_is_read_keeps_what_was_scored(tmp_path, load, ck, go, whole):
    content = load.read_bytes()

    class Shrinking(io.BytesIO):
        def read1(self, size):
            if self.tell() > 4000:
                raise OSError(5, "Input/output error")
            return super().read1(1500)

    with pytest.raises(DataError, match="Input/output error"):
        go(source=Shrinking(content), resume=ck, every=1000)
    assert (tmp_path / "o.csv").read_bytes() in whole
    report, _ = go(resume=ck)
    assert report.scores.read_bytes() == whole
    assert report.records < 330


def test_saving_where_the_output_is_is_refused(tmp_path, load, go, series):
    load.write_text(series(10))
    with pytest.raises(ParameterError, match="the scores and the checkpoint are the same file"):
        go(save=tmp_path / "o.csv")
