"""The bootstrap meets the wanted rate on new records of the same kind, within a small factor."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biomem.errors import InputError, ParameterError
from biomem.models.htm.drift import (
    DriftMonitor,
    DriftMonitorParams,
    MeanTest,
    Phase,
    calibrate,
    cpu,
)
from biomem.models.htm.drift.calibration import block_bootstrap


def autoregressive(phi: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    out = noise.copy()
    for t in range(1, shape[0]):
        out[t] = phi * out[t - 1] + math.sqrt(1 - phi * phi) * noise[t]
    return out


def every(params: DriftMonitorParams, values: np.ndarray) -> float:
    model = DriftMonitor(params)
    xs = np.stack([values, np.ones_like(values)], -1)
    _, y = cpu.monitor_scan(model, model.init_state(values.shape[1]), xs, 0)
    return int(np.isin(y.phase, (Phase.NORMAL, Phase.DRIFT)).sum()) / max(int(y.drift.sum()), 1)


@pytest.mark.parametrize("phi", [0.0, 0.7])
def test_the_limit_found_keeps_the_rate_on_new_records(phi: float) -> None:
    params = DriftMonitorParams(test=MeanTest(), dependence="none", false_alarm_every=3000.0)
    fresh = autoregressive(phi, (5000, 200), 9)
    found = calibrate(params, autoregressive(phi, (8000, 1), 1)[:, 0])
    assert not found.extrapolated
    assert found.false_alarm_every == pytest.approx(3000, rel=0.05)
    assert found.alarms > 150
    assert every(found.params, fresh) == pytest.approx(3000, rel=0.6)
    if phi:
        assert found.uncalibrated < 500
        assert every(params, fresh) < 500


def test_what_is_too_rare_to_count_is_extrapolated() -> None:
    params = DriftMonitorParams(test=MeanTest(), false_alarm_every=2e6, baseline=200)
    found = calibrate(params, np.random.default_rng(0).normal(size=4000), resamples=50)
    assert found.extrapolated
    assert found.limit == pytest.approx(params.limits[1], abs=3.0)
    assert found.false_alarm_every == pytest.approx(2e6, rel=0.1)


def test_repeats_and_leaves_out_probation_and_missing() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    params = DriftMonitorParams(test=MeanTest(), false_alarm_every=500.0, baseline=100)
    want = calibrate(params, values, resamples=50)
    assert calibrate(params, values, resamples=50) == want
    assert calibrate(params, values, resamples=50, seed=1) != want
    records = np.stack([np.concatenate([[1e9] * 7, values]), np.ones(1007)], -1)
    records = np.insert(records, 500, [[-1e9, 0.0]], axis=0)
    assert calibrate(params.replace(probation=7), records, resamples=50).limit == want.limit


def test_blocks_keep_neighbours_together() -> None:
    index = block_bootstrap(100, 205, 10, 3, np.random.default_rng(0))
    assert index.shape == (205, 3)
    steps = np.diff(index, axis=0) % 100
    assert (np.delete(steps, np.arange(9, 204, 10), axis=0) == 1).all()
    assert (steps[9::10] != 1).any()


@pytest.mark.parametrize(
    "records", [np.ones(499), np.ones((600, 3)), np.full(600, np.nan), np.zeros((600, 2))]
)
def test_refuses_records_it_cannot_draw_from(records: np.ndarray) -> None:
    with pytest.raises(InputError, match="calibrate: records must"):
        calibrate(DriftMonitorParams(), records)


@pytest.mark.parametrize("setting", [{"resamples": 0}, {"block": 0}, {"block": 601}])
def test_refuses_settings(setting: dict) -> None:
    with pytest.raises(ParameterError, match=f"calibrate: {next(iter(setting))} must be"):
        calibrate(DriftMonitorParams(), np.arange(600.0), **setting)
