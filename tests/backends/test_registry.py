"""Which code runs a model, and what is said when none can."""

from __future__ import annotations

import functools
from typing import ClassVar

import pytest

from biomem import backends
from biomem.backends import Choice, Probe, registry
from biomem.errors import BackendUnavailable, ParameterError


def scan(model, state, xs, tick):
    return state, xs


class Plain:
    def step(self, state, x, tick):
        return state, x


class Fast(Plain):
    kernels: ClassVar = {"numba": scan, "cuda": "no_such_package.kernels:scan"}


class Dense(Plain):
    array_api = True


class Overridden(Fast):
    def step(self, state, x, tick):
        return state, -x


class Renewed(Overridden):
    kernels: ClassVar = {"numba": scan}


def pretend(monkeypatch, *available: str) -> None:
    def probe(name: str, *, deep: bool = False) -> Probe:
        ok = name in available
        return Probe(name, ok, "works" if ok else f"no {name} here", "" if ok else f"get {name}")

    def require(name: str) -> Probe:
        if name not in available:
            raise BackendUnavailable(f"no {name} here; get {name}")
        return probe(name)

    monkeypatch.setattr(registry, "probe", probe)
    monkeypatch.setattr(registry, "require", require)


@pytest.mark.parametrize("as_class", [True, False])
def test_auto_takes_numba_where_a_kernel_is_declared(as_class: bool) -> None:
    assert backends.resolve(Fast if as_class else Fast()) == Choice(
        "numba", scan, "kernel of the model"
    )
    assert backends.resolve(Plain if as_class else Plain())[:2] == ("numpy", None)


def test_auto_never_takes_a_gpu_or_torch(monkeypatch) -> None:
    pretend(monkeypatch, *backends.NAMES)
    assert backends.resolve(Dense, "auto").backend == "numpy"
    Gpu = type("Gpu", (Plain,), {"kernels": {"cuda": scan}, "array_api": True})
    assert backends.resolve(Gpu, "auto").backend == "numpy"


def test_auto_without_numba_says_so(monkeypatch) -> None:
    pretend(monkeypatch, "numpy")
    choice = backends.resolve(Fast)
    assert choice[:2] == ("numpy", None)
    assert "no numba here; get numba" in choice.reason


def test_numpy_is_always_the_reference() -> None:
    for model in (Plain, Fast, Dense):
        assert backends.resolve(model, "numpy")[:2] == ("numpy", None)


def test_array_api_models_run_on_device_arrays(monkeypatch) -> None:
    pretend(monkeypatch, *backends.NAMES)
    assert backends.resolve(Dense, "cuda") == ("cuda", None, "the reference step on CuPy arrays")
    assert backends.resolve(Dense, "torch") == ("torch", None, "the reference step on torch arrays")


def test_a_kernel_goes_before_the_array_api(monkeypatch) -> None:
    pretend(monkeypatch, *backends.NAMES)
    Both = type("Both", (Dense,), {"kernels": {"cuda": scan}})
    assert backends.resolve(Both, "cuda").scan is scan


@pytest.mark.parametrize(
    ("model", "backend", "says"),
    [
        (Plain, "numba", r"Plain does not run on backend 'numba': no kernel .* runs on numpy$"),
        (
            Fast,
            "torch",
            r"no kernel is declared and array_api is not True; it runs on numpy, numba, cuda",
        ),
        (Dense, "numba", r"runs on numpy, cuda, torch"),
        (Plain, "gpu", r"backend must be one of auto, numpy, numba, cuda, torch, got 'gpu'"),
    ],
)
def test_what_a_model_lacks_is_told(model, backend: str, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        backends.resolve(model, backend)


def test_an_absent_backend_gives_reason_and_install_line(monkeypatch) -> None:
    pretend(monkeypatch, "numpy", "numba")
    for model in (Fast, Dense):
        with pytest.raises(BackendUnavailable, match="no cuda here; get cuda"):
            backends.resolve(model, "cuda")


def test_a_subclass_with_its_own_step_does_not_inherit_kernels() -> None:
    choice = backends.resolve(Overridden)
    assert choice[:2] == ("numpy", None)
    assert "Overridden has its own step" in choice.reason
    with pytest.raises(ParameterError, match=r"own step.*it runs on numpy$"):
        backends.resolve(Overridden, "numba")
    assert backends.resolve(Renewed).scan is scan
    assert backends.resolve(type("Named", (Fast,), {})).scan is scan


def test_kernels_load_on_use(monkeypatch) -> None:
    Lazy = type("Lazy", (Plain,), {"kernels": {"numba": "functools:reduce"}})
    assert backends.resolve(Lazy).scan is functools.reduce


@pytest.mark.parametrize(
    ("kernel", "error", "says"),
    [
        ("no_such_package:scan", BackendUnavailable, "cannot be loaded: No module named"),
        ("functools:no_such_function", BackendUnavailable, "cannot be loaded"),
        ("functools:__name__", ParameterError, "is not callable"),
        ("functools", ParameterError, "'module:function'"),
        (":scan", ParameterError, "'module:function'"),
        (3, ParameterError, "'module:function'"),
    ],
)
def test_a_broken_declaration_is_named(kernel, error, says: str) -> None:
    Broken = type("Broken", (Plain,), {"kernels": {"numba": kernel}})
    for backend in ("auto", "numba"):
        with pytest.raises(error, match=says) as caught:
            backends.resolve(Broken, backend)
        assert "Broken.kernels['numba']" in str(caught.value)


def test_a_misspelt_backend_in_kernels_is_refused() -> None:
    Odd = type("Odd", (Plain,), {"kernels": {"nubma": scan}})
    with pytest.raises(ParameterError, match=r"Odd\.kernels: keys must be .*'nubma'"):
        backends.resolve(Odd)


def test_explain_alone() -> None:
    text = backends.explain()
    assert [line.split()[0] for line in text.splitlines()] == list(backends.NAMES)
    assert repr(text) == str(text)


def test_explain_a_model(monkeypatch) -> None:
    pretend(monkeypatch, "numpy", "numba")
    assert str(backends.explain(Fast())) == "\n".join(
        [
            "numpy  yes  works",
            "numba  yes  works",
            "cuda   no   no cuda here; get cuda",
            "torch  no   no torch here; get torch",
            "Fast:",
            "numpy  yes  the reference step, tick by tick",
            f"numba  yes  kernel of the model, {__name__}:scan",
            "cuda   no   no cuda here; get cuda",
            "torch  no   Fast does not run on backend 'torch': no kernel is declared and "
            "array_api is not True; it runs on numpy, numba, cuda",
            f"auto   yes  -> numba: kernel of the model, {__name__}:scan",
        ]
    )
