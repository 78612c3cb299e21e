"""Drift events: what an operator is told, one record per alarm."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.metadata import version as version_of
from typing import Any

import numpy as np

from biomem.errors import InputError
from biomem.models.htm.drift.monitor import DriftMonitorOutput

__all__ = ["DriftEvent", "drift_events"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DriftEvent:
    """One alarm, with the evidence for it.

    Parameters
    ----------
    kind : str
        ``"drift"``.
    stream : str or int
        Name of the stream, or its index in the batch.
    record : int
        Index of the record that raised the alarm.
    direction : int
        +1 for up, -1 for down.
    S, A, B : float
        Statistic, upper and lower limit.
    n : int
        Records (or batches of them) tested since the restart.
    onset : int
        Estimated first record of the drift.
    before, after : float
        What is watched, over the baseline and since the onset: the mean, the standard deviation,
        the share of exceedances, or the rate.
    version : str
        Model and version it was made by.
    """

    kind: str
    stream: str | int
    record: int
    direction: int
    S: float
    A: float
    B: float
    n: int
    onset: int
    before: float
    after: float
    version: str

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-compatible values."""
        return dataclasses.asdict(self)


def drift_events(
    outputs: Any,
    *,
    first: int = 0,
    streams: Sequence[str | int] | None = None,
    version: str | None = None,
) -> list[DriftEvent]:
    """Return the events in the outputs of a `DriftMonitor`, in order of time.

    Parameters
    ----------
    outputs : Recording, or DriftMonitorOutput of arrays ``(time, batch)`` or ``(batch,)``
        From `Simulator.run` (every output recorded), a kernel, or one `Simulator.step`.
    first : int
        Index of the first record in `outputs`.
    streams : sequence, optional
        Names of the streams; default their indices.
    version : str, optional
        Default ``"DriftMonitor"`` and the version of biomem.

    Raises
    ------
    InputError
        Fields missing, or as many names as there are not streams.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem import Simulator
    >>> from biomem.models.htm.drift import DriftMonitor
    >>> values = np.random.default_rng(1).exponential(1.0, 700)
    >>> values[500:] *= 3
    >>> records = np.stack([values, np.ones(700)], axis=-1)
    >>> (event,) = drift_events(Simulator(DriftMonitor()).run(records), streams=["pump"])
    >>> event.stream, event.record, event.onset, round(event.after, 1)
    ('pump', 508, 503, 0.8)
    """
    names = DriftMonitorOutput._fields
    if isinstance(outputs, DriftMonitorOutput):
        fields = {name: np.asarray(getattr(outputs, name)) for name in names}
    else:
        missing = [name for name in names if name not in outputs]
        if missing:
            raise InputError(
                f"drift_events: outputs must hold every output of a DriftMonitor, lacks {missing}; "
                "run without record(), or record these too"
            )
        fields = {name: np.asarray(outputs[name]) for name in names}
    fields = {name: np.atleast_2d(array) for name, array in fields.items()}
    batch = fields["drift"].shape[1]
    if streams is not None and len(streams) != batch:
        raise InputError(
            f"drift_events: streams must name all {batch} streams of the outputs, got "
            f"{len(streams)} names"
        )
    maker = version or f"DriftMonitor {version_of('biomem')}"
    return [
        DriftEvent(
            kind="drift",
            stream=int(b) if streams is None else streams[b],
            record=first + int(t),
            direction=int(fields["direction"][t, b]),
            S=float(fields["statistic"][t, b]),
            A=float(fields["upper"][t, b]),
            B=float(fields["lower"][t, b]),
            n=int(fields["n"][t, b]),
            onset=int(fields["onset"][t, b]),
            before=float(fields["before"][t, b]),
            after=float(fields["after"][t, b]),
            version=maker,
        )
        for t, b in np.argwhere(fields["drift"] == 1)
    ]
