"""Compiled kernels are cached under the content of everything they are made of."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import biomem
from biomem.backends import jit
from biomem.engine import random_cpu

ROOT = Path(biomem.__file__).parent
DETECTOR = ROOT / "models" / "htm" / "detector" / "cpu.py"
CALLED = {
    DETECTOR: (
        "models/htm/detector/cpu.py",
        "models/htm/temporal_memory/cpu.py",
        "models/htm/temporal_memory/params.py",
        "models/htm/likelihood/model.py",
        "engine/random_cpu.py",
        "engine/random.py",
    ),
    ROOT / "models" / "elm" / "training_cpu.py": (
        "models/elm/simd_cpu.py",
        "backends/simd.py",
        "backends/simd_llvm.py",
    ),
    ROOT / "models" / "wave_rnn" / "bptt_cpu.py": (
        "backends/simd.py",
        "backends/simd_llvm.py",
        "backends/simd_tiles.py",
    ),
}
UNRELATED = ("cli/__init__.py", "stream/records.py", "testing/toys_cpu.py", "backends/ops.py")


def test_no_kernel_goes_round_the_cache() -> None:
    direct = re.compile(r"^\s*from numba import .*\bnjit\b|numba\.njit", re.MULTILINE)
    users = [p.name for p in ROOT.rglob("*.py") if direct.search(p.read_text())]
    assert users == ["jit.py"]


def test_a_kernel_is_cached_in_the_folder_of_its_digest(tmp_path) -> None:
    path = Path(random_cpu.words._cache.cache_path)
    assert path.name == f"numba-{jit.source_digest(ROOT / 'engine' / 'random_cpu.py')}"


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Iterator[Path]:
    copy = tmp_path / "biomem"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(jit, "PACKAGE", copy)
    jit.source_digest.cache_clear()
    yield copy
    jit.source_digest.cache_clear()


@pytest.mark.parametrize("kernel", CALLED, ids=lambda path: path.parent.name)
def test_the_digest_covers_what_the_kernel_calls_and_not_the_rest(kernel: Path, copy: Path) -> None:
    def digest_after(change: str) -> str:
        with (copy / change).open("a") as file:
            file.write("# changed\n")
        jit.source_digest.cache_clear()
        return jit.source_digest(copy / kernel.relative_to(ROOT))

    seen = [jit.source_digest(copy / kernel.relative_to(ROOT))]
    for called in CALLED[kernel]:
        seen.append(digest_after(called))
        assert seen[-1] not in seen[:-1], called
    for unrelated in UNRELATED:
        assert digest_after(unrelated) == seen[-1], unrelated


def test_no_import_is_missed() -> None:
    for file in ROOT.rglob("*.py"):
        found = set(jit._imported(file.read_bytes()))
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                names = ", ".join(alias.name for alias in node.names)
                alone = f"from {node.module} import {names}".encode()
                assert found.issuperset(jit._imported(alone)), (file, alone)


def test_every_module_with_vector_code_is_followed() -> None:
    emits = re.compile(r"^(from|import) (llvmlite|biomem\.backends\.jit)\b", re.MULTILINE)
    for module in (ROOT / "backends").glob("*.py"):
        if emits.search(module.read_text()):
            user = f"from biomem.backends.{module.stem} import name".encode()
            assert list(jit._imported(user)) == [module], module.name


def test_a_read_only_package_is_cached_where_numba_was_told(tmp_path) -> None:
    script = (
        "from biomem.engine import random_cpu; import numpy as np;"
        "random_cpu.below(np.uint32(5), 3); print(random_cpu.below._cache.cache_path)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script],
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(child.stdout.strip()).is_relative_to(tmp_path)
    assert list(tmp_path.rglob("*.nbi"))


TWO_FORMS = """
import numpy as np
from biomem.backends.jit import njit
from biomem.engine.random_cpu import below

@njit
def outer(word, n):
    return below(word, n) + 1

word, n = np.uint32(3_000_000_000), 1000
called = outer(word, n)
forms = [[below._cache_misses.total(), below._cache_hits.total()]]
direct = [below(word, n), below(word, n)]
forms.append([below._cache_misses.total(), below._cache_hits.total()])
print([int(called), *map(int, direct)], forms, len(below.overloads))
"""


def test_a_kernel_called_by_another_gets_its_entry_point_when_python_calls_it(tmp_path) -> None:
    def run() -> str:
        environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": ""}
        command = [sys.executable, "-c", TWO_FORMS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    value = 3_000_000_000 * 1000 >> 32
    values = [value + 1, value, value]
    assert run() == f"{values} [[1, 0], [2, 0]] 1"
    assert run() == f"{values} [[0, 1], [0, 2]] 1"


def test_a_kernel_that_python_called_first_serves_other_kernels_too(tmp_path) -> None:
    script = (
        "import numpy as np; from biomem.backends.jit import njit;"
        "from biomem.engine.random_cpu import below;"
        "below(np.uint32(5), 3); compiled = dict(below.overloads);"
        "njit(lambda w, n: below(w, n))(np.uint32(5), 3);"
        "print(compiled == below.overloads, len(compiled))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True 1"


def test_old_caches_of_other_contents_are_removed_and_new_ones_kept(tmp_path) -> None:
    import os

    current, old, new = (tmp_path / f"numba-{n}" for n in ("a", "b", "c"))
    for folder in (current, old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    jit._remove_old(tmp_path, current)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["numba-a", "numba-c"]
