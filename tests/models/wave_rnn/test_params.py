"""What a parameter set refuses, and what its values mean."""

from __future__ import annotations

from typing import Any

import pytest

from biomem.errors import ParameterError
from biomem.models.wave_rnn import WaveRNN, WaveRNNParams


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd, got 4; an even kernel has no centre"),
        ({"kernel_size": 9, "n_units": 8}, "kernel_size must be at most n_units = 8, got 9"),
        ({"kernel_size": 1}, "kernel_size must be >= 3 with init_u='shift'"),
        ({"nu": 1.01}, r"nu must be in \[0, 1\] units per tick, got 1.01; .*CFL"),
        ({"nu": -0.1}, r"nu must be in \[0, 1\]"),
        ({"nu": float("nan")}, r"nu must be in \[0, 1\]"),
        ({"nu": "fast"}, r"nu must be in \[0, 1\]"),
        ({"n_units": 1}, "n_units must be an integer >= 2, got 1"),
        ({"n_channels": 0}, "n_channels must be an integer >= 1, got 0"),
        ({"n_inputs": 1.5}, "n_inputs must be an integer >= 1, got 1.5"),
        ({"n_outputs": True}, "n_outputs must be an integer >= 1, got True"),
        ({"readout_every": 0}, "readout_every must be an integer >= 1"),
        ({"n_decoder": 0}, "n_decoder must be an integer >= 1"),
        ({"seed": 2**64}, r"seed must be < 2\*\*64"),
        ({"activation": "sigmoid"}, "activation must be one of .*'tanh'.*, got 'sigmoid'"),
        ({"tie_weights": "free"}, "tie_weights must be one of"),
        ({"decoder": "deep"}, "decoder must be one of"),
        ({"init_u": "zero"}, "init_u must be one of"),
        ({"v_init": "solo"}, "v_init must be one of"),
        ({"bias_init": None}, "bias_init must be one of"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"record_hidden": 1}, "record_hidden must be True or False"),
    ],
)
def test_refuses_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        WaveRNNParams(**changes)


def test_a_kernel_of_one_tap_stands_still() -> None:
    assert WaveRNNParams(kernel_size=1, nu=0.0).nu == 0.0
    assert WaveRNNParams(kernel_size=1, init_u="identity").kernel_size == 1
    assert WaveRNNParams(kernel_size=4, tie_weights="dense").kernel_size == 4, "not used"


def test_weights_of_another_shape_or_name_are_refused() -> None:
    model = WaveRNN(n_units=8)
    weights = dict(model.weights)
    with pytest.raises(ParameterError, match=r"ring_bias must have shape \(1,\), got \(2,\)"):
        model.with_weights({**weights, "ring_bias": weights["ring_bias"].repeat(2)})
    del weights["ring_bias"]
    with pytest.raises(ParameterError, match=r"weights must be named .*'ring_bias'"):
        model.with_weights(weights)


# Counts with biases, as the published code has them.
@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"n_inputs": 10, "n_outputs": 10, "n_units": 100, "n_channels": 6}, 12_724),
        ({"n_inputs": 2, "n_units": 100, "n_channels": 27}, 13_015),
        ({"n_outputs": 10, "n_units": 256, "n_channels": 16}, 49_946),
        ({"n_outputs": 10, "n_units": 256, "n_channels": 16, "decoder": "mlp"}, 419_686),
        ({"n_inputs": 96, "n_outputs": 10, "n_units": 256, "n_channels": 16}, 439_066),
    ],
)
def test_number_of_parameters(changes: dict[str, Any], count: int) -> None:
    assert sum(w.size for w in WaveRNN(**changes).weights.values()) == count


@pytest.mark.parametrize(
    ("changes", "count"),
    [({"n_inputs": 2, "n_units": 100}, 10_501), ({"n_outputs": 10, "n_units": 256}, 68_874)],
)
def test_number_of_parameters_of_the_identity_rnn(changes: dict[str, Any], count: int) -> None:
    model = WaveRNN(WaveRNNParams.irnn(**changes))
    assert sum(w.size for w in model.weights.values()) == count
