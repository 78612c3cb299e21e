"""What a population is made of: neurons, the synapses they listen through, and sources.

The membrane of every integrate-and-fire neuron follows one equation. With ``i`` the input held
over the tick, ``I_r`` the filtered current of receptor ``r`` and ``w`` the adaptation::

    v' = v_leak + K (v - v_leak) + g (i - b w) + sum_r g_r I_r
    z  = v' > v_th + beta w        (or >=)

The update rules differ only in ``K``, ``g`` and ``g_r``. With ``a = dt/tau_mem``,
``E = exp(-dt/tau_mem)`` and ``S = exp(-dt/tau_r)``:

================  =========  =================  ============================================
rule              K          g                  g_r, decay of I_r
================  =========  =================  ============================================
``euler``         1 - a      a r                a r, 1 - dt/tau_r
``exp``           E          (1 - E) r          r tau_r / (tau_r - tau_mem) (S - E), S
``exp_gain_a``    E          a r                a r, S
``unit_gain``     E          1                  1, S
================  =========  =================  ============================================

``exp`` is the exact solution for a constant input and for an exponential current; where
``|tau_r - tau_mem| < 1e-3 tau_mem`` its gain is the limit ``r (dt/tau_mem) E``.

Sources: S. Rotter, M. Diesmann, "Exact digital simulation of time-invariant linear systems with
applications to neuronal modeling", Biol. Cybern. 81 (1999) 381; G. Bellec et al., "Long short-term
memory and learning-to-learn in networks of spiking neurons", NeurIPS 2018 (adaptive threshold);
E. M. Izhikevich, "Simple model of spiking neurons", IEEE Trans. Neural Netw. 14 (2003) 1569.
"""

from __future__ import annotations

import dataclasses
import math

from biomem.engine.params import Params
from biomem.errors import require

__all__ = [
    "LIF",
    "AdaptiveLIF",
    "ConductanceExp",
    "CurrentExp",
    "CurrentInput",
    "Delta",
    "Izhikevich",
    "Poisson",
    "Pulse",
    "SpikeArray",
    "SpikeInput",
]

RULES = ("euler", "exp", "exp_gain_a", "unit_gain")
RESETS = ("to_value", "subtract", "none", "next_tick")


def is_number(value: object) -> bool:
    """Tell whether `value` is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def _finite(owner: Params, *names: str) -> None:
    for name in names:
        require(owner, name, is_number(getattr(owner, name)), "finite")


def _positive(owner: Params, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        require(owner, name, is_number(value) and value > 0, "finite, > 0 s")


def _not_negative(owner: Params, *names: str, unit: str = "") -> None:
    for name in names:
        value = getattr(owner, name)
        require(owner, name, is_number(value) and value >= 0, f"finite, >= 0{unit}")


def _listens(owner: LIF | Izhikevich) -> None:
    known = isinstance(owner.synapse, Delta | Pulse | CurrentExp | ConductanceExp)
    require(owner, "synapse", known, "a Delta, Pulse, CurrentExp or ConductanceExp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delta(Params):
    """A spike of weight ``w`` raises the membrane by ``w`` at once (NEST ``psc_delta``, Brian2)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pulse(Params):
    """A spike of weight ``w`` is an input current ``w`` for one tick (NIR, snnTorch)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurrentExp(Params):
    """A spike of weight ``w`` raises a current by ``w``, which decays exponentially.

    Parameters
    ----------
    tau_exc, tau_inh : float
        Time constants of what excitatory and inhibitory sources cause, s.
    """

    tau_exc: float = 5e-3
    tau_inh: float = 5e-3

    def __post_init__(self) -> None:
        _positive(self, "tau_exc", "tau_inh")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConductanceExp(Params):
    """A spike of weight ``w`` raises a conductance by ``w``, which decays exponentially.

    The input is ``i = sum_r I_r (e_r - v)``, so it depends on the membrane; only the rule
    ``euler`` takes it. Weights are magnitudes: also those of inhibitory sources are >= 0.

    Parameters
    ----------
    tau_exc, tau_inh : float
        Time constants, s.
    e_exc, e_inh : float
        Reversal potentials, in the unit of the membrane.
    """

    tau_exc: float = 5e-3
    tau_inh: float = 10e-3
    e_exc: float = 0.0
    e_inh: float = -80e-3

    def __post_init__(self) -> None:
        _positive(self, "tau_exc", "tau_inh")
        _finite(self, "e_exc", "e_inh")
        require(self, "e_exc", self.e_exc > self.e_inh, f"above e_inh = {self.e_inh}")


Synapse = Delta | Pulse | CurrentExp | ConductanceExp


@dataclasses.dataclass(frozen=True, kw_only=True)
class LIF(Params):
    """Leaky integrate-and-fire neuron; the equation and the rules are those of this module.

    Parameters
    ----------
    tau_mem : float
        Membrane time constant, s.
    decay : float, optional
        Share of the membrane kept per tick, in [0, 1], instead of what the rule makes of
        `tau_mem`; the gain is then that of ``unit_gain``. 1 is a neuron without a leak.
    r : float
        Membrane resistance: gain of the input current.
    v_leak, v_th, v_reset : float
        Rest, threshold and reset; the unit of the membrane is theirs. ``v_reset < v_th``.
    v_init : tuple of two floats, optional
        Initial membranes are uniform in ``[low, high)``; default `v_leak`.
    tau_ref : float
        Refractory time, s: the membrane is held and deaf for ``round(tau_ref / dt)`` ticks after
        a spike; filtered currents go on decaying.
    i_bias : float
        Constant input current.
    rule : {"euler", "exp", "exp_gain_a", "unit_gain"}
    strict : bool
        Fire at ``v > v_th``; False for ``v >= v_th``.
    reset : {"to_value", "subtract", "none", "next_tick"}
        ``next_tick`` lets the membrane stand above threshold and resets it in the next update.
    synapse : Delta, Pulse, CurrentExp or ConductanceExp
    """

    tau_mem: float = 20e-3
    decay: float | None = None
    r: float = 1.0
    v_leak: float = 0.0
    v_th: float = 1.0
    v_reset: float = 0.0
    v_init: tuple[float, ...] | None = None
    tau_ref: float = 0.0
    i_bias: float = 0.0
    rule: str = "exp"
    strict: bool = False
    reset: str = "to_value"
    synapse: Delta | Pulse | CurrentExp | ConductanceExp = Delta()

    def __post_init__(self) -> None:
        _positive(self, "tau_mem")
        _finite(self, "r", "v_leak", "v_th", "v_reset", "i_bias")
        if self.decay is not None:
            share = is_number(self.decay) and 0 <= self.decay <= 1
            require(self, "decay", share, "None or in [0, 1]")
        if self.reset in ("to_value", "next_tick"):
            require(
                self,
                "v_reset",
                self.v_reset < self.v_th,
                f"below v_th = {self.v_th}",
                "a neuron that resets above its threshold fires on every tick",
            )
        if self.reset == "subtract":
            require(self, "v_th", self.v_th > 0, "> 0 with reset='subtract'")
        _not_negative(self, "tau_ref", unit=" s")
        _listens(self)
        require(self, "rule", self.rule in RULES, f"one of {RULES}")
        require(self, "reset", self.reset in RESETS, f"one of {RESETS}")
        _check_range(self, "v_init")
        if isinstance(self.synapse, ConductanceExp):
            require(
                self,
                "rule",
                self.rule == "euler" and self.decay is None,
                "'euler', without decay, where the synapses are conductances",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveLIF(LIF):
    """LIF neuron that tires: every spike raises ``w`` by 1, which decays exponentially.

    Parameters
    ----------
    tau_adapt : float
        Time constant of the adaptation ``w``, s.
    beta : float
        Rise of the threshold per unit of ``w``, >= 0.
    b : float
        Input current taken away per unit of ``w``, >= 0.
    **others
        Those of `LIF`.
    """

    tau_adapt: float = 100e-3
    beta: float = 0.1
    b: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self, "tau_adapt")
        _not_negative(self, "beta", "b")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Izhikevich(Params):
    """Izhikevich's two-variable neuron; membrane in mV, times in ms inside the equations.

    ::

        v' = v + h (0.04 v^2 + 5 v + 140 - w + i)      w' = w + h a (b v - w)
        where v' >= v_peak:  v = c,  w = w + d

    integrated by `substeps` Euler steps of ``h = dt/substeps`` per tick. Steps above about 0.5 ms
    are inaccurate: raise `substeps` there.

    Parameters
    ----------
    a, b, c, d : float
        Rate and sensitivity of the recovery ``w``, reset of ``v`` (mV), and jump of ``w``.
        Defaults: regular spiking.
    v_peak : float
        mV; `c` lies below it.
    substeps : int
        >= 1.
    v_init : tuple of two floats, optional
        Initial membranes are uniform in ``[low, high)``; default `c`; ``w`` begins at ``b v``.
    i_bias : float
        Constant input current.
    synapse : Delta, Pulse, CurrentExp or ConductanceExp
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    v_peak: float = 30.0
    substeps: int = 2
    v_init: tuple[float, ...] | None = None
    i_bias: float = 0.0
    synapse: Delta | Pulse | CurrentExp | ConductanceExp = Pulse()

    def __post_init__(self) -> None:
        _finite(self, "a", "b", "c", "d", "v_peak", "i_bias")
        require(self, "c", self.c < self.v_peak, f"below v_peak = {self.v_peak} mV")
        whole = isinstance(self.substeps, int) and not isinstance(self.substeps, bool)
        require(self, "substeps", whole and self.substeps >= 1, "an integer >= 1")
        _listens(self)
        _check_range(self, "v_init")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeInput(Params):
    """Spikes from outside: one channel of the network's input per unit, values 0 or 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurrentInput(Params):
    """Currents from outside: one channel of the network's input per unit, any finite value.

    They add ``weight * value`` to the input ``i`` of their targets in the same tick.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Poisson(Params):
    """Independent Poisson spike trains of constant rate.

    Parameters
    ----------
    rate : float
        Hz; ``rate * dt``, the probability of a spike in a tick, may not exceed 1.
    """

    rate: float = 10.0

    def __post_init__(self) -> None:
        _not_negative(self, "rate", unit=" Hz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeArray(Params):
    """Given spikes: weights ``"<population>/time"`` (s, ascending) and ``"<population>/unit"``.

    A spike falls on the tick ``round(time / dt)``; every stream of a batch gets the same spikes.
    """


Neuron = LIF | AdaptiveLIF | Izhikevich
Source = SpikeInput | CurrentInput | Poisson | SpikeArray


def _check_range(owner: Params, name: str) -> None:
    value = getattr(owner, name)
    if value is None:
        return
    pair = isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))
    ok = pair and value[0] <= value[1]
    require(owner, name, ok, "None or (low, high), finite, low <= high")
