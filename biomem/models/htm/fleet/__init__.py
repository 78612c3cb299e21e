"""Fleet mode: thousands of anomaly detectors in one process, bit for bit as if each were alone."""

from biomem.models.htm.fleet.model import HTMFleetModel as HTMFleetModel
from biomem.models.htm.fleet.model import HTMFleetState as HTMFleetState
from biomem.models.htm.fleet.params import HTMFleetParams as HTMFleetParams
from biomem.models.htm.fleet.runner import HTMFleet as HTMFleet

__all__ = ["HTMFleet", "HTMFleetModel", "HTMFleetParams", "HTMFleetState"]
