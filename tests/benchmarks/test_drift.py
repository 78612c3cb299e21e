"""Time per record and bytes of state per stream of the drift tests, kernel only, on one thread.

``pytest tests/benchmarks/test_drift.py --benchmark-enable -s`` measures; without the option each
case runs once, as a test. CPU time of this process, so a busy machine disturbs little.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from biomem.engine.model import flatten
from biomem.models.htm.drift import (
    CUSUM,
    GRID,
    SPRT,
    BernoulliTest,
    DriftMonitor,
    MeanTest,
    cpu,
)

RECORDS, STREAMS = 1000, 1000

CASES = {
    "SPRT, paper": SPRT(SPRT.Params.paper()),
    "CUSUM, mean": CUSUM(test=MeanTest()),
    "CUSUM, mean of any size, both sides": CUSUM(test=MeanTest(delta=GRID), side="both"),
    "DriftMonitor, exceedances": DriftMonitor(test=BernoulliTest()),
    "DriftMonitor, mean, both sides": DriftMonitor(test=MeanTest(), side="both"),
    "DriftMonitor, fleet": DriftMonitor(test=BernoulliTest(), baseline=100, streams=STREAMS),
}


@pytest.mark.parametrize("case", CASES)
def test_nanoseconds_per_record(case: str, benchmark: Any) -> None:
    model = CASES[case]
    scan = cpu.monitor_scan if isinstance(model, DriftMonitor) else cpu.scan
    xs = np.ones((RECORDS, STREAMS, 2))
    xs[..., 0] = np.random.default_rng(0).normal(size=(RECORDS, STREAMS))
    state, _ = scan(model, model.init_state(STREAMS), xs, 0)
    assert state[0].shape[0] == STREAMS

    benchmark._timer = time.process_time
    tick = [RECORDS]

    def chunk() -> None:
        scan(model, state, xs, tick[0])
        tick[0] += RECORDS

    benchmark.pedantic(chunk, rounds=10)
    size = sum(a.nbytes for _, a in flatten(state)) // STREAMS
    benchmark.extra_info["bytes per stream"] = size
    if benchmark.stats:
        best = benchmark.stats.stats.min / (RECORDS * STREAMS)
        benchmark.extra_info["ns per record"] = round(best * 1e9, 1)
        print(f"\n{case}: {best * 1e9:.0f} ns/record (CPU, best of 10), {size:,} B per stream")
