"""The liquid state machine: encoder, reservoir of spikes, feature read-out.

Only the linear read-out behind it is trained (`biomem.models.liquid.readout`), so features are
computed once. The equations of the reservoir are those of `biomem.network`.

Sources: W. Maass, T. Natschlaeger, H. Markram, Neural Comput. 14 (2002) 2531; N. Lin et al., Nat.
Comput. Sci. 5 (2025) 37.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomem.engine.simulator import Simulator
from biomem.errors import InputError, ParameterError
from biomem.models.liquid.features import Counts, Feature
from biomem.models.liquid.metrics.activity import branching_parameter
from biomem.network.model import SpikingNetwork
from biomem.network.neurons import Poisson
from biomem.typing import Array

__all__ = ["Liquid"]

RUN_BYTES = 1 << 26
"""Target size of the spikes of one batch of runs."""

HALVINGS = 24


class Liquid:
    """A reservoir of spiking neurons with what is fed to it and what is read from it.

    Immutable: methods that change something return another liquid. Runs start from the network's
    initial state; B samples are B streams that share the weights.

    When not to use it: where a trained recurrent network is affordable, it is more accurate; and
    with a state that shall go on between samples (use `biomem.Simulator` on `network`).

    Parameters
    ----------
    network : SpikingNetwork
        With one input population or several, and a population of neurons.
    population : str or tuple of str
        Whose activity is read, one after the other.
    features : Counts, Trace, Membrane or LastState
    encoder : callable, optional
        Turns what `run` is given into the network's input ``(time, batch, input)``.

    Raises
    ------
    ParameterError
        No such population, or a network without inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from biomem.models.liquid import lin2025
    >>> liquid = lin2025(n_inputs=16, n=50, const=0.2)
    >>> spikes = np.random.default_rng(0).random((40, 8, 16)) < 0.1
    >>> liquid.features(spikes).shape
    (8, 50)
    """

    def __init__(
        self,
        network: SpikingNetwork,
        population: str | tuple[str, ...] = "liquid",
        features: Feature | None = None,
        encoder: Callable[[Any], Array] | None = None,
    ) -> None:
        named = network.params.named
        read = (population,) if isinstance(population, str) else tuple(population)
        neurons = [name for name, p in named.items() if not p.is_source]
        if not read or not set(read) <= set(neurons):
            raise ParameterError(
                f"Liquid: population must be among the network's {neurons}, got {population!r}"
            )
        # In the order of the network, which is that of its outputs.
        read = tuple(name for name in neurons if name in read)
        if network.Input is None:
            raise ParameterError(
                "Liquid: network must have a SpikeInput or a CurrentInput, got none"
            )
        if network.params.traces != read:
            network = SpikingNetwork(network.params.replace(traces=read), weights=network.weights)
        self.network = network
        self.population = read
        self.read = Counts() if features is None else features
        self.encoder = encoder

    @property
    def n(self) -> int:
        """Number of neurons that are read."""
        return sum(self.network.params.named[name].n for name in self.population)

    def with_features(self, features: Feature) -> Liquid:
        """Return the liquid read in another way."""
        return Liquid(self.network, self.population, features, self.encoder)

    def with_weights(self, weights: Mapping[str, Array]) -> Liquid:
        """Return the liquid with other weights, such as those of a resistive array."""
        return Liquid(self.network.with_weights(weights), self.population, self.read, self.encoder)

    def scaled(self, gain: float, projections: tuple[str, ...] | None = None) -> Liquid:
        """Return the liquid with the weights of some projections multiplied by `gain`.

        Parameters
        ----------
        gain : float
        projections : tuple of str, optional
            Names; default all that store weights.
        """
        arrays = self.network.weights
        names = (
            [q.name for q in self.network.params.projections if f"{q.name}/weight" in arrays]
            if projections is None
            else projections
        )
        return self.with_weights({f"{n}/weight": arrays[f"{n}/weight"] * gain for n in names})

    def run(
        self, xs: Any, *, backend: str = "auto", seed: int = 0
    ) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
        """Return spikes and membranes of the liquid's neurons, ``(time, batch, neuron)``.

        Parameters
        ----------
        xs : array, shape ``(time, batch, input)``, or what the encoder takes
        backend : str
        seed : int
            Of drawn initial membranes and Poisson sources.
        """
        inputs = np.asarray(xs if self.encoder is None else self.encoder(xs))
        if inputs.ndim != 3 or inputs.shape[0] == 0 or inputs.shape[1] == 0:
            raise InputError(f"Liquid: xs must have shape (time, batch, input), got {inputs.shape}")
        sim = Simulator(
            self.network, backend=backend, seed=seed, batch=inputs.shape[1], progress=False
        )
        recording = sim.run(inputs)
        spikes = np.asarray(recording["spikes"])
        read = [spikes[..., self.network.units(name)] for name in self.population]
        return np.concatenate(read, axis=-1), np.asarray(recording["v"])

    def features(self, xs: Any, *, backend: str = "auto", seed: int = 0) -> NDArray[np.float64]:
        """Return the features of every sample, shape ``(batch, feature)``.

        Parameters
        ----------
        xs : array, shape ``(time, batch, input)``, or what the encoder takes
        """
        inputs = np.asarray(xs if self.encoder is None else self.encoder(xs))
        plain = Liquid(self.network, self.population, self.read)
        if inputs.ndim != 3:
            plain.run(inputs)
        per_sample = max(1, inputs.shape[0] * self.network.layout.sizes["unit"])
        at_once = max(1, RUN_BYTES // per_sample)
        if self._draws():
            # What a stream draws depends on its number, so the samples must be numbered through.
            at_once = max(inputs.shape[1], 1)
        rows = [
            self.read.read(
                *plain.run(inputs[:, first : first + at_once], backend=backend, seed=seed),
                self.network.params.dt,
            )
            for first in range(0, max(inputs.shape[1], 1), at_once)
        ]
        return np.concatenate(rows)

    def _draws(self) -> bool:
        """Tell whether streams differ by what they draw."""
        neurons = [p.neuron for p in self.network.params.populations]
        return any(
            isinstance(n, Poisson) or getattr(n, "v_init", None) is not None for n in neurons
        )

    def calibrated(
        self,
        xs: Any,
        *,
        rate: float | None = 0.05,
        branching: float | None = None,
        projections: tuple[str, ...] | None = None,
        low: float = 1e-3,
        high: float = 1e3,
        seed: int = 0,
    ) -> Liquid:
        """Return the liquid scaled to a target mean rate or branching parameter.

        The gain is bisected between `low` and `high` on a logarithmic scale; activity must grow
        with it. The seed's publication found its ``const`` by a grid search.

        Parameters
        ----------
        xs : array, shape ``(time, batch, input)``
            A calibration batch.
        rate : float, optional
            Spikes per neuron and tick, in (0, 1).
        branching : float, optional
            Instead of `rate`.
        projections : tuple of str, optional
            Whose weights are scaled; default all.

        Raises
        ------
        ParameterError
            The target lies outside what the gains reach.
        """
        if (rate is None) == (branching is None):
            raise ParameterError("Liquid.calibrated: give rate or branching, one of the two")
        target = rate if branching is None else branching
        assert target is not None

        def measured(gain: float) -> float:
            spikes, _ = self.scaled(gain, projections).run(xs, seed=seed)
            if branching is None:
                return float(spikes.mean())
            return branching_parameter(spikes.sum(axis=2))

        ends = measured(low), measured(high)
        if not ends[0] <= target <= ends[1]:
            raise ParameterError(
                f"Liquid.calibrated: the target {target} lies outside [{ends[0]:.3g}, "
                f"{ends[1]:.3g}], what gains of {low} to {high} reach; give other gains or inputs"
            )
        for _ in range(HALVINGS):
            middle = float(np.sqrt(low * high))
            if measured(middle) < target:
                low = middle
            else:
                high = middle
        return self.scaled(high, projections)

    def __repr__(self) -> str:
        return (
            f"<Liquid of {self.n} neurons ({', '.join(self.population)}), "
            f"{self.network.layout.sizes['input']} inputs, read by {self.read!r}>"
        )
