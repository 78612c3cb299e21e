"""Wave-RNN: a recurrent network whose hidden state carries travelling waves.

The one-way wave equation ``du/dt = nu du/dx``, forward in time and one-sided in space, is the
recurrence ``u_i' = (1 - nu) u_i + nu u_{i+1}``: a circular correlation with the taps
``[0, 1 - nu, nu]``. The network keeps c such rings of n units, mixes them, learns the taps, and
adds an input and a nonlinearity::

    z[o, i]  = sum_q V[o, i, q] x[q] + bV[o, i] + bU[o]
             + sum_{k, j} U[o, k, j] h[k, (i + j - f // 2) mod n]
    h'[o, i] = sigma(z[o, i])                   relu, tanh or identity; h = 0 before tick 0
    y        = W vec(h') + bW                   vec runs over units within channels
    y        = W relu(D vec(h') + bD) + bW      with a decoder of one hidden layer

Locally connected weights put ``U[o, k, i, j]`` in place of ``U[o, k, j]``, dense ones a full matrix
over ``vec(h)``; both have a bias per unit.

What follows for the shift kernel, without nonlinearity: a pattern of wave number k is multiplied by
``g(k) = 1 - nu + nu exp(i k)`` per tick, ``|g|^2 = 1 - 4 nu (1 - nu) sin^2(k / 2)``. It is stable
for 0 <= nu <= 1, keeps the norm at 0 and 1 only, and moves toward *decreasing* index: an impulse
at unit 0 is at unit n - 1 a tick later and back after n ticks exactly.

Source: Keller, Muller, Sejnowski, Welling, "Traveling Waves Encode the Recent Past and Enhance
Sequence Learning", ICLR 2024 (arXiv 2309.08045), equations 2 to 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from biomem.backends import namespace
from biomem.engine.model import Field, Model
from biomem.engine.random import Rng, Stream
from biomem.engine.work import Work
from biomem.errors import ParameterError
from biomem.models.wave_rnn.params import WaveRNNParams
from biomem.typing import Array

if TYPE_CHECKING:
    from biomem.engine.params import Params

__all__ = ["WaveRNN", "WaveRNNOutput", "WaveRNNState", "correlate", "ring_weights"]

# The place of a name is the second identifier of its random numbers: append only.
_DRAWN = (
    "input_weight",
    "input_bias",
    "ring_weight",
    "ring_bias",
    "decoder_weight",
    "decoder_bias",
    "readout_weight",
    "readout_bias",
)


class WaveRNNState(NamedTuple):
    """Activity of every unit of every ring."""

    h: Annotated[Array, Field("batch", "channel", "unit", dtype="float")]


class WaveRNNOutput(NamedTuple):
    """Readout, and the hidden state when it is recorded."""

    y: Annotated[Array, Field("output", dtype="float", doc="zero on ticks that are not read")]
    h: Annotated[
        Array, Field("recorded", "unit", dtype="float", doc="empty unless record_hidden is set")
    ]


def correlate(h: Array, u: Array) -> Array:
    """Return the circular cross-correlation of rings with kernels, mixed over channels.

    Parameters
    ----------
    h : array, shape ``(batch, channel, unit)``
    u : array, shape ``(channel, channel, taps)``, or ``(channel, channel, unit, taps)``
        Tap j reads the neighbour at offset ``j - taps // 2``; one kernel per unit in the second
        form.

    Returns
    -------
    array, shape ``(batch, channel, unit)``
    """
    xp = namespace(h, u)
    taps = u.shape[-1]
    total = None
    for j in range(taps):
        moved = xp.roll(h, taps // 2 - j, axis=2)
        if u.ndim == 3:
            part = xp.matmul(u[:, :, j], moved)
        else:
            part = xp.sum(u[None, :, :, :, j] * moved[:, None, :, :], axis=2)
        total = part if total is None else total + part
    return total


def ring_weights(params: WaveRNNParams, rng: Rng) -> np.ndarray:
    """Return ring weights as `WaveRNNParams.init_u` asks for, float64."""
    c, n, f, tie = params.n_channels, params.n_units, params.kernel_size, params.tie_weights
    if params.init_u == "random":
        shapes = {"conv": (c, c, f), "local": (c, c, n, f), "dense": (c * n, c * n)}
        fan_in = c * n if tie == "dense" else c * f
        limit = math.sqrt((3.0 if tie == "local" else 1.0) / fan_in)
        return _uniform(rng, "ring_weight", shapes[tie], limit)
    nu = params.nu if params.init_u == "shift" else 0.0
    if tie == "dense":
        ring = (1.0 - nu) * np.eye(n) + nu * np.roll(np.eye(n), 1, axis=1)
        return np.kron(np.eye(c), ring)
    kernel = np.zeros(f)
    kernel[f // 2] = 1.0 - nu
    if nu > 0:
        kernel[f // 2 + 1] = nu
    tied = np.eye(c)[:, :, None] * kernel
    return tied if tie == "conv" else np.repeat(tied[:, :, None, :], n, axis=2)


def _uniform(rng: Rng, name: str, shape: tuple[int, ...], limit: float) -> np.ndarray:
    entities = np.arange(math.prod(shape))
    draws = rng.uniform(Stream.INIT, entities, batch=_DRAWN.index(name)).reshape(shape)
    return (2.0 * draws - 1.0) * limit


def _input_weights(params: WaveRNNParams, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    c, n, d = params.n_channels, params.n_units, params.n_inputs
    weight, bias = np.zeros((c, n, d)), np.zeros((c, n))
    if params.v_init == "ones":
        weight[:, 0] = 1.0
    elif params.v_init == "identity":
        weight[np.arange(d) % c, 0, np.arange(d)] = 1.0
    else:
        if params.v_init == "normal":
            entities = np.arange(c * n * d).reshape(c, n, d)
            weight = 1e-3 * rng.normal(Stream.INIT, entities, batch=_DRAWN.index("input_weight"))
        else:
            weight = _uniform(rng, "input_weight", (c, n, d), 1.0 / math.sqrt(d))
        if params.bias_init == "uniform":
            bias = _uniform(rng, "input_bias", (c, n), 1.0 / math.sqrt(d))
    return weight, bias


class WaveRNN(Model):
    """Rings of units through which waves travel, driven by an input and read out linearly.

    Weights, by name: ``input_weight`` (channel, unit, input) and ``input_bias`` (channel, unit),
    V and bV above; ``ring_weight``, U: (channel, channel, tap), locally connected
    (channel, channel, unit, tap), dense (neuron, neuron); ``ring_bias``, bU: (channel,), otherwise
    (channel, unit); ``readout_weight`` (output, neuron) and ``readout_bias`` (output,), W and bW;
    with a hidden layer also ``decoder_weight`` (decoder, neuron) and ``decoder_bias`` (decoder,),
    and ``readout_weight`` is (output, decoder).

    The two biases of the recurrence act through their sum only, yet both are trained, as in the
    published network.

    When not to use it: for memories much longer than a ring without training. A pure shift is a
    delay line of n ticks; beyond that, new input is added to what comes round. For a fixed delay,
    a buffer is cheaper.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> ring = WaveRNN(n_units=8, activation="identity", bias_init="zero", record_hidden=True)
    >>> recording = Simulator(ring).run(np.eye(1, 4).T)
    >>> np.asarray(recording["h"])[:, 0, 0].argmax(axis=1).tolist()
    [0, 7, 6, 5]
    """

    Params = WaveRNNParams
    State = WaveRNNState
    Output = WaveRNNOutput
    Input = Field("input", dtype="float")
    array_api = True
    kernels = {
        "numba": "biomem.models.wave_rnn.cpu:scan",
        "cuda": "biomem.models.wave_rnn.cuda:scan",
        "torch": "biomem.models.wave_rnn.autograd:scan",
    }

    params: WaveRNNParams

    def __init__(
        self,
        params: Params | None = None,
        *,
        weights: Mapping[str, Array] | None = None,
        **changes: Any,
    ) -> None:
        super().__init__(params, weights=weights, **changes)
        self._check_weights()
        p, w = self.params, self.weights
        ring_bias = w["ring_bias"]
        self.bias = w["input_bias"] + (ring_bias[:, None] if ring_bias.ndim == 1 else ring_bias)
        xp = namespace(self.bias)
        self._input = xp.reshape(w["input_weight"], (p.n_neurons, p.n_inputs)).T

    @property
    def sizes(self) -> dict[str, int]:
        """Inputs, rings, units per ring, outputs; recorded rings."""
        p = self.params
        return {
            "input": p.n_inputs,
            "channel": p.n_channels,
            "unit": p.n_units,
            "output": p.n_outputs,
            "recorded": p.n_channels if p.record_hidden else 0,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by its name."""
        p = self.params
        c, n, f, d = p.n_channels, p.n_units, p.kernel_size, p.n_inputs
        ring = {"conv": (c, c, f), "local": (c, c, n, f), "dense": (c * n, c * n)}
        shapes: dict[str, tuple[int, ...]] = {
            "input_weight": (c, n, d),
            "input_bias": (c, n),
            "ring_weight": ring[p.tie_weights],
            "ring_bias": (c,) if p.tie_weights == "conv" else (c, n),
        }
        read = c * n
        if p.decoder == "mlp":
            shapes |= {"decoder_weight": (p.n_decoder, c * n), "decoder_bias": (p.n_decoder,)}
            read = p.n_decoder
        return shapes | {"readout_weight": (p.n_outputs, read), "readout_bias": (p.n_outputs,)}

    def _check_weights(self) -> None:
        shapes = self.weight_shapes()
        if shapes.keys() != self.weights.keys():
            raise ParameterError(
                f"WaveRNN: weights must be named {sorted(shapes)}, got {sorted(self.weights)}"
            )
        for name, shape in shapes.items():
            given = tuple(self.weights[name].shape)
            if given != shape:
                raise ParameterError(f"WaveRNN: {name} must have shape {shape}, got {given}")

    def init_weights(self, rng: Rng) -> dict[str, Array]:
        """Draw the weights as the parameters say; readouts within ``1 / sqrt(fan in)``."""
        p, shapes = self.params, self.weight_shapes()
        input_weight, input_bias = _input_weights(p, rng)
        ring_bias = np.zeros(shapes["ring_bias"])
        if p.bias_init == "uniform":
            fan_in = p.n_neurons if p.tie_weights == "dense" else p.n_channels * p.kernel_size
            ring_bias = _uniform(rng, "ring_bias", shapes["ring_bias"], 1.0 / math.sqrt(fan_in))
        drawn = {
            "input_weight": input_weight,
            "input_bias": input_bias,
            "ring_weight": ring_weights(p, rng),
            "ring_bias": ring_bias,
        }
        for name in shapes.keys() - drawn.keys():
            fan_in = shapes[name.replace("bias", "weight")][1]
            drawn[name] = _uniform(rng, name, shapes[name], 1.0 / math.sqrt(fan_in))
        return {name: drawn[name].astype(p.dtype) for name in shapes}

    def init_state(self, batch: int, rng: Rng) -> WaveRNNState:
        """Return silent rings."""
        p = self.params
        return WaveRNNState(np.zeros((batch, p.n_channels, p.n_units), p.dtype))

    def step(self, state: WaveRNNState, x: Array, tick: int) -> tuple[WaveRNNState, WaveRNNOutput]:
        """Advance by one tick: the equations of this module."""
        xp = namespace(x, state.h)
        h = self.activate(self.drive(x) + self.recur(state.h))
        if (tick + 1) % self.params.readout_every == 0:
            y = self.read(h)
        else:
            y = xp.zeros((h.shape[0], self.params.n_outputs), dtype=h.dtype, device=h.device)
        return WaveRNNState(h), WaveRNNOutput(y, h if self.params.record_hidden else h[:, :0])

    def drive(self, x: Array) -> Array:
        """Return what the input and the biases add, shape ``(batch, channel, unit)``."""
        xp, p = namespace(x), self.params
        shape = (x.shape[0], p.n_channels, p.n_units)
        return xp.reshape(xp.matmul(x, self._input), shape) + self.bias

    def recur(self, h: Array) -> Array:
        """Return what the rings hand on to the next tick, before the nonlinearity."""
        weight = self.weights["ring_weight"]
        if self.params.tie_weights != "dense":
            return correlate(h, weight)
        xp = namespace(h)
        flat = xp.reshape(h, (h.shape[0], self.params.n_neurons))
        return xp.reshape(xp.matmul(flat, weight.T), h.shape)

    def activate(self, z: Array) -> Array:
        """Return the nonlinearity of `z`."""
        xp = namespace(z)
        if self.params.activation == "tanh":
            return xp.tanh(z)
        return _relu(xp, z) if self.params.activation == "relu" else z

    def read(self, h: Array) -> Array:
        """Return the readout of hidden states.

        Parameters
        ----------
        h : array, shape ``(..., channel, unit)``

        Returns
        -------
        array, shape ``(..., output)``
        """
        xp, w = namespace(h), self.weights
        y = xp.reshape(h, (*h.shape[:-2], self.params.n_neurons))
        if self.params.decoder == "mlp":
            y = _relu(xp, xp.matmul(y, w["decoder_weight"].T) + w["decoder_bias"])
        return xp.matmul(y, w["readout_weight"].T) + w["readout_bias"]

    def work(self, state: WaveRNNState, ticks: int, batch: int) -> Work:
        """Return the multiply-accumulates of input, recurrence and readout."""
        p = self.params
        fan_in = p.n_neurons if p.tie_weights == "dense" else p.n_channels * p.kernel_size
        reads = ticks // p.readout_every
        readout = sum(math.prod(s) for k, s in self.weight_shapes().items() if "readout_w" in k)
        if p.decoder == "mlp":
            readout += p.n_decoder * p.n_neurons
        return Work(macs=batch * (ticks * p.n_neurons * (fan_in + p.n_inputs) + reads * readout))


def _relu(xp: Any, z: Array) -> Array:
    # Not maximum: its gradient at a tie is one half on torch, and units are often exactly zero.
    # NaN passes, so an overflow is seen.
    return xp.where(z <= 0, xp.zeros_like(z), z)
