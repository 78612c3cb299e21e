"""The contract between a model and everything else: parameters, state, one pure step.

The engine, the checkpoints, the recordings and the contract suite all read the declarations
made here; nothing else needs to know what a model computes. See ``docs/architecture.md``.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np

from biomem.engine.events import Events
from biomem.engine.params import Params
from biomem.engine.sdr import SDR
from biomem.engine.work import Work
from biomem.errors import InputError, ParameterError
from biomem.typing import Array, State

if TYPE_CHECKING:
    from biomem.engine.random import Rng

__all__ = ["Field", "Model", "NoParams", "fields_of", "flatten", "map_arrays", "unflatten"]


@dataclasses.dataclass(frozen=True)
class Field:
    """Declaration of one array of a state, an input or an output.

    Parameters
    ----------
    axes : str
        Axis names. A name found in ``model.sizes`` has that length; any other is free.
    dtype : str
        NumPy dtype name, or ``"float"`` for the dtype that ``params.dtype`` names.
    unit : str
        SI unit of the values, ``"1"`` when dimensionless.
    kind : {"persistent", "derived"}
        Derived fields stay out of checkpoints; ``model.rebuild`` recomputes them.
    doc : str
        One line for summaries and file metadata.

    Examples
    --------
    >>> Field("batch", "unit", unit="V")
    Field('batch', 'unit', dtype='float64', unit='V')
    """

    axes: tuple[str, ...]
    dtype: str = "float64"
    unit: str = "1"
    kind: Literal["persistent", "derived"] = "persistent"
    doc: str = ""

    def __init__(
        self,
        *axes: str,
        dtype: str = "float64",
        unit: str = "1",
        kind: Literal["persistent", "derived"] = "persistent",
        doc: str = "",
    ) -> None:
        values = {"axes": axes, "dtype": dtype, "unit": unit, "kind": kind, "doc": doc}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        shown = [repr(a) for a in self.axes] + [f"dtype={self.dtype!r}", f"unit={self.unit!r}"]
        if self.kind != "persistent":
            shown.append(f"kind={self.kind!r}")
        return f"Field({', '.join(shown)})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoParams(Params):
    """The parameter set of a model that has none."""


@functools.lru_cache(maxsize=256)
def _declared(cls: type) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    found: list[tuple[str, Any]] = []
    for name in cls._fields:  # type: ignore[attr-defined]
        hint = hints[name]
        if typing.get_origin(hint) is Annotated:
            field = next((m for m in hint.__metadata__ if isinstance(m, Field)), None)
            if field is not None:
                found.append((name, field))
                continue
        if isinstance(hint, type) and hasattr(hint, "_fields"):
            found.append((name, hint))
            continue
        raise TypeError(
            f"{cls.__name__}.{name} must be Annotated[Array, Field(...)] or a nested NamedTuple, "
            f"got {hint!r}"
        )
    return tuple(found)


def fields_of(declaration: type | Field, prefix: str = "") -> dict[str, Field]:
    """Return every declared array by its path, nested NamedTuples joined with ``/``.

    A bare `Field` declares one array named ``"y"``.
    """
    if isinstance(declaration, Field):
        return {"y": declaration}
    found: dict[str, Field] = {}
    for name, what in _declared(declaration):
        if isinstance(what, Field):
            found[prefix + name] = what
        else:
            found.update(fields_of(what, f"{prefix}{name}/"))
    return found


def flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Array]]:
    """Yield ``(path, array)`` for every array of a state; a bare array has the path ``"y"``."""
    if not hasattr(tree, "_fields"):
        yield prefix.rstrip("/") or "y", tree
        return
    for name in tree._fields:
        yield from flatten(getattr(tree, name), f"{prefix}{name}/")


def unflatten(declaration: type | Field, arrays: Mapping[str, Array], prefix: str = "") -> Any:
    """Rebuild the NamedTuple that `flatten` took apart."""
    if isinstance(declaration, Field):
        return arrays["y"]
    parts: dict[str, Any] = {}
    for name, what in _declared(declaration):
        path = prefix + name
        parts[name] = (
            arrays[path] if isinstance(what, Field) else unflatten(what, arrays, path + "/")
        )
    return declaration(**parts)


def map_arrays(function: Callable[[Array], Array], tree: Any) -> Any:
    """Apply `function` to every array of a state, keeping its structure."""
    if not hasattr(tree, "_fields"):
        return function(tree)
    return type(tree)(*(map_arrays(function, part) for part in tree))


def _told(xs: Any) -> str:
    return "no number of ticks" if xs is None else f"inputs of shape {np.shape(xs)}"


class Model(ABC):
    """Parameters and a pure step over explicit state.

    Subclasses declare `State`, `Output`, `Input` and `Params`, give the lengths of their axes in
    `sizes`, and write `init_state` and `step`. Everything else has a default. Three flags tell
    what may be asked of them: `batched` (more than one stream), `array_api` (`step` runs on CuPy
    and torch arrays too), `exact` (kernels equal the reference bit for bit over whole runs).
    `takes_events` names the backends whose kernel accepts an `Events` for ``xs``.

    Parameters
    ----------
    params : Params, optional
        The parameter set; default ``type(self).Params()``.
    weights : mapping of str to array, optional
        Arrays drawn or learned before the run; default drawn by `init_weights` from
        ``params.seed`` (0 when the parameters have none).
    **changes
        Parameters by name, applied on top of `params`.
    """

    Params: ClassVar[type[Params]] = NoParams
    State: ClassVar[type]
    Output: ClassVar[type | Field] = Field("unit")
    Input: ClassVar[Field | None] = Field("feature")
    batched: ClassVar[bool] = True
    exact: ClassVar[bool] = False
    array_api: ClassVar[bool] = False
    takes_events: ClassVar[tuple[str, ...]] = ()
    kernels: ClassVar[Mapping[str, str | Callable[..., Any]]] = MappingProxyType({})

    classes: ClassVar[dict[str, type[Model]]] = {}
    """Every model class by its qualified name; how a checkpoint finds the class it was made by."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not inspect.isabstract(cls):
            Model.classes[cls.qualified_name()] = cls

    def __init__(
        self,
        params: Params | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        if params is None:
            params = self.Params(**changes)
        elif not isinstance(params, self.Params):
            raise ParameterError(
                f"{type(self).__name__}: params must be {self.Params.__name__}, "
                f"got {type(params).__name__}"
            )
        elif changes:
            params = params.replace(**changes)
        self.params = params
        if weights is None:
            from biomem.engine.random import Rng

            weights = self.init_weights(Rng(getattr(params, "seed", 0)))
        self.weights: Mapping[str, Array] = MappingProxyType(dict(weights))

    @classmethod
    def qualified_name(cls) -> str:
        """Return the name checkpoints know the class by, ``module:class``."""
        return f"{cls.__module__}:{cls.__qualname__}"

    @property
    def sizes(self) -> Mapping[str, int]:
        """Lengths of the axes that are fixed, by axis name."""
        return {}

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Draw the arrays that stay fixed during a run."""
        return {}

    @abstractmethod
    def init_state(self, batch: int, rng: Rng) -> State:
        """Return the state before tick 0 for `batch` independent streams."""

    @abstractmethod
    def step(self, state: State, x: Array, tick: int) -> tuple[State, Any]:
        """Advance by one tick: the reference, and the place where the equations stand.

        Parameters
        ----------
        state : State
            Read, never written to.
        x : array, shape ``(batch, *Input.axes)``; ``(batch, 0)`` for a model without input
        tick : int
            Index of this tick, counted from 0 over the life of the state.

        Returns
        -------
        state : State
            New arrays; fields that did not change may be shared with the old state.
        y : Output
            Arrays of shape ``(batch, *axes)``.
        """

    def rebuild(self, state: State) -> State:
        """Recompute the derived fields from the persistent ones."""
        return state

    def work(self, state: State, ticks: int, batch: int) -> Work:
        """Return the work done in `ticks` ticks that led to `state`; default none counted."""
        return Work()

    def replace(self, **changes: Any) -> Self:
        """Return the model with other parameters and freshly drawn weights."""
        return type(self)(self.params.replace(**changes))

    def with_weights(self, weights: Mapping[str, Array]) -> Self:
        """Return the model with other weights, of the same names and shapes or of a backend."""
        return type(self)(self.params, weights=weights)

    def dtype_of(self, field: Field) -> np.dtype[Any]:
        """Return the dtype of `field`, with ``"float"`` resolved by ``params.dtype``."""
        name = getattr(self.params, "dtype", "float64") if field.dtype == "float" else field.dtype
        return np.dtype(name)

    def shape_of(self, field: Field, **lead: int) -> tuple[int | None, ...]:
        """Return the shape of `field`; None stands for an axis of free length."""
        sizes = {**self.sizes, **lead}
        return tuple(sizes.get(axis) for axis in field.axes)

    def example_inputs(self, ticks: int, batch: int, rng: Rng) -> np.ndarray:
        """Return inputs the contract suite may feed: normal, 10 % ones, or small counts."""
        if self.Input is None:
            return np.zeros((ticks, batch, 0))
        tail = tuple(1 if n is None else n for n in self.shape_of(self.Input))
        shape = (ticks, batch, *tail)
        dtype = self.dtype_of(self.Input)
        entities = np.arange(int(np.prod(shape)))
        if dtype.kind == "f":
            return rng.normal(0, entities).reshape(shape).astype(dtype)
        draws = rng.uniform(0, entities).reshape(shape)
        return draws < 0.1 if dtype.kind == "b" else (draws * 8).astype(dtype)

    def check_input(self, xs: Any, *, batch: int, ticks: int | None = None) -> Array:
        """Return `xs` as an array ``(time, batch, *Input.axes)``, or refuse it by name.

        With one stream the batch axis may be left out. A model without input gets rows of width
        zero, so that their number is the number of ticks. An `SDR` or `Events` becomes an array,
        or an `Events` without zeros where a kernel of the model takes those.

        Raises
        ------
        InputError
            Wrong shape, a dtype that cannot be cast safely, NaN or inf.
        """
        name = type(self).__name__
        if self.Input is None:
            if xs is not None or ticks is None:
                raise InputError(
                    f"{name} takes no input, got {_told(xs)}; pass ticks= or seconds= instead"
                )
            return np.zeros((ticks, batch, 0))
        if xs is None:
            raise InputError(f"{name} needs inputs; pass an array of shape {self._wanted(batch)}")
        dtype = self.dtype_of(self.Input)
        if isinstance(xs, SDR | Events):
            if self.takes_events:
                return self._checked_events(xs, batch).rounded(dtype)
            xs = xs.to_dense() if isinstance(xs, SDR) else xs.rounded(dtype).to_dense(dtype)
        try:
            given = np.asarray(xs)
        except ValueError:
            raise InputError(
                f"{name}: inputs must have shape {self._wanted(batch)}, got a ragged sequence"
            ) from None
        if given.dtype.kind not in "biuf" or (dtype.kind != "f" and given.dtype.kind == "f"):
            raise InputError(
                f"{name}: inputs must be numbers castable to {dtype}, got dtype {given.dtype}"
            )
        tail = self.shape_of(self.Input)
        if given.ndim == 1 + len(tail) and batch == 1:
            given = given[:, None]
        fits = given.ndim == 2 + len(tail) and given.shape[1] == batch
        if not fits or any(w not in (None, g) for w, g in zip(tail, given.shape[2:], strict=True)):
            raise InputError(
                f"{name}: inputs must have shape {self._wanted(batch)}, got {np.shape(xs)}"
            )
        with np.errstate(over="ignore"):
            out = np.ascontiguousarray(given, dtype=dtype)
        if dtype.kind == "f" and not np.isfinite(out).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(out))[0])
            raise InputError(
                f"{name}: inputs must be finite, got {given[where]} at (time, batch, ...) = "
                f"{where}; drop or fill missing samples before the model"
            )
        if dtype.kind in "biu" and not np.array_equal(out, given):
            raise InputError(f"{name}: inputs do not fit {dtype} without loss")
        return out

    def _checked_events(self, xs: SDR | Events, batch: int) -> Events:
        assert self.Input is not None
        events = Events.from_sdr(xs) if isinstance(xs, SDR) else xs
        fits = self.shape_of(self.Input) in ((None,), (events.n_channels,))
        if events.shape[1] != batch or not fits:
            raise InputError(
                f"{type(self).__name__}: inputs must have shape {self._wanted(batch)}, "
                f"got {(*events.shape, events.n_channels)}"
            )
        return events

    def _wanted(self, batch: int) -> str:
        assert self.Input is not None
        tail = [
            axis if size is None else f"{axis}={size}"
            for axis, size in zip(self.Input.axes, self.shape_of(self.Input), strict=True)
        ]
        return f"({', '.join(['time', f'batch={batch}', *tail])})"

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis}={n}" for axis, n in self.sizes.items())
        return f"<{type(self).__name__} {sizes or 'no fixed axes'}; {self.params!r}>"
