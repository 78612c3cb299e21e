"""Parameters of the anomaly likelihood."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from biomem.engine.params import Params
from biomem.errors import ParameterError, require

__all__ = ["AnomalyLikelihoodParams"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnomalyLikelihoodParams(Params):
    """When to estimate the distribution of raw scores, from what, and how to read its tail.

    All lengths are counted in records; every one is an integer of at least the stated minimum.

    Parameters
    ----------
    learning_period : int
        Records at the start whose scores are left out of every estimate, >= 0: the detector is
        still learning there and its raw scores are high for want of knowledge.
    estimation_samples : int
        Records after the learning period before the first estimate, >= 1. During the first
        ``learning_period + estimation_samples`` records the likelihood is 0.5.
    historic_window : int
        Length of the history an estimate is made from, >= `averaging_window`.
    reestimation_period : int
        Records between two estimates, >= 1.
    averaging_window : int
        Raw scores averaged before they are compared with the distribution, >= 1.
    forgotten : float
        Share of all records so far, from the first on, that no estimate uses, in [0, 1): raw scores
        fall while the detector learns, and how high they were then says little of what is usual.
    two_sided : bool
        Treat a mean score far *below* the distribution as just as unlikely as one far above.
        The detector behind the published NAB results is one-sided.

    Examples
    --------
    >>> AnomalyLikelihoodParams.for_probation(750).learning_period
    375
    """

    learning_period: int = 288
    estimation_samples: int = 100
    historic_window: int = 8640
    reestimation_period: int = 100
    averaging_window: int = 10
    forgotten: float = 0.0
    two_sided: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("learning_period", 0),
            ("estimation_samples", 1),
            ("averaging_window", 1),
            ("historic_window", self.averaging_window),
            ("reestimation_period", 1),
        ):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            hint = "it must hold one averaging window" if name == "historic_window" else ""
            require(self, name, whole and value >= least, f"an integer >= {least}", hint)
        require(self, "forgotten", 0 <= self.forgotten < 1, "in [0, 1)")
        require(self, "two_sided", isinstance(self.two_sided, bool), "True or False")

    @property
    def first_estimate(self) -> int:
        """Index of the first record that gets a likelihood other than 0.5."""
        return self.learning_period + self.estimation_samples

    @classmethod
    def for_probation(cls, records: int, **changes: Any) -> Self:
        """Return the set whose warm-up lasts `records` >= 1 records, as the NAB detectors do.

        The learning period is half of it, rounded down, and the rest are estimation samples.

        Raises
        ------
        ParameterError
            `records` is not a positive integer.
        """
        if isinstance(records, bool) or not isinstance(records, int) or records < 1:
            raise ParameterError(
                f"{cls.__name__}.for_probation: records must be an integer >= 1, got {records!r}"
            )
        learning = records // 2
        return cls(learning_period=learning, estimation_samples=records - learning, **changes)
