"""NAB, whole corpus: what each part of the detector contributes to its score.

python sims/htm_nab/run.py [--quick] [--only CONFIGURATION ...] [--table]    (see README.md)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

import biomem
from biomem import HTMDetector, Simulator
from biomem.datasets import NAB
from biomem.datasets.nab_score import average_precision, probation, score_at, score_corpus
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.encoders import DateTimeEncoder
from biomem.models.htm.ensemble import HTMEnsemble, HTMEnsembleParams

HERE = Path(__file__).parent
PROFILES = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
VARIANTS = (
    *("full", "no_range_rule", "no_quiet_time", "one_htm", "no_likelihood", "raw"),
    "range_rule_alone",
)
PARTS = ("value", "spatial_pooler", "temporal_memory", "likelihood")


def parameters(values: np.ndarray, changes: dict[str, Any], seed: int) -> HTMDetectorParams:
    """Return the detector of one file."""
    n = len(values)
    known = values if changes["range"] == "file" else values[: probation(n)]
    low, high = float(known.min()), float(known.max())
    p = HTMDetectorParams.nab(low, high, n)
    if "buckets" in changes:
        resolution = max(0.001, 1.4 * (high - low) / changes["buckets"])
        p = p.replace(value=p.value.replace(resolution=resolution))
    parts = {name: getattr(p, name).replace(**changes.get(name, {})) for name in PARTS}
    clock = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.get("time", {}).items()}
    clock = DateTimeEncoder(**{"time_of_day": (21, 9.49), **clock})
    pooler, memory = parts["spatial_pooler"], parts["temporal_memory"]
    parts["spatial_pooler"] = pooler.replace(
        input_shape=(parts["value"].size + clock.size,), seed=pooler.seed + seed
    )
    columns = parts["spatial_pooler"].n_columns
    parts["temporal_memory"] = memory.replace(n_columns=columns, seed=memory.seed + seed)
    return HTMDetectorParams(**parts, time=clock, range_rule=True)


def ensemble(values: np.ndarray, changes: dict[str, Any], seed: int) -> HTMEnsembleParams:
    """Return the HTMs of one file."""
    n = max(1, probation(len(values)))
    span = values if changes["range"] == "file" else values[:n]
    low, high = float(span.min()), float(span.max())
    build = getattr(HTMEnsembleParams, changes["ensemble"])
    more = {k: changes[k] for k in ("copies",) if k in changes}
    return build(low, high, values[:n], probation=n, table=True, seed=seed, **more)


def quieted(scores: np.ndarray, quiet: int) -> np.ndarray:
    """Return scores with what goes on told once, as the ensemble does it."""
    before = np.lib.stride_tricks.sliding_window_view(
        np.append(np.full(quiet, -1.0), scores[:-1]), quiet
    )
    return np.where(scores > before.max(axis=1), scores, scores / 2)


def outside(values: np.ndarray) -> np.ndarray:
    """Return where the range rule speaks, without any model."""
    low = np.append(values[0], np.minimum.accumulate(values)[:-1])
    high = np.append(values[0], np.maximum.accumulate(values)[:-1])
    margin = 0.05 * (high - low)
    return (high > low) & ((values > high + margin) | (values < low - margin))


def scores_of(series: Any, changes: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Return the scores of one file, with parts of the detector left out."""
    values = series.values
    seconds = series.timestamps.astype(np.int64).astype(float)
    xs = np.stack([values, seconds, np.zeros(len(values))], axis=-1)
    far = outside(values)
    if changes.get("ensemble"):
        p = ensemble(values, changes, seed)
        out = Simulator(HTMEnsemble(p), seed=seed, progress=False).run(xs)
        raw, log = out["raw"][:, 0], out["log_likelihood"][:, 0]
        alone = Simulator(HTMEnsemble(p.replace(members=p.members[:1])), seed=seed, progress=False)
        return {
            "full": out["score"][:, 0],
            "no_range_rule": quieted(log, p.quiet),
            "no_quiet_time": np.where(far, 1.0, log),
            "one_htm": alone.run(xs)["score"][:, 0],
            "no_likelihood": np.where(far, 1.0, raw),
            "raw": raw,
        }
    sim = Simulator(HTMDetector(parameters(values, changes, seed)), seed=seed, progress=False)
    out = sim.run(xs)
    raw, log = out["raw"][:, 0], out["log_likelihood"][:, 0]
    return {
        "full": out["score"][:, 0],
        "no_range_rule": log,
        "no_likelihood": np.where(far, 1.0, raw),
        "raw": raw,
        "range_rule_alone": far.astype(float),
    }


def judge(corpus: NAB, scores: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, Any]:
    """Return every figure of one set of scores."""
    rows = {file: corpus.rows[file] for file in scores}
    told: dict[str, Any] = {"pr_auc": average_precision(scores, rows)}
    few = [file for file in rows if file in config["threshold_files"]]
    rest = [file for file in rows if file not in few]
    for name in PROFILES:
        profile = corpus.profiles[name]
        best = score_corpus(scores, rows, profile)
        told[name] = {"score": best.score, "threshold": best.threshold}
        some = [{file: x[file] for file in few} for x in (scores, rows)]
        others = [{file: x[file] for file in rest} for x in (scores, rows)]
        threshold = score_corpus(*some, profile).threshold
        fixed = score_at(*others, threshold, profile)
        told[name]["fixed"] = {"score": fixed.score, "threshold": threshold}
        told[name]["halves"] = [
            score_corpus(*({f: x[f] for f in half} for x in (scores, rows)), profile).score
            for half in (list(rows)[::2], list(rows)[1::2])
        ]
    return told


def measure(corpus: NAB, config: dict[str, Any], name: str, seed: int, files: Any) -> Any:
    """Run one configuration with one seed."""
    changes, began = config["configurations"][name], time.process_time()
    by_file = {file: scores_of(corpus.series(file), changes, seed) for file in files}
    cpu = time.process_time() - began
    variants = by_file[files[0]]
    told = {v: judge(corpus, {f: by_file[f][v] for f in files}, config) for v in variants}
    return {"configuration": name, "seed": seed, "cpu_s": round(cpu, 1), "variants": told}


def row(name: str, runs: list[dict[str, Any]], variant: str) -> str:
    """Return one line of the table: the mean over seeds, and the spread of the first profile."""
    found = [run["variants"][variant] for run in runs]
    means = [statistics.mean(f[p]["score"] for f in found) for p in PROFILES]
    first = [f["standard"]["score"] for f in found]
    spread = f"{min(first):.1f} ... {max(first):.1f}"
    fixed = statistics.mean(f["standard"]["fixed"]["score"] for f in found)
    area = statistics.mean(f["pr_auc"] for f in found)
    cells = [f"{means[0]:.1f}", spread, *(f"{m:.1f}" for m in means[1:]), f"{fixed:.1f}"]
    return f"| {name} | {variant.replace('_', ' ')} | {' | '.join(cells)} | {area:.3f} |"


def main() -> None:
    """Run what has no result yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two groups, one seed, a minute")
    parser.add_argument("--only", nargs="*", help="configurations to run")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    given = parser.parse_args()
    config, corpus = tomllib.loads((HERE / "config.toml").read_text()), NAB()
    seeds = config["seeds"][:1] if given.quick else config["seeds"]
    groups = config["quick_groups"] if given.quick else corpus.groups
    files = [file for file in corpus.files if file.split("/")[0] in groups]
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    sha = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    told = {"commit": sha, "machine": platform.machine(), "biomem": biomem.__version__}
    print("| configuration | scores | standard | seeds | low FP | low FN | fixed | PR-AUC |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in given.only or config["configurations"]:
        text = json.dumps(config["configurations"][name], sort_keys=True)
        digest, runs = hashlib.sha256(text.encode()).hexdigest()[:8], []
        for seed in seeds:
            path = HERE / "results" / f"{name}-{digest}-{seed}.json"
            if path.exists() and not given.quick:
                runs.append(json.loads(path.read_text()))
            elif not given.table:
                runs.append(measure(corpus, config, name, seed, files) | told)
                if not given.quick:
                    path.write_text(json.dumps(runs[-1], indent=1) + "\n")
        for variant in VARIANTS:
            if runs and variant in runs[0]["variants"]:
                print(row(name, runs, variant), flush=True)


if __name__ == "__main__":
    main()
