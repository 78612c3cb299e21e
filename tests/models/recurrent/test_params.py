from __future__ import annotations

import pytest

from biomem.errors import ParameterError
from biomem.models.recurrent import LeakyNetworkParams


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"n_units": 0}, r"n_units must be an integer >= 1, got 0"),
        ({"n_heads": 1.5}, r"n_heads must be an integer >= 1, got 1\.5"),
        ({"n_inputs": True}, r"n_inputs must be an integer >= 1, got True"),
        ({"tau_min": 0.5}, r"tau_min must be finite, >= 1 tick, got 0\.5"),
        ({"tau_low": 3.0}, r"tau_low must be in \[tau_min = 1\.0, tau_high = 2\.0\]"),
        ({"tau_high": float("inf")}, r"tau_low must be in"),
        ({"slope": -0.1}, r"slope must be in \[0, 1\], got -0\.1"),
        ({"h_init": float("nan")}, r"h_init must be finite, >= 0"),
        ({"dtype": "float16"}, r"dtype must be 'float32' or 'float64'"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes, named):
    with pytest.raises(ParameterError, match=rf"LeakyNetworkParams\.{named}"):
        LeakyNetworkParams(**changes)
