"""What checkpoints and recordings share: which HDF5 they write, and which they trust."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from biomem.errors import InputError

if TYPE_CHECKING:
    import h5py

__all__ = [
    "CHECKPOINT_MAGIC",
    "DTYPES",
    "HDF5_SIGNATURE",
    "as_json",
    "checked_dataset",
    "chunk_shape",
    "is_path",
    "kind_of",
    "object_at",
]

CHECKPOINT_MAGIC = b"\x8dbiomem-checkpoint\r\n\x1a\n"
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

DTYPES = frozenset(
    name
    for kinds in (
        "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64",
        "float16 float32 float64 complex64 complex128",
    )
    for name in kinds.split()
)
"""Names of the dtypes a file may hold: numbers, and nothing that refers to something else."""


def as_json(values: Mapping[str, Any], what: str) -> bytes:
    """Return `values` as JSON with sorted keys, ASCII only; `what` names it in the error."""
    try:
        return json.dumps(dict(values), sort_keys=True, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as exc:
        raise InputError(f"{what} must hold only what JSON can carry: {exc}") from exc


def is_path(name: str) -> bool:
    """Whether `name` can stand for an object below a group, its parts joined with ``/``."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def chunk_shape(shape: tuple[int, ...], itemsize: int, limit: int) -> tuple[int, ...]:
    """Cut `shape` along its leading axes into nearly equal chunks of at most `limit` bytes.

    >>> chunk_shape((1000, 64), 8, 100_000)
    (167, 64)
    """
    chunk = list(shape)
    for axis, length in enumerate(shape):
        pieces = min(length, -(-math.prod(chunk) * itemsize // limit))
        chunk[axis] = -(-length // pieces)
    return tuple(chunk)


def object_at(group: h5py.Group, path: str, seen: set[int] | None = None) -> type:
    """Return the class of the object at `path`, reached over hard links only.

    A soft or external link could lead anywhere on the machine, a second hard link in a circle.

    Parameters
    ----------
    group : h5py.Group
    path : str
    seen : set of int, optional
        Addresses of the objects met before; meeting one again is an error.

    Raises
    ------
    TypeError
        There is such a link on the way.
    KeyError
        There is no such object.
    """
    import h5py

    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        step = "/".join(parts[:depth])
        if group.get(step, getclass=True, getlink=True) is not h5py.HardLink:
            raise TypeError(f"{step!r} is a link to elsewhere")
    info = h5py.h5o.get_info(group.id, path.encode())
    if seen is not None:
        if info.addr in seen:
            raise TypeError(f"{path!r} is linked twice")
        seen.add(info.addr)
    return h5py.Group if info.type == h5py.h5o.TYPE_GROUP else h5py.Dataset


def checked_dataset(
    group: h5py.Group, path: str, limit: int, rows: int | None = None
) -> h5py.Dataset:
    """Return the dataset at `path` if it is one that biomem writes and its size is real.

    Parameters
    ----------
    group : h5py.Group
    path : str
        Of an object that `object_at` has found.
    limit : int
        Bytes it can have at most, such as the size of the file.
    rows : int, optional
        How many of its rows are wanted; default all.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is missing, of another kind, or claims more bytes than are stored.
    """
    import h5py

    dataset = group[path]
    if not isinstance(dataset, h5py.Dataset):
        raise TypeError(f"{path!r} is no dataset")
    dtype, shape = dataset.dtype, dataset.shape
    if shape is None or dtype.name not in DTYPES:
        raise TypeError(f"{path!r} holds {dtype}, not numbers")
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count():
        raise TypeError(f"{path!r} refers to another file")
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if filters - {h5py.h5z.FILTER_FLETCHER32}:
        raise TypeError(f"{path!r} is compressed or filtered")
    if rows is not None:
        if not shape or shape[0] < rows:
            raise ValueError(f"{path!r} has shape {shape}, expected {rows} rows")
        shape = (rows, *shape[1:])
    needed = math.prod(shape) * dtype.itemsize
    stored = min(limit, dataset.id.get_storage_size())
    if needed > stored:
        raise ValueError(f"{path!r} claims {needed} bytes where {stored} are stored")
    return dataset


def kind_of(head: bytes, size: int) -> str:
    """Say in words what the file of `size` bytes that begins with `head` seems to be."""
    if size == 0:
        return "empty"
    if head.startswith(CHECKPOINT_MAGIC):
        return "a biomem checkpoint"
    if HDF5_SIGNATURE in (head[:8], head[512:520]):
        return "a plain HDF5 file"
    if head[:2] == b"PK":
        return "a zip archive (such as .npz)"
    if head[:6] == b"\x93NUMPY":
        return "a NumPy .npy file"
    if b"\0" in head:
        return "a file of another kind"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        # The head may end within a character.
        return "a text file" if exc.start >= len(head) - 3 else "a file of another kind"
    return "a text file"
