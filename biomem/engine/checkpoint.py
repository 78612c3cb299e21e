"""Exact checkpoints: an HDF5 file behind a digest of every byte.

The layout is specified in ``docs/formats.md``. The digest is checked before libhdf5 sees a
byte, so a flipped bit can neither be read as a number nor reach a C parser.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from biomem.engine.atomic import read_error, replace_file
from biomem.engine.hdf5 import CHECKPOINT_MAGIC as MAGIC
from biomem.engine.hdf5 import (
    DTYPES,
    as_json,
    checked_dataset,
    chunk_shape,
    is_path,
    kind_of,
    object_at,
)
from biomem.errors import CorruptFileError, InputError

if TYPE_CHECKING:
    import h5py

__all__ = ["FORMAT_VERSION", "Checkpoint", "read_checkpoint", "write_checkpoint"]

StrPath = str | os.PathLike[str]

FORMAT_VERSION = 1
BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 20

_FIELDS = struct.Struct("<22sxxIIQ32s")  # magic, pad, version, block bytes, payload bytes, digest
_DIGEST_AT = _FIELDS.size - 32
_EXPECTED = "a biomem checkpoint"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint file.

    Attributes
    ----------
    header : dict
        What was written as the header, as JSON gives it back.
    arrays : dict of str to ndarray
        Writable arrays, bit for bit as they were written, by path.
    """

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def write_checkpoint(
    path: StrPath,
    header: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    *,
    keep_previous: bool = False,
) -> None:
    """Write a checkpoint, replacing `path` atomically.

    The same content gives the same bytes, whatever the order of `arrays`. Not for data that
    grows without end: the file is put together in memory (see `biomem.engine.recording`).

    Parameters
    ----------
    path : path-like
    header : mapping
        JSON-compatible; tuples come back as lists, keys as strings.
    arrays : mapping of str to ndarray
        By path, such as ``"state/v"``. Boolean, integer, float or complex arrays of any shape.
    keep_previous : bool
        Keep the checkpoint that is replaced as ``<path>.prev``.

    Raises
    ------
    InputError
        A header JSON cannot carry, an array of another kind, or paths that exclude each other.
    OutputError
        The file cannot be written; the old one is as it was.
    """
    buffer = _pack(as_json(header, "checkpoint header"), arrays)
    replace_file(path, buffer, keep_previous=keep_previous)


def read_checkpoint(path: StrPath) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises
    ------
    MissingFileError
        There is no such file.
    CorruptFileError
        The file is damaged, truncated, of another kind or of a newer format version.
    """
    shown = repr(os.fspath(path))
    if (error := read_error(path, _EXPECTED)) is not None:
        raise error
    try:
        with open(path, "rb") as file:
            data = file.read(BLOCK_BYTES)
            length = _verify_block(data, os.fstat(file.fileno()).st_size, shown)
            data += file.read(length)
    except OSError as exc:
        if isinstance(exc, CorruptFileError):
            raise
        raise CorruptFileError(f"cannot read {shown}: {exc}") from exc
    if len(data) != BLOCK_BYTES + length or _digest(data) != _FIELDS.unpack_from(data)[4]:
        raise CorruptFileError(
            f"{shown} is damaged: its SHA-256 is not the one it was written with; "
            "go back to an older checkpoint"
        )
    try:
        return _unpack(data)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as exc:
        # The digest is right, so this file was made that way: not by `write_checkpoint`.
        raise CorruptFileError(f"{shown} is not laid out as {_EXPECTED}: {exc}") from exc


def _pack(header: bytes, arrays: Mapping[str, np.ndarray]) -> memoryview:
    """Return the bytes of the file; only the numbers themselves are copied, once."""
    import h5py  # costs a tenth of a second, which a program without checkpoints need not pay

    checked = {name: _checked(name, arrays[name]) for name in sorted(arrays)}
    for name in checked:
        if above := next((p for p in _above(name) if p in checked), None):
            raise InputError(f"checkpoint: array path {name!r} lies below the array {above!r}")
    buffer = io.BytesIO()
    # The format is pinned, so that a newer libhdf5 writes the same bytes.
    with h5py.File(
        buffer, "w", libver=("v108", "v108"), userblock_size=BLOCK_BYTES, track_order=False
    ) as file:
        file.attrs["format"] = np.bytes_("biomem-checkpoint")
        file.attrs["format_version"] = np.int64(FORMAT_VERSION)
        _write_dataset(file, "header", np.frombuffer(header, np.uint8))
        group = file.create_group("arrays")
        for name, array in checked.items():
            _write_dataset(group, name, array)
    data = buffer.getbuffer()
    length = len(data) - BLOCK_BYTES
    _FIELDS.pack_into(data, 0, MAGIC, FORMAT_VERSION, BLOCK_BYTES, length, bytes(32))
    data[_DIGEST_AT : _DIGEST_AT + 32] = _digest(data)
    return data


def _above(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    if not is_path(name):
        raise InputError(f"checkpoint: {name!r} is no array path; use names such as 'state/v'")
    array = np.asarray(array)
    if array.dtype.name not in DTYPES:
        raise InputError(
            f"checkpoint: array {name!r} must be boolean, integer, float or complex, "
            f"got dtype {array.dtype}"
        )
    return array


def _write_dataset(group: h5py.Group, name: str, array: np.ndarray) -> None:
    if array.size and array.ndim:
        group.create_dataset(
            name,
            data=array,
            chunks=chunk_shape(array.shape, array.dtype.itemsize, CHUNK_BYTES),
            fletcher32=True,
            track_times=False,
        )
    else:
        group.create_dataset(name, data=array, track_times=False)


def _digest(data: bytes | memoryview) -> bytes:
    """Hash the whole file, with the field of the digest itself read as zero."""
    view = memoryview(data)
    sha = hashlib.sha256(view[:_DIGEST_AT])
    sha.update(bytes(32))
    sha.update(view[_DIGEST_AT + 32 :])
    return sha.digest()


def _verify_block(block: bytes, size: int, shown: str) -> int:
    """Return the payload length that the user block states and the file has."""
    if not block.startswith(MAGIC[: max(size, 1)]):
        raise CorruptFileError(f"{shown} is {kind_of(block, size)}, expected {_EXPECTED}")
    if len(block) < BLOCK_BYTES:
        raise CorruptFileError(
            f"{shown} is truncated: {size} bytes, expected at least {BLOCK_BYTES}"
        )
    _, version, block_bytes, length, _ = _FIELDS.unpack_from(block)
    if version != FORMAT_VERSION:
        raise CorruptFileError(
            f"{shown} has checkpoint format version {version}, this biomem reads version "
            f"{FORMAT_VERSION}; a newer biomem may read it, if it is not damaged"
        )
    if block_bytes != BLOCK_BYTES or size != BLOCK_BYTES + length:
        state = "truncated" if size < BLOCK_BYTES + length else "damaged"
        raise CorruptFileError(
            f"{shown} is {state}: {size} bytes, expected {block_bytes + length} by its header"
        )
    return length


def _unpack(data: bytes) -> Checkpoint:
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        left = len(data)
        seen: set[int] = set()
        raw, left = _read(file, "header", left)
        header = json.loads(raw.tobytes())
        if not isinstance(header, dict):
            raise TypeError("the header is no JSON object")
        arrays: dict[str, np.ndarray] = {}
        pending = [("", file["arrays"])]
        while pending:
            prefix, group = pending.pop()
            for name in group:
                if object_at(group, name, seen) is h5py.Group:
                    pending.append((f"{prefix}{name}/", group[name]))
                else:
                    arrays[prefix + name], left = _read(group, name, left)
    return Checkpoint(header, dict(sorted(arrays.items())))


def _read(group: h5py.Group, name: str, left: int) -> tuple[np.ndarray, int]:
    """Read the dataset `name`, which must fit into the `left` bytes of the file."""
    dataset = checked_dataset(group, name, left)
    out = np.empty(dataset.shape, dataset.dtype)
    if out.size:
        dataset.read_direct(out)
    return out, left - out.nbytes
