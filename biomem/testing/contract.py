"""The contract suite: what every model must keep, biomem's own and yours."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biomem import backends
from biomem.engine.model import Model, fields_of, flatten, map_arrays
from biomem.engine.params import Params
from biomem.engine.random import Rng
from biomem.engine.simulator import Simulator
from biomem.errors import BiomemError, InputError

__all__ = ["ContractReport", "check_model"]

CHILD = """
import importlib, runpy, sys
where, module, qualname, path, inputs, out = sys.argv[1:7]
if where:
    namespace = runpy.run_path(where, run_name="biomem_contract_child")
    cls = namespace[qualname]
else:
    cls = importlib.import_module(module)
    for part in qualname.split("."):
        cls = getattr(cls, part)
from biomem.testing.contract import _continue
_continue(path, cls, inputs, out)
"""


@dataclass
class ContractReport:
    """What `check_model` checked; prints as a table.

    Attributes
    ----------
    model : str
    checks : list of (name, remark)
    """

    model: str
    checks: list[tuple[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        width = max((len(name) for name, _ in self.checks), default=0)
        lines = [f"{name:<{width}}  ok  {remark}".rstrip() for name, remark in self.checks]
        return "\n".join([f"{self.model} keeps the model contract", *lines])


def check_model(
    model: Model,
    inputs: Any = None,
    *,
    ticks: int = 24,
    batch: int | None = None,
    seed: int = 1,
    new_process: bool = True,
) -> ContractReport:
    """Check `model` against the contract of ``docs/architecture.md`` on every backend it has here.

    Not a test of what the model computes: add equality with known results, physics and refusals
    of your own.

    Parameters
    ----------
    model : Model
    inputs : array, shape ``(ticks, batch, *Input.axes)``, optional
        Default ``model.example_inputs``.
    ticks : int
        Length of the runs when `inputs` is not given; must be even.
    batch : int, optional
        Default 2 where the model runs several streams, else 1.
    seed : int
    new_process : bool
        Continue the saved run in a new interpreter. A class defined in a notebook cannot be
        imported there and is continued in this one.

    Returns
    -------
    ContractReport

    Raises
    ------
    AssertionError
        The first clause that does not hold, in words, with the figures.
    """
    return _Suite(model, inputs, ticks, batch, seed, new_process).run()


class _Suite:
    def __init__(
        self,
        model: Model,
        inputs: Any,
        ticks: int,
        batch: int | None,
        seed: int,
        new_process: bool,
    ) -> None:
        self.model, self.seed, self.new_process = model, seed, new_process
        self.batch = batch or (2 if model.batched else 1)
        if inputs is None:
            inputs = model.example_inputs(ticks, self.batch, Rng(seed))
        self.inputs = np.asarray(inputs)
        if len(self.inputs) < 2 or len(self.inputs) % 2:
            raise ValueError(f"check_model needs an even number of ticks, got {len(self.inputs)}")
        self.report = ContractReport(type(model).__name__)

    def run(self) -> ContractReport:
        clauses: list[tuple[str, Callable[[], str]]] = [
            ("declarations match the arrays", self.declarations),
            ("step and kernels leave their input alone", self.purity),
            ("parameters read back from their repr and JSON", self.parameters),
            ("runs repeat bit for bit", self.determinism),
            ("chunk size changes nothing", self.chunking),
            ("one and two threads give the same bits", self.threads),
            ("backends equal the reference", self.backends),
            ("run(2n) = run(n), save, load, run(n)", self.resume),
            ("memory stays flat", self.memory),
            ("bad input is refused by name, state unharmed", self.refusals),
        ]
        for name, check in clauses:
            self.report.checks.append((name, check()))
        return self.report

    def simulator(self, backend: str = "auto", **options: Any) -> Simulator:
        return Simulator(
            self.model, backend=backend, seed=self.seed, batch=self.batch, progress=False, **options
        )

    def advance(self, sim: Simulator, start: int = 0, stop: int | None = None) -> Any:
        stop = len(self.inputs) if stop is None else stop
        if self.model.Input is None:
            return sim.run(ticks=stop - start)
        return sim.run(self.inputs[start:stop].copy())

    def outputs(self, sim: Simulator) -> dict[str, np.ndarray]:
        recording = self.advance(sim)
        return {name: np.asarray(recording[name]) for name in recording}

    def declarations(self) -> str:
        sim = self.simulator("numpy")
        before = list(flatten(sim.state))
        self.advance(sim, 0, 2)
        fields = fields_of(self.model.State)
        for name, array in [*before, *flatten(sim.state)]:
            want, shape = fields[name], self.model.shape_of(fields[name], batch=self.batch)
            _hold(
                array.dtype == self.model.dtype_of(want)
                and len(shape) == array.ndim
                and all(w in (None, g) for w, g in zip(shape, array.shape, strict=True)),
                f"state {name!r} is declared {self.model.dtype_of(want)} {want.axes} = {shape}, "
                f"but is {array.dtype} {array.shape}",
            )
        return f"{len(fields)} state arrays"

    def parameters(self) -> str:
        params = self.model.params
        read = eval(repr(params), _parameter_classes(params))
        _hold(read == params, f"eval(repr(params)) gives {read!r}, not {params!r}")
        back = type(params).from_dict(params.to_dict())
        _hold(back == params, f"from_dict(to_dict(params)) gives {back!r}, not {params!r}")
        return ""

    def purity(self) -> str:
        state = self.model.init_state(self.batch, Rng(self.seed))
        x = self.model.check_input(
            None if self.model.Input is None else self.inputs[:1], batch=self.batch, ticks=1
        )
        before, x_before = map_arrays(np.array, state), x.copy()
        first = self.model.step(state, x[0], 0)
        _equal(before, state, "step wrote to the state it was given")
        _hold(np.array_equal(x_before, x), "step wrote to its input")
        _equal(first, self.model.step(state, x[0], 0), "two equal steps differ")
        if self.model.Input is not None:
            for name, choice in self.choices().items():
                given = self.inputs.copy()
                self.simulator(name).run(given)
                _hold(np.array_equal(given, self.inputs), f"{name} wrote to its input: {choice}")
        return ""

    def determinism(self) -> str:
        for name in self.choices():
            one, two = self.simulator(name), self.simulator(name)
            _same(self.outputs(one), self.outputs(two), f"two runs on {name} differ")
            _same(persistent(one), persistent(two), f"two runs on {name} end in different states")
        return ", ".join(self.choices())

    def chunking(self) -> str:
        for name in self.choices():
            whole, parts = self.simulator(name), self.simulator(name, chunk=3)
            _same(self.outputs(whole), self.outputs(parts), f"chunk=3 changes outputs on {name}")
            _same(persistent(whole), persistent(parts), f"chunk=3 changes the state on {name}")
        return ""

    def threads(self) -> str:
        if "numba" not in self.choices():
            return "no threaded kernel"
        import numba

        from biomem.backends import threads

        most, worth = numba.get_num_threads(), threads.WORTH_A_THREAD
        ends = []
        threads.WORTH_A_THREAD = 1
        try:
            for n in (1, min(2, most)):
                numba.set_num_threads(n)
                sim = self.simulator("numba")
                ends.append((self.outputs(sim), persistent(sim)))
        finally:
            numba.set_num_threads(most)
            threads.WORTH_A_THREAD = worth
        _same(ends[0][0], ends[1][0], "outputs depend on the number of threads")
        _same(ends[0][1], ends[1][1], "the state depends on the number of threads")
        return "" if most > 1 else "only one thread here"

    def backends(self) -> str:
        compared = [name for name in self.choices() if name != "numpy"]
        for name in compared:
            for ticks in (1, len(self.inputs)) if self.model.exact else (1,):
                reference, other = self.simulator("numpy"), self.simulator(name)
                a, b = self.advance(reference, 0, ticks), self.advance(other, 0, ticks)
                self.close({n: a[n] for n in a}, {n: b[n] for n in b}, name, ticks)
                self.close(persistent(reference), persistent(other), name, ticks)
        return ", ".join(compared) or "the reference is the only one"

    def close(self, want: dict[str, Any], got: dict[str, Any], name: str, ticks: int) -> None:
        _hold(want.keys() == got.keys(), f"{name} has fields {sorted(got)}, not {sorted(want)}")
        for path in want:
            a, b = np.asarray(want[path]), np.asarray(got[path])
            exact = self.model.exact or a.dtype.kind != "f"
            tolerance = 0.0 if exact else 1e-12 if a.dtype == np.float64 else 1e-5
            ok = a.shape == b.shape and a.dtype == b.dtype
            if ok and tolerance:
                scale = float(np.abs(a).max(initial=0.0))
                ok = bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True))
            elif ok:
                ok = np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            _hold(
                ok,
                f"{path!r} on {name} differs from the reference after {ticks} ticks "
                f"(allowed {tolerance:g} relative)",
            )

    def resume(self) -> str:
        half, remark = len(self.inputs) // 2, ""
        for name in self.choices():
            whole, first = self.simulator(name), self.simulator(name)
            outputs = self.outputs(whole)
            self.advance(first, 0, half)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "half.h5"
                first.save(path)
                got, remark = self.continued(path, half)
            tail = {n: a[half:] for n, a in outputs.items()}
            end = {f"state/{n}": a for n, a in persistent(whole).items()}
            _same(tail, {n: got[n] for n in tail}, f"outputs after a reload differ on {name}")
            _same(end, {n: got[n] for n in end}, f"the state after a reload differs on {name}")
        return remark

    def continued(self, path: Path, half: int) -> tuple[dict[str, np.ndarray], str]:
        cls = type(self.model)
        inputs, out = path.with_name("inputs.npy"), path.with_name("out.npz")
        np.save(inputs, self.inputs[half:])
        module = sys.modules[cls.__module__]
        source = getattr(module, "__file__", None) if cls.__module__ == "__main__" else None
        importable = cls.__module__ != "__main__" and _importable(cls)
        where = "" if importable else source
        if not self.new_process or where is None:
            _continue(str(path), cls, str(inputs), str(out))
            remark = "same process"
        else:
            arguments = [where, cls.__module__, cls.__qualname__, str(path), str(inputs), str(out)]
            child = subprocess.run(
                [sys.executable, "-c", CHILD, *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            _hold(child.returncode == 0, f"the new process failed:\n{child.stderr}")
            remark = "new process"
        with np.load(out) as stored:
            return {name: stored[name] for name in stored.files}, remark

    def memory(self) -> str:
        name = self.simulator().backend
        sim = self.simulator(name)
        self.advance(sim)
        sizes = _state_bytes(sim), _resident()
        for _ in range(8):
            self.advance(sim)
        grown = _resident() - sizes[1] - max(0, _state_bytes(sim) - sizes[0])
        _hold(
            grown < 16 << 20,
            f"memory grew by {grown / 2**20:.1f} MiB beyond the state in 8 runs on {name}",
        )
        return f"{grown / 2**20:.1f} MiB beyond the state"

    def refusals(self) -> str:
        if self.model.Input is None:
            return "takes no input"
        sim = self.simulator()
        self.advance(sim, 0, 2)
        before = persistent(sim)
        bad: list[tuple[str, Any]] = [
            ("shape", np.zeros((2, self.batch + 7, 3, 5), self.inputs.dtype))
        ]
        if self.inputs.dtype.kind == "f" and self.inputs.size:
            for text, value in (("nan", np.nan), ("inf", np.inf)):
                spoiled = self.inputs[:2].copy()
                spoiled.flat[-1] = value
                bad.append((text, spoiled))
        for text, xs in bad:
            try:
                sim.run(xs)
            except InputError as error:
                _hold("inputs" in str(error), f"the refusal does not name the argument: {error}")
                _hold(text in str(error), f"the refusal does not tell what came ({text}): {error}")
            except BiomemError as error:
                raise AssertionError(
                    f"bad input ({text}) raised {error!r}, not InputError"
                ) from error
            else:
                raise AssertionError(f"input with {text} was accepted")
            _hold(sim.tick == 2, f"the clock moved on refused input ({text})")
            _same(before, persistent(sim), f"refused input ({text}) changed the state")
        return ", ".join(text for text, _ in bad)

    def choices(self) -> dict[str, str]:
        """Return the backends this model can run on here, with the reason for each."""
        found = {}
        for name in ("numpy", "numba", "cuda", "torch"):
            if not backends.probe(name).available:
                continue
            try:
                found[name] = backends.resolve(self.model, name).reason
            except BiomemError:
                continue
        return found


def _continue(path: str, cls: type[Model], inputs: str, out: str) -> None:
    """Load, run on, and store outputs and state: the second half of the resume check."""
    sim = Simulator.load(path, model=cls, progress=False)
    xs = np.load(inputs)
    recording = sim.run(ticks=len(xs)) if sim.model.Input is None else sim.run(xs)
    arrays = {name: np.asarray(recording[name]) for name in recording}
    arrays |= {f"state/{name}": a for name, a in persistent(sim).items()}
    np.savez(out, allow_pickle=False, **arrays)


def _importable(cls: type) -> bool:
    try:
        module = importlib.import_module(cls.__module__)
    except ImportError:
        return False
    return getattr(module, cls.__qualname__.partition(".")[0], None) is not None


def _parameter_classes(params: Params) -> dict[str, Any]:
    """Return the class of every parameter set in `params`, as names for `eval`.

    Of those and no others: two families may have a class of one name.
    """
    found: dict[str, Any] = {"inf": float("inf")}
    waiting: list[Any] = [params]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Params):
            found[type(value).__name__] = type(value)
            waiting.extend(vars(value).values())
        elif isinstance(value, tuple):
            waiting.extend(value)
    return found


def persistent(sim: Simulator) -> dict[str, np.ndarray]:
    """Return the state's persistent arrays by path; derived ones may differ between equal runs."""
    fields = fields_of(sim.model.State)
    return {n: a for n, a in flatten(sim.state) if fields[n].kind == "persistent"}


def _state_bytes(sim: Simulator) -> int:
    return sum(a.nbytes for _, a in flatten(sim.state))


def _resident() -> int:
    """Return resident bytes of this process, 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


def _hold(ok: bool, text: str) -> None:
    if not ok:
        raise AssertionError(text)


def _same(want: dict[str, Any], got: dict[str, Any], text: str) -> None:
    for name, array in want.items():
        a, b = np.asarray(array), np.asarray(got[name])
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        _hold(same, f"{text}: {name!r}")


def _equal(want: Any, got: Any, text: str) -> None:
    if isinstance(want, tuple) and not hasattr(want, "_fields"):
        for a, b in zip(want, got, strict=True):
            _equal(a, b, text)
        return
    _same(dict(flatten(want)), dict(flatten(got)), text)
