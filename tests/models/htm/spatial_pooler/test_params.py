"""What a Spatial Pooler refuses to be built from, and the text it refuses with."""

from __future__ import annotations

import math

import pytest

from biomem.errors import ParameterError
from biomem.models.htm.spatial_pooler import SpatialPoolerParams


def params(**changes: object) -> SpatialPoolerParams:
    return SpatialPoolerParams(**{"input_shape": (100,), "column_shape": (64,), **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"input_shape": 100}, r"input_shape must be a tuple of ints >= 1, got 100; .*\(400,\)"),
        ({"input_shape": ()}, r"input_shape must be a tuple of ints >= 1, got \(\)"),
        ({"column_shape": (64, 0)}, r"column_shape must be a tuple of ints >= 1, got \(64, 0\)"),
        ({"column_shape": (2**20, 2**20)}, r"column_shape must be of fewer than 2\*\*31 elements"),
        ({"column_shape": (8, 8)}, r"same rank as input_shape \(100,\), got \(8, 8\); add axes"),
        ({"potential_radius": -1}, "potential_radius must be an int >= 0, or None for all inputs"),
        ({"potential_radius": 2.5}, "potential_radius must be an int >= 0"),
        ({"potential_pct": 0.0}, r"potential_pct must be a number in \(0, 1\], got 0.0"),
        ({"potential_pct": math.nan}, r"potential_pct must be a number in \(0, 1\], got nan"),
        ({"potential_pct": "0.5"}, "potential_pct must be a number"),
        ({"global_inhibition": 1}, "global_inhibition must be True or False, got 1"),
        ({"learn": "yes"}, "learn must be True or False, got 'yes'"),
        (
            {"local_area_density": 0.6},
            r"local_area_density must be a number in \(0, 0.5\], got 0.6",
        ),
        ({"local_area_density": 0.01}, "local_area_density must be at least 1/64, so that one"),
        ({"n_active": 5}, "exactly one of local_area_density and n_active .* got 0.05 and 5; set"),
        ({"local_area_density": None}, "exactly one of .* got None and None"),
        ({"local_area_density": None, "n_active": 33}, r"n_active must be an int in \[1, 32\]"),
        ({"local_area_density": None, "n_active": 0}, r"n_active must be an int in \[1, 32\]"),
        ({"stimulus_threshold": 18}, r"an int in \[0, 17\], .*smallest pool, got 18; lower it"),
        ({"stimulus_threshold": -1}, "stimulus_threshold must be an int in"),
        ({"perm_active_inc": 1.5}, r"perm_active_inc must be a number in \[0, 1\], got 1.5"),
        ({"perm_inactive_dec": -0.1}, r"perm_inactive_dec must be a number in \[0, 1\], got -0.1"),
        ({"perm_connected": 0.0}, r"perm_connected must be a number in \[1e-5, 1\], got 0.0"),
        ({"min_pct_overlap_duty_cycle": 2}, "min_pct_overlap_duty_cycle must be a number in"),
        ({"duty_cycle_period": 0}, "duty_cycle_period must be an int >= 1, got 0"),
        ({"boost_strength": 81.0}, r"boost_strength must be a number in \[0, 80\], got 81.0"),
        ({"wrap_around": None}, "wrap_around must be True or False, got None"),
        ({"seed": -1}, r"seed must be an int in \[0, 2\*\*64\), got -1"),
        ({"seed": 2**64}, "seed must be an int in"),
    ],
)
def test_refuses_what_it_cannot_be_built_from(changes: dict, text: str) -> None:
    with pytest.raises(ParameterError, match=text):
        params(**changes)


def test_refuses_local_inhibition_on_a_cube_of_columns() -> None:
    shapes = {"input_shape": (4, 4, 4), "column_shape": (4, 4, 4)}
    assert params(**shapes).n_columns == 64
    with pytest.raises(ParameterError, match="global_inhibition must be True when columns have mo"):
        params(**shapes, global_inhibition=False)


def test_clipped_corners_have_the_smallest_pools() -> None:
    shapes = {"input_shape": (20, 20), "column_shape": (20, 20), "potential_radius": 3}
    assert params(**shapes, potential_pct=1.0).smallest_pool == 49
    assert params(**shapes, potential_pct=1.0, wrap_around=False).smallest_pool == 16
    assert params(stimulus_threshold=17).smallest_pool == 17


def test_nab_parameters_are_those_of_the_benchmark() -> None:
    nab = SpatialPoolerParams.nab(learn=False)
    assert (nab.n_inputs, nab.n_columns, nab.n_active) == (454, 2048, 40)
    assert (nab.perm_active_inc, nab.perm_inactive_dec) == (0.003, 0.0005)
    assert (nab.perm_connected, nab.boost_strength, nab.seed) == (0.2, 0.0, 1956)
    assert (nab.smallest_pool, nab.learn) == (363, False)


def test_reads_back_from_repr_and_json() -> None:
    nab = SpatialPoolerParams.nab()
    assert eval(repr(nab)) == nab
    assert SpatialPoolerParams.from_dict(nab.to_dict()) == nab
