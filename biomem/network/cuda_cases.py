"""The network and states on which every GPU kernel is checked against the reference."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from biomem.engine.random import Rng
from biomem.network.connect import (
    Bernoulli,
    Convolution,
    FixedInDegree,
    FixedOutDegree,
    OneToOne,
    Procedural,
)
from biomem.network.draws import Uniform
from biomem.network.model import SpikingNetwork, SpikingNetworkState
from biomem.network.neurons import (
    LIF,
    AdaptiveLIF,
    ConductanceExp,
    CurrentExp,
    CurrentInput,
    Izhikevich,
    Poisson,
    Pulse,
    SpikeArray,
    SpikeInput,
)
from biomem.network.params import Population, Projection
from biomem.network.plasticity import STDP, TsodyksMarkram

__all__ = ["drawn", "example"]

STREAMS, TICKS = 2, 3

_SHORT = TsodyksMarkram(U=0.4, tau_rec=20e-3, tau_facil=8e-3)
_LEARNING = STDP(a_plus=0.05, a_minus=0.06, tau_plus=5e-3, tau_minus=7e-3, w_max=1.5)
_OWN = Uniform(low=1e-3, high=4e-3)


@cache
def example() -> SpikingNetwork:
    """Return a network with every kind of source, neuron, synapse, form and plasticity."""
    return SpikingNetwork(
        populations=(
            Population(name="in", n=4, neuron=SpikeInput()),
            Population(name="current", n=3, neuron=CurrentInput()),
            Population(name="noise", n=6, neuron=Poisson(rate=300.0)),
            Population(name="given", n=3, neuron=SpikeArray()),
            Population(name="a", n=6, neuron=LIF(tau_ref=2e-3, strict=True)),
            Population(name="b", n=6, neuron=AdaptiveLIF(synapse=CurrentExp(), r=5.0, b=0.1)),
            Population(name="c", n=4, neuron=Izhikevich(synapse=ConductanceExp(), substeps=2)),
            Population(name="d", n=24, neuron=LIF(synapse=Pulse(), reset="subtract", r=9.0)),
        ),
        projections=(
            Projection(pre="in", post="a", name="dense", weight=Uniform(), stp=_SHORT),
            Projection(pre="current", post="a", name="graded", weight=Uniform()),
            Projection(
                pre="current",
                post="b",
                name="spread",
                weight=Uniform(),
                rule=FixedInDegree(k=2),
                storage="csr",
            ),
            Projection(pre="noise", post="b", name="drawn", weight=0.4, rule=Procedural(k=6)),
            Projection(
                pre="b", post="d", name="scaled draws", weight=0.4, rule=Procedural(k=3), stp=_SHORT
            ),
            Projection(
                pre="in",
                post="d",
                name="scaled kernel",
                weight=Uniform(),
                rule=Convolution(
                    in_shape=(1, 2, 2), out_channels=6, kernel=(2, 2), stride=2, padding=1
                ),
                stp=_SHORT,
            ),
            Projection(pre="noise", post="a", name="one", weight=0.5, rule=OneToOne()),
            Projection(
                pre="given",
                post="d",
                name="kernel",
                weight=Uniform(low=-0.3, high=1.0),
                rule=Convolution(in_shape=(1, 1, 3), out_channels=2, kernel=(1, 2), padding=1),
            ),
            Projection(
                pre="noise",
                post="c",
                name="source",
                weight=0.05,
                rule=FixedOutDegree(k=2),
                storage="csr",
                delay=3e-3,
            ),
            Projection(
                pre="a",
                post="b",
                name="learned",
                weight=Uniform(),
                rule=Bernoulli(p=0.6),
                delay=_OWN,
                stdp=_LEARNING,
                stp=_SHORT.replace(spread=0.5),
            ),
            Projection(pre="b", post="a", name="matrix", weight=Uniform(), stdp=_LEARNING),
            Projection(pre="c", post="d", name="alike", weight=-0.02),
            Projection(pre="a", post="c", name="bits", weight=0.05, rule=Bernoulli(p=0.4)),
            Projection(
                pre="a", post="d", name="late", weight=0.3, rule=FixedOutDegree(k=3), delay=_OWN
            ),
        ),
        weights={
            "given/time": np.repeat(np.arange(8), 2) * 2e-3,
            "given/unit": np.arange(16) % 3,
        },
        traces=("b", "d"),
    )


def drawn(seed: int) -> tuple[SpikingNetworkState, NDArray[np.bool_], np.random.Generator]:
    """Return a state of `example` in the middle of things, spikes of a chunk, and the draw."""
    net, draw = example(), np.random.default_rng(seed)
    state = net.init_state(STREAMS, Rng(seed))
    sizes = net.layout.sizes
    spikes = draw.random((TICKS, STREAMS, sizes["unit"])) < 0.4
    return (
        state._replace(
            v=draw.normal(0.5, 0.6, state.v.shape),
            adaptation=draw.random(state.adaptation.shape),
            current=draw.normal(0, 0.2, state.current.shape),
            fired=draw.random(state.fired.shape) < 0.3,
            refractory=draw.integers(0, 3, state.refractory.shape).astype(np.int32),
            ring=draw.integers(-(2**55), 2**56, state.ring.shape),
            trace_pre=draw.random(state.trace_pre.shape),
            trace_post=draw.random(state.trace_post.shape),
            stp_last=draw.integers(-1, 5, state.stp_last.shape),
        ),
        spikes,
        draw,
    )
