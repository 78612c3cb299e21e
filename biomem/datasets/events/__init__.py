"""Recordings of address events: readers, binning, and the data sets of tonic."""

from biomem.datasets.events.address import AddressEvents as AddressEvents
from biomem.datasets.events.binning import bin_events as bin_events
from biomem.datasets.events.cochlea import NTidigits as NTidigits
from biomem.datasets.events.cochlea import shd_events as shd_events
from biomem.datasets.events.cochlea import write_ntidigits as write_ntidigits
from biomem.datasets.events.nmnist import read_nmnist as read_nmnist
from biomem.datasets.events.nmnist import write_nmnist as write_nmnist
from biomem.datasets.events.tonic import from_tonic as from_tonic
from biomem.datasets.events.tonic import open_tonic as open_tonic

__all__ = [
    "AddressEvents",
    "NTidigits",
    "bin_events",
    "from_tonic",
    "open_tonic",
    "read_nmnist",
    "shd_events",
    "write_nmnist",
    "write_ntidigits",
]
