"""Streams with a known change point, or none: unit variance and mean zero before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["CASES", "STEADY", "generate"]

PERIOD = 100
AMPLITUDE = 1.2
"""Of the periodic cases; the noise makes up the rest of the variance."""


def step(size: float) -> Callable:
    return lambda noise, t, rng: noise + size * (t >= 0)


def ramp(length: int) -> Callable:
    """Rise by one standard deviation in so many records."""
    return lambda noise, t, rng: noise + np.clip((t + 1) / length, 0, 1)


def variance(factor: float) -> Callable:
    return lambda noise, t, rng: np.where(t >= 0, np.sqrt(factor), 1.0) * noise


def periodic(period_after: float) -> Callable:
    def make(noise: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        phase = rng.uniform(0, 2 * np.pi)
        turn = np.where(t < 0, t / PERIOD, t / period_after)
        swing = AMPLITUDE * np.sin(2 * np.pi * turn + phase)
        return swing + np.sqrt(1 - AMPLITUDE**2 / 2) * noise

    return make


def autoregressive(phi: float, shift: float = 0.0) -> Callable:
    def make(noise: np.ndarray, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        out = noise.copy()
        for i in range(1, len(out)):
            out[i] = phi * out[i - 1] + np.sqrt(1 - phi * phi) * noise[i]
        return out + shift * (t >= 0)

    return make


CASES: dict[str, Callable] = {
    "none": step(0.0),
    "mean_0.5": step(0.5),
    "mean_1": step(1.0),
    "mean_2": step(2.0),
    "ramp_50": ramp(50),
    "ramp_200": ramp(200),
    "ramp_500": ramp(500),
    "variance_1.5": variance(1.5),
    "variance_2": variance(2.0),
    "period": periodic(PERIOD / 2),
    "ar_0.5_mean_1": autoregressive(0.5, 1.0),
    "ar_0.9_mean_1": autoregressive(0.9, 1.0),
    "periodic": periodic(PERIOD),
    "ar_0.5": autoregressive(0.5),
    "ar_0.9": autoregressive(0.9),
}

STEADY = ("none", "periodic", "ar_0.5", "ar_0.9")
"""Cases without a change: every alarm is a false one."""


def generate(case: str, records: int, change: int, seeds: range) -> np.ndarray:
    """Return ``(records, seeds)``; a stream depends on its case and seed alone."""
    t = np.arange(records) - change
    columns = []
    for seed in seeds:
        rng = np.random.default_rng([list(CASES).index(case), seed])
        columns.append(CASES[case](rng.normal(size=records), t, rng))
    return np.stack(columns, axis=1)
