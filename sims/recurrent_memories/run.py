"""N-parity under curricula: what the networks can do, and which time constants they grow.

python sims/recurrent_memories/run.py [--quick]    (see README.md)
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import platform
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import biomem
from biomem.datasets.tasks import Curriculum, Parity
from biomem.models.recurrent import LeakyNetwork
from biomem.train import EarlyStopping, TorchModule, cross_entropy, evaluate, fit

HERE = Path(__file__).parent
FIRST = 2
TEST_SEED = 10**6


def accuracies(
    net: TorchModule, lengths: Iterable[int], batch_size: int, batches: int, seed: int
) -> dict[str, float]:
    """Return the accuracy of every N, each judged by its own head."""
    longest = max(lengths)
    found = {}
    for n in lengths:
        task = Parity(lengths=(n,), longest=longest, batch_size=batch_size)
        loss = cross_entropy("y", heads=[n - FIRST])
        found[str(n)] = evaluate(net, task, loss, batches=batches, seed=seed)["accuracy"]
    return found


def train(kind: str, seed: int, size: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Run one curriculum to its end, or to the first stage that does not reach the goal."""
    last = size["last"]
    n_units, n_heads = size["n_units"], last - FIRST + 1
    net = TorchModule(LeakyNetwork(n_units=n_units, n_heads=n_heads, dtype="float32", seed=seed))
    stages, began, batch_size = [], time.process_time(), settings["batch_size"]
    optimiser = functools.partial(torch.optim.SGD, momentum=settings["momentum"], nesterov=True)
    for lengths in Curriculum(kind=kind, first=FIRST, last=last):

        def worst(net: TorchModule, lengths: tuple[int, ...] = lengths) -> dict[str, float]:
            return {"worst": min(accuracies(net, lengths, batch_size, 10, TEST_SEED + 1).values())}

        history = fit(
            net,
            Parity(lengths=lengths, batch_size=batch_size),
            cross_entropy("y", heads=[n - FIRST for n in lengths]),
            lr=settings["lr"],
            optimiser=optimiser,
            clip_norm=settings["clip_norm"],
            steps=settings["max_steps"],
            validate=worst,
            validate_every=settings["validate_every"],
            early_stopping=EarlyStopping("worst", "max", goal=settings["goal"]),
            seed=seed,
            threads=settings["threads"],
        )
        tau = net.to_model().tau
        stages.append(
            {
                "lengths": list(lengths),
                "steps": history.steps,
                "worst_accuracy": history.validations["worst"][-1],
                "mean_tau": float(tau.mean()),
                "max_tau": float(tau.max()),
                "cpu_s": round(time.process_time() - began, 1),
            }
        )
        print(f"{kind:<11}seed {seed}  {stages[-1]}", flush=True)
        if stages[-1]["worst_accuracy"] < settings["goal"]:
            break
    reached = max(max(s["lengths"]) for s in stages if s["worst_accuracy"] >= settings["goal"])
    return {
        "curriculum": kind,
        "seed": seed,
        "n_units": n_units,
        "reached": reached,
        "steps": sum(s["steps"] for s in stages),
        "stages": stages,
        "accuracy_by_n": accuracies(net, range(FIRST, reached + 1), batch_size, 40, TEST_SEED),
    }


def check(runs: list[dict[str, Any]], expected: dict[str, Any]) -> list[str]:
    """Return what does not meet expected.toml."""
    failures = []
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for run in runs:
        by_seed.setdefault(run["seed"], {})[run["curriculum"]] = run
    want = expected["cumulative"]
    for seed, kinds in by_seed.items():
        together = kinds["cumulative"]
        worst = min(together["accuracy_by_n"].values())
        if together["reached"] < want["reaches_n"]:
            failures.append(f"seed {seed}: cumulative reached only N = {together['reached']}")
        if worst < want["accuracy"] - want["tolerance"]:
            failures.append(f"seed {seed}: cumulative has accuracy {worst:.4f} on fresh batches")
        if together["stages"][-1]["mean_tau"] > want["largest_mean_tau"]:
            failures.append(f"seed {seed}: cumulative grew tau")
        if "single" not in kinds:
            continue
        alone = kinds["single"]
        common = [str(n) for n in range(FIRST, min(alone["reached"], together["reached"]))]
        kept = [sum(r["accuracy_by_n"][n] for n in common) for r in (alone, together)]
        if kept[0] >= kept[1]:
            failures.append(f"seed {seed}: single-head did not forget")
        if alone["reached"] >= together["reached"] and alone["steps"] <= together["steps"]:
            failures.append(f"seed {seed}: single-head was not slower")
    return failures


def main() -> int:
    """Run, check against expected.toml, and keep the results of a full run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, N up to 5, under a minute")
    quick = parser.parse_args().quick
    config = tomllib.loads((HERE / "config.toml").read_text())
    size = config["quick" if quick else "full"]
    torch.set_num_threads(config["training"]["threads"])
    runs = [train(k, s, size, config["training"]) for s in size["seeds"] for k in size["curricula"]]
    failures = check(runs, tomllib.loads((HERE / "expected.toml").read_text()))
    if not quick:
        git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
        sha = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
        path = HERE / "results" / f"{datetime.date.today()}-{sha or 'unknown'}.json"
        versions = {"biomem": biomem.__version__, "torch": torch.__version__}
        told = {"config": config, "versions": versions, "machine": platform.machine()}
        path.write_text(json.dumps({**told, "runs": runs, "failures": failures}, indent=1) + "\n")
        print(f"written to {path}")
    print("\n".join(failures) or "as expected")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
