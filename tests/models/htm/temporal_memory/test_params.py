"""Parameters of the Temporal Memory: presets, refusals, a way back from their repr."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from biomem.errors import BiomemWarning, ParameterError
from biomem.models.htm.temporal_memory import TemporalMemoryParams
from biomem.models.htm.temporal_memory.params import constants, row_stride


def test_presets_are_the_settings_of_nab() -> None:
    nab, tm_cpp = TemporalMemoryParams.nab(), TemporalMemoryParams.nab_tm_cpp()
    assert (nab.activation_threshold, nab.min_threshold) == (13, 10)
    assert (nab.initial_permanence, nab.permanence_inc, nab.permanence_dec) == (0.21, 0.1, 0.1)
    assert (nab.max_new_synapses, nab.max_synapses_per_segment) == (20, 32)
    assert (nab.max_segments_per_cell, nab.predicted_segment_dec, nab.seed) == (128, 0.0, 1960)
    assert (tm_cpp.activation_threshold, tm_cpp.min_threshold) == (20, 13)
    assert (tm_cpp.permanence_inc, tm_cpp.permanence_dec) == (0.04, 0.008)
    assert (tm_cpp.initial_permanence, tm_cpp.predicted_segment_dec) == (0.24, 0.001)
    assert (tm_cpp.max_new_synapses, tm_cpp.max_synapses_per_segment) == (31, 128)


def test_presets_take_changes() -> None:
    assert TemporalMemoryParams.nab(seed=7).seed == 7
    assert TemporalMemoryParams.nab_tm_cpp(n_columns=64).n_columns == 64


@pytest.mark.parametrize(
    "params",
    [TemporalMemoryParams(), TemporalMemoryParams.nab(max_segments=100, prune="weakest")],
)
def test_parameters_come_back_from_repr_and_json(params: TemporalMemoryParams) -> None:
    assert eval(repr(params)) == params
    assert TemporalMemoryParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"n_columns": 0}, r"n_columns must be an integer in \[1, "),
        ({"cells_per_column": 2.0}, r"cells_per_column must be an integer"),
        ({"activation_threshold": True}, r"activation_threshold must be an integer"),
        ({"n_columns": 2**20, "cells_per_column": 2**12}, r"n_columns \* cells_per_column"),
        ({"min_threshold": 14}, r"min_threshold must be at most activation_threshold \(13\)"),
        ({"max_synapses_per_segment": 19}, r"max_new_synapses must be at most max_synapses"),
        (
            {"max_synapses_per_segment": 12, "max_new_synapses": 12},
            r"activation_threshold must be at most max_synapses_per_segment \(12\)",
        ),
        ({"max_synapses_per_segment": 2**14 + 1}, r"max_synapses_per_segment must be an integer"),
        ({"max_segments": 0}, r"max_segments must be an integer in"),
        ({"permanence_inc": 1.5}, r"permanence_inc must be in \[0, 1\], got 1.5"),
        ({"permanence_dec": -0.1}, r"permanence_dec must be in"),
        ({"predicted_segment_dec": float("nan")}, r"predicted_segment_dec must be in"),
        ({"initial_permanence": 0.0}, r"initial_permanence must be in \[1e-6, 1\]"),
        ({"connected_permanence": 1.01}, r"connected_permanence must be in"),
        ({"prune": "oldest"}, r"prune must be one of \('lru', 'weakest'\), got 'oldest'"),
        ({"destroy_below": "never"}, r"destroy_below must be one of"),
        ({"burst_winner": "first"}, r"burst_winner must be one of"),
        ({"learn": 1}, r"learn must be True or False, got 1"),
        ({"seed": -1}, r"seed must be in"),
    ],
)
def test_refusals_name_the_parameter(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        TemporalMemoryParams(**changes)


def test_a_segment_that_cannot_grow_to_activity_is_warned_of() -> None:
    with pytest.warns(BiomemWarning, match=r"max_new_synapses \(8\) is below activation_thresh"):
        TemporalMemoryParams(max_new_synapses=8)


@pytest.mark.parametrize(("limit", "stride"), [(13, 16), (32, 32), (33, 64), (255, 256)])
def test_rows_are_a_power_of_two_long(limit: int, stride: int) -> None:
    params = TemporalMemoryParams(
        max_synapses_per_segment=limit, max_new_synapses=13, min_threshold=1
    )
    assert row_stride(params) == stride


def test_constants_are_rounded_once() -> None:
    c = constants(TemporalMemoryParams(permanence_inc=0.1, max_segments=7))
    assert c.increment == np.float32(0.1)
    assert c.increment.dtype == np.float32
    assert c.max_segments == 7
    # A synapse raised from 0.2 to 0.5 in float32 steps of 0.1 counts as connected.
    assert np.float32(0.2) + 3 * np.float32(0.1) >= c.connected
