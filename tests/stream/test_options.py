"""Options: what is refused, and that they travel as JSON."""

import json

import pytest

from biomem.errors import ParameterError
from biomem.stream import ReadOptions


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"timestamp": ""}, "a column name"),
        ({"value": -1}, "a column number >= 0"),
        ({"value": True}, "a column number >= 0"),
        ({"delimiter": ",,"}, "one character"),
        ({"delimiter": '"'}, "one character"),
        ({"delimiter": ",", "decimal": ","}, "another character"),
        ({"decimal": ";"}, "one of '.', ','"),
        ({"header": 1}, "one of 'auto', True, False"),
        ({"format": "xml"}, "one of 'auto', 'csv', 'jsonl'"),
        ({"time_format": "iso8601"}, "a strptime pattern with a year"),
        ({"time_format": "%H:%M"}, "a strptime pattern with a year"),
        ({"tz": "Europe"}, "an IANA time zone"),
        ({"tz": "../etc/passwd"}, "an IANA time zone"),
        ({"tz": None}, "an IANA time zone"),
        ({"missing": "drop"}, "one of 'skip', 'hold'"),
        ({"late": "hold"}, "one of 'skip', 'keep'"),
        ({"duplicate": "last"}, "one of 'skip', 'keep'"),
        ({"last_line": "skip"}, "one of 'use', 'hold'"),
        ({"gap_factor": 1.0}, "a finite number > 1"),
        ({"gap_factor": float("nan")}, "a finite number > 1"),
        ({"max_line_bytes": 8}, "a whole number of bytes"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(changes, expected):
    with pytest.raises(ParameterError, match=r"ReadOptions\.\w+ must be ") as caught:
        ReadOptions(**changes)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        ReadOptions(),
        ReadOptions(timestamp=0, value="load", delimiter=";", decimal=",", header=False),
        ReadOptions(tz="Europe/Berlin", time_format="%d.%m.%Y %H:%M", gap_factor=None),
    ],
)
def test_options_survive_json_and_repr(options):
    assert ReadOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    assert eval(repr(options)) == options
