"""SDR classifier: from a sparse pattern to the distribution of a value some records later.

For each horizon h there are weights ``w`` of one row per bit and one column per bucket. With
``x_t`` the active bits of record t and ``b_t`` the bucket of its value ``v_t``::

    p_h(x)  = softmax over the known buckets of  sum_{i in x} w_h[i]
    learn     w_h[i] += alpha (onehot(b_t) - p_h(x_{t-h}))       for i in x_{t-h}
    mean[b_t] = v_t at first, then rate v_t + (1 - rate) mean[b_t]
    expected  = sum_b p_h(x_t)[b] mean[b]

A record first teaches the patterns of h records ago, and is then asked what follows. Records that
are missing leave a hole: only patterns of exactly h records ago learn, and no forecast is made.
Buckets are known up to the largest that occurred; one without a value yet has its centre as mean.
Weights are float32, sums over bits and buckets float64 in ascending order.

Source: the softmax readout of NuPIC's SDR classifier, as in Y. Cui, S. Ahmad, J. Hawkins,
Neural Comput. 28 (2016) 2474, section 2.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model
from biomem.models.htm.classifier.params import SDRClassifierParams
from biomem.typing import Array, FloatArray, IntArray

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["ClassifierOutput", "ClassifierState", "SDRClassifier", "advance", "initial"]

NEVER = -1
"""Record number of a place in the history that holds no pattern."""


class ClassifierState(NamedTuple):
    """Weights, buckets and recent patterns of each stream; record t stands at ``t % lag``."""

    weights: Annotated[Array, Field("batch", "horizon", "bit", "bucket", dtype="float32")]
    known: Annotated[Array, Field("batch", "horizon", dtype="int64", doc="buckets known")]
    mean: Annotated[Array, Field("batch", "bucket", doc="mean value of each bucket")]
    seen: Annotated[Array, Field("batch", "bucket", dtype="bool", doc="it had a value")]
    patterns: Annotated[Array, Field("batch", "lag", "room", dtype="int32", doc="active bits")]
    lengths: Annotated[Array, Field("batch", "lag", dtype="int64", doc="active bits of each")]
    records: Annotated[Array, Field("batch", "lag", dtype="int64", doc="its record, or -1")]
    forecasts: Annotated[Array, Field("batch", "lag", "horizon", doc="made at that record")]


class ClassifierOutput(NamedTuple):
    """What is expected after each record, NaN while nothing is."""

    expected: Annotated[Array, Field("horizon", doc="mean of the distribution")]
    likeliest: Annotated[Array, Field("horizon", doc="mean value of the most probable bucket")]
    spread: Annotated[Array, Field("horizon", doc="standard deviation of the distribution")]
    error: Annotated[Array, Field("horizon", doc="value less what was expected of this record")]
    distribution: Annotated[Array, Field("horizon", "shown", doc="probability of each bucket")]


def initial(params: SDRClassifierParams, batch: int) -> ClassifierState:
    """Return classifiers that have seen nothing."""
    horizons = len(params.horizons)
    lags = params.lags if horizons else 0
    size = params.size if horizons else 0
    centres = params.minimum + (np.arange(params.buckets) + 0.5) * params.width
    return ClassifierState(
        weights=np.zeros((batch, horizons, size, params.buckets), np.float32),
        known=np.zeros((batch, horizons), np.int64),
        mean=np.tile(centres, (batch, 1)),
        seen=np.zeros((batch, params.buckets), bool),
        patterns=np.full((batch, lags, params.room), -1, np.int32),
        lengths=np.zeros((batch, lags), np.int64),
        records=np.full((batch, lags), NEVER, np.int64),
        forecasts=np.full((batch, lags, horizons), math.nan),
    )


def bucket_of(value: float, minimum: float, width: float, buckets: int) -> int:
    """Return the bucket of a finite value."""
    place = (value - minimum) / width
    if place >= buckets:
        return buckets - 1
    return int(place) if place > 0.0 else 0


def _softmax(weights: FloatArray, pattern: IntArray, known: int) -> list[float]:
    total = np.zeros(known)
    for bit in pattern:
        total += weights[bit, :known]
    top = float(total.max())
    parts = [math.exp(x - top) for x in total.tolist()]
    whole = 0.0
    for x in parts:
        whole += x
    return [x / whole for x in parts]


def _moments(p: list[float], mean: list[float]) -> tuple[float, float, float]:
    expected, best = 0.0, 0
    for k, chance in enumerate(p):
        expected += chance * mean[k]
        if chance > p[best]:
            best = k
    variance = 0.0
    for k, chance in enumerate(p):
        gap = mean[k] - expected
        variance += chance * (gap * gap)
    return expected, mean[best], math.sqrt(variance)


def advance(
    params: SDRClassifierParams,
    state: ClassifierState,
    pattern: IntArray,
    value: float,
    record: int,
) -> tuple[ClassifierState, ClassifierOutput]:
    """Take one record of one stream: the equations of this module, pure.

    Parameters
    ----------
    state : ClassifierState
        Of one stream, without the batch axis.
    pattern : int32 array
        Active bits, ascending, at most ``params.room``.
    value : float
        Finite.
    record : int
        Larger than that of every record before.
    """
    new = ClassifierState(*(np.array(a) for a in state))
    horizons = params.horizons
    y = ClassifierOutput(
        *(np.full(len(horizons), math.nan) for _ in range(4)),
        distribution=np.zeros((len(horizons), params.buckets if params.distribution else 0)),
    )
    if not horizons:
        return new, y
    bucket = bucket_of(value, params.minimum, params.width, params.buckets)
    mean = params.rate * value + (1.0 - params.rate) * float(new.mean[bucket])
    new.mean[bucket] = mean if new.seen[bucket] else value
    new.seen[bucket] = True
    place = record % params.lags
    for k, h in enumerate(horizons):
        slot = (record - h) % params.lags
        new.known[k] = max(int(new.known[k]), bucket + 1)
        if record < h or new.records[slot] != record - h:
            continue
        y.error[k] = value - new.forecasts[slot, k]
        known = int(new.known[k])
        before = new.patterns[slot, : new.lengths[slot]]
        p = _softmax(new.weights[k], before, known)
        target = [float(b == bucket) for b in range(known)]
        change = np.array([params.alpha * (t - q) for t, q in zip(target, p, strict=True)])
        new.weights[k][before, :known] += change.astype(np.float32)
    n = len(pattern)
    new.patterns[place, :n], new.patterns[place, n:] = pattern, -1
    new.lengths[place], new.records[place] = n, record
    means = new.mean.tolist()
    for k in range(len(horizons)):
        p = _softmax(new.weights[k], pattern, int(new.known[k]))
        y.expected[k], y.likeliest[k], y.spread[k] = _moments(p, means)
        if params.distribution:
            y.distribution[k, : len(p)] = p
        new.forecasts[place, k] = y.expected[k]
    return new, y


class SDRClassifier(Model):
    """Predicts a value some records ahead from sparse patterns, with its distribution.

    Input is ``(value, present, bit 0, bit 1, ...)`` per record, a bit active where its number is
    not 0; a record that is not present changes nothing. Output is `ClassifierOutput`.

    When not to use it: for patterns that do not tell the context (it has no memory of its own:
    feed it the cells of a Temporal Memory, not its columns), or for values without a stated range.

    Parameters
    ----------
    params : SDRClassifierParams

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> model = SDRClassifier(size=2, minimum=0.0, maximum=4.0, buckets=4, alpha=0.5)
    >>> values = np.tile([1.0, 3.0], 100)
    >>> bits = np.tile([[1.0, 0.0], [0.0, 1.0]], (100, 1))
    >>> xs = np.concatenate([values[:, None], np.ones((200, 1)), bits], axis=1)
    >>> expected = Simulator(model, backend="numpy").run(xs)["expected"]
    >>> expected[-2:, 0, 0].round(1)
    array([3., 1.])
    """

    Params = SDRClassifierParams
    State = ClassifierState
    Output = ClassifierOutput
    Input = Field("feature", doc="value, present, bits")
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.classifier.cpu:scan"}

    params: SDRClassifierParams

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bits and buckets, horizons, and the patterns kept."""
        return {"feature": self.params.size + 2, **sizes(self.params)}

    def init_state(self, batch: int, rng: Rng | None = None) -> ClassifierState:
        """Return classifiers that have seen nothing; nothing is drawn."""
        return initial(self.params, batch)

    def step(
        self, state: ClassifierState, x: Array, tick: int
    ) -> tuple[ClassifierState, ClassifierOutput]:
        """Take one record of every stream; `x` has shape ``(batch, 2 + size)``."""
        states, outputs = [], []
        for b in range(len(x)):
            row = ClassifierState(*(a[b] for a in state))
            if x[b, 1] != 0:
                bits = np.flatnonzero(x[b, 2:]).astype(np.int32)
                row, y = advance(self.params, row, bits[: self.params.room], float(x[b, 0]), tick)
            else:
                y = nothing(self.params)
            states.append(row)
            outputs.append(y)
        return (
            ClassifierState(*(np.stack(parts) for parts in zip(*states, strict=True))),
            ClassifierOutput(*(np.stack(parts) for parts in zip(*outputs, strict=True))),
        )

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return values of a cycle with random patterns, one record in eight missing."""
        p = self.params
        t = np.arange(ticks * batch).reshape(ticks, batch)
        xs = np.zeros((ticks, batch, p.size + 2))
        cycle = 0.5 + 0.5 * np.sin(t * 0.9)
        xs[..., 0] = p.minimum + (p.maximum - p.minimum) * cycle
        xs[..., 1] = rng.uniform(1, t.ravel()).reshape(t.shape) > 1 / 8
        bits = rng.uniform(2, np.arange(ticks * batch * p.size)).reshape(ticks, batch, p.size)
        share = min(0.2, p.room / p.size / 2)
        xs[..., 2:] = bits < share
        return xs


def sizes(params: SDRClassifierParams) -> dict[str, int]:
    """Return the axes of a classifier's state and output."""
    horizons = len(params.horizons)
    return {
        "horizon": horizons,
        "bit": params.size if horizons else 0,
        "bucket": params.buckets,
        "room": params.room,
        "lag": params.lags if horizons else 0,
        "shown": params.buckets if params.distribution else 0,
    }


def nothing(params: SDRClassifierParams) -> ClassifierOutput:
    """Return the output of a record that is missing."""
    horizons = len(params.horizons)
    return ClassifierOutput(
        *(np.full(horizons, math.nan) for _ in range(4)),
        distribution=np.zeros((horizons, params.buckets if params.distribution else 0)),
    )
