"""Drift events in the outputs of the detector."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from biomem.errors import InputError
from biomem.models.htm.drift.events import DriftEvent, drift_events
from biomem.models.htm.drift.monitor import DriftMonitorOutput
from biomem.models.htm.hybrid.params import HTMDriftParams

__all__ = ["events_of"]


def events_of(params: HTMDriftParams, outputs: Any, *, first: int = 0) -> list[DriftEvent]:
    """Return the drift events in the outputs of an `HTMDriftDetector`, in order of time.

    Parameters
    ----------
    params : HTMDriftParams
        Of that detector: names the fields.
    outputs : Recording or HTMDriftOutput
        From `Simulator.run` with every output recorded, or from one `Simulator.step`.
    first : int
        Index of the first record in `outputs`.

    Raises
    ------
    InputError
        Outputs of another detector, or fields missing.
    """
    found = {}
    for name in DriftMonitorOutput._fields:
        if not hasattr(outputs, "_fields") and name not in outputs:
            raise InputError(
                f"events_of: outputs must hold every output of an HTMDriftDetector, lacks {name!r}"
            )
        array = np.asarray(getattr(outputs, name) if hasattr(outputs, "_fields") else outputs[name])
        if array.shape[-1:] != (params.n_units,):
            raise InputError(
                f"events_of: outputs must be of {params.n_units} fields, got {name!r} of shape "
                f"{array.shape}"
            )
        found[name] = array.reshape(-1, params.n_units)
    return drift_events(
        DriftMonitorOutput(**found),
        first=first,
        streams=params.names,
        version=f"HTMDriftDetector {version('biomem')}",
    )
