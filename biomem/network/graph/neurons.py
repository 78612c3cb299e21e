"""One tick of a neuron; the rules are those of `biomem.network.graph.discretisation`."""

from __future__ import annotations

from typing import NamedTuple

from biomem.backends import namespace
from biomem.network.graph.discretisation import Discretisation
from biomem.network.graph.nodes import IF, I, Neuron
from biomem.network.graph.surrogate import fire
from biomem.typing import Array

__all__ = ["Cell", "advance"]


class Cell(NamedTuple):
    """State of one node's neurons, each ``(batch, *shape)``.

    Attributes
    ----------
    v : array
    i : array or None
        Synaptic current.
    fired : array
        Spikes of the tick before.
    """

    v: Array
    i: Array | None
    fired: Array


def _moved(
    rule: str, value: Array, rest: Array | float, drive: Array, x: Array, rates: dict
) -> Array:
    """Return a leaky value one tick on; `drive` is the input times its gain."""
    if rule == "euler":
        return value + rates["a"] * ((rest - value) + drive)
    if rule == "exp":
        return (rest + rates["e"] * (value - rest)) + (1 - rates["e"]) * drive
    if rule == "exp_gain_a":
        return (rest + rates["e"] * (value - rest)) + rates["a"] * drive
    return (rest + (1 - rates["a"]) * (value - rest)) + x


def advance(
    node: Neuron,
    d: Discretisation,
    arrays: dict[str, Array],
    rates: dict[str, dict[str, Array]],
    cell: Cell,
    x: Array,
    dt: float,
    soft: tuple[str, float],
) -> tuple[Cell, Array]:
    """Return the neurons after a tick with input `x`, and their output."""
    xp = namespace(x)
    v, i = cell.v, cell.i
    if node.has_current:
        i = _moved(d.rule, i, 0.0, arrays["w_in"] * x, x, rates["tau_syn"])
        x = i
    late = node.spiking and d.reset_tick in ("next", "held") and d.reset != "none"
    if late and d.reset == "to_value" and d.reset_tick == "next":
        v = xp.where(cell.fired > 0, arrays["v_reset"], v)
    above = None
    if node.spiking and d.reset_tick == "same_once":
        still = v - arrays["v_threshold"]
        above = xp.astype(still >= 0 if d.comparison == "inclusive" else still > 0, v.dtype)
    if isinstance(node, IF | I):
        v = v + x if d.rule == "unit_gain" else v + (dt * arrays["r"]) * x
    else:
        tau = rates["tau_mem" if node.has_current else "tau"]
        v = _moved(d.rule, v, arrays["v_leak"], arrays["r"] * x, x, tau)
    if not node.spiking:
        return Cell(v, i, cell.fired), v
    threshold = arrays["v_threshold"]
    if late and d.reset == "subtract":
        v = v - cell.fired * threshold
    elif late and d.reset_tick == "held":
        v = xp.where(cell.fired > 0, arrays["v_reset"], v)
    reached = v if above is None else v - above * threshold
    spikes = fire(reached - threshold, d.comparison == "inclusive", *soft)
    if d.spikes == "multiple":
        count = xp.floor(v / threshold)
        # Below zero it is negative, and would make silence -0.0 and turn its gradient around.
        spikes = spikes * xp.where(count > 0, count, xp.zeros_like(count))
    if d.reset_tick in ("same", "same_once"):
        if d.reset == "to_value":
            v = xp.where(spikes > 0, arrays["v_reset"], v)
        elif d.reset == "subtract":
            v = v - spikes * threshold
    if d.lower == "minus_threshold":
        v = xp.where(v < -threshold, -threshold, v)
    return Cell(v, i, spikes), spikes
