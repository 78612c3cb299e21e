"""A detector in user code that has records as dicts: it finds its fields and ranges by itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from biomem.engine.model import flatten, unflatten
from biomem.engine.random import Rng
from biomem.errors import InputError
from biomem.models.htm.detector import HTMDetectorParams
from biomem.models.htm.drift import DriftMonitorParams
from biomem.models.htm.fleet.params import HTMFleetParams
from biomem.models.htm.hybrid import HTMDriftDetector, HTMDriftOutput, HTMDriftParams

__all__ = ["Live", "LiveOptions", "packed", "params_for", "unpacked"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How a `Live` detector is made; the adapters document these."""

    prefix: int = 200
    probation: int = 388
    light: bool = False
    joint: bool = False
    time: str | None = None
    range_rule: bool = False
    signal: str = "none"
    false_alarm_every: float = 10_000.0
    baseline: int = 500
    seed: int = 0


def params_for(ranges: Mapping[str, tuple[float, float]], options: LiveOptions) -> HTMDriftParams:
    """Return the parameters of a detector of fields in `ranges`."""
    timed = options.time is not None
    changes: dict[str, Any] = {}
    if options.light:
        template = HTMFleetParams.light(
            0.0, 1.0, probation=options.probation, time_of_day=timed
        ).detector
        detector: HTMDetectorParams = template.replace(range_rule=options.range_rule)
        changes["detector"] = detector
    return HTMDriftParams.for_ranges(
        ranges,
        probation=options.probation,
        time_of_day=timed,
        range_rule=options.range_rule,
        joint=options.joint,
        signal=options.signal,
        monitor=DriftMonitorParams(
            probation=options.probation,
            baseline=options.baseline,
            false_alarm_every=options.false_alarm_every,
            streams=1 if options.joint else len(ranges),
        ),
        **changes,
    )


class Live:
    """A detector that is fed one dict at a time, and can be copied and pickled.

    The first `prefix` records are held back. With the last of them the fields (all numeric keys
    seen so far) and their ranges are settled, for good, and the records are learned in turn. A
    key that comes later is ignored; one that is missing leaves its HTM as it is.

    Parameters
    ----------
    options : LiveOptions
    """

    def __init__(self, options: LiveOptions) -> None:
        self.options = options
        self.tick = 0
        self._held: list[dict[str, float]] = []
        self._model: HTMDriftDetector | None = None
        self._state: Any = None

    @property
    def model(self) -> HTMDriftDetector | None:
        """The detector, None while its fields are not settled."""
        return self._model

    def learn(self, x: Mapping[Any, Any]) -> HTMDriftOutput | None:
        """Take a record; return what the detector says of it, None while records are held."""
        record = _numbers(x)
        if self._model is None:
            self._held.append(record)
            if len(self._held) == self.options.prefix:
                self._begin()
            return None
        return self._advance(self._row(record))

    def peek(self, x: Mapping[Any, Any]) -> HTMDriftOutput | None:
        """Return what the detector would say of a record, None while records are held."""
        if self._model is None:
            return None
        from biomem.models.htm.hybrid.peek import peek

        return peek(self._model, self._state, self._row(_numbers(x)), self.tick)

    def _begin(self) -> None:
        names = sorted({key for record in self._held for key in record} - {self.options.time})
        ranges = {}
        for name in names:
            values = [record[name] for record in self._held if name in record]
            ranges[name] = (min(values), max(values))
        if not ranges:
            raise InputError(
                f"the first {self.options.prefix} records hold no number to watch; feed records "
                "with numeric fields"
            )
        self._model = HTMDriftDetector(params_for(ranges, self.options))
        self._state = self._model.init_state(1, Rng(self.options.seed))
        rows = np.concatenate([self._row(record) for record in self._held])
        self._held = []
        self._advance(rows)

    def _advance(self, xs: np.ndarray) -> HTMDriftOutput:
        from biomem.models.htm.hybrid import cpu

        assert self._model is not None
        self._state, ys = cpu.scan(self._model, self._state, xs, self.tick)
        self.tick += len(xs)
        return ys

    def _row(self, record: Mapping[str, float]) -> np.ndarray:
        assert self._model is not None
        values = [record.get(f.name, math.nan) for f in self._model.params.fields]
        time = record.get(self.options.time, math.nan) if self.options.time else 0.0
        # A record without a time has no time bits: years beyond 9999 have none.
        return self._model.records([values], [time if math.isfinite(time) else 1e300])

    def __getstate__(self) -> dict[str, Any]:
        kept = {"options": self.options, "tick": self.tick, "held": self._held}
        if self._model is not None:
            kept["detector"] = packed(self._model, self._state)
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__init__(kept["options"])
        self.tick, self._held = kept["tick"], [dict(record) for record in kept["held"]]
        if "detector" in kept:
            self._model, self._state = unpacked(kept["detector"])


def packed(model: HTMDriftDetector, state: Any) -> dict[str, Any]:
    """Return a detector as what can be pickled and copied."""
    return {"params": model.params, "state": {n: np.array(a) for n, a in flatten(state)}}


def unpacked(kept: Mapping[str, Any]) -> tuple[HTMDriftDetector, Any]:
    """Return the detector and the state that `packed` made."""
    model = HTMDriftDetector(kept["params"])
    state = {name: np.array(array) for name, array in kept["state"].items()}
    return model, unflatten(model.State, state)


def _numbers(x: Mapping[Any, Any]) -> dict[str, float]:
    """Return the finite numbers of a record by the text of their keys; times become seconds."""
    found = {}
    for key, value in x.items():
        if hasattr(value, "timestamp"):
            # As wall-clock time, which is what the time of day is told by.
            value = value.replace(tzinfo=None)
            value = np.datetime64(value, "us").astype(np.int64) / 1e6
        if isinstance(value, bool | str) or value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number) and abs(number) <= 1e150:
            found[str(key)] = number
    return found
