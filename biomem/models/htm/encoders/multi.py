"""Several encoders as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self, TypeAlias

from biomem.engine.params import Params
from biomem.engine.sdr import SDR
from biomem.errors import InputError, ParameterError, require
from biomem.models.htm.encoders.category import CategoryEncoder
from biomem.models.htm.encoders.date_time import DateTimeEncoder
from biomem.models.htm.encoders.rdse import RDSE
from biomem.models.htm.encoders.scalar import ScalarEncoder

__all__ = ["Encoder", "MultiEncoder"]

Encoder: TypeAlias = RDSE | ScalarEncoder | DateTimeEncoder | CategoryEncoder

_KINDS: dict[str, type[Params]] = {
    kind.__name__: kind for kind in (RDSE, ScalarEncoder, DateTimeEncoder, CategoryEncoder)
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiEncoder(Params):
    """Encode a record field by field and lay the patterns side by side.

    Every field weighs as much as it has active bits; a field that is missing adds none. Not for
    dozens of fields: each one's change then moves too small a share of the bits to be seen.

    Parameters
    ----------
    encoders : tuple of encoders
        An `RDSE` in table form must carry its `offset`.

    Examples
    --------
    >>> value = RDSE(size=400, active_bits=21, resolution=0.5)
    >>> record = MultiEncoder(encoders=(value, DateTimeEncoder(weekend=21)))
    >>> record.encode([3.2, "2024-05-04"]).size
    442
    """

    encoders: tuple[Encoder, ...]

    def __post_init__(self) -> None:
        ok = isinstance(self.encoders, tuple) and len(self.encoders) > 0
        ok = ok and all(type(part) in _KINDS.values() for part in self.encoders)
        require(self, "encoders", ok, f"a tuple of {', '.join(_KINDS)}")

    @cached_property
    def size(self) -> int:
        """Number of bits of all encoders."""
        return sum(part.size for part in self.encoders)

    def encode(self, values: Sequence[Any]) -> SDR:
        """Return the pattern of one record.

        Parameters
        ----------
        values : sequence, one value per encoder

        Raises
        ------
        InputError
            As many values as encoders are needed; and what each encoder refuses.
        """
        if len(values) != len(self.encoders):
            raise InputError(
                f"MultiEncoder.encode: values must hold {len(self.encoders)} fields, "
                f"got {len(values)}"
            )
        parts = zip(self.encoders, values, strict=True)
        return SDR.concat(encoder.encode(value) for encoder, value in parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as JSON-compatible values, each encoder with its kind."""
        return {"encoders": [{"kind": type(e).__name__, **e.to_dict()} for e in self.encoders]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build the set from `to_dict`'s result."""
        if set(values) != {"encoders"}:
            raise ParameterError(f"MultiEncoder has the parameter 'encoders', got {sorted(values)}")
        return cls(encoders=tuple(_encoder(entry) for entry in values["encoders"]))


def _encoder(entry: dict[str, Any]) -> Any:
    kind = _KINDS.get(entry.get("kind", ""))
    if kind is None:
        raise ParameterError(
            f"MultiEncoder.encoders: kind must be one of {sorted(_KINDS)}, "
            f"got {entry.get('kind')!r}"
        )
    return kind.from_dict({name: value for name, value in entry.items() if name != "kind"})
