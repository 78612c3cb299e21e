"""Parameters of the drift detector: an HTM per field, what its monitor watches, how they fuse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Self

from biomem.engine.params import Params
from biomem.errors import ParameterError, require
from biomem.models.htm.classifier.params import SDRClassifierParams
from biomem.models.htm.detector.params import HTMDetectorParams, resolution_for
from biomem.models.htm.drift.increments import BernoulliTest
from biomem.models.htm.drift.monitor_params import DriftMonitorParams
from biomem.models.htm.drift.params import PAPER_THRESHOLD, PAPER_WINDOWS
from biomem.models.htm.encoders import RDSE, DateTimeEncoder
from biomem.models.htm.likelihood import AnomalyLikelihoodParams
from biomem.models.htm.spatial_pooler.params import SpatialPoolerParams
from biomem.models.htm.temporal_memory.params import TemporalMemoryParams

__all__ = ["ACTIONS", "FUSIONS", "SIGNALS", "FieldParams", "HTMDriftParams"]

SIGNALS = (
    "none",
    "raw",
    "log_likelihood",
    "score",
    "exceedance",
    "value",
    "residual",
    "rescaled",
)
FUSIONS = ("max", "any", "majority")
ACTIONS = ("reset", "rebaseline", "faster", "forget")
PREDICTED = ("residual", "rescaled")
JUDGED = ("log_likelihood", "score", "exceedance")
PADDING = 0.2
"""Share of the expected range that the classifier's buckets reach beyond it on either side."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldParams(Params):
    """One field of a record: its name and the range its values are expected in.

    Parameters
    ----------
    name : str
    minimum, maximum : float
        Of a stated prefix or of what the sensor can give. Frozen: values outside are encoded too.
    resolution : float or None
        Of the value encoder; default NAB's for the range.
    """

    name: str = "value"
    minimum: float
    maximum: float
    resolution: float | None = None

    def __post_init__(self) -> None:
        require(self, "name", isinstance(self.name, str) and self.name != "", "a name")
        for bound in ("minimum", "maximum"):
            value = getattr(self, bound)
            ok = isinstance(value, int | float) and math.isfinite(value) and abs(value) <= 1e150
            require(self, bound, ok, "within +-1e150")
        require(self, "maximum", self.maximum >= self.minimum, f">= minimum = {self.minimum!r}")
        r = self.resolution
        ok = r is None or (isinstance(r, int | float) and 0 < r < math.inf)
        require(self, "resolution", ok, "None or finite and > 0")

    @property
    def r(self) -> float:
        """Resolution of the value encoder."""
        if self.resolution is not None:
            return float(self.resolution)
        return resolution_for(float(self.minimum), float(self.maximum))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HTMDriftParams(Params):
    """HTMs, monitors and fusion of an `HTMDriftDetector`.

    `for_ranges` fills this in from the ranges of the fields, `paper` with the setting of arXiv
    2504.18599; write it out only to change a part.

    Parameters
    ----------
    detector : HTMDetectorParams
        Of each HTM. The resolution of its value encoder is replaced by that of the field, and
        with `joint` the inputs of its Spatial Pooler by the bits of all fields.
    fields : tuple of FieldParams
    joint : bool
        One HTM for all fields, their bits side by side, instead of one per field.
    fusion : {"max", "any", "majority"}
        Score of a record from those of its HTMs: the largest; 1 if any, or more than half of
        those present, reach `threshold`, else 0.
    threshold : float
        In (0, 1].
    signal : str
        What the monitor of each HTM watches. ``"raw"``, ``"log_likelihood"``, ``"score"``: those
        outputs. ``"exceedance"``: whether the score reaches `threshold`. ``"value"``: the value
        itself. ``"residual"``: the error of the first forecast; ``"rescaled"``: its size in
        spreads of the last `window` values, at most 1 (equations 3 and 4 of the paper).
        ``"none"``: nothing, the monitor rests. The last four but "none" need fields apart.
    window : int
        Records of that spread, >= 2.
    monitor : DriftMonitorParams
        For "raw", "log_likelihood" and "score" its probation should cover that of the likelihood.
    given : bool
        The test stands as it is written, in units of the signal and with its own threshold;
        there is no baseline, no probation, no cooldown. False: relative to a learned baseline.
    predictor : SDRClassifierParams or None
        Forecasts from the active cells of each HTM. `size`, `most_active`, `minimum` and `maximum`
        are replaced by what fits. Costs its weights per field and about a third of the speed.
    flatline : int
        A field that repeats its value this many times in a row is reported as flat; 0: never.
    on_drift : tuple of {"reset", "rebaseline", "faster", "forget"}
        What a drift does to the HTM that it was found in: see ``actions.py``. Without any, the HTM
        goes on as before and learns the new behaviour in its own time.
    faster_records : int
        Records for which ``"faster"`` lasts, >= 1.
    faster_gain : float
        Factor of the permanence steps meanwhile, >= 1; no step exceeds 1.

    Raises
    ------
    ParameterError
        Parts that do not fit together.
    """

    detector: HTMDetectorParams
    fields: tuple[FieldParams, ...]
    joint: bool = False
    fusion: Literal["max", "any", "majority"] = "max"
    threshold: float = 0.5
    signal: str = "log_likelihood"
    window: int = 15
    monitor: DriftMonitorParams = dataclasses.field(default_factory=DriftMonitorParams)
    given: bool = False
    predictor: SDRClassifierParams | None = None
    flatline: int = 0
    on_drift: tuple[str, ...] = ()
    faster_records: int = 500
    faster_gain: float = 3.0

    def __post_init__(self) -> None:
        ok = isinstance(self.fields, tuple) and all(isinstance(f, FieldParams) for f in self.fields)
        require(self, "fields", ok and len(self.fields) > 0, "a tuple of FieldParams")
        names = [f.name for f in self.fields]
        require(self, "fields", len(set(names)) == len(names), "fields of different names")
        for name in ("joint", "given"):
            require(self, name, isinstance(getattr(self, name), bool), "True or False")
        require(self, "fusion", self.fusion in FUSIONS, f"one of {FUSIONS}")
        ok = isinstance(self.threshold, int | float) and 0 < self.threshold <= 1
        require(self, "threshold", ok, "in (0, 1]")
        require(self, "signal", self.signal in SIGNALS, f"one of {SIGNALS}")
        ok = isinstance(self.on_drift, tuple) and all(a in ACTIONS for a in self.on_drift)
        ok = ok and len(set(self.on_drift)) == len(self.on_drift)
        require(self, "on_drift", ok, f"a tuple of different ones of {ACTIONS}")
        gain = self.faster_gain
        ok = isinstance(gain, int | float) and 1 <= gain < math.inf
        require(self, "faster_gain", ok, "finite and >= 1")
        for name, least in (("window", 2), ("flatline", 0), ("faster_records", 1)):
            value = getattr(self, name)
            ok = isinstance(value, int) and not isinstance(value, bool) and value >= least
            require(self, name, ok, f"an integer >= {least}")
        self._check_parts()

    def _check_parts(self) -> None:
        if self.signal in PREDICTED:
            ok = self.predictor is not None and len(self.predictor.horizons) > 0
            why = f"the signal {self.signal!r} is the error of a forecast"
            require(self, "predictor", ok, "given, with a horizon", why)
        if self.joint:
            ok = self.predictor is None and self.signal not in (*PREDICTED, "value")
            if not ok:
                raise ParameterError(
                    "HTMDriftParams.joint: one HTM for all fields has no value to forecast or to "
                    "watch; use fields apart, or another signal and no predictor"
                )

    @property
    def n_units(self) -> int:
        """Number of HTMs."""
        return 1 if self.joint else len(self.fields)

    @property
    def n_channels(self) -> int:
        """Fields per HTM."""
        return len(self.fields) if self.joint else 1

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each HTM: that of its field, or all joined by ``+``."""
        names = tuple(f.name for f in self.fields)
        return ("+".join(names),) if self.joint else names

    @property
    def spatial_pooler(self) -> SpatialPoolerParams:
        """Parameters of every HTM's Spatial Pooler."""
        d = self.detector
        bits = self.n_channels * d.value.size + (0 if d.time is None else d.time.size)
        return d.spatial_pooler.replace(input_shape=(bits,))

    @property
    def faster_pooler(self) -> SpatialPoolerParams:
        """Parameters of the Spatial Pooler while it learns faster."""
        p = self.spatial_pooler
        return p.replace(
            perm_active_inc=min(1.0, self.faster_gain * p.perm_active_inc),
            perm_inactive_dec=min(1.0, self.faster_gain * p.perm_inactive_dec),
        )

    @property
    def faster_memory(self) -> TemporalMemoryParams:
        """Parameters of the Temporal Memory while it learns faster."""
        p = self.detector.temporal_memory
        return p.replace(
            permanence_inc=min(1.0, self.faster_gain * p.permanence_inc),
            permanence_dec=min(1.0, self.faster_gain * p.permanence_dec),
        )

    @property
    def value_encoders(self) -> tuple[RDSE, ...]:
        """Value encoder of each field."""
        value = self.detector.value
        return tuple(dataclasses.replace(value, radius=None, resolution=f.r) for f in self.fields)

    @property
    def classifiers(self) -> tuple[SDRClassifierParams, ...]:
        """Classifier of each HTM; without a predictor, one that forecasts nothing."""
        template = self.predictor
        if template is None:
            template = SDRClassifierParams(size=1, horizons=(), buckets=2)
            return (template,) * self.n_units
        memory = self.detector.temporal_memory
        size = memory.n_columns * memory.cells_per_column
        out = []
        for field in self.fields:
            padding = PADDING * (field.maximum - field.minimum) or max(abs(field.maximum), 1.0)
            out.append(
                template.replace(
                    size=size,
                    most_active=self.most_columns * memory.cells_per_column,
                    minimum=float(field.minimum - padding),
                    maximum=float(field.maximum + padding),
                )
            )
        return tuple(out)

    @property
    def most_columns(self) -> int:
        """Largest number of columns a record can activate."""
        p = self.detector.spatial_pooler
        if not p.global_inhibition:
            return p.n_columns
        return p.n_active or int(p.density(p.n_columns) * p.n_columns)

    @classmethod
    def for_ranges(
        cls,
        ranges: Mapping[str, tuple[float, float]],
        *,
        probation: int = 388,
        time_of_day: bool = True,
        range_rule: bool = False,
        **changes: Any,
    ) -> Self:
        """Return our setting for fields that are expected in `ranges`.

        Full-size HTMs as `HTMDetectorParams.for_range` makes them; monitors of how often the log
        likelihood exceeds what 5 % of the baseline exceed, against 20 %.

        Parameters
        ----------
        ranges : mapping of str to (float, float)
            Smallest and largest value by field, such as those of a stated prefix of the stream.
        probation : int
            Records at the start for which the scores say nothing yet; the monitors leave them out.
        time_of_day : bool
            Encode the time of day beside each value.
        range_rule : bool
            Score 1 for a value far outside everything seen before.
        **changes
            Other parameters of the class.
        """
        detector = HTMDetectorParams.for_range(
            0.0, 1.0, probation=probation, time_of_day=time_of_day, range_rule=range_rule
        )
        values = {
            "detector": detector,
            "fields": _fields(ranges),
            "monitor": DriftMonitorParams(probation=probation),
        }
        return cls(**{**values, **changes})

    @classmethod
    def paper(
        cls,
        ranges: Mapping[str, tuple[float, float]],
        *,
        drift: Literal["abrupt", "slow", "periodic"] = "abrupt",
        probation: int = 388,
        time_of_day: bool = True,
        **changes: Any,
    ) -> Self:
        """Return the setting of arXiv 2504.18599 (table 1), with the HTM of its companion code.

        An SPRT of Bernoulli 0.45 against 0.50, alpha 0.05, beta 0.005, on whether the rescaled
        residual exceeds 0.65, restarted after either decision; windows of 15 (abrupt), 35 (slow)
        or 25 (periodic) records. For comparison: it needs 965 records for a decision without
        drift, 586 with it, and what it tests is whether the forecast is worse than the rolling
        spread, which a drift widens. `probation` is that of the anomaly likelihood; without
        `time_of_day` no time is encoded.
        """
        value = RDSE(size=700, sparsity=0.02, resolution=1.0, seed=42)
        time = DateTimeEncoder(time_of_day=(30, 1), weekend=21) if time_of_day else None
        columns = 1638
        detector = HTMDetectorParams(
            value=value,
            time=time,
            spatial_pooler=SpatialPoolerParams.nab(
                (value.size + (0 if time is None else time.size),),
                column_shape=(columns,),
                potential_pct=0.85,
                local_area_density=0.044,
                n_active=None,
                perm_active_inc=0.04,
                perm_inactive_dec=0.006,
                perm_connected=0.14,
                boost_strength=3.0,
            ),
            temporal_memory=TemporalMemoryParams(
                n_columns=columns,
                cells_per_column=13,
                activation_threshold=17,
                min_threshold=10,
                max_new_synapses=32,
                max_synapses_per_segment=64,
                max_segments_per_cell=128,
            ),
            likelihood=AnomalyLikelihoodParams.for_probation(probation),
        )
        values = {
            "detector": detector,
            "fields": _fields(ranges),
            "signal": "rescaled",
            "window": PAPER_WINDOWS[drift],
            "predictor": SDRClassifierParams(size=1),
            "given": True,
            "monitor": DriftMonitorParams(
                test=BernoulliTest(p0=0.45, p1=0.50, threshold=PAPER_THRESHOLD),
                method="sprt",
                limit=math.log((1 - 0.005) / 0.05),
                beta=0.005,
                dependence="none",
            ),
        }
        return cls(**{**values, **changes})


def _fields(ranges: Mapping[str, tuple[float, float]]) -> tuple[FieldParams, ...]:
    return tuple(
        FieldParams(name=name, minimum=float(low), maximum=float(high))
        for name, (low, high) in ranges.items()
    )
