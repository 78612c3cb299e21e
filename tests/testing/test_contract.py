"""The contract suite passes a sound model and names the clause each broken one breaks."""

import itertools

import numpy as np
import pytest

from biomem.testing import LeakyIntegrator, check_model
from biomem.testing.toys import LeakyIntegratorOutput, LeakyIntegratorState
from biomem.testing.toys_cpu import scan as leaky_scan


def test_a_sound_model_passes_and_the_report_lists_every_clause() -> None:
    report = check_model(LeakyIntegrator(sigma=0.2))
    assert len(report.checks) == 10
    assert "keeps the model contract" in repr(report)
    assert ("run(2n) = run(n), save, load, run(n)", "new process") in report.checks


class WritesState(LeakyIntegrator):
    def step(self, state, x, tick):
        state.v[:] += x
        return state, LeakyIntegratorOutput(state.v.copy())


class WritesInput(LeakyIntegrator):
    kernels = {}

    def step(self, state, x, tick):
        result = super().step(state, x, tick)
        x[:] = 0
        return result


class Forgets(LeakyIntegrator):
    """Keeps a count outside its state."""

    kernels = {}
    counter = itertools.count()

    def step(self, state, x, tick):
        return super().step(state, x + next(self.counter), tick)


class KernelWritesInput(LeakyIntegrator):
    @staticmethod
    def spoil(model, state, xs, tick):
        result = leaky_scan(model, state, xs, tick)
        xs[:] = 0
        return result

    kernels = {"numba": spoil}


class KernelDiffers(LeakyIntegrator):
    @staticmethod
    def off(model, state, xs, tick):
        state, ys = leaky_scan(model, state, xs, tick)
        return state, LeakyIntegratorOutput(ys.v * (1 + 1e-9))

    kernels = {"numba": off}


class KernelIgnoresTick(LeakyIntegrator):
    @staticmethod
    def stuck(model, state, xs, tick):
        return leaky_scan(model, state, xs, 0)

    kernels = {"numba": stuck}


class WrongDtype(LeakyIntegrator):
    kernels = {}

    def init_state(self, batch, rng):
        state = super().init_state(batch, rng)
        return LeakyIntegratorState(state.v.astype(np.float32), state.key)


class Undeclared(LeakyIntegrator):
    """Loses part of its state on disk: the potential is declared derived and never rebuilt."""

    kernels = {}

    def rebuild(self, state):
        return state._replace(v=np.zeros((2, self.params.n_units)))


class AcceptsNaN(LeakyIntegrator):
    def check_input(self, xs, *, batch, ticks=None):
        return super().check_input(np.nan_to_num(xs), batch=batch, ticks=ticks)


@pytest.mark.parametrize(
    ("model", "clause"),
    [
        (WritesState, "step wrote to the state"),
        (WritesInput, "step wrote to its input"),
        (Forgets, "differ"),
        (KernelWritesInput, "numba wrote to its input"),
        (KernelDiffers, "on numba differs from the reference"),
        (WrongDtype, "is declared float64"),
        (Undeclared, "after a reload differ"),
    ],
)
def test_a_broken_model_is_told_which_clause_it_breaks(model, clause: str) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_model(model(), new_process=False)


def test_a_kernel_that_restarts_its_clock_is_caught_by_chunking() -> None:
    with pytest.raises(AssertionError, match="chunk=3 changes outputs on numba"):
        check_model(KernelIgnoresTick(sigma=0.5), new_process=False)


def test_a_model_that_accepts_nan_is_caught() -> None:
    with pytest.raises(AssertionError, match="input with nan was accepted"):
        check_model(AcceptsNaN(), new_process=False)


def test_an_odd_number_of_ticks_is_refused() -> None:
    with pytest.raises(ValueError, match="even number of ticks, got 3"):
        check_model(LeakyIntegrator(), np.zeros((3, 2, 4)))
