"""``biomem drift`` as it is typed."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta

import pytest

from biomem.cli import main
from biomem.stream.drift import DriftOptions


def rows(n):
    first = datetime(2024, 5, 1)
    return "time,load\n" + "".join(f"{first + timedelta(minutes=k)},{k % 10}\n" for k in range(n))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Small detectors, as in ``test_detect.py``, and a file to read."""
    full = DriftOptions.detector

    def small(*arguments, **more):
        p = full(*arguments, **more)
        d = p.detector
        pooler = d.spatial_pooler.replace(column_shape=(64,), n_active=6, local_area_density=None)
        memory = d.temporal_memory.replace(n_columns=64, cells_per_column=4)
        return p.replace(detector=d.replace(spatial_pooler=pooler, temporal_memory=memory))

    monkeypatch.setattr(DriftOptions, "detector", small)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text(rows(120))
    return tmp_path


def test_a_clean_file_gives_a_table_rows_events_and_a_plot(here, capsys) -> None:
    assert main(["drift", "in.csv", "-o", "results", "--probation", "50"]) == 0
    out, err = capsys.readouterr()
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told["records"] == "120"
    assert told["drifts"] == "none"
    assert told["phase"] == "baseline"
    assert {path.name for path in (here / "results").iterdir()} == {
        "drift.csv",
        "events.csv",
        "drift.png",
    }
    assert [line for line in err.splitlines() if "compiling" not in line] == []
    with (here / "results" / "drift.csv").open(newline="") as file:
        assert [row["value"] for row in csv.DictReader(file)][:3] == ["0.0", "1.0", "2.0"]


@pytest.mark.parametrize(
    "options",
    [
        ["--signal", "residual", "--test", "mean", "--side", "down", "--shift", "0.5"],
        ["--signal", "value", "--test", "variance", "--baseline", "40", "--on-drift", "reset"],
        ["--preset", "paper", "--kind", "periodic", "--flatline", "5", "--on-drift", "forget"],
        ["--timestamp", "none", "--value", "load", "--format", "jsonl", "--min=0", "--max=9"],
    ],
)
def test_every_option_reaches_the_library(here, capsys, options) -> None:
    words = ["drift", "in.csv", "-o", "o", "--no-plot", "--probation", "20", *options]
    assert main([*words, "--resume", "ck"]) == 0
    assert main([*words, "--resume", "ck"]) == 0
    assert "0 in this run, 120 in all" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--signal", "mood"], "mood"),
        (["--shift", "0"], "--shift must be a number > 0"),
        (["--baseline", "4"], "--baseline must be an integer >= 40"),
        (["--preset", "paper", "--cooldown", "3"], "--cooldown: the paper preset has a test"),
        (["--min", "2"], "give both"),
        (["--tz", "Mars"], "--tz must be an IANA time zone"),
        (["--threshold", "0.4"], "--threshold"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(here, capsys, options, words) -> None:
    assert main(["drift", "in.csv", "-o", "o", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("biomem drift: ")
    assert words in err
    assert not (here / "o").exists()


def test_a_source_without_records_is_refused_like_that_of_detect(here, capsys) -> None:
    (here / "in.csv").write_text("time,load\nx,y\n")
    assert main(["drift", "in.csv", "-o", "o"]) == 2
    assert "none of 1 rows is a usable record" in capsys.readouterr().err


def test_the_help_tells_the_phases(capsys) -> None:
    assert main(["drift", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("probation:", "rebaseline:", "rate of false alarms", "byte for byte", "events"):
        assert words in text
