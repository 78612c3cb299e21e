"""The published NAB scores out of the published raw scores, and the one-call form."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from biomem.datasets import NAB
from biomem.datasets.nab_score import probation
from biomem.errors import InputError, ParameterError
from biomem.models.htm.likelihood import (
    AnomalyLikelihoodParams,
    likelihood,
    range_rule,
)


def outside_range(values: np.ndarray) -> np.ndarray:
    out, low, high = np.zeros(len(values), bool), math.inf, -math.inf
    for i, value in enumerate(values.tolist()):
        out[i] = range_rule(value, low, high)
        low, high = min(low, value), max(high, value)
    return out


def test_gives_the_published_scores_on_every_record_of_nab(nab: Path) -> None:
    corpus, records = NAB(nab), 0
    with np.load(nab / "results" / "numenta_scores.npz") as published:
        for file in corpus.files:
            key = file.removesuffix(".csv").replace("/", "__")
            values, raw = corpus.series(file).values, published[key + "|raw"]
            params = AnomalyLikelihoodParams.for_probation(probation(len(values)))
            logs = likelihood(raw, values, **params.to_dict()).log_likelihood
            final = np.where(outside_range(values), 1.0, logs)
            np.testing.assert_allclose(
                final, published[key + "|score"], rtol=0, atol=1e-9, err_msg=file
            )
            records += len(values)
    assert records == 365_558


def test_two_sided_is_not_what_was_published(nab: Path) -> None:
    file = "realKnownCause/nyc_taxi.csv"
    values = NAB(nab).series(file).values
    with np.load(nab / "results" / "numenta_scores.npz") as published:
        raw, score = (published[f"realKnownCause__nyc_taxi|{kind}"] for kind in ("raw", "score"))
    params = AnomalyLikelihoodParams.for_probation(probation(len(values)), two_sided=True)
    logs = likelihood(raw, values, **params.to_dict()).log_likelihood
    assert np.abs(np.where(outside_range(values), 1.0, logs) - score).max() > 0.01


def test_accepts_lists_and_integers() -> None:
    out = likelihood([1, 0, 1], [5, 6, 7])
    np.testing.assert_array_equal(out.likelihood, [0.5, 0.5, 0.5])
    assert likelihood([], []).likelihood.shape == (0,)


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ([0.1, 0.2], [1.0]),
        ([[0.1, 0.2]], [[1.0, 2.0]]),
        (0.1, 1.0),
        ([0.1, math.nan], [1.0, 2.0]),
        ([0.1, 0.2], [1.0, math.inf]),
    ],
)
def test_refuses_what_is_not_one_finite_series(raw: object, values: object) -> None:
    with pytest.raises(InputError):
        likelihood(raw, values)


def test_refuses_unknown_parameters() -> None:
    with pytest.raises((ParameterError, TypeError)):
        likelihood([0.1], [1.0], learning=3)
