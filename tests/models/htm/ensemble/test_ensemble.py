"""The ensemble: the mean of its members, judged by the shared likelihood, told once."""

import math

import numpy as np
import pytest

from biomem import AnomalyLikelihood, HTMDetector, Simulator
from biomem.errors import ParameterError
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.ensemble import HTMEnsemble, HTMEnsembleParams, HTMMember
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams
from biomem.testing import check_model
from biomem.testing.contract import persistent

JUDGE = AnomalyLikelihoodParams(
    learning_period=20, estimation_samples=10, historic_window=60, reestimation_period=7
)


def one(resolution: float, timed: bool) -> HTMDetectorParams:
    value = RDSE(size=300, active_bits=15, resolution=resolution)
    time = DateTimeEncoder(time_of_day=(7, 6.0)) if timed else None
    bits = value.size + (time.size if time else 0)
    return HTMDetectorParams(
        value=value,
        time=time,
        spatial_pooler=SpatialPoolerParams.nab((bits,), column_shape=(128,), n_active=8),
        temporal_memory=TemporalMemoryParams(
            n_columns=128,
            cells_per_column=6,
            activation_threshold=5,
            min_threshold=3,
            max_new_synapses=7,
            max_segments_per_cell=3,
            max_synapses_per_segment=9,
        ),
        likelihood=JUDGE.replace(historic_window=20),
    )


def params(**changes) -> HTMEnsembleParams:
    members = (
        HTMMember(detector=one(1.0, True)),
        HTMMember(detector=one(0.05, False), centre=50.0, scale=4.0),
    )
    values = {"members": members, "likelihood": JUDGE, "range_rule": True, "quiet": 5}
    return HTMEnsembleParams(**{**values, **changes})


def inputs(n: int = 160) -> np.ndarray:
    from biomem.engine.random import Rng

    xs = HTMEnsemble(params()).example_inputs(n, 1, Rng(3))
    xs[120:130, 0, 0] = [200, 205, -90, 180, 300, 12, 50, 1e300, 20, 1e9]
    return xs


def test_the_ensemble_keeps_the_contract() -> None:
    check_model(HTMEnsemble(params()), ticks=20, new_process=False)


@pytest.mark.parametrize("changes", [{}, {"quiet": 0, "range_rule": False}])
def test_kernel_equals_reference_bit_for_bit(changes: dict) -> None:
    model, xs = HTMEnsemble(params(**changes)), inputs()
    a, b = Simulator(model, backend="numpy"), Simulator(model, backend="numba", chunk=33)
    want, got = a.run(xs), b.run(xs)
    for field in want:
        np.testing.assert_array_equal(want[field], got[field], err_msg=field)
    other = persistent(b)
    for field, array in persistent(a).items():
        np.testing.assert_array_equal(array, other[field], err_msg=field)


def test_it_is_the_mean_of_its_members_judged_once_and_told_once() -> None:
    p, xs = params(), inputs()
    out = Simulator(HTMEnsemble(p)).run(xs)
    raws = []
    for member in p.members:
        seen = xs.copy()
        seen[:, 0, 0] = [member.seen(v) for v in xs[:, 0, 0]]
        raws.append(Simulator(HTMDetector(member.detector)).run(seen)["raw"][:, 0])
    np.testing.assert_array_equal(out["raw"][:, 0], (raws[0] + raws[1]) / 2)
    pairs = np.stack([out["raw"][:, 0], xs[:, 0, 0]], axis=-1)
    judged = Simulator(AnomalyLikelihood(JUDGE)).run(pairs)
    log = judged["log_likelihood"][:, 0]
    np.testing.assert_array_equal(out["log_likelihood"][:, 0], log)
    score = out["score"][:, 0]
    low, high = xs[0, 0, 0], xs[0, 0, 0]
    told: list[float] = []
    for t, v in enumerate(xs[:, 0, 0]):
        margin = 0.05 * (high - low)
        far = high > low and not low - margin <= v <= high + margin
        now = 1.0 if far else log[t]
        assert score[t] == (now if now > max(told[-5:], default=-1) else now / 2), t
        told.append(now)
        low, high = min(low, v), max(high, v)
    assert (score == 1.0).sum() >= 1
    assert (score == 0.5).sum() >= 1


def test_the_pair_takes_its_second_scale_from_what_is_known() -> None:
    known = [10.0, 12.0, 14.0, 16.0, 900.0]
    p = HTMEnsembleParams.pair(0.0, 1000.0, known, probation=100, seed=2)
    first, second = p.members
    assert first.seen(3.0) == 3.0
    assert second.centre == 14.0
    assert second.scale == pytest.approx(2.0 * 1.4826, rel=1e-4)
    assert second.seen(14.0) == 0.0
    assert second.seen(1e308) == second.seen(math.inf) < 1e3
    assert first.detector.time is not None
    assert second.detector.time is None
    assert first.detector.spatial_pooler.seed == 1958
    flat = HTMEnsembleParams.pair(0.0, 1.0, [5.0, 5.0, 5.0])
    assert flat.members[1].scale == 1.0
    assert HTMEnsembleParams.pair(0.0, 1.0, [0.0, 0.0, 0.0, 3.0]).members[1].scale < 2.0
    assert eval(repr(p), {**globals()}) == p


def test_the_trio_is_the_pair_with_its_first_htm_once_more() -> None:
    known = [10.0, 12.0, 14.0, 16.0, 900.0]
    given = {"probation": 100, "time_of_day": False, "quiet": 9}
    pair = HTMEnsembleParams.pair(0.0, 1000.0, known, seed=2, **given)
    trio = HTMEnsembleParams.trio(0.0, 1000.0, known, seed=2, **given)
    first, again, last = trio.members
    assert (first, last) == pair.members
    pooler, memory = again.detector.spatial_pooler, again.detector.temporal_memory
    other = HTMEnsembleParams.pair(0.0, 1000.0, known, seed=1002, **given).members[0]
    assert again == other
    assert pooler.seed != first.detector.spatial_pooler.seed
    assert memory.seed != first.detector.temporal_memory.seed
    assert again.detector.value == first.detector.value
    assert trio.likelihood == pair.likelihood.replace(averaging_window=12, forgotten=0.25)
    assert trio.quiet == 9
    more = HTMEnsembleParams.trio(0.0, 1000.0, known, seed=2, copies=2, **given)
    assert more.members[:2] == trio.members[:2]
    assert more.members[4] == trio.members[2]
    seeds = [m.detector.temporal_memory.seed for m in more.members]
    assert len(set(seeds[:4])) == 4
    assert len(set(seeds[4:])) == 2
    assert [m.scale is None for m in more.members] == [True] * 4 + [False] * 2
    assert eval(repr(trio), {**globals()}) == trio
    judged = HTMEnsembleParams.trio(0.0, 1.0, known, likelihood=JUDGE, members=pair.members)
    assert (judged.likelihood, judged.members) == (JUDGE, pair.members)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: params(members=()), "members must be a tuple of HTMMember, not empty"),
        (lambda: params(quiet=-1), "quiet must be an integer >= 0"),
        (lambda: params(range_fraction=-0.1), "range_fraction must be finite and >= 0"),
        (lambda: HTMMember(detector=one(1.0, True), scale=1.0), "give centre and scale or neither"),
        (lambda: HTMMember(detector=one(1.0, True), centre=0.0, scale=0.0), "scale must be finite"),
        (lambda: HTMEnsembleParams.trio(0.0, 1.0, [1.0], copies=0), "copies must be an integer"),
        (lambda: HTMEnsembleParams.pair(0.0, 1.0, []), "known must hold finite values"),
        (lambda: HTMEnsembleParams.pair(0.0, 1.0, [math.nan]), "known must hold finite values"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(build, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        build()
