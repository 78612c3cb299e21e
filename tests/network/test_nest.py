"""NEST as an oracle: its `iaf_psc_exp` fires within one tick of our exactly integrated neuron.

NEST is GPL and therefore no extra of ours. To run these: ``conda install -c conda-forge
nest-simulator``, or ``pip install nest-simulator`` where a wheel is offered.
"""

from __future__ import annotations

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.network import (
    LIF,
    CurrentExp,
    Explicit,
    Population,
    Projection,
    SpikeArray,
    SpikingNetwork,
)

DT, TICKS, SOURCES, CELLS, DELAY = 1e-4, 20_000, 40, 10, 15
TAU_M, C_M, TAU_EX, TAU_IN, T_REF = 20.0, 250.0, 3.0, 6.0, 2.0  # ms, pF


@pytest.fixture
def nest():
    module = pytest.importorskip("nest", reason="needs NEST; see this module for how to install it")
    module.verbosity = module.VerbosityLevel.ERROR
    module.ResetKernel()
    module.resolution = DT * 1e3
    return module


@pytest.fixture
def case(rng):
    """Return spikes as ticks by source, and weights in pA: half excitatory, half inhibitory."""
    trains = [np.flatnonzero(rng.random(TICKS - 100) < 0.003) + 50 for _ in range(SOURCES)]
    weight = rng.uniform(100.0, 400.0, (SOURCES, CELLS))
    weight[SOURCES // 2 :] *= -0.5
    return trains, weight


def ours(trains, weight, bias):
    neuron = LIF(
        tau_mem=TAU_M * 1e-3,
        r=TAU_M / C_M,
        v_leak=-70.0,
        v_th=-55.0,
        v_reset=-70.0,
        tau_ref=T_REF * 1e-3,
        i_bias=bias,
        synapse=CurrentExp(tau_exc=TAU_EX * 1e-3, tau_inh=TAU_IN * 1e-3),
    )
    half = SOURCES // 2
    arrays = {}
    for name, own in (("exc", trains[:half]), ("inh", trains[half:])):
        tick = np.concatenate(own)
        unit = np.repeat(np.arange(half), [len(train) for train in own])
        order = np.argsort(tick, kind="stable")
        arrays |= {f"{name}/time": tick[order] * DT, f"{name}/unit": unit[order]}
    net = SpikingNetwork(
        populations=(
            Population(name="exc", n=half, neuron=SpikeArray(), sign="exc"),
            Population(name="inh", n=half, neuron=SpikeArray(), sign="inh"),
            Population(name="cells", n=CELLS, neuron=neuron),
        ),
        projections=tuple(
            Projection(pre=name, post="cells", rule=Explicit(), delay=DELAY * DT)
            for name in ("exc", "inh")
        ),
        weights={**arrays, "exc>cells/weight": weight[:half], "inh>cells/weight": weight[half:]},
        dt=DT,
    )
    spikes = Simulator(net).run(ticks=TICKS)["spikes"][:, 0, net.units("cells")]
    return [np.flatnonzero(spikes[:, j]) for j in range(CELLS)]


def nests(nest, trains, weight, bias):
    step = DT * 1e3
    cells = nest.Create(
        "iaf_psc_exp",
        CELLS,
        {
            "tau_m": TAU_M,
            "C_m": C_M,
            "tau_syn_ex": TAU_EX,
            "tau_syn_in": TAU_IN,
            "t_ref": T_REF,
            "E_L": -70.0,
            "V_m": -70.0,
            "V_reset": -70.0,
            "V_th": -55.0,
            "I_e": bias,
        },
    )
    recorder = nest.Create("spike_recorder")
    nest.Connect(cells, recorder)
    for train, row in zip(trains, weight, strict=True):
        times = np.round(train * step, 1)
        generator = nest.Create("spike_generator", {"spike_times": times})
        for cell, w in zip(cells, row, strict=True):
            nest.Connect(generator, cell, syn_spec={"weight": float(w), "delay": DELAY * step})
    nest.Simulate(TICKS * step)
    events = recorder.get("events")
    # NEST stamps a spike with the end of its step.
    tick = np.rint(events["times"] / step).astype(int) - 1
    first = int(cells[0].global_id)
    return [np.sort(tick[events["senders"] == first + j]) for j in range(CELLS)]


@pytest.mark.parametrize("bias", [150.0, 220.0])
def test_exact_integration_fires_within_a_tick_of_nest(nest, case, bias):
    trains, weight = case
    for want, got in zip(
        nests(nest, trains, weight, bias), ours(trains, weight, bias), strict=True
    ):
        assert len(got) == len(want) > 10
        assert np.abs(got - want).max() <= 1
        assert (got == want).mean() > 0.95
