"""Ensemble of HTMs: what surprises several of them, each with its own view of the stream.

Per record ``(v, s)``, with the members' views ``f_k`` of the value::

    raw_k   = raw score of HTM k for (f_k(v), s)                     detector/model.py
    raw     = (raw_1 + ... + raw_K) / K
    L       = likelihood(raw, v)                                     likelihood/model.py
    told    = 1 if the range rule is on and v lies far outside, else log-scaled L
    score   = told                 if told > max of the `quiet` values of told before it
              told / 2             otherwise

An HTM of another view makes other errors; their mean keeps what they agree on. Averaging before the
likelihood, not after, lets one that is certain outweigh one that is at a loss.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from biomem.engine.model import Field, Model
from biomem.engine.work import Work
from biomem.models.htm.detector import HTMDetector, HTMDetectorOutput, HTMDetectorState
from biomem.models.htm.detector.model import FEATURES
from biomem.models.htm.ensemble.params import HTMEnsembleParams
from biomem.models.htm.likelihood import AnomalyLikelihood, range_rule
from biomem.models.htm.likelihood.model import LikelihoodState
from biomem.typing import Array

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["HTMEnsemble", "HTMEnsembleState", "state_of"]

NEVER = -1.0
"""What was told before the first record: less than any score."""


@functools.cache
def state_of(members: int) -> type:
    """Return the NamedTuple of an ensemble's state: ``m0``, ``m1``, ... and the shared parts."""
    shared = {name: HTMEnsembleState.__annotations__[name] for name in HTMEnsembleState._fields}
    fields = [(f"m{k}", HTMDetectorState) for k in range(members)]
    return NamedTuple("HTMEnsembleState", [*fields, *shared.items()])  # type: ignore[misc]


class HTMEnsembleState(NamedTuple):
    """What the members share; theirs stand before it."""

    likelihood: LikelihoodState
    minimum: Annotated[Array, Field("single", doc="smallest value seen, inf before the first")]
    maximum: Annotated[Array, Field("single", doc="largest value seen, -inf before the first")]
    told: Annotated[Array, Field("quiet", doc="last scores before halving, a ring")]


class HTMEnsemble(Model):
    """Detects anomalies in one stream of numbers with several HTMs.

    Input and output are those of `HTMDetector`. It takes the time of its members together, and
    is worth it where false alarms are what matters: on NAB `HTMEnsembleParams.pair` raises a
    quarter fewer than one HTM, and misses no more. When not to use it: see `HTMDetector`.

    Parameters
    ----------
    params : HTMEnsembleParams
        From `HTMEnsembleParams.pair` unless parts are to be changed.

    Examples
    --------
    >>> from biomem import Simulator
    >>> params = HTMEnsembleParams.pair(0.0, 100.0, [40.0, 42.0, 45.0], probation=50)
    >>> sim = Simulator(HTMEnsemble(params), backend="numpy")
    >>> sim.step([42.0, 0.0, 0.0]).raw
    array([1.])
    """

    Params = HTMEnsembleParams
    State = state_of(1)
    Output = HTMDetectorOutput
    Input = Field("feature", doc="value, time, reset")
    batched = False
    exact = True
    kernels: ClassVar[Mapping[str, Any]] = {"numba": "biomem.models.htm.ensemble.cpu:scan"}

    params: HTMEnsembleParams

    def __init__(
        self,
        params: HTMEnsembleParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights=weights, **changes)
        members = self.params.members
        # As many as there are members: the declaration belongs to the instance.
        self.State = state_of(len(members))  # type: ignore[misc]
        self.members = tuple(
            HTMDetector(m.detector, weights={"pools": self.weights[f"pools{k}"]})
            for k, m in enumerate(members)
        )
        self.likelihood = AnomalyLikelihood(self.params.likelihood)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Features of a record, and the records of the quiet time."""
        return {"feature": len(FEATURES), "single": 1, "quiet": self.params.quiet}

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Return the pools of every Spatial Pooler, drawn from its own seed."""
        return {
            f"pools{k}": HTMDetector(m.detector).weights["pools"]
            for k, m in enumerate(self.params.members)
        }

    def init_state(self, batch: int, rng: Rng) -> Any:
        """Return members that have seen nothing."""
        return self.State(
            *(member.init_state(batch, rng) for member in self.members),
            likelihood=self.likelihood.init_state(batch),
            minimum=np.full(1, math.inf),
            maximum=np.full(1, -math.inf),
            told=np.full(self.params.quiet, NEVER),
        )

    def rebuild(self, state: Any) -> Any:
        """Recompute the accelerators of the members."""
        return state._replace(**{f"m{k}": m.rebuild(state[k]) for k, m in enumerate(self.members)})

    def step(self, state: Any, x: Array, tick: int) -> tuple[Any, HTMDetectorOutput]:
        """Take one record; ``x`` has shape ``(1, 3)``."""
        p, value = self.params, float(x[0, 0])
        moved, total = {}, 0.0
        for k, member in enumerate(self.members):
            seen = np.array([[p.members[k].seen(value), x[0, 1], x[0, 2]]])
            moved[f"m{k}"], y = member.step(state[k], seen, tick)
            total += float(y.raw[0])
        raw = total / len(self.members)
        history, chance = self.likelihood.step(state.likelihood, np.array([[raw, value]]), tick)
        low, high = float(state.minimum[0]), float(state.maximum[0])
        log = float(chance.log_likelihood[0])
        outside = p.range_rule and range_rule(value, low, high, p.range_fraction)
        told = 1.0 if outside else log
        fresh = told > state.told.max(initial=NEVER)
        ring = state.told.copy()
        if p.quiet:
            ring[tick % p.quiet] = told
        new = state._replace(
            **moved,
            likelihood=history,
            minimum=np.full(1, min(low, value)),
            maximum=np.full(1, max(high, value)),
            told=ring,
        )
        scores = (raw, float(chance.likelihood[0]), log, told if fresh or not p.quiet else told / 2)
        return new, HTMDetectorOutput(*(np.full(1, s) for s in scores))

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return the inputs of the first member's."""
        return self.members[0].example_inputs(ticks, batch, rng)

    def work(self, state: Any, ticks: int, batch: int) -> Work:
        """Return the synaptic events of all Temporal Memories since tick 0."""
        total = Work()
        for k, member in enumerate(self.members):
            total = total + member.work(state[k], ticks, batch)
        return total
