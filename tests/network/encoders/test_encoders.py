"""Encoders: their laws, their inverses, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biomem.errors import InputError, ParameterError
from biomem.network.encoders import (
    DeltaEncoder,
    LatencyEncoder,
    PopulationEncoder,
    RateEncoder,
)


@pytest.mark.parametrize("kind", ["bernoulli", "poisson"])
def test_rates_have_the_moments_of_their_law(kind):
    encoder = RateEncoder(max_rate=200.0, kind=kind)
    x = np.linspace(0, 1, 8)[None]
    spikes = encoder.encode(x, 3, ticks=20_000)[:, 0]
    p = 0.2 * x[0] if kind == "bernoulli" else -np.expm1(-0.2 * x[0])
    bound = 4 * np.sqrt(p * (1 - p) / 20_000)
    assert (np.abs(spikes.mean(axis=0) - p) <= bound).all()
    assert not spikes[:, 0].any()
    # Ticks are independent of each other.
    s = spikes[:, -1] - p[-1]
    assert abs((s[1:] * s[:-1]).mean()) < 4 * p[-1] * (1 - p[-1]) / np.sqrt(20_000)
    np.testing.assert_allclose(encoder.decode(spikes[:, None])[0], x[0], atol=0.06)


def test_a_piece_is_what_the_whole_has_there():
    encoder, x = RateEncoder(), np.random.default_rng(0).random((30, 4, 7))
    whole = encoder.encode(x, 5)
    np.testing.assert_array_equal(encoder.encode(x[10:], 5, tick=10), whole[10:])
    np.testing.assert_array_equal(encoder.encode(x[:, 2:], 5, lane=2), whole[:, 2:])
    assert (encoder.encode(x, 6) != whole).any()


def test_linear_latency_is_a_line():
    encoder = LatencyEncoder(duration=0.1, threshold=0.2)
    x = np.array([[1.0, 0.6, 0.2, 0.1]])
    spikes = encoder.encode(x)
    assert spikes.sum(axis=0).tolist() == [[1, 1, 1, 0]]
    assert spikes.argmax(axis=0)[0, :3].tolist() == [0, 50, 99]


def test_logarithmic_latency_is_that_of_a_membrane():
    encoder = LatencyEncoder(duration=0.2, dt=1e-4, kind="log", threshold=0.1, tau=20e-3)
    x = np.array([[0.15, 0.3, 0.9]])
    v, when = np.zeros(3), [None] * 3
    for tick in range(2000):
        v = x[0] + (v - x[0]) * np.exp(-1e-4 / 20e-3)
        for i in range(3):
            if when[i] is None and v[i] >= 0.1:
                when[i] = tick
    assert encoder.encode(x).argmax(axis=0)[0].tolist() == when


@given(hnp.arrays(float, (3, 4), elements=st.floats(0, 1)), st.sampled_from(["linear", "log"]))
@settings(max_examples=40)
def test_latency_comes_back(x, kind):
    encoder = LatencyEncoder(duration=0.2, dt=1e-4, kind=kind, threshold=0.05)
    spikes = encoder.encode(x)
    assert (spikes.sum(axis=0) <= 1).all()
    heard = spikes.any(axis=0)
    got = encoder.decode(spikes)
    assert (got[~heard] == 0).all()
    # What fires in one tick is told apart no further.
    tolerance = 0.95 / (2 * 1999) + 1e-12 if kind == "linear" else 0.06 * x[heard]
    assert (np.abs(got[heard] - x[heard]) <= tolerance).all()


@given(
    hnp.arrays(float, st.tuples(st.integers(1, 20), st.just(2), st.just(3)),
               elements=st.floats(-50, 50)),
    st.floats(0.01, 3.0),
    st.integers(0, 20),
)  # fmt: skip
@settings(max_examples=60)
def test_events_of_changes_rebuild_the_signal_to_a_threshold(x, threshold, cut):
    encoder = DeltaEncoder(threshold=threshold)
    events = encoder.encode(x)
    assert np.abs(encoder.reconstruct(events) - x).max() <= threshold * (1 + 1e-9)
    first, sent = encoder.encode_chunk(x[:cut])
    second, _ = encoder.encode_chunk(x[cut:], sent)
    np.testing.assert_array_equal(np.concatenate([first, second]), events)


def test_single_events_are_spikes_and_follow_a_slow_signal():
    encoder = DeltaEncoder(threshold=0.1, single=True)
    x = np.sin(np.linspace(0, 6, 400))[:, None, None]
    events = encoder.encode(x)
    assert events.dtype == bool
    assert np.abs(encoder.reconstruct(events) - x).max() <= 0.1


@pytest.mark.parametrize("shape", ["gaussian", "cosine"])
def test_a_population_tells_its_number(shape):
    encoder = PopulationEncoder(
        n=12, low=-1, high=3, shape=shape, width=1.0, then=RateEncoder(max_rate=500.0)
    )
    x = np.array([[0.0, 1.3]])
    response = encoder.activity(x)
    assert response.shape == (1, 24)
    assert response.max() <= 1
    spikes = encoder.encode(x, 1, ticks=5000)
    np.testing.assert_allclose(encoder.decode(spikes), x, atol=0.1)
    assert encoder.activity([[encoder.centres[4]]])[0, 4] == 1.0


@pytest.mark.parametrize("encoder", [RateEncoder(), LatencyEncoder(), DeltaEncoder()])
def test_inputs_are_left_as_they_are(encoder):
    x = np.random.default_rng(0).random((5, 2, 3) if not hasattr(encoder, "tau") else (2, 3))
    before = x.copy()
    encoder.encode(x)
    np.testing.assert_array_equal(x, before)
    assert type(encoder).from_dict(encoder.to_dict()) == encoder


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: RateEncoder(max_rate=2000.0), ParameterError, "at most 1 / dt"),
        (lambda: RateEncoder(dt=0.0), ParameterError, "dt must be finite and > 0"),
        (lambda: RateEncoder().encode([[1.5]], ticks=3), InputError, r"must lie in \[0, 1\]"),
        (lambda: RateEncoder().encode([[np.nan]], ticks=3), InputError, r"must lie in \[0, 1\]"),
        (lambda: RateEncoder().encode([[0.5]]), InputError, "needs ticks"),
        (lambda: LatencyEncoder(duration=1.5e-3), ParameterError, "two or more whole ticks"),
        (lambda: LatencyEncoder(kind="log", threshold=0.0), ParameterError, "> 0 for kind 'log'"),
        (lambda: LatencyEncoder().encode([0.5]), InputError, r"shape \(batch, unit\)"),
        (lambda: DeltaEncoder(threshold=-1.0), ParameterError, "threshold must be finite and > 0"),
        (lambda: DeltaEncoder().encode([[[np.inf]]]), InputError, "must be finite"),
        (lambda: DeltaEncoder(threshold=1e-12).encode([[[9.0]]]), InputError, "too small for it"),
        (lambda: DeltaEncoder().reconstruct(np.zeros((2, 1, 3))), InputError, "2 \\* unit"),
        (lambda: PopulationEncoder(n=1), ParameterError, "n must be an integer >= 2"),
        (lambda: PopulationEncoder(shape="cosine", width=0.4), ParameterError, "> 1/2 spacing"),
        (lambda: PopulationEncoder().activity([[np.nan]]), InputError, "finite numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
