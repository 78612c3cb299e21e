from __future__ import annotations

import math

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the torch extra")

from biomem.train import History  # noqa: E402


def example():
    history = History(losses=[3.0, 2.0, 1.0, 0.5], learning_rates=[1.0] * 4)
    history.gradient_norms = [1.0] * 4
    history.metrics = {"accuracy": [0.1, 0.4, 0.9, 0.95]}
    history.add_validation(2, {"loss": 2.5})
    history.add_validation(4, {"loss": 0.75, "accuracy": 0.8})
    return history


def test_it_prints_as_a_table():
    lines = repr(example()).splitlines()
    assert lines[0] == "<History: 4 steps in 0.0 s, last loss 0.5>"
    assert lines[1].split() == ["step", "loss", "loss", "accuracy"]
    assert lines[2].split() == ["2", "2", "2.5", "nan"]
    assert lines[3].split() == ["4", "0.5", "0.75", "0.8"]
    assert repr(History()) == "<History: 0 steps in 0.0 s>"


def test_a_long_history_prints_a_dozen_rows_with_the_first_and_the_last():
    history = History(losses=list(np.linspace(2, 1, 1000)))
    lines = repr(history).splitlines()
    assert len(lines) == 14
    assert lines[2].split()[0] == "1"
    assert lines[-1].split()[0] == "1000"


def test_first_step_prefers_the_validation():
    history = example()
    assert history.first_step("accuracy", 0.7) == 4
    assert history.first_step("loss", 99) is None
    history.validations.clear()
    assert history.first_step("accuracy", 0.9) == 3


def test_arrays_and_back():
    history = example()
    history.seconds, history.stopped, history.best_step = 1.5, "why", 2
    again = History.from_arrays(*history.to_arrays())
    assert math.isnan(again.validations["accuracy"][0])
    again.validations["accuracy"][0] = history.validations["accuracy"][0] = 0.0
    assert again == history


def test_plot_returns_axes_with_training_and_validation():
    axes = example().plot()
    assert [line.get_label() for line in axes.lines] == ["training", "validation"]
    assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3.0, 2.0, 1.0, 0.5])
    given = axes.figure.subplots()
    assert example().plot("accuracy", ax=given) is given
    assert given.get_ylabel() == "accuracy"
    assert len(History().plot().lines) == 0
