"""The equations of a spiking network as Brian2 code; those of `biomem.network.model`."""

from __future__ import annotations

from biomem.network.layout import PopulationLayout

__all__ = ["reset", "threshold", "update"]

VARIABLES = (
    "v : 1",
    "j_exc : 1",
    "j_inh : 1",
    "i_exc : 1",
    "i_inh : 1",
    "adaptation : 1",
    "bar : 1",
    "held : integer",
    "free : boolean",
    "crossed : boolean",
)
SHORT_TERM = ("U : 1", "u : 1", "R : 1", "tau_rec : second", "tau_facil : second", "last : second")
SPIKE = (
    "R = 1 + (R - u*R - 1)*exp(-(t - last)/tau_rec)",
    "u = U + u*(1 - U)*exp(-(t - last)/tau_facil)",
    "last = t",
)
TRACES = (
    "dx/dt = -x/tau_plus : 1 (event-driven)",
    "dy/dt = -y/tau_minus : 1 (event-driven)",
)
AT_ONCE, LONG_AGO = 1e-9, 1e9


def update(p: PopulationLayout, driven: bool) -> list[str]:
    """Return the code that advances the membranes; `driven` by currents from outside.

    One operation per line, since Brian2 may reorder the terms of a sum, and with them its
    rounding; and no line that only renames, since NumPy code then changes both in place.
    """
    lines, drive = [], "i_bias"
    if p.kind != "izhikevich" and p.neuron.reset == "next_tick":
        lines += ["v = v_reset*int(crossed) + v*int(not crossed)", "crossed = False"]
    if driven:
        lines, drive = [*lines, f"drive = {drive} + outside"], "drive"
    before = "v"
    if p.synapse == "jump":
        lines, before = [*lines, "x = v + j_exc"], "x"
    elif p.synapse == "pulse":
        lines, drive = [*lines, f"drive = {drive} + j_exc"], "drive"
    else:
        lines += ["i_exc = i_exc + j_exc", "i_inh = i_inh + j_inh"]
    if p.synapse == "conductance":
        for which in ("exc", "inh"):
            lines += [f"pull_{which} = e_{which} - v", f"pull_{which} = i_{which}*pull_{which}"]
            lines, drive = [*lines, f"drive = {drive} + pull_{which}"], "drive"
    lines += ["j_exc = 0", "j_inh = 0"]
    lines += (_izhikevich if p.kind == "izhikevich" else _leaky)(p, before, drive)
    if p.current >= 0:
        lines += ["i_exc = decay_exc*i_exc", "i_inh = decay_inh*i_inh"]
    return lines


def _leaky(p: PopulationLayout, before: str, drive: str) -> list[str]:
    lines = ["free = held == 0", "held = held - int(held > 0)"]
    if p.adaptive >= 0:
        lines += ["loss = b*adaptation", f"net_drive = {drive} - loss"]
        drive = "net_drive"
    lines += [f"above = {before} - v_leak", "kept = keep*above", "rest = v_leak + kept"]
    lines += [f"gained = gain*{drive}", "after = rest + gained"]
    if p.synapse == "current":
        lines += ["from_exc = gain_exc*i_exc", "after = after + from_exc"]
        lines += ["from_inh = gain_inh*i_inh", "after = after + from_inh"]
    lines.append("v = after*int(free) + v*int(not free)")
    if p.adaptive >= 0:
        lines += ["rise = beta*adaptation", "bar = v_th + rise"]
        lines.append("adaptation = decay_adapt*adaptation")
    return lines


def _izhikevich(p: PopulationLayout, before: str, drive: str) -> list[str]:
    lines = []
    if p.synapse == "current":
        lines += [f"drive_exc = {drive} + i_exc", "drive_both = drive_exc + i_inh"]
        drive = "drive_both"
    x, r = before, "adaptation"
    for k in range(p.neuron.substeps):
        lines += [f"below = int({x} < v_th)", f"dx = 0.04*{x}", "dx = dx + 5", f"dx = dx*{x}"]
        lines += ["dx = dx + 140", f"dx = dx - {r}", f"dx = dx + {drive}", "dx = h*dx"]
        lines += [f"dr = b*{x}", f"dr = dr - {r}", "dr = a*dr", "dr = h*dr"]
        lines += [f"x_{k} = {x} + dx*below", f"r_{k} = {r} + dr*below"]
        x, r = f"x_{k}", f"r_{k}"
    return [*lines, f"v = {x}", f"adaptation = {r}"]


def threshold(p: PopulationLayout) -> str:
    """Return the condition of a spike."""
    if p.kind == "izhikevich":
        return "v >= v_th"
    bar = "bar" if p.adaptive >= 0 else "v_th"
    return f"free and v {'>' if p.neuron.strict else '>='} {bar}"


def reset(p: PopulationLayout) -> list[str]:
    """Return the code of a reset."""
    if p.kind == "izhikevich":
        return ["v = v_reset", "adaptation = adaptation + d"]
    lines = {
        "to_value": ["v = v_reset"],
        "subtract": ["v = v - v_reset"],
        "none": [],
        "next_tick": ["crossed = True"],
    }[p.neuron.reset]
    if p.adaptive >= 0:
        lines = [*lines, "adaptation = adaptation + 1"]
    return [*lines, "held = refractory_ticks"]
