"""The expressive leaky memory neuron: reference, compiled scans, gradients, released weights."""

from biomem.engine.events import Events as Events
from biomem.models.elm.model import ELM as ELM
from biomem.models.elm.model import ELMState as ELMState
from biomem.models.elm.params import ELMParams as ELMParams

__all__ = ["ELM", "ELMParams", "ELMState", "Events"]
