"""The commands as they are typed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from biomem.backends import Finding
from biomem.cli import doctor, main


@pytest.mark.parametrize("arguments", [["--help"], ["detect", "--help"], ["--version"]])
def test_help_and_version_load_no_heavy_package(arguments):
    code = (
        "import sys; from biomem.cli import main; code = main(sys.argv[1:])\n"
        "heavy = {'numba', 'matplotlib', 'h5py', 'scipy', 'torch', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_version_is_the_package_s(capsys):
    from biomem import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_the_help_of_detect_states_what_bad_input_leads_to(capsys):
    assert main(["detect", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "cannot be read",
        "no value",
        "beyond 1e150",
        "earlier than the newest",
        "repeat its timestamp",
        "is a gap",
        "A last line without a line break",
        "empty file",
        "missing column",
        "cannot be written",
        "full disk",
        "checkpoint that is damaged",
        "LOOKS AHEAD",
        "exit code 2",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["detekt"], 'biomem: Unknown command "detekt"'),
        (["detect"], "biomem detect: "),
        (["detect", "a.csv"], "--out"),
        (["detect", "a.csv", "-o", "o", "--bogus", "1"], "--bogus"),
        (["detect", "a.csv", "-o", "o", "--format", "xml"], "xml"),
        (["detect", "a.csv", "-o", "o", "--threshold", "high"], "high"),
        (["detect", "a.csv", "-o", "o", "--threshold", "2"], "--threshold must be in (0, 1]"),
        (["detect", "a.csv", "-o", "o", "--min", "2"], "give both"),
        (["detect", "a.csv", "-o", "o", "--tz", "Mars"], "--tz must be an IANA time zone"),
        (["detect", "a.csv", "-o", "o", "--gap-factor", "0.5"], "--gap-factor must be None or"),
        (["detect", "a.csv", "-o", "o", "--save-every", "0"], "save_every must be"),
        (["detect", "a.csv", "b.csv", "-o", "o"], "b.csv"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_doctor_tells_and_its_exit_code_says_whether_something_is_broken(capsys, monkeypatch):
    sound = [Finding("python", "3.11"), Finding("torch", "no", True, "pip install torch")]
    monkeypatch.setattr(doctor, "doctor_report", lambda: sound)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "python  3.11\n" in out
    assert "-> pip install torch\n" in out
    monkeypatch.setattr(doctor, "doctor_report", lambda: [*sound, Finding("numba", "no", False)])
    assert main(["doctor"]) == 1
    assert "! numba   no\n" in capsys.readouterr().out


def test_doctor_finds_this_environment_whole(capsys):
    assert main(["doctor"]) == 0
    assert "biomem" in capsys.readouterr().out
