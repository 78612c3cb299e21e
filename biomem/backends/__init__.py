"""The one place that knows numpy, numba, cuda and torch apart.

Importing it imports none of numba, torch and CuPy.
"""

from biomem.backends import cuda as cuda
from biomem.backends import ops as ops
from biomem.backends.arrays import namespace as namespace
from biomem.backends.arrays import to_backend as to_backend
from biomem.backends.arrays import to_numpy as to_numpy
from biomem.backends.doctor import Finding as Finding
from biomem.backends.doctor import doctor_report as doctor_report
from biomem.backends.probing import NAMES as NAMES
from biomem.backends.probing import Probe as Probe
from biomem.backends.probing import probe as probe
from biomem.backends.probing import require as require
from biomem.backends.registry import Choice as Choice
from biomem.backends.registry import Explanation as Explanation
from biomem.backends.registry import explain as explain
from biomem.backends.registry import resolve as resolve

__all__ = [
    "NAMES",
    "Choice",
    "Explanation",
    "Finding",
    "Probe",
    "cuda",
    "doctor_report",
    "explain",
    "namespace",
    "ops",
    "probe",
    "require",
    "resolve",
    "to_backend",
    "to_numpy",
]
