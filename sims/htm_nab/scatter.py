"""NAB: how much of an ensemble's score is the luck of its seeds.

python sims/htm_nab/scatter.py [--seeds 12] [--draws 24] [--cache FOLDER]    (see README.md)

Members share nothing but the stream, so each HTM runs once for each seed, and ensembles are drawn
from these runs without replacement. Draws share members: for large ensembles the spread is too low.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import run

from biomem import AnomalyLikelihood, HTMDetector, Simulator
from biomem.datasets import NAB
from biomem.datasets.nab_score import score_corpus
from biomem.models.htm.ensemble import HTMEnsembleParams

FLOOR = 70.1
KINDS = ("plain", "squashed")
ENSEMBLES: dict[str, dict[str, Any]] = {
    "pair": {"ensemble": "pair"},
    "trio": {"ensemble": "trio"},
    "trio, 2 copies": {"ensemble": "trio", "copies": 2},
    "trio, 3 copies": {"ensemble": "trio", "copies": 3},
}


def raw_scores(corpus: NAB, kind: int, seed: int) -> dict[str, np.ndarray]:
    """Return the raw scores of one HTM of the pair, for every file."""
    found = {}
    for file in corpus.files:
        series = corpus.series(file)
        p = run.ensemble(series.values, {"range": "file", "ensemble": "pair"}, seed)
        member = p.members[kind]
        seen = [member.seen(v) for v in series.values.tolist()]
        seconds = series.timestamps.astype(np.int64).astype(float)
        xs = np.stack([seen, seconds, np.zeros(len(seen))], axis=-1)
        sim = Simulator(HTMDetector(member.detector), seed=seed, progress=False)
        found[file] = sim.run(xs)["raw"][:, 0]
    return found


def cached(corpus: NAB, kind: int, seed: int, folder: Path) -> dict[str, np.ndarray]:
    """Return what `raw_scores` does, from a file of an earlier run if there is one."""
    path = folder / f"{KINDS[kind]}-{seed}.npz"
    if not path.exists():
        np.savez_compressed(path, **raw_scores(corpus, kind, seed))  # type: ignore[arg-type]
    with np.load(path) as stored:
        return {file: stored[file] for file in corpus.files}


def told(values: np.ndarray, raw: np.ndarray, p: HTMEnsembleParams) -> np.ndarray:
    """Return the score of an ensemble from the mean raw score of its members."""
    pairs = np.stack([raw, values], axis=-1)
    log = Simulator(AnomalyLikelihood(p.likelihood), progress=False).run(pairs)["log_likelihood"]
    return run.quieted(np.where(run.outside(values), 1.0, log[:, 0]), p.quiet)


def judge(
    corpus: NAB, members: list[dict[str, np.ndarray]], changes: dict[str, Any]
) -> list[float]:
    """Return the scores of one ensemble: three profiles, and two halves of the files."""
    scores = {}
    for file in corpus.files:
        values = corpus.series(file).values
        p = run.ensemble(values, {"range": "file", **changes}, 0)
        scores[file] = told(values, np.mean([m[file] for m in members], axis=0), p)

    def score(files: list[str], profile: str) -> float:
        parts = ({f: x[f] for f in files} for x in (scores, corpus.rows))
        return score_corpus(*parts, corpus.profiles[profile]).score

    files = list(corpus.files)
    return [
        *(score(files, profile) for profile in run.PROFILES),
        *(score(half, run.PROFILES[0]) for half in (files[::2], files[1::2])),
    ]


def main() -> None:
    """Draw ensembles, and print and keep their scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12, help="runs of each HTM")
    parser.add_argument("--draws", type=int, default=24, help="ensembles of each kind")
    parser.add_argument("--cache", type=Path, help="keep raw scores here: 40 s for each run")
    given = parser.parse_args()
    corpus, rng, kept = NAB(), np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as fallback:
        folder = given.cache or Path(fallback)
        runs = [[cached(corpus, kind, s, folder) for s in range(given.seeds)] for kind in (0, 1)]
    print("| ensemble | HTMs | standard | spread | range | low FP | low FN | halves | >= 70.1 |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name, changes in ENSEMBLES.items():
        copies = changes.get("copies", 1)
        counts = (copies * (1 + (changes["ensemble"] == "trio")), copies)
        rows = []
        for _ in range(given.draws):
            drawn = [rng.choice(given.seeds, k, replace=False) for k in counts]
            members = [runs[kind][i] for kind in (0, 1) for i in drawn[kind]]
            rows.append(judge(corpus, members, changes))
        x, (mean, spread) = np.array(rows), (np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1))
        kept[name] = {"htms": sum(counts), "scores": x.round(3).tolist()}
        print(
            f"| {name} | {sum(counts)} | {mean[0]:.1f} | {spread[0]:.1f} | {x[:, 0].min():.1f} ... "
            f"{x[:, 0].max():.1f} | {mean[1]:.1f} | {mean[2]:.1f} | {mean[3]:.1f}, {mean[4]:.1f} | "
            f"{np.sum(x[:, 0] >= FLOOR)} of {given.draws} |",
            flush=True,
        )
    path = run.HERE / "results" / "scatter.json"
    path.write_text(json.dumps({"seeds": given.seeds, "ensembles": kept}) + "\n")


if __name__ == "__main__":
    main()
