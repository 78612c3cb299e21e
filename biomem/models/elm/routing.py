"""Which input channel drives which synapse.

Synapse ``branch * k + j`` is the j-th of the k synapses of a branch.

none
    Synapse ``i`` listens to channel ``i``.
random
    Every synapse listens to a channel drawn uniformly, with replacement.
neuronio
    The channels of the two halves alternate (position ``p`` is channel ``p // 2`` of the first
    half for even ``p``, of the second for odd ``p``), so that excitation and inhibition of one
    dendritic segment stand side by side. With ``s = ceil(n_inputs / branches)``, branch ``b``
    listens to positions ``b * s ... b * s + k - 1``; neighbouring branches overlap, and positions
    beyond the last channel are masked.

Source: Spieler, Rahaman, Martius, Schoelkopf, Levina, "The expressive leaky memory neuron",
ICLR 2024, and the code published with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from biomem.engine.random import Rng, Stream, below
from biomem.models.elm.params import ELMParams

__all__ = ["route"]


def route(params: ELMParams, rng: Rng) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the channel of every synapse, and whether the synapse is used at all.

    Parameters
    ----------
    params : ELMParams
    rng : Rng
        Read for ``routing="random"`` alone.

    Returns
    -------
    channels : int64 array, shape ``(synapse,)``
    valid : bool array, shape ``(synapse,)``

    Examples
    --------
    >>> params = ELMParams(n_inputs=6, n_branches=2, synapses_per_branch=4, routing="neuronio")
    >>> channels, valid = route(params, Rng(0))
    >>> channels.reshape(2, 4).tolist()
    [[0, 3, 1, 4], [4, 2, 5, 5]]
    >>> valid.reshape(2, 4)[1].tolist()
    [True, True, True, False]
    """
    n = params.n_inputs
    synapses = np.arange(params.n_synapses, dtype=np.int64)
    valid = np.ones(len(synapses), np.bool_)
    if params.routing is None:
        return synapses, valid
    if params.routing == "random":
        return below(rng.words(Stream.CONNECT, synapses)[:, 0], n), valid
    stride = -(-n // params.branches)
    branch, place = np.divmod(synapses, params.synapses_per_branch)
    position = branch * stride + place
    valid = position < n
    position = np.minimum(position, n - 1)
    return position // 2 + (position % 2) * (n // 2), valid
