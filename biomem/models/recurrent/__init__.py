"""Recurrent rate networks: leaky integrators with a time constant of their own each."""

from biomem.models.recurrent.model import LeakyNetwork as LeakyNetwork
from biomem.models.recurrent.model import LeakyNetworkOutput as LeakyNetworkOutput
from biomem.models.recurrent.model import LeakyNetworkState as LeakyNetworkState
from biomem.models.recurrent.params import LeakyNetworkParams as LeakyNetworkParams

__all__ = ["LeakyNetwork", "LeakyNetworkOutput", "LeakyNetworkParams", "LeakyNetworkState"]
