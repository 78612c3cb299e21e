"""Readers of public data sets, and the scores their communities agreed on."""

from __future__ import annotations

from biomem.datasets.nab import NAB as NAB
from biomem.datasets.nab import NabSeries as NabSeries

__all__ = ["NAB", "NabSeries"]
