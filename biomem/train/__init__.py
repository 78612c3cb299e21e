"""Training any Array-API model by gradient descent, with runs that resume to the bit.

Needs the torch extra; importing this package imports torch, importing `biomem` does not.
"""

from __future__ import annotations

from biomem import backends

backends.require("torch")

from biomem.train.fit import TrainingDiverged as TrainingDiverged  # noqa: E402
from biomem.train.fit import fit as fit  # noqa: E402
from biomem.train.history import History as History  # noqa: E402
from biomem.train.losses import cross_entropy as cross_entropy  # noqa: E402
from biomem.train.losses import evaluate as evaluate  # noqa: E402
from biomem.train.losses import mean_squared_error as mean_squared_error  # noqa: E402
from biomem.train.losses import to_tensors as to_tensors  # noqa: E402
from biomem.train.module import TorchModule as TorchModule  # noqa: E402
from biomem.train.optimisers import step_drops as step_drops  # noqa: E402
from biomem.train.stopping import EarlyStopping as EarlyStopping  # noqa: E402

__all__ = [
    "EarlyStopping",
    "History",
    "TorchModule",
    "TrainingDiverged",
    "cross_entropy",
    "evaluate",
    "fit",
    "mean_squared_error",
    "step_drops",
    "to_tensors",
]
