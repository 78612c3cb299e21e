"""Anomaly likelihood: from raw HTM anomaly scores to the likelihood of a change."""

from __future__ import annotations

from typing import Any

import numpy as np

from biomem.errors import InputError
from biomem.models.htm.likelihood.model import AnomalyLikelihood as AnomalyLikelihood
from biomem.models.htm.likelihood.model import LikelihoodOutput as LikelihoodOutput
from biomem.models.htm.likelihood.model import LikelihoodState as LikelihoodState
from biomem.models.htm.likelihood.params import AnomalyLikelihoodParams as AnomalyLikelihoodParams
from biomem.models.htm.likelihood.ranges import range_rule as range_rule

__all__ = [
    "AnomalyLikelihood",
    "AnomalyLikelihoodParams",
    "LikelihoodOutput",
    "LikelihoodState",
    "likelihood",
    "range_rule",
]


def likelihood(raw: Any, values: Any, **params: Any) -> LikelihoodOutput:
    """Return the likelihood of every record of one series, in one compiled call.

    Parameters
    ----------
    raw, values : array-like, shape ``(records,)``
        Raw anomaly scores in [0, 1] and metric values, finite.
    **params
        Fields of `AnomalyLikelihoodParams`.

    Returns
    -------
    LikelihoodOutput
        Two arrays of shape ``(records,)``, float64.

    Raises
    ------
    InputError
        Arrays that are not one-dimensional, not of one length, or not finite.

    Examples
    --------
    >>> likelihood([1.0, 0.0], [20.0, 21.0]).likelihood
    array([0.5, 0.5])
    """
    from biomem.models.htm.likelihood import cpu

    raw, values = np.asarray(raw), np.asarray(values)
    if raw.ndim != 1 or raw.shape != values.shape:
        raise InputError(
            f"likelihood: raw and values must both have shape (records,), got {raw.shape} and "
            f"{values.shape}; call it once per series"
        )
    model = AnomalyLikelihood(**params)
    xs = model.check_input(np.stack([raw, values], axis=-1), batch=1)
    assert xs is not None
    _, out = cpu.scan(model, model.init_state(1), xs, 0)
    return LikelihoodOutput(*(field[:, 0] for field in out))
