"""The sweep that shows the edge of chaos: every measure over the strength of the recurrence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem.engine.progress import ProgressMode, progress_bar
from biomem.engine.random import Rng, Stream
from biomem.errors import InputError
from biomem.models.liquid.chaos import lyapunov
from biomem.models.liquid.metrics.activity import branching_parameter
from biomem.models.liquid.metrics.separation import rank, separation
from biomem.models.liquid.model import Liquid

__all__ = ["EdgeOfChaos", "edge_of_chaos", "jittered"]


class EdgeOfChaos(NamedTuple):
    """Measures of a liquid, one value per gain.

    Attributes
    ----------
    gain : float array
        Factor on the recurrent weights.
    rate : float array
        Spikes per neuron and tick.
    branching, lyapunov : float arrays
    kernel_rank, generalisation_rank : int arrays
    separation, jitter_separation : float arrays
        Of different inputs, and of one input and its jittered likeness.
    """

    gain: NDArray[np.float64]
    rate: NDArray[np.float64]
    branching: NDArray[np.float64]
    lyapunov: NDArray[np.float64]
    kernel_rank: NDArray[np.int64]
    generalisation_rank: NDArray[np.int64]
    separation: NDArray[np.float64]
    jitter_separation: NDArray[np.float64]


def jittered(xs: ArrayLike, sd: float, seed: int = 0) -> NDArray[np.bool_]:
    """Return spikes moved in time by normal jitter of `sd` ticks, kept within the presentation.

    Parameters
    ----------
    xs : bool array, shape ``(time, batch, channel)``
    """
    x = np.asarray(xs) != 0
    tick, stream, channel = np.nonzero(x)
    entity = np.ravel_multi_index((tick, stream, channel), x.shape)
    moved = tick + np.rint(sd * Rng(seed).normal(Stream.NOISE, entity)).astype(np.int64)
    out = np.zeros_like(x)
    out[np.clip(moved, 0, len(x) - 1), stream, channel] = True
    return out


def edge_of_chaos(
    liquid: Liquid,
    xs: ArrayLike,
    gains: Sequence[float],
    *,
    projections: tuple[str, ...] = ("liquid>liquid",),
    jitter: float = 2.0,
    delay: int = 40,
    tolerance: str | float = "precision",
    seed: int = 0,
    progress: ProgressMode = "auto",
) -> EdgeOfChaos:
    """Measure a liquid over the gain of its recurrence.

    In the last `delay` ticks all inputs are that of the first, and the state is what every neuron
    fired in the second half of them: so the ranks speak of what the recurrence keeps, and not of
    what was heard just now. The kernel rank is that of the states after the different inputs, the
    generalisation rank that after as many jittered likenesses of the first. Where the recurrence is
    weak both are low, in chaos both are high; between them the liquid still tells what differed,
    and no longer what was alike.

    Parameters
    ----------
    liquid : Liquid
    xs : bool array, shape ``(time, batch, input)``
        Different inputs, as many as there are neurons or more for ranks not to be cut short.
    gains : sequence of float
    projections : tuple of str
        Whose weights the gain multiplies.
    jitter : float
        Standard deviation, ticks.
    delay : int
        Ticks of common input at the end, >= 2.
    tolerance : {"precision"} or float
        See `rank`.
    """
    x = np.asarray(xs) != 0
    if x.ndim != 3 or x.shape[1] < 2:
        raise InputError(f"edge_of_chaos: xs must be (time, batch >= 2, input), got {x.shape}")
    if not 2 <= delay < len(x):
        raise InputError(f"edge_of_chaos: delay must be in [2, {len(x)}) ticks, got {delay}")
    alike = jittered(np.repeat(x[:, :1], x.shape[1], axis=1), jitter, seed)
    common = {"different": _with_tail(x, x, delay), "alike": _with_tail(alike, x, delay)}
    dt = liquid.network.params.dt
    rows = []
    with progress_bar(len(gains), progress) as bar:
        for gain in gains:
            scaled = liquid.scaled(gain, projections)
            spikes, _ = scaled.run(x, seed=seed)
            like, _ = scaled.run(alike, seed=seed)
            kept = {
                name: scaled.run(inputs, seed=seed)[0][-(delay // 2) :].sum(axis=0)
                for name, inputs in common.items()
            }
            half = x.shape[1] // 2
            rows.append(
                (
                    gain,
                    spikes.mean(),
                    branching_parameter(spikes[len(x) // 4 :].sum(axis=2)),
                    lyapunov(scaled, x, at=len(x) // 4, ticks=len(x) // 2, seed=seed),
                    rank(kept["different"], tolerance),
                    rank(kept["alike"], tolerance),
                    separation(spikes[:, :half], spikes[:, half : 2 * half], dt),
                    separation(like[:, :half], like[:, half : 2 * half], dt),
                )
            )
            bar.update(1)
    return EdgeOfChaos(*(np.array(column) for column in zip(*rows, strict=True)))


def _with_tail(xs: NDArray[np.bool_], of: NDArray[np.bool_], delay: int) -> NDArray[np.bool_]:
    """Return the inputs with the last `delay` ticks of the first of `of`."""
    out = xs.copy()
    out[-delay:] = of[-delay:, :1]
    return out
