"""The training loop: a pure function of its arguments, resumable to the bit on CPU."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from biomem.engine.interrupt import HeldInterrupt
from biomem.engine.progress import ProgressMode, progress_bar
from biomem.engine.random import Rng, Stream
from biomem.errors import BiomemError, ParameterError, RunInterrupted
from biomem.train.checkpoints import describe_module, load_run, save_run
from biomem.train.history import History
from biomem.train.losses import Loss, split_loss, to_tensors
from biomem.train.module import TorchModule
from biomem.train.optimisers import (
    OptimiserLike,
    Schedule,
    build_optimiser,
    resolve_schedule,
)
from biomem.train.stopping import BestSoFar, EarlyStopping

__all__ = ["TrainingDiverged", "fit"]

STEP_SEEDS, VALIDATION_SEEDS = 0xFFFF_FFFF, 0xFFFF_FFFE
"""Entities of the generic stream that step seeds are drawn as; tasks number theirs from 0."""


class TrainingDiverged(BiomemError, ArithmeticError):
    """The loss or a gradient became NaN or infinite; ``history`` holds the steps before."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


def fit(
    module: nn.Module,
    batches: Callable[[int, Rng], Any],
    loss: Loss,
    *,
    lr: float,
    optimiser: OptimiserLike = "adam",
    steps: int | None = None,
    epochs: int | None = None,
    clip_norm: float | None = None,
    schedule: str | Schedule = "constant",
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    validate_every: int | None = None,
    early_stopping: EarlyStopping | int | None = None,
    save: str | Path | None = None,
    save_every: int | None = None,
    resume: bool | str | Path = False,
    seed: int = 0,
    threads: int = 1,
    progress: ProgressMode = "auto",
) -> History:
    """Train `module` in place.

    A run is a function of its arguments: batches and all random numbers of a step come from
    ``(seed, step)``. So an interrupted run that is continued from its file equals the run that
    was never interrupted, bit for bit on CPU. On GPUs, torch's own reductions may differ.

    When not to use it: when an epoch must see its samples in an order that depends on the run so
    far, or for schedules driven by the loss; both would need state that this loop does not keep.

    Parameters
    ----------
    module : nn.Module
        A `TorchModule`, or any other.
    batches : callable
        ``batches(step, rng) -> batch``, pure, with ``rng = Rng(seed)``; the tasks of
        `biomem.datasets` are such sources. Arrays become tensors beside the parameters.
    loss : callable
        ``loss(module, batch)`` -> scalar tensor, or that and a dict of numbers to keep.
    lr : float
        Learning rate, > 0, before the schedule.
    optimiser : {"adam", "adamax", "adamw", "sgd"} or callable
        ``"sgd"`` has Nesterov momentum 0.9; a callable is ``optimiser(parameters, lr=lr)``.
    steps, epochs : int, optional
        Length of the run, one of the two. An epoch is ``len(batches)`` steps.
    clip_norm : float, optional
        Largest global norm of all gradients; larger ones are scaled down.
    schedule : {"constant", "cosine", "drops"} or callable
        ``schedule(step, steps)`` -> factor on the learning rate, pure.
    validate : callable, optional
        ``validate(module)`` -> metrics by name, such as `evaluate` gives; called without
        gradients and in evaluation mode.
    validate_every : int, optional
        Steps between validations; default an epoch, else a twentieth of the run.
    early_stopping : EarlyStopping or int, optional
        When to stop early; an integer is the patience for the validation's ``"loss"``. The module
        ends with its best weights.
    save : path, optional
        Checkpoint file; written at the end, every `save_every` steps, and on Ctrl-C.
    save_every : int, optional
        Default `validate_every`.
    resume : bool or path
        True: continue from `save` where it exists, else start. A path: continue from that file.
    seed : int
        Key of the batches and of everything drawn.
    threads : int
        Threads torch uses meanwhile; more of them may round differently.
    progress : {"auto", True, False}

    Returns
    -------
    History
        Over all resumptions.

    Raises
    ------
    TrainingDiverged
        NaN or inf in the loss or the gradients. The step is not taken, so the module has the
        last good weights, and the file is the last good one.
    CheckpointMismatch
        The file to resume from is of a run with other arguments. Only the length may differ.
    RunInterrupted
        Ctrl-C, between two steps; ``recording`` is the history.
    """
    run = _Run(module, batches, loss, seed)
    run.optimiser = build_optimiser(optimiser, run.parameters, lr)
    run.lrs = [group["lr"] for group in run.optimiser.param_groups]
    run.schedule = resolve_schedule(schedule)
    run.steps = _total_steps(batches, steps, epochs)
    run.clip_norm = _clip(clip_norm)
    run.validate, run.rule = validate, _rule(early_stopping, validate)
    run.every = _interval("validate_every", validate_every, _default_every(batches, run.steps))
    run.save = None if save is None else Path(save)
    run.save_every = _interval("save_every", save_every, run.every)
    if not (isinstance(threads, int) and threads >= 1):
        raise ParameterError(f"fit: threads must be an integer >= 1, got {threads!r}")
    run.what = {
        "module": describe_module(module),
        "optimiser": type(run.optimiser).__name__,
        "lr": lr,
        "clip_norm": clip_norm,
        "schedule": schedule if isinstance(schedule, str) else "callable",
        "seed": seed,
        "threads": threads,
    }
    with _torch_settings(threads, run.device):
        run.start(resume)
        run.loop(progress)
    return run.history


class _Run:
    """One call of `fit`."""

    optimiser: torch.optim.Optimizer
    lrs: list[float]
    schedule: Schedule
    validate: Callable[[nn.Module], Mapping[str, float]] | None
    rule: EarlyStopping | None
    steps: int
    every: int
    clip_norm: float
    save: Path | None
    save_every: int
    what: dict[str, Any]

    def __init__(
        self, module: nn.Module, batches: Callable[..., Any], loss: Loss, seed: int
    ) -> None:
        self.module, self.batches, self.loss = module, batches, loss
        self.rng = Rng(seed)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        if not self.parameters:
            raise ParameterError(f"fit: {type(module).__name__} has no trainable parameters")
        self.device = self.parameters[0].device
        self.seeded = [m for m in module.modules() if isinstance(m, TorchModule)]
        self.history, self.best, self.step = History(), BestSoFar(), 0

    def start(self, resume: bool | str | Path) -> None:
        """Continue from a file where that is asked for."""
        if resume is True and self.save is None:
            raise ParameterError("fit: resume=True needs save=, the file to continue from")
        if resume is True:
            path = self.save if self.save is not None and self.save.exists() else None
        else:
            path = Path(resume) if resume else None
        if path is not None:
            self.history, self.best, self.step = load_run(
                path, self.what, self.module, self.optimiser
            )

    def loop(self, progress: ProgressMode) -> None:
        """Run to the last step, a stop, or an interrupt."""
        history, before, began = self.history, self.history.seconds, time.perf_counter()
        left = 0 if history.stopped else max(0, self.steps - self.step)
        with progress_bar(left, progress, unit="step") as bar:
            while self.step < self.steps and not history.stopped:
                with HeldInterrupt() as interrupt:
                    self.advance()
                    history.seconds = before + time.perf_counter() - began
                    due = self.step % self.save_every == 0 or self.step == self.steps
                    if due or history.stopped or interrupt.pending:
                        self.write()
                bar.update(1)
                bar.set_postfix(loss=f"{history.losses[-1]:.4g}", refresh=False)
                if interrupt.pending:
                    how = f"continue with resume=True from {self.save}" if self.save else "no file"
                    raise RunInterrupted(f"interrupted after step {self.step}; {how}", history)
        if self.rule is not None:
            self.best.restore(self.module)

    def advance(self) -> None:
        """Take one step, and validate when it is due."""
        self.module.train()
        self.reseed(STEP_SEEDS)
        batch = to_tensors(self.batches(self.step, self.rng), self.device)
        factor = self.schedule(self.step, self.steps)
        for group, lr in zip(self.optimiser.param_groups, self.lrs, strict=True):
            group["lr"] = lr * factor
        self.optimiser.zero_grad(set_to_none=True)
        value, metrics = split_loss(self.loss(self.module, batch))
        number = value.item()
        self.check("loss", number)
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm).item()
        self.check("gradient norm", norm)
        self.optimiser.step()
        self.history.losses.append(number)
        self.history.learning_rates.append(self.lrs[0] * factor)
        self.history.gradient_norms.append(norm)
        for name, metric in metrics.items():
            series = self.history.metrics.setdefault(name, [math.nan] * self.step)
            series.append(metric)
        self.step += 1
        if self.validate is not None and (self.step % self.every == 0 or self.step == self.steps):
            self.check_quality(self.validate)

    def check_quality(self, validate: Callable[[nn.Module], Mapping[str, float]]) -> None:
        """Validate, and decide whether the run ends here."""
        self.reseed(VALIDATION_SEEDS)
        self.module.eval()
        with torch.no_grad():
            metrics = {name: float(value) for name, value in validate(self.module).items()}
        self.module.train()
        self.history.add_validation(self.step, metrics)
        if self.rule is None:
            return
        if self.best.update(self.rule, metrics, self.step, self.module):
            reached = self.rule.reached(metrics[self.rule.metric])
            self.history.stopped = (
                f"{self.rule.metric} reached {metrics[self.rule.metric]:.6g}"
                if reached
                else f"{self.rule.metric} did not improve in {self.best.waited} validations"
            )
        self.history.best_step = self.best.step

    def reseed(self, entity: int) -> None:
        """Make every draw of this step a function of ``(seed, step)``."""
        w = self.rng.words(Stream.GENERIC, entity, tick=self.step)
        key = int(w[0]) | int(w[1]) << 32
        # torch.manual_seed would also queue a call for every kind of device that is not there.
        torch.default_generator.manual_seed(key >> 1)
        if self.device.type == "cuda":
            with torch.cuda.device(self.device):
                torch.cuda.manual_seed(key >> 1)
        for module in self.seeded:
            module.seed = key

    def check(self, name: str, number: float) -> None:
        if not math.isfinite(number):
            raise TrainingDiverged(
                f"fit: the {name} is {number} at step {self.step}; the step was not taken. "
                "Lower lr, set clip_norm, or check the inputs",
                self.history,
            )

    def write(self) -> None:
        if self.save is not None:
            save_run(
                self.save,
                self.what,
                self.module,
                self.optimiser,
                self.history,
                self.best,
                self.step,
            )


@contextmanager
def _torch_settings(threads: int, device: torch.device) -> Iterator[None]:
    """Set the threads, and leave them and the global generators as they were."""
    before = torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _total_steps(batches: Any, steps: int | None, epochs: int | None) -> int:
    if (steps is None) == (epochs is None):
        raise ParameterError(f"fit: give steps= or epochs=, got steps={steps}, epochs={epochs}")
    if steps is None:
        if not hasattr(batches, "__len__"):
            raise ParameterError("fit: this source has no length; pass steps= instead of epochs=")
        steps = epochs * len(batches)  # type: ignore[operator]
    if steps < 1:
        raise ParameterError(f"fit: steps and epochs must be >= 1, got {steps} steps")
    return steps


def _default_every(batches: Any, steps: int) -> int:
    return len(batches) if hasattr(batches, "__len__") else max(1, steps // 20)


def _interval(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if not (isinstance(value, int) and value >= 1):
        raise ParameterError(f"fit: {name} must be an integer >= 1, got {value!r}")
    return value


def _clip(value: float | None) -> float:
    if value is None:
        return math.inf
    if not value > 0:
        raise ParameterError(f"fit: clip_norm must be > 0, or None for no clipping, got {value!r}")
    return float(value)


def _rule(rule: EarlyStopping | int | None, validate: object) -> EarlyStopping | None:
    if rule is not None and validate is None:
        raise ParameterError("fit: early_stopping needs validate=, which measures the module")
    return EarlyStopping(patience=rule) if isinstance(rule, int) else rule
