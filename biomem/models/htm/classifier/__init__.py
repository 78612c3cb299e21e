"""SDR classifier: what value follows a pattern, and how sure that is."""

from biomem.models.htm.classifier.model import ClassifierOutput as ClassifierOutput
from biomem.models.htm.classifier.model import ClassifierState as ClassifierState
from biomem.models.htm.classifier.model import SDRClassifier as SDRClassifier
from biomem.models.htm.classifier.params import SDRClassifierParams as SDRClassifierParams

__all__ = ["ClassifierOutput", "ClassifierState", "SDRClassifier", "SDRClassifierParams"]
