"""What the arrays of a graph must be like."""

from __future__ import annotations

from collections.abc import Mapping

import array_api_compat
import numpy as np

from biomem.backends import to_numpy
from biomem.errors import ParameterError
from biomem.network.graph.nodes import Neuron
from biomem.network.graph.params import GraphParams
from biomem.typing import Array

__all__ = ["TIMES", "check_arrays"]

TIMES = ("tau", "tau_mem", "tau_syn")
"""Arrays of neurons that are time constants."""


def check_arrays(params: GraphParams, arrays: Mapping[str, Array]) -> None:
    """Refuse arrays that are missing, too many, of another shape, not finite or out of range."""
    wanted = {
        f"{node.name}/{name}": shape
        for node in params.nodes
        for name, shape in node.arrays().items()
    }
    if set(wanted) != set(arrays):
        missing, extra = sorted(set(wanted) - set(arrays)), sorted(set(arrays) - set(wanted))
        raise ParameterError(f"Graph: weights lack {missing} and have no use for {extra}")
    for key, shape in wanted.items():
        array = arrays[key]
        if tuple(array.shape) != tuple(shape):
            raise ParameterError(
                f"Graph: weights[{key!r}] must have shape {tuple(shape)}, got {tuple(array.shape)}"
            )
        if array_api_compat.is_torch_array(array):
            continue
        values, name = to_numpy(array), key.rpartition("/")[2]
        if not np.isfinite(values).all():
            raise ParameterError(f"Graph: weights[{key!r}] must be finite")
        if name in TIMES and (values <= 0).any():
            raise ParameterError(f"Graph: weights[{key!r}] must be > 0 s, got {values.min()}")
        if name == "delay" and (values < 0).any():
            raise ParameterError(f"Graph: weights[{key!r}] must be >= 0 s, got {values.min()}")
    for node in params.nodes:
        if isinstance(node, Neuron):
            _check_step(params, node, arrays)
            _check_rules(params, node, arrays)


def _check_step(params: GraphParams, node: Neuron, arrays: Mapping[str, Array]) -> None:
    """Refuse time constants that an explicit step would overshoot, with room for rounding."""
    d = node.discretisation or params.discretisation
    if d.rule not in ("euler", "unit_gain"):
        return
    for name in TIMES:
        tau = arrays.get(f"{node.name}/{name}")
        if tau is None or array_api_compat.is_torch_array(tau):
            continue
        least = float(to_numpy(tau).min())
        if least < params.dt * (1 - 1e-5):
            raise ParameterError(
                f"Graph: weights['{node.name}/{name}'] must be >= dt = {params.dt} s with rule "
                f"{d.rule!r}, which would overshoot, got {least:g} s; take a smaller dt or "
                "rule='exp'"
            )


def _check_rules(params: GraphParams, node: Neuron, arrays: Mapping[str, Array]) -> None:
    d = node.discretisation or params.discretisation
    own = {name: arrays[f"{node.name}/{name}"] for name in node.arrays()}
    if any(array_api_compat.is_torch_array(a) for a in own.values()):
        return
    own = {name: to_numpy(a) for name, a in own.items()}
    if node.spiking and d.spikes == "multiple" and (own["v_threshold"] <= 0).any():
        raise ParameterError(
            f"Graph node {node.name!r}: thresholds must be > 0 where several spikes a tick are "
            f"counted, got {own['v_threshold'].min()}"
        )
    if d.rule != "unit_gain":
        return
    pairs = {"r": own.get("tau", own.get("tau_mem", 1.0)) / params.dt}
    if node.has_current:
        pairs["w_in"] = own["tau_syn"] / params.dt
    for name, wanted in pairs.items():
        if not np.allclose(own[name], wanted, rtol=1e-6):
            raise ParameterError(
                f"Graph node {node.name!r}: rule 'unit_gain' takes inputs as they are, so {name!r} "
                f"must be {wanted}, got {own[name]}; fold the gain into the weights before"
            )
