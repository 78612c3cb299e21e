"""Several fields as one pattern."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.errors import InputError, ParameterError
from biomem.models.htm.encoders import (
    RDSE,
    CategoryEncoder,
    DateTimeEncoder,
    MultiEncoder,
    ScalarEncoder,
)

PARTS = (
    RDSE(size=400, active_bits=21, resolution=0.5),
    ScalarEncoder(minimum=0, maximum=1, active_bits=5, total_bits=50),
    DateTimeEncoder(time_of_day=(21, 9.49), custom_days=(3, ("sun",))),
    CategoryEncoder(categories=3, active_bits=4),
)


def test_patterns_lie_side_by_side():
    record = MultiEncoder(encoders=PARTS)
    values = [3.5, 0.25, "2024-05-04 12:00", 1]
    alone = [code.encode(value).to_dense() for code, value in zip(PARTS, values, strict=True)]
    pattern = record.encode(values)
    assert pattern.size == record.size == sum(code.size for code in PARTS)
    np.testing.assert_array_equal(pattern.to_dense(), np.concatenate(alone))


def test_missing_field_leaves_only_its_own_bits_out():
    record = MultiEncoder(encoders=PARTS[:2])
    assert list(record.encode([None, 0.0])) == list(range(400, 405))


def test_repr_and_dict_round_trip():
    record = MultiEncoder(encoders=PARTS)
    assert eval(repr(record)) == record
    assert MultiEncoder.from_dict(record.to_dict()) == record


def test_misuse_is_refused_by_name():
    with pytest.raises(InputError, match=r"values must hold 4 fields, got 1"):
        MultiEncoder(encoders=PARTS).encode([1.0])
    for encoders in ((), [PARTS[0]], (None,)):
        with pytest.raises(ParameterError, match=r"encoders must be a tuple of RDSE"):
            MultiEncoder(encoders=encoders)
    with pytest.raises(ParameterError, match=r"kind must be one of .* got 'Other'"):
        MultiEncoder.from_dict({"encoders": [{"kind": "Other"}]})
    with pytest.raises(ParameterError, match=r"has the parameter 'encoders', got \['codes'\]"):
        MultiEncoder.from_dict({"codes": []})
