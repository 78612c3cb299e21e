"""The ensemble over a chunk: each member over all of it, then what they share, record by record.

Members share nothing but the input, so the order makes no difference; equal bit for bit to
``model.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from biomem.backends.jit import njit
from biomem.models.htm.detector import HTMDetectorOutput
from biomem.models.htm.detector import cpu as detector
from biomem.models.htm.ensemble.model import NEVER, HTMEnsemble
from biomem.models.htm.likelihood import cpu as likelihood

__all__ = ["scan"]

_outside = likelihood.range_rule


@njit(cache=True)
def _tell(values, log, minimum, maximum, told, active, fraction, first, score):
    """Write the scores of a chunk from its log likelihoods."""
    quiet = told.shape[0]
    for t in range(values.shape[0]):
        value, now = values[t], log[t, 0]
        if active and _outside(value, minimum[0], maximum[0], fraction):
            now = 1.0
        minimum[0], maximum[0] = min(minimum[0], value), max(maximum[0], value)
        most = NEVER
        for k in range(quiet):
            most = max(most, told[k])
        score[t, 0] = now if now > most or quiet == 0 else now / 2
        if quiet > 0:
            told[(first + t) % quiet] = now


def scan(
    model: HTMEnsemble, state: Any, xs: np.ndarray, tick: int
) -> tuple[Any, HTMDetectorOutput]:
    """Advance over a chunk ``(time, 1, 3)``; consumes `state`."""
    p = model.params
    moved, total = {}, np.zeros(xs.shape[:2])
    for k, member in enumerate(model.members):
        seen = xs
        if p.members[k].scale is not None:
            # The platform's asinh, value by value: NumPy's vector form may differ in the last bit.
            seen = xs.copy()
            seen[:, 0, 0] = [p.members[k].seen(v) for v in xs[:, 0, 0].tolist()]
        moved[f"m{k}"], y = detector.scan(member, state[k], seen, tick)
        total += y.raw
    raw = total / len(model.members)
    pairs = np.stack([raw, xs[:, :, 0]], axis=-1)
    history, chance = likelihood.scan(model.likelihood, state.likelihood, pairs, tick)
    score = np.empty(xs.shape[:2])
    _tell(
        np.ascontiguousarray(xs[:, 0, 0]),
        chance.log_likelihood,
        state.minimum,
        state.maximum,
        state.told,
        p.range_rule,
        float(p.range_fraction),
        tick,
        score,
    )
    state = state._replace(**moved, likelihood=history)
    return state, HTMDetectorOutput(raw, chance.likelihood, chance.log_likelihood, score)
