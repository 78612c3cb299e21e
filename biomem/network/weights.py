"""The arrays of a network: drawn by its rules, or given; checked before anything runs.

This is the one place weights come from. Names are ``"<projection>/weight"`` and so on; another
physics behind the weights, such as the conductances of a resistive array, replaces the network's
arrays with `SpikingNetwork.with_weights` and nothing else.

=========================  ==================================  =============================
array                      shape                               of
=========================  ==================================  =============================
``<projection>/weight``    (pre, post)                         AllToAll, Explicit dense
``<projection>/weight``    (n,)                                OneToOne
``<projection>/weight``    (out, in, k_height, k_width)        Convolution
``<projection>/indptr``    (pre + 1,)                          the other stored rules
``<projection>/target``    (synapses,)                         ascending within a source
``<projection>/weight``    (synapses,)
``<projection>/delay``     (synapses,), s                      projections with drawn delays
``<projection>/U``, ...    (synapses,)                         TsodyksMarkram with a spread
``<population>/time``      (spikes,), s, ascending             SpikeArray
``<population>/unit``      (spikes,)
=========================  ==================================  =============================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomem.engine.params import Params
from biomem.engine.random import Rng, Stream
from biomem.errors import ParameterError
from biomem.network.connect import (
    AllToAll,
    Convolution,
    Ends,
    Explicit,
    OneToOne,
    Pattern,
    Procedural,
)
from biomem.network.draws import draw
from biomem.network.neurons import SpikeArray
from biomem.network.params import Population, Projection, SpikingNetworkParams, allowed_sign
from biomem.network.plasticity import STDP, TsodyksMarkram
from biomem.typing import Array

__all__ = ["check_weights", "draw_weights", "projection_rng"]


def projection_rng(seed: int, number: int) -> Rng:
    """Return the generator of the projection of that number: keys of their own, from the seed."""
    w = Rng(seed).words(Stream.NET_CONNECT, number)
    return Rng(int(w[0]) << 32 | int(w[1]))


def draw_weights(params: SpikingNetworkParams, given: Mapping[str, Array]) -> dict[str, Array]:
    """Return every array of the network, those in `given` as they are."""
    arrays: dict[str, Array] = {}
    for number, projection in enumerate(params.projections):
        rng = projection_rng(params.seed, number)
        arrays |= _of_projection(params, projection, rng, given)
    for population in params.populations:
        if isinstance(population.neuron, SpikeArray):
            for part in ("time", "unit"):
                key = f"{population.name}/{part}"
                arrays[key] = np.asarray(_given(given, key))
    unknown = sorted(set(given) - set(arrays))
    if unknown:
        raise ParameterError(
            f"SpikingNetwork: weights has no array {unknown[0]!r}; this network has "
            f"{sorted(arrays)}"
        )
    return arrays


def _given(given: Mapping[str, Array], name: str) -> Array:
    if name not in given:
        raise ParameterError(f"SpikingNetwork: weights must have {name!r}, got {sorted(given)}")
    return given[name]


def _of_projection(
    params: SpikingNetworkParams, projection: Projection, rng: Rng, given: Mapping[str, Array]
) -> dict[str, Array]:
    rule, name = projection.rule, projection.name
    pre, post = params.named[projection.pre], params.named[projection.post]
    if isinstance(rule, Procedural):
        return {}
    arrays: dict[str, Array] = {}
    if isinstance(rule, AllToAll | OneToOne | Convolution):
        shape = weight_shape(rule, pre.n, post.n)
    elif isinstance(rule, Explicit) and rule.storage == "dense":
        arrays[f"{name}/weight"] = np.asarray(_given(given, f"{name}/weight"), params.dtype)
        shape = arrays[f"{name}/weight"].shape
    else:
        if isinstance(rule, Explicit) or f"{name}/target" in given:
            pattern = Pattern(
                np.asarray(_given(given, f"{name}/indptr")),
                np.asarray(_given(given, f"{name}/target")),
            )
        else:
            ends = Ends(pre.n, post.n, pre is post, positions(pre), positions(post))
            pattern = rule.pattern(ends, rng)
        arrays |= {f"{name}/indptr": pattern.indptr, f"{name}/target": pattern.target}
        shape = (len(pattern.target),)
        if isinstance(rule, Explicit):
            arrays[f"{name}/weight"] = _given(given, f"{name}/weight")
    n = math.prod(shape)
    if f"{name}/weight" not in arrays:
        arrays[f"{name}/weight"] = (
            given[f"{name}/weight"]
            if f"{name}/weight" in given
            else draw(projection.weight, rng, Stream.NET_WEIGHT, n).reshape(shape)
        )
    arrays[f"{name}/weight"] = _typed(arrays[f"{name}/weight"], params.dtype)
    if isinstance(projection.delay, Params):
        arrays[f"{name}/delay"] = (
            np.asarray(given[f"{name}/delay"], np.float64)
            if f"{name}/delay" in given
            else draw(projection.delay, rng, Stream.NET_DELAY, n)
        )
    if projection.stp is not None and projection.stp.spread > 0:
        arrays |= _short_term(name, projection.stp, rng, n, given)
    return arrays


def _typed(values: Array, dtype: str) -> NDArray[Any]:
    """Return values in the dtype of the network; a view of one number stays one."""
    given = np.asarray(values)
    if given.size and not any(given.strides):
        return np.broadcast_to(given.flat[0].astype(dtype), given.shape)
    return given.astype(dtype, copy=False)


def _short_term(
    name: str, stp: TsodyksMarkram, rng: Rng, n: int, given: Mapping[str, Array]
) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    entity = np.arange(n)
    for part, (field, top) in enumerate((("U", 1.0), ("tau_rec", None), ("tau_facil", None))):
        key = f"{name}/{field}"
        if key in given:
            arrays[key] = np.asarray(given[key], np.float64)
            continue
        mean = getattr(stp, field)
        drawn = mean * (1 + stp.spread * rng.normal(Stream.NET_PLASTICITY, entity, batch=2 * part))
        again = 2 * mean * rng.uniform(Stream.NET_PLASTICITY, entity, batch=2 * part + 1)
        drawn = np.where(drawn > 0, drawn, again)
        arrays[key] = drawn if top is None else np.minimum(drawn, top)
    return arrays


def positions(population: Population) -> NDArray[np.float64] | None:
    """Return the positions of a population's units, shape ``(n, axes)``, or None."""
    if population.points is not None:
        return np.asarray(population.points, np.float64)
    if population.grid is not None:
        return np.stack(np.unravel_index(np.arange(population.n), population.grid), 1).astype(float)
    return None


def weight_shape(rule: Any, n_pre: int, n_post: int) -> tuple[int, ...]:
    """Return the shape of the weights of a rule without a pattern."""
    if isinstance(rule, OneToOne):
        return (n_pre,)
    if isinstance(rule, Convolution):
        return (rule.out_channels, rule.in_shape[0], *rule.kernel)
    return (n_pre, n_post)


def check_weights(params: SpikingNetworkParams, arrays: Mapping[str, Array]) -> None:
    """Refuse arrays of the wrong shape, not finite, or against Dale's law, by name."""
    for projection in params.projections:
        if isinstance(projection.rule, Procedural):
            _check_sign(params, projection, np.asarray([projection.weight]))
            continue
        n_pre = params.named[projection.pre].n
        n_post = params.named[projection.post].n
        weight = arrays[f"{projection.name}/weight"]
        if f"{projection.name}/target" in arrays:
            _check_pattern(projection, arrays, n_pre, n_post)
            shape = (len(arrays[f"{projection.name}/target"]),)
        else:
            shape = weight_shape(projection.rule, n_pre, n_post)
        _check_numbers(f"{projection.name}/weight", weight, shape)
        for part in ("delay", "U", "tau_rec", "tau_facil"):
            key = f"{projection.name}/{part}"
            if key in arrays:
                _check_numbers(key, arrays[key], (math.prod(shape),))
        for part, low, high in (
            ("delay", 0.0, np.inf),
            ("U", 0.0, 1.0),
            ("tau_rec", 0.0, np.inf),
            ("tau_facil", 0.0, np.inf),
        ):
            values = arrays.get(f"{projection.name}/{part}")
            if (
                values is not None
                and values.size
                and not low <= values.min() <= values.max() <= high
            ):
                raise ParameterError(
                    f"SpikingNetwork: weights[{projection.name + '/' + part!r}] must lie in "
                    f"[{low}, {high}], got values in [{values.min()}, {values.max()}]"
                )
        _check_sign(params, projection, distinct(weight))
        if projection.stdp is not None:
            _check_bounds(projection, projection.stdp, np.asarray(weight))
    for population in params.populations:
        if isinstance(population.neuron, SpikeArray):
            _check_spikes(population, arrays)


def distinct(values: Array) -> NDArray[Any]:
    """Return the values to look at: one, where all are views of one number."""
    given = np.asarray(values)
    return given.reshape(-1)[:1] if given.size and not any(given.strides) else given


def constant(values: Array) -> float | None:
    """Return the number that all values are, or None."""
    # Decided by the values, not by how they are stored: a checkpoint stores them otherwise.
    given = distinct(values)
    same = given.size > 0 and bool((given == given.flat[0]).all())
    return float(given.flat[0]) if same else None


def _check_numbers(key: str, values: Array, shape: tuple[int, ...]) -> None:
    if tuple(values.shape) != shape:
        raise ParameterError(
            f"SpikingNetwork: weights[{key!r}] must have shape {shape}, got {tuple(values.shape)}"
        )
    if np.isfinite(distinct(values)).all():
        return
    bad = ~np.isfinite(np.asarray(values))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ParameterError(
            f"SpikingNetwork: weights[{key!r}] must be finite, got {values[where]} at {where}"
        )


def _check_pattern(
    projection: Projection, arrays: Mapping[str, Array], n_pre: int, n_post: int
) -> None:
    name = projection.name
    indptr, target = arrays[f"{name}/indptr"], arrays[f"{name}/target"]
    whole = indptr.dtype.kind in "iu" and target.dtype.kind in "iu"
    fits = (
        whole
        and indptr.shape == (n_pre + 1,)
        and target.ndim == 1
        and indptr[0] == 0
        and indptr[-1] == len(target)
        and not (np.diff(indptr) < 0).any()
    )
    if not fits:
        raise ParameterError(
            f"SpikingNetwork: weights[{name + '/indptr'!r}] must be {n_pre + 1} integers rising "
            f"from 0 to the {target.shape} targets, got shape {indptr.shape}"
        )
    if len(target) == 0:
        return
    rises = target[1:] > target[:-1]
    rises[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < len(target))] - 1] = True
    if target.min() < 0 or target.max() >= n_post or not rises.all():
        raise ParameterError(
            f"SpikingNetwork: weights[{name + '/target'!r}] must ascend within each source and "
            f"lie in [0, {n_post}), got values in [{target.min()}, {target.max()}]"
        )


def _check_sign(params: SpikingNetworkParams, projection: Projection, weight: Array) -> None:
    pre, post = params.named[projection.pre], params.named[projection.post]
    sign = allowed_sign(pre, post)
    wrong = weight < 0 if sign > 0 else weight > 0
    if sign and wrong.any():
        what = "conductances are magnitudes" if sign > 0 and pre.sign != "exc" else "Dale's law"
        raise ParameterError(
            f"Projection {projection.name!r}: weights of the {pre.sign!r} population {pre.name!r} "
            f"onto {post.name!r} must not be {'negative' if sign > 0 else 'positive'} ({what}), "
            f"got {weight[wrong].flat[0]}; change the weights or the population's sign"
        )


def _check_bounds(projection: Projection, stdp: STDP, weight: Array) -> None:
    low, high = weight.dtype.type(stdp.w_min), weight.dtype.type(stdp.w_max)
    beyond = (weight < low) | (weight > high)
    if beyond.any():
        raise ParameterError(
            f"Projection {projection.name!r}: weights must begin within the bounds of its STDP, "
            f"[{stdp.w_min}, {stdp.w_max}], got {weight[beyond].flat[0]}; widen the bounds or "
            "change the weights"
        )


def _check_spikes(population: Population, arrays: Mapping[str, Array]) -> None:
    time = np.asarray(arrays[f"{population.name}/time"])
    unit = np.asarray(arrays[f"{population.name}/unit"])
    ok = time.ndim == 1 and time.shape == unit.shape and unit.dtype.kind in "iu"
    if not ok:
        raise ParameterError(
            f"SpikingNetwork: weights[{population.name + '/time'!r}] and '/unit' must be one time "
            f"and one integer per spike, got {time.shape} and {unit.dtype} {unit.shape}"
        )
    if len(time) == 0:
        return
    sound = np.isfinite(time).all() and time.min() >= 0 and not (np.diff(time) < 0).any()
    if not sound:
        raise ParameterError(
            f"SpikingNetwork: weights[{population.name + '/time'!r}] must be finite, >= 0 and "
            "ascending, in seconds; sort the spikes"
        )
    if unit.min() < 0 or unit.max() >= population.n:
        raise ParameterError(
            f"SpikingNetwork: weights[{population.name + '/unit'!r}] must lie in "
            f"[0, {population.n}), got values in [{unit.min()}, {unit.max()}]"
        )
