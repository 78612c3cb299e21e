"""Parameters of the Spatial Pooler."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.models.htm.spatial_pooler.topology import centre_of, neighbourhood

__all__ = ["SpatialPoolerParams"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpatialPoolerParams(Params):
    """What a Spatial Pooler is made of; see `SpatialPooler` for the equations.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of the input; its product is the number of input bits I.
    column_shape : tuple of int
        Shape of the sheet of columns, of the same rank; its product is the number of columns C.
    potential_radius : int or None, >= 0
        Radius, in inputs per dimension, of the area a column may connect to. None: all inputs.
    potential_pct : float in (0, 1]
        Share of that area which a column holds synapses to.
    global_inhibition : bool
        True: all columns compete with all. False: with those within the inhibition radius, which
        follows the mean extent of the connected inputs (1-D and 2-D sheets only).
    local_area_density : float in (0, 0.5] or None
        Share of the columns of an inhibition area that win. Exactly one of this and `n_active`.
    n_active : int in [1, C/2] or None
        Number of winners per inhibition area.
    stimulus_threshold : int >= 0
        A column with a smaller (boosted) overlap cannot win; learning keeps at least this many
        synapses of a winner connected.
    perm_active_inc, perm_inactive_dec : float in [0, 1]
        What a winner's synapse gains when its input is active, and loses when it is not.
    perm_connected : float in [1e-5, 1]
        A synapse counts when its permanence is at least this (less 1e-6).
    min_pct_overlap_duty_cycle : float in [0, 1]
        A column whose overlap duty cycle falls below this share of the largest has all its
        permanences raised by ``perm_connected / 10``.
    duty_cycle_period : int >= 1
        Records over which duty cycles average.
    boost_strength : float in [0, 80]
        Weight of the homeostatic boost; below 1e-6 there is none.
    wrap_around : bool
        Whether neighbourhoods of inputs and columns wrap round the edges.
    learn : bool
        False: permanences, duty cycles and boosts stay as they are.
    seed : int in [0, 2**64)
        Key of the draws of pools and permanences.

    Raises
    ------
    ParameterError
        A value outside its range, or two that contradict each other.

    Examples
    --------
    >>> SpatialPoolerParams(input_shape=(100,), column_shape=(64,)).n_columns
    64
    """

    input_shape: tuple[int, ...]
    column_shape: tuple[int, ...] = (2048,)
    potential_radius: int | None = 16
    potential_pct: float = 0.5
    global_inhibition: bool = True
    local_area_density: float | None = 0.05
    n_active: int | None = None
    stimulus_threshold: int = 0
    perm_active_inc: float = 0.05
    perm_inactive_dec: float = 0.008
    perm_connected: float = 0.1
    min_pct_overlap_duty_cycle: float = 0.001
    duty_cycle_period: int = 1000
    boost_strength: float = 0.0
    wrap_around: bool = True
    learn: bool = True
    seed: int = 1

    @classmethod
    def nab(cls, input_shape: tuple[int, ...] = (454,), **changes: Any) -> Self:
        """Return the set of the "numenta" detector of the Numenta Anomaly Benchmark.

        2048 columns, 40 winners, every column sampling 80 % of all inputs, no boosting.
        """
        values: dict[str, Any] = {
            "input_shape": input_shape,
            "column_shape": (2048,),
            "potential_radius": None,
            "potential_pct": 0.8,
            "local_area_density": None,
            "n_active": 40,
            "perm_active_inc": 0.003,
            "perm_inactive_dec": 0.0005,
            "perm_connected": 0.2,
            "boost_strength": 0.0,
            "seed": 1956,
        }
        return cls(**{**values, **changes})

    def __post_init__(self) -> None:
        for name in ("input_shape", "column_shape"):
            shape = getattr(self, name)
            ok = isinstance(shape, tuple) and len(shape) > 0 and all(_is_int(n, 1) for n in shape)
            require(self, name, ok, "a tuple of ints >= 1", "a line of 400 is (400,)")
            require(self, name, math.prod(shape) < 2**31, "of fewer than 2**31 elements")
        require(
            self,
            "column_shape",
            len(self.column_shape) == len(self.input_shape),
            f"of the same rank as input_shape {self.input_shape!r}",
            "add axes of length 1",
        )
        for name in ("global_inhibition", "wrap_around", "learn"):
            require(self, name, isinstance(getattr(self, name), bool), "True or False")
        require(
            self,
            "global_inhibition",
            self.global_inhibition or len(self.column_shape) <= 2,
            f"True when columns have more than 2 dimensions (column_shape {self.column_shape!r})",
            "fold the sheet into 2 dimensions",
        )
        self._check_numbers()
        self._check_density()
        smallest = self.smallest_pool
        require(
            self,
            "stimulus_threshold",
            _is_int(self.stimulus_threshold, 0) and self.stimulus_threshold <= smallest,
            f"an int in [0, {smallest}], the synapses of the smallest pool",
            "lower it, or raise potential_pct or potential_radius",
        )

    def _check_numbers(self) -> None:
        radius = self.potential_radius
        require(
            self,
            "potential_radius",
            radius is None or _is_int(radius, 0),
            "an int >= 0, or None for all inputs",
        )
        for name, low, high, allowed in (
            ("potential_pct", 0.0, 1.0, "a number in (0, 1]"),
            ("perm_active_inc", 0.0, 1.0, "a number in [0, 1]"),
            ("perm_inactive_dec", 0.0, 1.0, "a number in [0, 1]"),
            ("perm_connected", 1e-5, 1.0, "a number in [1e-5, 1]"),
            ("min_pct_overlap_duty_cycle", 0.0, 1.0, "a number in [0, 1]"),
            ("boost_strength", 0.0, 80.0, "a number in [0, 80]"),
        ):
            require(self, name, _is_number(getattr(self, name), low, high), allowed)
        require(self, "potential_pct", self.potential_pct > 0, "a number in (0, 1]")
        require(self, "duty_cycle_period", _is_int(self.duty_cycle_period, 1), "an int >= 1")
        seed_ok = _is_int(self.seed, 0) and self.seed < 2**64
        require(self, "seed", seed_ok, "an int in [0, 2**64)")

    def _check_density(self) -> None:
        density, n_active, n_columns = self.local_area_density, self.n_active, self.n_columns
        if (density is None) == (n_active is None):
            raise ParameterError(
                f"{type(self).__name__}: exactly one of local_area_density and n_active must be "
                f"given, got {density!r} and {n_active!r}; set the other to None"
            )
        if density is not None:
            ok = _is_number(density, 0.0, 0.5) and density > 0
            require(self, "local_area_density", ok, "a number in (0, 0.5]")
            require(
                self,
                "local_area_density",
                not self.global_inhibition or math.floor(density * n_columns) >= 1,
                f"at least 1/{n_columns}, so that one of {n_columns} columns can win",
            )
        if n_active is not None:
            ok = _is_int(n_active, 1) and n_active <= n_columns // 2
            require(self, "n_active", ok, f"an int in [1, {n_columns // 2}], half the columns")

    @property
    def n_inputs(self) -> int:
        """Number of input bits I."""
        return math.prod(self.input_shape)

    @property
    def n_columns(self) -> int:
        """Number of columns C."""
        return math.prod(self.column_shape)

    @property
    def smallest_pool(self) -> int:
        """Synapses of the column with the fewest; with clipped edges that of a corner."""
        if self.potential_radius is None:
            return self.pool_size(self.n_inputs)
        corners = itertools.product(*({0, n - 1} for n in self.column_shape))
        columns = (int(np.ravel_multi_index(at, self.column_shape)) for at in corners)
        centres = (centre_of(column, self.column_shape, self.input_shape) for column in columns)
        return min(self.pool_size(len(self.input_area(centre))) for centre in centres)

    def input_area(self, centre: tuple[int, ...]) -> NDArray[np.int64]:
        """Return the inputs that a column centred on input `centre` may connect to."""
        radius = max(self.input_shape) if self.potential_radius is None else self.potential_radius
        wrap = self.wrap_around or self.potential_radius is None
        return neighbourhood(centre, min(radius, max(self.input_shape)), self.input_shape, wrap)

    def pool_size(self, area: int) -> int:
        """Return the number of synapses drawn from an area of `area` inputs, at least one."""
        return max(1, math.floor(area * self.potential_pct + 0.5))

    def density(self, area: int) -> float:
        """Return the target share of winners in an inhibition area of `area` columns."""
        if self.local_area_density is not None:
            return self.local_area_density
        assert self.n_active is not None
        return min(0.5, self.n_active / area)


def _is_int(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(value: Any, low: float, high: float) -> bool:
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    return ok and low <= value <= high
