"""What the compiled Spatial Pooler reads and scribbles on: parameters and pools in flat form.

A synapse is found from its input without a search: a bitmap of each pool, and the number of
synapses before each word of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biomem.models.htm.spatial_pooler.model import EPSILON, connected_at, winners_of
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams

__all__ = ["Constants", "Scratch", "make_constants", "make_scratch"]


class Constants(NamedTuple):
    """Parameters and pools in the form the kernel reads; made by `make_constants`."""

    pools: NDArray[np.int32]
    pool_bits: NDArray[np.uint64]
    pool_rank: NDArray[np.int32]
    input_at: NDArray[np.int32]
    columns_per_input: float
    sheet: tuple[int, int]
    rank: int
    wrap: bool
    learn: bool
    global_inhibition: bool
    boosting: bool
    n_winners: int
    target: float
    density: float
    n_active: int
    stimulus: int
    stimulus_key: np.int32
    active_inc: np.float32
    inactive_dec: np.float32
    perm_connected: np.float32
    connected_at: np.float32
    weak_bump: np.float32
    duty_period: int
    min_share: np.float32
    boost_strength: float


class Scratch(NamedTuple):
    """Buffers that one call of `tick` writes and the next overwrites."""

    sums: NDArray[np.uint8]
    overlaps: NDArray[np.int32]
    keys: NDArray[np.int32]
    flags: NDArray[np.uint8]
    winners: NDArray[np.int32]
    slots: NDArray[np.int32]
    moved: NDArray[np.float32]
    crossed: NDArray[np.uint8]
    inputs: NDArray[np.int32]


def make_constants(params: SpatialPoolerParams, pools: NDArray[np.int32]) -> Constants:
    """Return what the kernel needs to know of a Spatial Pooler.

    Parameters
    ----------
    pools : array of int32, shape ``(column, synapse)``
        The ``pools`` of the model's weights.
    """
    n_words = (params.n_inputs + 63) // 64
    member = np.zeros((len(pools), n_words * 64), np.uint8)
    column, synapse = np.nonzero(pools >= 0)
    member[column, pools[column, synapse]] = 1
    bits = np.packbits(member, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    per_word = member.reshape(len(pools), n_words, 64).sum(axis=2, dtype=np.int32)
    shapes = zip(params.column_shape, params.input_shape, strict=True)
    rank = len(params.input_shape)
    rows, columns = params.column_shape if len(params.column_shape) == 2 else (1, params.n_columns)
    threshold, boosting = params.stimulus_threshold, params.boost_strength >= EPSILON
    return Constants(
        pools=np.array(pools, np.int32),
        pool_bits=bits,
        pool_rank=np.cumsum(per_word, axis=1, dtype=np.int32) - per_word,
        input_at=np.array(np.indices(params.input_shape).reshape(rank, -1), np.int32),
        columns_per_input=sum(c / i for c, i in shapes) / rank,
        sheet=(rows, columns),
        rank=rank,
        wrap=params.wrap_around,
        learn=params.learn,
        global_inhibition=params.global_inhibition,
        boosting=boosting,
        n_winners=winners_of(params.n_columns, params.n_columns, params),
        target=params.density(params.n_columns),
        density=params.local_area_density or 0.0,
        n_active=params.n_active or 0,
        stimulus=threshold,
        stimulus_key=np.float32(threshold).view(np.int32) if boosting else np.int32(threshold),
        active_inc=np.float32(params.perm_active_inc),
        inactive_dec=np.float32(params.perm_inactive_dec),
        perm_connected=np.float32(params.perm_connected),
        connected_at=connected_at(params),
        weak_bump=np.float32(params.perm_connected / 10),
        duty_period=params.duty_cycle_period,
        min_share=np.float32(params.min_pct_overlap_duty_cycle),
        boost_strength=float(params.boost_strength),
    )


def make_scratch(constants: Constants) -> Scratch:
    """Return fresh buffers for one stream."""
    n_columns, n_synapses = constants.pools.shape
    n_inputs = constants.input_at.shape[1]
    return Scratch(
        sums=np.zeros(n_columns, np.uint8),
        overlaps=np.zeros(n_columns, np.int32),
        keys=np.zeros(n_columns, np.int32),
        flags=np.zeros((n_columns + 7) // 8 * 8, np.uint8),
        winners=np.zeros(n_columns, np.int32),
        slots=np.zeros(n_inputs, np.int32),
        moved=np.zeros(n_synapses, np.float32),
        crossed=np.zeros((n_synapses + 7) // 8 * 8, np.uint8),
        inputs=np.zeros(n_inputs, np.int32),
    )
