"""The doctor's findings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from biomem import backends
from biomem.backends import doctor


def by_item() -> dict[str, backends.Finding]:
    return {finding.item: finding for finding in backends.doctor_report()}


def test_the_report_is_complete_and_sound_here() -> None:
    report = by_item()
    for item in (
        "python",
        "numpy",
        "numba",
        "h5py",
        "torch",
        "cupy",
        "cpu",
        "threads",
        "numba cache",
        "ptx compiler",
    ):
        assert report[item].value, item
    assert report["python"].value.startswith(".".join(map(str, sys.version_info[:3])))
    for name in backends.NAMES:
        assert f"backend {name}" in report
    assert [f for f in report.values() if not f.ok] == []


@pytest.mark.parametrize(
    ("brian2", "numpy", "broken"),
    [
        ("2.9.0", "2.4.6", True),
        ("2.9.0", "2.3.5", False),
        ("2.10.1", "2.4.6", False),
        ("", "2.4.6", False),
    ],
)
def test_the_broken_pair_of_brian2(monkeypatch, brian2: str, numpy: str, broken: bool) -> None:
    versions = {"brian2": brian2, "numpy": numpy}
    monkeypatch.setattr(doctor, "version_of", lambda name: versions.get(name, "1.0"))
    monkeypatch.setattr(doctor, "cupy_wheels", list)
    found = list(doctor._broken_pairs())
    assert bool(found) is broken
    assert all(not f.ok and f.hint == 'pip install "numpy<2.4"' for f in found)


def test_two_cupy_wheels(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: "")
    monkeypatch.setattr(doctor, "cupy_wheels", lambda: ["cupy-cuda12x", "cupy-cuda13x"])
    (found,) = doctor._broken_pairs()
    assert not found.ok
    assert "cupy-cuda12x and cupy-cuda13x" in found.value


def test_a_missing_required_package_is_not_ok(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda name: "" if name == "h5py" else "1.0")
    bad = [f for f in doctor._versions() if not f.ok]
    assert bad == [backends.Finding("h5py", "missing", False, "pip install h5py")]


def test_numba_cache_follows_the_environment(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "not yet"))
    found = doctor._numba_cache()
    assert found.ok
    assert str(tmp_path) in found.value


def test_a_read_only_install_is_noticed(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(doctor, "_writable", lambda folder: False)
    found = doctor._numba_cache()
    assert not found.ok
    assert "NUMBA_CACHE_DIR" in found.hint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_writable", lambda folder: tmp_path in folder.parents)
    found = doctor._numba_cache()
    assert found.ok
    assert found.value.startswith(str(tmp_path / "numba"))


def test_writable_is_tried_not_read_from_permission_bits(tmp_path: Path) -> None:
    assert doctor._writable(tmp_path / "a" / "b")
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").write_text("")
    assert not doctor._writable(tmp_path / "file")


def test_threads_show_the_limits(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    threads = next(f for f in doctor._processor() if f.item == "threads")
    assert "OMP_NUM_THREADS=3" in threads.value
