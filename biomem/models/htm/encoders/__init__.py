"""Encoders: from numbers, times and names to sparse patterns.

Every encoder is a frozen parameter set with a `size` and a pure ``encode(value) -> SDR``; similar
values share bits. A missing value (None or NaN) has no active bit.
"""

from biomem.models.htm.encoders.category import CategoryEncoder, Vocabulary
from biomem.models.htm.encoders.date_time import DateTimeEncoder
from biomem.models.htm.encoders.multi import Encoder, MultiEncoder
from biomem.models.htm.encoders.rdse import RDSE
from biomem.models.htm.encoders.record import (
    EncoderConstants,
    constants,
    encode_record_reference,
)
from biomem.models.htm.encoders.scalar import ScalarEncoder

__all__ = [
    "RDSE",
    "CategoryEncoder",
    "DateTimeEncoder",
    "Encoder",
    "EncoderConstants",
    "MultiEncoder",
    "ScalarEncoder",
    "Vocabulary",
    "constants",
    "encode_record_reference",
]
