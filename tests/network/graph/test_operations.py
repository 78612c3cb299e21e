"""Sums of nodes without a state: NumPy adds up input by input, whatever stands beside it."""

from __future__ import annotations

import numpy as np
import pytest

from biomem.network.graph import Affine, Conv2d, SumPool2d
from biomem.network.graph.operations import apply

SOFT = ("atan", 2.0)


def drawn(*shape, density=0.7, dtype=np.float32):
    draw = np.random.default_rng(sum(shape))
    return np.where(draw.random(shape) < density, draw.normal(size=shape), 0.0).astype(dtype)


@pytest.mark.parametrize("density", [0.1, 1.0])
def test_a_product_adds_up_in_the_order_of_inputs(density):
    w, b, x = drawn(3, 9, 70), drawn(3, 9), drawn(5, 3, 70, density=density)
    part = Affine.of(w, b)
    found = apply(part.node, {"weight": w, "bias": b}, x, (3, 9), SOFT)
    for place in np.ndindex(5, 3, 9):
        total = np.float32(0)
        for q in range(70):
            total += w[*place[1:], q] * x[*place[:2], q]
        assert found[place] == total + b[place[1:]]
    assert found.dtype == np.float32


def test_a_convolution_adds_up_by_channel_row_and_column():
    w, x = drawn(4, 3, 2, 3), drawn(2, 6, 5, 6)
    part = Conv2d.of(w, groups=2, stride=(1, 2), padding=1)
    shape = part.node.gives((6, 5, 6))
    found = apply(part.node, {"weight": w}, x, shape, SOFT)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for n, o, y, z in np.ndindex(2, *shape):
        total = np.float32(0)
        for c, i, j in np.ndindex(3, 2, 3):
            total += w[o, c, i, j] * wide[n, o // 2 * 3 + c, y + i, 2 * z + j]
        assert found[n, o, y, z] == total


@pytest.mark.parametrize("batch", [1, 3])
def test_no_stream_hears_of_another(batch):
    w, x = drawn(40, 90), drawn(7, 90)
    part = Affine.of(w)
    whole = apply(part.node, {"weight": w}, x, (40,), SOFT)
    parts = [
        apply(part.node, {"weight": w}, x[k : k + batch], (40,), SOFT) for k in range(0, 7, batch)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_sums_of_nothing_are_positive_zeros():
    x = np.full((1, 1, 2, 2), -0.0)
    pool = SumPool2d(kernel_size=2)
    assert not np.signbit(apply(pool, {}, x, (1, 1, 1), SOFT)).any()
    matrix = Affine.of([[-1.0, -2.0]])
    assert not np.signbit(apply(matrix.node, matrix.arrays, x[0, 0], (1,), SOFT)).any()
