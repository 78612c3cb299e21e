"""Parameters of the Temporal Memory."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from biomem.engine.params import Params
from biomem.engine.random import Rng
from biomem.errors import BiomemWarning, ParameterError, require

__all__ = ["Constants", "TemporalMemoryParams", "constants"]

EPSILON = np.float32(1e-6)
"""Slack of permanence comparisons; a synapse below it is destroyed."""

_INT32 = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class TemporalMemoryParams(Params):
    """Parameter set of `TemporalMemory`; permanences are in [0, 1], everything else counts.

    Parameters
    ----------
    n_columns, cells_per_column : int
        Columns of the Spatial Pooler below and cells in each.
    activation_threshold : int
        Active connected synapses that make a segment active, and its cell predicted.
    min_threshold : int
        Active synapses, connected or not, that make a segment match; at most
        `activation_threshold`.
    initial_permanence, connected_permanence : float
        Permanence of a new synapse; permanence from which a synapse counts as connected.
    max_new_synapses : int
        A learning segment is topped up to this many synapses onto the previous winners.
    permanence_inc, permanence_dec : float
        Reward of active and penalty of inactive synapses of a segment that learns.
    predicted_segment_dec : float
        Penalty of the active synapses of a segment that matched in a column that stayed silent.
        A little above column sparsity times `permanence_inc` forgets false predictions; 0 keeps
        them.
    max_segments_per_cell, max_synapses_per_segment : int
        Local limits. Every segment takes memory for `max_synapses_per_segment` synapses, rounded
        up to a power of two: 8 bytes each, and about as much again for the kernel's links.
    max_segments : int or None
        Bound of the whole pool, hence of memory; None for no bound but the local ones. At the
        bound the least recently active segment of the pool makes room.
    prune : {"lru", "weakest"}
        Which segment of a cell at its limit makes room: the least recently active, or the one with
        the smallest sum of squared permanences.
    destroy_below : {"empty", "min_threshold"}
        When a segment that loses synapses is destroyed: with none left (NuPIC), or with fewer than
        `min_threshold` (htm.core).
    burst_winner : {"least_used", "previous"}
        Winner of a bursting column that no segment matches: a cell with the fewest segments, drawn
        among ties; or, first, the column's winner of the previous tick (htm.core, for inputs that
        stand still).
    learn : bool
        False freezes segments and synapses; sequence state still advances.
    seed : int
        Key of the draws made while running, in [0, 2**64).
    """

    n_columns: int = 2048
    cells_per_column: int = 32
    activation_threshold: int = 13
    min_threshold: int = 10
    initial_permanence: float = 0.21
    connected_permanence: float = 0.5
    max_new_synapses: int = 20
    permanence_inc: float = 0.1
    permanence_dec: float = 0.1
    predicted_segment_dec: float = 0.0
    max_segments_per_cell: int = 255
    max_synapses_per_segment: int = 255
    max_segments: int | None = None
    prune: Literal["lru", "weakest"] = "lru"
    destroy_below: Literal["empty", "min_threshold"] = "empty"
    burst_winner: Literal["least_used", "previous"] = "least_used"
    learn: bool = True
    seed: int = 42

    def __post_init__(self) -> None:
        self._check_counts()
        for name in ("permanence_inc", "permanence_dec", "predicted_segment_dec"):
            require(self, name, 0.0 <= getattr(self, name) <= 1.0, "in [0, 1]")
        for name in ("initial_permanence", "connected_permanence"):
            require(self, name, EPSILON <= getattr(self, name) <= 1.0, "in [1e-6, 1]")
        for name, allowed in (
            ("prune", ("lru", "weakest")),
            ("destroy_below", ("empty", "min_threshold")),
            ("burst_winner", ("least_used", "previous")),
        ):
            require(self, name, getattr(self, name) in allowed, f"one of {allowed}")
        require(self, "learn", isinstance(self.learn, bool), "True or False")
        Rng(self.seed)
        if self.max_new_synapses < self.activation_threshold:
            warnings.warn(
                f"TemporalMemoryParams.max_new_synapses ({self.max_new_synapses}) is below "
                f"activation_threshold ({self.activation_threshold}): a segment stops growing "
                "before it can become active, so nothing is ever predicted; raise the former",
                BiomemWarning,
                stacklevel=3,
            )

    def _check_counts(self) -> None:
        limits = {
            "n_columns": _INT32,
            "cells_per_column": _INT32,
            "min_threshold": _INT32,
            "activation_threshold": _INT32,
            "max_new_synapses": _INT32,
            "max_segments_per_cell": _INT32,
            "max_synapses_per_segment": 2**14,
        }
        if self.max_segments is not None:
            limits["max_segments"] = _INT32
        for name, largest in limits.items():
            value = getattr(self, name)
            fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest
            require(self, name, fits, f"an integer in [1, {largest}]")
        if self.n_columns * self.cells_per_column > _INT32:
            raise ParameterError(
                f"TemporalMemoryParams.n_columns * cells_per_column must be at most {_INT32}, got "
                f"{self.n_columns} * {self.cells_per_column}"
            )
        most = self.max_synapses_per_segment
        for name, bound, of in (
            ("min_threshold", self.activation_threshold, "activation_threshold"),
            ("activation_threshold", most, "max_synapses_per_segment"),
            ("max_new_synapses", most, "max_synapses_per_segment"),
        ):
            require(self, name, getattr(self, name) <= bound, f"at most {of} ({bound})")

    @classmethod
    def nab(cls, **changes: Any) -> Self:
        """Return the settings of NAB's "numenta" detector, for the plain Temporal Memory."""
        values: dict[str, Any] = {
            "max_segments_per_cell": 128,
            "max_synapses_per_segment": 32,
            "seed": 1960,
        }
        return cls(**{**values, **changes})

    @classmethod
    def nab_tm_cpp(cls, **changes: Any) -> Self:
        """Return the settings of NAB's "numentaTM" detector."""
        values: dict[str, Any] = {
            "activation_threshold": 20,
            "min_threshold": 13,
            "initial_permanence": 0.24,
            "permanence_inc": 0.04,
            "permanence_dec": 0.008,
            "predicted_segment_dec": 0.001,
            "max_new_synapses": 31,
            "max_segments_per_cell": 128,
            "max_synapses_per_segment": 128,
            "seed": 1960,
        }
        return cls(**{**values, **changes})


class Constants(NamedTuple):
    """What reference and kernel compute with: the parameters, each rounded once to its dtype."""

    n_columns: int
    cells_per_column: int
    activation_threshold: int
    min_threshold: int
    max_new_synapses: int
    max_segments_per_cell: int
    max_synapses: int
    max_segments: int
    destroy_below: int
    initial: np.float32
    connected: np.float32
    increment: np.float32
    decrement: np.float32
    punishment: np.float32
    prune_lru: bool
    keep_winner: bool
    learn: bool
    key: np.uint64


def row_stride(params: TemporalMemoryParams) -> int:
    """Return the synapse slots of a segment's row: a power of two, so that a shift finds a row."""
    return 1 << (params.max_synapses_per_segment - 1).bit_length()


@functools.lru_cache(maxsize=64)
def constants(params: TemporalMemoryParams) -> Constants:
    """Return the constants of a parameter set."""
    p = params
    # Segment limit: the pool's, the cells', and that twice a flat synapse number fits int32.
    most = min(p.n_columns * p.cells_per_column * p.max_segments_per_cell, 2**30 // row_stride(p))
    return Constants(
        n_columns=int(p.n_columns),
        cells_per_column=int(p.cells_per_column),
        activation_threshold=int(p.activation_threshold),
        min_threshold=int(p.min_threshold),
        max_new_synapses=int(p.max_new_synapses),
        max_segments_per_cell=int(p.max_segments_per_cell),
        max_synapses=int(p.max_synapses_per_segment),
        max_segments=most if p.max_segments is None else min(most, int(p.max_segments)),
        destroy_below=1 if p.destroy_below == "empty" else int(p.min_threshold),
        initial=np.float32(p.initial_permanence),
        connected=np.float32(p.connected_permanence - float(EPSILON)),
        increment=np.float32(p.permanence_inc),
        decrement=np.float32(p.permanence_dec),
        punishment=np.float32(p.predicted_segment_dec),
        prune_lru=p.prune == "lru",
        keep_winner=p.burst_winner == "previous",
        learn=bool(p.learn),
        key=np.uint64(Rng(p.seed).key),
    )
