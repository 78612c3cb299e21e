"""What a run did, counted: the input of every energy and latency estimate."""

from __future__ import annotations

import dataclasses

__all__ = ["Work"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """Operation counts of a run, additive.

    Examples
    --------
    >>> Work(macs=10) + Work(macs=5, random_draws=1)
    Work(macs=15, random_draws=1)
    """

    synaptic_events: int = 0
    macs: int = 0
    acs: int = 0
    weight_bits_read: int = 0
    random_draws: int = 0
    converter_reads: int = 0

    def __add__(self, other: Work) -> Work:
        names = [f.name for f in dataclasses.fields(self)]
        return Work(**{n: getattr(self, n) + getattr(other, n) for n in names})

    def __sub__(self, other: Work) -> Work:
        names = [f.name for f in dataclasses.fields(self)]
        return Work(**{n: getattr(self, n) - getattr(other, n) for n in names})

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={n}" for name, n in self.as_dict().items() if n)
        return f"Work({shown})"
