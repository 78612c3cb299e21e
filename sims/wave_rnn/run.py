"""Wave-RNN: copy, adding and sequential digits, as in the paper and as far as the budget goes.

python sims/wave_rnn/run.py [--quick] [--only EXPERIMENT ...]    (see README.md)
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tomllib
from pathlib import Path
from typing import Any

import torch
from digits import train_digits
from memory_tasks import task_of, train_memory
from waves import draw, measure

import biomem
from biomem.engine.atomic import replace_file

HERE = Path(__file__).parent


def memory(c: dict[str, Any], figures: Path | None) -> dict[str, Any]:
    """Train every kind of network at every seed; measure the waves of the first."""
    runs, waves = [], None
    for seed in c["seeds"]:
        for kind in ("wave", "irnn"):
            if kind not in c:
                continue
            told, net = train_memory(c, kind, seed)
            runs.append(told)
            if kind == "wave" and c["task"] == "copy" and waves is None:
                before, after = net.model, net.to_model()
                waves = {"before": measure(before, task_of(c)), "after": measure(after, task_of(c))}
                print(waves, flush=True)
                if figures is not None:
                    scores = waves["after"]["score"]
                    ring = scores.index(max(scores))
                    title = f"ring {ring} after {told['iterations']} iterations"
                    draw(after, task_of(c), ring, title, figures)
    return {"runs": runs, "waves": waves}


def experiment(name: str, c: dict[str, Any], keep: bool) -> dict[str, Any]:
    """Run one section of config.toml."""
    if c["task"] == "digits":
        folder = HERE / "checkpoints"
        folder.mkdir(exist_ok=True)
        return train_digits(c, folder / f"{name}.h5" if keep else None)
    return memory(c, HERE if keep and name == "copy_80" else None)


def check(name: str, found: dict[str, Any], want: dict[str, Any]) -> list[str]:
    """Return what does not meet a section of expected.toml."""
    if "accuracy" in want:
        got = found["test_accuracy"]
        return [f"{name}: accuracy {got}"] if got < want["accuracy"] else []
    failures = []
    for run in found["runs"]:
        at = f"{name}, seed {run['seed']}"
        recall = run["test"].get("recall")
        if run["network"] == "irnn":
            if recall is not None and recall >= want["irnn_recall_below"]:
                failures.append(f"{at}: the iRNN has a recall of {recall}")
        elif run["solved_at"] is None or run["solved_at"] > want["solved_within"]:
            failures.append(f"{at}: solved at {run['solved_at']}")
        elif recall is not None and recall < want["recall"] - want["tolerance"]:
            failures.append(f"{at}: the wave network has a recall of {recall} on fresh batches")
    if "velocity" in want:
        after = found["waves"]["after"]
        got = after["velocity"][after["score"].index(max(after["score"]))]
        if abs(got - want["velocity"]) > want["velocity_tolerance"]:
            failures.append(f"{name}: waves of velocity {got}")
    return failures


def main() -> int:
    """Run, keep the results of a full run, and check against expected.toml."""
    config = tomllib.loads((HERE / "config.toml").read_text())
    quick = config.pop("quick")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(quick)} at one seed")
    parser.add_argument("--only", nargs="+", choices=list(config), metavar="EXPERIMENT")
    given = parser.parse_args()
    names = given.only or list(quick if given.quick else config)
    expected = tomllib.loads((HERE / "expected.toml").read_text())
    torch.set_num_threads(1)
    failures = []
    for name in names:
        c = config[name] | (quick.get(name, {}) if given.quick else {})
        found = experiment(name, c, keep=not given.quick)
        failures += check(name, found, expected[name])
        if not given.quick:
            versions = {"biomem": biomem.__version__, "torch": torch.__version__}
            told = {"config": c, "versions": versions, "machine": platform.machine(), **found}
            path = HERE / "results" / f"{name}.json"
            replace_file(path, (json.dumps(told, indent=1) + "\n").encode())
    print("\n".join(failures) or "as expected")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
