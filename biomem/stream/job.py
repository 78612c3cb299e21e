"""What is done with the records of a source: the part of a run that is not reading or writing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from biomem.engine.model import Model
from biomem.engine.params import Params
from biomem.stream.output import Outputs
from biomem.stream.records import Record
from biomem.stream.report import RunReport
from biomem.stream.run_options import RunOptions
from biomem.typing import FloatArray

__all__ = ["Job", "Tally"]


class Tally(Protocol):
    """A dataclass of JSON values that is kept over resumptions: what was found so far."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class Job(ABC):
    """A detector of one kind, its rows and its report.

    Parameters
    ----------
    options : RunOptions
    """

    name: ClassVar[str]
    """In messages, and under which a checkpoint holds the memo of a run."""
    stem: ClassVar[str]
    """Name of the row file in a folder."""
    model: ClassVar[type[Model]]
    tally: ClassVar[type]
    columns: ClassVar[tuple[str, ...]]
    """Outputs of the model that rows are made of."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options

    @abstractmethod
    def params(self, low: float, high: float, *, records: int | None, timed: bool) -> Params:
        """Return the model's parameters for values in ``[low, high]``."""

    @abstractmethod
    def begin(self, params: Any) -> Any:
        """Return the tally of a run that has found nothing."""

    @abstractmethod
    def go_on(self, tally: Any, notice: Callable[[str], None]) -> None:
        """Fit the tally of an earlier run to options that may differ from it."""

    @abstractmethod
    def timed(self, model: Any) -> bool:
        """Return whether the model wants timestamps."""

    @abstractmethod
    def inputs(self, model: Any, records: Sequence[Record]) -> FloatArray:
        """Return the model's inputs."""

    @abstractmethod
    def header(self, path: Path) -> str:
        """Return what a row file begins with."""

    @abstractmethod
    def rows(
        self,
        path: Path,
        records: Sequence[Record],
        out: Mapping[str, np.ndarray],
        tally: Any,
        tick: int,
    ) -> str:
        """Return the rows of `records`, whose first is tick `tick`; `tally` is moved on.

        `out` has an array of shape ``(records, ...)`` for each of `columns`.
        """

    @abstractmethod
    def close(
        self, outputs: Outputs, model: Any, layout: dict[str, Any], tz: str, title: str, plot: bool
    ) -> None:
        """Write what is made of the whole row file: the picture, and whatever else there is."""

    @abstractmethod
    def report(self, outputs: Outputs, tally: Any, **common: Any) -> RunReport:
        """Return the report; `common` has the fields of `RunReport`. `tally` None: nothing ran."""
