"""Time per record and bytes of state of the Spatial Pooler, kernel only, on one thread.

``pytest tests/benchmarks/test_spatial_pooler.py --benchmark-enable -s`` measures; without the
option each case runs once, as a test. CPU time of this process, so a busy machine disturbs little.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from biomem.engine.model import fields_of, flatten
from biomem.engine.random import Rng
from biomem.models.htm.spatial_pooler import SpatialPooler, SpatialPoolerParams, cpu

RECORDS = 500


def random_walk(n_inputs: int, width: int) -> np.ndarray:
    """Runs of `width` scattered bits whose start wanders: what a scalar encoder sends."""
    rng = np.random.default_rng(0)
    scatter = rng.permutation(n_inputs)
    last = n_inputs - width
    start = np.clip(last // 2 + np.cumsum(rng.normal(0, 3, RECORDS)), 0, last).astype(int)
    xs = np.zeros((RECORDS, 1, n_inputs), bool)
    for t, s in enumerate(start):
        xs[t, 0, scatter[s : s + width]] = True
    return xs


CASES: dict[str, tuple[dict[str, Any], int]] = {
    "nab": ({}, 42),
    "nab, no learning": ({"learn": False}, 42),
    "nab, boosting": ({"boost_strength": 3.0}, 42),
    "4054 inputs": ({"input_shape": (4054,), "potential_pct": 0.4}, 421),
    "local inhibition": ({"global_inhibition": False, "potential_radius": 16}, 42),
}


@pytest.mark.parametrize("case", CASES)
def test_microseconds_per_record(case: str, benchmark: Any) -> None:
    changes, width = CASES[case]
    model = SpatialPooler(SpatialPoolerParams.nab(**changes))
    xs = random_walk(model.params.n_inputs, width)
    state, outputs = cpu.scan(model, model.init_state(1, Rng(1)), xs, 0)
    assert outputs.active.any(axis=2).all()

    benchmark._timer = time.process_time
    tick = [RECORDS]

    def chunk() -> None:
        cpu.scan(model, state, xs, tick[0])
        tick[0] += RECORDS

    benchmark.pedantic(chunk, rounds=15)
    declared = fields_of(model.State)
    kept = sum(a.nbytes for n, a in flatten(state) if declared[n].kind == "persistent")
    derived = sum(a.nbytes for _, a in flatten(state)) - kept
    benchmark.extra_info |= {"bytes of state": kept, "bytes derived": derived}
    if benchmark.stats:
        best = benchmark.stats.stats.min / RECORDS
        benchmark.extra_info["us per record"] = round(best * 1e6, 2)
        print(f"\n{case}: {best * 1e6:.1f} us/record (CPU, best of 15), ", end="")
        print(f"state {kept:,} B, derived {derived:,} B")
