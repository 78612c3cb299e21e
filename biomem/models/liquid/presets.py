"""Liquids ready made; the column of Maass is `biomem.network.columns.maass_column`."""

from __future__ import annotations

import numpy as np

from biomem.models.liquid.features import Counts, Feature
from biomem.models.liquid.formation import RandomFormation
from biomem.models.liquid.model import Liquid
from biomem.network.connect import Bernoulli, Explicit
from biomem.network.draws import Normal
from biomem.network.model import SpikingNetwork
from biomem.network.neurons import LIF, CurrentExp, Pulse, SpikeInput
from biomem.network.params import Population, Projection
from biomem.network.weights import projection_rng

__all__ = ["lin2025", "random_liquid"]


def lin2025(
    n_inputs: int = 256,
    n: int = 200,
    *,
    decay: float = 0.9,
    v_th: float = 5.0,
    const: float = 0.07,
    formation: RandomFormation | None = None,
    dt: float = 1e-3,
    seed: int = 0,
    dtype: str = "float64",
    features: Feature | None = None,
) -> Liquid:
    """Return the liquid of resistive memory, with the published settings of N-MNIST.

    Dense input and recurrent weights ``const (G+ - G-)``, self-connections included::

        v' = decay v (1 - s) + W_in x + W_rec s        s' = v' > v_th

    Parameters
    ----------
    n_inputs, n : int
        256 and 200 for N-MNIST; 64 and 200 for N-TIDIGITS.
    decay, v_th, const : float
        0.9, 5.0, 0.07 for N-MNIST; 0.97, 5.3, 0.08 for N-TIDIGITS. `const` is the most sensitive
        of all: `Liquid.calibrated` finds one for other inputs.
    formation : RandomFormation, optional
        Default: normal differences of 6.6 uS. One seed is one map of devices: report several.
    dt, seed, dtype, features
        As elsewhere; the publication counts ticks, so `dt` only scales time axes.

    Notes
    -----
    Source: N. Lin et al., Nat. Comput. Sci. 5 (2025) 37; the update rule is that of the group's
    sibling program, as theirs was not published. Biases are zero, as on a physical array.
    """
    formation = RandomFormation() if formation is None else formation
    weights = {
        "input>liquid/weight": const * formation.pairs(projection_rng(seed, 0), (n_inputs, n)),
        "liquid>liquid/weight": const * formation.pairs(projection_rng(seed, 1), (n, n)),
    }
    cells = LIF(decay=decay, v_th=v_th, strict=True, reset="next_tick", synapse=Pulse())
    network = SpikingNetwork(
        populations=(
            Population(name="input", n=n_inputs, neuron=SpikeInput()),
            Population(name="liquid", n=n, neuron=cells),
        ),
        projections=(
            Projection(pre="input", post="liquid", rule=Explicit()),
            Projection(pre="liquid", post="liquid", rule=Explicit()),
        ),
        dt=dt,
        seed=seed,
        dtype=dtype,
        weights=weights,
    )
    return Liquid(network, features=Counts() if features is None else features)


def random_liquid(
    n_inputs: int,
    n: int = 200,
    *,
    p_input: float = 0.3,
    p: float = 0.1,
    gain: float = 1.0,
    input_gain: float = 1.0,
    neuron: LIF | None = None,
    dt: float = 1e-3,
    seed: int = 0,
    dtype: str = "float64",
    features: Feature | None = None,
) -> Liquid:
    """Return a sparse random liquid of normal weights.

    Parameters
    ----------
    n_inputs, n : int
    p_input, p : float
        Connection probabilities of inputs and of neurons.
    gain, input_gain : float
        Standard deviation of a weight, times the square root of the expected number of synapses of
        its kind at a neuron, in units of the threshold.
    neuron : LIF, optional
        Default: 20 ms, refractory for 2 ms, currents of 5 ms.
    """
    cells = (
        LIF(tau_mem=20e-3, tau_ref=2e-3, synapse=CurrentExp(tau_exc=5e-3, tau_inh=5e-3))
        if neuron is None
        else neuron
    )
    # A current of 5 ms moves the membrane by about a fifth of its size: weights make up for it.
    reach = 5.0 if isinstance(cells.synapse, CurrentExp) else 1.0
    sd = {
        "input": reach * input_gain * cells.v_th / np.sqrt(max(p_input * n_inputs, 1.0)),
        "liquid": reach * gain * cells.v_th / np.sqrt(max(p * n, 1.0)),
    }
    network = SpikingNetwork(
        populations=(
            Population(name="input", n=n_inputs, neuron=SpikeInput()),
            Population(name="liquid", n=n, neuron=cells),
        ),
        projections=(
            Projection(
                pre="input",
                post="liquid",
                rule=Bernoulli(p=p_input),
                weight=Normal(sd=float(sd["input"])),
            ),
            Projection(
                pre="liquid",
                post="liquid",
                rule=Bernoulli(p=p),
                weight=Normal(sd=float(sd["liquid"])),
            ),
        ),
        dt=dt,
        seed=seed,
        dtype=dtype,
    )
    return Liquid(network, features=features)
