"""The column of Maass: its constants, who is connected to whom, and what it does with input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biomem.engine.simulator import Simulator
from biomem.errors import ParameterError
from biomem.network.columns import maass_column

C = {"exc>exc": 0.3, "exc>inh": 0.2, "inh>exc": 0.4, "inh>inh": 0.1}
WEIGHT = {"exc>exc": 30e-9, "exc>inh": 60e-9, "inh>exc": -19e-9, "inh>inh": -19e-9}


def test_the_lattice_holds_a_fifth_of_inhibitory_neurons_at_random():
    column = maass_column()
    exc, inh = (np.array(column.params.named[name].points) for name in ("exc", "inh"))
    assert (len(exc), len(inh)) == (108, 27)
    places = np.concatenate([exc, inh])
    assert len(np.unique(places, axis=0)) == 135
    np.testing.assert_array_equal(places.max(axis=0), [14, 2, 2])
    other = np.array(maass_column(seed=1).params.named["inh"].points)
    assert not np.array_equal(inh, other)
    # Not in one corner: the mean along the column is that of all, to 4 standard errors.
    assert abs(inh[:, 0].mean() - 7) < 4 * 4.3 / math.sqrt(27)


@pytest.mark.parametrize("name", C)
def test_connections_follow_the_distance(name):
    found = expected = spread = 0.0
    for seed in range(6):
        column = maass_column(seed=seed)
        pre, post = (np.array(column.params.named[end].points) for end in name.split(">"))
        squared = ((pre[:, None] - post[None]) ** 2).sum(axis=2)
        p = np.where(squared > 0, C[name] * np.exp(-squared / 4.0), 0.0)
        found += len(column.weights[f"{name}/target"])
        expected += p.sum()
        spread += (p * (1 - p)).sum()
    assert abs(found - expected) < 4 * math.sqrt(spread)


@pytest.mark.parametrize("name", WEIGHT)
def test_weights_are_gamma_distributed_about_their_mean(name):
    weight = np.concatenate([maass_column(seed=s).weights[f"{name}/weight"] for s in range(8)])
    n, mean = len(weight), WEIGHT[name]
    assert (weight * np.sign(mean) > 0).all()
    assert abs(weight.mean() / mean - 1) < 4 / math.sqrt(n)
    # Exponential: the variance of the variance is 8 / n.
    assert abs(weight.var() / mean**2 - 1) < 4 * math.sqrt(8 / n)


def test_constants_are_those_of_the_paper():
    column = maass_column(n_inputs=3)
    projections = {q.projection.name: q for q in column.layout.projections}
    delays = {name: q.delay for name, q in projections.items()}
    assert delays == {
        "in>exc": 0,
        "in>inh": 0,
        "exc>exc": 15,
        "exc>inh": 8,
        "inh>exc": 8,
        "inh>inh": 8,
    }
    stp = projections["exc>inh"].projection.stp
    assert (stp.U, stp.tau_rec, stp.tau_facil, stp.spread) == (0.05, 0.125, 1.2, 0.5)
    exc, inh = (column.params.named[name].neuron for name in ("exc", "inh"))
    assert (exc.tau_ref, inh.tau_ref) == (3e-3, 2e-3)
    assert exc.replace(tau_ref=2e-3) == inh
    assert (exc.tau_mem, exc.r, exc.v_th, exc.v_reset) == (30e-3, 1e6, 15e-3, 13.5e-3)
    assert (column.weights["in>exc/weight"] == 18e-9).all()
    assert (column.weights["in>inh/weight"] == 9e-9).all()


def test_it_is_silent_without_input_and_settles_below_threshold():
    column = maass_column(n_inputs=0, traces=("exc",))
    recording = Simulator(column).run(seconds=0.3)
    assert not recording["spikes"].any()
    np.testing.assert_allclose(recording["v"][-1], 13.5e-3, rtol=1e-5)


def rates(seed=0, **changes):
    """Return mean rates, Hz, of both kinds under Poisson input of 50 Hz in 4 channels."""
    column = maass_column(n_inputs=4, seed=seed, **changes)
    rng = np.random.default_rng(seed)
    xs = (rng.random((10_000, 1, 4)) < 50.0 * 1e-4).astype(float)
    spikes = np.asarray(Simulator(column).run(xs)["spikes"])[:, 0]
    return [spikes[:, column.units(name)].mean() / 1e-4 for name in ("exc", "inh")]


def test_input_makes_it_fire_at_plausible_rates():
    exc, inh = rates()
    assert 2 < exc < 60
    assert 2 < inh < 90
    alone, strong = rates(lam=0.0)[0], rates(scale=8.0)[0]
    # Its recurrent synapses excite more than they inhibit, and depress: no explosion.
    assert alone < exc < strong < 1 / 3e-3
    assert alone > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (1,)}, r"shape must hold two places or more, got \(1,\)"),
        ({"scale": -1.0}, r"scale must be finite, >= 0, got -1.0"),
        ({"inhibitory": 1.0}, r"inhibitory must be in \[0, 1\)"),
        ({"lam": -1.0}, r"DistanceDependent.lam must be finite, >= 0"),
        ({"input_probability": 2.0}, r"Bernoulli.p must be in \[0, 1\]"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes, message):
    with pytest.raises(ParameterError, match=message):
        maass_column(**changes)


def test_a_column_without_inhibition_has_one_population():
    column = maass_column((3, 3), n_inputs=0, inhibitory=0.0)
    assert [p.name for p in column.params.populations] == ["exc"]
