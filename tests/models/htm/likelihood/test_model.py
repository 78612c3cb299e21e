"""The reference against a second, differently built computation of the same equations."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.models.htm.likelihood import AnomalyLikelihood, AnomalyLikelihoodParams
from biomem.models.htm.likelihood.model import log_likelihood, moving_average, tail_probability


def run(model: AnomalyLikelihood, xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    state = model.init_state(xs.shape[1])
    ys = []
    for tick, x in enumerate(xs):
        state, y = model.step(state, x, tick)
        ys.append(y)
    return np.array([y.likelihood for y in ys]), np.array([y.log_likelihood for y in ys])


def by_queues(p: AnomalyLikelihoodParams, raws: np.ndarray, values: np.ndarray) -> list[float]:
    """Keep queues, an averaging buffer of its own, and NumPy's means, as the original did."""
    history: deque = deque(maxlen=p.historic_window)
    buffer: deque = deque(maxlen=p.averaging_window)
    distribution, before, out = None, 1.0, []

    def tail(x: float) -> float:
        mean, std = distribution
        if p.two_sided and x < mean:
            return tail(2 * mean - x)
        return 0.5 * math.erfc((x - mean) / std / 1.4142)

    for i, (raw, value) in enumerate(zip(raws, values, strict=True)):
        if i < p.learning_period + p.estimation_samples:
            out.append(0.5)
        else:
            if distribution is None or i % p.reestimation_period == 0:
                buffer.clear()
                means = []
                for s, _ in history:
                    buffer.append(s)
                    means.append(np.mean(buffer))
                early = max(p.learning_period, math.floor(p.forgotten * i))
                skip = min(i, max(0, early - max(0, i - p.historic_window)))
                kept, metric = means[skip:], [v for _, v in history][skip:]
                if not kept or np.var(metric) < 1.5e-5:
                    distribution = (0.5, 1000.0)
                else:
                    distribution = (
                        max(np.mean(kept), 0.03),
                        math.sqrt(max(np.var(kept), 0.0003)),
                    )
                before = tail(means[-1])
            buffer.append(raw)
            now = tail(np.mean(buffer))
            out.append(1.0 - (1e-3 if now <= 1e-5 and before <= 1e-5 else now))
            before = now
        history.append((raw, value))
    return out


@given(
    learning=st.integers(0, 60),
    samples=st.integers(1, 30),
    window=st.integers(1, 12),
    extra=st.integers(0, 60),
    period=st.integers(1, 20),
    forgotten=st.sampled_from([0.0, 0.25, 0.6, 0.99]),
    two_sided=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_the_equations_kept_in_queues(
    learning: int,
    samples: int,
    window: int,
    extra: int,
    period: int,
    forgotten: float,
    two_sided: bool,
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
    xs = rng.random((150, 1, 2)) ** 4
    xs[90:130, 0, 1] = 7.0
    xs[100:110, 0, 0] = 1.0
    got, logs = run(model, xs)
    want = by_queues(model.params, xs[:, 0, 0], xs[:, 0, 1])
    np.testing.assert_allclose(got[:, 0], want, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(logs[:, 0], [log_likelihood(x) for x in got[:, 0]])


def quiet(records: int) -> np.ndarray:
    """Raw scores of a settled detector and a metric that moves, shape ``(records, 1, 2)``."""
    rng = np.random.default_rng(5)
    return np.stack([0.05 * rng.random(records), rng.normal(size=records)], axis=-1)[:, None]


def test_one_half_until_the_first_estimate() -> None:
    likelihood, logs = run(AnomalyLikelihood(learning_period=30, estimation_samples=20), quiet(60))
    assert (likelihood[:50] == 0.5).all()
    assert (likelihood[50:] != 0.5).all()
    np.testing.assert_allclose(logs[:50], 0.0301030, atol=5e-8)


def test_what_was_scored_while_learning_can_be_forgotten() -> None:
    xs = quiet(400)
    xs[:60, 0, 0] = 0.5 + 0.5 * np.random.default_rng(2).random(60)
    xs[390:, 0, 0] = 0.5
    found = {
        share: run(
            AnomalyLikelihood(learning_period=0, estimation_samples=20, forgotten=share), xs
        )[1]
        for share in (0.0, 0.25)
    }
    assert found[0.0][390:].max() < 0.2
    assert found[0.25][390:].max() > 0.5


def test_a_burst_is_reported_once_at_full_strength_and_again_after_quiet() -> None:
    xs = quiet(400)
    xs[200:220, 0, 0] = 1.0
    xs[300:304, 0, 0] = 1.0
    likelihood, logs = run(
        AnomalyLikelihood(learning_period=50, estimation_samples=50, reestimation_period=1000), xs
    )
    strong = np.flatnonzero(1.0 - likelihood[:, 0] <= 1e-5)
    assert len(strong) == 2
    assert 200 <= strong[0] <= 202
    assert 300 <= strong[1] <= 302
    assert (likelihood[strong[0] + 1 : 220] == 1.0 - 1e-3).all()
    assert (logs[strong] >= 0.5).all()


def test_a_flat_metric_is_never_anomalous() -> None:
    xs = quiet(300)
    xs[..., 1] = 4.0
    xs[200:, 0, 0] = 1.0
    likelihood, _ = run(AnomalyLikelihood(learning_period=50, estimation_samples=50), xs)
    np.testing.assert_allclose(likelihood, 0.5, atol=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("huge", [1e308, 1e200])
def test_values_that_overflow_their_variance_are_not_flat(huge: float) -> None:
    xs = quiet(200)
    xs[:, 0, 1] = np.where(np.arange(200) % 2, huge, -huge)
    xs[150:160, 0, 0] = 1.0
    likelihood, _ = run(AnomalyLikelihood(learning_period=20, estimation_samples=20), xs)
    assert np.isfinite(likelihood).all()
    assert likelihood[150:160].max() > 1.0 - 1e-5


def test_unusually_low_scores_count_only_two_sided() -> None:
    xs = quiet(300)
    xs[:, 0, 0] = 0.6 + 0.02 * xs[:, 0, 0]
    xs[200:230, 0, 0] = 0.0
    settings = {"learning_period": 20, "estimation_samples": 20, "reestimation_period": 500}
    one, _ = run(AnomalyLikelihood(**settings), xs)
    two, _ = run(AnomalyLikelihood(**settings, two_sided=True), xs)
    assert one[200:230].max() < 0.5
    assert two[200:230].max() > 1.0 - 1e-5
    # On its own side of the mean a draw lies in the outer half, so the likelihood is at least 1/2.
    assert two.min() >= 0.5


def test_the_estimate_changes_only_when_it_is_due() -> None:
    model = AnomalyLikelihood(learning_period=10, estimation_samples=15, reestimation_period=40)
    state, means = model.init_state(1), []
    for tick, x in enumerate(np.random.default_rng(2).random((100, 1, 2))):
        state, _ = model.step(state, x, tick)
        means.append(state.mean[0])
    assert np.flatnonzero(np.diff(means)).tolist() == [24, 39, 79]


def test_step_writes_to_nothing_it_was_given() -> None:
    model = AnomalyLikelihood(learning_period=1, estimation_samples=1, historic_window=20)
    state, xs = model.init_state(2), np.repeat(quiet(50), 2, axis=1)
    for array in (*state, xs):
        array.setflags(write=False)
    for tick, x in enumerate(xs):
        new, _ = model.step(state, x, tick)
        for array in new:
            array.setflags(write=False)
        state = new


def test_streams_do_not_see_each_other() -> None:
    rng = np.random.default_rng(0)
    xs = rng.random((120, 3, 2))
    model = AnomalyLikelihood(learning_period=10, estimation_samples=10, reestimation_period=10)
    together, _ = run(model, xs)
    for b in range(3):
        np.testing.assert_array_equal(together[:, b], run(model, xs[:, b : b + 1])[0][:, 0])


def test_log_scale_has_its_stated_anchors() -> None:
    assert log_likelihood(1.0) == 1.0
    assert log_likelihood(1.0 - 1e-5) == pytest.approx(0.5, abs=1e-6)
    assert log_likelihood(0.5) == pytest.approx(0.0301030, abs=5e-8)
    assert log_likelihood(0.0) == pytest.approx(0.0, abs=1e-10)


def test_tail_and_moving_average_by_hand() -> None:
    assert tail_probability(0.3, 0.3, 0.1) == 0.5
    assert tail_probability(0.4, 0.3, 0.1) == pytest.approx(0.15865, abs=1e-5)
    assert tail_probability(0.2, 0.3, 0.1) == pytest.approx(1 - 0.15865, abs=1e-5)
    assert tail_probability(0.2, 0.3, 0.1, two_sided=True) == pytest.approx(0.15865, abs=1e-5)
    np.testing.assert_array_equal(
        moving_average(np.array([1.0, 2.0, 6.0, 4.0]), 3), [1.0, 1.5, 3.0, 4.0]
    )


def test_scores_never_leave_the_unit_interval() -> None:
    from biomem.models.htm.likelihood.model import log_likelihood

    assert log_likelihood(0.0) == 0.0
    assert log_likelihood(1e-11) == 0.0
    assert log_likelihood(1.0) == pytest.approx(1.0)
