"""Liquid state machines: a task no linear read-out solves, memory, and the edge of chaos.

python sims/liquid/run.py [--quick] [--only EXPERIMENT ...]    (see README.md)
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

import biomem
from biomem.datasets.tasks.spikes import SpikeOrder
from biomem.engine.atomic import replace_file
from biomem.engine.random import Rng
from biomem.models.liquid import Counts, EdgeOfChaos, Ridge, Trace, edge_of_chaos, random_liquid
from biomem.models.liquid.metrics import memory_capacity
from biomem.viz import plot_edge_of_chaos
from biomem.viz.liquid import crossing

HERE = Path(__file__).parent


def order(c: dict[str, Any]) -> dict[str, Any]:
    """Classify orders of spikes from a liquid, and from what goes into it."""
    train, test = (
        SpikeOrder(batch_size=n)(step, Rng(0)) for step, n in enumerate((c["n_train"], c["n_test"]))
    )
    n_classes = int(train.y.max()) + 1
    xs = [np.minimum(batch.x, 1) for batch in (train, test)]

    def score(features: list[np.ndarray]) -> float:
        read_out = Ridge(n_classes).fit(features[0], train.y)
        return round(read_out.score(features[1], test.y), 4)

    raw = {
        "counts": score([x.sum(axis=0) for x in xs]),
        "last tick": score([x[-1] for x in xs]),
        "trace of 30 ms": score([Trace().read(x, x, 1e-3) for x in xs]),
    }
    runs = []
    for seed in c["seeds"]:
        liquid = random_liquid(
            xs[0].shape[2], c["n"], gain=c["gain"], input_gain=c["input_gain"], seed=seed
        )
        found = [liquid.run(x) for x in xs]
        told = {"seed": seed, "rate": round(float(found[0][0].mean()), 4)}
        for name, read in (("counts", Counts()), ("trace of 30 ms", Trace())):
            told[name] = score([read.read(*run, 1e-3) for run in found])
        runs.append(told)
        print(told, flush=True)
    return {"raw": raw, "runs": runs, "chance": 1 / n_classes}


def memory(c: dict[str, Any]) -> dict[str, Any]:
    """Measure linear reservoirs whose capacity is known: a delay line and an orthogonal matrix."""
    n, draw = c["n"], np.random.default_rng(0)
    u = draw.uniform(-1, 1, c["ticks"])
    turn, _ = np.linalg.qr(draw.normal(size=(n, n)))
    shift = np.eye(n, k=-1)
    weights = {
        "delay line": (shift, np.eye(n)[0]),
        "orthogonal": (c["kept"] * turn, draw.normal(size=n)),
    }
    found = {}
    for name, (w, w_in) in weights.items():
        x, states = np.zeros(n), []
        for value in u:
            x = w @ x + w_in * value
            states.append(x)
        lags = memory_capacity(np.roll(u, -1)[:-1], np.array(states)[:-1], c["max_lag"])
        found[name] = {"capacity": round(float(lags.sum()), 2), "bound": n}
    print(found, flush=True)
    return {"reservoirs": found}


def edge(c: dict[str, Any], figure: Path | None) -> dict[str, Any]:
    """Sweep the gain of the recurrence; means over liquids."""
    tables = []
    for seed in c["seeds"]:
        shape = c["ticks"], c["samples"], c["n_inputs"]
        xs = np.random.default_rng(seed).random(shape) < c["rate"]
        liquid = random_liquid(c["n_inputs"], c["n"], gain=1.0, seed=seed)
        tables.append(edge_of_chaos(liquid, xs, c["gains"], delay=c["delay"], seed=seed))
    mean = EdgeOfChaos(*(np.mean(column, axis=0) for column in zip(*tables, strict=True)))
    if figure is not None:
        axes = plot_edge_of_chaos(mean, title=f"{c['n']} neurons, mean of {len(tables)} liquids")
        axes[0].figure.savefig(figure, dpi=90)
    difference = mean.kernel_rank - mean.generalisation_rank
    peak = int(np.argmax(difference))
    onset = crossing(mean.gain, mean.lyapunov, 0.0)
    ratio = mean.generalisation_rank / mean.kernel_rank
    met = crossing(mean.gain[peak:], ratio[peak:], c["met"])
    told = {
        "gain_at_peak": float(mean.gain[peak]),
        "branching_at_peak": round(float(mean.branching[peak]), 3),
        "gain_where_ranks_meet": met,
        "branching_where_ranks_meet": met and branching(met, mean),
        "gain_at_chaos": onset,
        "branching_at_chaos": onset and branching(onset, mean),
        "measures": {k: np.round(v, 4).tolist() for k, v in mean._asdict().items()},
    }
    print({k: v for k, v in told.items() if k != "measures"}, flush=True)
    return told


def branching(gain: float, measures: EdgeOfChaos) -> float:
    """Return the branching parameter at a gain between those measured."""
    return round(float(np.interp(gain, measures.gain, measures.branching)), 3)


def check(name: str, found: dict[str, Any], want: dict[str, Any]) -> list[str]:
    """Return what does not meet a section of expected.toml."""
    failures = []
    if name == "order":
        failures += [
            f"order, seed {run['seed']}: the liquid has {run['counts']}"
            for run in found["runs"]
            if run["counts"] <= want["liquid_above"]
        ]
        failures += [
            f"order: a linear read-out of raw {features} has {score}"
            for features, score in found["raw"].items()
            if score >= want["raw_below"]
        ]
    elif name == "memory":
        for which, told in found["reservoirs"].items():
            if not want["share_of_bound"] <= told["capacity"] / told["bound"] <= 1.0:
                failures.append(f"memory: {which} has {told['capacity']} of {told['bound']}")
    else:
        for key, (low, high) in want.items():
            if found[key] is None or not low <= found[key] <= high:
                failures.append(f"edge: {key} is {found[key]}")
    return failures


def main() -> int:
    """Run, keep the results of a full run, and check against expected.toml."""
    config = tomllib.loads((HERE / "config.toml").read_text())
    quick = config.pop("quick")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, one seed")
    parser.add_argument("--only", nargs="+", choices=list(config), metavar="EXPERIMENT")
    given = parser.parse_args()
    expected = tomllib.loads((HERE / "expected.toml").read_text())
    failures = []
    for name in given.only or list(config):
        c = config[name] | (quick[name] if given.quick else {})
        if name == "edge":
            found = edge(c, None if given.quick else HERE / "edge_of_chaos.png")
        else:
            found = {"order": order, "memory": memory}[name](c)
        failures += check(name, found, expected[name])
        if not given.quick:
            versions = {"biomem": biomem.__version__, "numpy": np.__version__}
            told = {"config": c, "versions": versions, "machine": platform.machine(), **found}
            path = HERE / "results" / f"{name}.json"
            path.parent.mkdir(exist_ok=True)
            replace_file(path, (json.dumps(told, indent=1) + "\n").encode())
    print("\n".join(failures) or "as expected")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
