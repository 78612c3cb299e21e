"""NeuronIO, the input and output of a detailed pyramidal neuron: converted once, then read.

The published files are pickles of 128 simulations each. `convert_neuronio` reads them without
running anything in them and writes one HDF5 file::

    events/time, events/channel   uint16, by (simulation, time, channel)
    events/offset                 int64 (simulations + 1)
    spikes/time, spikes/offset    output spikes, likewise, in bins of 1 ms
    soma                          float32 (simulations, ms), mV

Channels 0 ... 638 are excitatory, 639 ... 1277 inhibitory, one pair for every segment.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biomem.datasets.plain_pickle import read_plain
from biomem.datasets.tasks.base import Batch, Draws, Task, whole
from biomem.datasets.tasks.spoken import EventBatch
from biomem.engine.atomic import replace_file
from biomem.engine.random import Rng
from biomem.errors import DataError, require

__all__ = ["NeuronIO", "convert_neuronio", "scale_soma"]

V_CLIP, V_REST, V_SCALE = -55.0, -67.7, 10.0
"""Soma targets are clipped above `V_CLIP`, then (v - V_REST) / V_SCALE; mV."""

WARM_UP = 500
"""Milliseconds at the start of a simulation that are not used."""


class _Simulation(NamedTuple):
    time: np.ndarray
    channel: np.ndarray
    spikes: np.ndarray
    soma: np.ndarray


def scale_soma(volts: np.ndarray) -> np.ndarray:
    """Return soma potentials, mV, as the training targets."""
    return ((np.minimum(volts, V_CLIP) - V_REST) / V_SCALE).astype(np.float32)


def convert_neuronio(sources: Iterable[str | os.PathLike[str]], target: str | Path) -> int:
    """Convert published NeuronIO files into one HDF5 file, and return the number of simulations.

    Parameters
    ----------
    sources : iterable of path
        Pickles of the published layout, whose simulations are all equally long.
    target : path
        Written atomically.

    Raises
    ------
    CorruptFileError
        A source is damaged, or holds more than data.
    DataError
        A source has another layout.
    """
    import h5py

    paths = [Path(p) for p in sources]
    if not paths:
        raise DataError("convert_neuronio: no source files given")
    total = 0

    def write(file: Any) -> None:
        nonlocal total
        segments: int | None = None
        with h5py.File(file, "w") as out:
            for path in paths:
                n_segments, simulations = _read_source(path)
                if segments not in (None, n_segments):
                    raise DataError(f"{path}: {n_segments} segments, the others have {segments}")
                segments = n_segments
                total = _append(out, simulations, path)
            out.attrs["format"] = np.bytes_("biomem-neuronio")
            out.attrs["n_channels"] = 2 * (segments or 0)

    replace_file(target, write)
    return total


def _read_source(path: Path) -> tuple[int, list[_Simulation]]:
    content = read_plain(path)
    try:
        n_segments = len(content["Params"]["allSegmentsType"])
        raw = content["Results"]["listOfSingleSimulationDicts"]
        found = [_simulation(one, n_segments) for one in raw]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not of the NeuronIO layout: {error!r}") from error
    if not found:
        raise DataError(f"{path} holds no simulation")
    return n_segments, found


def _simulation(raw: Mapping[str, Any], n_segments: int) -> _Simulation:
    soma = np.asarray(raw["somaVoltageLowRes"], np.float32)
    if soma.ndim != 1 or not 0 < len(soma) < 2**16:
        raise ValueError(f"somaVoltageLowRes has shape {soma.shape}")
    times, channels = [], []
    for first, name in ((0, "exInputSpikeTimes"), (n_segments, "inhInputSpikeTimes")):
        for segment, spikes in raw[name].items():
            if not 0 <= int(segment) < n_segments:
                raise ValueError(f"{name} has a segment {segment} of {n_segments}")
            at = np.asarray(spikes, np.float64).reshape(-1).astype(np.int64)
            times.append(at)
            channels.append(np.full(len(at), first + int(segment)))
    time = np.concatenate([*times, np.zeros(0, np.int64)])
    channel = np.concatenate([*channels, np.zeros(0, np.int64)])
    # Spikes are counted in the bin before their time has passed, as the targets were made.
    spikes = (np.asarray(raw["outputSpikeTimes"], np.float64).reshape(-1) - 0.5).astype(np.int64)
    for name, values in (("input", time), ("output", spikes)):
        if values.size and not (values.min() >= 0 and values.max() < len(soma)):
            raise ValueError(f"{name} spikes outside the {len(soma)} ms of the simulation")
    order = np.lexsort((channel, time))
    return _Simulation(time[order], channel[order], np.sort(spikes), soma)


def _append(out: Any, simulations: list[_Simulation], path: Path) -> int:
    soma = np.stack([s.soma for s in simulations]) if _equally_long(simulations) else None
    known = out["soma"].shape[1] if "soma" in out else None
    if soma is None or known not in (None, soma.shape[1]):
        raise DataError(f"{path}: simulations of different lengths")
    done = _extend(out, "soma", soma)
    columns = (
        ("events", "time", [s.time for s in simulations]),
        ("events", "channel", [s.channel for s in simulations]),
        ("spikes", "time", [s.spikes for s in simulations]),
    )
    for group, name, parts in columns:
        before = _extend(out, f"{group}/{name}", np.concatenate(parts).astype(np.uint16))
        if name == "time":
            ends = before + np.cumsum([len(p) for p in parts])
            start = [] if f"{group}/offset" in out else [0]
            _extend(out, f"{group}/offset", np.array([*start, *ends], np.int64))
    return done + len(simulations)


def _equally_long(simulations: list[_Simulation]) -> bool:
    return len({len(s.soma) for s in simulations}) == 1


def _extend(out: Any, name: str, values: np.ndarray) -> int:
    """Append along the first axis and return the length before."""
    if name not in out:
        out.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=True)
        return 0
    dataset = out[name]
    before = len(dataset)
    dataset.resize(before + len(values), axis=0)
    dataset[before:] = values
    return before


class _Stored(NamedTuple):
    time: np.ndarray
    channel: np.ndarray
    offset: np.ndarray
    spikes: np.ndarray
    spike_offset: np.ndarray
    soma: np.ndarray
    n_channels: int


@functools.lru_cache(maxsize=2)
def _stored(path: Path) -> _Stored:
    import h5py

    names = ("events/time", "events/channel", "events/offset", "spikes/time", "spikes/offset")
    try:
        with h5py.File(path, "r") as file:
            arrays = [file[name][:] for name in (*names, "soma")]
            return _Stored(*arrays, n_channels=int(file.attrs["n_channels"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} was not written by convert_neuronio: {error}; convert the published files"
        ) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeuronIO(Task):
    """Windows of NeuronIO: synaptic spikes in, output spike and soma potential out, every 1 ms.

    Inputs are +1 for an excitatory spike and -1 for an inhibitory one; targets are 0 or 1 and
    `scale_soma` of the potential. Windows are drawn from all simulations, after the first 500 ms.

    Parameters
    ----------
    path : path
        Written by `convert_neuronio`; kept in memory.
    window : int
        Ticks of 1 ms, >= 1.
    batch_size : int
        Default 8.

    References
    ----------
    D. Beniaguev, I. Segev, M. London, "Single cortical neurons as deep artificial neural
    networks", Neuron 109 (2021) 2727.
    """

    path: str | Path
    batch_size: int = 8
    window: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self, "window")

    @property
    def n_inputs(self) -> int:
        """Channels, two for every segment."""
        return self._data().n_channels

    @property
    def n_outputs(self) -> int:
        """Logit of a spike, and scaled soma potential."""
        return 2

    def __call__(self, step: int, rng: Rng) -> Batch:
        """Return ``x`` and targets ``y`` of shape ``(window, batch, 2)``."""
        events = self.events(step, rng)
        x = np.zeros((self.window, self.batch_size, self.n_inputs), np.float32)
        sign = np.where(events.channel < self.n_inputs // 2, 1.0, -1.0)
        # Several spikes of a channel within a bin count once, as published.
        x[events.tick, events.lane, events.channel] = sign
        return Batch(x, events.y)

    def events(self, step: int, rng: Rng) -> EventBatch:
        """Return the batch of `step` as events; those on inhibitory channels stand for -1."""
        data, draws = self._data(), Draws(rng, step)
        n, length = data.soma.shape
        room = length - WARM_UP - self.window + 1
        require(self, "window", room >= 1, f"<= {length - WARM_UP}, what the simulations leave")
        chosen = draws.integers(0, n, self.batch_size)
        starts = WARM_UP + draws.integers(1, room, self.batch_size)
        parts = []
        y = np.zeros((self.window, self.batch_size, 2), np.float32)
        for lane, (row, start) in enumerate(zip(chosen, starts, strict=True)):
            stop = start + self.window
            part = _between(data.time, data.offset, row, start, stop)
            tick = data.time[part].astype(np.int64) - start
            parts.append((tick, np.full(len(tick), lane), data.channel[part].astype(np.int64)))
            spikes = data.spikes[_between(data.spikes, data.spike_offset, row, start, stop)]
            y[spikes.astype(np.int64) - start, lane, 0] = 1.0
            y[:, lane, 1] = scale_soma(data.soma[row, start:stop])
        tick, lane, channel = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((channel, lane, tick))
        return EventBatch(tick[order], lane[order], channel[order], y)

    def _data(self) -> _Stored:
        return _stored(Path(self.path))


def _between(time: np.ndarray, offset: np.ndarray, row: int, start: int, stop: int) -> slice:
    """Return where the events of simulation `row` within [start, stop) stand."""
    low, high = offset[row], offset[row + 1]
    first, last = np.searchsorted(time[low:high], [start, stop])
    return slice(low + first, low + last)
