"""Records per second and bytes per stream of a fleet of 1000, through Python, on one thread.

``pytest tests/benchmarks/test_fleet.py --benchmark-enable -s`` measures; without the option a
fleet of 20 runs once, as a test. CPU time of this process, so a busy machine disturbs less.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from biomem.models.htm.fleet import HTMFleet, HTMFleetParams

WARM_UP = 400


def day(n: int, t: int) -> np.ndarray:
    """A noisy daily cycle at five minutes, each stream at its own phase."""
    phase = np.arange(n) * 288 / n
    noise = np.random.default_rng(t).normal(0, 3, n)
    return 50 + 40 * np.sin(2 * np.pi * (t + phase) / 288) + noise


@pytest.mark.parametrize("learned", [False, True], ids=["range given", "range learned"])
def test_records_per_second(learned: bool, benchmark: Any) -> None:
    measured = benchmark.enabled
    n, warm_up = (1000, WARM_UP) if measured else (20, 20)
    params = HTMFleetParams.light() if learned else HTMFleetParams.light(0.0, 100.0)
    fleet, keys, tick = HTMFleet(params, capacity=n), [f"stream {i}" for i in range(n)], [0]

    def call(values: np.ndarray) -> None:
        fleet.update_many(keys, values, times=np.full(n, 300.0 * tick[0]))
        tick[0] += 1

    for t in range(warm_up):
        call(day(n, t))
    benchmark._timer = time.process_time
    benchmark.pedantic(call, setup=lambda: ((day(n, tick[0]),), {}), rounds=100 if measured else 1)
    assert len(fleet) == n
    if not measured:
        return
    best, mean = benchmark.stats.stats.min / n, benchmark.stats.stats.mean / n
    benchmark.extra_info.update(
        records_per_second=round(1 / best), bytes_per_stream=fleet.bytes_per_stream
    )
    print(
        f"\n{'learned' if learned else 'given'}: {1 / best:.0f} records/s "
        f"({best * 1e6:.1f} us best, {mean * 1e6:.1f} mean), "
        f"{fleet.bytes_per_stream} bytes per stream"
    )
