"""The data sets of tonic, as address events; tonic is GPL and stays an extra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from biomem.datasets.events.address import AddressEvents
from biomem.engine.recording.export import need
from biomem.errors import InputError, ParameterError

__all__ = ["TonicData", "from_tonic", "open_tonic"]


def from_tonic(events: np.ndarray, sensor: Sequence[int]) -> AddressEvents:
    """Return one of tonic's structured arrays as address events, sorted by time.

    Parameters
    ----------
    events : structured array
        Fields ``t`` (us) and ``x``, and ``y``, ``p`` where there are any.
    sensor : sequence of three ints
        tonic's ``sensor_size``: columns, rows, polarities.
    """
    names = events.dtype.names or ()
    if "t" not in names or "x" not in names:
        raise InputError(f"from_tonic: events must have fields t and x, got {list(names)}")
    order = np.argsort(events["t"], kind="stable")
    fields = {name: events[name][order].astype(np.int64) for name in names if name in "txyp"}
    # A cochlea has one row, whatever its data say of polarity and rows.
    columns, rows, polarities = (int(n) for n in sensor)
    for name, n in (("y", rows), ("p", polarities)):
        if n == 1:
            fields.pop(name, None)
    return AddressEvents(**fields, sensor=(columns, rows, polarities))


class TonicData:
    """A tonic data set whose items are ``(AddressEvents, label)``.

    `labels` are those of the items, which tonic's own attribute is not where it filters.
    """

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[AddressEvents, Any]:
        events, label = self.data[index]
        return from_tonic(events, self.data.sensor_size), label

    def __iter__(self) -> Iterator[tuple[AddressEvents, Any]]:
        return (self[i] for i in range(len(self)))

    @property
    def labels(self) -> list[Any]:
        """Label of every item; reads them all."""
        return [label for _, label in self]

    def __repr__(self) -> str:
        return f"<TonicData {type(self.data).__name__}: {len(self)} recordings>"


def open_tonic(name: str, folder: str, **options: Any) -> TonicData:
    """Open a data set of tonic, such as ``"NMNIST"``, ``"NTIDIGITS18"``, ``"SHD"``.

    Parameters
    ----------
    name : str
        Class in ``tonic.datasets``.
    folder : str
        Where its files are, or where tonic downloads them to.
    **options
        Those of the class, such as ``train=False``.

    Raises
    ------
    BackendUnavailable
        tonic is not installed.
    ParameterError
        No such data set.
    """
    datasets = need("tonic.datasets", "tonic")
    if not isinstance(getattr(datasets, name, None), type):
        known = sorted(k for k, v in vars(datasets).items() if isinstance(v, type))
        raise ParameterError(f"open_tonic: no data set {name!r}; tonic has {known}")
    return TonicData(getattr(datasets, name)(save_to=folder, **options))
