"""The GPU scan; its kernels are checked without a GPU by tests/backends/test_cuda.py."""

from __future__ import annotations

from typing import Any

import pytest

from biomem.models.elm import ELM
from biomem.testing import check_model


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "changes",
    [
        {"n_inputs": 8, "n_branches": 3, "synapses_per_branch": 5, "routing": "neuronio"},
        {"n_inputs": 6, "n_layers": 2, "activation": "silu"},
        {"n_inputs": 6, "n_layers": 1, "n_hidden": 1100},
    ],
)
def test_contract_on_the_gpu(changes: dict[str, Any], dtype: str) -> None:
    check_model(ELM(n_memory=5, n_outputs=2, dtype=dtype, **changes), new_process=False)
