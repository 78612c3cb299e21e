"""Order and gaps against a plain reading of the rule."""

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.stream.clock import GAP, LATE, ON_TIME, REPEATED, Clock

INSTANTS = st.lists(
    st.one_of(
        st.just(60.0), st.just(60.0), st.sampled_from([0.0, -60.0, 61.0, 5e3]), st.floats(-1e4, 1e5)
    ),
    max_size=200,
)


def by_the_rule(instants, factor):
    newest, intervals, verdicts = None, [], []
    for instant in instants:
        if newest is not None and instant <= newest:
            verdicts.append(LATE if instant < newest else REPEATED)
            continue
        verdict = ON_TIME
        if newest is not None:
            window = intervals[-64:]
            if len(window) >= 8 and instant - newest > factor * statistics.median_high(window):
                verdict = GAP
            intervals.append(instant - newest)
        verdicts.append(verdict)
        newest = instant
    return verdicts


def cumulated(steps):
    total, instants = 1e9, []
    for step in steps:
        total += step
        instants.append(total)
    return instants


@given(INSTANTS)
def test_verdicts_follow_the_rule(steps):
    instants = cumulated(steps)
    clock = Clock(10.0)
    assert [clock.judge(instant) for instant in instants] == by_the_rule(instants, 10.0)


@given(INSTANTS, st.integers(0, 200))
def test_a_restored_clock_goes_on_alike(steps, cut):
    instants = cumulated(steps)
    clock = Clock(10.0)
    for instant in instants[:cut]:
        clock.judge(instant)
    restored = Clock(10.0)
    restored.restore(json.loads(json.dumps(clock.to_dict())))
    rest = instants[cut:]
    assert [clock.judge(i) for i in rest] == [restored.judge(i) for i in rest]
    assert clock.to_dict() == restored.to_dict()


def test_a_new_sampling_rate_becomes_normal():
    clock = Clock(50.0)
    fast = [clock.judge(60.0 * i) for i in range(1, 101)]
    slow = [clock.judge(6000.0 + 3600.0 * i) for i in range(1, 101)]
    assert GAP not in fast
    assert slow[0] is GAP
    assert slow[40:] == [ON_TIME] * 60


@pytest.mark.parametrize("factor", [None, 1e300])
def test_gaps_can_be_switched_off(factor):
    clock = Clock(factor)
    assert {clock.judge(float(i)) for i in range(100)} == {ON_TIME}
    assert clock.judge(1e9) is ON_TIME
