"""What the nodes without a state do to a signal; on the Array API."""

from __future__ import annotations

from typing import Any

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
        y = xp.matmul(arrays["weight"], x[..., None])[..., 0]
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


def _convolve(node: Conv2d, weight: Array, x: Array, shape: tuple[int, ...]) -> Array:
    xp, groups = namespace(x), node.groups
    batch, (_, rows, columns) = x.shape[0], shape
    inner, outer = node.in_channels // groups, node.out_channels // groups
    total = None
    for (i, j), patch in _patches(node.windows, x, shape):
        split = xp.reshape(patch, (batch, groups, inner, rows * columns))
        taps = xp.reshape(weight[:, :, i, j], (groups, outer, inner))
        part = xp.matmul(taps, split)
        total = part if total is None else total + part
    return xp.reshape(total, (batch, *shape))


def _sum_windows(windows: Windows, x: Array, shape: tuple[int, ...]) -> Array:
    total = None
    for _, patch in _patches(windows, x, shape):
        total = patch if total is None else total + patch
    assert total is not None
    return total
