"""The tests against a plain loop over records, and kernels against the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem import Simulator
from biomem.errors import ParameterError
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
from biomem.testing import check_model

DENSITY = DensityTest(edges=(-1.0, 0.0, 1.0, 2.0), reference=(5, 5, 1), changed=(1, 3, 8))
TESTS = [
    BernoulliTest(p0=0.2, p1=0.5, threshold=0.3),
    BernoulliTest(p0=0.2, p1=(0.3, 0.5, 0.8)),
    MeanTest(delta=1.0),
    MeanTest(delta=GRID),
    VarianceTest(ratio=1.5),
    PoissonTest(rate0=1.0, rate1=(1.5, 3.0)),
    DENSITY,
]
tests = st.sampled_from(TESTS)


def models() -> st.SearchStrategy[SPRT | CUSUM]:
    common = {
        "test": tests,
        "side": st.sampled_from(["up", "down", "both"]),
        "clip": st.sampled_from([None, 0.5, 3.0]),
        "min_records": st.integers(1, 8),
    }
    wald = st.builds(
        dict,
        **common,
        alpha=st.sampled_from([0.3, 0.05, 0.001]),
        beta=st.sampled_from([0.3, 0.01]),
        repeat=st.booleans(),
    )
    page = st.builds(dict, **common, limit=st.sampled_from([0.5, 3.0, 8.0]))

    def build(cls: type, values: dict) -> SPRT | CUSUM:
        return cls(**(values | {"side": values["side"] if values["test"].mirrored else "up"}))

    return st.one_of(wald.map(lambda v: build(SPRT, v)), page.map(lambda v: build(CUSUM, v)))


def signal(seed: int, ticks: int, batch: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    xs = np.stack([rng.normal(size=(ticks, batch)), rng.choice([0, 0.5, 1, 2], (ticks, batch))], -1)
    xs[ticks // 2 :, :, 0] += rng.choice([-1.0, 1.0, 1e200])
    return xs


@given(model=models(), seed=st.integers(0, 2**31), cut=st.integers(0, 120))
def test_scan_in_two_chunks_equals_the_reference(model: SPRT | CUSUM, seed: int, cut: int) -> None:
    xs = signal(seed, 120, 3)
    state, rows = model.init_state(3), []
    for tick, x in enumerate(xs):
        state, y = model.step(state, x, tick)
        rows.append(y)
    got, first = cpu.scan(model, model.init_state(3), xs[:cut], 0)
    got, second = cpu.scan(model, got, xs[cut:], cut)
    for name in state._fields:
        np.testing.assert_array_equal(getattr(got, name), getattr(state, name), err_msg=name)
    for i, name in enumerate(first._fields):
        want = np.array([row[i] for row in rows])
        np.testing.assert_array_equal(np.concatenate([first[i], second[i]]), want, err_msg=name)
        assert not np.isnan(want).any()


def by_hand(model: SPRT | CUSUM, xs: np.ndarray) -> list[tuple[int, int]]:
    """Return (record, decision) of one stream, from the sums written out."""
    p, found = model.params, []
    lower, upper = p.limits
    sums = {sign: [0.0] * len(p.test.effects) for sign in p.signs}
    ages, done = dict.fromkeys(p.signs, 0), set()

    def restart(sign: int) -> None:
        sums[sign], ages[sign] = [0.0] * len(p.test.effects), 0
        done.discard(sign)

    for t, (x, weight) in enumerate(xs):
        if weight <= 0:
            continue
        weight = weight if isinstance(p.test, PoissonTest) else 1.0
        u = float(x > p.test.threshold) if isinstance(p.test, BernoulliTest) else x
        totals = {}
        for i, sign in enumerate(p.signs):
            if sign in done:
                continue
            ages[sign] += 1
            for k in range(len(sums[sign])):
                if isinstance(p.test, DensityTest):
                    step = float(p.test.law(drifted=False)[0][np.digitize(x, p.test.edges[1:-1])])
                else:
                    a, b, c = p.test.coefficients(p.signs).polynomial[i, k]
                    step = a * weight + b * u + c * u * u
                sums[sign][k] += max(-p.largest, min(p.largest, step))
            totals[sign] = math.log(sum(map(math.exp, sums[sign])) / len(sums[sign]))
        if any(s >= upper and ages[sign] >= p.min_records for sign, s in totals.items()):
            found.append((t, 1))
            for sign in p.signs:
                restart(sign)
            continue
        for sign, s in totals.items():
            if s <= lower:
                if isinstance(model, CUSUM):
                    restart(sign)
                else:
                    done.add(sign)
        if len(done) == len(p.signs):
            found.append((t, -1))
            for sign in p.signs:
                restart(sign)
    return found


@pytest.mark.parametrize("test", TESTS, ids=lambda t: f"{t.kind}{len(t.effects)}")
@pytest.mark.parametrize("side", ["up", "down", "both"])
@pytest.mark.parametrize(
    ("cls", "rule"), [(CUSUM, {"limit": 3.0}), (SPRT, {"alpha": 0.05, "beta": 0.05})]
)
def test_decides_where_the_sums_written_out_do(cls: type, rule: dict, side: str, test) -> None:
    if side != "up" and not test.mirrored:
        with pytest.raises(ParameterError, match="side must be 'up' for DensityTest, got"):
            cls(test=test, side=side, **rule)
        return
    model = cls(test=test, side=side, **rule)
    rng = np.random.default_rng(11)
    wave = 2 * np.round(np.sin(np.arange(2000) / 100))
    values = rng.normal(0, 0.7, 2000) + wave
    xs = np.stack([values, rng.choice([0, 0.5, 1, 2], 2000)], -1)[:, None]
    _, y = cpu.scan(model, model.init_state(1), xs, 0)
    got = [(int(t), int(y.decision[t, 0])) for t in np.flatnonzero(y.decision[:, 0])]
    assert got == by_hand(model, xs[:, 0])
    assert len(got) > 2


def test_decides_once_without_repeat() -> None:
    model = SPRT(test=MeanTest(), alpha=0.01, repeat=False)
    xs = np.ones((60, 2, 2))
    xs[:30, 0, 0], xs[30:, 0, 0] = 2.0, -2.0
    xs[:30, 1, 0], xs[30:, 1, 0] = -2.0, 2.0
    state, y = cpu.scan(model, model.init_state(2), xs, 0)
    assert y.decision[-1].tolist() == [1, -1]
    assert (np.diff(y.decision, axis=0) != 0).sum(axis=0).tolist() == [1, 1]
    assert state.drifts.tolist() == [1, 0]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("cls", [CUSUM, SPRT])
def test_tells_direction_and_onset(cls: type, sign: int) -> None:
    model = cls(test=MeanTest(delta=1.0), side="both", false_alarm_every=1e5)
    rng = np.random.default_rng(5)
    xs = np.ones((700, 200, 2))
    xs[..., 0] = rng.normal(size=(700, 200))
    xs[500:, :, 0] += sign * 1.5
    _, y = cpu.scan(model, model.init_state(200), xs, 0)
    early = (y.decision[:500] == 1).any(axis=0)
    alarm = 500 + (y.decision[500:] == 1).argmax(axis=0)[~early]
    stream = np.flatnonzero(~early)
    assert (y.direction[alarm, stream] == sign).all()
    onset = y.onset[alarm, stream]
    assert abs(np.median(onset) - 500) <= 2
    assert np.percentile(onset, 10) > 485
    assert (onset <= alarm).all()
    assert (y.statistic[alarm, stream] >= model.rules.upper).all()


@given(
    values=st.lists(st.floats(-1e300, 1e300), min_size=5, max_size=60),
    missing=st.lists(st.integers(0, 60), max_size=20),
)
def test_missing_records_change_nothing_but_their_count(
    values: list[float], missing: list[int]
) -> None:
    model = CUSUM(test=MeanTest(delta=(0.5, 1.0)), side="both", limit=2.0)
    whole = np.stack([values, np.ones(len(values))], -1)[:, None]
    places = sorted(min(m, len(values)) for m in missing)
    holes = np.insert(whole, places, [[1e9, 0.0]], axis=0)
    _, want = cpu.scan(model, model.init_state(1), whole, 0)
    state, got = cpu.scan(model, model.init_state(1), holes, 0)
    kept = holes[:, 0, 1] > 0
    for name in ("decision", "direction", "statistic", "n"):
        np.testing.assert_array_equal(getattr(got, name)[kept], getattr(want, name))
    assert state.missing.tolist() == [len(missing)]
    assert not (got.decision[~kept] == 1).any()


@given(
    test=st.sampled_from(TESTS[:5]),
    rule=st.sampled_from([{"limit": 0.2}, {"limit": 4.0}, {"alpha": 0.4}, {"alpha": 0.001}]),
    outlier=st.floats(-1e300, 1e300),
    place=st.integers(0, 59),
)
def test_one_record_alone_never_raises_a_drift(
    test, rule: dict, outlier: float, place: int
) -> None:
    cls = CUSUM if "limit" in rule else SPRT
    model = cls(test=test, **rule)
    xs = np.zeros((60, 1, 2))
    xs[..., 1] = 1.0
    xs[place, 0, 0] = outlier
    _, y = cpu.scan(model, model.init_state(1), xs, 0)
    assert not (y.decision == 1).any()


@pytest.mark.parametrize(
    "model",
    [
        CUSUM(test=MeanTest(delta=GRID), side="both", limit=2.0),
        SPRT(test=PoissonTest(), alpha=0.1, repeat=False),
        SPRT(test=DENSITY, alpha=0.1),
    ],
)
def test_keeps_the_model_contract(model: SPRT | CUSUM) -> None:
    check_model(model, ticks=60, new_process=False)


def test_runs_in_the_simulator_and_resumes(tmp_path) -> None:
    model = CUSUM(false_alarm_every=500)
    sim = Simulator(model, batch=2)
    xs = model.example_inputs(400, 2, sim_rng())
    whole = Simulator(model, batch=2).run(xs)
    sim.run(xs[:150])
    sim.save(tmp_path / "half.h5")
    rest = Simulator.load(tmp_path / "half.h5").run(xs[150:])
    np.testing.assert_array_equal(rest["statistic"], whole["statistic"][150:])


def sim_rng():
    from biomem.engine.random import Rng

    return Rng(3)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (CUSUMParams, "limit", 0.0),
        (CUSUMParams, "side", "left"),
        (CUSUMParams, "test", 0.5),
        (CUSUMParams, "false_alarm_every", 1.0),
        (CUSUMParams, "false_alarm_every", math.inf),
        (CUSUMParams, "streams", 0),
        (CUSUMParams, "clip", 0.0),
        (CUSUMParams, "min_records", 0),
        (SPRTParams, "alpha", 0.5),
        (SPRTParams, "beta", 0.0),
        (SPRTParams, "repeat", 1),
    ],
)
def test_refuses_and_names_the_parameter(cls: type, name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=rf"{cls.__name__}\.{name} must be .*, got"):
        cls(**{name: value})


@pytest.mark.parametrize("cls", [CUSUMParams, SPRTParams])
def test_says_what_to_do_about_alarms_too_frequent(cls: type) -> None:
    with pytest.raises(ParameterError, match=r"false_alarm_every must be above .* ask for fewer"):
        cls(false_alarm_every=20.0).limits  # noqa: B018


def test_params_read_back() -> None:
    for params in (SPRTParams.paper(), CUSUMParams(test=MeanTest(delta=GRID), side="both")):
        assert eval(repr(params)) == params
        assert type(params).from_dict(params.to_dict()) == params
    assert SPRTParams.paper(alpha=0.01).alpha == 0.01
