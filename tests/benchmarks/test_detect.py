"""Records per CPU-second and bytes of state of ``biomem detect`` on nyc_taxi, on one thread.

``pytest tests/benchmarks/test_detect.py --benchmark-enable -s`` measures; without the option each
case runs once, as a test. CPU time of this process, so a busy machine disturbs little.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biomem import Simulator
from biomem.engine.model import fields_of, flatten
from biomem.stream import RecordReader
from biomem.stream.detect import DetectOptions, detect
from biomem.stream.scores import Alarms, format_rows

SOURCE = Path(__file__).parents[2] / "examples" / "data" / "nyc_taxi.csv"


def silent(kind: str, message: str, row: int = 0) -> None:
    pass


@pytest.mark.parametrize("preset", ["nab", "live"])
def test_records_per_cpu_second(preset: str, benchmark: Any, tmp_path: Path) -> None:
    rates: list[float] = []

    def run() -> None:
        options = DetectOptions(preset=preset)
        report = detect(
            SOURCE,
            tmp_path / "scores.csv",
            options,
            plot=False,
            save=tmp_path / "ck",
            save_every=100_000,
            on_event=silent,
        )
        (tmp_path / "ck").rename(tmp_path / "last")
        assert report.records == 10_320
        rates.append(report.records_per_cpu_second)

    benchmark._timer = time.process_time
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    sim = Simulator.load(tmp_path / "last")
    declared = fields_of(sim.model.State)
    sizes = {name: array.nbytes for name, array in flatten(sim.state)}
    kept = sum(size for name, size in sizes.items() if declared[name].kind == "persistent")
    derived = sum(sizes.values()) - kept
    benchmark.extra_info |= {
        "records per CPU-second": round(max(rates)),
        "bytes of state": kept,
        "bytes derived": derived,
    }
    if benchmark.stats:
        print(
            f"\n{preset}: {max(rates):,.0f} records per CPU-second (best of {len(rates)}), ", end=""
        )
        print(f"state {kept:,} B, derived {derived:,} B")


def test_reading_and_writing_cost_less_than_15_microseconds(benchmark: Any) -> None:
    path = Path("scores.csv")
    scores = np.random.default_rng(0).random(10_320)

    def parse_and_format() -> None:
        with RecordReader(SOURCE, on_event=silent) as reader:
            records = reader.read_chunk(20_000)
        columns = [scores[: len(records)]] * 3
        format_rows(path, records, *columns, Alarms(750, 0.5), 0)

    benchmark._timer = time.process_time
    benchmark.pedantic(parse_and_format, rounds=7)
    if benchmark.stats:
        best = benchmark.stats.stats.min / len(scores) * 1e6
        benchmark.extra_info["us per record"] = round(best, 2)
        print(f"\nreading and writing: {best:.1f} us/record (CPU, best of 7)")
        assert best < 15
