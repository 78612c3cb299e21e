"""A recurrent network of leaky integrators whose time constants are weights.

With ``phi(x) = x`` above zero and ``slope * x`` below, for every unit ``i`` of every stream::

    tau_i = max(tau_min, weight tau_i)                        ticks
    h_i'  = phi((1 - 1/tau_i) h_i
                + (sum_j W_r[i,j] h_j + b_r[i] + sum_k W_in[i,k] x_k + b_in[i]) / tau_i)
    y     = W_out h' + b_out                                  one vector for every head

There are no self-connections: the diagonal of ``W_r`` acts as zero and gets no gradient. The
leak stands inside the activation. Everything that multiplies ``h`` is one matrix, made once::

    h' = phi(A h + B x + c)     A = diag(1 - 1/tau) + W_r / tau     B = W_in / tau
                                c = (b_r + b_in) / tau

Source: S. Khajehabdollahi, R. Zeraati, E. Giannakakis, T. J. Schaefer, G. Martius, A. Levina,
"Emergent mechanisms for long timescales depend on training curriculum and affect performance in
memory tasks", ICLR 2024, equation 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import array_api_compat
import numpy as np

from biomem.backends import namespace
from biomem.engine.model import Field, Model
from biomem.engine.random import Rng, Stream
from biomem.engine.work import Work
from biomem.errors import ParameterError
from biomem.models.recurrent.params import LeakyNetworkParams
from biomem.typing import Array

__all__ = ["LeakyNetwork", "LeakyNetworkOutput", "LeakyNetworkState"]


class LeakyNetworkState(NamedTuple):
    """Activity of every unit."""

    h: Annotated[Array, Field("batch", "unit", dtype="float", doc="activity")]


class LeakyNetworkOutput(NamedTuple):
    """What every head reads, and the activity it reads from."""

    y: Annotated[Array, Field("head", "out", dtype="float", doc="read-out, logits in training")]
    h: Annotated[Array, Field("unit", dtype="float", doc="activity after the tick")]


class LeakyNetwork(Model):
    """Leaky integrators with trainable time constants and several linear read-outs.

    Train it with `biomem.train`; the equations are those of this module. Weights: ``tau`` (unit),
    ``W_r`` (unit, unit), ``b_r`` (unit), ``W_in`` (unit, in), ``b_in`` (unit), ``W_out`` (head,
    out, unit), ``b_out`` (head, out).

    When not to use it: for delays much longer than the longest time constant without training
    (the untrained network forgets within a few ticks), and for spikes: these are rates.

    Examples
    --------
    >>> import numpy as np
    >>> model = LeakyNetwork(n_units=3, n_heads=2)
    >>> state, y = model.step(model.init_state(1, Rng(0)), np.ones((1, 1)), 0)
    >>> y.y.shape, y.h.shape
    ((1, 2, 2), (1, 3))
    """

    Params = LeakyNetworkParams
    State = LeakyNetworkState
    Output = LeakyNetworkOutput
    Input = Field("feature", dtype="float")
    array_api = True
    kernels = {
        "numba": "biomem.models.recurrent.cpu:scan",
        "torch": "biomem.models.recurrent.autograd:scan",
    }

    params: LeakyNetworkParams

    def __init__(
        self,
        params: LeakyNetworkParams | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights=weights, **changes)
        _check_shapes(self)
        w, p = self.weights, self.params
        xp = namespace(w["W_r"])
        eye = xp.eye(p.n_units, dtype=w["W_r"].dtype, device=array_api_compat.device(w["W_r"]))
        self.tau = xp.clip(w["tau"], p.tau_min, None)
        rate = 1.0 / self.tau
        # Transposed, so that a step is row vectors times matrices.
        self.recurrent = (xp.matrix_transpose(w["W_r"]) * (1.0 - eye)) * rate + eye * (1.0 - rate)
        self.input = xp.matrix_transpose(w["W_in"]) * rate
        self.bias = (w["b_r"] + w["b_in"]) * rate
        heads = xp.reshape(w["W_out"], (p.n_heads * p.n_outputs, p.n_units))
        self.readout = xp.matrix_transpose(heads)
        self.readout_bias = xp.reshape(w["b_out"], (p.n_heads * p.n_outputs,))

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of all axes."""
        p = self.params
        return {"feature": p.n_inputs, "unit": p.n_units, "head": p.n_heads, "out": p.n_outputs}

    def init_weights(self, rng: Rng) -> dict[str, np.ndarray]:
        """Draw time constants in [tau_low, tau_high], the rest in +-1/sqrt(fan-in)."""
        p = self.params
        draws: dict[str, np.ndarray] = {}
        for number, (name, shape) in enumerate(_shapes(p).items()):
            entities = np.arange(math.prod(shape))
            u = rng.uniform(Stream.CONNECT, entities, batch=number).reshape(shape)
            if name == "tau":
                value = p.tau_low + (p.tau_high - p.tau_low) * u
            else:
                fan_in = p.n_inputs if name in ("W_in", "b_in") else p.n_units
                value = (2.0 * u - 1.0) / math.sqrt(fan_in)
            draws[name] = value.astype(p.dtype)
        np.fill_diagonal(draws["W_r"], 0.0)
        return draws

    def init_state(self, batch: int, rng: Rng) -> LeakyNetworkState:
        """Draw the activity of every unit and stream in [0, h_init)."""
        units, streams = np.arange(self.params.n_units), np.arange(batch)[:, None]
        u = rng.uniform(Stream.INIT, units, batch=streams)
        return LeakyNetworkState((self.params.h_init * u).astype(self.params.dtype))

    def step(
        self, state: LeakyNetworkState, x: Array, tick: int
    ) -> tuple[LeakyNetworkState, LeakyNetworkOutput]:
        """Advance by one tick: the equations of this module."""
        xp, p = namespace(x), self.params
        pre = state.h @ self.recurrent + (x @ self.input + self.bias)
        h = xp.where(pre > 0, pre, p.slope * pre)
        y = h @ self.readout + self.readout_bias
        return LeakyNetworkState(h), LeakyNetworkOutput(
            xp.reshape(y, (x.shape[0], p.n_heads, p.n_outputs)), h
        )

    def work(self, state: LeakyNetworkState, ticks: int, batch: int) -> Work:
        """Return one multiply-accumulate for every connection, tick and stream."""
        p = self.params
        return Work(
            macs=ticks * batch * p.n_units * (p.n_units + p.n_inputs + p.n_heads * p.n_outputs)
        )


def _shapes(p: LeakyNetworkParams) -> dict[str, tuple[int, ...]]:
    return {
        "tau": (p.n_units,),
        "W_r": (p.n_units, p.n_units),
        "b_r": (p.n_units,),
        "W_in": (p.n_units, p.n_inputs),
        "b_in": (p.n_units,),
        "W_out": (p.n_heads, p.n_outputs, p.n_units),
        "b_out": (p.n_heads, p.n_outputs),
    }


def _check_shapes(model: LeakyNetwork) -> None:
    wanted = _shapes(model.params)
    if set(model.weights) != set(wanted):
        raise ParameterError(
            f"LeakyNetwork: weights must be {list(wanted)}, got {sorted(model.weights)}"
        )
    for name, shape in wanted.items():
        if tuple(model.weights[name].shape) != shape:
            raise ParameterError(
                f"LeakyNetwork: weight {name!r} must have shape {shape}, "
                f"got {tuple(model.weights[name].shape)}"
            )
