"""The picture of a weight matrix."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import sparse

from biomem.errors import InputError
from biomem.viz.weights import weight_matrix


def matrix(pre=7, post=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(pre, post)) * (rng.random((pre, post)) < 0.5)


def test_sources_run_along_x_and_targets_along_y():
    w = matrix()
    csr = sparse.csr_matrix(w)
    for given in (w, csr, sparse.coo_matrix(w), (csr.indptr, csr.indices, csr.data)):
        ax = weight_matrix(given, n_post=None if not isinstance(given, tuple) else 5)
        np.testing.assert_array_equal(ax.images[0].get_array(), w.T)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("pre (source)", "post (target)")
        assert ax.get_xlim() == (-0.5, 6.5)
        assert ax.get_ylim() == (-0.5, 4.5)


def test_zero_is_the_middle_of_the_colours():
    image = weight_matrix(np.array([[0.0, 0.1], [-2.0, 0.2]])).images[0]
    assert image.norm.vmin == -image.norm.vmax
    assert 1.0 < image.norm.vmax <= 2.0


def test_synapses_between_the_same_two_add_up():
    image = weight_matrix(([0, 3], [1, 0, 1], [0.5, 1.0, 0.25])).images[0]
    np.testing.assert_array_equal(image.get_array(), [[1.0], [0.75]])


def test_a_large_matrix_is_drawn_as_means_of_blocks():
    ones = np.ones((1300, 700))
    ax = weight_matrix(ones, title="large", ax=Figure().subplots())
    ax.figure.draw_without_rendering()
    image = ax.images[0].get_array()
    assert image.shape == (350, 434)
    np.testing.assert_allclose(image, 1.0)  # at the edges too, where blocks are cut
    assert ax.get_xlim() == (-0.5, 1299.5)


@pytest.mark.parametrize(
    "given", [np.zeros((0, 0)), np.zeros((3, 2)), ([0], [], []), ([0, 0], [], [])]
)
def test_no_weights_give_an_empty_picture(given):
    ax = weight_matrix(given)
    assert ax.get_xlabel() == "pre (source)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros(3), "must be a matrix"),
        (np.array([[np.inf]]), "finite"),
        (([0, 1], [0]), "got 2 parts"),
        (([0, 1], [0], [1.0, 2.0]), "one shape"),
        (([0, 2], [0], [1.0]), r"indptr must rise from 0 to len\(indices\) = 1"),
        (([0, 1, 0, 1], [0], [1.0]), "indptr must rise"),
        (([0, 1], [-1], [1.0]), "indices must lie"),
    ],
)
def test_refusals(given, said):
    with pytest.raises(InputError, match=said):
        weight_matrix(given)
    with pytest.raises(InputError, match=r"indices must lie in \[0, 3\), got up to 4"):
        weight_matrix(([0, 1], [4], [1.0]), n_post=3)
