"""A detector small enough for many runs, and a series for it."""

import math
from datetime import datetime, timedelta

import pytest

from biomem.models.htm.detector import HTMDetectorParams

START = datetime(2024, 5, 1)


@pytest.fixture(scope="session")
def small():
    p = HTMDetectorParams.for_range(-1.0, 6.0, probation=60)
    return p.replace(
        spatial_pooler=p.spatial_pooler.replace(column_shape=(64,), n_active=6),
        temporal_memory=p.temporal_memory.replace(
            n_columns=64,
            cells_per_column=4,
            activation_threshold=4,
            min_threshold=3,
            max_new_synapses=6,
            max_segments_per_cell=8,
            max_synapses_per_segment=16,
        ),
    )


def rows(start, stop):
    """Hours of a daily rhythm with a day that is out of line."""
    lines = []
    for k in range(start, stop):
        value = round(2 + math.sin(k * math.pi / 12) + (k % 7) / 50, 6)
        if 300 <= k < 324:
            value = 5.5
        lines.append(f"{START + timedelta(hours=k)},{value}\n")
    return "".join(lines)


@pytest.fixture
def series():
    """Return ``series(stop)`` or ``series(start, stop)``: the text, from 0 on with its header."""

    def text(first, stop=None):
        start, stop = (0, first) if stop is None else (first, stop)
        return ("" if start else "time,load\n") + rows(start, stop)

    return text
