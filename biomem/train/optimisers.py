"""Optimisers and learning-rate schedules, by name or by callable."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch

from biomem.errors import ParameterError

__all__ = ["OptimiserLike", "Schedule", "build_optimiser", "resolve_schedule", "step_drops"]

Schedule: TypeAlias = Callable[[int, int], float]
"""``schedule(step, steps)`` -> factor on the learning rate for step `step` of `steps`, from 0."""

OptimiserLike: TypeAlias = str | Callable[..., torch.optim.Optimizer]

_OPTIMISERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {}),
    "adamax": (torch.optim.Adamax, {}),
    "adamw": (torch.optim.AdamW, {}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
}


def build_optimiser(
    optimiser: OptimiserLike, parameters: Iterable[torch.nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """Return the optimiser over `parameters`.

    Parameters
    ----------
    optimiser : {"adam", "adamax", "adamw", "sgd"} or callable
        The names have torch's own defaults, except that ``"sgd"`` has Nesterov momentum 0.9. A
        callable is ``optimiser(parameters, lr=lr)``, such as
        ``functools.partial(torch.optim.SGD, momentum=0.1, nesterov=True)``.
    parameters : iterable of Parameter
    lr : float
        Learning rate before the schedule, finite and > 0.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ParameterError(f"fit: lr must be finite and > 0, got {lr!r}")
    if callable(optimiser):
        built = optimiser(parameters, lr=lr)
        if not isinstance(built, torch.optim.Optimizer):
            raise ParameterError(
                "fit: optimiser(parameters, lr=...) must return a torch.optim.Optimizer, "
                f"got {type(built).__name__}"
            )
        return built
    if optimiser not in _OPTIMISERS:
        raise ParameterError(
            f"fit: optimiser must be one of {sorted(_OPTIMISERS)} or a callable "
            f"(parameters, lr), got {optimiser!r}"
        )
    cls, options = _OPTIMISERS[optimiser]
    return cls(parameters, lr=lr, **options)  # type: ignore[call-arg]


def step_drops(at: Sequence[int | float], factor: float = 0.1) -> Schedule:
    """Return a schedule that multiplies the learning rate by `factor` at each of the given steps.

    Parameters
    ----------
    at : sequence of int or float
        Increasing. Integers are steps; floats below 1 are fractions of the run.
    factor : float
        In (0, 1].

    Examples
    --------
    >>> schedule = step_drops([0.5], factor=0.1)
    >>> schedule(49, 100), schedule(50, 100)
    (1.0, 0.1)
    """
    marks = list(at)
    if marks != sorted(marks) or any(m <= 0 for m in marks) or len({type(m) for m in marks}) > 1:
        raise ParameterError(
            f"step_drops: at must be increasing and > 0, all steps or all fractions, got {at!r}"
        )
    if any(isinstance(m, float) and m >= 1 for m in marks):
        raise ParameterError(f"step_drops: fractions must lie below 1, got {at!r}")
    if not 0 < factor <= 1:
        raise ParameterError(f"step_drops: factor must be in (0, 1], got {factor!r}")

    def schedule(step: int, steps: int) -> float:
        reached = [m * steps if isinstance(m, float) else m for m in marks]
        return factor ** bisect_right(reached, step)

    return schedule


def _constant(step: int, steps: int) -> float:
    return 1.0


def _cosine(step: int, steps: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * step / steps))


_SCHEDULES: dict[str, Schedule] = {
    "constant": _constant,
    "cosine": _cosine,
    "drops": step_drops([0.5, 0.75]),
}


def resolve_schedule(schedule: str | Schedule) -> Schedule:
    """Return a schedule by name, or the callable itself.

    ``"constant"``; ``"cosine"``, half a period from 1 towards 0 at the end; ``"drops"``, a tenth
    after half of the steps and another tenth after three quarters.
    """
    if callable(schedule):
        return schedule
    if schedule not in _SCHEDULES:
        raise ParameterError(
            f"fit: schedule must be one of {sorted(_SCHEDULES)} or a callable (step, steps) -> "
            f"factor, got {schedule!r}"
        )
    return _SCHEDULES[schedule]
