"""Reading data out of pickles without running anything in them.

A pickle is a program: what it names, `pickle.load` imports and calls. Here the few names that
NumPy arrays need are answered by stand-ins that only note their arguments, and every other name
is refused. Arrays are then built from the noted bytes after all has been checked, so neither
NumPy's own unpickling nor any import takes part.
"""

from __future__ import annotations

import io
import math
import os
import pickle
from typing import Any

import numpy as np

from biomem.engine.atomic import read_error
from biomem.errors import CorruptFileError

__all__ = ["loads_plain", "read_plain"]

_KINDS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"b1", "f2", "f4", "f8"}
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class _Refused(pickle.UnpicklingError):
    """The message is the whole reason."""


class _DType:
    """A dtype by its text, such as ``u1``, and its byte order."""

    def __init__(self, text: object) -> None:
        self.text, self.order = _text(text), "="

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def dtype(self) -> np.dtype[Any]:
        if self.text not in _KINDS or self.order not in ("<", ">", "=", "|"):
            raise _Refused(f"arrays of dtype {self.order}{self.text} are not read")
        order = "" if self.order in ("=", "|") else self.order
        return np.dtype(order + self.text)


class _Array:
    """An array as its shape, dtype, order and bytes."""

    shape: Any
    kind: Any
    fortran: Any
    raw: Any

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.kind, self.fortran, self.raw = state

    def array(self) -> np.ndarray[Any, Any]:
        raw = self.raw.encode("latin1") if isinstance(self.raw, str) else self.raw
        whole = all(isinstance(n, int) and n >= 0 for n in self.shape)
        if not isinstance(self.kind, _DType) or not whole or not isinstance(raw, bytes | bytearray):
            raise _Refused("an array is not laid out as NumPy lays it out")
        dtype = self.kind.dtype()
        if math.prod(self.shape) * dtype.itemsize != len(raw):
            raise _Refused(f"an array of shape {self.shape} has {len(raw)} bytes")
        flat = np.frombuffer(bytes(raw), dtype)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def _stand_ins() -> dict[tuple[str, str], Any]:
    """Return fresh stand-ins: what a pickle does to them ends with it."""

    def reconstruct(*arguments: object) -> _Array:
        return _Array()

    def from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.__setstate__((1, shape, kind, order == "F", raw))
        return array

    def scalar(kind: Any, raw: Any) -> _Array:
        array = _Array()
        array.__setstate__((1, (), kind, False, raw))
        return array

    def dtype(text: object, *flags: object) -> _DType:
        return _DType(text)

    def encode(text: str, encoding: object = "latin1") -> bytes:
        if not isinstance(text, str) or _text(encoding) != "latin1":
            raise _Refused("only latin1 text stands for bytes")
        return text.encode("latin1")

    def no_bytes(*arguments: object) -> bytes:
        if arguments:
            raise _Refused("bytes are made of something")
        return b""

    names: dict[tuple[str, str], Any] = {
        ("builtins", "bytes"): no_bytes,
        ("__builtin__", "bytes"): no_bytes,
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): dtype,
        ("_codecs", "encode"): encode,
    }
    for module in _ARRAY_MODULES:
        names[module, "_reconstruct"] = reconstruct
        names[module, "scalar"] = scalar
    for module in _NUMERIC_MODULES:
        names[module, "_frombuffer"] = from_buffer
    return names


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        # Python 2's str become bytes: text and the content of arrays are told apart by use.
        super().__init__(file, encoding="bytes")
        self._names = _stand_ins()

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self._names[module_name, global_name]
        except KeyError:
            raise _Refused(
                f"it names {module_name}.{global_name}, and nothing but numbers, text, "
                "containers and NumPy arrays is read"
            ) from None


def loads_plain(data: bytes, origin: str = "pickle") -> Any:
    """Return what a pickle holds: numbers, text, lists, tuples, dicts, NumPy arrays.

    Byte strings that are dictionary keys become text (latin1), other byte strings stay.

    Raises
    ------
    CorruptFileError
        Not a pickle, or one that holds anything else.
    """
    try:
        return _Plain().of(_Reader(io.BytesIO(data)).load())
    except _Refused as error:
        raise CorruptFileError(f"{origin} is not read: {error}") from error
    except Exception as error:
        # A damaged pickle fails with whatever the opcode it stumbles over raises.
        raise CorruptFileError(
            f"{origin} is no sound pickle: {type(error).__name__}: {error}"
        ) from error


def read_plain(path: str | os.PathLike[str]) -> Any:
    """Return what the pickle file `path` holds; see `loads_plain`.

    Raises
    ------
    MissingFileError
    CorruptFileError
    """
    if (error := read_error(path, "a pickle")) is not None:
        raise error
    with open(path, "rb") as file:
        return loads_plain(file.read(), repr(os.fspath(path)))


class _Plain:
    """Replaces the stand-ins in a tree; shared parts are converted once and stay shared."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()

    def of(self, value: Any) -> Any:
        if isinstance(value, bool | int | float | str | bytes | bytearray | type(None)):
            return value
        key = id(value)
        if key in self.open:
            raise _Refused("it holds a container that contains itself")
        if key not in self.done:
            self.open.add(key)
            self.done[key] = self._converted(value)
            self.open.discard(key)
        return self.done[key]

    def _converted(self, value: Any) -> Any:
        if isinstance(value, _Array):
            return self._array(value)
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, list | tuple):
            return type(value)([self.of(part) for part in value])
        raise _Refused(f"it holds a {type(value).__name__}")

    def _array(self, value: _Array) -> Any:
        array = value.array()
        return array.item() if array.ndim == 0 else array

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        def key(k: Any) -> Any:
            return k.decode("latin1") if isinstance(k, bytes) else self.of(k)

        return {key(k): self.of(v) for k, v in value.items()}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise _Refused(f"{value!r} stands where text is due")
    return value
