"""Telemetry from files and pipes, record by record."""

from biomem.stream.events import Counts as Counts
from biomem.stream.options import MAX_ABS_VALUE as MAX_ABS_VALUE
from biomem.stream.options import ReadOptions as ReadOptions
from biomem.stream.records import Record as Record
from biomem.stream.records import RecordReader as RecordReader

__all__ = ["MAX_ABS_VALUE", "Counts", "ReadOptions", "Record", "RecordReader"]
