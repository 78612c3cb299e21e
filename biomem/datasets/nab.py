"""The Numenta Anomaly Benchmark corpus: 58 labelled series of telemetry, in 7 groups.

Licence of the data: MIT, Numenta Inc.; https://github.com/numenta/NAB. A few files have irregular
sampling, duplicate stamps, or one stamp out of order; they are returned as they stand.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biomem.datasets import nab_score
from biomem.datasets.nab_score import NabScore, Profile, SeriesLabels
from biomem.errors import DataError, InputError
from biomem.typing import FloatArray

__all__ = ["NAB", "NabSeries"]


class NabSeries(NamedTuple):
    """One series, in file order."""

    timestamps: np.ndarray
    """datetime64[s], shape ``(records,)``; local time of the source, no zone."""
    values: FloatArray
    """float64, shape ``(records,)``."""


class NAB:
    """Reader and scorer of a NAB corpus on disk.

    Series are named by their path below ``data/``, such as ``"realKnownCause/nyc_taxi.csv"``.

    Parameters
    ----------
    root : path, optional
        Folder that holds ``data/``, ``labels/`` and ``config/``; default ``$BIOMEM_DATA/nab``.

    Raises
    ------
    DataError
        The folder or one of its label files is missing or malformed.

    Examples
    --------
    >>> corpus = NAB()  # doctest: +SKIP
    >>> scores = {f: my_detector(corpus.series(f)) for f in corpus.files}  # doctest: +SKIP
    >>> corpus.score(scores, "reward_low_FP_rate").score  # doctest: +SKIP
    63.209
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        if root is None:
            folder = os.environ.get("BIOMEM_DATA")
            if not folder:
                raise DataError(
                    "NAB: no root given and the environment variable BIOMEM_DATA is not set; pass "
                    "the folder of a clone of github.com/numenta/NAB"
                )
            root = Path(folder) / "nab"
        self.root = Path(root)
        self._windows = self._read_json("labels/combined_windows.json")
        self._labels = self._read_json("labels/combined_labels.json")
        self.files: tuple[str, ...] = tuple(sorted(self._windows))

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the folders below ``data/``."""
        return tuple(sorted({file.split("/")[0] for file in self.files}))

    @functools.cached_property
    def profiles(self) -> dict[str, Profile]:
        """Cost matrices by name, from ``config/profiles.json``."""
        found = self._read_json("config/profiles.json")
        try:
            return {
                name: Profile(
                    tp=float(entry["CostMatrix"]["tpWeight"]),
                    fn=float(entry["CostMatrix"]["fnWeight"]),
                    fp=float(entry["CostMatrix"]["fpWeight"]),
                )
                for name, entry in found.items()
            }
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.root / 'config/profiles.json'}: no cost matrix: {error!r}"
            ) from error

    def series(self, file: str) -> NabSeries:
        """Return the records of one series.

        Raises
        ------
        DataError
            No such series; a file without records, or with a row that is not a time and a number.
        """
        path = self.root / "data" / self._known(file)
        try:
            rows = path.read_text(encoding="utf-8").splitlines()[1:]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"NAB: cannot read {path}: {error}") from error
        if not rows:
            raise DataError(f"NAB: {path} holds no records")
        try:
            stamps, numbers = zip(*(row.split(",") for row in rows), strict=True)
            timestamps, values = np.array(stamps, "datetime64[s]"), np.array(numbers, np.float64)
        except ValueError as error:
            raise DataError(
                f"NAB: {path} holds a row that is not `time,number`: {error}"
            ) from error
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise DataError(f"NAB: {path} line {row + 2}: the value must be finite")
        return NabSeries(timestamps, values)

    def windows(self, file: str) -> np.ndarray:
        """Return first and last stamp of each anomaly window, datetime64[s] ``(windows, 2)``."""
        pairs = [[stamp[:19] for stamp in pair] for pair in self._windows[self._known(file)]]
        return np.array(pairs, "datetime64[s]").reshape(-1, 2)

    def labels(self, file: str) -> np.ndarray:
        """Return the labelled instants of a series, datetime64[s] ``(labels,)``."""
        stamps = [stamp[:19] for stamp in self._labels[self._known(file)]]
        return np.array(stamps, "datetime64[s]").reshape(-1)

    @functools.cached_property
    def rows(self) -> Mapping[str, SeriesLabels]:
        """Length and window rows of every series; reads the corpus once.

        Where a stamp occurs more than once its first row counts.
        """
        return {file: self._rows_of(file) for file in self.files}

    def score(self, scores: Mapping[str, Any], profile: str | Profile = "standard") -> NabScore:
        """Return the score of a whole corpus at its best threshold (`nab_score.score_corpus`)."""
        return nab_score.score_corpus(scores, self.rows, self._profile(profile))

    def score_at(
        self, scores: Mapping[str, Any], threshold: float, profile: str | Profile = "standard"
    ) -> NabScore:
        """Return the score of a whole corpus at a given threshold (`nab_score.score_at`)."""
        return nab_score.score_at(scores, self.rows, threshold, self._profile(profile))

    def _rows_of(self, file: str) -> SeriesLabels:
        stamps = self.series(file).timestamps
        windows = self.windows(file)
        first = windows.reshape(-1, 1) == stamps
        if not first.any(axis=1).all():
            lost = windows.reshape(-1)[~first.any(axis=1)][0]
            raise DataError(
                f"NAB: window edge {lost} is no record of {file!r}; labels and data differ"
            )
        return SeriesLabels(len(stamps), first.argmax(axis=1).reshape(-1, 2))

    def _profile(self, profile: str | Profile) -> Profile:
        if isinstance(profile, Profile):
            return profile
        if profile not in self.profiles:
            raise InputError(f"profile must be one of {sorted(self.profiles)}, got {profile!r}")
        return self.profiles[profile]

    def _known(self, file: str) -> str:
        if file not in self._windows:
            near = difflib.get_close_matches(str(file), self.files, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see NAB.files"
            raise DataError(f"NAB: no series {file!r} in {self.root}; {hint}")
        return file

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.root / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                f"NAB: cannot read {path}: {error.strerror}; the root must be a folder of "
                "github.com/numenta/NAB with data/, labels/ and config/"
            ) from error
        except ValueError as error:
            raise DataError(f"NAB: {path} is not valid JSON: {error}") from error
