"""Numba kernels of the sequential tests and the monitor, equal bit for bit to their references.

`tick` and `monitor_tick` take one record of one stream and are what a detector calls from its own
kernel; `scan` and `monitor_scan` are the engine's entries for a whole chunk of streams. What
allocates nothing borrows its arrays (``_nrt=False``): counting references would cost more than
the work.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.drift import baseline, estimates
from biomem.models.htm.drift import model as reference
from biomem.models.htm.drift import monitor as watching
from biomem.models.htm.drift.increments import BINS as _BINS
from biomem.models.htm.drift.increments import EXCEEDANCE as _EXCEEDANCE
from biomem.models.htm.drift.increments import PLAIN, Coefficients
from biomem.models.htm.drift.monitor_params import DEPENDENCE
from biomem.typing import IntArray

if TYPE_CHECKING:
    from biomem.typing import FloatArray

__all__ = [
    "MonitorConstants",
    "advance",
    "empty_evidence",
    "empty_output",
    "increment",
    "monitor_constants",
    "monitor_scan",
    "monitor_tick",
    "read",
    "restart",
    "scan",
    "settle",
    "tick",
]

PROBATION, BASELINE, NORMAL, DRIFT, COOLDOWN, REBASELINE = map(int, watching.Phase)
MEAN, SPREAD, EXCEEDANCE, RATE = map(int, estimates.Watch)
NONE, SCALE, BATCH, WHITEN = range(len(DEPENDENCE))
BOUND, MAD = baseline.BOUND, baseline.MAD
FURTHEST, OUTLIER = estimates.FURTHEST, estimates.OUTLIER
MOST_PHI, LEAST_BATCHES = estimates.MOST_PHI, estimates.LEAST_BATCHES

_moments = njit(cache=True)(baseline.moments)
_middle = njit(cache=True)(baseline.middle)
_lag_one = njit(cache=True)(baseline.lag_one)
_usable = njit(cache=True)(baseline.usable)


@njit(cache=True, _nrt=False, forceinline=True)
def read(c, x):
    """Return a record as the test `c` reads it."""
    if c.reading == _EXCEEDANCE:
        return 1.0 if x > c.threshold else 0.0
    return x


@njit(cache=True, _nrt=False, forceinline=True)
def increment(c, side, effect, u, weight, clip):
    """Return the clipped increment of a record that was read as `u`."""
    if c.reading == _BINS:
        low, high = 0, c.edges.shape[0]
        while low < high:
            middle = (low + high) // 2
            if u < c.edges[middle]:
                high = middle
            else:
                low = middle + 1
        raw = c.table[low]
    else:
        p = c.polynomial
        raw = p[side, effect, 0] * weight + (p[side, effect, 1] + p[side, effect, 2] * u) * u
    return min(max(raw, -clip), clip)


@njit(cache=True, _nrt=False, forceinline=True)
def _mixture(sums, b, side):
    top = sums[b, side, 0]
    effects = sums.shape[2]
    if effects == 1:
        return top
    for k in range(1, effects):
        top = max(top, sums[b, side, k])
    total = 0.0
    for k in range(effects):
        total += math.exp(sums[b, side, k] - top)
    return top + math.log(total / effects)


@njit(cache=True, _nrt=False, forceinline=True)
def restart(state, b, side, record):
    """Begin one side of stream `b` anew at `record`."""
    for k in range(state.sums.shape[2]):
        state.sums[b, side, k] = 0.0
    state.accepted[b, side] = False
    state.n[b, side] = 0
    state.lowest[b, side] = 0.0
    state.onset[b, side] = record


@njit(cache=True, _nrt=False, forceinline=True)
def _emit(ys, t, b, decision, direction, total, n, onset):
    ys.decision[t, b] = decision
    ys.direction[t, b] = direction
    ys.statistic[t, b] = total
    ys.n[t, b] = n
    ys.onset[t, b] = onset


@njit(cache=True, _nrt=False, forceinline=True)
def tick(state, b, c, rules, signs, u, weight, gain, present, record, ys, t):
    """Take one record of stream `b`, in place, and write row ``[t, b]`` of the output.

    Parameters
    ----------
    state : SequentialState
        Arrays of all streams; row `b` is written to.
    c : Coefficients
    rules : Rules
    signs : array of int, shape ``(side,)``
    u, weight : float
        The record as `read` returns it, and its weight (1 unless the test is weighted).
    gain : float
        Factor of the increments, after clipping.
    present : bool
    record : int
    ys : SequentialOutput

    Returns
    -------
    decision : int
    """
    live = present and state.standing[b] == 0
    sides, effects = state.sums.shape[1], state.sums.shape[2]
    drift, all_accepted = False, True
    leading, highest, crossed_before = -1, -math.inf, False
    for side in range(sides):
        moving = live and not state.accepted[b, side]
        if moving:
            for k in range(effects):
                state.sums[b, side, k] += gain * increment(c, side, k, u, weight, rules.clip)
            state.n[b, side] += 1
        total = _mixture(state.sums, b, side)
        crossed = moving and total >= rules.upper and state.n[b, side] >= rules.min_records
        if moving:
            if total < state.lowest[b, side]:
                state.lowest[b, side] = total
                state.onset[b, side] = record + 1
            if total <= rules.lower and not rules.separate:
                state.accepted[b, side] = True
        all_accepted = all_accepted and state.accepted[b, side]
        better = crossed == crossed_before and total > highest
        if leading < 0 or better or (crossed and not crossed_before):
            leading, highest, crossed_before = side, total, crossed
        drift = drift or crossed

    decision = 0
    if drift:
        decision = 1
        state.drifts[b] += 1
    elif live and all_accepted:
        decision = -1
        state.accepts[b] += 1
    if not rules.repeat and decision != 0:
        state.standing[b] = decision
    _emit(
        ys,
        t,
        b,
        decision if rules.repeat else state.standing[b],
        signs[leading],
        highest,
        state.n[b, leading],
        state.onset[b, leading],
    )
    for side in range(sides):
        again = decision != 0 and rules.repeat
        if live and rules.separate and not again:
            again = _mixture(state.sums, b, side) <= rules.lower
        if again:
            restart(state, b, side, record + 1)
    return decision


@njit(cache=True, _nrt=False, forceinline=True)
def _scan(state, c, rules, signs, weighted, xs, first, ys):
    for t in range(xs.shape[0]):
        for b in range(xs.shape[1]):
            weight = xs[t, b, 1]
            state.missing[b] += not weight > 0
            tick(
                state,
                b,
                c,
                rules,
                signs,
                read(c, xs[t, b, 0]),
                weight if weighted else 1.0,
                1.0,
                weight > 0,
                first + t,
                ys,
                t,
            )


def advance(
    c: Coefficients,
    rules: reference.Rules,
    signs: IntArray,
    state: reference.SequentialState,
    xs: FloatArray,
    tick: int,
) -> None:
    """Advance `state`, in place, over records whose values are as `read` would return them."""
    plain = c._replace(reading=PLAIN if c.reading == _EXCEEDANCE else c.reading)
    _scan(state, plain, rules, signs, True, xs, tick, empty_output(xs.shape[:2]))


def empty_output(shape: tuple[int, int]) -> reference.SequentialOutput:
    """Return unfilled outputs for ``(time, batch)``."""
    kinds = (np.int8, np.int8, np.float64, np.int64, np.int64)
    return reference.SequentialOutput(*(np.empty(shape, kind) for kind in kinds))


def scan(
    model: Any, state: reference.SequentialState, xs: FloatArray, tick: int
) -> tuple[reference.SequentialState, reference.SequentialOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, 2)``, in place."""
    ys = empty_output(xs.shape[:2])
    signs = np.array(model.params.signs)
    weighted = model.params.test.weighted
    _scan(state, model.coefficients, model.rules, signs, weighted, xs, tick, ys)
    return state, ys


class MonitorConstants(NamedTuple):
    """The parameters of a monitor in the form its kernel takes."""

    coefficients: reference.Coefficients
    rules: reference.Rules
    signs: IntArray
    watch: int
    dependence: int
    median: bool
    share: float
    probation: int
    baseline: int
    cooldown: int


_constants: weakref.WeakKeyDictionary[watching.DriftMonitor, MonitorConstants] = (
    weakref.WeakKeyDictionary()
)


def monitor_constants(model: watching.DriftMonitor) -> MonitorConstants:
    """Return the kernel's constants for `model`, made once."""
    found = _constants.get(model)
    if found is None:
        p = model.params
        found = _constants[model] = MonitorConstants(
            coefficients=model.coefficients,
            rules=model.rules,
            signs=np.array(p.signs),
            watch=int(model.watch),
            dependence=DEPENDENCE.index(p.dependence),
            median=p.estimator == "median",
            share=1 - getattr(p.test, "p0", 0.0),
            probation=p.probation,
            baseline=p.baseline,
            cooldown=p.cooldown,
        )
    return found


@njit(cache=True)
def _location(median, values):
    if not median:
        centre, scale = _moments(values)
        return _usable(centre, scale)
    centre = _middle(np.sort(values))
    return _usable(centre, MAD * _middle(np.sort(np.abs(values - centre))))


@njit(cache=True)
def _batches(values, length):
    out = np.empty(values.shape[0] // length)
    for i in range(out.shape[0]):
        total = 0.0
        for k in range(i * length, (i + 1) * length):
            total += values[k]
        out[i] = total / length
    return out


@njit(cache=True, _nrt=False, forceinline=True)
def _deviation(x, centre):
    return min(max(x - centre, -BOUND), BOUND)


@njit(cache=True, _nrt=False, forceinline=True)
def _reading(watch, e, b, y, v, weight):
    """Return what the test takes of a record of stream `b`, and its weight."""
    if watch == EXCEEDANCE:
        return (1.0 if y > e.threshold[b] else 0.0), 1.0
    if watch == RATE:
        return v, weight * e.rate[b]
    return min(max(y / e.scale[b], -FURTHEST), FURTHEST), 1.0


@njit(cache=True)
def _whiten(e, b, tested, median):
    phi = min(max(_lag_one(tested, 0.0), -MOST_PHI), MOST_PHI)
    white = np.empty(tested.shape[0] - 1)
    for i in range(white.shape[0]):
        white[i] = tested[i + 1] - phi * tested[i]
    e.phi[b] = phi
    e.scale[b] = _usable(0.0, _location(median, white)[1])[1]
    return white


@njit(cache=True)
def _gain(e, b, c, tested, values, weights):
    steps = np.empty(tested.shape[0])
    for i in range(steps.shape[0]):
        weight = weights[i] if c.watch == RATE else 1.0
        u, w = _reading(c.watch, e, b, tested[i], values[i], weight)
        steps[i] = increment(c.coefficients, 0, 0, u, w, c.rules.clip)
    phi = min(max(_lag_one(steps, _moments(steps)[0]), 0.0), MOST_PHI)
    e.phi[b] = phi
    e.gain[b] = (1 - phi) / (1 + phi)


@njit(cache=True)
def _threshold(e, b, share, tested):
    place = math.ceil(share * tested.shape[0]) - 1
    threshold = np.sort(tested)[place] + 0.0
    above = 0
    for y in tested:
        above += y > threshold
    e.threshold[b] = threshold
    e.before[b] = above / tested.shape[0]


@njit(cache=True)
def _rate(e, b, values, weights):
    counts, exposure = 0.0, 0.0
    for i in range(values.shape[0]):
        counts += values[i]
        exposure += weights[i]
    e.rate[b] = min(max(counts, 1.0) / exposure, BOUND)
    e.before[b] = e.rate[b]


@njit(cache=True)
def settle(state, b, c, record):
    """Estimate the complete baseline of stream `b` and start its test after `record`."""
    e, values, weights = state.estimates, state.values[b], state.weights[b]
    e.phi[b], e.gain[b], e.length[b] = 0.0, 1.0, 1
    e.rate[b], e.threshold[b] = 0.0, 0.0
    newest = values[values.shape[0] - 1]
    centre, scale = _location(c.median, values)
    if c.dependence == BATCH:
        phi = min(max(_lag_one(values, centre), 0.0), MOST_PHI)
        most = values.shape[0] // LEAST_BATCHES
        length = max(1, min(math.ceil(3 / (1 - phi)), most))
        e.phi[b], e.length[b] = phi, length
        values = _batches(values, length)
        centre, scale = _location(c.median, values)
    e.centre[b], e.scale[b] = centre, scale
    tested = np.empty(values.shape[0])
    for i in range(tested.shape[0]):
        tested[i] = _deviation(values[i], centre)
    if c.dependence == WHITEN:
        tested = _whiten(e, b, tested, c.median)
    e.before[b] = e.scale[b] if c.watch == SPREAD else centre
    if c.watch == EXCEEDANCE:
        _threshold(e, b, c.share, tested)
    if c.watch == RATE:
        _rate(e, b, values, weights)
    if c.dependence == SCALE:
        _gain(e, b, c, tested, values, weights)
    state.last[b] = _deviation(newest, centre)
    state.phase[b], state.count[b], state.held[b], state.held_n[b] = NORMAL, 0, 0.0, 0
    for side in range(state.total.shape[1]):
        restart(state.test, b, side, record + 1)
        state.total[b, side] = 0.0
        state.mass[b, side] = 0.0


@njit(cache=True, _nrt=False, forceinline=True)
def _report(state, b, c, phase, decision, evidence, record, ys, t):
    """Write row ``[t, b]`` of the output, from the evidence of the test where there is any."""
    e = state.estimates
    ys.phase[t, b] = phase
    ys.drift[t, b] = decision == 1
    ys.lower[t, b], ys.upper[t, b] = c.rules.lower, c.rules.upper
    ys.direction[t, b], ys.statistic[t, b], ys.n[t, b], ys.onset[t, b] = 0, 0.0, 0, -1
    ys.before[t, b], ys.after[t, b] = e.before[b], e.before[b]
    if phase != NORMAL and phase != DRIFT:
        return
    direction, onset = evidence.direction[0, b], evidence.onset[0, b]
    ys.direction[t, b], ys.onset[t, b] = direction, onset
    ys.statistic[t, b], ys.n[t, b] = evidence.statistic[0, b], evidence.n[0, b]
    side = 0 if direction == c.signs[0] else c.signs.shape[0] - 1
    if onset <= record and state.mass[b, side] > 0:
        ratio = state.total[b, side] / state.mass[b, side]
        if c.watch == MEAN:
            ratio = e.centre[b] + ratio
        elif c.watch == SPREAD:
            ratio = math.sqrt(max(ratio, 0.0))
        ys.after[t, b] = ratio


@njit(cache=True, _nrt=False, forceinline=True)
def _normal(state, b, c, value, weight, record, evidence, ys, t):
    """Take one record of stream `b` in phase NORMAL."""
    e, test = state.estimates, state.test
    present = weight > 0
    full = False
    v, u, w, quantity, deviation = 0.0, 0.0, 1.0, 0.0, 0.0
    if present:
        held = state.held[b] + value
        n = state.held_n[b] + 1
        full = n >= e.length[b]
        state.held[b], state.held_n[b] = (0.0, 0) if full else (held, n)
        if full:
            v = held / n
            deviation = _deviation(v, e.centre[b])
            predicted = (e.phi[b] if c.dependence == WHITEN else 0.0) * state.last[b]
            y = deviation - predicted
            u, w = _reading(c.watch, e, b, y, v, weight)
            quantity = deviation
            if c.watch == SPREAD:
                quantity = y * y
            elif c.watch == EXCEEDANCE:
                quantity = u
            elif c.watch == RATE:
                quantity = v
            state.last[b] = predicted if abs(y) > OUTLIER * e.scale[b] else deviation
            for side in range(c.signs.shape[0]):
                state.total[b, side] += quantity
                state.mass[b, side] += weight if c.watch == RATE else 1.0
    decision = tick(
        test, b, c.coefficients, c.rules, c.signs, u, w, e.gain[b], full, record, evidence, 0
    )
    phase = DRIFT if decision == 1 else NORMAL
    _report(state, b, c, phase, decision, evidence, record, ys, t)
    if full:
        for side in range(c.signs.shape[0]):
            if test.onset[b, side] > record:
                state.total[b, side] = 0.0
                state.mass[b, side] = 0.0
    if decision == 1:
        state.phase[b] = COOLDOWN if c.cooldown > 0 else REBASELINE
        state.count[b] = 0


@njit(cache=True, _nrt=False, forceinline=True)
def monitor_tick(state, b, c, value, weight, record, evidence, ys, t):
    """Take one record of stream `b`, in place, and write row ``[t, b]`` of the output.

    Parameters
    ----------
    state : DriftMonitorState
        Arrays of all streams; row `b` is written to.
    c : MonitorConstants
    value, weight : float
    record : int
        Index of the record, counted from 0.
    evidence : SequentialOutput
        Room for one record per stream, from `empty_evidence`.
    ys : DriftMonitorOutput

    Returns
    -------
    bool
        The baseline is complete: the caller has to call `settle` before the next record.
    """
    phase = state.phase[b]
    if not weight > 0:
        state.test.missing[b] += 1
    if phase == NORMAL:
        _normal(state, b, c, value, weight, record, evidence, ys, t)
        return False
    _report(state, b, c, phase, 0, evidence, record, ys, t)
    if not weight > 0:
        return False
    count = state.count[b]
    learning = phase in (BASELINE, REBASELINE)
    if learning:
        state.values[b, count] = value
        if c.watch == RATE:
            state.weights[b, count] = weight
    count += 1
    state.count[b] = count
    if phase == PROBATION and count >= c.probation:
        state.phase[b], state.count[b] = BASELINE, 0
    elif phase == COOLDOWN and count >= c.cooldown:
        state.phase[b], state.count[b] = REBASELINE, 0
    return learning and count == c.baseline


def empty_evidence(batch: int) -> reference.SequentialOutput:
    """Return the room `monitor_tick` keeps the evidence of one record per stream in."""
    return empty_output((1, batch))


@njit(cache=True)
def _monitor_scan(state, c, xs, first, evidence, ys):
    for t in range(xs.shape[0]):
        for b in range(xs.shape[1]):
            record = first + t
            if monitor_tick(state, b, c, xs[t, b, 0], xs[t, b, 1], record, evidence, ys, t):
                settle(state, b, c, record)


def monitor_scan(
    model: watching.DriftMonitor, state: watching.DriftMonitorState, xs: FloatArray, tick: int
) -> tuple[watching.DriftMonitorState, watching.DriftMonitorOutput]:
    """Advance `state` over a chunk `xs` of shape ``(time, batch, 2)``, in place."""
    shape = xs.shape[:2]
    ys = watching.DriftMonitorOutput(
        *(np.empty(shape, np.int8) for _ in range(3)),
        *(np.empty(shape) for _ in range(3)),
        *(np.empty(shape, np.int64) for _ in range(2)),
        *(np.empty(shape) for _ in range(2)),
    )
    _monitor_scan(state, monitor_constants(model), xs, tick, empty_evidence(shape[1]), ys)
    return state, ys
