"""Declarations and input checks every model inherits."""

from typing import Annotated, NamedTuple

import numpy as np
import pytest

from biomem.engine.events import Events
from biomem.engine.model import Field, fields_of, flatten, map_arrays, unflatten
from biomem.engine.sdr import SDR
from biomem.errors import InputError, ParameterError
from biomem.testing import LeakyIntegrator, LeakyIntegratorParams


class Part(NamedTuple):
    a: Annotated[np.ndarray, Field("batch")]


class Whole(NamedTuple):
    part: Part
    b: Annotated[np.ndarray, Field(dtype="int64", kind="derived")]


WHOLE = Whole(Part(np.arange(3.0)), np.array(7))


def test_nested_fields_are_named_by_path() -> None:
    assert list(fields_of(Whole)) == ["part/a", "b"]
    assert fields_of(Field("unit"))["y"].axes == ("unit",)


def test_flatten_and_unflatten_are_inverse() -> None:
    arrays = dict(flatten(WHOLE))
    again = unflatten(Whole, arrays)
    assert again.part.a is WHOLE.part.a
    assert again.b is WHOLE.b


def test_map_keeps_the_structure() -> None:
    doubled = map_arrays(lambda a: a * 2, WHOLE)
    assert isinstance(doubled, Whole)
    np.testing.assert_array_equal(doubled.part.a, [0, 2, 4])


def test_undeclared_field_is_a_type_error() -> None:
    class Bad(NamedTuple):
        a: np.ndarray

    with pytest.raises(TypeError, match=r"Bad\.a must be Annotated"):
        fields_of(Bad)


def test_input_gets_its_batch_axis_with_one_stream() -> None:
    assert LeakyIntegrator(n_units=2).check_input([[1, 2]] * 5, batch=1).shape == (5, 1, 2)


@pytest.mark.parametrize(
    ("xs", "text"),
    [
        (np.zeros((4, 3)), r"inputs must have shape \(time, batch=1, unit=2\), got \(4, 3\)"),
        (np.zeros((4, 2, 2)), r"got \(4, 2, 2\)"),
        ([[1.0, np.nan]], r"must be finite, got nan at \(time, batch, ...\) = \(0, 0, 1\)"),
        ([[1.0, -np.inf]], "must be finite, got -inf"),
        ([["a", "b"]], "must be numbers castable to float64, got dtype <U1"),
        ([[1.0, 2.0], [3.0]], "got a ragged sequence"),
        (None, "LeakyIntegrator needs inputs"),
    ],
)
def test_bad_input_is_refused_by_name(xs: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        LeakyIntegrator(n_units=2).check_input(xs, batch=1)


def test_wrong_parameter_class_and_unknown_parameter_are_refused() -> None:
    class Other(LeakyIntegratorParams):
        pass

    with pytest.raises(ParameterError, match="params must be LeakyIntegratorParams"):
        LeakyIntegrator(object())  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="has no parameter 'tow'"):
        LeakyIntegrator(LeakyIntegratorParams(), tow=1)


class _Patterns(LeakyIntegrator):
    Input = Field("unit", dtype="bool")


def test_event_input_may_be_an_sdr_or_zeros_and_ones() -> None:
    model = _Patterns(n_units=4)
    dense = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], bool)
    spikes = SDR.from_dense(dense)
    for given in (dense, dense.astype(int), spikes, Events.from_sdr(spikes)):
        np.testing.assert_array_equal(model.check_input(given, batch=1)[:, 0], dense)
    with pytest.raises(InputError, match="do not fit bool without loss"):
        model.check_input(dense.astype(int) * 2, batch=1)
