"""Limits from records themselves: a block bootstrap of a baseline, run through the monitor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from biomem.errors import InputError, ParameterError
from biomem.models.htm.drift.monitor import DriftMonitor, Phase
from biomem.models.htm.drift.monitor_params import DriftMonitorParams
from biomem.typing import FloatArray, IntArray

__all__ = ["Calibration", "block_bootstrap", "calibrate"]

ENOUGH = 200
"""False alarms that make a rate: their number is known within 7 %."""

MOST_RECORDS = 3_000_000
TOLERANCE = 0.02


class Calibration(NamedTuple):
    """What `calibrate` found.

    `params` has the limit that was found; `false_alarm_every` is what came of it in the resampled
    records, and `uncalibrated` what the limit from the equations would have given. Where the
    wanted rate is too rare to be counted, both limit and rate are `extrapolated`.
    """

    params: DriftMonitorParams
    limit: float
    false_alarm_every: float
    uncalibrated: float
    alarms: int
    extrapolated: bool


def block_bootstrap(
    records: int, length: int, block: int, resamples: int, rng: np.random.Generator
) -> IntArray:
    """Return indices of resampled series, blocks of `block` records drawn anew (wrapping round).

    Parameters
    ----------
    records : int
        Length of the series to draw from.
    length : int
        Length of each resampled series.

    Returns
    -------
    array, shape ``(length, resamples)``, int64
    """
    starts = rng.integers(0, records, size=(-(-length // block), resamples))
    index = starts[:, None, :] + np.arange(block)[None, :, None]
    return index.reshape(-1, resamples)[:length] % records


def _alarms(params: DriftMonitorParams, xs: FloatArray) -> tuple[int, int]:
    """Return false alarms, and records in which there could have been one."""
    from biomem.models.htm.drift import cpu

    model = DriftMonitor(params)
    state, alarms, normal = model.init_state(xs.shape[1]), 0, 0
    chunk = max(1, 2_000_000 // xs.shape[1])
    for start in range(0, len(xs), chunk):
        state, y = cpu.monitor_scan(model, state, xs[start : start + chunk], start)
        alarms += int(y.drift.sum())
        normal += int(np.isin(y.phase, (Phase.NORMAL, Phase.DRIFT)).sum())
    return alarms, normal


def _length(records: int, wanted: float, params: DriftMonitorParams, resamples: int) -> int:
    """Return the length of each series: enough for `ENOUGH` alarms, within `MOST_RECORDS`."""
    each = math.ceil(ENOUGH * wanted / resamples) + params.probation + 2 * params.baseline
    return max(2 * params.baseline, min(each, MOST_RECORDS // resamples))


def calibrate(
    params: DriftMonitorParams,
    records: Any,
    *,
    resamples: int = 200,
    block: int | None = None,
    seed: int = 0,
) -> Calibration:
    """Set the limit of a monitor so that it keeps its rate of false alarms on records like these.

    The records are resampled in blocks, which keeps what depends on the record before, and the
    monitor itself runs over every resampled series, baseline and all, so that the error of a short
    baseline counts as well. The limit is then moved until the rate is met.

    When not to use it: on records that hold a drift or an anomaly (they become part of what is
    normal), or on fewer than some hundred: what they do not hold cannot be drawn from them.

    Parameters
    ----------
    params : DriftMonitorParams
        Its `probation` is left out of the resampled series.
    records : array-like, shape ``(records,)`` or ``(records, 2)``
        Values without drift, or values and weights; missing ones are left out.
    resamples : int
        Number of resampled series.
    block : int, optional
        Records per block; default ``2 records^(1/2)``, at most a quarter of them.
    seed : int

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        Records of another shape, not finite, or fewer than the least baseline.
    """
    xs = _checked(records, params)
    if not (isinstance(resamples, int) and resamples >= 1):
        raise ParameterError(f"calibrate: resamples must be an integer >= 1, got {resamples!r}")
    if block is None:
        block = max(1, min(round(2 * math.sqrt(len(xs))), len(xs) // 4))
    if not 1 <= block <= len(xs):
        raise ParameterError(f"calibrate: block must be in [1, {len(xs)}], got {block!r}")
    params = params.replace(probation=0)
    wanted = float(params.false_alarm_every * params.streams)
    length = _length(len(xs), wanted, params, resamples)
    drawn = block_bootstrap(len(xs), length, block, resamples, np.random.default_rng(seed))
    series = np.ascontiguousarray(xs[drawn])

    counted: dict[float, tuple[int, int]] = {}

    def every(limit: float) -> float:
        if limit not in counted:
            counted[limit] = _alarms(params.replace(limit=limit), series)
        alarms, normal = counted[limit]
        return normal / max(alarms, 0.5)

    first = params.limits[1]
    countable = min(wanted, length * resamples / ENOUGH)
    limit = _find(every, first, countable)
    reached, alarms = every(limit), counted[limit][0]
    extrapolated = countable < wanted and reached < wanted
    if extrapolated:
        slope = _slope(every, limit)
        gap = math.log(wanted / reached) / slope
        limit, reached = limit + gap, reached * math.exp(slope * gap)
    return Calibration(
        params=params.replace(limit=limit),
        limit=limit,
        false_alarm_every=reached,
        uncalibrated=every(first),
        alarms=alarms,
        extrapolated=extrapolated,
    )


def _checked(records: Any, params: DriftMonitorParams) -> FloatArray:
    given = np.asarray(records, float)
    if given.ndim == 1:
        given = np.stack([given, np.ones_like(given)], axis=-1)
    if given.ndim != 2 or given.shape[1] != 2:
        raise InputError(
            f"calibrate: records must have shape (records,) or (records, 2), got {given.shape}"
        )
    if not np.isfinite(given).all():
        raise InputError("calibrate: records must be finite; give missing ones the weight 0")
    given = given[given[:, 1] > 0][params.probation :]
    if len(given) < params.baseline:
        raise InputError(
            f"calibrate: records must hold probation + baseline = {params.probation} + "
            f"{params.baseline} records that are not missing, got {len(given)} after the probation"
        )
    return given


def _find(every: Callable[[float], float], first: float, wanted: float) -> float:
    """Return a limit whose rate is `wanted` within 2 %, or the least one found that is rarer."""
    low, high, limit = 0.0, math.inf, first
    for _ in range(40):
        change = math.log(wanted / every(limit))
        if abs(change) < TOLERANCE:
            return limit
        low, high = (limit, high) if change > 0 else (low, limit)
        if high - low < 1e-3:
            break
        limit += change
        if not low < limit < high:
            limit = (low + high) / 2 if high < math.inf else low + 1.0
    return high if high < math.inf else limit


def _slope(every: Callable[[float], float], limit: float) -> float:
    """Return how fast the logarithm of the time between false alarms grows with the limit."""
    nearer = max(limit - 2.0, limit / 2)
    slope = math.log(every(limit) / every(nearer)) / (limit - nearer)
    return min(max(slope, 0.1), 1.0)
