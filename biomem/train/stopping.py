"""Stopping a run by a validation metric, with the best weights kept."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch
from torch import nn

from biomem.errors import ParameterError, require

__all__ = ["BestSoFar", "EarlyStopping"]


@dataclasses.dataclass(frozen=True)
class EarlyStopping:
    """When to end a run before its last step, judged at each validation.

    The module ends with the weights of its best validation, not with its last ones.

    Parameters
    ----------
    metric : str
        Name in what ``validate`` returns.
    mode : {"min", "max"}
        Whether less or more is better.
    patience : int, optional
        Stop after so many validations in a row without improvement, >= 1; default never.
    min_delta : float
        Least change that counts as an improvement, >= 0.
    goal : float, optional
        Stop as soon as the metric is at least as good as this.

    Examples
    --------
    >>> EarlyStopping("accuracy", "max", goal=0.98).goal
    0.98
    """

    metric: str = "loss"
    mode: Literal["min", "max"] = "min"
    patience: int | None = None
    min_delta: float = 0.0
    goal: float | None = None

    def __post_init__(self) -> None:
        require(self, "mode", self.mode in ("min", "max"), "'min' or 'max'")
        patient = self.patience is None or (isinstance(self.patience, int) and self.patience >= 1)
        require(self, "patience", patient, "an integer >= 1, or None")
        delta = math.isfinite(self.min_delta) and self.min_delta >= 0
        require(self, "min_delta", delta, "finite and >= 0")

    def better(self, value: float, than: float) -> bool:
        """Whether `value` improves on `than`; NaN never does, anything improves on NaN."""
        if math.isnan(value) or math.isnan(than):
            return not math.isnan(value)
        gain = than - value if self.mode == "min" else value - than
        return gain > self.min_delta

    def reached(self, value: float) -> bool:
        """Whether `value` is as good as the goal."""
        if self.goal is None:
            return False
        return value <= self.goal if self.mode == "min" else value >= self.goal


@dataclasses.dataclass
class BestSoFar:
    """The best validation of a run and a copy of its weights.

    Attributes
    ----------
    value : float
        NaN before the first validation.
    step : int
    waited : int
        Validations since then.
    weights : dict of str to Tensor
        Copies: the tensors of ``state_dict`` go on changing.
    """

    value: float = math.nan
    step: int = -1
    waited: int = 0
    weights: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)

    def update(
        self, rule: EarlyStopping, metrics: dict[str, float], step: int, module: nn.Module
    ) -> bool:
        """Take a validation into account; return whether the run should stop."""
        if rule.metric not in metrics:
            raise ParameterError(
                f"fit: early_stopping watches {rule.metric!r}, but validate returned "
                f"{sorted(metrics)}"
            )
        value = metrics[rule.metric]
        if rule.better(value, self.value):
            self.value, self.step, self.waited = value, step, 0
            self.weights = {k: t.detach().clone() for k, t in module.state_dict().items()}
        else:
            self.waited += 1
        return rule.reached(value) or (rule.patience is not None and self.waited >= rule.patience)

    def restore(self, module: nn.Module) -> None:
        """Give the module its best weights back, if a validation has set any."""
        if self.weights:
            module.load_state_dict(self.weights)
