"""What a network is made of and what it takes, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biomem.network.layout import ProjectionLayout

if TYPE_CHECKING:
    from biomem.network.model import SpikingNetwork

__all__ = ["explain"]


def explain(net: SpikingNetwork) -> str:
    """Return a table of projections: how each is held, why, and how much memory it takes."""
    rows = [("projection", "synapses", "form", "memory", "why")]
    rows += [
        (
            q.projection.name,
            f"{q.synapses:,}",
            q.form,
            _size(held(net, q)),
            q.reason,
        )
        for q in net.layout.projections
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    sizes = net.layout.sizes
    ring = sizes["slot"] * sizes["port"] * net.layout.accumulator.itemsize
    lines.append(
        f"ring of {sizes['slot']} ticks x {sizes['port']:,} ports of {net.layout.accumulator}: "
        f"{_size(ring)} per stream"
    )
    return "\n".join(lines)


def held(net: SpikingNetwork, q: ProjectionLayout) -> int:
    """Return the bytes a kernel holds for a projection."""
    weight = net.layout.accumulator.itemsize
    n_pre = net.layout.populations[q.pre].n
    n_post = net.layout.populations[q.post].n
    index = 2 if max(p.n for p in net.layout.populations) <= 2**16 else 4
    if q.form == "procedural":
        return 0
    if q.form == "convolution":
        return weight * int(net.weights[f"{q.projection.name}/weight"].size)
    if q.form == "bits":
        return n_pre * (-(-n_post // 8) + weight) + 8 * (n_pre + 1)
    if q.by_source and q.form == "dense":
        return n_pre * weight
    if q.by_source:
        return q.synapses * index + n_pre * weight + 8 * (n_pre + 1)
    per_synapse = weight + (index if q.form == "csr" else 0) + (4 if q.delay < 0 else 0)
    if q.plastic >= 0:
        # The weight under learning, and the synapses by target.
        per_synapse += 8 + 12
    if q.stp >= 0 and q.projection.stp is not None and q.projection.stp.spread > 0:
        per_synapse += 8 + 24 + 16
    if q.form == "dense":
        return n_pre * n_post * per_synapse
    return q.synapses * per_synapse + (8 * (n_pre + 1) if q.form == "csr" else 0)


def _size(n: int) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000  # type: ignore[assignment]
    return f"{n:.3g} GB"
