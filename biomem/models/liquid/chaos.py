"""Whether small differences die out or grow: twin runs of one network.

Source: R. Legenstein, W. Maass, "What makes a dynamical system computationally powerful?", in New
Directions in Statistical Signal Processing, MIT Press (2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biomem import backends
from biomem.engine.model import map_arrays
from biomem.engine.random import Rng, Stream
from biomem.engine.scan import loop
from biomem.errors import InputError
from biomem.models.liquid.model import Liquid
from biomem.network.model import SpikingNetworkState

__all__ = ["hamming_after_a_flip", "lyapunov"]


def lyapunov(
    liquid: Liquid,
    xs: ArrayLike,
    *,
    size: float | None = None,
    at: int = 0,
    ticks: int = 50,
    seed: int = 0,
) -> float:
    """Return the mean growth of a small difference, in 1/tick.

    Each run has a twin in which a spike is made or unmade at tick `at`, of another neuron in every
    run, or whose membranes differ by +-`size`; the growth of the logarithm of the distance of their
    membranes over the next `ticks` is averaged over runs. A spike that comes or fails to come makes
    the distance leap, so the value is a proxy: its *sign change* marks the edge of chaos, its size
    means little. A tiny `size` dies out with the leak before it moves any spike, also in networks
    that are chaotic by spikes.

    Parameters
    ----------
    liquid : Liquid
    xs : array, shape ``(time, batch, input)``
    size : float, optional
        Of the difference of membranes, in their unit; default one spike.
    at, ticks : int
        Where the twins part, and how long they are followed.
    """
    x = _inputs("lyapunov", xs, at + ticks)
    state = _begin(liquid, x, seed)
    if at:
        state = _advance(liquid, state, x[:at], 0)[0]
    if size is None:
        twin = _flipped(liquid, state, x, at)
    else:
        words = Rng(seed).words(Stream.NOISE, np.arange(state.v.shape[1]))
        signs = np.where(words[:, 0] & 1, 1.0, -1.0)
        twin = _copy(state)._replace(v=(state.v + size * signs).astype(state.v.dtype))
    one = _advance(liquid, _copy(state), x[at : at + ticks], at)[1].v
    other = _advance(liquid, twin, x[at : at + ticks], at)[1].v
    distance = np.sqrt(((one.astype(np.float64) - other) ** 2).sum(axis=2))
    floor = np.finfo(one.dtype).eps
    grown = np.log(np.maximum(distance[-1], floor)) - np.log(np.maximum(distance[0], floor))
    return float(grown.mean() / max(ticks - 1, 1))


def hamming_after_a_flip(
    liquid: Liquid,
    xs: ArrayLike,
    lags: tuple[int, ...] = (10, 100),
    *,
    at: int = 0,
    seed: int = 0,
) -> dict[int, float]:
    """Return the share of neurons that differ in a window after one spike was made or unmade.

    One neuron of the twin is pushed over its threshold at tick `at` (or held down where it
    would have fired anyway); spikes are compared in the ten ticks that end at each lag.

    Parameters
    ----------
    liquid : Liquid
    xs : array, shape ``(time, batch, input)``
    lags : tuple of int
        Ticks after `at`.
    """
    x = _inputs("hamming_after_a_flip", xs, at + max(lags))
    state = _begin(liquid, x, seed)
    if at:
        state = _advance(liquid, state, x[:at], 0)[0]
    twin = _flipped(liquid, state, x, at)
    one = _advance(liquid, _copy(state), x[at : at + max(lags)], at)[1].spikes
    other = _advance(liquid, twin, x[at : at + max(lags)], at)[1].spikes
    read = np.concatenate(
        [np.arange(s.start, s.stop) for s in map(liquid.network.units, liquid.population)]
    )
    differs = (one != other)[..., read]
    return {lag: float(differs[max(lag - 10, 0) : lag].any(axis=0).mean()) for lag in lags}


def _flipped(
    liquid: Liquid, state: SpikingNetworkState, x: NDArray[Any], at: int
) -> SpikingNetworkState:
    """Return the state in which one neuron fires in the next tick where it would not.

    Every stream has another neuron, or the result would be that neuron's.
    """
    read = [liquid.network.neurons(name) for name in liquid.population]
    units = [liquid.network.units(name) for name in liquid.population]
    neurons = np.concatenate([np.arange(s.start, s.stop) for s in read])
    places = np.concatenate([np.arange(s.start, s.stop) for s in units])
    stream = np.arange(x.shape[1])
    chosen = stream % len(neurons)
    fired = _advance(liquid, _copy(state), x[at : at + 1], at)[1].spikes[0]
    rest = np.median(state.v)
    far = 100.0 * (np.abs(state.v).max() + 1.0)
    v, held = np.array(state.v), np.array(state.refractory)
    fires = fired[stream, places[chosen]]
    v[stream, neurons[chosen]] = np.where(fires, rest - far, rest + far)
    held[stream, neurons[chosen]] = 0
    return _copy(state)._replace(v=v, refractory=held)


def _inputs(name: str, xs: ArrayLike, ticks: int) -> NDArray[Any]:
    x = np.asarray(xs)
    if x.ndim != 3 or len(x) < ticks:
        raise InputError(
            f"{name}: xs must have at least {ticks} ticks, (time, batch, input): {x.shape}"
        )
    return x


def _begin(liquid: Liquid, x: NDArray[Any], seed: int) -> SpikingNetworkState:
    return liquid.network.init_state(x.shape[1], Rng(seed))


def _copy(state: SpikingNetworkState) -> SpikingNetworkState:
    return map_arrays(np.array, state)


def _advance(
    liquid: Liquid, state: SpikingNetworkState, x: NDArray[Any], tick: int
) -> tuple[SpikingNetworkState, Any]:
    """Advance by the compiled scan, which writes to the state it is given."""
    checked = liquid.network.check_input(x, batch=x.shape[1])
    scan = backends.resolve(liquid.network).scan or loop
    return scan(liquid.network, state, checked, tick)
