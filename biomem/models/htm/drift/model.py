"""SPRT and CUSUM: tests that say as early as the records allow that something has changed.

Per side of the test (up, down), with increments ``l_k`` for the effect sizes ``k = 1 ... K``::

    L_k <- L_k + clip(l_k(x), +-c)          S = ln(mean_k exp(L_k))          S = L for one effect

    SPRT    S >= A and n >= n_min   drift             CUSUM    S >= h and n >= n_min   drift
            S <= B                  no drift                   S <= 0                  L_k <- 0

``n`` counts records since the restart. Two sides of an SPRT run side by side: either may decide
for a drift, and when both have accepted that there is none, both restart. The sides of a CUSUM
restart each by itself. A drift restarts both. A record of weight 0 is missing: it changes nothing
but the count of such records. The estimated onset is the record after the last minimum of ``S``.

A CUSUM is the fastest test for a given rate of false alarms (Lorden 1971, Moustakides 1986). A
repeated SPRT is what arXiv 2504.18599 uses. The increments stand in ``increments.py``, the limits
in ``design.py``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model
from biomem.models.htm.drift.increments import BINS, EXCEEDANCE, Coefficients
from biomem.models.htm.drift.params import CUSUMParams, SequentialParams, SPRTParams
from biomem.typing import Array, BoolArray, FloatArray

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = [
    "CUSUM",
    "DRIFT",
    "FEATURES",
    "NO_DRIFT",
    "SPRT",
    "UNDECIDED",
    "Rules",
    "SequentialOutput",
    "SequentialState",
    "advance",
    "initial",
    "read",
]

FEATURES = ("value", "weight")
"""What one record is: a number, and its weight: 1, 0 where it is missing, a count's exposure."""

DRIFT, UNDECIDED, NO_DRIFT = 1, 0, -1

_exp = np.vectorize(math.exp, otypes=[float])
_log = np.vectorize(math.log, otypes=[float])


class Rules(NamedTuple):
    """Limits and conduct of a test, in the form the kernels take."""

    lower: float
    upper: float
    clip: float
    min_records: int
    separate: bool
    repeat: bool


class SequentialState(NamedTuple):
    """Running sums of each stream, side and effect."""

    sums: Annotated[Array, Field("batch", "side", "effect", doc="log likelihood ratios")]
    accepted: Annotated[Array, Field("batch", "side", dtype="bool", doc="no drift on this side")]
    n: Annotated[Array, Field("batch", "side", dtype="int64", doc="records since the restart")]
    lowest: Annotated[Array, Field("batch", "side", doc="minimum of S since the restart")]
    onset: Annotated[
        Array, Field("batch", "side", dtype="int64", doc="first record after that minimum")
    ]
    standing: Annotated[
        Array, Field("batch", dtype="int8", doc="the decision that stands, if not repeated")
    ]
    missing: Annotated[Array, Field("batch", dtype="int64", doc="records of weight 0")]
    drifts: Annotated[Array, Field("batch", dtype="int64", doc="decisions for a drift")]
    accepts: Annotated[Array, Field("batch", dtype="int64", doc="decisions for no drift")]


class SequentialOutput(NamedTuple):
    """Decision on one record and what it rests on, before any restart.

    `statistic`, `n` and `onset` are those of the leading side, the one with the larger ``S``.
    """

    decision: Annotated[Array, Field(dtype="int8", doc="1 drift, -1 no drift, 0 undecided")]
    direction: Annotated[Array, Field(dtype="int8", doc="leading side: 1 up, -1 down")]
    statistic: Annotated[Array, Field(doc="S of the leading side")]
    n: Annotated[Array, Field(dtype="int64", doc="records since the restart")]
    onset: Annotated[Array, Field(dtype="int64", doc="estimated first record of the drift")]


def read(c: Coefficients, x: FloatArray) -> FloatArray:
    """Return records as the test reads them: as they are, or 1 where above the threshold."""
    return (x > c.threshold).astype(float) if c.reading == EXCEEDANCE else x


def increments(c: Coefficients, u: FloatArray, weight: FloatArray, clip: float) -> FloatArray:
    """Return clipped increments of shape ``(batch, side, effect)`` for records ``(batch,)``."""
    u, weight = u[:, None, None], weight[:, None, None]
    a, b, q = np.moveaxis(c.polynomial, -1, 0)
    if c.reading == BINS:
        raw = c.table[np.searchsorted(c.edges, u, side="right")]
    else:
        with np.errstate(over="ignore"):
            raw = a * weight + (b + q * u) * u
    return np.clip(raw, -clip, clip)


def mixture(sums: FloatArray) -> FloatArray:
    """Return the log of the mean of ``exp(sums)`` over the last axis."""
    if sums.shape[-1] == 1:
        return sums[..., 0]
    top = sums.max(axis=-1)
    total = np.zeros_like(top)
    for k in range(sums.shape[-1]):
        total = total + _exp(sums[..., k] - top)
    return top + _log(total / sums.shape[-1])


def initial(batch: int, sides: int, effects: int, record: int = 0) -> SequentialState:
    """Return the state before `record` of tests that have seen nothing."""
    pair = (batch, sides)
    return SequentialState(
        sums=np.zeros((*pair, effects)),
        accepted=np.zeros(pair, bool),
        n=np.zeros(pair, np.int64),
        lowest=np.zeros(pair),
        onset=np.full(pair, record, np.int64),
        standing=np.zeros(batch, np.int8),
        missing=np.zeros(batch, np.int64),
        drifts=np.zeros(batch, np.int64),
        accepts=np.zeros(batch, np.int64),
    )


def restart(state: SequentialState, where: BoolArray, record: int) -> SequentialState:
    """Return `state` with the sides `where`, shape ``(batch, side)``, begun anew at `record`."""
    return state._replace(
        sums=np.where(where[..., None], 0.0, state.sums),
        accepted=state.accepted & ~where,
        n=np.where(where, 0, state.n),
        lowest=np.where(where, 0.0, state.lowest),
        onset=np.where(where, record, state.onset),
    )


def advance(
    rules: Rules,
    signs: tuple[int, ...],
    state: SequentialState,
    step: FloatArray,
    present: BoolArray,
    record: int,
) -> tuple[SequentialState, SequentialOutput]:
    """Take one record of every stream: the equations of this module, pure.

    Parameters
    ----------
    step : array, shape ``(batch, side, effect)``
        Increments of the record.
    present : array of bool, shape ``(batch,)``
        Streams that have a record; the others stay as they are.
    record : int
        Index of the record, counted from 0.
    """
    live = present & (state.standing == UNDECIDED)
    open_ = live[:, None] & ~state.accepted
    sums = np.where(open_[..., None], state.sums + step, state.sums)
    total = mixture(sums)
    n = state.n + open_
    crossed = open_ & (total >= rules.upper) & (n >= rules.min_records)
    fallen = open_ & (total <= rules.lower)
    least = open_ & (total < state.lowest)
    lowest = np.where(least, total, state.lowest)
    onset = np.where(least, record + 1, state.onset)

    drift = crossed.any(axis=1)
    accepted = state.accepted | (fallen & (not rules.separate))
    accepts = live & ~drift & accepted.all(axis=1)
    decided = drift.astype(np.int8) - accepts.astype(np.int8)
    standing = state.standing if rules.repeat else np.where(decided, decided, state.standing)
    leading = np.where(drift[:, None] & ~crossed, -np.inf, total).argmax(axis=1)
    rows = np.arange(len(leading))
    shown = decided if rules.repeat else standing
    y = SequentialOutput(
        decision=shown.astype(np.int8),
        direction=np.array(signs, np.int8)[leading],
        statistic=total[rows, leading],
        n=n[rows, leading],
        onset=onset[rows, leading],
    )
    new = SequentialState(
        sums=sums,
        accepted=accepted,
        n=n,
        lowest=lowest,
        onset=onset,
        standing=standing.astype(np.int8),
        missing=state.missing,
        drifts=state.drifts + drift,
        accepts=state.accepts + accepts,
    )
    again = (decided != 0)[:, None] & rules.repeat | (fallen & rules.separate)
    return restart(new, again, record + 1), y


class _Sequential(Model):
    """What `SPRT` and `CUSUM` share."""

    State = SequentialState
    Output = SequentialOutput
    Input = Field("feature", doc="value, weight")
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.drift.cpu:scan"}

    params: SequentialParams
    _separate: ClassVar[bool]

    @functools.cached_property
    def coefficients(self) -> Coefficients:
        """Increments of the test."""
        return self.params.test.coefficients(self.params.signs)

    @functools.cached_property
    def rules(self) -> Rules:
        """Limits and conduct of the test."""
        p = self.params
        lower, upper = p.limits
        return Rules(
            lower, upper, p.largest, p.min_records, self._separate, getattr(p, "repeat", True)
        )

    @property
    def sizes(self) -> Mapping[str, int]:
        """Value and weight, the sides of the test, the effect sizes of the mixture."""
        p = self.params
        return {
            "feature": len(FEATURES),
            "side": len(p.signs),
            "effect": len(p.test.effects),
        }

    def init_state(self, batch: int, rng: Rng | None = None) -> SequentialState:
        """Return tests that have seen nothing; nothing is drawn."""
        return initial(batch, self.sizes["side"], self.sizes["effect"])

    def step(
        self, state: SequentialState, x: Array, tick: int
    ) -> tuple[SequentialState, SequentialOutput]:
        """Take one record of every stream; `x` has shape ``(batch, 2)``."""
        value, weight = x[:, 0], x[:, 1]
        weight = weight if self.params.test.weighted else np.ones_like(weight)
        step = increments(
            self.coefficients, read(self.coefficients, value), weight, self.rules.clip
        )
        present = x[:, 1] > 0
        state = state._replace(missing=state.missing + ~present)
        return advance(self.rules, self.params.signs, state, step, present, tick)

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return normal values that shift half-way, one record in eight missing."""
        size = ticks * batch
        value = rng.normal(0, np.arange(size)).reshape(ticks, batch)
        value[ticks // 2 :] += 1.5
        weight = rng.uniform(1, np.arange(size)).reshape(ticks, batch) > 1 / 8
        return np.stack([value, weight], axis=-1)


class SPRT(_Sequential):
    """Wald's sequential probability ratio test, restarted after every decision.

    Input is ``(value, weight)`` per record, output `SequentialOutput`. With ``repeat=False`` it
    decides once.

    When not to use it: for records that depend on each other (a run of alike records counts as
    that many), or without knowing what records look like before a drift; `DriftMonitor` takes
    care of both. `CUSUM` finds a drift earlier at the same rate of false alarms.

    Parameters
    ----------
    params : SPRTParams

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> from biomem.models.htm.drift import MeanTest
    >>> test = SPRT(test=MeanTest(delta=1.0), alpha=0.01, repeat=False)
    >>> values = np.full(20, 0.9)
    >>> out = Simulator(test).run(np.stack([values, np.ones(20)], axis=-1))
    >>> out["decision"][:, 0]
    array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], dtype=int8)
    """

    Params = SPRTParams
    _separate = False


class CUSUM(_Sequential):
    """Page's cumulative sum: the sequential test that never rests below zero.

    Input is ``(value, weight)`` per record, output `SequentialOutput`; the decision is 1 on the
    record that raises the alarm, and the sum starts again after it.

    When not to use it: for records that depend on each other, or without knowing what they look
    like before a drift; `DriftMonitor` takes care of both.

    Parameters
    ----------
    params : CUSUMParams

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> from biomem.models.htm.drift import MeanTest
    >>> test = CUSUM(test=MeanTest(delta=1.0), false_alarm_every=1000)
    >>> values = np.repeat([-0.5, 1.5], 20)
    >>> out = Simulator(test).run(np.stack([values, np.ones(40)], axis=-1))
    >>> first = int(np.flatnonzero(out["decision"][:, 0])[0])
    >>> first, int(out["onset"][first, 0])
    (25, 20)
    """

    Params = CUSUMParams
    _separate = True
