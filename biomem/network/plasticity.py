"""Synapses that change: short-term plasticity and pair STDP.

**Short-term** (Tsodyks-Markram), at the k-th spike of a source, ``D`` after the one before::

    u_k = U + u_{k-1} (1 - U) exp(-D/tau_facil)                                u_1 = U
    R_k = 1 + (R_{k-1} - u_{k-1} R_{k-1} - 1) exp(-D/tau_rec)                  R_1 = 1
    the spike has the weight  w u_k R_k

A time constant of 0 means an instant decay: its exponential is 0.

**Spike-timing dependent** (pair-based, all pairs), once per tick after every population has fired,
with traces ``x`` of sources and ``y`` of targets::

    x <- x exp(-dt/tau_plus)      y <- y exp(-dt/tau_minus)
    a source fired:   w <- max(w - a_minus y, w_min)
    a target fired:   w <- min(w + a_plus x, w_max)
    x <- x + 1 where a source fired;  y <- y + 1 where a target fired

so spikes of one tick do not pair with each other, and a spike travels with the weight from before
its own tick. Learning sees a source's spike when it is fired, not when it arrives: the delay is
one of the dendrite.

Sources: M. Tsodyks, K. Pawelzik, H. Markram, Neural Comput. 10 (1998) 821; H. Markram, Y. Wang,
M. Tsodyks, PNAS 95 (1998) 5323; S. Song, K. D. Miller, L. F. Abbott, Nat. Neurosci. 3 (2000) 919;
A. Morrison, M. Diesmann, W. Gerstner, Biol. Cybern. 98 (2008) 459.
"""

from __future__ import annotations

import dataclasses
import math

from biomem.engine.params import Params
from biomem.errors import require

__all__ = ["STDP", "TsodyksMarkram"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TsodyksMarkram(Params):
    """Short-term depression and facilitation; the equations are those of this module.

    Parameters
    ----------
    U : float
        Use of a first spike, in (0, 1].
    tau_rec, tau_facil : float
        Recovery and facilitation time constants, s, >= 0.
    spread : float
        Standard deviation of every synapse's own three values, as a share of the mean; draws
        <= 0 are drawn anew from ``U(0, 2 mean)``. With 0 all synapses of a source share one state.
    """

    U: float = 0.5
    tau_rec: float = 0.8
    tau_facil: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        require(self, "U", 0 < self.U <= 1, "in (0, 1]")
        for name in ("tau_rec", "tau_facil", "spread"):
            value = getattr(self, name)
            require(self, name, math.isfinite(value) and value >= 0, "finite, >= 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class STDP(Params):
    """Pair-based spike-timing dependent plasticity with hard bounds; see this module.

    Parameters
    ----------
    a_plus, a_minus : float
        Change of a weight per unit of trace, in the unit of the weight, >= 0.
    tau_plus, tau_minus : float
        Time constants of the traces of sources and targets, s.
    w_min, w_max : float
        Bounds of the weight.
    """

    a_plus: float = 0.01
    a_minus: float = 0.0105
    tau_plus: float = 20e-3
    tau_minus: float = 20e-3
    w_min: float = 0.0
    w_max: float = 1.0

    def __post_init__(self) -> None:
        for name in ("a_plus", "a_minus"):
            value = getattr(self, name)
            require(self, name, math.isfinite(value) and value >= 0, "finite, >= 0")
        for name in ("tau_plus", "tau_minus"):
            value = getattr(self, name)
            require(self, name, math.isfinite(value) and value > 0, "finite, > 0 s")
        require(self, "w_min", math.isfinite(self.w_min), "finite")
        ok = math.isfinite(self.w_max) and self.w_max > self.w_min
        require(self, "w_max", ok, f"finite, above w_min = {self.w_min}")
