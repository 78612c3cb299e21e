"""The methods of the bench: how to make each with a setting, and where to look for the setting.

A method is anything that makes a `DriftDetector` for ``(setting, batch)``, a larger setting meaning
fewer alarms.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

from biomem.models.htm.drift import (
    CUSUM,
    GRID,
    SPRT,
    BernoulliTest,
    DriftMonitor,
    MeanTest,
    VarianceTest,
)
from biomem.stream.baselines import AnyOf, DriftDetector, ModelDrift, RiverDrift, WindowDrift

__all__ = ["METHODS", "Method"]


class Method(NamedTuple):
    """How to make a detector, the settings to look between, and a line for the table."""

    make: Callable[[float, int], DriftDetector]
    low: float
    high: float
    title: str


def monitor(test: Any, **changes: Any) -> Callable[[float, int], DriftDetector]:
    return lambda h, batch: ModelDrift(DriftMonitor(test=test, limit=h, **changes), batch)


def sprt(h: float, batch: int) -> DriftDetector:
    return ModelDrift(SPRT(test=MeanTest(), side="both", alpha=2 * 10**-h), batch)


def either(h: float, batch: int) -> DriftDetector:
    mean, spread = monitor(MeanTest(), side="both"), monitor(VarianceTest(), side="both")
    return AnyOf(mean(h, batch), spread(h, batch))


def window(statistic: Any, reference: int | None) -> Callable[[float, int], DriftDetector]:
    return lambda x, n: WindowDrift(statistic, x, reference=reference, every=5, batch=n)


METHODS = {
    "cusum_known": Method(
        lambda h, n: ModelDrift(CUSUM(test=MeanTest(), side="both", limit=h), n),
        2.0, 15.0, "CUSUM of the mean, baseline known",
    ),
    "sprt_known": Method(sprt, 0.7, 5.0, "repeated SPRT of the mean, baseline known"),
    "monitor_mean": Method(
        monitor(MeanTest(), side="both"), 2.0, 15.0, "DriftMonitor, mean"
    ),
    "monitor_grid": Method(
        monitor(MeanTest(delta=GRID), side="both"), 2.0, 15.0, "DriftMonitor, mean, any size"
    ),
    "monitor_variance": Method(
        monitor(VarianceTest(), side="both"), 2.0, 15.0, "DriftMonitor, variance"
    ),
    "monitor_both": Method(either, 2.0, 15.0, "DriftMonitor, mean or variance"),
    "monitor_exceedance": Method(
        monitor(BernoulliTest()), 2.0, 15.0, "DriftMonitor, exceedances"
    ),
    "ks_rolling": Method(window("ks", None), 0.2, 0.9, "KS, two windows of 50"),
    "wasserstein_rolling": Method(
        window("wasserstein", None), 0.2, 3.0, "Wasserstein, two windows of 50"
    ),
    "psi_rolling": Method(window("psi", None), 0.2, 6.0, "PSI, two windows of 50"),
    "ks_frozen": Method(window("ks", 500), 0.1, 0.9, "KS, first 500 and last 50"),
    "wasserstein_frozen": Method(
        window("wasserstein", 500), 0.1, 3.0, "Wasserstein, first 500 and last 50"
    ),
    "psi_frozen": Method(window("psi", 500), 0.1, 6.0, "PSI, first 500 and last 50"),
}  # fmt: skip

if importlib.util.find_spec("river"):
    METHODS |= {
        "adwin": Method(
            lambda x, n: RiverDrift("ADWIN", n, delta=min(10**-x, 0.999)), 0.0, 8.0, "ADWIN (river)"
        ),
        "page_hinkley": Method(
            lambda x, n: RiverDrift("PageHinkley", n, threshold=x),
            1.0,
            400.0,
            "Page-Hinkley (river)",
        ),
        "kswin": Method(
            lambda x, n: RiverDrift("KSWIN", n, alpha=10**-x, seed=0), 2.5, 4.5, "KSWIN (river)"
        ),
    }
