"""The picture of a weight matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.errors import InputError
from biomem.typing import FloatArray
from biomem.viz.axes import new_axes, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["weight_matrix"]

_CELLS = 600  # most along one side, about one a pixel


def weight_matrix(
    weights: ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike],
    *,
    n_post: int | None = None,
    label: str = "weight",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw weights from sources (x axis) to targets (y axis), white at zero.

    Parameters
    ----------
    weights : array_like of shape ``(pre, post)``, or ``(indptr, indices, data)``
        Dense, or in CSR by source: source ``i`` reaches ``indices[indptr[i]:indptr[i + 1]]``.
        A CSR matrix of SciPy will do. Synapses between the same two add up.
    n_post : int, optional
        Number of targets of a CSR; default up to the largest.
    label : str
        Of the colour bar; units belong to it.
    title, ax : optional

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        Another shape, boundaries or indices that do not fit, or weights that are not finite.

    Notes
    -----
    Excitation is red, inhibition blue, on one scale for both that ends at the 98th percentile of
    the sizes. A matrix of more than 600 rows or columns is drawn as the means over equal blocks of
    pairs, absent synapses counting as zero.
    """
    pre, post, data, shape = _synapses(weights, n_post)
    axes = new_axes(ax, (5.4, 4.6))
    block = [max(1, -(-n // _CELLS)) for n in shape]
    cells = [-(-n // b) for n, b in zip(shape, block, strict=True)]
    flat = np.bincount(
        pre // block[0] * cells[1] + post // block[1], data, minlength=cells[0] * cells[1]
    )
    image = flat.reshape(cells)
    is_coarse = max(block) > 1
    if is_coarse:
        area = [
            np.minimum(b, n - b * np.arange(c)) for n, b, c in zip(shape, block, cells, strict=True)
        ]
        image = image / np.outer(*area)
    size = np.abs(image[image != 0])
    # One weight that is far larger than the rest must not bleach all others.
    limit = float(np.percentile(size, 98)) if size.size else 1.0
    if image.size:
        drawing = axes.imshow(
            image.T,
            origin="lower",
            aspect="auto",
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            extent=(-0.5, cells[0] * block[0] - 0.5, -0.5, cells[1] * block[1] - 0.5),
        )
        axes.figure.colorbar(
            drawing,
            ax=axes,
            label=f"mean {label}" if is_coarse else label,
            extend="both" if size.max(initial=0.0) > limit else "neither",
        )
    axes.set_xlim(-0.5, max(1, shape[0]) - 0.5)
    axes.set_ylim(-0.5, max(1, shape[1]) - 0.5)
    for axis in (axes.xaxis, axes.yaxis):
        whole_numbers(axis)
    axes.set(xlabel="pre (source)", ylabel="post (target)")
    if title:
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", parse_math=False)
    return axes


class _Synapses(NamedTuple):
    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    data: FloatArray
    shape: tuple[int, int]


def _synapses(weights: Any, n_post: int | None) -> _Synapses:
    if hasattr(weights, "tocsr"):
        n_post = weights.shape[1] if n_post is None else n_post
        matrix = weights.tocsr()
        weights = matrix.indptr, matrix.indices, matrix.data
    if isinstance(weights, tuple):
        return _from_csr(weights, n_post)
    dense = np.asarray(weights)
    if dense.ndim != 2 or dense.dtype.kind not in "biuf":
        raise InputError(
            "weights must be a matrix (pre, post) or a tuple (indptr, indices, data), "
            f"got {dense.dtype} {dense.shape}"
        )
    pre, post = np.nonzero(dense)
    return _finite(_Synapses(pre, post, dense[pre, post].astype(np.float64), dense.shape))


def _from_csr(parts: tuple[Any, ...], n_post: int | None) -> _Synapses:
    if len(parts) != 3:
        raise InputError(f"weights as CSR must be (indptr, indices, data), got {len(parts)} parts")
    indptr, post = (np.asarray(part).astype(np.int64) for part in parts[:2])
    data = np.asarray(parts[2], np.float64)
    if post.ndim != 1 or data.shape != post.shape:
        raise InputError(
            f"indices and data must have one shape (synapses,), got {post.shape} and {data.shape}"
        )
    steps = np.diff(indptr)
    if indptr.ndim != 1 or [*indptr[:1], *indptr[-1:]] != [0, len(post)] or (steps < 0).any():
        raise InputError(f"indptr must rise from 0 to len(indices) = {len(post)}")
    n = int(post.max(initial=-1)) + 1 if n_post is None else int(n_post)
    if post.min(initial=0) < 0 or post.max(initial=-1) >= n:
        raise InputError(f"indices must lie in [0, {n}), got up to {post.max(initial=-1)}")
    return _finite(_Synapses(np.repeat(np.arange(len(steps)), steps), post, data, (len(steps), n)))


def _finite(synapses: _Synapses) -> _Synapses:
    if not np.isfinite(synapses.data).all():
        raise InputError("weights must be finite")
    return synapses
