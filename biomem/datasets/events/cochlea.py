"""Spoken digits as events of a cochlea: N-TIDIGITS18, and the Heidelberg digits.

Sources: J. Anumula, D. Neil, T. Delbruck, S.-C. Liu, Front. Neurosci. 12 (2018) 23; B. Cramer,
Y. Stradmann, J. Schemmel, F. Zenke, IEEE Trans. Neural Netw. Learn. Syst. 33 (2022) 2744.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from biomem.datasets.events.address import AddressEvents
from biomem.datasets.tasks.spoken import N_CHANNELS, Recordings
from biomem.errors import DataError, InputError, ParameterError

__all__ = ["NTidigits", "shd_events", "write_ntidigits"]

CHANNELS = 64
CLASSES = {
    "seed": {"z": 0, **{str(d): d for d in range(1, 10)}, "o": 10},
    "tonic": {"o": 0, **{str(d): d for d in range(1, 10)}, "z": 10},
}
"""Labels of the eleven digits; "oh" and "zero" are swapped between the two programs."""

DAMAGE = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError)
"""What h5py raises on files that are not what they should be."""


class Utterance(NamedTuple):
    """One recording: who said what, and its events."""

    name: str
    events: AddressEvents
    label: int | None


class NTidigits:
    """Recordings of an ``n-tidigits.hdf5`` file, read one by one.

    Parameters
    ----------
    path : path
        The file, which is not shipped.
    split : {"train", "test"}
    single_digits : bool
        Only recordings of one digit, which have a label; the others have None.
    classes : {"seed", "tonic"}
        Which program's labels: ``z`` is 0 and ``o`` is 10, or the other way round.

    Raises
    ------
    DataError
        No such file, or another layout.

    Notes
    -----
    Indices are those of the recordings kept, and so are `labels`. The file is opened for each
    recording and closed again.
    """

    def __init__(
        self,
        path: str | Path,
        split: Literal["train", "test"] = "train",
        *,
        single_digits: bool = True,
        classes: Literal["seed", "tonic"] = "seed",
    ) -> None:
        if split not in ("train", "test"):
            raise ParameterError(f"NTidigits: split must be 'train' or 'test', got {split!r}")
        if classes not in CLASSES:
            raise ParameterError(f"NTidigits: classes must be 'seed' or 'tonic', got {classes!r}")
        self.path, self.split = Path(path), split
        names = self._read(f"{split}_labels")
        try:
            spoken = [bytes(name).decode("ascii") for name in names]
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: {split}_labels must be byte strings") from error
        digits = [name.rpartition("-")[2] for name in spoken]
        known = CLASSES[classes]
        kept = [i for i, d in enumerate(digits) if not single_digits or len(d) == 1]
        self.names = [spoken[i] for i in kept]
        self.labels = [known.get(digits[i]) if len(digits[i]) == 1 else None for i in kept]
        if single_digits and None in self.labels:
            raise DataError(f"{path}: digits must be one of {sorted(known)}")

    def _read(self, key: str) -> Any:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                return file[key][()]
        except DAMAGE as error:
            raise DataError(f"{self.path} is no file of the N-TIDIGITS layout: {error}") from error

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Utterance:
        name = self.names[index]
        channel = np.asarray(self._read(f"{self.split}_addresses/{name}"))
        seconds = np.asarray(self._read(f"{self.split}_timestamps/{name}"))
        if channel.shape != seconds.shape:
            raise DataError(
                f"{self.path}: recording {name!r} is damaged: addresses of shape {channel.shape}, "
                f"timestamps of shape {seconds.shape}"
            )
        try:
            finite = np.isfinite(seconds.astype(np.float64)).all()
            times = np.rint(seconds.astype(np.float64) * 1e6) if finite else np.array([-1.0])
            order = np.argsort(times, kind="stable")
            events = AddressEvents(
                times[order].astype(np.int64),
                channel.astype(np.int64)[order],
                sensor=(CHANNELS, 1, 1),
            )
        except (InputError, ValueError, TypeError, IndexError) as error:
            raise DataError(f"{self.path}: recording {name!r} is damaged: {error}") from error
        return Utterance(name, events, self.labels[index])

    def __repr__(self) -> str:
        return f"<NTidigits {self.split}: {len(self)} recordings of {self.path.name}>"


def write_ntidigits(
    path: str | Path, recordings: Iterable[tuple[str, AddressEvents]], split: str = "train"
) -> None:
    """Write recordings in the layout of N-TIDIGITS, for tests and for data of one's own.

    Parameters
    ----------
    path : path
    recordings : iterable of (name, events)
        A name ends in ``-`` and the digits said, of ``o``, ``z``, ``1`` ... ``9``.
    split : str
    """
    import h5py

    pairs = list(recordings)
    with h5py.File(path, "a") as file:
        longest = max((len(name) for name, _ in pairs), default=1)
        file[f"{split}_labels"] = np.array([name.encode() for name, _ in pairs], f"S{longest}")
        for name, events in pairs:
            file[f"{split}_addresses/{name}"] = events.channel
            file[f"{split}_timestamps/{name}"] = events.t / 1e6


def shd_events(recordings: Recordings, index: int) -> AddressEvents:
    """Return one recording of what `biomem.datasets.tasks.spoken.read_shd` read.

    Times are stored in half precision: converted before they are scaled, or they would overflow.
    """
    if not 0 <= index < len(recordings.labels):
        raise InputError(
            f"shd_events: index must lie in [0, {len(recordings.labels)}), got {index}"
        )
    own = slice(recordings.offsets[index], recordings.offsets[index + 1])
    times = np.rint(recordings.times[own].astype(np.float64) * 1e6).astype(np.int64)
    order = np.argsort(times, kind="stable")
    return AddressEvents(
        times[order], recordings.units[own].astype(np.int64)[order], sensor=(N_CHANNELS, 1, 1)
    )
