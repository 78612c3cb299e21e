"""Sequential digits: one pixel a tick, the class at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biomem.datasets.tasks import SequentialMNIST
from biomem.models.wave_rnn import WaveRNN
from biomem.train import TorchModule, cross_entropy, evaluate, fit

__all__ = ["train_digits"]

POINTS = 100
"""Points of a training curve that are kept."""


def train_digits(c: dict[str, Any], save: Path | None) -> dict[str, Any]:
    """Train on sMNIST, or psMNIST, and test on all test pictures.

    Parameters
    ----------
    c : dict
        A section of config.toml.
    save : path, optional
        Checkpoint to go on from where it exists.
    """
    task = SequentialMNIST(permuted=c["permuted"], batch_size=c["batch_size"])
    ticks = task.n_steps
    model = WaveRNN(n_outputs=10, readout_every=ticks, seed=c["seed"], **c["model"])
    net = TorchModule(model)
    entropy = cross_entropy("y")
    clock = [time.process_time()]

    def loss(module: TorchModule, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        value, told = entropy(module, batch)
        now = time.process_time()
        spent, clock[0] = now - clock[0], now
        return value, {**told, "cpu_s": spent}

    def judge(module: torch.nn.Module, split: str, batches: int | None) -> dict[str, float]:
        source = task.replace(split=split, batch_size=c["test_batch_size"])
        return evaluate(module, source, entropy, batches=batches)

    def optimiser(parameters: Any, lr: float) -> torch.optim.Optimizer:
        ring = net.weights()["ring_weight"]
        rest = [p for p in parameters if p is not ring]
        return torch.optim.Adam(
            [{"params": rest, "lr": lr}, {"params": [ring], "lr": lr * c["ring_lr"]}]
        )

    history = fit(
        net,
        task,
        loss,
        lr=c["lr"],
        optimiser=optimiser,
        schedule="cosine",
        clip_norm=c["clip_norm"],
        steps=c["steps"],
        validate=lambda module: judge(module, "validation", c["validation_batches"]),
        validate_every=c["validate_every"],
        save=save,
        resume=save is not None,
        seed=c["seed"],
    )
    test = judge(net, "test", c["test_batches"] or None)
    return {
        "steps": history.steps,
        "epochs": round(history.steps / len(task), 2),
        "train_cpu_s": round(sum(history.metrics["cpu_s"]), 1),
        "train_wall_s": round(history.seconds, 1),
        "test_accuracy": round(test["accuracy"], 4),
        "test_loss": round(test["loss"], 4),
        "parameters": sum(p.numel() for p in net.parameters()),
        "curve": curve(history.losses, history.metrics["accuracy"]),
        "validations": {
            "step": history.validation_steps,
            "accuracy": [round(a, 4) for a in history.validations["accuracy"]],
        },
    }


def curve(losses: list[float], accuracies: list[float]) -> dict[str, list[float]]:
    """Return the means of both over as many stretches of the run as are kept."""
    parts = np.array_split(np.arange(len(losses)), min(POINTS, len(losses)))
    return {
        "step": [int(part[-1]) + 1 for part in parts],
        "loss": [round(float(np.mean(np.take(losses, part))), 4) for part in parts],
        "accuracy": [round(float(np.mean(np.take(accuracies, part))), 4) for part in parts],
    }
