"""Time per tick, segments, synapses and bytes of state of the Temporal Memory, on one thread.

``pytest tests/benchmarks/test_temporal_memory.py --benchmark-enable -s`` measures; without the
option each case runs once, as a test. CPU time of this process, so a busy machine disturbs little.
The columns are those the Spatial Pooler gives for a noisy daily load curve, sampled half-hourly.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from biomem.engine.model import fields_of, flatten, map_arrays
from biomem.engine.random import Rng
from biomem.models.htm.encoders import RDSE, ScalarEncoder
from biomem.models.htm.spatial_pooler import SpatialPooler, SpatialPoolerParams
from biomem.models.htm.spatial_pooler import cpu as spatial_pooler
from biomem.models.htm.temporal_memory import TemporalMemory, TemporalMemoryParams, cpu

WARM_UP, RECORDS = 3000, 500

CASES: dict[str, TemporalMemoryParams] = {
    "nab": TemporalMemoryParams.nab(),
    "nab, no learning": TemporalMemoryParams.nab(learn=False),
    "nab, bounded": TemporalMemoryParams.nab(max_segments=1000),
    "nab tm_cpp": TemporalMemoryParams.nab_tm_cpp(),
}


@pytest.fixture(scope="module")
def columns() -> np.ndarray:
    """Active columns of a load curve, shape ``(time, 1, column)``."""
    rng = np.random.default_rng(0)
    hours = np.arange(WARM_UP + RECORDS) / 2
    daily, weekend = np.sin(hours * np.pi / 12), hours // 24 % 7 >= 5
    load = 100 + daily * np.where(weekend, 20, 40) + rng.normal(0, 4, hours.size)
    value = RDSE(size=400, active_bits=21, resolution=1.5)
    time_of_day = ScalarEncoder(minimum=0, maximum=24, active_bits=21, radius=9.49, periodic=True)
    bits = np.zeros((hours.size, 1, value.size + time_of_day.size), bool)
    for t, (x, hour) in enumerate(zip(load, hours % 24, strict=True)):
        bits[t, 0, value.encode(float(x)).indices] = True
        bits[t, 0, value.size + time_of_day.encode(float(hour)).indices] = True
    pooler = SpatialPooler(SpatialPoolerParams.nab(input_shape=(bits.shape[2],)))
    return spatial_pooler.scan(pooler, pooler.init_state(1, Rng(1)), bits, 0)[1].active


@pytest.mark.parametrize("case", CASES)
def test_microseconds_per_tick(case: str, columns: np.ndarray, benchmark: Any) -> None:
    learner = TemporalMemory(CASES[case].replace(learn=True))
    learned, _ = cpu.scan(learner, learner.init_state(), columns[:WARM_UP], 0)
    model = TemporalMemory(CASES[case])
    ends: list[Any] = []

    def setup() -> tuple[tuple[Any], dict[str, Any]]:
        return (map_arrays(np.copy, learned),), {}

    def chunk(state: Any) -> None:
        ends.append(cpu.scan(model, state, columns[WARM_UP:], WARM_UP))

    benchmark._timer = time.process_time
    benchmark.pedantic(chunk, setup=setup, rounds=15)
    state, outputs = ends[-1]
    assert outputs.anomaly.mean() < 0.6
    declared = fields_of(model.State)
    kept = sum(a.nbytes for n, a in flatten(state) if declared[n].kind == "persistent")
    total = sum(a.nbytes for _, a in flatten(state))
    n_segments, n_synapses = outputs.n_segments[-1, 0], outputs.n_synapses[-1, 0]
    took = f"{benchmark.stats.stats.min / RECORDS * 1e6:.1f} us a tick" if benchmark.stats else ""
    print(
        f"\n{case}: {took}, {n_segments} segments, {n_synapses} synapses, mean raw anomaly "
        f"{outputs.anomaly.mean():.3f}, {kept} bytes kept, {total} with links"
    )
