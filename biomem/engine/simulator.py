"""Advance any model: in chunks, recorded, interruptible, and resumable to the bit."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np

from biomem import backends
from biomem.engine.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from biomem.engine.events import Events
from biomem.engine.interrupt import HeldInterrupt
from biomem.engine.model import Model, fields_of, flatten, map_arrays
from biomem.engine.progress import ProgressMode, progress_bar
from biomem.engine.random import Rng
from biomem.engine.recorders import Recorders
from biomem.engine.recording import Recording
from biomem.engine.restoring import assemble, find_class
from biomem.engine.scan import loop
from biomem.engine.sdr import SDR
from biomem.engine.work import Work
from biomem.errors import (
    CheckpointMismatch,
    InputError,
    ParameterError,
    RunInterrupted,
    StateLostError,
)
from biomem.typing import Array, State

__all__ = ["Simulator"]

CHUNK_BYTES = 4 << 20
"""Target size of one chunk's outputs: large enough to hide Python, small enough for a cache."""

MAX_CHUNK = 4096


class Simulator:
    """One running model: its state, its clock, what is recorded of it.

    Parameters
    ----------
    model : Model
    dt : float, optional
        Time step, s. Replaces ``model.params.dt`` where the model has one; for a model counted
        in records it only scales the time axis of recordings. Default ``params.dt``, else 1.
    backend : {"auto", "numpy", "numba", "cuda", "torch"}
        ``"auto"`` takes the compiled CPU kernel when the model has one, else the reference.
    seed : int
        Key of the counter-based generator the initial state is drawn from.
    batch : int
        Number of independent streams that share the model's weights.
    chunk : int, optional
        Ticks per compiled call; default chosen from the size of the outputs. It never changes
        results.
    progress : {"auto", True, False}
        Progress bar of `run`; ``"auto"`` shows it on terminals and in notebooks.

    Raises
    ------
    ParameterError
        `dt`, `batch` or `chunk` out of range, or a backend the model has no kernel for.
    BackendUnavailable
        The backend cannot run here; the message has the reason and the install line.

    Examples
    --------
    >>> from biomem.testing import LeakyIntegrator
    >>> sim = Simulator(LeakyIntegrator(n_units=2, tau=0.01, dt=1e-3), backend="numpy")
    >>> recording = sim.run([[1.0, 2.0]] * 100)
    >>> recording["v"].shape
    (100, 1, 2)
    """

    def __init__(
        self,
        model: Model,
        dt: float | None = None,
        backend: str = "auto",
        seed: int = 0,
        *,
        batch: int = 1,
        chunk: int | None = None,
        progress: ProgressMode = "auto",
    ) -> None:
        if dt is not None and not (np.isfinite(dt) and dt > 0):
            raise ParameterError(f"Simulator: dt must be finite and > 0 s, got {dt!r}")
        if not (isinstance(batch, int | np.integer) and batch >= 1):
            raise ParameterError(f"Simulator: batch must be an integer >= 1, got {batch!r}")
        if batch > 1 and not model.batched:
            raise ParameterError(
                f"Simulator: {type(model).__name__} runs one stream, got batch={batch}; "
                "make one Simulator per stream"
            )
        if chunk is not None and chunk < 1:
            raise ParameterError(f"Simulator: chunk must be >= 1 tick, got {chunk!r}")
        own_dt = getattr(model.params, "dt", None)
        if dt is not None and own_dt is not None and dt != own_dt:
            model = type(model)(model.params.replace(dt=dt), weights=model.weights)
        self.model = model
        self.dt = float(dt if dt is not None else own_dt if own_dt is not None else 1.0)
        self.seed = int(seed)
        self.batch = int(batch)
        self.progress: ProgressMode = progress
        self._choice = backends.resolve(model, backend)
        self._chunk = chunk
        self._tick = 0
        self._records = Recorders(model, self.dt, self.batch)
        self._device_model = self._on_device()
        self._state: State | None = self._own(model.init_state(self.batch, Rng(self.seed)))

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._choice.backend

    @property
    def tick(self) -> int:
        """Number of ticks done."""
        return self._tick

    @property
    def t(self) -> float:
        """Model time, s."""
        return self._tick * self.dt

    @property
    def state(self) -> State:
        """A copy of the state as NumPy arrays; changing it does not change the run."""
        return map_arrays(lambda a: np.array(backends.to_numpy(a)), self._whole_state())

    @property
    def work(self) -> Work:
        """Operations done since tick 0, as far as the model counts them."""
        return self.model.work(self._whole_state(), self._tick, self.batch)

    @property
    def recording(self) -> Recording:
        """What `record` asked for, over all runs so far."""
        return self._records.recording()

    def explain(self) -> str:
        """Say which kernel runs and why."""
        return str(backends.explain(self.model))

    def record(
        self,
        name: str,
        *,
        every: int = 1,
        index: Any = None,
        to: str | Path | None = None,
    ) -> None:
        """Record an output or a state field from now on, over all runs.

        An output costs nothing extra. A state field ends a compiled chunk wherever it is
        sampled, so with a small `every` it is slow: make an output of what is needed each tick.

        Parameters
        ----------
        name : str
            Name of an output or path of a state field, such as ``"v"`` or ``"sp/permanences"``.
        every : int
            Sample at ticks ``tick, tick + every, ...`` counted from now.
        index : array-like of int, optional
            Which elements of the last axis to keep; default all.
        to : path, optional
            HDF5 file to stream to; default memory, up to a stated limit.

        Raises
        ------
        ParameterError
            No such field, or `every`/`index` out of range; nothing is changed then.
        """
        self._records.add(name, every, index, None if to is None else Path(to), self._tick)

    def run(
        self,
        inputs: Any = None,
        *,
        ticks: int | None = None,
        seconds: float | None = None,
        progress: ProgressMode | None = None,
    ) -> Recording:
        """Advance over all of `inputs`, or for a stated time when the model takes none.

        Parameters
        ----------
        inputs : array, shape ``(time, batch, *Input.axes)``, optional
            The batch axis may be left out with one stream. An `SDR` or `Events` series reaches a
            kernel that takes events as `Events`, and any other as an array.
        ticks, seconds : optional
            Length of the run for a model without input; exactly one of the two.
        progress : optional
            Overrides the simulator's own setting.

        Returns
        -------
        Recording
            What `record` asked for, over all runs so far; without any `record`, every output of
            this run.

        Raises
        ------
        InputError
            Inputs of the wrong shape or dtype, NaN, inf. The state is as it was.
        RecordingLimitError
            The recording would not fit in memory. The state is as it was.
        RunInterrupted
            Ctrl-C: raised between two chunks, with the partial recording attached. The state,
            the clock and the recording agree, and the run can go on.
        """
        if inputs is not None and (ticks is not None or seconds is not None):
            raise InputError("Simulator.run: give inputs, or ticks=, or seconds=, not several")
        xs = self.model.check_input(inputs, batch=self.batch, ticks=self._ticks(ticks, seconds))
        self._whole_state()
        records = self._records if self._records else Recorders.all_outputs(self)
        records.open(self._description(), self._tick)
        records.reserve(len(xs))
        with progress_bar(len(xs), self.progress if progress is None else progress) as bar:
            for done in self._advance(xs, records):
                bar.update(done)
        return records.recording()

    def step(self, x: Any = None) -> Any:
        """Advance by one tick and return the output, fields of shape ``(batch, *axes)``.

        Ctrl-C during the tick raises `RunInterrupted` after it, with the output attached.

        Parameters
        ----------
        x : array or SDR, shape ``(batch, *Input.axes)`` or, with one stream, ``Input.axes``
        """
        one = None if x is None else np.asarray(x.to_dense() if isinstance(x, SDR) else x)[None]
        if one is not None and self.batch == 1 and one.ndim == 1 + len(self._input_axes()):
            one = one[:, None]
        xs = self.model.check_input(one, batch=self.batch, ticks=1)
        self._whole_state()
        if self._records:
            self._records.open(self._description(), self._tick)
            self._records.reserve(1)
        out: list[Any] = []
        try:
            for _ in self._advance(xs, self._records, keep=out):
                pass
        except RunInterrupted as interrupted:
            interrupted.output = map_arrays(lambda a: a[0], out[0])
            raise
        return map_arrays(lambda a: a[0], out[0])

    def stream(self, source: Iterable[Any]) -> Iterator[Any]:
        """Yield the output of every element of `source`, one tick each, without end if need be."""
        for x in source:
            yield self.step(x)

    def save(self, path: str | Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write a checkpoint from which the run continues bit for bit.

        The file is replaced atomically: it holds the old checkpoint or the new one, whole.

        Parameters
        ----------
        path : path
        extra : mapping, optional
            JSON-compatible values kept with the state, such as the position in a source.
        """
        state = self._whole_state()
        declared = fields_of(self.model.State)
        arrays = {
            f"state/{name}": backends.to_numpy(array)
            for name, array in flatten(state)
            if declared[name].kind == "persistent"
        }
        arrays |= {f"weights/{k}": backends.to_numpy(w) for k, w in self.model.weights.items()}
        header = {
            **self._description(),
            "tick": self._tick,
            "records": self._records.describe(),
            "extra": dict(extra or {}),
        }
        write_checkpoint(path, header, arrays)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: type[Model] | None = None,
        backend: str | None = None,
        progress: ProgressMode = "auto",
    ) -> Self:
        """Continue from a checkpoint.

        Parameters
        ----------
        path : path
        model : type, optional
            Class of the model; needed when it is not one of biomem's own and the module that
            defines it has not been imported. The file never decides what is imported.
        backend : str, optional
            Default the backend that wrote the file, or ``"auto"`` where that cannot run.

        Raises
        ------
        CorruptFileError
            The file is damaged or not a checkpoint.
        CheckpointMismatch
            A sound checkpoint of another model, or with other fields; the message lists them.
        """
        return cls.restore(
            read_checkpoint(path), origin=str(path), model=model, backend=backend, progress=progress
        )

    @classmethod
    def restore(
        cls,
        checkpoint: Checkpoint,
        *,
        origin: str = "checkpoint",
        model: type[Model] | None = None,
        backend: str | None = None,
        progress: ProgressMode = "auto",
    ) -> Self:
        """Continue from a checkpoint that has been read already; see `load`."""
        header, arrays = checkpoint.header, checkpoint.arrays
        model_cls = find_class(header, model, origin)
        prefix = "weights/"
        weights = {k[len(prefix) :]: a for k, a in arrays.items() if k.startswith(prefix)}
        try:
            params = model_cls.Params.from_dict(header["params"])
            instance = model_cls(params, weights=weights)
            wanted = header["backend"] if backend is None else backend
            if backend is None and not backends.probe(wanted).available:
                wanted = "auto"
            sim = cls(
                instance,
                None if getattr(params, "dt", None) is not None else header["dt"],
                wanted,
                header["seed"],
                batch=header["batch"],
                progress=progress,
            )
        except (KeyError, TypeError, ParameterError) as error:
            raise CheckpointMismatch(f"{origin}: cannot rebuild the model: {error}") from error
        state = {k[len("state/") :]: a for k, a in arrays.items() if k.startswith("state/")}
        sim._state = sim._own(assemble(instance, state, sim.batch, origin))
        sim._tick = int(header["tick"])
        sim._records.restore(header["records"], sim._tick)
        return sim

    def close(self) -> None:
        """Close recordings on disk; the simulator can go on without them."""
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        held = list(flatten(self._state)) if self._state is not None else []
        size = sum(int(np.prod(a.shape)) * a.dtype.itemsize for _, a in held)
        return (
            f"<Simulator {type(self.model).__name__}: backend={self.backend}, batch={self.batch}, "
            f"dt={self.dt:g} s, tick={self._tick}; state {size / 1e6:.3g} MB in {len(held)} arrays>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{tuple(a.shape)}</td><td>{a.dtype}</td></tr>"
            for name, a in flatten(self._state)
        )
        head = repr(self).strip("<>")
        return (
            f"<p>{head}</p><table><tr><th>state</th><th>shape</th><th>dtype</th></tr>{rows}</table>"
        )

    def _advance(self, xs: Array, records: Recorders, keep: list[Any] | None = None) -> Any:
        """Scan `xs` chunk by chunk, yielding the ticks done; everything is whole at each yield."""
        size = self._chunk or self._chunk_size()
        start = 0
        while start < len(xs):
            stop = min(start + size, len(xs))
            stop = start + records.until_sample(self._tick, stop - start)
            with HeldInterrupt() as interrupt:
                ys = self._scan(xs[start:stop])
                # The clock follows the state at once: a recording that fails leaves both whole.
                first, self._tick = self._tick, self._tick + stop - start
                records.take(first, stop - start, ys, self._state)
            if keep is not None:
                keep.append(ys)
            yield stop - start
            start = stop
            if interrupt.pending:
                raise RunInterrupted(
                    f"interrupted after tick {self._tick}; state and recording are whole, "
                    "call run again to go on",
                    records.recording(),
                )

    def _scan(self, xs: np.ndarray | Events) -> Any:
        state, self._state = self._state, None
        scan = self._choice.scan or loop
        try:
            state, ys = scan(self._device_model, state, self._laid_out(xs), self._tick)
        except BaseException:
            # The reference step is pure, so what went in is still whole; a kernel's is not.
            if self._choice.scan is None:
                self._state = state
            raise
        self._state = state
        return map_arrays(backends.to_numpy, ys)

    def _whole_state(self) -> State:
        if self._state is None:
            raise StateLostError(
                "a kernel failed inside a chunk and consumed the state; "
                "load the last checkpoint with Simulator.load"
            )
        return self._state

    def _laid_out(self, xs: np.ndarray | Events) -> Array:
        """Return a chunk as what runs it takes it."""
        if isinstance(xs, Events):
            if self._choice.scan is not None and self.backend in self.model.takes_events:
                return xs
            assert self.model.Input is not None
            xs = xs.to_dense(self.model.dtype_of(self.model.Input))
        return self._to_device(xs)

    def _to_device(self, array: Array) -> Array:
        return backends.to_backend(self._choice.backend, array)

    def _own(self, state: State) -> State:
        """Copy every array: kernels write into the buffers the engine holds."""
        copied = map_arrays(lambda a: np.array(a, order="C"), state)
        return map_arrays(self._to_device, copied)

    def _on_device(self) -> Model:
        if self.backend in ("numpy", "numba"):
            return self.model
        weights = {name: self._to_device(w) for name, w in self.model.weights.items()}
        return self.model.with_weights(weights)

    def _input_axes(self) -> tuple[str, ...]:
        return () if self.model.Input is None else self.model.Input.axes

    def _chunk_size(self) -> int:
        per_tick = 0
        for field in fields_of(self.model.Output).values():
            lengths = [n or 1 for n in self.model.shape_of(field)]
            per_tick += self.batch * int(np.prod(lengths)) * self.model.dtype_of(field).itemsize
        return int(min(MAX_CHUNK, max(1, CHUNK_BYTES // max(per_tick, 1))))

    def _ticks(self, ticks: int | None, seconds: float | None) -> int | None:
        if ticks is not None and seconds is not None:
            raise InputError("Simulator.run: give ticks= or seconds=, not both")
        if seconds is not None:
            if not (np.isfinite(seconds) and seconds >= 0):
                raise InputError(f"Simulator.run: seconds must be finite and >= 0, got {seconds!r}")
            ticks = round(seconds / self.dt)
            if abs(ticks * self.dt - seconds) > 1e-9 * max(abs(seconds), self.dt):
                raise InputError(
                    f"Simulator.run: seconds={seconds!r} is no whole number of ticks of "
                    f"dt={self.dt!r} s; the nearest is {ticks * self.dt!r}"
                )
        if ticks is not None and ticks < 0:
            raise InputError(f"Simulator.run: ticks must be >= 0, got {ticks!r}")
        return ticks

    def _description(self) -> dict[str, Any]:
        return {
            "model": self.model.qualified_name(),
            "params": self.model.params.to_dict(),
            "dt": self.dt,
            "seed": self.seed,
            "batch": self.batch,
            "backend": self.backend,
            "versions": {
                "biomem": _own_version(),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }


@functools.cache
def _own_version() -> str:
    """Return this package's version, whose file takes a millisecond to read."""
    return version("biomem")
