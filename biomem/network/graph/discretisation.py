"""How the equations of a graph become ticks: a graph itself is defined in continuous time.

With ``a = dt/tau`` and ``E = exp(-dt/tau)``, a membrane with input ``x`` held over the tick follows

================  ==============================================
rule              membrane before threshold
================  ==============================================
``euler``         ``v + a (v_leak - v + r x)``
``exp``           ``v_leak + E (v - v_leak) + (1 - E) r x``
``exp_gain_a``    ``v_leak + E (v - v_leak) + a r x``
``unit_gain``     ``v_leak + (1 - a) (v - v_leak) + x``
================  ==============================================

A synaptic current (``CubaLIF``, ``CubaLI``) follows the same rule with ``tau_syn``, gain ``w_in``
and rest 0, and moves first: the membrane hears the new current. Units without a leak (``IF``,
``I``) follow ``v + dt r x``, with ``unit_gain`` ``v + x``.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

from biomem.engine.params import Params
from biomem.errors import ParameterError, require

__all__ = ["TOOLS", "Discretisation"]

RULES = ("euler", "exp", "exp_gain_a", "unit_gain")
RESETS = ("to_value", "subtract", "none")
RESET_TICKS = ("same", "same_once", "next", "held")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discretisation(Params):
    """What a neuron does in one tick.

    Parameters
    ----------
    rule : {"euler", "exp", "exp_gain_a", "unit_gain"}
        Of the membrane and the synaptic current, as the table of this module says. ``unit_gain``
        adds the input as it is and is refused unless ``r = tau / dt`` (and ``w_in = tau_syn / dt``,
        ``r = 1 / dt`` without leak), so that it never ignores a parameter.
    comparison : {"strict", "inclusive"}
        Fire at ``v > v_threshold``, or at ``v >= v_threshold``.
    reset : {"to_value", "subtract", "none"}
        Set the membrane of what fired to ``v_reset``, take ``v_threshold`` off it, or leave it.
    reset_tick : {"same", "next", "held", "same_once"}
        When. ``same``: in the tick of the spike. ``next``: in the following tick, to ``v_reset``
        before that tick's input, or by subtraction after it. ``held``: in the following tick after
        its input, which is lost where the reset is to ``v_reset``. ``same_once``: as ``same``, but
        what is above threshold even after the subtraction fires next above twice the threshold.
        ``next``, ``held`` and ``same_once`` are how snnTorch resets.
    spikes : {"single", "multiple"}
        One spike a tick, or ``floor(v / v_threshold)``; the latter needs thresholds > 0 and
        ``reset_tick="same"``.
    lower : {"none", "minus_threshold"}
        Bound of the membrane from below.

    Examples
    --------
    >>> TOOLS["rockpool"].rule
    'exp_gain_a'
    """

    rule: str = "euler"
    comparison: str = "strict"
    reset: str = "to_value"
    reset_tick: str = "same"
    spikes: str = "single"
    lower: str = "none"

    def __post_init__(self) -> None:
        allowed = {
            "rule": RULES,
            "comparison": ("strict", "inclusive"),
            "reset": RESETS,
            "reset_tick": RESET_TICKS,
            "spikes": ("single", "multiple"),
            "lower": ("none", "minus_threshold"),
        }
        for name, values in allowed.items():
            ok = getattr(self, name) in values
            require(self, name, ok, f"one of {', '.join(map(repr, values))}")
        if self.spikes == "multiple" and self.reset_tick != "same":
            raise ParameterError(
                f"Discretisation.reset_tick must be 'same' with spikes='multiple', "
                f"got {self.reset_tick!r}"
            )
        if self.reset_tick == "same_once" and self.reset != "subtract":
            raise ParameterError(
                f"Discretisation.reset must be 'subtract' with reset_tick='same_once', "
                f"got {self.reset!r}"
            )


TOOLS = MappingProxyType(
    {
        "nir": Discretisation(),
        "norse": Discretisation(),
        "nengo": Discretisation(),
        "spinnaker2": Discretisation(),
        "lava": Discretisation(),
        "spyx": Discretisation(),
        "snntorch": Discretisation(rule="unit_gain"),
        "rockpool": Discretisation(
            rule="exp_gain_a", comparison="inclusive", reset="subtract", spikes="multiple"
        ),
        "sinabs": Discretisation(
            rule="exp_gain_a",
            comparison="inclusive",
            reset="subtract",
            spikes="multiple",
            lower="minus_threshold",
        ),
    }
)
"""How other simulators step the graphs they import; Lava and Spyx also lag, see ``latency``."""
