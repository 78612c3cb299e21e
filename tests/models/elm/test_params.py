"""Parameters: what is refused, and by which name; derived sizes; JSON."""

from __future__ import annotations

from typing import Any

import pytest

from biomem.errors import ParameterError
from biomem.models.elm import ELMParams


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"version": "v3"}, "version"),
        ({"routing": "other"}, "routing"),
        ({"activation": "tanh"}, "activation"),
        ({"dtype": "float16"}, "dtype"),
        ({"learn_tau": 2}, "learn_tau"),
        ({"n_inputs": 0}, "n_inputs"),
        ({"n_memory": 2.0}, "n_memory"),
        ({"n_outputs": True}, "n_outputs"),
        ({"n_layers": -1}, "n_layers"),
        ({"n_hidden": 0}, "n_hidden"),
        ({"n_branches": 0}, "n_branches"),
        ({"gain": 0.0}, "gain"),
        ({"dt": float("nan")}, "dt"),
        ({"dt": "1"}, "dt"),
        ({"tau_branch": 0.0}, "tau_branch"),
        ({"tau_min": float("inf")}, "tau_min"),
        ({"tau_min": 0.2, "tau_max": 0.1}, "tau_max"),
        ({"synapse_init": float("inf")}, "synapse_init"),
        ({"seed": -1}, "seed"),
        ({"n_inputs": 6, "n_branches": 2, "synapses_per_branch": 2}, "n_inputs"),
        ({"n_inputs": 7, "n_branches": 2, "synapses_per_branch": 4, "routing": "neuronio"}, "even"),
        (
            {"n_inputs": 8, "n_branches": 2, "synapses_per_branch": 3, "routing": "neuronio"},
            "synapses_per_branch",
        ),
    ],
)
def test_refusals_name_the_parameter(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        ELMParams(**changes)


def test_sizes_follow_from_what_was_given() -> None:
    params = ELMParams(n_inputs=12, n_branches=4, synapses_per_branch=3, n_memory=5, n_layers=2)
    assert (params.branches, params.n_synapses, params.hidden) == (4, 12, 10)
    assert params.widths == (9, 10, 10, 5)
    assert ELMParams(n_inputs=7).branches == 7


def test_parameters_read_back() -> None:
    params = ELMParams.neuronio(n_memory=50, routing="random")
    assert eval(repr(params), {"ELMParams": ELMParams}) == params
    assert ELMParams.from_dict(params.to_dict()) == params
