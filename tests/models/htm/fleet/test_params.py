"""What a fleet's parameters allow."""

import pytest

from biomem.errors import ParameterError
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.fleet import HTMFleetParams


def test_a_fleet_without_a_bound_on_memory_is_refused():
    with pytest.raises(ParameterError, match="max_segments must be given, got None"):
        HTMFleetParams(detector=HTMDetectorParams.for_range(0, 1, max_segments=None))


@pytest.mark.parametrize("records", [-1, 21, 1.5, True])
def test_the_range_is_learned_within_the_probation(records):
    with pytest.raises(ParameterError, match=r"range_records must be an integer in \[0, 20\]"):
        HTMFleetParams.light(probation=20, range_records=records)


def test_light_learns_the_range_unless_it_is_given():
    assert HTMFleetParams.light().range_records == 100
    assert HTMFleetParams.light(probation=30).range_records == 30
    assert HTMFleetParams.light(0, 130).range_records == 0
    assert HTMFleetParams.light(0, 130).detector.value.r == pytest.approx(1.4)
    assert HTMFleetParams.light(0, 130, range_records=50).range_records == 50
    assert HTMFleetParams.light(range_rule=True).detector.range_rule


def test_half_a_range_is_refused():
    with pytest.raises(ParameterError, match="give minimum and maximum or neither, got 1 and None"):
        HTMFleetParams.light(1)
