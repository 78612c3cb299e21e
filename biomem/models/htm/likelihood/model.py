"""Anomaly likelihood: how unlikely the recent raw anomaly scores are, given their own history.

Let ``s_i`` be the raw score and ``v_i`` the metric value of record ``i``, counted from 0, and
``w, L, E, H, P, f`` the averaging window, learning period, estimation samples, historic window,
re-estimation period and share forgotten. The history holds the last ``H`` records before ``i``.

While ``i < L + E`` the likelihood is 0.5. After that::

    m_j      = mean(s_j, and up to w - 1 scores before it)          not reaching beyond the history
    estimate   when i == L + E or i mod P == 0, over the history less its first
               min(i, max(0, max(L, floor(f i)) - max(0, i - H))) records:
               mean = max(avg(m), 0.03)     std = sqrt(max(var(m), 0.0003))
               mean, std = 0.5, 1000        if var(v) < 1.5e-5, or nothing is left
               t_{i-1} = tail(m_{i-1})
    tail(x)  = erfc((x - mean) / (std * 1.4142)) / 2
    t_i      = tail(m_i)
    p_i      = 0.001   if t_i <= 1e-5 and t_{i-1} <= 1e-5           an alarm is raised once
               t_i     otherwise
    likelihood     = 1 - p_i
    log likelihood = max(0, ln(1.0000000001 - likelihood) / ln(1e-10))   0 usual ... 1 never seen

Source: Ahmad, Lavin, Purdy, Agha, "Unsupervised real-time anomaly detection for streaming data",
Neurocomputing 262 (2017), section 3.2, with the constants of the published NAB results (1.4142
instead of the square root of two is one of them). Every sum runs from the oldest record to the
newest, so that a kernel can repeat it to the last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model
from biomem.models.htm.likelihood.params import AnomalyLikelihoodParams
from biomem.typing import Array, FloatArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.engine.random import Rng

__all__ = [
    "AnomalyLikelihood",
    "LikelihoodOutput",
    "LikelihoodState",
    "advance",
    "log_likelihood",
    "tail_probability",
]

NULL_MEAN, NULL_STD = 0.5, 1000.0
"""A distribution so wide that every score has a tail of about 0.5."""

MEAN_FLOOR, VARIANCE_FLOOR = 0.03, 0.0003
FLAT_VARIANCE = 1.5e-5
RED, YELLOW = 1e-5, 1e-3
SQRT2 = 1.4142
LOG_OFFSET, LOG_SCALE = 1.0000000001, -23.02585084720009


class LikelihoodState(NamedTuple):
    """History and distribution of each stream; record ``i`` stands at ``i % historic_window``."""

    raws: Annotated[Array, Field("batch", "history", doc="raw anomaly scores, a ring")]
    values: Annotated[Array, Field("batch", "history", doc="metric values, a ring")]
    mean: Annotated[Array, Field("batch", doc="mean of the averaged scores")]
    std: Annotated[Array, Field("batch", doc="standard deviation of the averaged scores")]
    tail: Annotated[Array, Field("batch", doc="tail of the record before, before the repeat rule")]


class LikelihoodOutput(NamedTuple):
    """Likelihood of an anomaly in [0, 1], plain and on a logarithmic scale."""

    likelihood: Annotated[Array, Field(doc="1 - tail probability")]
    log_likelihood: Annotated[Array, Field(doc="0 usual, 0.5 a tail of 1e-5, 1 never seen")]


def ordered_sum(x: FloatArray) -> float:
    """Return the sum of `x`, shape ``(n,)`` with n >= 1, added from first to last."""
    return float(np.add.accumulate(x)[-1])


def moving_average(x: FloatArray, window: int) -> FloatArray:
    """Return the mean of each entry and the ``window - 1`` before it, fewer at the start."""
    padded = np.concatenate([np.zeros(window - 1), x])
    total = np.zeros(len(x))
    for offset in range(window):
        total += padded[offset : offset + len(x)]
    return total / np.minimum(np.arange(1, len(x) + 1), window)


def variance(x: FloatArray) -> float:
    """Return the population variance of `x`."""
    deviation = x - ordered_sum(x) / len(x)
    return ordered_sum(deviation * deviation) / len(x)


def tail_probability(x: float, mean: float, std: float, two_sided: bool = False) -> float:
    """Return the chance of a draw above `x` (or beyond it, on its own side of the mean)."""
    if two_sided and x < mean:
        x = 2.0 * mean - x
    return 0.5 * math.erfc((x - mean) / (std * SQRT2))


def log_likelihood(likelihood: float) -> float:
    """Return `likelihood` on the scale where ten more units of -log10(tail) add one.

    The offset puts a likelihood of 0 some 4e-12 below the scale; it is reported as 0.
    """
    scaled = math.log(LOG_OFFSET - likelihood) / LOG_SCALE
    return scaled if scaled > 0.0 else 0.0


def estimate(
    params: AnomalyLikelihoodParams, raws: FloatArray, values: FloatArray, tick: int
) -> tuple[float, float]:
    """Return mean and standard deviation of the averaged scores of a history.

    Parameters
    ----------
    raws, values : array, shape ``(n,)``
        The last n >= 1 records before `tick`, oldest first.
    """
    shifted_out = max(0, tick - params.historic_window)
    early = max(params.learning_period, int(params.forgotten * tick))
    skip = min(tick, max(0, early - shifted_out))
    averages = moving_average(raws, params.averaging_window)[skip:]
    with np.errstate(over="ignore", invalid="ignore"):
        # A history that overflows has no finite variance, hence is not flat.
        flat = len(averages) == 0 or variance(values[skip:]) < FLAT_VARIANCE
    if flat:
        return NULL_MEAN, NULL_STD
    mean = ordered_sum(averages) / len(averages)
    return max(mean, MEAN_FLOOR), math.sqrt(max(variance(averages), VARIANCE_FLOOR))


def advance(
    params: AnomalyLikelihoodParams, state: LikelihoodState, raw: float, value: float, tick: int
) -> tuple[LikelihoodState, LikelihoodOutput]:
    """Take one record of one stream: the equations of this module, pure.

    Parameters
    ----------
    state : LikelihoodState
        Of one stream: rings of shape ``(historic_window,)``, scalars otherwise.
    raw, value : float
        Raw anomaly score in [0, 1] and metric value of the record.
    tick : int
        Index of the record, counted from 0.
    """
    size = params.historic_window
    mean, std, tail, reported = state.mean, state.std, state.tail, 0.5
    if tick >= params.first_estimate:
        before = np.arange(max(0, tick - size), tick) % size
        raws, values = state.raws[before], state.values[before]
        window = params.averaging_window
        if tick == params.first_estimate or tick % params.reestimation_period == 0:
            mean, std = estimate(params, raws, values, tick)
            last = moving_average(raws[-window:], window)[-1]
            tail = tail_probability(last, mean, std, params.two_sided)
        recent = np.append(raws, raw)[-window:]
        previous, tail = (
            tail,
            tail_probability(moving_average(recent, window)[-1], mean, std, params.two_sided),
        )
        reported = YELLOW if tail <= RED and previous <= RED else tail

    raws, values = state.raws.copy(), state.values.copy()
    raws[tick % size] = raw
    values[tick % size] = value
    likelihood = 1.0 - reported
    return (
        LikelihoodState(raws, values, mean, std, tail),
        LikelihoodOutput(likelihood, log_likelihood(likelihood)),
    )


class AnomalyLikelihood(Model):
    """Turns raw anomaly scores into the likelihood that something changed.

    Input is ``(raw score, metric value)`` per record, output `LikelihoodOutput`. Threshold the
    logarithmic form: 0.5 stands for a tail of 1e-5. The equations are those of this module.

    When not to use it: before the detector has settled (no likelihood but 0.5 is given for the
    first ``learning_period + estimation_samples`` records); for a level that never returns
    (the history learns it within a few thousand records: use a drift test); and for a flat metric,
    which counts as never anomalous.

    Examples
    --------
    >>> import numpy as np
    >>> model = AnomalyLikelihood(learning_period=0, estimation_samples=1)
    >>> state = model.init_state(1, None)
    >>> state, y = model.step(state, np.array([[1.0, 20.5]]), 0)
    >>> y.likelihood, y.log_likelihood.round(7)
    (array([0.5]), array([0.030103]))
    """

    Params = AnomalyLikelihoodParams
    State = LikelihoodState
    Output = LikelihoodOutput
    Input = Field("feature")
    kernels = {"numba": "biomem.models.htm.likelihood.cpu:scan"}

    params: AnomalyLikelihoodParams

    @property
    def sizes(self) -> Mapping[str, int]:
        """Two features, the raw score and the metric value; the length of the history."""
        return {"feature": 2, "history": self.params.historic_window}

    def init_state(self, batch: int, rng: Rng | None = None) -> LikelihoodState:
        """Return empty histories; nothing is drawn."""
        size = self.params.historic_window
        return LikelihoodState(
            raws=np.zeros((batch, size)),
            values=np.zeros((batch, size)),
            mean=np.full(batch, NULL_MEAN),
            std=np.full(batch, NULL_STD),
            tail=np.ones(batch),
        )

    def step(
        self, state: LikelihoodState, x: FloatArray, tick: int
    ) -> tuple[LikelihoodState, LikelihoodOutput]:
        """Advance every stream by one record; `x` has shape ``(batch, 2)``."""
        rows = [LikelihoodState._make(field[b] for field in state) for b in range(len(x))]
        pairs = [
            advance(self.params, row, float(raw), float(value), tick)
            for row, (raw, value) in zip(rows, x, strict=True)
        ]
        states, outputs = zip(*pairs, strict=True)
        return (
            LikelihoodState._make(map(np.array, zip(*states, strict=True))),
            LikelihoodOutput._make(map(np.array, zip(*outputs, strict=True))),
        )
