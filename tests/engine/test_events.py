"""Events: three ways to build them, the way back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from biomem.engine.events import Events
from biomem.engine.sdr import SDR
from biomem.errors import InputError

DENSE = st_numpy.arrays(
    np.float64,
    st.tuples(st.integers(0, 4), st.integers(1, 3), st.integers(1, 9)),
    elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 2.5]),
)


@given(DENSE)
def test_dense_and_back(dense: np.ndarray) -> None:
    events = Events.from_dense(dense)
    assert events.shape == dense.shape[:2]
    assert len(events.channels) == np.count_nonzero(dense)
    np.testing.assert_array_equal(events.to_dense(), dense)


@given(DENSE, st.randoms(use_true_random=False))
def test_coordinates_in_any_order_add_up(dense: np.ndarray, random) -> None:
    where = list(zip(*np.nonzero(dense), strict=True))
    entries = [(*w, dense[w] / 2) for w in where for _ in range(2)]
    random.shuffle(entries)
    columns = list(zip(*entries, strict=True)) if entries else [(), (), (), ()]
    events = Events.from_coordinates(*columns, shape=dense.shape[:2], n_channels=dense.shape[2])
    np.testing.assert_array_equal(events.to_dense(), dense)


def test_binary_patterns_take_signs_per_channel() -> None:
    patterns = np.random.default_rng(0).random((5, 2, 8)) < 0.3
    signs = np.where(np.arange(8) < 4, 1.0, -1.0)
    events = Events.from_sdr(SDR.from_dense(patterns), signs)
    np.testing.assert_array_equal(events.to_dense(), patterns * signs)
    one = Events.from_sdr(SDR.from_dense(patterns[:, 0]))
    np.testing.assert_array_equal(one.to_dense()[:, 0], patterns[:, 0])


@pytest.mark.parametrize(
    ("channels", "values", "indptr", "named"),
    [
        ([1, 1], [1.0, 1.0], [0, 2, 2], "ascend"),
        ([2, 1], [1.0, 1.0], [0, 2, 2], "ascend"),
        ([4], [1.0], [0, 1, 1], r"\[0, 4\)"),
        ([1], [np.nan], [0, 1, 1], "finite"),
        ([1], [1.0, 2.0], [0, 1, 1], "values"),
        ([1], [1.0], [0, 1], "shape"),
    ],
)
def test_malformed_events_are_refused(channels, values, indptr, named) -> None:
    with pytest.raises(InputError, match=named):
        Events(channels, values, indptr, shape=(2, 1), n_channels=4)


def test_other_refusals_name_the_argument() -> None:
    with pytest.raises(InputError, match=r"\(time, batch\)"):
        Events([0], [1.0], [0, 1], shape=(1,), n_channels=2)
    with pytest.raises(InputError, match="xs"):
        Events.from_dense(np.zeros((2, 3)))
    with pytest.raises(InputError, match="signs"):
        Events.from_sdr(SDR.from_dense(np.zeros((2, 4), bool)), [1.0, -1.0])
    with pytest.raises(InputError, match="sdr"):
        Events.from_sdr(SDR.from_indices([1], size=4))
    with pytest.raises(InputError, match="batch"):
        Events.from_coordinates([0], [1], [0], shape=(1, 1), n_channels=2)
    with pytest.raises(InputError, match="one shape"):
        Events.from_coordinates([0, 1], [0], [0], shape=(2, 1), n_channels=2)


def test_events_do_not_change() -> None:
    events = Events.from_dense(np.ones((1, 1, 2)))
    with pytest.raises(AttributeError, match="immutable"):
        events.shape = (2, 1)
    with pytest.raises(ValueError, match="read-only"):
        events.values[0] = 2.0


@given(DENSE, st.integers(-5, 5), st.integers(-5, 5))
def test_a_slice_of_ticks_is_the_slice_of_the_array(dense: np.ndarray, a: int, b: int) -> None:
    part = Events.from_dense(dense)[a:b]
    np.testing.assert_array_equal(part.to_dense(), dense[a:b])
    assert len(part) == len(dense[a:b])
    assert part.indptr[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        part.channels[:] = 0


def test_slices_step_by_one_and_ints_are_no_slices() -> None:
    events = Events.from_dense(np.ones((4, 1, 2)))
    for ticks in (slice(None, None, 2), slice(None, None, -1), 0):
        with pytest.raises(InputError, match="slice of ticks of step 1"):
            events[ticks]


@given(DENSE)
def test_rounding_is_that_of_the_array_and_zeros_go(dense: np.ndarray) -> None:
    values = dense * np.array(1.1)
    where = np.nonzero(np.ones_like(dense))
    events = Events.from_coordinates(
        *where, values[where], shape=dense.shape[:2], n_channels=dense.shape[2]
    )
    single = events.rounded("float32")
    assert len(single.channels) == np.count_nonzero(dense)
    np.testing.assert_array_equal(single.to_dense(), values.astype(np.float32))
    tiny = Events([0], [1e-60], [0, 1], shape=(1, 1), n_channels=1)
    assert len(tiny.rounded("float32").channels) == 0


@pytest.mark.parametrize(
    ("value", "dtype"), [(1e300, "float32"), (0.5, "int32"), (2.0, "bool"), (1e20, "int64")]
)
def test_values_that_the_dtype_cannot_hold_are_refused(value: float, dtype: str) -> None:
    events = Events([0], [value], [0, 1], shape=(1, 1), n_channels=1)
    with pytest.raises(InputError, match=f"values must fit {dtype} without loss"):
        events.rounded(dtype)
