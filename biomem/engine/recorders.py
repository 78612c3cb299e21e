"""What a simulator records: the signals asked for, grouped by where they go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biomem import backends
from biomem.engine.model import Field, Model, fields_of, flatten
from biomem.engine.recording import (
    Hdf5Recorder,
    MemoryRecorder,
    Recorder,
    Recording,
    Signal,
    select,
)
from biomem.errors import OutputError, ParameterError

if TYPE_CHECKING:
    from biomem.engine.simulator import Simulator

__all__ = ["Recorders"]


class Recorders:
    """Signals by destination, fed one chunk at a time.

    Parameters
    ----------
    model : Model
    dt : float
        s per tick.
    batch : int
    """

    def __init__(self, model: Model, dt: float, batch: int) -> None:
        self._model, self._dt, self._batch = model, dt, batch
        self._outputs = fields_of(model.Output)
        self._states = fields_of(model.State)
        self._signals: dict[Path | None, list[Signal]] = {}
        self._sampled: dict[str, Signal] = {}
        self._recorders: dict[Path | None, Recorder] = {}
        self._resume_tick: int | None = None

    @classmethod
    def all_outputs(cls, sim: Simulator) -> Recorders:
        """Return recorders of every output, in memory, for one run."""
        records = cls(sim.model, sim.dt, sim.batch)
        for name in records._outputs:
            records.add(name, 1, None, None, sim.tick)
        return records

    def __bool__(self) -> bool:
        return bool(self._signals)

    def add(self, name: str, every: int, index: Any, to: Path | None, tick: int) -> None:
        """Add a signal from `tick` on, or refuse it and change nothing."""
        field, is_output = self._find(name)
        if not (isinstance(every, int | np.integer) and every >= 1):
            raise ParameterError(f"record: every must be an integer >= 1, got {every!r}")
        if any(s.name == name for signals in self._signals.values() for s in signals):
            raise ParameterError(f"record: {name!r} is being recorded already")
        if to in self._recorders:
            where = "memory" if to is None else str(to)
            raise ParameterError(
                f"record: the recording in {where} has begun; add every signal before the first run"
            )
        axes = (("batch",) if is_output else ()) + field.axes
        shape = self._model.shape_of(
            Field(*axes, dtype=field.dtype, unit=field.unit), batch=self._batch
        )
        if any(n is None for n in shape):
            raise ParameterError(
                f"record: {name!r} {axes} grows during a run and cannot be recorded"
            )
        index, row = _checked_index(name, index, tuple(n or 0 for n in shape))
        signal = Signal(
            name=name,
            axes=axes,
            shape=row,
            dtype=str(self._model.dtype_of(field)),
            unit=field.unit,
            every=int(every),
            tick0=tick,
            index=index,
            dt=self._dt,
        )
        self._signals.setdefault(to, []).append(signal)
        if not is_output:
            self._sampled[name] = signal

    def _find(self, name: str) -> tuple[Field, bool]:
        if name in self._outputs:
            return self._outputs[name], True
        if name in self._states:
            return self._states[name], False
        raise ParameterError(
            f"record: {type(self._model).__name__} has no {name!r}; outputs: "
            f"{sorted(self._outputs)}, state: {sorted(self._states)}"
        )

    def open(self, description: Mapping[str, Any], tick: int) -> None:
        """Start the recorders that have not begun, for a run that is at `tick`.

        Raises
        ------
        OutputError
            A file cannot be written, or holds the record of another run beyond `tick`.
        """
        for to, signals in self._signals.items():
            if to in self._recorders:
                continue
            if to is None:
                self._recorders[to] = MemoryRecorder(signals)
            else:
                recorder = Hdf5Recorder(
                    to, signals, dict(description), resume_tick=self._resume_tick
                )
                if recorder.tick > tick:
                    recorder.close()
                    raise OutputError(
                        f"cannot record to {to}: it already holds the ticks before "
                        f"{recorder.tick} and this run is at {tick}; record to another file, "
                        "delete this one, or continue its run with Simulator.load"
                    )
                self._recorders[to] = recorder
        self._resume_tick = None

    def reserve(self, ticks: int) -> None:
        """Refuse a run of `ticks` that would not fit, before it starts."""
        for recorder in self._recorders.values():
            recorder.reserve(ticks)

    def until_sample(self, tick: int, ticks: int) -> int:
        """Return how many of the next `ticks` may run before a state field has to be sampled."""
        for signal in self._sampled.values():
            past = (tick - signal.tick0) % signal.every
            ticks = min(ticks, 1 if past == 0 else signal.every - past + 1)
        return ticks

    def take(self, tick: int, ticks: int, ys: Any, state: Any) -> None:
        """Record one chunk: rows of `ys` for outputs, the state after it for state fields."""
        if not self._recorders:
            return
        outputs = dict(flatten(ys))
        fields = dict(flatten(state)) if self._sampled else {}
        for to, signals in self._signals.items():
            recorder = self._recorders[to]
            for signal in signals:
                if signal.name in self._sampled:
                    first = tick + ticks - 1
                    rows = backends.to_numpy(fields[signal.name])[None]
                else:
                    first, rows = tick, outputs[signal.name]
                recorder.append(signal.name, first, select(signal, first, rows))
            recorder.commit(tick + ticks)

    def recording(self) -> Recording:
        """Return everything recorded so far, of all destinations, as one mapping."""
        return Recording.merge([r.recording() for r in self._recorders.values()], self._dt)

    def describe(self) -> list[dict[str, Any]]:
        """Return the signals as JSON-compatible values, for a checkpoint."""
        return [
            {
                "name": s.name,
                "every": s.every,
                "tick0": s.tick0,
                "index": None if s.index is None else [int(i) for i in s.index],
                "to": None if to is None else str(to),
            }
            for to, signals in self._signals.items()
            for s in signals
        ]

    def restore(self, described: list[dict[str, Any]], tick: int) -> None:
        """Ask again for what was recorded when the checkpoint at `tick` was written.

        Recordings in memory start empty; those on disk go on after `tick`, and rows a killed run
        wrote beyond it are dropped, since the run will write them again.
        """
        for d in described:
            to = None if d["to"] is None else Path(d["to"])
            self.add(d["name"], d["every"], d["index"], to, d["tick0"])
        self._resume_tick = tick

    def close(self) -> None:
        """Close every file."""
        for recorder in self._recorders.values():
            recorder.close()


def _checked_index(
    name: str, index: Any, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, tuple[int, ...]]:
    """Return `index` as an array and the shape of a row with it applied to the last axis."""
    if index is None:
        return None, shape
    chosen = np.atleast_1d(np.asarray(index))
    length = shape[-1] if shape else 0
    if (
        chosen.ndim != 1
        or chosen.dtype.kind not in "iu"
        or len(chosen) == 0
        or chosen.min() < 0
        or chosen.max() >= length
    ):
        raise ParameterError(
            f"record: index of {name!r} must hold integers in [0, {length}), got {index!r}"
        )
    return chosen.astype(np.int64), (*shape[:-1], len(chosen))
