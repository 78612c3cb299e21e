"""Events hold the row of the outputs that raised the alarm."""

from __future__ import annotations

import json

import numpy as np
import pytest

from biomem import Simulator
from biomem.errors import InputError
from biomem.models.htm.drift import DriftMonitor, MeanTest, cpu, drift_events


@pytest.fixture
def records() -> np.ndarray:
    xs = np.ones((600, 3, 2))
    xs[..., 0] = np.random.default_rng(4).normal(size=(600, 3))
    xs[300:, 1, 0] += 3
    xs[450:, 2, 0] -= 3
    return xs


@pytest.fixture
def model() -> DriftMonitor:
    return DriftMonitor(test=MeanTest(), side="both", baseline=100, limit=12.0)


def test_one_event_per_alarm_with_its_evidence(model: DriftMonitor, records: np.ndarray) -> None:
    out = Simulator(model, batch=3).run(records)
    first, second = drift_events(out, streams=["a", "b", "c"], version="m 1")
    assert (first.stream, first.direction, second.stream, second.direction) == ("b", 1, "c", -1)
    assert first.kind == "drift"
    assert first.version == "m 1"
    assert 300 < first.record < 315 < 450 < second.record < 465
    assert first.onset == pytest.approx(300, abs=2)
    assert first.S >= first.A == 12.0 > first.B == 0.0
    assert first.n == first.record - first.onset + 1
    assert first.before == pytest.approx(0.0, abs=0.3)
    assert first.after == pytest.approx(3.0, abs=0.8)
    assert json.loads(json.dumps(first.to_dict()))["onset"] == first.onset


def test_kernel_outputs_and_single_steps_give_the_same_events(
    model: DriftMonitor, records: np.ndarray
) -> None:
    want = drift_events(Simulator(model, batch=3).run(records))
    _, ys = cpu.monitor_scan(model, model.init_state(3), records, 0)
    assert drift_events(ys) == want
    sim = Simulator(model, batch=3, backend="numpy")
    one_by_one = [e for t, x in enumerate(records) for e in drift_events(sim.step(x), first=t)]
    assert one_by_one == want
    assert want[0].version.startswith("DriftMonitor ")


def test_refuses_outputs_that_lack_fields_and_wrong_names(
    model: DriftMonitor, records: np.ndarray
) -> None:
    sim = Simulator(model, batch=3)
    sim.record("drift")
    with pytest.raises(InputError, match=r"lacks .*'statistic'"):
        drift_events(sim.run(records))
    with pytest.raises(InputError, match="all 3 streams of the outputs, got 1 names"):
        drift_events(Simulator(model, batch=3).run(records), streams=["a"])
