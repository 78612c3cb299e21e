"""Parameter sets: readable back, validated, closed to unknown names."""

from dataclasses import dataclass

import pytest

from biomem.engine.params import Params
from biomem.errors import ParameterError, require


@dataclass(frozen=True, kw_only=True)
class Inner(Params):
    tau: float = 0.5

    def __post_init__(self) -> None:
        require(self, "tau", self.tau > 0, "> 0 s", "use a larger one")


@dataclass(frozen=True, kw_only=True)
class Outer(Params):
    inner: Inner = Inner()
    maybe: Inner | None = None
    shape: tuple[int, ...] = (2, 3)
    pairs: tuple[tuple[int, int], ...] = ()
    name: str = "a"


@pytest.mark.parametrize(
    "params",
    [Outer(), Outer(maybe=Inner(tau=0.1), shape=(), pairs=((1, 2), (3, 4)), name="it's")],
)
def test_repr_and_dict_give_the_parameters_back(params: Outer) -> None:
    assert eval(repr(params)) == params
    assert Outer.from_dict(params.to_dict()) == params


def test_dict_is_json_compatible() -> None:
    import json

    params = Outer(maybe=Inner())
    assert Outer.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_replace_validates() -> None:
    with pytest.raises(ParameterError, match=r"Inner\.tau must be > 0 s, got -1; use a larger"):
        Inner().replace(tau=-1)


@pytest.mark.parametrize(
    "build", [lambda: Inner().replace(tow=1), lambda: Inner.from_dict({"x": 1})]
)
def test_unknown_names_are_refused_with_the_known_ones(build) -> None:
    with pytest.raises(ParameterError, match=r"has no parameter '(tow|x)'; it has \['tau'\]"):
        build()
