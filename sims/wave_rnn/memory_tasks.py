"""Copy and adding: how many iterations until a network has solved them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from biomem.datasets.tasks import Adding, Copy
from biomem.models.wave_rnn import WaveRNN, WaveRNNParams
from biomem.train import EarlyStopping, TorchModule, evaluate, fit

__all__ = ["task_of", "train_memory"]

Task = Copy | Adding


def task_of(c: dict[str, Any]) -> Task:
    """Return the task of a section of config.toml."""
    return (Copy if c["task"] == "copy" else Adding)(**c["task_settings"])


def network(c: dict[str, Any], kind: str, task: Task, seed: int) -> WaveRNN:
    """Return the untrained network of one kind: "wave", or the identity RNN "irnn"."""
    every = 1 if isinstance(task, Copy) else task.n_steps
    sizes = {"n_inputs": task.n_inputs, "n_outputs": task.n_outputs, "readout_every": every}
    make = WaveRNNParams.irnn if kind == "irnn" else WaveRNNParams
    return WaveRNN(make(seed=seed, **sizes, **c[kind]["model"]))


def loss_of(task: Task) -> Any:
    """Return the loss; with the recall of a copy, the accuracy over the ticks it is due at."""

    def copied(module: Any, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        logits = module(batch.x)[0].y
        due = slice(-task.n_recall, None)
        with torch.no_grad():
            recall = (logits[due].argmax(-1) == batch.y[due]).double().mean()
        return F.cross_entropy(logits.flatten(0, 1), batch.y.flatten()), {"recall": float(recall)}

    def added(module: Any, batch: Any) -> torch.Tensor:
        return F.mse_loss(module(batch.x)[0].y[-1], batch.y)

    return copied if isinstance(task, Copy) else added


def train_memory(c: dict[str, Any], kind: str, seed: int) -> tuple[dict[str, Any], TorchModule]:
    """Train one network of a section of config.toml, and test it on fresh batches.

    A task is solved at the first iteration whose training batch meets the goal. Copying runs to
    its last step all the same; adding ends when other batches meet it as well.
    """
    task = task_of(c)
    net = TorchModule(network(c, kind, task, seed))
    loss, how = loss_of(task), c[kind]
    rule = None
    if c["task"] == "adding":
        rule = EarlyStopping("loss", "min", goal=c["goal"])
    began = time.process_time()
    history = fit(
        net,
        task,
        loss,
        lr=how["lr"],
        clip_norm=c["clip_norm"],
        steps=c["steps"],
        schedule=how.get("schedule", "constant"),
        validate=lambda m: evaluate(m, task, loss, batches=c["test_batches"], seed=10**6),
        validate_every=c["validate_every"],
        early_stopping=rule,
        seed=seed,
    )
    spent = time.process_time() - began
    test = evaluate(net, task, loss, batches=c["test_batches"], seed=10**6 + 1)
    series = np.array(history.metrics.get("recall", history.losses))
    met = series > c["goal"] if c["task"] == "copy" else series <= c["goal"]
    told = {
        "network": kind,
        "seed": seed,
        "parameters": sum(p.numel() for p in net.parameters()),
        "solved_at": int(met.argmax()) + 1 if met.any() else None,
        "iterations": history.steps,
        "cpu_s": round(spent, 1),
        "test": {name: float(f"{value:.4g}") for name, value in test.items()},
    }
    print(f"{c['task']} {task.n_steps} ticks  {told}", flush=True)
    return told, net
