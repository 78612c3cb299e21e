"""Fusion of several fields: a small network against rules and logistic regression.

python sims/htm_fusion/run.py [--quick]    (see README.md)
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

import biomem
from biomem import HTMDriftDetector, Simulator
from biomem.models.htm.classifier import SDRClassifierParams
from biomem.models.htm.fleet.params import HTMFleetParams
from biomem.models.htm.fusion import LearnedFuser, attribute, features_of
from biomem.models.htm.hybrid import HTMDriftParams, fuse_scores

HERE = Path(__file__).parent
FIELDS = ("a1", "a2", "b1", "b2")
MACHINES = ((0, 1), (2, 3))
PROBATION = 1000
METHODS = ("mlp", "logistic", "max", "any", "majority", "joint")
GRID = np.linspace(0.02, 0.9, 45)


def stream(seed: int, s: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values ``(records, 4)``, labels, and which fields each incident upset."""
    rng, n = np.random.default_rng(seed), s["records"]
    t = np.arange(n)[:, None]
    phase = np.array([0.0, 0.4, 2.0, 2.4])
    values = np.sin(2 * np.pi * t / s["period"] + phase) + rng.normal(0, s["noise"], (n, 4))
    upset, labels = np.zeros((n, 4), bool), np.zeros(n, bool)
    for every, incident in ((s["incident_every"], True), (s["fault_every"], False)):
        start = PROBATION // 2 + rng.integers(every)
        while start + s["length"] < n:
            chosen = MACHINES[rng.integers(2)] if incident else (int(rng.integers(4)),)
            upset[start : start + s["length"], list(chosen)] = True
            if incident:
                labels[start : start + s["length"]] = True
            start += s["length"] + 1 + int(rng.exponential(every))
    values[upset] = rng.uniform(-1, 1, int(upset.sum()))
    return values, labels, upset


def outputs(values: np.ndarray, seed: int, **changes: Any) -> dict[str, np.ndarray]:
    """Return what HTMs, one per field or one for all, say of a stream."""
    known = values[:PROBATION]
    ranges = {f: (known[:, i].min(), known[:, i].max()) for i, f in enumerate(FIELDS)}
    light = HTMFleetParams.light(0.0, 1.0, time_of_day=False, probation=388).detector
    params = HTMDriftParams.for_ranges(ranges, time_of_day=False, detector=light, **changes)
    model = HTMDriftDetector(params)
    sim = Simulator(model, seed=seed, progress=False)
    out = sim.run(model.records(values))
    return {name: np.asarray(out[name]) for name in out}


def votes(scores: np.ndarray, labels: np.ndarray, cut: int, rule: str) -> np.ndarray:
    """Return the votes of all records, with the threshold that did best before `cut`."""
    fused = [fuse_scores(scores, rule, threshold) for threshold in GRID]
    known = slice(PROBATION, cut)
    return max(fused, key=lambda f: average_precision_score(labels[known], f[known]))


def at_false_alarms(scores: np.ndarray, labels: np.ndarray, rate: float) -> float:
    """Return F1 where at most the share `rate` of the records without an incident is above."""
    threshold = np.quantile(scores[~labels], 1 - rate)
    high = scores > threshold
    hits = (high & labels).sum()
    return float(2 * hits / (high.sum() + labels.sum()))


def measure(seed: int, s: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one seed, all from the records after those with known labels."""
    began = time.process_time()
    values, labels, upset = stream(seed, s)
    cut = int(s["train"] * s["records"])
    out = outputs(values, seed, predictor=SDRClassifierParams(size=1, buckets=32, alpha=0.03))
    joint = outputs(values, seed, joint=True)["score"][:, 0]
    scores, features = out["unit_score"][:, 0], features_of(out)
    known = slice(PROBATION, cut)
    learned = {
        kind: LearnedFuser.fit(features[known], labels[known], kind=kind, seed=seed)
        for kind in ("mlp", "logistic")
    }
    fused = {kind: fuser.score(features) for kind, fuser in learned.items()}
    fused |= {"max": fuse_scores(scores, "max"), "joint": joint}
    fused |= {rule: votes(scores, labels, cut, rule) for rule in ("any", "majority")}
    told = {}
    for name in METHODS:
        test, truth = fused[name][cut:], labels[cut:]
        told[name] = {
            "pr_auc": float(average_precision_score(truth, test)),
            "f1": at_false_alarms(test, truth, 0.01),
        }
    hits = np.flatnonzero(labels[cut:] & (fused["mlp"][cut:] > 0.5)) + cut
    blame = {"max": attribute(scores), "mlp": learned["mlp"].attribute(features)}
    right = {k: float(upset[hits, b[hits].argmax(axis=1)].mean()) for k, b in blame.items()}
    cpu = round(time.process_time() - began, 1)
    return {"seed": seed, "cpu_s": cpu, "share": float(labels[cut:].mean()), "blame": right} | told


def main() -> int:
    """Run every seed, print the table, and keep the results of a full run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed")
    quick = parser.parse_args().quick
    config = tomllib.loads((HERE / "config.toml").read_text())
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    sha = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    runs = []
    for seed in config["quick" if quick else "full"]["seeds"]:
        path = HERE / "results" / f"{seed}.json"
        stamp = {"stream": config["stream"]}
        run = json.loads(path.read_text()) if path.exists() else {}
        if quick or run.get("stream") != config["stream"]:
            told = {"commit": sha, "machine": platform.machine(), "biomem": biomem.__version__}
            run = stamp | told | measure(seed, config["stream"])
            if not quick:
                path.write_text(json.dumps(run, indent=1) + "\n")
        runs.append(run)
    print("| fusion | PR-AUC, mean | spread (s.d.) | lowest ... highest | F1 at 1 % false |")
    print("|---|---|---|---|---|")
    for name in METHODS:
        areas = [run[name]["pr_auc"] for run in runs]
        f1 = statistics.mean(run[name]["f1"] for run in runs)
        spread = f"{statistics.stdev(areas) if len(areas) > 1 else 0:.3f}"
        ends = f"{min(areas):.3f} ... {max(areas):.3f}"
        print(f"| {name} | {statistics.mean(areas):.3f} | {spread} | {ends} | {f1:.3f} |")
    best = max(METHODS, key=lambda m: statistics.mean(run[m]["pr_auc"] for run in runs))
    print(f"right field blamed: {[run['blame'] for run in runs]}")
    print("the network is best" if best == "mlp" else f"NOT AS EXPECTED: {best} is best")
    return int(best != "mlp")


if __name__ == "__main__":
    sys.exit(main())
