"""Parameters of spiking networks: what is refused, with what came, what is allowed, what to do."""

from __future__ import annotations

import math

import pytest

from biomem.errors import ParameterError
from biomem.network import (
    LIF,
    STDP,
    AdaptiveLIF,
    AllToAll,
    Bernoulli,
    ConductanceExp,
    Convolution,
    CurrentExp,
    CurrentInput,
    DistanceDependent,
    Explicit,
    FixedInDegree,
    FixedOutDegree,
    Gamma,
    Izhikevich,
    Lognormal,
    Normal,
    OneToOne,
    Poisson,
    Population,
    Procedural,
    Projection,
    SmallWorld,
    SpikeInput,
    SpikingNetworkParams,
    TsodyksMarkram,
    Uniform,
)

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("make", "values", "message"),
    [
        (LIF, {"tau_mem": 0.0}, r"LIF.tau_mem must be finite, > 0 s, got 0.0"),
        (LIF, {"tau_mem": NAN}, r"LIF.tau_mem must be finite, > 0 s, got nan"),
        (LIF, {"tau_mem": "20 ms"}, r"LIF.tau_mem must be finite, > 0 s, got '20 ms'"),
        (LIF, {"v_th": INF}, r"LIF.v_th must be finite, got inf"),
        (LIF, {"r": NAN}, r"LIF.r must be finite, got nan"),
        (LIF, {"v_reset": 2.0}, r"LIF.v_reset must be below v_th = 1.0, got 2.0; a neuron that"),
        (LIF, {"v_th": -1.0, "v_reset": -2.0, "reset": "subtract"}, r"v_th must be > 0 with reset"),
        (LIF, {"tau_ref": -1e-3}, r"LIF.tau_ref must be finite, >= 0 s, got -0.001"),
        (LIF, {"decay": 1.5}, r"LIF.decay must be None or in \[0, 1\], got 1.5"),
        (LIF, {"rule": "rk4"}, r"LIF.rule must be one of \('euler', .*got 'rk4'"),
        (LIF, {"reset": "hard"}, r"LIF.reset must be one of .*got 'hard'"),
        (LIF, {"v_init": (1.0, 0.0)}, r"LIF.v_init must be None or \(low, high\)"),
        (LIF, {"v_init": 0.0}, r"LIF.v_init must be None or \(low, high\)"),
        (LIF, {"synapse": "exp"}, r"LIF.synapse must be a Delta, Pulse, .* got 'exp'"),
        (LIF, {"synapse": ConductanceExp()}, r"LIF.rule must be 'euler', without decay"),
        (AdaptiveLIF, {"tau_adapt": 0.0}, r"AdaptiveLIF.tau_adapt must be finite, > 0 s"),
        (AdaptiveLIF, {"beta": -0.1}, r"AdaptiveLIF.beta must be finite, >= 0, got -0.1"),
        (CurrentExp, {"tau_exc": -1.0}, r"CurrentExp.tau_exc must be finite, > 0 s"),
        (ConductanceExp, {"e_exc": -1.0}, r"ConductanceExp.e_exc must be above e_inh = -0.08"),
        (Izhikevich, {"c": 40.0}, r"Izhikevich.c must be below v_peak = 30.0 mV, got 40.0"),
        (Izhikevich, {"substeps": 0}, r"Izhikevich.substeps must be an integer >= 1, got 0"),
        (Izhikevich, {"a": NAN}, r"Izhikevich.a must be finite, got nan"),
        (Poisson, {"rate": -1.0}, r"Poisson.rate must be finite, >= 0 Hz, got -1.0"),
        (STDP, {"tau_plus": 0.0}, r"STDP.tau_plus must be finite, > 0 s, got 0.0"),
        (STDP, {"a_minus": -0.1}, r"STDP.a_minus must be finite, >= 0, got -0.1"),
        (STDP, {"w_min": 1.0}, r"STDP.w_max must be finite, above w_min = 1.0, got 1.0"),
        (STDP, {"w_min": -INF}, r"STDP.w_min must be finite, got -inf"),
        (TsodyksMarkram, {"U": 0.0}, r"TsodyksMarkram.U must be in \(0, 1\], got 0.0"),
        (TsodyksMarkram, {"tau_rec": NAN}, r"TsodyksMarkram.tau_rec must be finite, >= 0"),
        (Bernoulli, {"p": 1.1}, r"Bernoulli.p must be in \[0, 1\], got 1.1"),
        (DistanceDependent, {"c": -0.1}, r"DistanceDependent.c must be in \[0, 1\], got -0.1"),
        (DistanceDependent, {"lam": INF}, r"DistanceDependent.lam must be finite, >= 0"),
        (FixedInDegree, {"k": -1}, r"FixedInDegree.k must be an integer >= 0, got -1"),
        (FixedOutDegree, {"k": 1.5}, r"FixedOutDegree.k must be an integer >= 0, got 1.5"),
        (SmallWorld, {"k": 3}, r"SmallWorld.k must be an even integer >= 2, got 3"),
        (Procedural, {"k": 2**16}, r"Procedural.k must be an integer in \[0, 65536\)"),
        (Explicit, {"storage": "coo"}, r"Explicit.storage must be 'dense' or 'csr', got 'coo'"),
        (Convolution, {"in_shape": (28, 28)}, r"in_shape must be \(channels, height, width\)"),
        (Convolution, {"kernel": (40, 3)}, r"Convolution.kernel must be no larger than the padded"),
        (Convolution, {"stride": 0}, r"Convolution.stride must be >= 1, got 0"),
        (Normal, {"sd": -1.0}, r"Normal.sd must be finite, >= 0, got -1.0"),
        (Normal, {"low": 1.0, "high": 0.0}, r"Normal.low must be <= high = 0.0, got 1.0"),
        (Uniform, {"low": 2.0}, r"Uniform.high must be finite, >= low = 2.0, got 1.0"),
        (Gamma, {"cv": 0.0}, r"Gamma.cv must be finite, > 0, got 0.0"),
        (Lognormal, {"mean": NAN}, r"Lognormal.mean must be finite, got nan"),
        (Population, {"n": 0}, r"Population.n must be an integer >= 1, got 0"),
        (Population, {"n": True}, r"Population.n must be an integer >= 1, got True"),
        (Population, {"name": "a/b"}, r"Population.name must be a name without '/' and '>'"),
        (Population, {"name": ""}, r"Population.name must be a name"),
        (Population, {"neuron": "LIF"}, r"Population.neuron must be a neuron or a source"),
        (Population, {"sign": "+"}, r"Population.sign must be 'exc', 'inh' or 'any', got '\+'"),
        (Population, {"n": 5, "grid": (2, 2)}, r"grid must be a shape of n = 5 places"),
        (Population, {"n": 4, "grid": (-2, -2)}, r"grid must be a shape of n = 4 places"),
        (Population, {"n": 2, "points": ((0.0,),)}, r"points must be n = 2 tuples of one length"),
        (Projection, {"weight": NAN}, r"Projection.weight must be finite, or a distribution"),
        (Projection, {"delay": -1e-3}, r"Projection.delay must be None, .* >= 0 s, got -0.001"),
        (Projection, {"rule": 0.1}, r"Projection.rule must be a connection rule"),
        (Projection, {"stp": STDP()}, r"Projection.stp must be None or a TsodyksMarkram"),
        (Projection, {"stdp": True}, r"Projection.stdp must be None or an STDP, got True"),
        (Projection, {"weight": LIF()}, r"Projection.weight must be a number, a Normal"),
        (Projection, {"receptor": "ampa"}, r"Projection.receptor must be auto, exc or inh"),
        (Projection, {"storage": "coo"}, r"Projection.storage must be auto, dense or csr"),
        (Projection, {"rule": Procedural(), "weight": Uniform()}, r"rule must be stored, where"),
        (Projection, {"rule": Procedural(), "stdp": STDP()}, r"stdp must be None for a rule"),
        (
            Projection,
            {"rule": Convolution(), "stp": TsodyksMarkram(spread=0.5)},
            r"stp must be of spread 0",
        ),
        (Projection, {"stdp": STDP(), "storage": "dense"}, r"storage must be 'csr' with plast"),
        (SpikingNetworkParams, {"dt": 0.0}, r"SpikingNetworkParams.dt must be finite, > 0 s"),
        (SpikingNetworkParams, {"dtype": "float16"}, r"dtype must be 'float32' or 'float64'"),
        (SpikingNetworkParams, {"populations": ()}, r"populations must be at least one"),
        (SpikingNetworkParams, {"populations": (LIF(),)}, r"populations must be a tuple of Popu"),
        (SpikingNetworkParams, {"projections": Projection()}, r"projections must be a tuple of"),
        (SpikingNetworkParams, {"seed": -1}, r"seed must be an integer in \[0, 2\^64\), got -1"),
        (SpikingNetworkParams, {"traces": ("x",)}, r"traces must be names of populations of neur"),
    ],
)
def test_values_out_of_range_are_refused_by_name(make, values, message):
    with pytest.raises(ParameterError, match=message):
        make(**values)


A, B, C = (Population(name=name, n=4) for name in "abc")
IN = Population(name="in", n=4, neuron=SpikeInput())
CURRENT = Population(name="current", n=4, neuron=CurrentInput())
EXC, INH = A.replace(sign="exc"), B.replace(sign="inh")


def test_a_cycle_without_delay_is_refused_and_the_populations_named():
    with pytest.raises(ParameterError, match=r"cycle through \['a', 'b'\]; give one of them a del"):
        SpikingNetworkParams(
            populations=(IN, A, B),
            projections=(
                Projection(pre="in", post="a"),
                Projection(pre="a", post="b", delay=0.0),
                Projection(pre="b", post="a", delay=0.0),
            ),
        )


def test_a_population_reaching_itself_without_delay_is_a_cycle():
    with pytest.raises(ParameterError, match=r"cycle through \['a'\]"):
        SpikingNetworkParams(
            populations=(A,), projections=(Projection(pre="a", post="a", delay=0.0),)
        )


def test_a_delay_below_half_a_tick_counts_as_none():
    cycle = (Projection(pre="a", post="a", delay=0.4e-3),)
    with pytest.raises(ParameterError, match="without delay form a cycle"):
        SpikingNetworkParams(populations=(A,), projections=cycle)
    assert SpikingNetworkParams(populations=(A,), projections=cycle, dt=1e-4).order == (0,)


def test_a_cycle_with_one_delayed_projection_is_taken_in_order():
    params = SpikingNetworkParams(
        populations=(A, B, C, IN),
        projections=(
            Projection(pre="c", post="b", delay=0.0),
            Projection(pre="b", post="a", delay=0.0),
            Projection(pre="a", post="c"),
            Projection(pre="in", post="c"),
        ),
    )
    assert params.order == (3, 2, 1, 0)


@pytest.mark.parametrize(
    ("populations", "projection", "message"),
    [
        ((A,), {"pre": "x"}, r"Projection 'x>a': pre must be one of \['a'\], got 'x'"),
        ((A,), {"post": "x"}, r"Projection 'a>x': post must be one of \['a'\], got 'x'"),
        ((A, IN), {"post": "in"}, r"post must be neurons, got the SpikeInput 'in'"),
        (
            (A, B.replace(n=5)),
            {"post": "b", "rule": OneToOne()},
            r"OneToOne needs populations of one size, got 4 and 5",
        ),
        (
            (A, B),
            {"post": "b", "rule": Convolution(in_shape=(1, 2, 2), kernel=(1, 1))},
            r"from \(1, 2, 2\) to \(8, 2, 2\) needs 4 sources and 32 targets, got 4 and 4",
        ),
        (
            (CURRENT, A),
            {"pre": "current", "delay": 1e-3},
            r"currents from outside act at once .* leave out delay, stp, stdp",
        ),
        ((CURRENT, A), {"pre": "current", "stp": TsodyksMarkram()}, r"leave out delay, stp"),
        ((CURRENT, A), {"pre": "current", "rule": Procedural()}, r"take a stored rule"),
        ((A,), {"delay": 40.0}, r"delay must be <= 32767 ticks of 0.001 s, got 40.0 s"),
        (
            (EXC,),
            {"stdp": STDP(w_min=-1.0)},
            r"'exc' population 'a' must not be negative, got STDP bounds \[-1.0, 1.0\]",
        ),
        (
            (INH,),
            {"pre": "b", "post": "b", "stdp": STDP()},
            r"'inh' population 'b' must not be positive, got STDP bounds \[0.0, 1.0\]",
        ),
    ],
)
def test_projections_that_do_not_fit_are_refused_by_name(populations, projection, message):
    projection = Projection(**({"pre": "a", "post": "a"} | projection))
    with pytest.raises(ParameterError, match=message):
        SpikingNetworkParams(populations=populations, projections=(projection,))


def test_two_of_one_name_are_refused():
    with pytest.raises(ParameterError, match="populations: names must differ, got 'a' twice"):
        SpikingNetworkParams(populations=(A, A))
    twice = (Projection(pre="a", post="a"), Projection(pre="a", post="a", weight=2.0))
    with pytest.raises(ParameterError, match="projections: names must differ, got 'a>a' twice"):
        SpikingNetworkParams(populations=(A,), projections=twice)


@pytest.mark.parametrize(
    ("neuron", "which"),
    [
        (LIF(rule="euler", tau_mem=1e-3), "tau_mem"),
        (LIF(rule="euler", synapse=CurrentExp(tau_inh=1e-3)), "tau_inh"),
        (LIF(rule="euler", synapse=ConductanceExp(tau_exc=1e-3)), "tau_exc"),
        (AdaptiveLIF(rule="euler", tau_adapt=1e-3), "tau_adapt"),
    ],
)
def test_an_euler_step_longer_than_a_time_constant_is_refused(neuron, which):
    cells = (Population(name="cells", neuron=neuron),)
    message = rf"'cells': {which} must be >= dt = 0.002 s .* smaller dt or rule='exp'"
    with pytest.raises(ParameterError, match=message):
        SpikingNetworkParams(populations=cells, dt=2e-3)
    SpikingNetworkParams(populations=cells, dt=1e-3)


def test_more_than_one_poisson_spike_per_tick_is_refused():
    noise = (Population(name="noise", neuron=Poisson(rate=1001.0)),)
    with pytest.raises(ParameterError, match=r"rate \* dt must be <= 1, got 1001.0 Hz \* 0.001 s"):
        SpikingNetworkParams(populations=noise)
    SpikingNetworkParams(populations=noise, dt=9e-4)


def test_parameters_survive_json():
    params = SpikingNetworkParams(
        populations=(EXC.replace(grid=(2, 2)), INH.replace(neuron=Izhikevich())),
        projections=(
            Projection(pre="a", post="b", rule=AllToAll(), weight=Gamma(), stp=TsodyksMarkram()),
            Projection(pre="b", post="a", weight=-1.0, delay=Uniform(low=1e-3, high=2e-3)),
        ),
    )
    assert SpikingNetworkParams.from_dict(params.to_dict()) == params
