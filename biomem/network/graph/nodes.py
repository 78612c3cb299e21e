"""The primitives: what a graph is made of, with the names, shapes and units of NIR.

A node says what it is and how large; its arrays are weights of the model, under ``<node>/<array>``.
``of`` makes both at once, from the arrays. Shapes have no batch axis, times are seconds,
potentials have the unit the thresholds have.

Source: J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set
for interoperable brain-inspired computing", Nature Communications 15 (2024) 8122.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.network.graph.discretisation import Discretisation
from biomem.network.graph.windows import Windows, as_pair

__all__ = [
    "IF",
    "LI",
    "LIF",
    "Affine",
    "AvgPool2d",
    "Conv2d",
    "CubaLI",
    "CubaLIF",
    "Delay",
    "Flatten",
    "I",
    "Input",
    "Neuron",
    "Node",
    "Output",
    "Part",
    "Scale",
    "SumPool2d",
    "Threshold",
]

Shape: TypeAlias = tuple[int, ...]


class Part(NamedTuple):
    """A node and the arrays it comes with."""

    node: Node
    arrays: Mapping[str, np.ndarray]


def as_shape(owner: Params, field: str) -> None:
    """Turn a field that holds an integer or a sequence of them into a tuple, or refuse it."""
    value = getattr(owner, field)
    axes = (value,) if isinstance(value, int | np.integer) else value
    ok = isinstance(axes, tuple | list | np.ndarray) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1 for n in axes
    )
    require(owner, field, bool(ok) and len(axes) > 0, "an integer >= 1 or a tuple of them")
    object.__setattr__(owner, field, tuple(int(n) for n in axes))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node(Params):
    """Base of all primitives.

    Parameters
    ----------
    name : str
        Unique in its graph; without ``/``.
    """

    name: str = ""

    def arrays(self) -> dict[str, Shape]:
        """Return the shape of every array the node needs, by name."""
        return {}

    def defaults(self) -> dict[str, float]:
        """Return the value of each array that is not drawn at random."""
        return {}

    def takes(self) -> Shape | None:
        """Return the shape an input must have, None where more than one will do."""
        return None

    def gives(self, given: Shape | None) -> Shape | None:
        """Return the shape of the output for an input of shape `given`; None while unknown.

        Raises
        ------
        ParameterError
            The node cannot take such an input.
        """
        return given

    def refuse(self, wanted: str, given: Shape) -> ParameterError:
        """Return the error that says an input does not fit."""
        return ParameterError(
            f"Graph node {self.name!r} ({type(self).__name__}): its input must have {wanted}, "
            f"got shape {given}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input(Node):
    """Where signals enter. `shape` is that of one sample, without time and batch."""

    shape: int | tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        as_shape(self, "shape")

    def gives(self, given: Shape | None) -> Shape | None:
        """Return the declared shape."""
        assert isinstance(self.shape, tuple)
        return self.shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output(Node):
    """Where signals leave. `shape` may be left out."""

    shape: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.shape is not None:
            as_shape(self, "shape")

    def takes(self) -> Shape | None:
        """Return the declared shape."""
        assert self.shape is None or isinstance(self.shape, tuple)
        return self.shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affine(Node):
    """``y = W x + b``; without `bias` NIR calls it Linear.

    Parameters
    ----------
    n_in, n_out : int
    lead : tuple of int
        Leading axes of a stack of matrices: the input has shape ``(*lead, n_in)``, ``weight``
        ``(*lead, n_out, n_in)``, ``bias`` and output ``(*lead, n_out)``.
    bias : bool
    """

    n_in: int = 1
    n_out: int = 1
    lead: tuple[int, ...] = ()
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out"):
            value = getattr(self, name)
            require(self, name, isinstance(value, int) and value >= 1, "an integer >= 1")
        if self.lead:
            as_shape(self, "lead")

    @classmethod
    def of(cls, weight: ArrayLike, bias: ArrayLike | None = None) -> Part:
        """Return the node with its arrays, of shapes ``(..., out, in)`` and ``(..., out)``."""
        w = np.asarray(weight)
        if w.ndim < 2 or not w.size:
            raise ParameterError(f"Affine.of: weight must have shape (..., out, in), got {w.shape}")
        node = cls(n_in=w.shape[-1], n_out=w.shape[-2], lead=w.shape[:-2], bias=bias is not None)
        arrays = {"weight": w}
        if bias is not None:
            arrays["bias"] = _spread("Affine.of: bias", bias, w.shape[:-1])
        return Part(node, arrays)

    def arrays(self) -> dict[str, Shape]:
        """Return ``weight`` and, if there is one, ``bias``."""
        shapes = {"weight": (*self.lead, self.n_out, self.n_in)}
        return shapes | ({"bias": (*self.lead, self.n_out)} if self.bias else {})

    def takes(self) -> Shape:
        """Return ``(*lead, n_in)``."""
        return (*self.lead, self.n_in)

    def gives(self, given: Shape | None) -> Shape:
        """Return ``(*lead, n_out)``."""
        return (*self.lead, self.n_out)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conv2d(Node):
    """Cross-correlation of an input ``(in_channels, rows, columns)``, as in torch.

    Parameters
    ----------
    in_channels, out_channels : int
        Both multiples of `groups`.
    kernel_size, stride, dilation : int or pair of int
    padding : int, pair of int, "same" or "valid"
        Zeros on every side; "same" keeps rows and columns and needs stride 1.
    groups : int
    bias : bool
        ``weight`` has shape ``(out_channels, in_channels / groups, *kernel_size)``, ``bias``
        ``(out_channels,)``.
    """

    in_channels: int = 1
    out_channels: int = 1
    kernel_size: int | tuple[int, int] = (3, 3)
    stride: int | tuple[int, int] = (1, 1)
    padding: int | tuple[int, int] | str = (0, 0)
    dilation: int | tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("in_channels", "out_channels", "groups"):
            value = getattr(self, name)
            require(self, name, isinstance(value, int) and value >= 1, "an integer >= 1")
            ok = not value % self.groups or name == "groups"
            require(self, name, ok, f"a multiple of groups = {self.groups}")
        as_pair(self, "kernel_size", 1)
        as_pair(self, "stride", 1)
        as_pair(self, "dilation", 1)
        if isinstance(self.padding, str):
            require(self, "padding", self.padding in ("same", "valid"), "'same', 'valid' or pairs")
            same = self.padding == "same"
            require(self, "stride", not same or self.stride == (1, 1), "1 with padding='same'")
        else:
            as_pair(self, "padding", 0)

    @classmethod
    def of(cls, weight: ArrayLike, bias: ArrayLike | None = None, **options: Any) -> Part:
        """Return the node with its arrays; `options` are ``stride``, ``padding`` and so on."""
        w = np.asarray(weight)
        if w.ndim != 4 or not w.size:
            raise ParameterError(
                "Conv2d.of: weight must have shape (out_channels, in_channels / groups, rows, "
                f"columns), got {w.shape}"
            )
        node = cls(
            out_channels=w.shape[0],
            in_channels=w.shape[1] * options.get("groups", 1),
            kernel_size=(w.shape[2], w.shape[3]),
            bias=bias is not None,
            **options,
        )
        arrays = {"weight": w}
        if bias is not None:
            arrays["bias"] = _spread("Conv2d.of: bias", bias, (w.shape[0],))
        return Part(node, arrays)

    @property
    def windows(self) -> Windows:
        """Where the kernel goes."""
        return Windows.of(self.kernel_size, self.stride, self.padding, self.dilation)

    def arrays(self) -> dict[str, Shape]:
        """Return ``weight`` and, if there is one, ``bias``."""
        k = self.windows.size
        shapes = {"weight": (self.out_channels, self.in_channels // self.groups, *k)}
        return shapes | ({"bias": (self.out_channels,)} if self.bias else {})

    def gives(self, given: Shape | None) -> Shape | None:
        """Return ``(out_channels, rows, columns)``."""
        if given is None:
            return None
        if len(given) != 3 or given[0] != self.in_channels:
            raise self.refuse(f"shape ({self.in_channels}, rows, columns)", given)
        return (self.out_channels, *_placed(self, self.windows, given))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pool2d(Node):
    kernel_size: int | tuple[int, int] = (2, 2)
    stride: int | tuple[int, int] | None = None
    padding: int | tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        as_pair(self, "kernel_size", 1)
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        as_pair(self, "stride", 1)
        as_pair(self, "padding", 0)
        size, margin = self.windows.size, self.windows.before
        ok = all(2 * p <= k for p, k in zip(margin, size, strict=True))
        require(self, "padding", ok, f"at most half of kernel_size = {size}")

    @property
    def windows(self) -> Windows:
        """Where the window goes."""
        assert self.stride is not None
        return Windows.of(self.kernel_size, self.stride, self.padding, (1, 1))

    def gives(self, given: Shape | None) -> Shape | None:
        """Return ``(channels, rows, columns)`` of the windows."""
        if given is None:
            return None
        if len(given) != 3:
            raise self.refuse("three axes (channels, rows, columns)", given)
        return (given[0], *_placed(self, self.windows, given))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SumPool2d(_Pool2d):
    """Sum over windows of an input ``(channels, rows, columns)``, side by side by default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AvgPool2d(_Pool2d):
    """Mean over windows, the padded zeros counted as in torch's default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flatten(Node):
    """Axes `start_dim` to `end_dim` become one, the batch axis not counted."""

    start_dim: int = 0
    end_dim: int = -1

    def gives(self, given: Shape | None) -> Shape | None:
        """Return the shape with those axes joined."""
        if given is None:
            return None
        first, last = (
            d % len(given) if -len(given) <= d < len(given) else -1
            for d in (self.start_dim, self.end_dim)
        )
        if first < 0 or last < first:
            raise self.refuse(f"axes {self.start_dim} to {self.end_dim}", given)
        return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Elementwise(Node):
    """One value of an array for every element of the signal."""

    VALUES: ClassVar[Mapping[str, float]] = {}

    shape: int | tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        as_shape(self, "shape")

    @classmethod
    def _of(cls, shape: int | Shape | None, given: Mapping[str, ArrayLike], **options: Any) -> Part:
        """Spread every given array, and the default of every other, over `shape`."""
        values = {name: np.asarray(given.get(name, cls.VALUES[name])) for name in cls.VALUES}
        if shape is None:
            try:
                shape = np.broadcast_shapes(*(v.shape for v in values.values())) or (1,)
            except ValueError:
                shapes = {name: v.shape for name, v in values.items()}
                raise ParameterError(
                    f"{cls.__name__}.of: arrays must have one shape, got {shapes}"
                ) from None
        node = cls(shape=shape, **options)
        what = f"{cls.__name__}.of: "
        assert isinstance(node.shape, tuple)
        return Part(node, {n: _spread(what + n, v, node.shape) for n, v in values.items()})

    def arrays(self) -> dict[str, Shape]:
        """Return every array with the shape of the signal."""
        return dict.fromkeys(self.VALUES, self.takes())

    def defaults(self) -> dict[str, float]:
        """Return the values of arrays that are not given."""
        return dict(self.VALUES)

    def takes(self) -> Shape:
        """Return the shape of the signal."""
        assert isinstance(self.shape, tuple)
        return self.shape

    def gives(self, given: Shape | None) -> Shape:
        """Return the shape of the signal."""
        return self.takes()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(_Elementwise):
    """``y = scale x``, element by element."""

    VALUES = {"scale": 1.0}

    @classmethod
    def of(cls, scale: ArrayLike, shape: int | Shape | None = None) -> Part:
        """Return the node with its array."""
        return cls._of(shape, {"scale": scale})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold(_Elementwise):
    """``y = 1`` where ``x > threshold``, else 0; no state."""

    VALUES = {"threshold": 1.0}

    @classmethod
    def of(cls, threshold: ArrayLike, shape: int | Shape | None = None) -> Part:
        """Return the node with its array."""
        return cls._of(shape, {"threshold": threshold})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delay(_Elementwise):
    """``y(t) = x(t - delay)``, s: ``round(delay / dt)`` ticks; at least one on a cycle."""

    VALUES = {"delay": 1e-3}

    @classmethod
    def of(cls, delay: ArrayLike, shape: int | Shape | None = None) -> Part:
        """Return the node with its array."""
        return cls._of(shape, {"delay": delay})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Neuron(_Elementwise):
    """Base of what has a membrane.

    Parameters
    ----------
    shape : int or tuple of int
        One neuron for every element.
    discretisation : Discretisation, optional
        Default that of the graph.
    """

    discretisation: Discretisation | None = None

    @classmethod
    def of(
        cls,
        shape: int | Shape | None = None,
        *,
        discretisation: Discretisation | None = None,
        **arrays: ArrayLike,
    ) -> Part:
        """Return the node with its arrays, scalars spread over `shape`.

        Parameters
        ----------
        shape : int or tuple of int, optional
            Default the common shape of the arrays.
        discretisation : Discretisation, optional
        **arrays
            Of the names the class documents; what is left out has its default.
        """
        for name in arrays:
            if name not in cls.VALUES:
                raise ParameterError(
                    f"{cls.__name__}.of has no array {name!r}; it has {sorted(cls.VALUES)}"
                )
        return cls._of(shape, arrays, discretisation=discretisation)

    @property
    def spiking(self) -> bool:
        """Whether the output is spikes, not the membrane."""
        return "v_threshold" in self.VALUES

    @property
    def has_current(self) -> bool:
        """Whether a synaptic current stands before the membrane."""
        return "tau_syn" in self.VALUES


_LEAK = {"r": 1.0, "v_leak": 0.0}
_FIRE = {"v_threshold": 1.0, "v_reset": 0.0}
_SYNAPSE = {"tau_syn": 5e-3, "w_in": 1.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class I(Neuron):  # noqa: E742 - the name NIR gives it
    """Integrator, ``v' = r x``; the output is ``v``."""

    VALUES = {"r": 1.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LI(Neuron):
    """Leaky integrator, ``tau v' = v_leak - v + r x``; the output is ``v``."""

    VALUES = {"tau": 20e-3, **_LEAK}


@dataclasses.dataclass(frozen=True, kw_only=True)
class IF(Neuron):
    """Integrate and fire, ``v' = r x``; fires above ``v_threshold``, then ``v = v_reset``."""

    VALUES = {"r": 1.0, **_FIRE}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LIF(Neuron):
    """Leaky integrate and fire: `LI` that fires above ``v_threshold``, then ``v = v_reset``."""

    VALUES = {"tau": 20e-3, **_LEAK, **_FIRE}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CubaLI(Neuron):
    """`LI` behind a synapse, ``tau_syn i' = w_in x - i``, ``tau_mem v' = v_leak - v + r i``."""

    VALUES = {**_SYNAPSE, "tau_mem": 20e-3, **_LEAK}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CubaLIF(Neuron):
    """`CubaLI` that fires above ``v_threshold``, then ``v = v_reset``; the current stays."""

    VALUES = {**_SYNAPSE, "tau_mem": 20e-3, **_LEAK, **_FIRE}


def _spread(what: str, value: ArrayLike, shape: Shape) -> np.ndarray:
    """Return a new array of `shape` that holds `value`."""
    array = np.asarray(value)
    try:
        return np.broadcast_to(array, shape).copy()
    except ValueError:
        raise ParameterError(f"{what} must have shape {shape}, got {array.shape}") from None


def _placed(node: Node, windows: Windows, given: Shape) -> tuple[int, int]:
    rows, columns = windows.fitting(given[1:])
    if rows < 1 or columns < 1:
        raise node.refuse(f"rows and columns for a window of {windows.extent}", given)
    return rows, columns
