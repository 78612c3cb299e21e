"""Simulated error rates and lengths against Wald, Siegmund and the equation of `design`.

The tabulated figures are those of Wald's formulas and of simulations of some thousand tests, so
they carry an error of a few percent themselves; ours are held to a third of that against `design`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from biomem.models.htm.drift import (
    CUSUM,
    GRID,
    SPRT,
    BernoulliTest,
    CUSUMParams,
    DensityTest,
    MeanTest,
    PoissonTest,
    SPRTParams,
    VarianceTest,
    cpu,
)
from biomem.models.htm.drift.design import siegmund_alpha, siegmund_cusum, wald_lengths

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]

WALD = {"clip": None, "min_records": 1}


def normal(mean: float = 0.0, std: float = 1.0) -> Draw:
    return lambda rng, shape: rng.normal(mean, std, shape)


def bernoulli(p: float) -> Draw:
    return lambda rng, shape: (rng.random(shape) < p).astype(float)


def simulate(
    model: SPRT | CUSUM, draw: Draw, records: float, streams: int = 500
) -> tuple[int, int, int]:
    """Return decisions for drift, for none, and records, over all streams."""
    rng = np.random.default_rng(7)
    state, chunk = model.init_state(streams), 500_000 // streams
    xs = np.ones((chunk, streams, 2))
    for tick in range(0, math.ceil(records / streams / chunk) * chunk, chunk):
        xs[..., 0] = draw(rng, xs.shape[:2])
        state, _ = cpu.scan(model, state, xs, tick)
    return int(state.drifts.sum()), int(state.accepts.sum()), (tick + chunk) * streams


def within(share: float, chance: float, n: int) -> bool:
    return abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / n)


CASES = {
    # test, alpha, beta, laws without and with drift; table: Wald 0/1, simulated 0/1, alpha
    "mean, one sigma": (
        MeanTest(delta=1.0), 0.01, 0.01, normal(), normal(1.0), (9.0, 9.0, 10.6, 10.5, 0.0055),
    ),
    "mean, half a sigma": (
        MeanTest(delta=0.5), 0.01, 0.01, normal(), normal(0.5), (36.0, 36.0, 38.6, 38.9, 0.0064),
    ),
    "bernoulli": (
        BernoulliTest(p0=0.05, p1=0.2),
        0.001, 0.01, bernoulli(0.05), bernoulli(0.2), (48.9, 48.5, 49.6, 51.7, 0.0006),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_error_rates_and_lengths_are_the_tabulated_ones(case: str) -> None:
    test, alpha, beta, without, with_drift, table = CASES[case]
    params = SPRTParams(test=test, alpha=alpha, beta=beta, **WALD)
    model, expected = SPRT(params), params.design
    means = [float(np.dot(*test.law(drifted=drifted))) for drifted in (False, True)]
    assert wald_lengths(alpha, beta, *means) == pytest.approx(table[:2], rel=0.005)

    false, right, records = simulate(model, without, 3e6)
    n = false + right
    assert records / n == pytest.approx(expected.records_without_drift, rel=0.01)
    assert records / n == pytest.approx(table[2], rel=0.02)
    assert within(false / n, expected.alpha, n)
    assert false / n == pytest.approx(table[4], rel=0.35)
    assert false / n < alpha

    right, missed, records = simulate(model, with_drift, 3e6)
    n = missed + right
    assert records / n == pytest.approx(expected.records_with_drift, rel=0.01)
    assert records / n == pytest.approx(table[3], rel=0.02)
    assert within(right / n, expected.power, n)
    assert right / n > 1 - beta - 1e-3


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_siegmund_foretells_alpha_of_a_normal_mean(delta: float) -> None:
    params = SPRTParams(test=MeanTest(delta=delta), alpha=0.01, beta=0.01, **WALD)
    assert params.design.alpha == pytest.approx(siegmund_alpha(params.limits[1], delta), rel=0.02)


def test_the_paper_needs_965_records_without_drift_and_586_with_it() -> None:
    params = SPRTParams.paper()
    means = [float(np.dot(*params.test.law(drifted=drifted))) for drifted in (False, True)]
    assert wald_lengths(0.05, 0.005, *means) == pytest.approx((965, 586), rel=0.03)
    assert params.design.records_without_drift == pytest.approx(965, rel=0.03)
    assert params.design.records_with_drift == pytest.approx(586, rel=0.03)
    scores = {p: lambda rng, shape, p=p: 0.3 + 0.5 * (rng.random(shape) < p) for p in (0.45, 0.5)}
    false, right, records = simulate(SPRT(params), scores[0.45], 1.2e7, 50)
    assert records / (false + right) == pytest.approx(965, rel=0.03)
    assert within(false / (false + right), 0.0495, false + right)
    right, missed, records = simulate(SPRT(params), scores[0.5], 8e6, 50)
    assert records / (missed + right) == pytest.approx(586, rel=0.03)
    assert within(right / (missed + right), 0.9955, missed + right)


def test_the_paper_needs_29_records_at_the_least_and_56_to_accept() -> None:
    model = SPRT(SPRTParams.paper())
    xs = np.ones((80, 2, 2))
    xs[:, 0, 0], xs[:, 1, 0] = 1.0, 0.0
    _, y = cpu.scan(model, model.init_state(2), xs, 0)
    assert int(np.argmax(y.decision[:, 0] == 1)) + 1 == 29
    assert int(np.argmax(y.decision[:, 1] == -1)) + 1 == 56


def test_repeated_sprt_alarms_and_delay() -> None:
    params = SPRTParams(test=MeanTest(delta=1.0), alpha=0.01, beta=0.01, **WALD)
    false, _, records = simulate(SPRT(params), normal(), 1.2e7)
    assert records / false == pytest.approx(params.design.false_alarm_every, rel=0.05)
    assert records / false == pytest.approx(1921, rel=0.06)
    right, missed, records = simulate(SPRT(params), normal(1.0), 1e6)
    assert records / (right + missed) == pytest.approx(10.5, rel=0.02)


def test_cusum_alarms_and_delay() -> None:
    params = CUSUMParams(test=MeanTest(delta=1.0), limit=4.6, **WALD)
    assert siegmund_cusum(4.6, 1.0) == pytest.approx((625, 9.5), rel=0.005)
    false, _, records = simulate(CUSUM(params), normal(), 6e6)
    assert records / false == pytest.approx(params.design.false_alarm_every, rel=0.04)
    assert records / false == pytest.approx(608, rel=0.05)
    right, _, records = simulate(CUSUM(params), normal(1.0), 1e6)
    assert records / right == pytest.approx(params.design.delay, rel=0.01)
    assert records / right == pytest.approx(9.5, rel=0.02)


DENSITY = DensityTest(
    edges=(0.0, 1.0, 2.0, 3.0), reference=(600.0, 300.0, 100.0), changed=(300.0, 400.0, 300.0)
)
LAWS: dict[str, tuple[object, Draw]] = {
    "mean": (MeanTest(delta=0.7), normal()),
    "variance": (VarianceTest(), normal()),
    "bernoulli": (BernoulliTest(), bernoulli(0.05)),
    "poisson": (
        PoissonTest(rate0=2.0, rate1=3.0),
        lambda rng, shape: rng.poisson(2.0, shape).astype(float),
    ),
    "density": (DENSITY, lambda rng, shape: rng.choice([0.5, 1.5, 2.5], shape, p=[0.6, 0.3, 0.1])),
}


@pytest.mark.parametrize("side", ["up", "both"])
@pytest.mark.parametrize("method", [CUSUM, SPRT])
@pytest.mark.parametrize("law", LAWS)
def test_false_alarms_come_as_seldom_as_asked_for(law: str, method: type, side: str) -> None:
    test, draw = LAWS[law]
    if side == "both" and not test.mirrored:
        pytest.skip("a density has no other side")
    model = method(test=test, side=side, false_alarm_every=4000.0, min_records=1)
    expected = model.params.design.false_alarm_every
    waiting = method is SPRT and side == "both"
    assert expected == pytest.approx(4000, rel=0.05) or (waiting and 1500 < expected < 4000)
    false, _, records = simulate(model, draw, 2e6)
    assert 0.8 < records / false / 4000 < 1.25


@pytest.mark.parametrize("method", [CUSUM, SPRT])
@pytest.mark.parametrize("side", ["up", "both"])
def test_a_mixture_keeps_the_rate(side: str, method: type) -> None:
    model = method(test=MeanTest(delta=GRID), side=side, false_alarm_every=4000.0, min_records=1)
    false, _, records = simulate(model, normal(), 2e6)
    assert 0.8 < records / false / 4000 < 1.5


@pytest.mark.parametrize("shift", [0.25, 2.0])
def test_a_mixture_is_never_far_behind_the_test_for_the_true_size(shift: float) -> None:
    delays = []
    for delta in (GRID, shift, 2.5 - shift):
        model = CUSUM(test=MeanTest(delta=delta), false_alarm_every=2000.0, min_records=1)
        right, _, records = simulate(model, normal(shift), 5e5)
        delays.append(records / right)
    assert delays[0] < 1.45 * delays[1]
    assert delays[0] < 0.8 * delays[2]


def test_a_shared_budget_makes_each_stream_rarer() -> None:
    alone = CUSUMParams(false_alarm_every=10_000.0)
    fleet = CUSUMParams(false_alarm_every=10_000.0, streams=100)
    assert fleet.limits[1] - alone.limits[1] == pytest.approx(math.log(100), rel=0.05)
    assert fleet.design.false_alarm_every == pytest.approx(1e6, rel=0.05)


@pytest.mark.parametrize("quiet", [200, 2000, 20_000])
@pytest.mark.parametrize("method", [CUSUM, SPRT])
def test_the_delay_does_not_grow_with_the_time_before(method: type, quiet: int) -> None:
    model = method(test=BernoulliTest(p0=0.05, p1=0.2), false_alarm_every=1e6)
    rng = np.random.default_rng(3)
    xs = np.ones((quiet + 200, 50, 2))
    xs[:quiet, :, 0] = rng.random((quiet, 50)) < 0.02
    xs[quiet:, :, 0] = rng.random((200, 50)) < 0.9
    _, y = cpu.scan(model, model.init_state(50), xs, 0)
    delay = (y.decision[quiet:] == 1).argmax(axis=0)
    assert delay.max() < 30
