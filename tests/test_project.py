"""What the files around the code promise about each other."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def needed(extra: str | None) -> list[Requirement]:
    """Requirements on Python 3.11 of the base install or of one extra, extras of ours resolved."""
    found = []
    for line in EXTRAS[extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(line)
        if requirement.name == "biomem":
            found += [r for inner in sorted(requirement.extras) for r in needed(inner)]
        elif not requirement.marker or requirement.marker.evaluate({"python_version": "3.11"}):
            found.append(requirement)
    return found


def test_citation_has_the_version_of_the_package():
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == PROJECT["version"]


def test_every_extra_of_the_design_exists():
    extras = "torch brian2 cuda12 cuda13 nir stream sweep data lab test docs"
    assert set(extras.split()) <= set(EXTRAS)


# The CUDA 12 and the CUDA 13 libraries exclude each other; the pinned environment has the latter.
@pytest.mark.parametrize("extra", [None, *sorted(set(EXTRAS) - {"cuda12"})])
def test_each_requirement_has_an_exact_version_it_allows(extra):
    pins = pinned()
    for requirement in needed(extra):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"constraints.txt does not pin {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_brian2_and_numpy_are_a_pair_that_works():
    pins = pinned()
    assert pins["brian2"] == "2.9.0"
    assert tuple(map(int, pins["numpy"].split(".")[:2])) < (2, 4)


def test_pre_commit_runs_the_pinned_tools():
    pins = pinned()
    for name, version in re.findall(
        r'"([\w-]+)==([\w.]+)"', (ROOT / ".pre-commit-config.yaml").read_text()
    ):
        assert pins.get(name, version) == version


def test_importing_biomem_loads_no_heavy_package():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import biomem"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "biomem" in loaded
    heavy = ("torch", "cupy", "numba", "numba_cuda", "brian2", "matplotlib", "pandas", "xarray")
    assert {name for name in loaded if name.partition(".")[0] in heavy} == set()


def test_the_example_series_is_the_published_one():
    note = (ROOT / "examples/data/README.md").read_text()
    digest = hashlib.sha256((ROOT / "examples/data/nyc_taxi.csv").read_bytes()).hexdigest()
    assert digest in note


def test_no_committed_text_names_a_machine_or_a_registry():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("needs the git checkout: an sdist has no list of committed files")
    # Written so that this file does not match itself.
    hosts = ["py[p]i\\.org", "python[h]osted\\.org", "np[m]js\\.org", "download\\.py[t]orch\\.org"]
    forbidden = re.compile("|".join([r"(?<![\w.])/wor[k]/", r"/opt/py[p]i", *hosts]).encode())
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content[:8192] and forbidden.search(content):
            found.append(name)
    assert found == []


def test_every_public_name_is_lazy_typed_and_there() -> None:
    """What type checkers see is what `import biomem` gives."""
    import biomem

    source = Path(biomem.__file__).read_text(encoding="utf-8")
    typed = set(re.findall(r"^    from biomem\.\S+ import (\w+) as \1$", source, re.MULTILINE))
    assert typed == set(biomem.__all__) - {"errors"}
    for name in biomem.__all__:
        assert getattr(biomem, name) is not None
