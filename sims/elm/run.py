"""ELM against LSTM on sums of two drawn spoken digits, at one budget.

python sims/elm/run.py [--quick] [--only MODEL ...]    (see README.md)
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import biomem
from biomem.datasets.tasks import SpokenLikeAdding
from biomem.engine.atomic import replace_file
from biomem.models.elm import ELM
from biomem.train import TorchModule, cross_entropy, evaluate, fit

HERE = Path(__file__).parent
VALIDATION_SEED, TEST_SEED = 10**6, 10**6 + 1


class LSTM(nn.Module):
    """One layer and a linear readout at every tick, with torch's own initial weights."""

    def __init__(self, n_inputs: int, n_units: int, n_outputs: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(n_inputs, n_units)
        self.readout = nn.Linear(n_units, n_outputs)

    def forward(self, xs: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Return the logits of every tick, and the last state."""
        hidden, state = self.cell(xs)
        return self.readout(hidden), state


def build(model: dict[str, Any], task: SpokenLikeAdding, seed: int) -> nn.Module:
    """Return an untrained network as a section of config.toml describes it."""
    sizes = {name: value for name, value in model.items() if name != "kind"}
    if model["kind"] == "elm":
        shape = {"n_inputs": task.n_inputs, "n_outputs": task.n_outputs}
        return TorchModule(ELM(dt=task.width, seed=seed, **shape, **sizes))
    torch.manual_seed(seed)
    return LSTM(task.n_inputs, sizes["n_units"], task.n_outputs)


def train(model: dict[str, Any], task: Any, lr: float, seed: int, c: dict[str, Any]) -> Any:
    """Return the trained network and what became of it."""
    net, loss, began = build(model, task, seed), cross_entropy(), time.process_time()
    history = fit(
        net,
        task,
        loss,
        lr=lr,
        optimiser=c["optimiser"],
        schedule=c["schedule"],
        clip_norm=c["clip_norm"],
        steps=c["steps"],
        seed=seed,
    )
    found = evaluate(net, task, loss, batches=c["validation_batches"], seed=VALIDATION_SEED)
    parts = np.array_split(np.array(history.losses), 20)
    return net, {
        "lr": lr,
        "seed": seed,
        "validation_loss": round(found["loss"], 4),
        "training_losses": [round(float(part.mean()), 4) for part in parts],
        "cpu_s": round(time.process_time() - began, 1),
    }


def compare(name: str, config: dict[str, Any], c: dict[str, Any]) -> dict[str, Any]:
    """Choose the learning rate at the first seed, then test every seed at it."""
    model, task = config["models"][name], SpokenLikeAdding(**config["task"])
    first, *others = c["seeds"]
    tried = [train(model, task, lr, first, c) for lr in c["rates"]]
    best = min(tried, key=lambda pair: pair[1]["validation_loss"])
    runs = [best, *(train(model, task, best[1]["lr"], seed, c) for seed in others)]
    for net, told in runs:
        test = evaluate(net, task, cross_entropy(), batches=c["test_batches"], seed=TEST_SEED)
        told |= {f"test_{key}": round(value, 4) for key, value in test.items()}
        print(name, told, flush=True)
    return {
        "model": name,
        "parameters": sum(p.numel() for p in best[0].parameters() if p.requires_grad),
        "steps": c["steps"],
        "rates": [told for _, told in tried],
        "runs": [told for _, told in runs],
    }


def check(results: dict[str, dict[str, Any]], expected: dict[str, Any]) -> list[str]:
    """Return what does not meet expected.toml; models that have not been run are left out."""
    failures = []
    elm = results.get("elm")
    if elm is None:
        return failures
    worst = min(run["test_accuracy"] for run in elm["runs"])
    steps = str(elm["steps"])
    want = expected["elm"]["accuracy"][steps] - expected["elm"]["tolerance"]
    if worst < want:
        failures.append(f"elm: accuracy {worst} at its worst seed, {want:.3f} expected")
    for name in expected["elm"]["beats"]:
        if name not in results:
            continue
        other = results[name]
        if other["parameters"] < elm["parameters"]:
            failures.append(f"{name}: has fewer parameters than the ELM")
        for one, two in zip(elm["runs"], other["runs"], strict=True):
            if one["test_accuracy"] <= two["test_accuracy"]:
                failures.append(f"seed {one['seed']}: the ELM does not beat {name}")
    return failures


def main() -> int:
    """Run, keep the results of a full run, and check against expected.toml."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed and rate, under a minute")
    parser.add_argument("--only", nargs="+", metavar="MODEL", help="others are read from results/")
    given = parser.parse_args()
    config = tomllib.loads((HERE / "config.toml").read_text())
    c = {**config["training"], **config["quick" if given.quick else "full"]}
    torch.set_num_threads(1)
    results = {}
    for name in c["models"]:
        path = HERE / "results" / f"{name}.json"
        if given.only and name not in given.only:
            if path.exists() and not given.quick:
                results[name] = json.loads(path.read_text())
            continue
        results[name] = compare(name, config, c)
        if not given.quick:
            versions = {"biomem": biomem.__version__, "torch": torch.__version__}
            results[name] |= {"versions": versions, "machine": platform.machine()}
            replace_file(path, (json.dumps(results[name], indent=1) + "\n").encode())
    failures = check(results, tomllib.loads((HERE / "expected.toml").read_text()))
    print("\n".join(failures) or "as expected")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
