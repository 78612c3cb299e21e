"""Any Array-API model as a ``torch.nn.Module``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from biomem import backends
from biomem.engine.model import Model, map_arrays
from biomem.engine.random import Rng
from biomem.engine.scan import loop
from biomem.errors import InputError, ParameterError
from biomem.typing import State

__all__ = ["TorchModule"]


class TorchModule(nn.Module):
    """A model whose weights are trainable parameters and whose run is differentiable.

    The equations are the model's own: the module binds its tensors with ``model.with_weights``
    and advances by the model's differentiable scan ``kernels["torch"]``, or by the loop of
    ``step`` where it declares none.

    When not to use it: for inference without gradients, where `biomem.Simulator` with compiled
    kernels is faster; and for event models, whose step is plain NumPy.

    Parameters
    ----------
    model : Model
        With ``array_api = True`` or a kernel for torch. ``params.dtype`` decides the precision.
    trainable : sequence of str, optional
        Names of the weights to train. Default: the model's attribute ``trainable`` where it has
        one, else every floating weight. The others become buffers.

    Attributes
    ----------
    model : Model
        As it was given; `to_model` returns the trained one.
    seed : int
        Key that `forward` draws the initial state with when it is given none. `fit` sets it anew
        for every step.

    Raises
    ------
    ParameterError
        The model cannot run on torch, or `trainable` names no floating weight.

    Examples
    --------
    >>> from biomem.testing import LeakyIntegrator
    >>> module = TorchModule(LeakyIntegrator(n_units=2))
    >>> ys, state = module(np.ones((5, 1, 2)))
    >>> ys.v.shape
    torch.Size([5, 1, 2])
    """

    def __init__(self, model: Model, trainable: Sequence[str] | None = None) -> None:
        super().__init__()
        self._scan = backends.resolve(model, "torch").scan
        self.model = model
        self.seed = 0
        self._attributes = {name: self._attribute(name) for name in model.weights}
        if trainable is None:
            trainable = getattr(model, "trainable", None)
        floating = [n for n, w in model.weights.items() if _is_floating(w)]
        chosen = floating if trainable is None else list(trainable)
        owner = type(model).__name__
        for name in chosen:
            if name not in floating:
                raise ParameterError(
                    f"TorchModule: trainable must name floating weights of {owner}, which are "
                    f"{floating}, got {name!r}"
                )
        if len(set(self._attributes.values())) < len(self._attributes):
            raise ParameterError(f"TorchModule: weight names of {owner} differ only in '.' and '/'")
        for name, weight in model.weights.items():
            # A copy in torch's own memory: BLAS may round by the alignment of its arguments, and
            # NumPy's differs between processes.
            tensor = torch.tensor(backends.to_numpy(weight))
            if name in chosen:
                self.register_parameter(self._attributes[name], nn.Parameter(tensor))
            else:
                self.register_buffer(self._attributes[name], tensor)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return parameters and buffers under the model's own names."""
        return {name: getattr(self, attribute) for name, attribute in self._attributes.items()}

    def bind(self) -> Model:
        """Return the model over the module's tensors; what it derives from them has gradients."""
        return self.model.with_weights(self.weights())

    def to_model(self) -> Model:
        """Return the model with the present weights as NumPy arrays, ready for a `Simulator`."""
        return self.model.with_weights(
            {name: backends.to_numpy(tensor).copy() for name, tensor in self.weights().items()}
        )

    def initial_state(
        self, batch: int, *, seed: int | None = None, device: torch.device | str | None = None
    ) -> State:
        """Return the model's state before tick 0 as tensors.

        Parameters
        ----------
        batch : int
        seed : int, optional
            Default ``self.seed``.
        device : optional
            Default where the weights are.
        """
        state = self.model.init_state(batch, Rng(self.seed if seed is None else seed))
        where = self._device() if device is None else device
        return map_arrays(lambda a: torch.tensor(np.asarray(a)).to(where), state)

    def forward(self, xs: Any, state: State | None = None, tick: int = 0) -> tuple[Any, State]:
        """Advance over a sequence.

        Parameters
        ----------
        xs : tensor or array, shape ``(time, batch, *Input.axes)``, time >= 1
            Cast to the dtype of the model's input. A tensor stays on its device.
        state : State of tensors, optional
            Default `initial_state`. It is not written to.
        tick : int
            Tick of the first row.

        Returns
        -------
        ys : Output
            Tensors of shape ``(time, batch, *axes)``.
        state : State
            After the last tick; detach it to cut the gradient between two chunks.

        Raises
        ------
        InputError
            `xs` has another shape.
        """
        xs = self._inputs(xs)
        if state is None:
            state = self.initial_state(xs.shape[1], device=xs.device)
        elif self._scan is not None:
            # A kernel may write to the state it is given.
            state = map_arrays(torch.clone, state)
        state, ys = (self._scan or loop)(self.bind(), state, xs, tick)
        return ys, state

    def extra_repr(self) -> str:
        """Return the model and its trainable weights, for ``repr``."""
        trained = [n for n, w in self.weights().items() if isinstance(w, nn.Parameter)]
        return f"{self.model!r}, trainable={trained}"

    def _attribute(self, name: str) -> str:
        """Return the name a weight has here: no dot in it, and none that is taken."""
        attribute = name.replace(".", "_").replace("/", "_")
        return f"{attribute}_" if hasattr(self, attribute) else attribute

    def _device(self) -> torch.device:
        tensor = next(iter(self.weights().values()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    def _inputs(self, xs: Any) -> torch.Tensor:
        name = type(self.model).__name__
        if not isinstance(xs, torch.Tensor):
            xs = backends.to_backend("torch", np.asarray(xs), device=str(self._device()))
        declared = self.model.Input
        if declared is None:
            tail: tuple[int | None, ...] = (0,)
        else:
            tail = self.model.shape_of(declared)
            dtype = getattr(torch, self.model.dtype_of(declared).name)
            xs = xs.to(dtype)
        fits = xs.ndim == 2 + len(tail) and all(
            want in (None, got) for want, got in zip(tail, xs.shape[2:], strict=True)
        )
        if not fits or not len(xs):
            raise InputError(
                f"TorchModule({name}): xs must have shape (time >= 1, batch, "
                f"{', '.join('any' if n is None else str(n) for n in tail)}), got {tuple(xs.shape)}"
            )
        return xs


def _is_floating(weight: Any) -> bool:
    return backends.to_numpy(weight).dtype.kind == "f"
