"""What a training run went through, step by step."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["History"]

_ROWS = 12


@dataclasses.dataclass(repr=False)
class History:
    """Losses and metrics of a run; prints as a table.

    Attributes
    ----------
    losses : list of float
        One a step.
    learning_rates, gradient_norms : list of float
        One a step; the norm is taken before clipping.
    metrics : dict of str to list of float
        What the loss returned beside the loss, one a step.
    validation_steps : list of int
        Number of steps done at each validation.
    validations : dict of str to list of float
    seconds : float
        Wall time over all resumptions.
    best_step : int or None
        Steps done at the validation whose weights the module has; None without early stopping.
    stopped : str
        Why the run ended early, empty otherwise.
    """

    losses: list[float] = dataclasses.field(default_factory=list)
    learning_rates: list[float] = dataclasses.field(default_factory=list)
    gradient_norms: list[float] = dataclasses.field(default_factory=list)
    metrics: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    validation_steps: list[int] = dataclasses.field(default_factory=list)
    validations: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    best_step: int | None = None
    stopped: str = ""

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return len(self.losses)

    def first_step(self, metric: str, at_least: float) -> int | None:
        """Return the number of steps after which `metric` was `at_least` so large, None if never.

        A validation metric is preferred to one of the same name from the training batches.
        """
        if metric in self.validations:
            pairs = zip(self.validation_steps, self.validations[metric], strict=True)
        else:
            pairs = zip(range(1, self.steps + 1), self.metrics[metric], strict=True)
        return next((step for step, value in pairs if value >= at_least), None)

    def add_validation(self, step: int, metrics: dict[str, float]) -> None:
        """Append one validation; a metric that is new gets NaN for the earlier ones."""
        count = len(self.validation_steps)
        self.validation_steps.append(step)
        for name in {**dict.fromkeys(self.validations), **dict.fromkeys(metrics)}:
            series = self.validations.setdefault(name, [math.nan] * count)
            series.append(metrics.get(name, math.nan))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return a JSON-compatible header and the numbers as arrays."""
        lists = {
            "losses": self.losses,
            "learning_rates": self.learning_rates,
            "gradient_norms": self.gradient_norms,
        }
        lists |= {f"metrics/{i}": v for i, v in enumerate(self.metrics.values())}
        lists |= {f"validations/{i}": v for i, v in enumerate(self.validations.values())}
        arrays: dict[str, np.ndarray] = {n: np.array(v, np.float64) for n, v in lists.items()}
        arrays["validation_steps"] = np.array(self.validation_steps, np.int64)
        header = {
            "metrics": list(self.metrics),
            "validations": list(self.validations),
            "seconds": self.seconds,
            "best_step": self.best_step,
            "stopped": self.stopped,
        }
        return header, arrays

    @classmethod
    def from_arrays(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> History:
        """Rebuild what `to_arrays` took apart."""
        lists = {name: array.tolist() for name, array in arrays.items()}
        return cls(
            losses=lists["losses"],
            learning_rates=lists["learning_rates"],
            gradient_norms=lists["gradient_norms"],
            metrics={n: lists[f"metrics/{i}"] for i, n in enumerate(header["metrics"])},
            validation_steps=lists["validation_steps"],
            validations={n: lists[f"validations/{i}"] for i, n in enumerate(header["validations"])},
            seconds=header["seconds"],
            best_step=header["best_step"],
            stopped=header["stopped"],
        )

    def plot(self, metric: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw the loss, or one metric, over the steps, with its validations.

        Parameters
        ----------
        metric : str, optional
            Default the loss, on a logarithmic axis.
        ax : Axes, optional
            Where to draw; default a new figure, at ``ax.figure``.

        Returns
        -------
        Axes
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(6.0, 3.5), layout="constrained").subplots()
        series = self.losses if metric is None else self.metrics.get(metric, [])
        if len(series):
            ax.plot(
                np.arange(1, len(series) + 1), series, color="#0072B2", lw=0.8, label="training"
            )
        checked = self.validations.get(metric or "loss", [])
        if checked:
            ax.plot(self.validation_steps, checked, "o-", color="#D55E00", ms=3, label="validation")
        if metric is None and len(series) and min(series) > 0:
            ax.set_yscale("log")
        ax.set_xlabel("step")
        ax.set_ylabel(metric or "loss")
        if len(series) and checked:
            ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        last = f", last loss {self.losses[-1]:.4g}" if self.losses else ""
        head = f"<History: {self.steps} steps in {self.seconds:.1f} s{last}"
        if self.best_step is not None:
            head += f", best after step {self.best_step}"
        if self.stopped:
            head += f", stopped: {self.stopped}"
        rows = self._rows()
        return f"{head}>" if not rows else "\n".join([f"{head}>", *rows])

    def _rows(self) -> list[str]:
        """Return at most a dozen lines, evenly spread: the validations, or else the steps."""
        if not self.losses:
            return []
        if self.validation_steps:
            at, columns = np.array(self.validation_steps), self.validations
        else:
            at, columns = np.arange(1, self.steps + 1), self.metrics
        picked = np.unique(np.linspace(0, len(at) - 1, min(_ROWS, len(at))).round().astype(int))
        width = max([10, *(len(n) + 2 for n in columns)])
        lines = [f"{'step':>8}{'loss':>12}" + "".join(f"{n:>{width}}" for n in columns)]
        for i in picked:
            # Before the first step there is a validation but no loss.
            loss = self.losses[at[i] - 1] if at[i] else math.nan
            values = "".join(f"{series[i]:>{width}.4g}" for series in columns.values())
            lines.append(f"{at[i]:>8}{loss:>12.4g}{values}")
        return lines
