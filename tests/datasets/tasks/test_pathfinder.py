from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from biomem.datasets.tasks import Pathfinder
from biomem.engine.random import Rng
from biomem.errors import ParameterError

EIGHT = np.ones((3, 3), int)


@given(seed=st.integers(0, 2**64 - 1), step=st.integers(0, 1000))
def test_the_dots_are_connected_by_a_path_just_when_the_label_says_so(seed, step):
    scene = Pathfinder().scene(step, Rng(seed), 3)
    # What is connected is found anew from the bare pixels, gaps filled.
    parts, count = ndimage.label(scene.paths > 0, EIGHT)
    assert count == 5
    one, other = (parts[row, column] for row, column in scene.dots)
    assert one > 0
    assert other > 0
    assert (one == other) == bool(scene.label)


@pytest.mark.parametrize("task", [Pathfinder(), Pathfinder(size=64, n_dashes=9, n_distractors=6)])
def test_paths_are_lines_apart_from_each_other_and_dots_are_their_ends(task):
    for lane in range(12):
        scene = task.scene(0, Rng(1), lane)
        for number in range(1, 3 + task.n_distractors):
            own = scene.paths == number
            grown = ndimage.binary_dilation(own, EIGHT)
            assert not (grown & (scene.paths > 0) & ~own).any()
            inked = own & (scene.picture > 0)
            n_dashes = task.n_dashes if number <= 2 else 2
            # Each dash is a piece of its own, but for the dots, which may bridge to the next.
            pieces = ndimage.label(inked, EIGHT)[1]
            assert n_dashes - 2 <= pieces <= n_dashes
        for row, column in scene.dots:
            assert (scene.picture[row - 1 : row + 2, column - 1 : column + 2] == 1.0).all()
            around = scene.paths[row - 1 : row + 2, column - 1 : column + 2]
            # An end has neighbours of its path to one side only.
            assert 1 < (around > 0).sum() <= 4
        dotted = {int(scene.paths[row, column]) for row, column in scene.dots}
        assert dotted == ({1} if scene.label else {1, 2})
        assert set(np.unique(scene.picture)) == {0.0, 1.0}


def test_labels_are_balanced_and_pictures_do_not_give_them_away_by_their_ink():
    batch = Pathfinder(batch_size=400)(0, Rng(2))
    assert batch.x.shape == (1024, 400, 1)
    assert 0.43 < batch.y.mean() < 0.57
    ink = batch.x.sum(axis=(0, 2))
    yes, no = ink[batch.y == 1], ink[batch.y == 0]
    assert abs(yes.mean() - no.mean()) < 4 * ink.std() / np.sqrt(100)


def test_the_sequence_is_the_picture_row_by_row():
    task = Pathfinder(batch_size=3)
    batch = task(5, Rng(0))
    scene = task.scene(5, Rng(0), 2)
    np.testing.assert_array_equal(batch.x[:, 2, 0].reshape(32, 32), scene.picture)
    assert batch.y[2] == scene.label


def test_too_many_paths_are_refused():
    with pytest.raises(ParameterError, match="32 paths do not fit into 16 x 16 pixels"):
        Pathfinder(size=16, n_distractors=30)(0, Rng(0))
    with pytest.raises(ParameterError, match=r"Pathfinder\.size must be an integer >= 16"):
        Pathfinder(size=8)
    with pytest.raises(ParameterError, match=r"Pathfinder\.dash must be >= 1 pixel"):
        Pathfinder(dash=0.5)
