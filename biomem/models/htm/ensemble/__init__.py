"""Several HTMs on one stream of numbers, their raw scores averaged before they are judged."""

from biomem.models.htm.ensemble.model import HTMEnsemble as HTMEnsemble
from biomem.models.htm.ensemble.model import HTMEnsembleState as HTMEnsembleState
from biomem.models.htm.ensemble.params import HTMEnsembleParams as HTMEnsembleParams
from biomem.models.htm.ensemble.params import HTMMember as HTMMember

__all__ = ["HTMEnsemble", "HTMEnsembleParams", "HTMEnsembleState", "HTMMember"]
