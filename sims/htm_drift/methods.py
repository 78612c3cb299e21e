"""The methods of the bench: how to make each with a setting, and where to look for the setting.

A method is anything that makes a `DriftDetector` for ``(setting, batch)``, a larger setting meaning
fewer alarms.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from biomem.models.htm.drift import (
    CUSUM,
    GRID,
    SPRT,
    BernoulliTest,
    DriftMonitor,
    MeanTest,
    VarianceTest,
)
from biomem.models.htm.drift.params import PAPER_THRESHOLD
from biomem.stream.baselines import AnyOf, DriftDetector, ModelDrift, RiverDrift, WindowDrift
from biomem.stream.htm_drift import HTMDrift

RANGE = (-4.0, 4.0)
"""What the HTMs expect."""

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


class SharedHTM(HTMDrift):
    """Lets an HTM take records once, however many settings and tests are tried on what it says.

    `saved` is the CPU time, s, that this spared.
    """

    known: ClassVar[dict[str, tuple[dict[str, Any], float]]] = {}
    saved = 0.0

    def signals(self, xs: Any) -> dict[str, Any]:
        """Return what `HTMDrift` does, for detectors that have seen nothing before."""
        text = repr(self.params).encode() + np.ascontiguousarray(xs).tobytes()
        key = hashlib.sha256(text).hexdigest()
        if key in self.known:
            found, self.saved = self.known[key]
            return found
        start = time.process_time()
        found = super().signals(xs)
        self.known[key] = found, time.process_time() - start
        return found


def htm(
    watch: Callable[[float, int], Mapping[str, DriftDetector]],
) -> Callable[[float, int], DriftDetector]:
    params = HTMDrift.for_range(*RANGE).params.replace(signal="rescaled")
    return lambda h, batch: SharedHTM(params, watch(h, batch))


def ours(method: Any) -> Callable[[float, int], DriftDetector]:
    return htm(lambda h, n: HTMDrift.for_range(*RANGE, limit=h, method=method, batch=n).watch)


def error(h: float, batch: int) -> Mapping[str, DriftDetector]:
    tests = ((MeanTest(), "both"), (VarianceTest(), "up"))
    each = [monitor(t, side=s, method="sprt", probation=400)(h, batch) for t, s in tests]
    return {"error": AnyOf(*each)}


def raw(h: float, batch: int) -> Mapping[str, DriftDetector]:
    return {"raw": monitor(MeanTest(), method="sprt", probation=300)(h, batch)}


def paper(h: float, batch: int) -> Mapping[str, DriftDetector]:
    test = BernoulliTest(p0=0.45, p1=0.50, threshold=PAPER_THRESHOLD)
    return {"signal": ModelDrift(SPRT(test=test, alpha=10**-h, beta=0.005), batch)}


METHODS = {
    "htm_sprt": Method(
        ours("sprt"), 2.0, 15.0, "HTM + SPRT: value (mean, variance), forecast error (spread)"
    ),
    "htm_cusum": Method(ours("cusum"), 2.0, 15.0, "the same with CUSUMs"),
    "htm_error": Method(
        htm(error), 2.0, 15.0, "HTM + SPRT: forecast error alone (mean, spread)"
    ),
    "htm_raw": Method(htm(raw), 2.0, 15.0, "HTM + SPRT: raw anomaly score alone (mean)"),
    "htm_paper": Method(htm(paper), 1.3, 60.0, "HTM + SPRT of arXiv 2504.18599, limit calibrated"),
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
