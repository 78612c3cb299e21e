"""Parameters of the Wave-RNN."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, Self, get_args

from biomem.engine.params import Params
from biomem.errors import require

__all__ = ["WaveRNNParams"]

Activation = Literal["relu", "tanh", "identity"]
Tie = Literal["conv", "local", "dense"]
InitU = Literal["shift", "identity", "random"]
InitV = Literal["ones", "identity", "normal", "uniform"]
InitBias = Literal["uniform", "zero"]
Decoder = Literal["linear", "mlp"]
DType = Literal["float32", "float64"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveRNNParams(Params):
    """Shape, recurrence, readout and initialisation of a `WaveRNN`.

    Parameters
    ----------
    n_inputs : int
        Features of the input, d >= 1.
    n_units : int
        Units *per ring*, n >= 2; the network has ``n_channels * n_units`` neurons.
    n_channels : int
        Rings, c >= 1.
    n_outputs : int
        Length of the readout, >= 1.
    kernel_size : int
        Taps of the ring convolution, f; odd, at most `n_units`. Not used with dense weights.
    tie_weights : {"conv", "local", "dense"}
        One kernel for all units (the Wave-RNN), one for every unit (locally connected), or a full
        matrix over all neurons (the identity RNN, iRNN).
    activation : {"relu", "tanh", "identity"}
    decoder : {"linear", "mlp"}
        Readout: one linear map, or a hidden layer of `n_decoder` rectified units before it.
    n_decoder : int
        Width of that hidden layer, >= 1.
    readout_every : int
        The readout is computed on every `readout_every`-th tick and is zero on the others: 1 reads
        at each tick, the length of a sequence reads its last state only.
    record_hidden : bool
        Whether the output ``h`` holds the hidden state of each tick; otherwise it is empty.
    init_u : {"shift", "identity", "random"}
        Ring weights: a wave of velocity `nu`, a standing bump, or uniform within
        ``1 / sqrt(fan in)`` (locally connected: within ``sqrt(3 / fan in)``).
    nu : float
        Units a wave moves per tick under ``init_u="shift"``, in [0, 1], where one explicit step of
        the advection equation is stable; toward lower index. Between 0 and 1 a wave also diffuses,
        by ``nu * (1 - nu) / 2`` units squared per tick.
    v_init : {"ones", "identity", "normal", "uniform"}
        Input weights. "ones": unit 0 of every ring takes the sum of all features; every channel
        is alike but for its bias. "identity": unit 0 of ring ``q mod c`` takes feature q.
        "normal": deviation 0.001. "uniform": within ``1 / sqrt(d)``.
    bias_init : {"uniform", "zero"}
        Bias of the rings, within ``1 / sqrt(fan in)``, and of the input, within ``1 / sqrt(d)``
        (zero for the two input weights that name unit 0). With "ones" the ring bias is the only
        thing that tells channels apart, so "zero" leaves that to the readout.
    dtype : {"float32", "float64"}
    seed : int
        Key the weights are drawn from.

    Examples
    --------
    >>> WaveRNNParams(n_units=100, n_channels=6).kernel_size
    3
    >>> WaveRNNParams.irnn(n_units=100).tie_weights
    'dense'
    """

    n_inputs: int = 1
    n_units: int = 64
    n_channels: int = 1
    n_outputs: int = 1
    kernel_size: int = 3
    tie_weights: Tie = "conv"
    activation: Activation = "relu"
    decoder: Decoder = "linear"
    n_decoder: int = 100
    readout_every: int = 1
    record_hidden: bool = False
    init_u: InitU = "shift"
    nu: float = 1.0
    v_init: InitV = "ones"
    bias_init: InitBias = "uniform"
    dtype: DType = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        least = {
            "n_inputs": 1,
            "n_units": 2,
            "n_channels": 1,
            "n_outputs": 1,
            "kernel_size": 1,
            "n_decoder": 1,
            "readout_every": 1,
            "seed": 0,
        }
        for name, low in least.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(self, name, whole and value >= low, f"an integer >= {low}")
        require(self, "seed", self.seed < 2**64, "< 2**64")
        for name, choices in (
            ("tie_weights", Tie),
            ("activation", Activation),
            ("decoder", Decoder),
            ("init_u", InitU),
            ("v_init", InitV),
            ("bias_init", InitBias),
            ("dtype", DType),
        ):
            allowed = get_args(choices)
            require(self, name, getattr(self, name) in allowed, f"one of {allowed}")
        require(self, "record_hidden", isinstance(self.record_hidden, bool), "True or False")
        number = isinstance(self.nu, int | float) and math.isfinite(self.nu)
        require(
            self,
            "nu",
            number and 0 <= self.nu <= 1,
            "in [0, 1] units per tick",
            "an explicit step of the advection equation is unstable beyond (CFL condition)",
        )
        if self.tie_weights != "dense":
            self._check_kernel()

    def _check_kernel(self) -> None:
        f, n = self.kernel_size, self.n_units
        require(
            self,
            "kernel_size",
            f % 2 == 1,
            "odd",
            "an even kernel has no centre, so the ring would move by half a unit",
        )
        require(self, "kernel_size", f <= n, f"at most n_units = {n}")
        moves = self.init_u == "shift" and self.nu > 0
        require(
            self,
            "kernel_size",
            f >= 3 or not moves,
            ">= 3 with init_u='shift' and nu > 0",
            "a wave needs the tap of its neighbour; use init_u='identity' or 'random'",
        )

    @property
    def n_neurons(self) -> int:
        """Neurons of all rings together."""
        return self.n_channels * self.n_units

    @classmethod
    def irnn(cls, **changes: Any) -> Self:
        """Return the identity RNN the Wave-RNN is compared with, for the adding and copy tasks.

        Dense weights starting at the identity, rectified, input weights of deviation 0.001 and
        no bias in the recurrence's way. With ``init_u="shift"`` it is the same plus a wave.
        """
        base = {
            "tie_weights": "dense",
            "init_u": "identity",
            "v_init": "normal",
            "bias_init": "zero",
        }
        return cls(**{**base, **changes})
