"""A detector that never ends takes a bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biomem import HTMDetector, Simulator
from biomem.engine.model import flatten
from biomem.models.htm.detector import HTMDetectorParams


def noisy(n: int, first: int) -> np.ndarray:
    """Return a noisy daily cycle at five minutes, of which an HTM never stops learning."""
    t = 300.0 * np.arange(first, first + n)
    value = 50 + 30 * np.sin(2 * np.pi * t / 86400) + np.random.default_rng(first).normal(0, 5, n)
    return np.stack([value, t, np.zeros(n)], axis=-1)


def test_the_state_stays_as_large_as_it_was_once_the_segments_are_all_in_use() -> None:
    bound = 256
    params = HTMDetectorParams.for_range(0.0, 100.0, max_segments=bound)
    sim = Simulator(HTMDetector(params), progress=False)
    lists = []
    for first in range(0, 12_000, 500):
        sim.run(noisy(500, first))
        memory = dict(flatten(sim.state.temporal_memory))
        assert memory["counters"][0] <= bound
        lists.append(memory["links/lists"].size)
    assert memory["counters"][0] == memory["seg_cell"].size == bound
    # Two synapses take at most seven places of lists that are at most half empty.
    assert max(lists) < 8 * memory["syn_pre"].size
    assert max(lists[12:]) < 1.15 * max(lists[2:12])


def test_a_live_detector_is_bounded_and_the_published_one_is_not() -> None:
    assert HTMDetectorParams.for_range(0.0, 1.0).temporal_memory.max_segments == 4096
    assert HTMDetectorParams.nab(0.0, 1.0, 1000).temporal_memory.max_segments is None


def resident() -> int:
    """Return the memory of this process, kB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.slow
def test_resident_memory_grows_by_less_than_a_hundredth_in_a_million_records() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc/self/status")
    sim = Simulator(HTMDetector(HTMDetectorParams.for_range(0.0, 100.0)), progress=False)
    sim.record("score", every=1_000_000)
    warm_up, step = 200_000, 50_000
    for first in range(0, warm_up, step):
        sim.run(noisy(step, first))
    before = resident()
    for first in range(warm_up, warm_up + 1_000_000, step):
        sim.run(noisy(step, first))
    growth = resident() / before - 1
    print(f"\n{before / 1024:.1f} MB after {warm_up} records, {growth:+.2%} in a million more")
    assert growth < 0.01
