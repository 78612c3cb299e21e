"""Neighbourhoods against their definition: all points within the radius, edge by edge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.models.htm.spatial_pooler.topology import centre_of, neighbour_table, neighbourhood

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)


def distance(a: int, b: int, size: int, wrap: bool) -> int:
    return min((a - b) % size, (b - a) % size) if wrap else abs(a - b)


@given(shape=shapes, radius=st.integers(0, 7), wrap=st.booleans(), data=st.data())
def test_holds_exactly_the_points_within_the_radius(
    shape: tuple[int, ...], radius: int, wrap: bool, data: st.DataObject
) -> None:
    centre = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    near = [
        i
        for i, at in enumerate(itertools.product(*map(range, shape)))
        if all(distance(a, c, n, wrap) <= radius for a, c, n in zip(at, centre, shape, strict=True))
    ]
    got = neighbourhood(centre, radius, shape, wrap).tolist()
    assert sorted(got) == near


@given(shape=shapes, radius=st.integers(0, 3), wrap=st.booleans())
def test_being_a_neighbour_is_mutual(shape: tuple[int, ...], radius: int, wrap: bool) -> None:
    table = neighbour_table(shape, radius, wrap)
    pairs = {(i, j) for i, row in enumerate(table.tolist()) for j in row if j >= 0}
    assert pairs == {(j, i) for i, j in pairs}
    assert {(i, i) for i in range(len(table))} <= pairs


def test_table_is_shared_and_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        neighbour_table((5,), 1, True)[0, 0] = 3


@given(columns=st.integers(1, 50), inputs=st.integers(1, 200))
def test_centres_are_spread_evenly_over_the_inputs(columns: int, inputs: int) -> None:
    centres = [centre_of(c, (columns,), (inputs,))[0] for c in range(columns)]
    exact = (np.arange(columns) + 0.5) * inputs / columns
    assert centres == sorted(centres)
    assert np.all(np.abs(np.array(centres) + 0.5 - exact) <= 0.5 + 1e-9)
    assert centres[0] >= 0
    assert centres[-1] < inputs
