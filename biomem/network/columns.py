"""The column of Maass, Natschlaeger and Markram: a liquid of 135 neurons.

W. Maass, T. Natschlaeger, H. Markram, "Real-time computing without stable states: a new framework
for neural computation based on perturbations", Neural Comput. 14 (2002) 2531, appendix B.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from biomem.engine.random import Rng, Stream
from biomem.errors import ParameterError
from biomem.network.connect import Bernoulli, DistanceDependent
from biomem.network.draws import Gamma
from biomem.network.model import SpikingNetwork
from biomem.network.neurons import LIF, CurrentExp, SpikeInput
from biomem.network.params import Population, Projection
from biomem.network.plasticity import TsodyksMarkram

__all__ = ["maass_column"]


class _Kind(NamedTuple):
    """Synapses of one kind of source onto one kind of target: their table in the paper."""

    pre: str
    post: str
    c: float
    weight: float
    delay: float
    stp: TsodyksMarkram


def _short(use: float, depression: float, facilitation: float) -> TsodyksMarkram:
    return TsodyksMarkram(U=use, tau_rec=depression, tau_facil=facilitation, spread=0.5)


_KINDS = (
    _Kind("exc", "exc", 0.3, 30e-9, 1.5e-3, _short(0.5, 1.1, 0.05)),
    _Kind("exc", "inh", 0.2, 60e-9, 0.8e-3, _short(0.05, 0.125, 1.2)),
    _Kind("inh", "exc", 0.4, -19e-9, 0.8e-3, _short(0.25, 0.7, 0.02)),
    _Kind("inh", "inh", 0.1, -19e-9, 0.8e-3, _short(0.32, 0.144, 0.06)),
)
_REFRACTORY = {"exc": 3e-3, "inh": 2e-3}
_INPUT = {"exc": 18e-9, "inh": 9e-9}


def maass_column(
    shape: tuple[int, ...] = (15, 3, 3),
    *,
    n_inputs: int = 1,
    input_probability: float = 0.3,
    lam: float = 2.0,
    scale: float = 1.0,
    inhibitory: float = 0.2,
    dt: float = 1e-4,
    dtype: str = "float64",
    traces: tuple[str, ...] = (),
    seed: int = 0,
) -> SpikingNetwork:
    """Return the column as a network with populations ``"in"``, ``"exc"`` and ``"inh"``.

    Neurons stand on a lattice, a share of them inhibitory at random, and connect with probability
    ``C exp(-(D/lam)^2)``. All values are those of the paper in SI units: leaky neurons (30 ms,
    1 MOhm, threshold 15 mV, reset 13.5 mV, refractory for 3 and 2 ms, a background of 13.5 nA that
    leaves them just below threshold), currents of 3 and 6 ms, gamma-distributed weights, and
    depressing or facilitating synapses each with constants of its own. Without input it is silent.

    When not to use it: as a model of cortex, and where spikes are to be counted at steps of 1 ms,
    to which its delays of 0.8 and 1.5 ms round badly.

    Parameters
    ----------
    shape : tuple of int
        Of the lattice.
    n_inputs : int
        Channels of input spikes; 0 for a column without.
    input_probability : float
        Share of neurons that each channel reaches, by static synapses of 18 nA (excitatory
        targets) and 9 nA (inhibitory), not drawn.
    lam : float
        Length of connections in steps of the lattice; 0 for none.
    scale : float
        Factor on all recurrent weights, >= 0.
    inhibitory : float
        Share of inhibitory neurons, in [0, 1): ``round(share * n)`` of them.
    dt : float
        s.
    dtype, traces, seed
        Of `SpikingNetworkParams`; the seed also decides who is inhibitory.

    Raises
    ------
    ParameterError
        A value out of range, by name.

    Examples
    --------
    >>> column = maass_column(n_inputs=4)
    >>> column
    <SpikingNetwork 135 neurons, ...; in: 4 SpikeInput, exc: 108 LIF, inh: 27 LIF>
    """
    n = math.prod(shape)
    if not (len(shape) and min(shape) >= 1 and n >= 2):
        raise ParameterError(f"maass_column: shape must hold two places or more, got {shape!r}")
    if not (math.isfinite(scale) and scale >= 0):
        raise ParameterError(f"maass_column: scale must be finite, >= 0, got {scale!r}")
    if not 0 <= inhibitory < 1 or round(inhibitory * n) == n:
        raise ParameterError(
            f"maass_column: inhibitory must be in [0, 1) and leave an excitatory neuron, got "
            f"{inhibitory!r} of {n}"
        )
    places = np.stack(np.unravel_index(np.arange(n), shape), 1)
    order = np.argsort(Rng(seed).uniform(Stream.NET_MEMBRANE, np.arange(n)), kind="stable")
    n_inh = round(inhibitory * n)
    chosen = {"inh": np.sort(order[:n_inh]), "exc": np.sort(order[n_inh:])}
    names = tuple(name for name in ("exc", "inh") if len(chosen[name]))
    populations = [
        Population(
            name=name,
            n=len(chosen[name]),
            neuron=_neuron(name),
            sign=name,
            points=tuple(tuple(map(float, place)) for place in places[chosen[name]]),
        )
        for name in names
    ]
    projections = [
        Projection(
            pre=kind.pre,
            post=kind.post,
            rule=DistanceDependent(c=kind.c, lam=lam),
            weight=Gamma(mean=scale * kind.weight, cv=1.0),
            delay=kind.delay,
            stp=kind.stp,
        )
        for kind in _KINDS
        if {kind.pre, kind.post} <= set(names)
    ]
    if n_inputs:
        populations.insert(0, Population(name="in", n=n_inputs, neuron=SpikeInput(), sign="exc"))
        rule = Bernoulli(p=input_probability)
        projections = [
            *(Projection(pre="in", post=name, rule=rule, weight=_INPUT[name]) for name in names),
            *projections,
        ]
    return SpikingNetwork(
        populations=tuple(populations),
        projections=tuple(projections),
        dt=dt,
        dtype=dtype,
        traces=traces,
        seed=seed,
    )


def _neuron(name: str) -> LIF:
    return LIF(
        tau_mem=30e-3,
        r=1e6,
        v_th=15e-3,
        v_reset=13.5e-3,
        v_init=(13.5e-3, 15e-3),
        tau_ref=_REFRACTORY[name],
        i_bias=13.5e-9,
        synapse=CurrentExp(tau_exc=3e-3, tau_inh=6e-3),
    )
