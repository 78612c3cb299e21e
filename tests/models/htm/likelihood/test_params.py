"""Parameters of the anomaly likelihood: what is refused, and the warm-up of the NAB detectors."""

from __future__ import annotations

import pytest

from biomem.errors import ParameterError
from biomem.models.htm.likelihood import AnomalyLikelihoodParams


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_period", -1),
        ("learning_period", 1.5),
        ("estimation_samples", 0),
        ("averaging_window", 0),
        ("historic_window", 9),
        ("reestimation_period", 0),
        ("reestimation_period", True),
        ("forgotten", 1.0),
        ("forgotten", -0.1),
        ("forgotten", float("nan")),
        ("two_sided", 1),
    ],
)
def test_refuses_and_names_the_parameter(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=rf"AnomalyLikelihoodParams\.{name} must be .*, got"):
        AnomalyLikelihoodParams(**{name: value})


@pytest.mark.parametrize(
    ("records", "learning", "samples"), [(750, 375, 375), (151, 75, 76), (1, 0, 1)]
)
def test_probation_is_split_in_half(records: int, learning: int, samples: int) -> None:
    params = AnomalyLikelihoodParams.for_probation(records, reestimation_period=7)
    assert (params.learning_period, params.estimation_samples) == (learning, samples)
    assert (params.first_estimate, params.reestimation_period) == (records, 7)


@pytest.mark.parametrize("records", [0, -3, 2.0, True])
def test_probation_must_be_a_positive_integer(records: object) -> None:
    with pytest.raises(ParameterError, match="records must be an integer >= 1"):
        AnomalyLikelihoodParams.for_probation(records)  # type: ignore[arg-type]


def test_reads_back_from_its_repr() -> None:
    params = AnomalyLikelihoodParams(historic_window=500, two_sided=True)
    assert eval(repr(params)) == params
    assert AnomalyLikelihoodParams.from_dict(params.to_dict()) == params
