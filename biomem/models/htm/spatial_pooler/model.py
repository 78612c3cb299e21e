r"""Spatial Pooler: a sparse, stable, self-organising code of binary patterns (reference).

Each of C columns holds synapses with permanences :math:`p_{ci} \in [0, 1]` to a fixed random pool
of inputs; a synapse is *connected* when :math:`p_{ci} \ge \theta - 10^{-6}`. For an input with
active bits X, at iteration t = tick + 1:

.. math::

    o_c &= |\{i \in X : p_{ci} \ge \theta - 10^{-6}\}|, \qquad b_c = o_c\, \beta_c \\
    A &= \{c : \text{fewer than } k \text{ columns of c's area have a larger } (b, -\text{index})\}
         \cap \{c : b_c \ge \text{stimulus threshold}\}

and, when learning, with :math:`\tau = \min(\text{period}, t)`:

.. math::

    p_{ci} &\leftarrow \mathrm{clip}(p_{ci} + \delta^+ [i \in X] - \delta^- [i \notin X], 0, 1),
         \quad c \in A \\
    d^{o}_c &\leftarrow d^{o}_c \tfrac{\tau - 1}{\tau} + \tfrac{[o_c > 0]}{\tau}, \qquad
    d^{a}_c \leftarrow d^{a}_c \tfrac{\tau - 1}{\tau} + \tfrac{[c \in A]}{\tau} \\
    p_{ci} &\leftarrow \min(p_{ci} + \theta / 10, 1) \quad \text{where } d^{o}_c < d^{\min}_c \\
    \beta_c &= \exp(s\, (\bar d_c - d^{a}_c)).

Every 50 iterations :math:`d^{\min}` becomes a share of the largest overlap duty cycle of the area
and, with local inhibition, the inhibition radius follows the mean extent of the connected inputs.

Arithmetic is float32 in a fixed order, so that the compiled kernel (`cpu`) equals this file bit
for bit. Where it departs from htm.core:

- Ties go to the lower column index (there: the higher). Under local inhibition *every* larger key
  in the area counts, selected or not (there: a sweep in which of the equal keys only selected ones
  count), so columns do not wait for each other. Where many overlaps of an area are equal, this
  leaves it with fewer winners.
- An area always may have one winner, even where ``density * area`` rounds to 0.

As there, the mean extent does not see that an input area wraps round an edge, which overestimates
the inhibition radius of small wrapped inputs.

References
----------
Y. Cui, S. Ahmad, J. Hawkins, "The HTM Spatial Pooler", Front. Comput. Neurosci. 11 (2017) 111.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biomem.engine.model import Field, Model
from biomem.models.htm.spatial_pooler.draws import draw_permanences, draw_pools
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.spatial_pooler.topology import neighbour_table
from biomem.typing import Array

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["SpatialPooler", "SpatialPoolerOutput", "SpatialPoolerState", "advance"]

EPSILON = 1e-6
UPDATE_PERIOD = 50
"""Iterations between two updates of the inhibition radius and the minimum duty cycles."""


class SpatialPoolerState(NamedTuple):
    """What a Spatial Pooler carries from record to record."""

    permanences: Annotated[Array, Field("column", "synapse", dtype="float32")]
    overlap_duty: Annotated[Array, Field("column", dtype="float32")]
    active_duty: Annotated[Array, Field("column", dtype="float32")]
    min_overlap_duty: Annotated[Array, Field("column", dtype="float32")]
    boost: Annotated[Array, Field("column", dtype="float32")]
    inhibition_radius: Annotated[Array, Field("single", dtype="int64", unit="column")]
    connected: Annotated[Array, Field("input", "column", dtype="uint8", kind="derived")]


class SpatialPoolerOutput(NamedTuple):
    """The columns that won, as a mask."""

    active: Annotated[Array, Field("column", dtype="bool")]


def connected_at(params: SpatialPoolerParams) -> np.float32:
    """Return the smallest permanence of a connected synapse."""
    return np.float32(params.perm_connected - EPSILON)


def connections(
    permanences: NDArray[np.float32], pools: NDArray[np.int32], params: SpatialPoolerParams
) -> NDArray[np.uint8]:
    """Return the connected synapses as a 0/1 matrix ``[input, column]``."""
    connected = np.zeros((params.n_inputs, len(pools)), np.uint8)
    column, synapse = np.nonzero(permanences >= connected_at(params))
    connected[pools[column, synapse], column] = 1
    return connected


def overlap(connected: NDArray[np.uint8], active_inputs: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count each column's connected synapses to active inputs."""
    return connected[active_inputs].sum(axis=0, dtype=np.int32)


def boosted(
    overlaps: NDArray[np.int32], boost: NDArray[np.float32], params: SpatialPoolerParams
) -> NDArray[np.float32]:
    """Return ``b = o * boost``, or plain ``o`` when there is no boosting."""
    if params.boost_strength < EPSILON:
        return overlaps.astype(np.float32)
    return overlaps.astype(np.float32) * boost


def inhibit(
    keys: NDArray[np.float32], radius: int, params: SpatialPoolerParams
) -> NDArray[np.int32]:
    """Return the winning columns, ascending."""
    strong = keys >= np.float32(params.stimulus_threshold)
    index = np.arange(len(keys), dtype=np.int32)
    if params.global_inhibition:
        first = np.argsort(-keys, kind="stable")[: winners_of(len(keys), len(keys), params)]
        winner = np.zeros(len(keys), bool)
        winner[first] = True
        return index[winner & strong]
    table, real = _areas(radius, params)
    theirs, ours = keys[table], keys[:, None]
    ahead = (theirs > ours) | ((theirs == ours) & (table < index[:, None]))
    size = real.sum(axis=1)
    limit = [winners_of(int(n), _full_area(radius, params), params) for n in size]
    return index[((ahead & real).sum(axis=1) < limit) & strong]


def winners_of(size: int, full: int, params: SpatialPoolerParams) -> int:
    """Return k, the winners allowed in an area of `size` columns (`full` away from edges)."""
    if params.global_inhibition:
        return params.n_active or int(params.density(full) * size)
    return max(1, int(params.density(full) * size + 0.5))


def _full_area(radius: int, params: SpatialPoolerParams) -> int:
    return min(params.n_columns, (2 * radius + 1) ** len(params.column_shape))


def _areas(radius: int, params: SpatialPoolerParams) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    table = neighbour_table(params.column_shape, radius, params.wrap_around)
    return table, table >= 0


def adapt(
    rows: NDArray[np.float32],
    pools: NDArray[np.int32],
    active_inputs: NDArray[np.int32],
    params: SpatialPoolerParams,
) -> NDArray[np.float32]:
    """Move the winners' permanences towards the input; padding (-1) stays 0."""
    is_active = np.zeros(params.n_inputs + 1, bool)
    is_active[active_inputs] = True
    raised = np.minimum(rows + np.float32(params.perm_active_inc), np.float32(1))
    lowered = np.maximum(rows - np.float32(params.perm_inactive_dec), np.float32(0))
    return raise_to_stimulus(np.where(is_active[pools], raised, lowered), pools, params)


def raise_to_stimulus(
    rows: NDArray[np.float32], pools: NDArray[np.int32], params: SpatialPoolerParams
) -> NDArray[np.float32]:
    """Lift columns with too few connected synapses as a whole, until just enough connect."""
    needed = params.stimulus_threshold
    if needed == 0:
        return rows
    poor = (rows >= connected_at(params)).sum(axis=1) < needed
    marginal = np.sort(rows, axis=1)[:, -needed]
    lift = np.float32(params.perm_connected) - marginal
    lifted = np.minimum(rows + lift[:, None], np.float32(1))
    return np.where(poor[:, None] & (pools >= 0), lifted, rows)


def bump_weak(
    rows: NDArray[np.float32], pools: NDArray[np.int32], params: SpatialPoolerParams
) -> NDArray[np.float32]:
    """Raise all permanences of columns whose overlap duty cycle is too low."""
    bump = np.float32(params.perm_connected / 10)
    return np.where(pools >= 0, np.minimum(rows + bump, np.float32(1)), rows)


def update_duty_cycle(
    duty: NDArray[np.float32], hit: NDArray[np.bool_], tick: int, params: SpatialPoolerParams
) -> NDArray[np.float32]:
    """Return the running mean of `hit` over the last ``min(period, tick + 1)`` records."""
    period = min(params.duty_cycle_period, tick + 1)
    keep, gain = np.float32((period - 1) / period), np.float32(1 / period)
    return duty * keep + np.where(hit, gain, np.float32(0))


def boost_factors(
    active_duty: NDArray[np.float32], radius: int, params: SpatialPoolerParams
) -> NDArray[np.float32]:
    """Return ``exp(strength * (target - duty))``; the local target is the area's mean duty cycle.

    The mean is summed in float64 in the order of the neighbourhood.
    """
    duty = active_duty.astype(np.float64)
    if params.global_inhibition:
        target = np.float64(params.density(params.n_columns))
    else:
        table, real = _areas(radius, params)
        total = np.zeros(len(duty))
        for neighbour, is_real in zip(table.T, real.T, strict=True):
            total += np.where(is_real, duty[neighbour], 0.0)
        target = total / real.sum(axis=1)
    return exponential(params.boost_strength * (target - duty)).astype(np.float32)


def exponential(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(x) for ``|x| <= 80``: additions and multiplications only, in this order.

    A library's exp may differ from another library's in the last bit. Twelve Taylor terms at
    ``x / 256``, squared eight times: relative error below 1e-13, far inside a float32.
    """
    y = x * (1.0 / 256.0)
    e = np.ones_like(y)
    for n in range(12, 0, -1):
        e = 1.0 + e * y * (1.0 / n)
    for _ in range(8):
        e = e * e
    return e


def minimum_duty_cycles(
    overlap_duty: NDArray[np.float32], radius: int, params: SpatialPoolerParams
) -> NDArray[np.float32]:
    """Return the share of the area's largest overlap duty cycle below which a column is weak."""
    share = np.float32(params.min_pct_overlap_duty_cycle)
    if params.global_inhibition:
        return np.full_like(overlap_duty, share * overlap_duty.max())
    table, real = _areas(radius, params)
    return share * np.where(real, overlap_duty[table], np.float32(0)).max(axis=1)


def inhibition_radius(connected: NDArray[np.uint8], params: SpatialPoolerParams) -> int:
    """Return half the mean extent of a column's connected inputs, measured in columns.

    With global inhibition: the largest dimension. A column with no connection has extent 0.
    """
    if params.global_inhibition:
        return max(params.column_shape)
    extent = 0
    for axis, size in enumerate(params.input_shape):
        others = tuple(a for a in range(len(params.input_shape)) if a != axis)
        sheet: NDArray[np.bool_] = np.any(connected.reshape(*params.input_shape, -1), axis=others)
        first, last = sheet.argmax(axis=0), size - 1 - sheet[::-1].argmax(axis=0)
        extent += int(np.where(np.any(sheet, axis=0), last - first + 1, 0).sum())
    rank = len(params.input_shape)
    span = extent / (params.n_columns * rank)
    shapes = zip(params.column_shape, params.input_shape, strict=True)
    columns_per_input = sum(columns / inputs for columns, inputs in shapes) / rank
    return int(max(1.0, (span * columns_per_input - 1.0) / 2.0) + 0.5)


def advance(
    params: SpatialPoolerParams,
    weights: Mapping[str, Array],
    state: SpatialPoolerState,
    active_inputs: NDArray[np.int32],
    tick: int,
) -> tuple[SpatialPoolerState, NDArray[np.int32]]:
    """Return the next state and the active columns for one record.

    Parameters
    ----------
    active_inputs : array of int32, ascending
        Indices of the input bits that are on.
    tick : int
        Records seen before this one.

    Returns
    -------
    state : SpatialPoolerState
        New arrays where something changed.
    active_columns : array of int32, ascending
    """
    pools, radius = weights["pools"], int(state.inhibition_radius[0])
    overlaps = overlap(state.connected, active_inputs)
    columns = inhibit(boosted(overlaps, state.boost, params), radius, params)
    if not params.learn:
        return state, columns

    permanences = state.permanences.copy()
    permanences[columns] = adapt(permanences[columns], pools[columns], active_inputs, params)
    won = np.zeros(params.n_columns, bool)
    won[columns] = True
    overlap_duty = update_duty_cycle(state.overlap_duty, overlaps > 0, tick, params)
    active_duty = update_duty_cycle(state.active_duty, won, tick, params)
    weak = np.flatnonzero(overlap_duty < state.min_overlap_duty)
    permanences[weak] = bump_weak(permanences[weak], pools[weak], params)
    changed = np.union1d(columns, weak)
    connected = state.connected.copy()
    connected[:, changed] = connections(permanences[changed], pools[changed], params)

    boost, least = state.boost, state.min_overlap_duty
    if params.boost_strength >= EPSILON:
        boost = boost_factors(active_duty, radius, params)
    if (tick + 1) % UPDATE_PERIOD == 0:
        radius = inhibition_radius(connected, params)
        least = minimum_duty_cycles(overlap_duty, radius, params)
    return SpatialPoolerState(
        permanences=permanences,
        overlap_duty=overlap_duty,
        active_duty=active_duty,
        min_overlap_duty=least,
        boost=boost,
        inhibition_radius=np.array([radius], np.int64),
        connected=connected,
    ), columns


class SpatialPooler(Model):
    """Turns binary patterns of any density into sparse codes of a fixed density.

    Similar inputs get overlapping codes; learning makes the code of what is frequent stable and
    specific, boosting lets all columns take part. The equations stand at the top of this module.

    Do not use it where the input must be recovered from the code, for inputs with a handful of
    active bits (columns then tie and win by index), or with learning on in a stream that must give
    the same code for the same input for ever.

    Parameters
    ----------
    params : SpatialPoolerParams, optional
    **changes
        Parameters by name.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem.engine.random import Rng
    >>> pooler = SpatialPooler(input_shape=(40,), column_shape=(64,), local_area_density=0.125)
    >>> state = pooler.init_state(1, Rng(1))
    >>> state, output = pooler.step(state, np.arange(40)[None] % 4 == 0, tick=0)
    >>> int(output.active.sum())
    8
    """

    Params = SpatialPoolerParams
    State = SpatialPoolerState
    Output = SpatialPoolerOutput
    Input = Field("input", dtype="bool")
    batched = False
    exact = True
    kernels = {"numba": "biomem.models.htm.spatial_pooler.cpu:scan"}

    params: SpatialPoolerParams

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of the axes."""
        return {
            "input": self.params.n_inputs,
            "column": self.params.n_columns,
            "synapse": self.weights["pools"].shape[1],
            "single": 1,
        }

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Draw the potential pools: ``pools``, int32 ``[column, synapse]``."""
        return {"pools": draw_pools(self.params, rng)}

    def init_state(self, batch: int, rng: Rng) -> SpatialPoolerState:
        """Return permanences drawn from `rng`, no duty cycles and neutral boosts."""
        pools = self.weights["pools"]
        drawn = draw_permanences(self.params, pools, rng)
        permanences = raise_to_stimulus(drawn, pools, self.params)
        connected = connections(permanences, pools, self.params)
        zeros = np.zeros(self.params.n_columns, np.float32)
        return SpatialPoolerState(
            permanences=permanences,
            overlap_duty=zeros,
            active_duty=zeros.copy(),
            min_overlap_duty=zeros.copy(),
            boost=np.ones(self.params.n_columns, np.float32),
            inhibition_radius=np.array([inhibition_radius(connected, self.params)], np.int64),
            connected=connected,
        )

    def rebuild(self, state: SpatialPoolerState) -> SpatialPoolerState:
        """Recompute the connection matrix from the permanences."""
        connected = connections(state.permanences, self.weights["pools"], self.params)
        return state._replace(connected=connected)

    def step(
        self, state: SpatialPoolerState, x: Array, tick: int
    ) -> tuple[SpatialPoolerState, SpatialPoolerOutput]:
        """Advance by one record: `advance` on the active bits of `x`, shape ``(1, input)``."""
        active_inputs = np.flatnonzero(x[0]).astype(np.int32)
        state, columns = advance(self.params, self.weights, state, active_inputs, tick)
        active = np.zeros((1, self.params.n_columns), bool)
        active[0, columns] = True
        return state, SpatialPoolerOutput(active)
