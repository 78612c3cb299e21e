"""A running fleet: streams by key, created when first heard of, saved and resumed together."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.engine.model import fields_of, flatten, map_arrays, unflatten
from biomem.engine.random import Rng
from biomem.errors import CheckpointMismatch, InputError, ParameterError
from biomem.models.htm.detector import HTMDetectorOutput, HTMDetectorParams, HTMDetectorState
from biomem.models.htm.detector.params import resolution_for
from biomem.models.htm.fleet.model import HTMFleetModel, HTMFleetState, stream_seed
from biomem.models.htm.fleet.params import HTMFleetParams

__all__ = ["HTMFleet"]

Key = str | int


class HTMFleet:
    """Anomaly detectors for thousands of streams, each as if it were alone.

    What a stream reports depends on its own records, its key, the parameters and the seed; not on
    other streams, on how records are spread over calls, on the number of threads, or on the
    process it runs in. The Temporal Memory of a stream draws with a hash of its key; the initial
    permanences of the Spatial Pooler are the same for all.

    Memory is reserved for `capacity` streams at once, and taken from the system as streams come;
    a stream never takes more than `bytes_per_stream`. Beyond the capacity a new key is an error:
    to drop another stream silently would make its results depend on its neighbours. `remove`
    streams that ended.

    One call of `update_many` costs a few microseconds more than its records, so pass many at
    once. Not safe to call from several threads: use one fleet in each, or `threads`. For one
    stream, or for recordings of its state, use `HTMDetector`.

    Parameters
    ----------
    params : HTMFleetParams
    capacity : int
        Largest number of streams.
    seed : int
        Key that the Spatial Pooler's initial permanences are drawn with, as in `Simulator`.
    threads : int
        Threads over streams; the results are the same bits for any number.

    Raises
    ------
    ParameterError
        `capacity` or `threads` below 1, or more memory than there is.

    Examples
    --------
    >>> fleet = HTMFleet(HTMFleetParams.light(0.0, 100.0), capacity=10)
    >>> y = fleet.update_many(["pump 1", "pump 2"], [42.0, 43.0], times=[0.0, 0.0])
    >>> y.raw, len(fleet)
    (array([1., 1.]), 2)
    """

    def __init__(
        self, params: HTMFleetParams, *, capacity: int = 1000, seed: int = 0, threads: int = 1
    ) -> None:
        for name, value in (("capacity", capacity), ("threads", threads)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(f"HTMFleet: {name} must be an integer >= 1, got {value!r}")
        self._begin(HTMFleetModel(params), capacity, seed, threads)

    def _begin(self, model: HTMFleetModel, capacity: int, seed: int, threads: int) -> None:
        from biomem.models.htm.fleet import cpu

        self.model, self.capacity, self.seed, self.threads = model, capacity, int(seed), threads
        self._blank = model.init_state(1, Rng(seed))
        self._shared = {
            name
            for name, field in fields_of(HTMFleetState).items()
            if model.shares_pooler and field.axes[0] == "pooler"
        }
        self._arena = self._reserve()
        self._slots: dict[Key, int] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._scratch = [cpu.make_scratch(model) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._kernel, self._constants = cpu.advance, cpu.constants_of(model)

    def _reserve(self) -> HTMFleetState:
        # Zeroed memory costs nothing until it is written to. The probe asks for all of it at once:
        # the parts may each be granted where their sum could never be.
        try:
            np.empty(self.capacity * self.bytes_per_stream, np.uint8)
            arrays = {
                name: array.copy()
                if name in self._shared
                else np.zeros((self.capacity, *array.shape[1:]), array.dtype)
                for name, array in flatten(self._blank)
            }
        except (MemoryError, ValueError):
            raise ParameterError(
                f"HTMFleet: capacity={self.capacity} needs {self._megabytes(self.capacity)}, more "
                "than this machine gives; lower it, or temporal_memory.max_segments"
            ) from None
        return unflatten(HTMFleetState, arrays)

    @property
    def params(self) -> HTMFleetParams:
        """Parameters of the fleet."""
        return self.model.params

    @property
    def bytes_per_stream(self) -> int:
        """Memory of a stream, all of it, at any age."""
        return sum(a.nbytes for name, a in flatten(self._blank) if name not in self._shared)

    @property
    def keys(self) -> list[Key]:
        """Keys of the streams, in the order they came."""
        return list(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: object) -> bool:
        return key in self._slots

    def update_many(
        self,
        keys: Sequence[Key] | np.ndarray,
        values: Any,
        times: Any = None,
        resets: Any = None,
    ) -> HTMDetectorOutput:
        """Take records of any streams, several of one stream in the order they stand in.

        Parameters
        ----------
        keys : sequence of str or int, shape ``(n,)``
            An unknown key begins a new stream.
        values : array-like of float, shape ``(n,)``
            Finite; leave records without a value out.
        times : array-like, shape ``(n,)``, optional
            Wall-clock seconds or datetime64. Needed when the parameters encode time.
        resets : array-like of bool, shape ``(n,)``, optional
            True where a record does not continue the stream's last one; default nowhere.

        Returns
        -------
        HTMDetectorOutput
            Fields of shape ``(n,)``, in the order of the records.

        Raises
        ------
        InputError
            Keys that are neither str nor int, arrays of other lengths, values that are not
            finite, more streams than `capacity`. Nothing is changed then.
        """
        names = keys.tolist() if isinstance(keys, np.ndarray) else list(keys)
        records = self._records(len(names), values, times, resets)
        try:
            streams = np.array([self._slots[key] for key in names], np.int64)
        except (KeyError, TypeError):
            self._admit(names)
            streams = np.array([self._slots[key] for key in names], np.int64)
        ys: Any = HTMDetectorOutput(*(np.empty(len(names)) for _ in HTMDetectorOutput._fields))
        if self._pool is None:
            self._advance(0, np.arange(len(names)), streams, records, ys)
        else:
            mine = [np.flatnonzero(streams % self.threads == i) for i in range(self.threads)]
            done = [
                self._pool.submit(self._advance, i, order, streams, records, ys)
                for i, order in enumerate(mine)
            ]
            for future in done:
                future.result()
        return ys

    def _advance(self, thread: int, order: np.ndarray, *rest: Any) -> None:
        self._kernel(self._arena, self._constants, self._scratch[thread], order, *rest)

    def _records(self, n: int, values: Any, times: Any, resets: Any) -> np.ndarray:
        if times is None:
            if self.params.detector.time is not None:
                raise InputError(
                    "HTMFleet.update_many: times must be given, since the parameters encode the "
                    "time of day; use time_of_day=False for streams without timestamps"
                )
            times = np.zeros(n)
        elif np.asarray(times).dtype.kind == "M":
            times = np.asarray(times).astype("datetime64[us]").astype(np.float64) / 1e6
        records = np.zeros((n, 3))
        columns = {"values": values, "times": times, "resets": 0 if resets is None else resets}
        for column, (name, given) in enumerate(columns.items()):
            try:
                array = np.asarray(given, np.float64)
            except (TypeError, ValueError):
                raise InputError(f"HTMFleet.update_many: {name} must be numbers") from None
            if array.shape != (n,) and not (name == "resets" and resets is None):
                raise InputError(
                    f"HTMFleet.update_many: {name} must have shape ({n},), one entry per key, got "
                    f"{array.shape}"
                )
            records[:, column] = array
        if not np.isfinite(records).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(records))[0])
            raise InputError(
                f"HTMFleet.update_many: {list(columns)[column]} must be finite, got "
                f"{records[row, column]} at index {row}; leave missing records out"
            )
        return records

    def _admit(self, names: Iterable[Any]) -> None:
        """Begin the streams of unknown keys, or none of them."""
        for key in names:
            self._check_key(key)
        new = [key for key in dict.fromkeys(names) if key not in self._slots]
        if len(new) > len(self._free):
            raise InputError(
                f"HTMFleet: no room for {len(new)} new streams beside {len(self)} of at most "
                f"capacity={self.capacity}, the first is {new[0]!r}; remove streams that ended, or "
                "make a larger fleet"
            )
        for key in new:
            self._begin_stream(key)

    @staticmethod
    def _check_key(key: Any) -> None:
        ok = isinstance(key, str | int) and not isinstance(key, bool)
        try:
            str(key).encode()
        except UnicodeEncodeError:
            ok = False
        if not ok:
            raise InputError(f"HTMFleet: a key must be an int or a str of Unicode, got {key!r}")

    def _begin_stream(self, key: Key) -> int:
        slot = self._slots[key] = self._free.pop()
        for (name, rows), (_, blank) in zip(
            flatten(self._arena), flatten(self._blank), strict=True
        ):
            if name not in self._shared:
                rows[slot] = blank[0]
        self._arena.seed[slot] = self._stream_seed(key)
        return slot

    def _stream_seed(self, key: Key) -> int:
        return stream_seed(self.params.detector.temporal_memory.seed, key)

    def add(self, key: Key, minimum: float | None = None, maximum: float | None = None) -> None:
        """Begin a stream before its first record, with a range of its own if one is given.

        Raises
        ------
        InputError
            The key is taken or no key, there is no room, or the range is none.
        """
        if key in self._slots:
            raise InputError(f"HTMFleet.add: there is a stream {key!r} already; remove it first")
        given = (minimum, maximum) != (None, None)
        low, high = (math.nan if v is None else float(v) for v in (minimum, maximum))
        if given and not (math.isfinite(high - low) and low <= high):
            raise InputError(
                "HTMFleet.add: minimum <= maximum must be finite, both or neither, got "
                f"{minimum!r} and {maximum!r}"
            )
        self._admit([key])
        if given:
            self._arena.resolution[self._slots[key]] = resolution_for(low, high)

    def remove(self, key: Key) -> None:
        """Forget a stream; a later record of the same key begins it anew."""
        self._free.append(self._slots.pop(self._known(key)))

    def _known(self, key: Key) -> Key:
        if key not in self._slots:
            raise InputError(f"HTMFleet: there is no stream {key!r}")
        return key

    def detector_params(self, key: Key) -> HTMDetectorParams:
        """Return the parameters of the `HTMDetector` that the stream equals bit for bit.

        Raises
        ------
        InputError
            No such stream, or one whose range is not known yet.
        """
        resolution = float(self._arena.resolution[self._slots[self._known(key)]])
        if math.isnan(resolution):
            raise InputError(
                f"HTMFleet.detector_params: the stream {key!r} is still learning its range, from "
                f"its first {self.params.range_records} records"
            )
        return self.model.detector_params(self._stream_seed(key), resolution)

    def detector_state(self, key: Key) -> HTMDetectorState:
        """Return a copy of a stream's state in the form of the single detector."""
        state = self.model.detector_state(self._arena, self._slots[self._known(key)])
        return map_arrays(np.array, state)

    def save(
        self,
        path: str | Path,
        extra: Mapping[str, Any] | None = None,
        *,
        keep_previous: bool = False,
    ) -> None:
        """Write a checkpoint of all streams, atomically; `load` continues bit for bit.

        The file is also a checkpoint of `HTMFleetModel`, readable with `Simulator.load`. It is put
        together in memory, which for a moment takes as much again as the streams do.

        Parameters
        ----------
        path : path
        extra : mapping, optional
            JSON-compatible values kept with the state, such as the positions in a source.
        keep_previous : bool
            Keep the file that is replaced as ``<path>.prev``.
        """
        slots = np.array(list(self._slots.values()), np.int64)
        declared = fields_of(HTMFleetState)
        arrays = {
            f"state/{name}": array if name in self._shared else array[slots]
            for name, array in flatten(self._arena)
            if declared[name].kind == "persistent"
        }
        arrays |= {f"weights/{name}": array for name, array in self.model.weights.items()}
        header = {
            "model": self.model.qualified_name(),
            "params": self.params.to_dict(),
            "dt": 1.0,
            "seed": self.seed,
            "batch": len(self),
            "backend": "numba",
            "versions": {
                "biomem": version("biomem"),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "tick": 0,
            "records": [],
            "capacity": self.capacity,
            "keys": self.keys,
            "extra": dict(extra or {}),
        }
        write_checkpoint(path, header, arrays, keep_previous=keep_previous)

    @classmethod
    def load(
        cls, path: str | Path, *, capacity: int | None = None, threads: int = 1
    ) -> tuple[Self, dict[str, Any]]:
        """Continue from a checkpoint.

        Parameters
        ----------
        path : path
        capacity : int, optional
            Default that of the fleet that was saved.
        threads : int

        Returns
        -------
        fleet : HTMFleet
        extra : dict
            What was given to `save`.

        Raises
        ------
        CorruptFileError
            The file is damaged or not a checkpoint.
        CheckpointMismatch
            A sound checkpoint of something else, or of more streams than `capacity`.
        """
        checkpoint = read_checkpoint(path)
        header, arrays = checkpoint.header, checkpoint.arrays
        if header.get("model") != HTMFleetModel.qualified_name() or "keys" not in header:
            raise CheckpointMismatch(f"{path} was made by {header.get('model')}, not by a fleet")
        try:
            params = HTMFleetParams.from_dict(header["params"])
            pools = {"pools": arrays["weights/pools"]}
            fleet = cls.__new__(cls)
            room = int(header["capacity"]) if capacity is None else capacity
            fleet._begin(HTMFleetModel(params, weights=pools), room, header["seed"], threads)
        except (KeyError, TypeError, ParameterError) as error:
            raise CheckpointMismatch(f"{path}: cannot rebuild the fleet: {error}") from error
        fleet._restore(header["keys"], arrays, str(path))
        return fleet, dict(header.get("extra", {}))

    def _restore(self, keys: list[Key], arrays: Mapping[str, np.ndarray], origin: str) -> None:
        n = len(keys)
        if n > self.capacity:
            raise CheckpointMismatch(f"{origin} has {n} streams, more than {self.capacity=}")
        declared = fields_of(HTMFleetState)
        for name, rows in flatten(self._arena):
            if declared[name].kind != "persistent":
                continue
            target, got = rows if name in self._shared else rows[:n], arrays.get(f"state/{name}")
            if got is None or got.shape != target.shape or got.dtype != target.dtype:
                raise CheckpointMismatch(
                    f"{origin}: state {name!r} must be {target.dtype} {target.shape}, got "
                    f"{'nothing' if got is None else f'{got.dtype} {got.shape}'}"
                )
            target[...] = got
        self.model.connect(self._arena, n)
        self._slots = {key: slot for slot, key in enumerate(keys)}
        self._free = list(range(self.capacity - 1, n - 1, -1))

    def _megabytes(self, streams: int) -> str:
        return f"{streams * self.bytes_per_stream / 2**20:.3g} MiB"

    def __repr__(self) -> str:
        return (
            f"<HTMFleet of {len(self)} streams, at most {self.capacity}: "
            f"{self.bytes_per_stream} bytes each, {self._megabytes(len(self))} in use, "
            f"{self._megabytes(self.capacity)} at most; threads={self.threads}>"
        )
