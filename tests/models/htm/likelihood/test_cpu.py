"""The kernels equal the reference to the last bit, state included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.datasets import NAB
from biomem.models.htm.likelihood import (
    AnomalyLikelihood,
    LikelihoodOutput,
    LikelihoodState,
    cpu,
)
from biomem.testing import check_model


def by_step(
    model: AnomalyLikelihood, state: LikelihoodState, xs: np.ndarray, start: int = 0
) -> tuple[LikelihoodState, LikelihoodOutput]:
    ys = []
    for tick, x in enumerate(xs, start):
        state, y = model.step(state, x, tick)
        ys.append(y)
    return state, LikelihoodOutput._make(map(np.array, zip(*ys, strict=True)))


def assert_same_bits(got: tuple, want: tuple) -> None:
    for name in got._fields:
        np.testing.assert_array_equal(
            getattr(got, name).view(np.int64), getattr(want, name).view(np.int64), err_msg=name
        )


@given(
    learning=st.integers(0, 60),
    samples=st.integers(1, 30),
    window=st.integers(1, 12),
    extra=st.integers(0, 60),
    period=st.integers(1, 20),
    forgotten=st.sampled_from([0.0, 0.25, 0.6, 0.99]),
    two_sided=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 1e5, 1e308]),
    cut=st.integers(0, 150),
    seed=st.integers(0, 2**31),
)
def test_scan_in_two_chunks_equals_the_reference(
    learning: int,
    samples: int,
    window: int,
    extra: int,
    period: int,
    forgotten: float,
    two_sided: bool,
    scale: float,
    cut: int,
    seed: int,
) -> None:
    model = AnomalyLikelihood(
        learning_period=learning,
        estimation_samples=samples,
        averaging_window=window,
        historic_window=window + extra,
        reestimation_period=period,
        forgotten=forgotten,
        two_sided=two_sided,
    )
    rng = np.random.default_rng(seed)
    xs = rng.random((150, 2, 2)) ** 4
    xs[60:110, 0, 1] = 0.25
    xs[100:110, :, 0] = 1.0
    xs[..., 1] *= scale * rng.choice([-1.0, 1.0], size=(150, 2))
    want = by_step(model, model.init_state(2), xs)
    state, first = cpu.scan(model, model.init_state(2), xs[:cut], 0)
    state, second = cpu.scan(model, state, xs[cut:], cut)
    assert_same_bits(state, want[0])
    joined = LikelihoodOutput._make(map(np.concatenate, zip(first, second, strict=True)))
    assert_same_bits(joined, want[1])


@pytest.mark.parametrize(
    "file", ["realKnownCause/nyc_taxi.csv", "realAdExchange/exchange-2_cpc_results.csv"]
)
def test_scan_equals_the_reference_on_published_raw_scores(nab: Path, file: str) -> None:
    with np.load(nab / "results" / "numenta_scores.npz") as published:
        raw = published[file.removesuffix(".csv").replace("/", "__") + "|raw"]
    xs = np.stack([raw, NAB(nab).series(file).values], axis=-1)[:4000, None]
    model = AnomalyLikelihood(historic_window=1500)
    got, want = cpu.scan(model, model.init_state(1), xs, 0), by_step(model, model.init_state(1), xs)
    assert_same_bits(got[0], want[0])
    assert_same_bits(got[1], want[1])


def test_tick_takes_one_record_of_one_stream() -> None:
    model = AnomalyLikelihood(learning_period=3, estimation_samples=2, historic_window=12)
    constants, xs = cpu.constants_of(model.params), np.random.default_rng(1).random((40, 2, 2))
    state, untouched = model.init_state(2), model.init_state(2)
    want, ys = by_step(model, model.init_state(2), xs)
    for t in range(40):
        pair = cpu.tick(state, 1, constants, xs[t, 1, 0], xs[t, 1, 1], t)
        assert pair == (ys.likelihood[t, 1], ys.log_likelihood[t, 1])
    for got, start, end in zip(state, untouched, want, strict=True):
        np.testing.assert_array_equal(got[0], start[0])
        np.testing.assert_array_equal(got[1], end[1])


def test_keeps_the_model_contract() -> None:
    check_model(
        AnomalyLikelihood(
            learning_period=5, estimation_samples=5, historic_window=40, reestimation_period=7
        )
    )
