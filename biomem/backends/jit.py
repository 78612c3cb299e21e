"""``numba.njit`` with a disk cache that knows every file a kernel is made of.

numba keys its cache by the one file a function stands in. A kernel that calls another file's
kernel, or uses its constants, is then loaded stale after an edit or an upgrade, and a cache made
with a class that has since been renamed cannot even be read. A kernel of this package is cached
under the content of its file and of all it imports, in a folder of its own for each content.

Import on use: this module imports numba.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from numba import njit as njit
from numba.core import caching, config

__all__ = ["njit"]

PACKAGE = Path(__file__).resolve().parents[1]
LEAVES = ("backends", "errors.py", "typing.py")
"""Parts of the package that no kernel takes code or a constant from; they are not followed."""

INTRINSICS = ("simd", "borrow")
"""What the names of the modules begin with that are followed though they stand in a leaf."""

KEPT_SECONDS = 24 * 3600.0
"""Age from which a folder of another content is removed."""


@functools.cache
def source_digest(file: Path) -> str:
    """Return a digest of `file` and of every file of the package that it imports, and so on."""
    found: dict[Path, bytes] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        source = path.read_bytes()
        found[path] = hashlib.sha256(source).digest()
        # A kernel may use a constant of the engine, never one of what the engine is made of.
        if path.relative_to(PACKAGE).parts[0] != "engine" or path.stem.endswith("_cpu"):
            waiting.extend(_imported(source))
    digest = hashlib.sha256()
    for path in sorted(found):
        digest.update(str(path.relative_to(PACKAGE)).encode() + found[path])
    return digest.hexdigest()[:20]


def _imported(source: bytes) -> Iterator[Path]:
    """Yield the files of the package that a module's import statements name."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("biomem."):
            continue
        module = PACKAGE.joinpath(*(node.module or "").split(".")[1:])
        names = [module / f"{alias.name}.py" for alias in node.names]
        for path in (module.with_suffix(".py"), module / "__init__.py", *names):
            leaf = path.relative_to(PACKAGE).parts[0] in LEAVES
            if path.exists() and (not leaf or path.name.startswith(INTRINSICS)):
                yield path


class KernelCacheLocator(caching._CacheLocator):
    """Places the cache of a function of this package; other functions are left to numba."""

    def __init__(self, folder: Path, digest: str, line: int) -> None:
        self._folder = folder / f"numba-{digest}"
        self._digest = digest
        self._line = line

    def get_cache_path(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the folder of this content's cache."""
        return str(self._folder)

    def get_source_stamp(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the digest of the sources."""
        return self._digest

    def get_disambiguator(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the line of the function, which tells equal names apart."""
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Self | None:
        """Return a locator for a function of this package, in the first folder that is writable."""
        file = Path(py_file)
        if PACKAGE not in file.parents or not file.exists():
            return None
        digest = source_digest(file)
        for folder in _folders(file):
            locator = cls(folder, digest, py_func.__code__.co_firstlineno)
            new = not locator._folder.exists()
            try:
                locator.ensure_cache_path()
            except OSError:
                continue
            if new:
                _remove_old(folder, locator._folder)
            return locator
        return None


def _folders(file: Path) -> Iterator[Path]:
    """Yield where the cache may lie, as numba would choose: asked for, beside, the user's."""
    inside = "-".join(file.relative_to(PACKAGE).with_suffix("").parts)
    if config.CACHE_DIR:  # pyright: ignore[reportAttributeAccessIssue]
        yield Path(config.CACHE_DIR) / "biomem" / inside  # pyright: ignore[reportAttributeAccessIssue]
    yield file.parent / "__pycache__"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    yield Path(home) / "biomem" / inside


def _remove_old(folder: Path, current: Path) -> None:
    """Remove caches of other contents, unless they were made lately: another process may run."""
    for other in folder.glob("numba-*"):
        try:
            if other != current and time.time() - other.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        except OSError:
            continue


caching.CacheImpl._locator_classes.insert(0, KernelCacheLocator)
