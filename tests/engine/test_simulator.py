"""The engine: chunks, clocks, recordings, interrupts and checkpoints."""

import os
import signal
import threading
from typing import NamedTuple

import numpy as np
import pytest

from biomem import Simulator
from biomem.engine import simulator
from biomem.engine.events import Events
from biomem.engine.model import Field, flatten
from biomem.engine.sdr import SDR
from biomem.errors import (
    CheckpointMismatch,
    CorruptFileError,
    InputError,
    OutputError,
    ParameterError,
    RecordingLimitError,
    RunInterrupted,
    StateLostError,
)
from biomem.testing import LeakyIntegrator
from biomem.testing.toys import LeakyIntegratorState
from biomem.testing.toys_cpu import scan as leaky_scan


class HiddenState(NamedTuple):
    hidden: LeakyIntegratorState


class _Hidden(LeakyIntegrator):
    State = HiddenState
    Output = Field("unit")
    kernels = {}

    def init_state(self, batch, rng):
        return HiddenState(super().init_state(batch, rng))

    def step(self, state, x, tick):
        inner, y = super().step(state.hidden, x, tick)
        return HiddenState(inner), y.v


def inputs(ticks: int = 50, units: int = 4) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(ticks, units))


def test_leak_follows_the_analytic_geometric_approach() -> None:
    sim = Simulator(LeakyIntegrator(n_units=1, tau=0.02, dt=1e-3), backend="numpy")
    v = sim.run(np.ones((200, 1)))["v"][:, 0, 0]
    np.testing.assert_allclose(v, 1 - 0.95 ** np.arange(1, 201), rtol=1e-12)


def test_explicit_step_converges_with_first_order() -> None:
    errors = []
    for dt in (1e-3, 5e-4, 2.5e-4):
        sim = Simulator(LeakyIntegrator(n_units=1, tau=0.02), dt=dt, backend="numpy")
        v = sim.run(np.ones((round(0.04 / dt), 1)))["v"][-1, 0, 0]
        errors.append(abs(v - (1 - np.exp(-2))))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.05)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.05)


def test_run_step_and_stream_are_the_same_ticks() -> None:
    xs = inputs()
    whole = Simulator(LeakyIntegrator(sigma=0.3)).run(xs)["v"]
    stepped = Simulator(LeakyIntegrator(sigma=0.3))
    streamed = Simulator(LeakyIntegrator(sigma=0.3))
    np.testing.assert_array_equal(whole, [stepped.step(x).v for x in xs])
    np.testing.assert_array_equal(whole, [y.v for y in streamed.stream(xs)])
    assert stepped.tick == len(xs)
    assert stepped.t == pytest.approx(0.05)


def test_recorded_samples_are_the_ticks_asked_for() -> None:
    xs = inputs()
    full = Simulator(LeakyIntegrator()).run(xs)["v"]
    sim = Simulator(LeakyIntegrator(), chunk=7)
    sim.run(xs[:3])
    sim.record("v", every=4, index=[2, 0])
    sim.run(xs[3:20])
    recording = sim.run(xs[20:])
    np.testing.assert_array_equal(recording.tick("v"), np.arange(3, 50, 4))
    np.testing.assert_array_equal(recording["v"], full[3::4][:, :, [2, 0]])
    np.testing.assert_allclose(recording.t("v"), np.arange(3, 50, 4) * 1e-3)


def test_state_fields_can_be_sampled_inside_a_chunk() -> None:
    xs = inputs()
    full = Simulator(LeakyIntegrator()).run(xs)["v"]
    sim = Simulator(_Hidden(), chunk=13)
    sim.record("hidden/v", every=5)
    np.testing.assert_array_equal(sim.run(xs)["hidden/v"], full[::5])


def test_a_recording_on_disk_equals_one_in_memory(tmp_path) -> None:
    xs = inputs()
    memory = Simulator(LeakyIntegrator()).run(xs)["v"]
    with Simulator(LeakyIntegrator(), chunk=8) as sim:
        sim.record("v", to=tmp_path / "v.h5")
        sim.run(xs[:30])
        np.testing.assert_array_equal(sim.run(xs[30:])["v"], memory)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "w"}, r"has no 'w'; outputs: \['v'\], state: \['key', 'v'\]"),
        ({"name": "v", "every": 0}, "every must be an integer >= 1, got 0"),
        ({"name": "v", "index": [4]}, r"integers in \[0, 4\), got \[4\]"),
        ({"name": "v", "index": [-1]}, r"integers in \[0, 4\)"),
    ],
)
def test_bad_record_requests_are_refused(arguments: dict, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        Simulator(LeakyIntegrator()).record(**arguments)


def test_a_second_recording_of_a_signal_is_refused() -> None:
    sim = Simulator(LeakyIntegrator())
    sim.record("v")
    with pytest.raises(ParameterError, match="being recorded already"):
        sim.record("v")


def test_a_recording_that_would_not_fit_is_refused_before_the_run() -> None:
    sim = Simulator(LeakyIntegrator(n_units=1), progress=False)
    xs = np.broadcast_to(np.zeros((1, 1)), (1, 1))
    sim.record("v")
    sim._records.open({}, 0)
    with pytest.raises(RecordingLimitError, match="to="):
        sim._records.reserve(10**10)
    assert sim.run(xs)["v"].shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s: s.run(inputs(), ticks=3), "not several"),
        (lambda s: s.run(ticks=3), "needs inputs"),
        (lambda s: s.run(np.zeros((3, 9))), "inputs must have shape"),
        (lambda s: s.step(np.zeros(9)), "inputs must have shape"),
    ],
)
def test_refused_runs_leave_clock_and_state(call, text: str) -> None:
    sim = Simulator(LeakyIntegrator())
    sim.run(inputs(5))
    before = sim.state
    with pytest.raises(InputError, match=text):
        call(sim)
    assert sim.tick == 5
    np.testing.assert_array_equal(sim.state.v, before.v)


class _Free(LeakyIntegrator):
    Input = None
    kernels = {}

    def step(self, state, x, tick):
        return super().step(state, np.ones(state.v.shape), tick)


def test_autonomous_models_run_for_ticks_or_seconds() -> None:
    a = Simulator(_Free()).run(ticks=20)["v"]
    b = Simulator(_Free()).run(seconds=0.02)["v"]
    np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match=r"no whole number of ticks .* nearest is 0\.002"):
        Simulator(_Free()).run(seconds=0.0021)
    with pytest.raises(InputError, match="takes no input"):
        Simulator(_Free()).run(np.zeros((3, 4)))
    with pytest.raises(InputError, match="ticks= or seconds=, not both"):
        Simulator(_Free()).run(ticks=1, seconds=1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"dt": -1.0}, "dt must be finite and > 0 s, got -1.0"),
        ({"dt": float("nan")}, "dt must be finite"),
        ({"batch": 0}, "batch must be an integer >= 1, got 0"),
        ({"chunk": 0}, "chunk must be >= 1"),
    ],
)
def test_bad_simulator_arguments_are_refused(arguments: dict, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        Simulator(LeakyIntegrator(), **arguments)


def test_one_stream_models_refuse_a_batch() -> None:
    class OneStream(LeakyIntegrator):
        batched = False

    with pytest.raises(ParameterError, match="OneStream runs one stream, got batch=2"):
        Simulator(OneStream(), batch=2)


def test_interrupt_is_held_until_the_chunk_is_whole() -> None:
    sent = []

    def slow(model, state, xs, tick):
        if tick >= 20 and not sent:
            sent.append(tick)
            os.kill(os.getpid(), signal.SIGINT)
        return leaky_scan(model, state, xs, tick)

    class Interrupted(LeakyIntegrator):
        kernels = {"numba": slow}

    xs, sim = inputs(), Simulator(Interrupted(), chunk=10)
    with pytest.raises(RunInterrupted, match="after tick 30") as caught:
        sim.run(xs)
    assert sim.tick == 30
    assert len(caught.value.recording["v"]) == 30
    rest = sim.run(xs[30:])["v"]
    whole = Simulator(LeakyIntegrator()).run(xs)["v"]
    np.testing.assert_array_equal(np.concatenate([caught.value.recording["v"], rest]), whole)


def test_an_interrupted_step_does_not_lose_its_output() -> None:
    def interrupting(model, state, xs, tick):
        if tick == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return leaky_scan(model, state, xs, tick)

    class Interrupted(LeakyIntegrator):
        kernels = {"numba": interrupting}

    xs, sim, got = inputs(5), Simulator(Interrupted()), []
    for x in xs:
        try:
            got.append(sim.step(x).v)
        except RunInterrupted as interrupted:
            got.append(interrupted.output.v)
    np.testing.assert_array_equal(got, Simulator(LeakyIntegrator()).run(xs)["v"])


def test_runs_outside_the_main_thread_work() -> None:
    out = []
    worker = threading.Thread(
        target=lambda: out.append(Simulator(LeakyIntegrator()).run(inputs())["v"])
    )
    worker.start()
    worker.join()
    np.testing.assert_array_equal(out[0], Simulator(LeakyIntegrator()).run(inputs())["v"])


def test_a_kernel_that_fails_loses_the_state_and_says_so(tmp_path) -> None:
    def failing(model, state, xs, tick):
        if tick:
            raise RuntimeError("out of memory")
        return leaky_scan(model, state, xs, tick)

    class Failing(LeakyIntegrator):
        kernels = {"numba": failing}

    sim = Simulator(Failing())
    sim.run(inputs(5))
    with pytest.raises(RuntimeError, match="out of memory"):
        sim.run(inputs(5))
    for use in (lambda: sim.run(inputs(5)), lambda: sim.save(tmp_path / "x"), lambda: sim.state):
        with pytest.raises(StateLostError, match=r"Simulator\.load"):
            use()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_checkpoint_continues_bit_for_bit(tmp_path, backend: str) -> None:
    xs = inputs(60)[:, None].repeat(2, axis=1)
    model = LeakyIntegrator(sigma=0.5)
    whole = Simulator(model, backend=backend, batch=2, seed=2**63 + 5)
    expected = whole.run(xs)["v"]
    first = Simulator(model, backend=backend, batch=2, seed=2**63 + 5)
    first.run(xs[:31])
    first.save(tmp_path / "c.h5", extra={"offset": 17})
    again = Simulator.load(tmp_path / "c.h5")
    assert (again.tick, again.backend, again.seed) == (31, backend, 2**63 + 5)
    np.testing.assert_array_equal(again.run(xs[31:])["v"], expected[31:])


def test_a_disk_recording_goes_on_after_a_reload_without_rows_of_the_lost_part(tmp_path) -> None:
    xs = inputs(60)
    sim = Simulator(LeakyIntegrator(), chunk=10)
    sim.record("v", to=tmp_path / "v.h5")
    sim.run(xs[:20])
    sim.save(tmp_path / "c.h5")
    sim.run(xs[20:40])
    sim.close()
    again = Simulator.load(tmp_path / "c.h5")
    again.run(xs[20:])
    again.close()
    np.testing.assert_array_equal(again.recording["v"], Simulator(LeakyIntegrator()).run(xs)["v"])


def test_a_recording_of_an_earlier_run_is_refused_before_this_one_starts(tmp_path) -> None:
    xs, path = inputs(), tmp_path / "v.h5"
    with Simulator(LeakyIntegrator()) as first:
        first.record("v", to=path)
        first.run(xs)
    before = path.read_bytes()
    second = Simulator(LeakyIntegrator())
    second.record("v", to=path)
    with pytest.raises(OutputError, match="already holds the ticks before 50 and this run is at 0"):
        second.run(xs)
    assert second.tick == 0
    assert path.read_bytes() == before


def test_foreign_and_unknown_checkpoints_are_refused(tmp_path) -> None:
    path = tmp_path / "c.h5"
    Simulator(LeakyIntegrator()).save(path)
    with pytest.raises(CheckpointMismatch, match=r"LeakyIntegrator, not by .*_Hidden"):
        Simulator.load(path, model=_Hidden)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CorruptFileError):
        Simulator.load(path)


def test_a_file_never_decides_what_is_imported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(LeakyIntegrator, "qualified_name", classmethod(lambda cls: "antigravity:X"))
    Simulator(LeakyIntegrator()).save(tmp_path / "c.h5")
    with pytest.raises(CheckpointMismatch, match="has not been imported"):
        Simulator.load(tmp_path / "c.h5")
    import sys

    assert "antigravity" not in sys.modules


def test_repr_tells_sizes_and_backend() -> None:
    text = repr(Simulator(LeakyIntegrator(n_units=1000), batch=3, backend="numpy"))
    assert "LeakyIntegrator: backend=numpy, batch=3" in text
    assert "0.024 MB in 2 arrays" in text


def test_work_counts_updates_and_draws() -> None:
    sim = Simulator(LeakyIntegrator(sigma=1.0), batch=2)
    sim.run(inputs(10)[:, None].repeat(2, axis=1))
    assert (sim.work.macs, sim.work.random_draws) == (80, 80)


def test_nested_state_is_flattened_by_path() -> None:
    assert [name for name, _ in flatten(Simulator(_Hidden()).state)] == ["hidden/v", "hidden/key"]


class _Eventful(LeakyIntegrator):
    """Its kernel notes what it is given."""

    takes_events = ("numba",)
    seen = []

    @staticmethod
    def scan(model, state, xs, tick):
        _Eventful.seen.append(xs)
        return leaky_scan(model, state, xs.to_dense() if isinstance(xs, Events) else xs, tick)

    kernels = {"numba": scan}


class _OwnStep(_Eventful):
    def step(self, state, x, tick):
        assert isinstance(x, np.ndarray)
        return super().step(state, x, tick)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_events_reach_the_kernel_that_takes_them_in_chunks_and_no_other(backend):
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(23, 2, 3)) * (rng.random((23, 2, 3)) < 0.3)
    model = _Eventful(n_units=3, tau=0.01, dt=1e-3)
    want = Simulator(model, backend=backend, batch=2).run(xs)["v"]
    _Eventful.seen.clear()
    sim = Simulator(model, backend=backend, batch=2, chunk=10)
    np.testing.assert_array_equal(sim.run(Events.from_dense(xs))["v"], want)
    assert [len(x) for x in _Eventful.seen] == ([10, 10, 3] if backend == "numba" else [])
    assert all(isinstance(x, Events) for x in _Eventful.seen)
    own = _OwnStep(n_units=3, tau=0.01, dt=1e-3)
    got = Simulator(own, batch=2).run(Events.from_dense(xs))["v"]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


def test_patterns_run_like_the_array_they_stand_for():
    dense = np.random.default_rng(1).random((9, 1, 4)) < 0.5
    for cls in (LeakyIntegrator, _Eventful):
        model = cls(n_units=4, tau=0.01, dt=1e-3)
        want = Simulator(model).run(dense)["v"]
        np.testing.assert_array_equal(Simulator(model).run(SDR.from_dense(dense))["v"], want)
        patterns = SDR.from_dense(dense[:, 0])
        np.testing.assert_array_equal(Simulator(model).run(patterns)["v"], want)
        sim = Simulator(model)
        stepped = [sim.step(pattern).v for pattern in patterns]
        np.testing.assert_array_equal(np.stack(stepped), want)


def test_events_of_another_shape_are_refused_and_the_state_is_as_it_was():
    for cls in (LeakyIntegrator, _Eventful):
        sim = Simulator(cls(n_units=3, tau=0.01, dt=1e-3), batch=2)
        for shape in ((4, 1, 3), (4, 2, 5)):
            with pytest.raises(InputError, match=r"must have shape \(time, batch=2, unit=3\)"):
                sim.run(Events.from_dense(np.ones(shape)))
        assert sim.tick == 0


def test_the_package_is_asked_for_its_version_once(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(simulator, "version", lambda name: (asked.append(name), "1.2.3")[1])
    simulator._own_version.cache_clear()
    try:
        sim = Simulator(LeakyIntegrator(n_units=1), progress=False)
        for _ in range(3):
            sim.run(np.zeros((2, 1, 1)))
    finally:
        simulator._own_version.cache_clear()
    assert asked == ["biomem"]
