"""Liquid state machines: a fixed random network of spikes, and a trained linear read-out."""

from biomem.models.liquid.chaos import hamming_after_a_flip as hamming_after_a_flip
from biomem.models.liquid.chaos import lyapunov as lyapunov
from biomem.models.liquid.features import Counts as Counts
from biomem.models.liquid.features import LastState as LastState
from biomem.models.liquid.features import Membrane as Membrane
from biomem.models.liquid.features import Trace as Trace
from biomem.models.liquid.formation import RandomFormation as RandomFormation
from biomem.models.liquid.head import LinearHead as LinearHead
from biomem.models.liquid.head import LinearHeadParams as LinearHeadParams
from biomem.models.liquid.model import Liquid as Liquid
from biomem.models.liquid.presets import lin2025 as lin2025
from biomem.models.liquid.presets import random_liquid as random_liquid
from biomem.models.liquid.readout import RLS as RLS
from biomem.models.liquid.readout import Logistic as Logistic
from biomem.models.liquid.readout import Ridge as Ridge
from biomem.models.liquid.sweep import EdgeOfChaos as EdgeOfChaos
from biomem.models.liquid.sweep import edge_of_chaos as edge_of_chaos
