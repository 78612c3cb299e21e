"""Losses over sequences, and their means over a whole source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from biomem import backends
from biomem.engine.random import Rng
from biomem.errors import InputError, ParameterError

__all__ = ["Loss", "cross_entropy", "evaluate", "mean_squared_error", "split_loss", "to_tensors"]

Loss: TypeAlias = Callable[[nn.Module, Any], Any]
"""``loss(module, batch)`` -> scalar tensor, or that and a dict of further numbers to keep."""

When: TypeAlias = Literal["last", "every"]


def to_tensors(batch: Any, device: torch.device | str = "cpu") -> Any:
    """Return `batch` with every NumPy array copied to a tensor; tuples, dicts, lists stay such.

    Parameters
    ----------
    batch : array, or tuple, NamedTuple, list or dict of such
        Anything that is no array is left as it is.
    device : torch.device or str
    """
    if isinstance(batch, np.ndarray):
        # Copied, as BLAS may round by alignment, and NumPy's differs between processes.
        return backends.to_backend("torch", batch).clone().to(device)
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if hasattr(batch, "_fields"):
        return type(batch)(*(to_tensors(part, device) for part in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(to_tensors(part, device) for part in batch)
    if isinstance(batch, Mapping):
        return {name: to_tensors(part, device) for name, part in batch.items()}
    return batch


def split_loss(result: Any) -> tuple[torch.Tensor, dict[str, float]]:
    """Return the scalar and the numbers of what a loss returned."""
    value, metrics = result if isinstance(result, tuple) else (result, {})
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise InputError(
            "fit: loss must return a scalar tensor, alone or with a dict of numbers, got "
            f"{type(value).__name__} of shape {tuple(getattr(value, 'shape', ()))}"
        )
    return value.reshape(()), {name: float(number) for name, number in metrics.items()}


def cross_entropy(
    output: str | None = None, when: When = "last", heads: Sequence[int] | None = None
) -> Loss:
    """Return a loss for classification: mean over the batch, summed over heads; with accuracy.

    Parameters
    ----------
    output : str, optional
        Name of the model's output that holds the logits, shape ``(time, batch, class)`` or
        ``(time, batch, head, class)``. Default the first.
    when : {"last", "every"}
        Whether the targets are for the last tick, shape ``(batch,)`` or ``(batch, head)``, or for
        every tick, with a leading time axis over which the mean is taken too.
    heads : sequence of int, optional
        Heads that the targets belong to, in their order; default all.

    Returns
    -------
    callable
        ``loss(module, batch) -> (loss, {"accuracy": ...})``, with ``batch = (inputs, targets)``.
    """
    _check_when(when)

    def loss(module: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        inputs, targets = batch[0], batch[1]
        logits = _selected(module(inputs)[0], output, when)
        if heads is not None:
            logits = logits[..., list(heads), :]
        if logits.shape[:-1] != targets.shape:
            raise InputError(
                f"cross_entropy(when={when!r}): targets must have shape "
                f"{tuple(logits.shape[:-1])}, got {tuple(targets.shape)}"
            )
        n_heads = targets[0].numel() if when == "last" else targets[0, 0].numel()
        mean = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1).long())
        with torch.no_grad():
            accuracy = float((logits.argmax(-1) == targets).double().mean())
        return mean * n_heads, {"accuracy": accuracy}

    return loss


def mean_squared_error(output: str | None = None, when: When = "last") -> Loss:
    """Return a loss for regression: the mean squared difference over everything.

    Parameters
    ----------
    output : str, optional
        Name of the model's output, shape ``(time, batch, *axes)``. Default the first.
    when : {"last", "every"}
        Whether the targets are for the last tick, shape ``(batch, *axes)``, or for every tick.

    Returns
    -------
    callable
        ``loss(module, batch) -> loss``, with ``batch = (inputs, targets)``.
    """
    _check_when(when)

    def loss(module: nn.Module, batch: Any) -> torch.Tensor:
        inputs, targets = batch[0], batch[1]
        values = _selected(module(inputs)[0], output, when)
        if values.shape != targets.shape:
            raise InputError(
                f"mean_squared_error(when={when!r}): targets must have shape "
                f"{tuple(values.shape)}, got {tuple(targets.shape)}"
            )
        return F.mse_loss(values, targets.to(values.dtype))

    return loss


def evaluate(
    module: nn.Module,
    source: Callable[[int, Rng], Any],
    loss: Loss,
    *,
    batches: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return the means of a loss and its metrics over a source, without gradients.

    Parameters
    ----------
    module : nn.Module
        Put into evaluation mode meanwhile.
    source : callable
        ``source(step, Rng(seed)) -> batch``; batches weigh by their number of sequences, the
        second axis of their first array.
    loss : callable
    batches : int, optional
        Default ``len(source)``.
    seed : int
        Of the source; not that of the training run, or the batches are the same.

    Returns
    -------
    dict
        ``"loss"`` and the metrics.
    """
    count = _length(source, batches)
    rng, device = Rng(seed), _device_of(module)
    totals: dict[str, float] = {}
    weight = 0
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            for step in range(count):
                batch = to_tensors(source(step, rng), device)
                value, metrics = split_loss(loss(module, batch))
                n = _sequences(batch)
                weight += n
                for name, number in {"loss": value.item(), **metrics}.items():
                    totals[name] = totals.get(name, 0.0) + number * n
    finally:
        module.train(was_training)
    return {name: total / weight for name, total in totals.items()}


def _check_when(when: str) -> None:
    if when not in ("last", "every"):
        raise ParameterError(f"when must be 'last' or 'every', got {when!r}")


def _selected(ys: Any, output: str | None, when: str) -> torch.Tensor:
    if hasattr(ys, "_fields"):
        if output is not None and output not in ys._fields:
            raise ParameterError(f"the model has outputs {list(ys._fields)}, not {output!r}")
        ys = ys[0] if output is None else getattr(ys, output)
    return ys[-1] if when == "last" else ys


def _length(source: Any, batches: int | None) -> int:
    if batches is None:
        try:
            batches = len(source)
        except TypeError:
            raise ParameterError("evaluate: this source has no length; pass batches=") from None
    if batches < 1:
        raise ParameterError(f"evaluate: batches must be >= 1, got {batches!r}")
    return batches


def _sequences(batch: Any) -> int:
    first = batch[0] if isinstance(batch, tuple | list) else batch
    shape = getattr(first, "shape", ())
    return int(shape[1]) if len(shape) > 1 else 1


def _device_of(module: nn.Module) -> torch.device:
    tensor = next(module.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device
