"""Reader of CIFAR-10 in its binary and its Python version."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from biomem.datasets.plain_pickle import read_plain
from biomem.errors import DataError

__all__ = ["read_cifar10"]

_RECORD = 1 + 3 * 32 * 32


def read_cifar10(
    folder: str | Path, part: Literal["train", "test"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures and labels.

    The binary version (``data_batch_1.bin`` ... ``data_batch_5.bin``, ``test_batch.bin``) is
    preferred; the Python version (the same names without ``.bin``) is read without running
    anything in its pickles. Sets with fewer pictures in a file are read as they are.

    Returns
    -------
    pictures : uint8 array, shape ``(n, 3072)``
        32 x 32 red values row by row, then green, then blue.
    labels : uint8 array, shape ``(n,)``, in [0, 10)

    Raises
    ------
    DataError
        A file is missing, or is not laid out as CIFAR-10.
    """
    folder = Path(folder)
    stems = ["test_batch"] if part == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    parts = [_read(folder, stem) for stem in stems]
    return np.concatenate([p for p, _ in parts]), np.concatenate([y for _, y in parts])


def _read(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray]:
    binary, pickled = folder / f"{stem}.bin", folder / stem
    if binary.is_file():
        raw = np.fromfile(binary, np.uint8)
        if raw.size == 0 or raw.size % _RECORD:
            raise DataError(
                f"{binary}: size must be a multiple of {_RECORD} bytes, a label and a picture, "
                f"got {raw.size}"
            )
        records = raw.reshape(-1, _RECORD)
        pictures, labels = records[:, 1:], records[:, 0]
        where = binary
    elif pickled.is_file():
        pictures, labels = _from_pickle(pickled)
        where = pickled
    else:
        raise DataError(f"CIFAR-10: neither {binary} nor {pickled.name} beside it exists")
    if labels.max(initial=0) > 9:
        raise DataError(f"{where}: labels must be in [0, 10), got {labels.max()}")
    return pictures, labels


def _from_pickle(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = read_plain(path)
    try:
        pictures, labels = content["data"], np.asarray(content["labels"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: must hold 'data' and 'labels': {error!r}") from error
    good = isinstance(pictures, np.ndarray) and pictures.dtype == np.uint8
    if not good or pictures.shape != (len(labels), _RECORD - 1) or labels.dtype.kind != "i":
        raise DataError(
            f"{path}: 'data' must be uint8 of shape (n, {_RECORD - 1}) and 'labels' n integers, "
            f"got {getattr(pictures, 'dtype', type(pictures).__name__)} "
            f"{getattr(pictures, 'shape', '')} and {labels.shape}"
        )
    if labels.size and not (labels.min() >= 0 and labels.max() <= 9):
        raise DataError(f"{path}: labels must be in [0, 10), got {labels.min()} ... {labels.max()}")
    return pictures, labels.astype(np.uint8)
