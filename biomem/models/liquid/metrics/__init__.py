"""Measures of a reservoir's quality, from its spikes and states."""

from biomem.models.liquid.metrics.activity import avalanche_exponents as avalanche_exponents
from biomem.models.liquid.metrics.activity import avalanches as avalanches
from biomem.models.liquid.metrics.activity import branching_parameter as branching_parameter
from biomem.models.liquid.metrics.activity import silent_and_saturated as silent_and_saturated
from biomem.models.liquid.metrics.memory import (
    information_processing_capacity as information_processing_capacity,
)
from biomem.models.liquid.metrics.memory import memory_capacity as memory_capacity
from biomem.models.liquid.metrics.separation import rank as rank
from biomem.models.liquid.metrics.separation import separation as separation
