"""What the nodes without a state do to a signal; on the Array API.

NumPy adds up what the inputs bring one by one, in their order: channel, then row and column of the
window. So a sum has the same bits for any batch and any BLAS, and compiled code can have them too.
CuPy and torch multiply matrices, whose order is their library's choice.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from biomem.backends import namespace
from biomem.network.graph.nodes import (
    Affine,
    AvgPool2d,
    Conv2d,
    Flatten,
    Node,
    Scale,
    SumPool2d,
    Threshold,
)
from biomem.network.graph.surrogate import fire
from biomem.network.graph.windows import Windows
from biomem.typing import Array

__all__ = ["apply"]


def apply(
    node: Node, arrays: dict[str, Array], x: Array, shape: tuple[int, ...], soft: tuple[str, float]
) -> Array:
    """Return the output of a node without state.

    Parameters
    ----------
    node : Node
    arrays : dict of str to array
        The node's own.
    x : array, shape ``(batch, *input)``
    shape : tuple of int
        Of the output, without batch.
    soft : tuple of str and float
        Surrogate of a `Threshold` and its slope.
    """
    xp = namespace(x)
    if isinstance(node, Affine):
        y = _multiply(arrays["weight"], x)
        return y + arrays["bias"] if node.bias else y
    if isinstance(node, Conv2d):
        y = _convolve(node, arrays["weight"], x, shape)
        return y + arrays["bias"][:, None, None] if node.bias else y
    if isinstance(node, SumPool2d | AvgPool2d):
        y = _sum_windows(node.windows, x, shape)
        size = node.windows.size
        return y / (size[0] * size[1]) if isinstance(node, AvgPool2d) else y
    if isinstance(node, Flatten):
        return xp.reshape(x, (x.shape[0], *shape))
    if isinstance(node, Scale):
        return arrays["scale"] * x
    if isinstance(node, Threshold):
        return fire(x - arrays["threshold"], False, *soft)
    return x


def _patches(windows: Windows, x: Array, shape: tuple[int, ...]) -> Any:
    """Yield each place in a window with what all windows have there, (batch, channel, row, col)."""
    xp = namespace(x)
    for axis, (before, after) in enumerate(zip(windows.before, windows.after, strict=True), 2):
        parts = [x]
        for n, first in ((before, True), (after, False)):
            if n:
                pad = list(x.shape)
                pad[axis] = n
                zeros = xp.zeros_like(x[:, :1, :1, :1]) + xp.zeros(
                    tuple(pad), dtype=x.dtype, device=getattr(x, "device", None)
                )
                parts.insert(0 if first else len(parts), zeros)
        x = xp.concat(parts, axis=axis) if len(parts) > 1 else x
    (rows, columns), stride, dilation = shape[1:], windows.stride, windows.dilation
    for i in range(windows.size[0]):
        for j in range(windows.size[1]):
            top, left = i * dilation[0], j * dilation[1]
            yield (
                (i, j),
                x[
                    :,
                    :,
                    top : top + (rows - 1) * stride[0] + 1 : stride[0],
                    left : left + (columns - 1) * stride[1] + 1 : stride[1],
                ],
            )


def _multiply(weight: Array, x: Array) -> Array:
    """Return the matrix, or each of a stack, times the last axis of `x`."""
    if not array_api_compat.is_numpy_array(x):
        return namespace(x).matmul(weight, x[..., None])[..., 0]
    total = np.zeros((*x.shape[:-1], weight.shape[-2]), x.dtype)
    for q in np.flatnonzero(x.reshape(-1, x.shape[-1]).any(axis=0)):
        total = total + weight[..., q] * x[..., q, None]
    return total


def _convolve(node: Conv2d, weight: Array, x: Array, shape: tuple[int, ...]) -> Array:
    xp, groups = namespace(x), node.groups
    batch, (_, rows, columns) = x.shape[0], shape
    inner, outer = node.in_channels // groups, node.out_channels // groups
    if array_api_compat.is_numpy_array(x):
        kernel = weight.reshape(groups, outer, inner, *weight.shape[2:], 1, 1)
        patches = [
            (place, patch.reshape(batch, groups, 1, inner, rows, columns))
            for place, patch in _patches(node.windows, x, shape)
        ]
        sums = np.zeros((batch, groups, outer, rows, columns), x.dtype)
        for c in range(inner):
            for (i, j), patch in patches:
                sums = sums + kernel[:, :, c, i, j] * patch[:, :, :, c]
        return sums.reshape(batch, *shape)
    total = None
    for (i, j), patch in _patches(node.windows, x, shape):
        split = xp.reshape(patch, (batch, groups, inner, rows * columns))
        taps = xp.reshape(weight[:, :, i, j], (groups, outer, inner))
        part = xp.matmul(taps, split)
        total = part if total is None else total + part
    return xp.reshape(total, (batch, *shape))


def _sum_windows(windows: Windows, x: Array, shape: tuple[int, ...]) -> Array:
    total = namespace(x).zeros_like(x[:, :, :1, :1])
    for _, patch in _patches(windows, x, shape):
        total = total + patch
    return total
