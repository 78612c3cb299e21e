"""Liquids: features, presets, calibration, formation, sweep; and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomem.engine.random import Rng
from biomem.errors import InputError, ParameterError
from biomem.models.liquid import (
    Counts,
    LastState,
    Liquid,
    Membrane,
    RandomFormation,
    Trace,
    edge_of_chaos,
    hamming_after_a_flip,
    lin2025,
    lyapunov,
    random_liquid,
)
from biomem.network import LIF, Poisson, Population, SpikingNetwork
from biomem.network.columns import maass_column
from biomem.viz import plot_edge_of_chaos


@pytest.fixture(scope="module")
def xs():
    return np.random.default_rng(0).random((40, 6, 16)) < 0.1


@pytest.fixture(scope="module")
def liquid():
    return lin2025(16, 30, const=0.3, seed=3)


def test_the_seed_liquid_is_the_published_recurrence(liquid, xs):
    spikes, v = liquid.run(xs)
    weights = liquid.network.weights
    w_in, w_rec = weights["input>liquid/weight"], weights["liquid>liquid/weight"]
    mem, s = np.zeros((6, 30)), np.zeros((6, 30))
    for t in range(40):
        mem = 0.9 * mem * (1 - s) + xs[t] @ w_in + s @ w_rec
        s = (mem > 5.0).astype(float)
        np.testing.assert_array_equal(spikes[t], s)
        np.testing.assert_allclose(v[t], mem, atol=1e-11)


def test_a_batch_is_its_samples_one_by_one(liquid, xs, monkeypatch):
    whole = liquid.features(xs)
    alone = np.concatenate([liquid.features(xs[:, i : i + 1]) for i in range(6)])
    np.testing.assert_array_equal(whole, alone)
    monkeypatch.setattr("biomem.models.liquid.model.RUN_BYTES", 1)
    np.testing.assert_array_equal(liquid.features(xs), whole)
    np.testing.assert_array_equal(liquid.features(xs, backend="numpy"), whole)


def test_memory_for_batches_changes_no_feature_where_streams_draw(xs, monkeypatch):
    drawn = random_liquid(16, 20, neuron=LIF(v_init=(0.0, 0.9)), input_gain=2.0)
    whole = drawn.features(xs)
    monkeypatch.setattr("biomem.models.liquid.model.RUN_BYTES", 1)
    np.testing.assert_array_equal(drawn.features(xs), whole)


def test_features_are_what_they_say(liquid, xs):
    spikes, v = liquid.run(xs)
    np.testing.assert_array_equal(liquid.features(xs), spikes.sum(axis=0))
    mean = liquid.with_features(Counts(mean=True)).features(xs)
    np.testing.assert_allclose(mean, spikes.mean(axis=0))
    windows = liquid.with_features(Counts(windows=4)).features(xs).reshape(6, 4, 30)
    np.testing.assert_array_equal(windows.sum(axis=1), spikes.sum(axis=0))
    np.testing.assert_array_equal(windows[:, 3], spikes[30:].sum(axis=0))
    np.testing.assert_array_equal(liquid.with_features(Membrane()).features(xs), v[-1])
    np.testing.assert_array_equal(liquid.with_features(LastState()).features(xs), spikes[-1])
    trace = np.zeros((6, 30))
    for row in spikes:
        trace = trace * np.exp(-1 / 30) + row
    np.testing.assert_allclose(liquid.with_features(Trace()).features(xs), trace, rtol=1e-12)


def test_an_encoder_stands_before_the_network(liquid, xs):
    encoded = Liquid(liquid.network, encoder=lambda x: x > 0.5)
    np.testing.assert_array_equal(encoded.features(xs * 0.9), liquid.features(xs))


def test_silence_gives_no_spikes(liquid):
    assert not liquid.features(np.zeros((20, 2, 16))).any()


def test_the_column_is_read_in_both_populations():
    column = Liquid(maass_column(n_inputs=2), ("inh", "exc"))
    assert column.population == ("exc", "inh")
    assert column.features(np.zeros((30, 1, 2))).shape == (1, 135)


def test_scaling_multiplies_the_weights_named(liquid):
    name = "liquid>liquid/weight"
    scaled = liquid.scaled(2.0, ("liquid>liquid",)).network.weights
    np.testing.assert_array_equal(scaled[name], 2 * liquid.network.weights[name])
    assert scaled["input>liquid/weight"] is liquid.network.weights["input>liquid/weight"]


def test_calibration_meets_the_rate(xs):
    found = lin2025(16, 30, const=1.0, seed=3).calibrated(xs, rate=0.05)
    assert found.run(xs)[0].mean() == pytest.approx(0.05, abs=2e-3)


def test_another_seed_is_another_map(liquid, xs):
    assert (lin2025(16, 30, const=0.3, seed=4).features(xs) != liquid.features(xs)).any()


@pytest.mark.parametrize(
    ("formation", "mean", "sd"),
    [
        (RandomFormation(), 0.0, 6.6),
        (RandomFormation(dist="lognormal", mean=20.0, sd=10.0), 0.0, 10 * np.sqrt(2)),
        (RandomFormation(dist="gamma", mean=20.0, sd=5.0), 0.0, 5 * np.sqrt(2)),
        (RandomFormation(dist="normal", mean=50.0, sd=5.0), 0.0, 5 * np.sqrt(2)),
        (
            RandomFormation(dist="histogram", edges=(0.0, 10.0, 30.0), counts=(1.0, 1.0)),
            0.0,
            np.sqrt(2 * (0.5 * (25 + 100 / 12 + 400 + 400 / 12) - 12.5**2)),
        ),
    ],
)
def test_formed_pairs_have_the_moments_of_their_distribution(formation, mean, sd):
    drawn = formation.pairs(Rng(1), (200, 300))
    assert abs(drawn.mean() - mean) < 4 * sd / np.sqrt(drawn.size)
    assert drawn.std() == pytest.approx(sd, rel=0.02)


def test_devices_left_unformed_stay_where_they_are():
    formation = RandomFormation(dist="gamma", mean=20.0, sd=5.0, p_unformed=1.0, g_unformed=0.1)
    assert not formation.pairs(Rng(0), (5, 5)).any()
    half = RandomFormation(dist="gamma", mean=20.0, sd=1.0, p_unformed=0.5).pairs(
        Rng(0), (100, 100)
    )
    assert (half == 0).mean() == pytest.approx(0.25, abs=0.02)


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 5))
def test_formation_is_a_function_of_the_seed(seed, rows, columns):
    formation = RandomFormation(dist="lognormal", mean=5.0, sd=2.0)
    one, two = (formation.pairs(Rng(seed), (rows, columns)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_flip_dies_out_in_a_weak_liquid_and_spreads_in_a_strong_one():
    draw = np.random.default_rng(0)
    xs = draw.random((160, 24, 16)) < 0.03
    liquid = random_liquid(16, 60, seed=1)
    weak, strong = (liquid.scaled(g, ("liquid>liquid",)) for g in (0.1, 4.0))
    assert lyapunov(weak, xs, at=20, ticks=80) < 0 < lyapunov(strong, xs, at=20, ticks=80)
    assert lyapunov(weak, xs, size=1e-6, at=20, ticks=80) < 0
    spread = [hamming_after_a_flip(net, xs, (10, 80), at=20)[80] for net in (weak, strong)]
    assert spread[0] < 0.1 < spread[1]


def test_the_sweep_gives_a_value_of_everything_and_is_drawn():
    xs = np.random.default_rng(0).random((60, 20, 8)) < 0.05
    found = edge_of_chaos(random_liquid(8, 20), xs, [0.2, 3.0], delay=20, progress=False)
    assert all(len(column) == 2 for column in found)
    assert found.rate[1] > found.rate[0]
    axes = plot_edge_of_chaos(found, title="two gains")
    assert [len(axis.lines) > 1 for axis in axes] == [True, True, True]
    with pytest.raises(InputError, match="three Axes"):
        plot_edge_of_chaos(found, ax=[axes[0]])


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda liq, x: Liquid(liq.network, "input"),
            ParameterError,
            r"among the network's \['liq",
        ),
        (
            lambda liq, x: Liquid(
                SpikingNetwork(
                    populations=(
                        Population(name="liquid", n=2),
                        Population(name="noise", neuron=Poisson()),
                    )
                )
            ),
            ParameterError,
            "must have a SpikeInput or a CurrentInput",
        ),
        (lambda liq, x: liq.features(x[:, 0]), InputError, r"shape \(time, batch, input\)"),
        (lambda liq, x: liq.features(x[:, :, :3]), InputError, "must have shape"),
        (lambda liq, x: liq.calibrated(x, rate=0.05, branching=1.0), ParameterError, "one of the"),
        (lambda liq, x: liq.calibrated(0 * x, rate=0.5), ParameterError, "lies outside"),
        (lambda liq, x: lyapunov(liq, x, at=30, ticks=50), InputError, "at least 80 ticks"),
        (lambda liq, x: RandomFormation(dist="beta"), ParameterError, "dist must be one of"),
        (lambda liq, x: RandomFormation(sd=0.0), ParameterError, "sd must be finite, > 0"),
        (lambda liq, x: RandomFormation(p_unformed=0.5), ParameterError, "where no device"),
        (
            lambda liq, x: RandomFormation(dist="histogram", edges=(1.0, 0.0), counts=(1.0,)),
            ParameterError,
            "rising",
        ),
        (lambda liq, x: Counts(windows=0), ParameterError, "windows must be >= 1"),
        (lambda liq, x: Trace(tau=0.0), ParameterError, "tau must be finite, > 0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, kind, words, liquid, xs):
    with pytest.raises(kind, match=words):
        call(liquid, xs)
