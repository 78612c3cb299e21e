"""What a Spatial Pooler is built from: random potential pools and first permanences.

Every draw is a function of (seed, input, column) alone, so it depends on no order and no backend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from biomem.engine.random import Stream, uniform32
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.spatial_pooler.topology import centre_of

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["draw_permanences", "draw_pools"]

_COLUMNS_PER_DRAW = 64


def draw_pools(params: SpatialPoolerParams, rng: Rng) -> NDArray[np.int32]:
    """Draw the inputs each column may connect to.

    Of the inputs in reach, those with the smallest hash of ``(seed, input, column)`` are taken:
    independent of any order, so of the backend too.

    Returns
    -------
    array of int32, shape ``(column, synapse)``
        Ascending in each row, padded with -1 at the end where clipped edges leave fewer.
    """
    areas = [
        params.input_area(centre_of(column, params.column_shape, params.input_shape))
        for column in range(params.n_columns)
    ]
    width = params.pool_size(max(map(len, areas)))
    pools = np.full((params.n_columns, width), -1, np.int32)
    for first in range(0, params.n_columns, _COLUMNS_PER_DRAW):
        block = areas[first : first + _COLUMNS_PER_DRAW]
        columns = np.repeat(np.arange(first, first + len(block)), [len(a) for a in block])
        words = rng.words(Stream.SP_POOL, np.concatenate(block), batch=columns).astype(np.uint64)
        keys = words[:, 0] << np.uint64(32) | words[:, 1]
        start = 0
        for column, area in enumerate(block, first):
            order = np.argsort(keys[start : start + len(area)], kind="stable")
            size = params.pool_size(len(area))
            pools[column, :size] = np.sort(area[order[:size]])
            start += len(area)
    return pools


def draw_permanences(
    params: SpatialPoolerParams, pools: NDArray[np.int32], rng: Rng
) -> NDArray[np.float32]:
    """Draw initial permanences: half of them connected, uniform on either side of the threshold."""
    theta = np.float32(params.perm_connected)
    permanences = np.zeros(pools.shape, np.float32)
    for first in range(0, len(pools), _COLUMNS_PER_DRAW):
        block = pools[first : first + _COLUMNS_PER_DRAW]
        columns = np.arange(first, first + len(block))[:, None]
        words = rng.words(Stream.SP_PERMANENCE, np.maximum(block, 0), batch=columns)
        share = uniform32(words[..., 1])
        above = theta + share * (np.float32(1) - theta)
        drawn = np.where(words[..., 0] >> np.uint32(31) == 1, above, share * theta)
        permanences[first : first + len(block)] = np.where(block >= 0, drawn, np.float32(0))
    return permanences
