"""``numba.njit`` with a disk cache that knows every file a kernel is made of.

numba keys its cache by the one file a function stands in. A kernel that calls another file's
kernel, or uses its constants, is then loaded stale after an edit or an upgrade, and a cache made
with a class that has since been renamed cannot even be read. A kernel of this package is cached
under the content of its file and of all it imports, in a folder of its own for each content.

numba also gives every function two entry points from outside, which take each of its arguments
apart, and compiles them again with every function that calls it. A kernel of this package has one,
and a kernel that only kernels call has none: compiling takes a third less time.

Import on use: this module imports numba.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from numba.core import caching, config, sigutils, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

__all__ = ["njit"]

PACKAGE = Path(__file__).resolve().parents[1]
LEAVES = ("backends", "errors.py", "typing.py")
"""Parts of the package that no kernel takes code or a constant from; they are not followed."""

INTRINSICS = ("simd", "borrow")
"""What the names of the modules begin with that are followed though they stand in a leaf."""

IMPORT = re.compile(
    r"^[ \t]*from (?P<module>biomem\.[\w.]+) import (?P<names>\([^)]*\)|[^(\n]*)", re.MULTILINE
)
NAME = re.compile(r"\w+")

KEPT_SECONDS = 24 * 3600.0
"""Age from which a folder of another content is removed."""


def njit(function: Callable[..., Any] | None = None, *, cache: bool = False, **options: Any) -> Any:
    """Compile a function as ``numba.njit`` does; see the top of this module for what differs.

    A kernel made here cannot be handed to another as an argument or kept in a variable there:
    that takes the entry point from C, which none has.
    """
    if function is None:
        return functools.partial(njit, cache=cache, **options)
    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        return function
    kernel = Kernel(function, targetoptions={"nopython": True, "boundscheck": None, **options})
    if cache:
        kernel.enable_caching()
    return kernel


class Kernel(CPUDispatcher):
    """A compiled function that gets an entry point from Python when Python first calls it."""

    _compiler: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.inner = False
        """Whether what is compiled now is called by another function only."""
        self._compiler._customize_flags = self._without_entries

    def enable_caching(self) -> None:
        """Keep on the disk what is compiled."""
        self._cache = KernelCache(self)

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Compile for a function that calls this one; numba asks for it as it infers types."""
        args = tuple(_plain(type_) for type_ in args)
        kws = {name: _plain(type_) for name, type_ in kws.items()}
        with global_compiler_lock:
            before, self.inner = self.inner, True
            try:
                return super().get_call_template(args, kws)
            finally:
                self.inner = before

    def compile(self, sig: Any) -> Any:
        """Compile for a signature, unless that was done in a form that serves the caller."""
        with global_compiler_lock:
            args = tuple(sigutils.normalize_signature(sig)[0])
            if not self.inner and args in self.overloads and not _has_entry(self.overloads[args]):
                del self.overloads[args]
            return super().compile(sig)

    def add_overload(self, cres: Any) -> None:
        """Make a compiled form known to other functions, and to Python if it can be entered."""
        if _has_entry(cres):
            super().add_overload(cres)
        else:
            self.overloads[tuple(cres.signature.args)] = cres

    def _without_entries(self, flags: Any) -> Any:
        flags.no_cfunc_wrapper = True
        flags.no_cpython_wrapper = self.inner
        return flags


def _plain(type_: Any) -> Any:
    """Return the type of all integers in place of the type of one, which numba makes of a constant.

    A function would be compiled once more for every constant that it is called with.
    """
    return types.unliteral(type_) if isinstance(type_, types.IntegerLiteral) else type_


def _has_entry(compiled: Any) -> bool:
    name = compiled.fndesc.llvm_cpython_wrapper_name
    return compiled.library.get_pointer_to_function(name) != 0


class KernelCache(caching.FunctionCache):
    """Keeps apart the forms with and without an entry point from Python."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel.py_func)
        self._kernel = kernel

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the form that is wanted; for another function, the one with the entry serves too."""
        found = super().load_overload(sig, target_context)
        if found is None and self._kernel.inner:
            self._kernel.inner = False
            found = super().load_overload(sig, target_context)
            self._kernel.inner = True
        return found

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return *super()._index_key(sig, codegen), self._kernel.inner


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
    """Yield the files of the package that a module's import statements name.

    Found by their text: to parse every file would take a program longer than all else it imports.
    """
    for statement in IMPORT.finditer(source.decode()):
        module = PACKAGE.joinpath(*statement["module"].split(".")[1:])
        names = [module / f"{name}.py" for name in NAME.findall(statement["names"])]
        for path in (module.with_suffix(".py"), module / "__init__.py", *names):
            leaf = path.relative_to(PACKAGE).parts[0] in LEAVES
            if (not leaf or path.name.startswith(INTRINSICS)) and path.exists():
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
