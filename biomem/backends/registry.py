"""Which code runs a model on a backend: its own kernel, or the reference step.

A model class declares ``kernels = {"numba": "module:function", ...}``. The engine asks `resolve`
once per simulator; `explain` shows the same decisions to people.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from biomem.backends.probing import NAMES, check_name, probe, require
from biomem.errors import BackendUnavailable, BiomemError, ParameterError

__all__ = ["Choice", "Explanation", "explain", "resolve"]


class Choice(NamedTuple):
    """What runs a model.

    Attributes
    ----------
    backend : str
        Never ``"auto"``; the backend whose arrays the state must be.
    scan : callable or None
        The kernel ``scan(model, state, xs, tick) -> (state, ys)``; None for the loop of `step`.
    reason : str
        Why, in one line.
    """

    backend: str
    scan: Callable[..., Any] | None
    reason: str


def resolve(model: Any, backend: str = "auto") -> Choice:
    """Choose what runs `model` on a backend.

    Parameters
    ----------
    model : Model or class of one
        Only ``kernels`` and ``array_api`` are read.
    backend : {"auto", "numpy", "numba", "cuda", "torch"}
        ``"auto"`` is numba where the model has such a kernel and numba works, else numpy. It
        never picks a GPU or torch: those change rounding, and a run should not depend on what
        happens to be plugged in.

    Raises
    ------
    ParameterError
        No such backend, the model has nothing for it, or its declaration is broken.
    BackendUnavailable
        The model has code for it, but the backend cannot run here.
    """
    check_name(backend, "auto")
    name = _name_of(model)
    declared, why_not = _kernels_of(model)
    if backend == "auto":
        return _automatic(name, declared, why_not)
    if backend == "numpy":
        return Choice("numpy", None, "the reference step, tick by tick")
    if backend in declared:
        require(backend)
        return Choice(backend, _load(name, backend, declared[backend]), "kernel of the model")
    if backend in ("cuda", "torch") and getattr(model, "array_api", False):
        require(backend)
        package = "CuPy" if backend == "cuda" else "torch"
        return Choice(backend, None, f"the reference step on {package} arrays")
    raise ParameterError(
        f"{name} does not run on backend {backend!r}: {why_not or 'no kernel is declared'}"
        f"{'' if backend == 'numba' else ' and array_api is not True'}; "
        f"it runs on {', '.join(_runs_on(model, declared))}"
    )


def _automatic(name: str, declared: Mapping[str, Any], why_not: str) -> Choice:
    if "numba" not in declared:
        return Choice("numpy", None, f"the reference step: {why_not or 'no numba kernel declared'}")
    found = probe("numba", deep=True)
    if not found.available:
        return Choice("numpy", None, f"the reference step, slow: {found.reason}; {found.install}")
    return Choice("numba", _load(name, "numba", declared["numba"]), "kernel of the model")


def _name_of(model: Any) -> str:
    return (model if isinstance(model, type) else type(model)).__name__


def _kernels_of(model: Any) -> tuple[Mapping[str, Any], str]:
    """Return the kernels that speak for this model's `step`, and why there are none."""
    kernels = getattr(model, "kernels", None)
    if not isinstance(kernels, Mapping) or not kernels:
        return {}, ""
    unknown = sorted(set(kernels) - {"numba", "cuda", "torch"})
    if unknown:
        raise ParameterError(
            f"{_name_of(model)}.kernels: keys must be numba, cuda or torch, got {unknown}"
        )
    # A subclass with its own equations must not be run by the kernel of its parent.
    for cls in (model if isinstance(model, type) else type(model)).__mro__:
        if "kernels" in vars(cls):
            break
        if "step" in vars(cls):
            return {}, f"{cls.__name__} has its own step, so the kernels it inherits do not apply"
    return kernels, ""


def _runs_on(model: Any, declared: Mapping[str, Any]) -> list[str]:
    dense = bool(getattr(model, "array_api", False))
    return [
        name
        for name in NAMES
        if name == "numpy" or name in declared or (dense and name in ("cuda", "torch"))
    ]


def _load(owner: str, backend: str, kernel: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(kernel):
        return kernel
    path, _, attribute = str(kernel).partition(":")
    if not isinstance(kernel, str) or not path or not attribute:
        raise ParameterError(
            f"{owner}.kernels[{backend!r}] must be 'module:function' or a function, got {kernel!r}"
        )
    try:
        scan = getattr(importlib.import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailable(
            f"{owner}.kernels[{backend!r}] = {kernel!r} cannot be loaded: {error}"
        ) from error
    if not callable(scan):
        raise ParameterError(f"{owner}.kernels[{backend!r}] = {kernel!r} is not callable")
    return scan


class Explanation(str):
    """Text that shows itself as it is, in a prompt and in print."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(model: Any = None) -> Explanation:
    """Tell which backends work here and, for a model, what would run it on each and why.

    Examples
    --------
    >>> print(explain().splitlines()[0].split()[:2])
    ['numpy', 'yes']
    """
    rows = []
    for name in NAMES:
        found = probe(name)
        reason = found.reason if found.available else f"{found.reason}; {found.install}"
        rows.append((name, "yes" if found.available else "no", reason))
    if model is not None:
        rows.append(("", "", ""))
        rows += [(name, *_explained(model, name)) for name in NAMES]
        rows.append(("auto", *_explained(model, "auto")))
    lines = [f"{name:<6} {state:<4} {text}".rstrip() for name, state, text in rows]
    if model is not None:
        lines[len(NAMES)] = f"{_name_of(model)}:"
    return Explanation("\n".join(lines))


def _explained(model: Any, backend: str) -> tuple[str, str]:
    try:
        choice = resolve(model, backend)
    except BiomemError as error:
        return "no", str(error)
    if choice.scan is None:
        what = choice.reason
    else:
        what = f"{choice.reason}, {choice.scan.__module__}:{choice.scan.__name__}"
    return "yes", f"-> {choice.backend}: {what}" if backend == "auto" else what
