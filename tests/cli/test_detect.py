"""``biomem detect``, with every kind of bad input and end."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from biomem.cli import main
from biomem.stream.detect import DetectOptions
from biomem.testing import LeakyIntegrator

HEADER = "timestamp,value\n"
RUN = [sys.executable, "-m", "biomem.cli", "detect"]


def rows(n, start=0):
    first = datetime(2024, 5, 1)
    return "".join(f"{first + timedelta(minutes=k)},{k % 10}\n" for k in range(start, start + n))


@pytest.fixture(autouse=True)
def small_detectors(monkeypatch):
    """Take a tenth of the time in this process; what is read and written is the same."""
    full = DetectOptions.detector

    def small(*arguments, **more):
        p = full(*arguments, **more)
        return p.replace(
            spatial_pooler=p.spatial_pooler.replace(column_shape=(64,), n_active=6),
            temporal_memory=p.temporal_memory.replace(n_columns=64, cells_per_column=4),
        )

    monkeypatch.setattr(DetectOptions, "detector", small)


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run in tmp_path on a file with the given content; no traceback can pass."""
    monkeypatch.chdir(tmp_path)

    def detect(content, *options, out="out.csv", plot=False):
        if content is not None:
            (tmp_path / "in.csv").write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        code = main(["detect", "in.csv", "-o", out, *options, *([] if plot else ["--no-plot"])])
        told, said = capsys.readouterr()
        lines = [line for line in said.splitlines() if "compiling" not in line]
        return SimpleNamespace(code=code, table=told, said=lines)

    return detect


def scores(path="out.csv"):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def refused(result, *words):
    assert result.code == 2
    assert result.table == ""
    assert len(result.said) == 1
    assert result.said[0].startswith("biomem detect: ")
    for word in words:
        assert word in result.said[0]


def test_a_clean_file_gives_a_table_scores_and_a_plot(run, tmp_path):
    result = run(HEADER + rows(30), plot=True, out="results")
    assert result.code == 0
    assert result.said == []
    assert len(scores(tmp_path / "results" / "scores.csv")) == 30
    assert (tmp_path / "results" / "scores.png").exists()
    table = dict(line.split(maxsplit=1) for line in result.table.splitlines())
    assert table["records"] == "30"
    assert table["scores"] == str(tmp_path / "results" / "scores.csv")
    assert {"skipped", "alarms", "speed", "plot"} <= set(table)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["in.csv: the file is empty"]),
        ("\n \n", ["no data rows"]),
        (HEADER, ["there are no data rows"]),
        (HEADER + "x,y\nz,w\n", ["none of 2 rows is a usable record", "'x'"]),
        (HEADER + "2024-05-01,nan\n", ["none of 1 rows", "NaN"]),
        (HEADER + "2024-05-01,1e308\n", ["out of range"]),
        (HEADER + "2024-05-01", ["no data rows but an unfinished line"]),
        (b"\xff\xfea\x00", ["UTF-16"]),
        (b"\x1f\x8b\x08\x00", ["gzip"]),
        (b"\x00" * 100 + b"\n", ["NUL"]),
    ],
)
def test_a_file_without_a_record_is_refused(run, content, words, tmp_path):
    refused(run(content), *words)
    assert not (tmp_path / "out.csv").exists()


def test_an_existing_output_survives_a_file_that_is_refused(run, tmp_path):
    (tmp_path / "out.csv").write_text("earlier")
    (tmp_path / "ck").write_text("earlier too")
    refused(run("", "--save", "ck"))
    assert (tmp_path / "out.csv").read_text() == "earlier"
    assert (tmp_path / "ck").read_text() == "earlier too"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ck", "in.csv", "out.csv"]


@pytest.mark.parametrize(
    "options", [["--value", "load"], ["--timestamp", "load"], ["--value", "7"]]
)
def test_a_missing_column_is_named_with_those_there_are(run, options):
    refused(run(HEADER + rows(3), *options), "no column", options[1], "'timestamp', 'value'")


def test_a_missing_file_and_a_folder_are_refused(run, tmp_path):
    refused(run(None), "in.csv: cannot be read: No such file or directory")
    (tmp_path / "in.csv").mkdir()
    refused(run(None), "in.csv: cannot be read: Is a directory")


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("2024-05-01 00:05:00,nan\n", "1 without a value", "NaN"),
        ("2024-05-01 00:05:00,\n", "1 without a value", "missing"),
        ("2024-05-01 00:05:00,1e308\n", "1 out of range", "1e308"),
        ("2024-05-01 00:05:00,inf\n", "1 out of range", "inf"),
        ("2024-05-01 00:05:00,oops\n", "1 unreadable", "'oops'"),
        ("2024-13-01 00:05:00,1\n", "1 unreadable", "2024-13-01"),
        ("2024-05-01 00:05:00,1,2\n", "1 unreadable", "3 fields"),
        ("2024-05-01 00:05:00\n", "1 unreadable", "1 fields"),
        ('2024-05-01 00:05:00,"1\n', "1 unreadable", "quoted"),
        (b"2024-05-01 00:05:00,\xff1\n", "1 unreadable", "UTF-8"),
        ("2024-05-01 00:05:00," + "1" * 70000 + "\n", "1 overlong", "longer than"),
        ("2024-05-01 00:01:00,1\n", "1 late", "earlier than"),
        ("2024-05-01 00:04:00,1\n", "1 duplicate", "repeats"),
    ],
)
def test_a_bad_row_is_skipped_counted_and_told_once(run, tmp_path, line, kind, words):
    bad = line if isinstance(line, bytes) else line.encode()
    rest = rows(5, 6).encode()
    twice = run(HEADER.encode() + rows(5).encode() + bad + bad + rest)
    assert twice.code == 0
    assert len(twice.said) == 1
    assert words in twice.said[0]
    assert f"skipped         2 {kind[2:]}" in twice.table
    damaged = (tmp_path / "out.csv").read_bytes()
    clean = run(HEADER.encode() + rows(5).encode() + rest)
    assert clean.said == []
    assert (tmp_path / "out.csv").read_bytes() == damaged


def test_rows_can_be_kept_or_held(run):
    extra = "2024-05-01 00:01:00,1\n2024-05-01 00:04:00,2\n2024-05-01 00:05:00,\n"
    options = ["--late", "keep", "--duplicate", "keep", "--missing", "hold"]
    result = run(HEADER + rows(5) + extra, *options)
    assert [row["value"] for row in scores()[5:]] == ["1.0", "2.0", "2.0"]
    assert len(result.said) == 3


def test_a_gap_is_told(run):
    content = HEADER + rows(20) + rows(20, 5000)
    result = run(content)
    assert "gap of more than 50 times the median interval" in result.said[0]
    assert "gaps            1" in result.table
    assert len(scores()) == 40
    assert run(content, "--gap-factor", "off").said == []


def test_a_file_that_ends_in_a_line_is_told_and_the_line_used_if_it_is_a_record(run):
    result = run(HEADER + rows(5) + "2024-05-01 00:05:00,7")
    assert "the last line has no line break; used as it stands" in result.said[0]
    assert scores()[-1]["value"] == "7.0"
    result = run(HEADER + rows(5) + "2024-05-01 00:0")
    assert "left unread" in result.said[0]
    assert len(scores()) == 5
    result = run(HEADER + rows(5) + "2024-05-01 00:05:00,7", "--last-line", "hold")
    assert len(scores()) == 5


def test_values_at_the_edge_of_the_admissible_are_scored(run):
    content = HEADER + rows(5) + "2024-05-01 00:05:00,1e150\n2024-05-01 00:06:00,-1e150\n"
    assert run(content).code == 0
    assert [row["value"] for row in scores()[5:]] == ["1e+150", "-1e+150"]
    compiled = Path("out.csv").read_text()
    assert run(content, "--backend", "numpy").code == 0
    assert Path("out.csv").read_text() == compiled
    assert run(content, "--min", "0", "--max", "10").code == 0
    assert all(0 <= float(row["score"]) <= 1 for row in scores())


def test_every_reading_option_reaches_the_reader(run):
    content = "a;when;b\n1;01.05.2024 00:00;3,5\n1;01.05.2024 00:01;4,5\n"
    options = "--timestamp when --value b --delimiter ; --decimal , --header yes --tz Europe/Berlin"
    result = run(content, *options.split(), "--time-format", "%d.%m.%Y %H:%M", plot=True)
    assert result.code == 0
    assert [row["value"] for row in scores()] == ["3.5", "4.5"]
    assert scores()[0]["timestamp"] == "01.05.2024 00:00"
    assert run("7\n8\n", "--header", "no", "--timestamp", "none", "--value", "0").code == 0
    assert [row["timestamp"] for row in scores()] == ["0", "1"]
    result = run('{"t": "2024-05-01", "v": 3}\n', "--input-format", "jsonl", "--format", "csv")
    assert result.code == 0
    long = run(HEADER + rows(3) + "x" * 50 + "\n", "--max-line-bytes", "40")
    assert "1 overlong" in long.table


@pytest.mark.parametrize(
    "options", ["--min -5 --max 5.5", "--preset nab", "--probation 2 --range-rule --seed 3"]
)
def test_detector_options(run, options):
    assert run(HEADER + rows(12), *options.split()).code == 0
    assert len(scores()) == 12


def test_quiet_prints_nothing_but_errors(run):
    result = run(HEADER + rows(3) + "x,y\n", "--quiet")
    assert (result.code, result.table, result.said) == (0, "", [])
    refused(run("", "--quiet"), "empty")


def test_an_unwritable_output_is_found_out_first(run, tmp_path):
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for out, words in (
        ("plain/x.csv", "not a folder"),
        ("missing/x.csv", "there is no folder"),
        ("folder.csv", "it is a folder"),
        ("plain", "it is no folder"),
        ("/dev/full", "it is no folder"),
        ("in.csv", "the input and the scores are the same file"),
    ):
        refused(run(HEADER + rows(3), out=out), words)
    refused(run(HEADER + rows(3), "--save", "missing/ck"), "there is no folder")
    assert (tmp_path / "in.csv").read_text() == HEADER + rows(3)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        refused(run(HEADER + rows(3), out="locked/x.csv"), "permission denied")


def test_checkpoints_that_cannot_be_resumed(run, tmp_path):
    from biomem import Simulator

    (tmp_path / "ck").write_bytes(b"no checkpoint")
    refused(run(HEADER + rows(3), "--resume", "ck"), "'ck'", "expected a biomem checkpoint")
    Simulator(LeakyIntegrator(n_units=2), backend="numpy").save(tmp_path / "ck")
    refused(run(HEADER + rows(3), "--resume", "ck"), "LeakyIntegrator, but not of a detect run")
    assert not (tmp_path / "out.csv").exists()
    assert run(HEADER + rows(3), "--save", "ck").code == 0
    content = bytearray((tmp_path / "ck").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "ck").write_bytes(content)
    refused(run(HEADER + rows(3), "--resume", "ck"), "is damaged", "SHA-256")
    assert (tmp_path / "ck").read_bytes() == content
    assert run(HEADER + rows(3), "--save", "ck").said[0].endswith("ck.prev'")
    refused(run(HEADER + rows(3), "--resume", "ck", "--preset", "nab"), "was", "and is")


def test_save_and_resume_give_the_same_file(run, tmp_path):
    run(HEADER + rows(60))
    whole = (tmp_path / "out.csv").read_bytes()
    options = ["--resume", "ck", "--save-every", "25", "--probation", "40"]
    run(HEADER + rows(60), "--probation", "40")
    whole = (tmp_path / "out.csv").read_bytes()
    assert "starting at the beginning" in run(HEADER + rows(45), *options).said[0]
    result = run(HEADER + rows(60), *options)
    assert result.said == []
    assert "15 in this run, 60 in all" in result.table
    assert f"checkpoint      {tmp_path / 'ck'}" in result.table
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_a_table_nobody_reads_is_no_error(run, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["detect", "in.csv", "-o", "out.csv"]) == 2
    (content := HEADER + rows(3))
    with open("in.csv", "w") as file:
        file.write(content)
    assert main(["detect", "in.csv", "-o", "out.csv", "--no-plot"]) == 0


@contextlib.contextmanager
def started(arguments, **how):
    with subprocess.Popen(
        [*RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(path, lines, process):
    for _ in range(1200):
        if path.exists() and (not lines or path.read_text().count("\n") >= lines):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise TimeoutError(path)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_a_waiting_run_with_everything_saved(tmp_path, signum, code):
    out, ck = tmp_path / "out.csv", tmp_path / "ck"
    arguments = ["-", "-o", out, "--resume", ck, "--min", "0", "--max", "10"]
    with started(arguments, stdin=subprocess.PIPE) as process:
        process.stdin.write(HEADER + rows(20) + "2024-05-01 00:2")
        process.stdin.flush()
        wait_for(out, 21, process)
        process.send_signal(signum)
        table, said = process.communicate()
    assert process.returncode == code
    assert f"stopped by      {signum.name}" in table
    assert "Traceback" not in said
    assert len(scores(out)) == 20
    done = subprocess.run(
        [*RUN, *arguments], input=HEADER + rows(10, 20), capture_output=True, text=True, check=True
    )
    assert "10 in this run, 30 in all" in done.stdout
    assert len(scores(out)) == 30


def test_a_named_pipe_without_a_writer_can_be_left(tmp_path):
    os.mkfifo(tmp_path / "in")
    # The folder of the scores is made just before the pipe is opened.
    with started([tmp_path / "in", "-o", tmp_path / "out"]) as process:
        wait_for(tmp_path / "out", 0, process)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert "Traceback" not in said
    assert process.returncode == 0


def test_a_named_pipe_is_read_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("in")

    def write():
        with open("in", "w") as file:
            file.write(HEADER + rows(5))

    writer = threading.Thread(target=write)
    writer.start()
    assert main(["detect", "in", "-o", "out.csv", "--no-plot"]) == 0
    writer.join()
    assert len(scores()) == 5


@contextlib.contextmanager
def file_size_limit(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_ends_in_one_line_and_loses_nothing(run, tmp_path):
    content = HEADER + rows(700)
    options = ["--save", "ck", "--save-every", "100"]
    assert run(content, *options).code == 0
    whole, size = (tmp_path / "out.csv").read_bytes(), (tmp_path / "ck").stat().st_size
    # First the checkpoint passes the limit, then the scores.
    for limit, more in ((size // 2, options), (len(whole) // 2, [])):
        (tmp_path / "ck").unlink(missing_ok=True)
        with file_size_limit(limit):
            result = run(content, *more)
        refused(result, "the file would pass the size limit")
        assert whole.startswith((tmp_path / "out.csv").read_bytes())
        assert not list(tmp_path.glob(".*.tmp"))
    assert run(content, "--resume", "ck").code == 0
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_numbers_are_written_so_that_they_read_back(run):
    values = [0.1, 1 / 3, 1e-300, -0.0, 123456789.123456789, 5e-324]
    lines = "".join(f"2024-05-01 00:0{k}:00,{v!r}\n" for k, v in enumerate(values))
    run(HEADER + lines)
    back = np.array([float(row["value"]) for row in scores()])
    assert back.tobytes() == np.array(values).tobytes()
