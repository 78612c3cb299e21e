"""Change-point bench: what drift detectors find, and what they raise for nothing.

python sims/htm_drift/run.py [--quick]    (see README.md)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, STEADY, generate
from methods import METHODS
from report import check, tables

import biomem
from biomem.engine.atomic import replace_file
from biomem.stream.baselines import threshold_for

HERE = Path(__file__).parent
LARGE = 1e4


def cell(path: Path, inputs: dict[str, Any], compute: Any) -> dict[str, Any]:
    """Return the result in `path` if it has these inputs, else compute and write it."""
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    if path.is_file():
        known = json.loads(path.read_text())
        if known["key"] == key:
            return known
    versions = {name: version(name) for name in ("biomem", "numpy", "scipy")}
    made = {"python": platform.python_version(), "machine": platform.machine(), **versions}
    found = {"key": key, "inputs": inputs, "made with": made, **compute()}
    replace_file(path, (json.dumps(found, indent=1) + "\n").encode())
    return found


def calibrate(name: str, config: dict[str, Any], out: Path) -> dict[str, Any]:
    """Return the setting of a method for the wanted rate of false alarms."""
    c = config["calibration"]
    slow = config["slow"].get(name, {})
    streams, runs = slow.get("calibration_streams", c["streams"]), slow.get("calibration_runs", 12)

    def compute() -> dict[str, Any]:
        method = METHODS[name]
        records = np.random.default_rng(c["seed"]).normal(size=(c["records"], streams))
        found = threshold_for(
            lambda x: method.make(x, streams),
            records,
            c["false_alarm_every"],
            method.low,
            method.high,
            most=runs,
        )
        return found._asdict()

    return cell(out / f"{name}--calibration.json", {**c, "streams": streams}, compute)


def measure(
    name: str, case: str, setting: float, config: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Return detections, delay, false alarms and time of one method on one case."""
    b = config["bench"]
    change, records, seeds = b["change"], b["records"], b["seeds"]

    def compute() -> dict[str, Any]:
        xs = generate(case, records, change, range(seeds))
        METHODS[name].make(setting, 1).run(xs[:5, :1])
        detector = METHODS[name].make(setting, seeds)
        start = time.process_time()
        alarms = detector.run(xs)
        seconds = time.process_time() - start + getattr(detector, "saved", 0.0)
        quiet = records if case in STEADY else change
        found: dict[str, Any] = {
            "false alarms per 10 000": alarms[:quiet].mean() * LARGE,
            "us per record": seconds / xs.size * 1e6,
        }
        if case not in STEADY:
            after = alarms[change:]
            delay = np.where(after.any(axis=0), after.argmax(axis=0) + 1.0, np.inf)
            for limit in b["within"]:
                found[f"within {limit}"] = float((delay <= limit).mean())
            seen = delay[np.isfinite(delay)]
            found["median delay"] = float(np.median(seen)) if len(seen) else None
        return found

    inputs = {**b, "method": name, "case": case, "setting": setting}
    return cell(out / f"{name}--{case}.json", inputs, compute)


def main() -> None:
    """Run what is missing, and print the tables; the full run puts them into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few methods and cases, < 60 s")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    quick, out = (args := parser.parse_args()).quick, args.out
    config = tomllib.loads((HERE / "config.toml").read_text())
    names, cases = list(METHODS), list(CASES)
    if quick:
        names, cases = config["quick"]["methods"], config["quick"]["cases"]
        config["bench"]["seeds"] = config["quick"]["seeds"]
        config["calibration"]["records"] = config["quick"]["calibration_records"]
        out = out / "quick"
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in names:
        setting = calibrate(name, config, out)["setting"]
        for case in config["slow"].get(name, {}).get("cases", cases):
            results[name, case] = measure(name, case, setting, config, out)
        print(f"{name}: setting {setting:.4g}", flush=True)
    text = tables(results, config["bench"]["within"])
    print(text)
    if not quick:
        expected = tomllib.loads((HERE / "expected.toml").read_text())
        print("\n".join(check(results, expected)))
        readme = HERE / "README.md"
        head = readme.read_text().partition("<!-- results -->")[0]
        page = f"{head}<!-- results -->\n\nbiomem {biomem.__version__}.\n\n{text}"
        replace_file(readme, page.encode())


if __name__ == "__main__":
    main()
