"""The training loop: what it computes, that it resumes to the bit, and what it refuses."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from biomem.datasets.tasks import Adding, Batch
from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.errors import CheckpointMismatch, CorruptFileError, ParameterError, RunInterrupted

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="needs the torch extra")

from torch import nn  # noqa: E402

from biomem.train import (  # noqa: E402
    EarlyStopping,
    TrainingDiverged,
    evaluate,
    fit,
    mean_squared_error,
    step_drops,
)


class Net(nn.Module):
    """A small recurrent net with dropout, so that torch's own generator takes part."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(1)
            self.cell = nn.GRU(2, 8, dtype=dtype)
            self.out = nn.Linear(8, 1, dtype=dtype)
        self.register_buffer("unused", torch.zeros(3))

    def forward(self, xs):
        h, _ = self.cell(xs.to(self.out.weight.dtype))
        return self.out(nn.functional.dropout(h, 0.2, self.training)), None


TASK = Adding(n_steps=6, batch_size=8)
LOSS = mean_squared_error()


def train(net, steps=20, **options):
    options = {"lr": 1e-2, "seed": 3, "progress": False, **options}
    return fit(net, TASK, LOSS, steps=steps, **options)


def validate(net):
    return evaluate(net, TASK, LOSS, batches=2, seed=99)


def same_bits(one, two):
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes(), name


def stop_at(step):
    def batches(k, rng):
        if k == step:
            raise RuntimeError("stopped by the test")
        return TASK(k, rng)

    return batches


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "optimiser",
    [
        "adam",
        "adamw",
        "adamax",
        "sgd",
        functools.partial(torch.optim.SGD, momentum=0.1, nesterov=True),
        torch.optim.RMSprop,
    ],
)
def test_interrupted_and_continued_equals_uninterrupted(tmp_path, optimiser, dtype):
    options = {
        "optimiser": optimiser,
        "clip_norm": 0.5,
        "schedule": "cosine",
        "validate": validate,
        "validate_every": 4,
        "early_stopping": EarlyStopping("loss", patience=50),
    }
    whole, parts = Net(dtype), Net(dtype)
    want = train(whole, **options)
    options |= {"save": tmp_path / "run.h5", "save_every": 3}
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fit(parts, stop_at(11), LOSS, steps=20, lr=1e-2, seed=3, progress=False, **options)
    again = Net(dtype)
    got = train(again, resume=True, **options)
    same_bits(whole, again)
    assert got.losses == want.losses
    assert got.learning_rates == want.learning_rates
    assert got.gradient_norms == want.gradient_norms
    assert got.validations == want.validations
    assert got.validation_steps == want.validation_steps == [4, 8, 12, 16, 20]
    assert got.best_step == want.best_step


CHILD = """
import sys, time, torch
sys.path.insert(0, sys.argv[1])
import importlib.util
spec = importlib.util.spec_from_file_location("test_fit", sys.argv[2])
here = importlib.util.module_from_spec(spec)
spec.loader.exec_module(here)

def batches(step, rng):
    time.sleep(0.002)
    return here.TASK(step, rng)

here.fit(here.Net(), batches, here.LOSS, steps=200, lr=1e-2, seed=3, progress=False,
         save=sys.argv[3], save_every=1, resume=True)
print("done")
"""


@pytest.mark.crash
def test_a_killed_process_is_continued_to_the_same_bits(tmp_path, rng):
    path = tmp_path / "run.h5"
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path), __file__, str(path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    target = int(rng.integers(5, 60))
    while child.poll() is None:
        if path.exists() and read_checkpoint(path).header["step"] >= target:
            child.send_signal(signal.SIGKILL)
            break
    assert child.wait() == -signal.SIGKILL, child.stderr.read().decode()
    child.stderr.close()
    done = read_checkpoint(path).header["step"]
    assert target <= done < 200
    whole, again = Net(), Net()
    want = train(whole, steps=200)
    got = train(again, steps=200, save=path, save_every=1000, resume=True)
    same_bits(whole, again)
    assert got.losses == want.losses


def test_ctrl_c_saves_and_can_be_continued(tmp_path):
    path = tmp_path / "run.h5"

    def batches(step, rng):
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return TASK(step, rng)

    with pytest.raises(RunInterrupted, match="after step 8; continue with resume=True") as caught:
        fit(Net(), batches, LOSS, steps=20, lr=1e-2, seed=3, save=path, progress=False)
    assert caught.value.recording.steps == 8
    whole, again = Net(), Net()
    train(whole)
    train(again, save=path, resume=True)
    same_bits(whole, again)


def test_a_longer_run_goes_on_from_a_finished_one(tmp_path):
    path = tmp_path / "run.h5"
    train(Net(), steps=12, save=path)
    whole, again = Net(), Net()
    train(whole, steps=20)
    train(again, steps=20, save=path, resume=path)
    same_bits(whole, again)


def test_a_finished_or_stopped_run_is_not_run_again(tmp_path):
    path = tmp_path / "run.h5"
    rule = EarlyStopping("loss", goal=1e9)
    options = {"validate": validate, "validate_every": 5, "early_stopping": rule, "save": path}
    net, again = Net(), Net()
    first = train(net, **options)
    assert first.steps == 5
    assert first.stopped.startswith("loss reached")
    second = train(again, resume=True, **options)
    assert second.losses == first.losses
    same_bits(net, again)


def test_the_generators_and_threads_of_torch_are_left_as_they_were():
    torch.manual_seed(5)
    want, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    train(Net(), steps=2, threads=1)
    assert torch.equal(torch.rand(3), want)
    assert torch.get_num_threads() == threads


def test_one_step_of_sgd_is_the_gradient_step():
    net, by_hand = Net(), Net()
    net.eval(), by_hand.eval()
    net.train = by_hand.train = lambda mode=True: net  # no dropout

    plain = functools.partial(torch.optim.SGD)
    history = fit(net, TASK, LOSS, optimiser=plain, lr=0.1, steps=1, seed=3, progress=False)
    from biomem.engine.random import Rng

    batch = [torch.from_numpy(a) for a in TASK(0, Rng(3))]
    loss = LOSS(by_hand, batch)
    loss.backward()
    assert history.losses == [loss.item()]
    for got, start in zip(net.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(got, start - 0.1 * start.grad, rtol=1e-14, atol=1e-16)


def test_gradients_are_clipped_by_their_global_norm():
    free, clipped = Net(), Net()
    plain = functools.partial(torch.optim.SGD)
    start = [p.detach().clone() for p in free.parameters()]
    norm = train(free, steps=1, optimiser=plain).gradient_norms[0]
    history = train(clipped, steps=1, optimiser=plain, clip_norm=norm / 4)
    assert history.gradient_norms == [norm]
    for s, a, b in zip(start, free.parameters(), clipped.parameters(), strict=True):
        torch.testing.assert_close(b - s, (a - s) / 4, rtol=1e-4, atol=1e-12)


def test_schedules_set_the_learning_rate():
    cosine = train(Net(), steps=4, schedule="cosine").learning_rates
    np.testing.assert_allclose(cosine, 1e-2 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2)
    assert train(Net(), steps=3).learning_rates == [1e-2] * 3
    drops = train(Net(), steps=4, schedule=step_drops([1, 3], 0.5)).learning_rates
    np.testing.assert_allclose(drops, [1e-2, 5e-3, 5e-3, 2.5e-3])
    np.testing.assert_allclose(
        train(Net(), steps=4, schedule="drops").learning_rates, [1e-2, 1e-2, 1e-3, 1e-4]
    )
    own = train(Net(), steps=3, schedule=lambda step, steps: 1 / (step + steps))
    np.testing.assert_allclose(own.learning_rates, [1e-2 / 3, 1e-2 / 4, 1e-2 / 5])


def test_the_best_weights_come_back_not_the_last_ones():
    scores = iter([3.0, 1.0, 2.0, 2.5, 2.0])
    kept = []

    def validate(net):
        kept.append({k: v.clone() for k, v in net.state_dict().items()})
        return {"score": next(scores)}

    net = Net()
    rule = EarlyStopping("score", patience=3)
    history = train(net, validate=validate, validate_every=2, early_stopping=rule)
    assert history.steps == 10
    assert history.best_step == 4
    assert history.stopped == "score did not improve in 3 validations"
    assert all(torch.equal(v, kept[1][k]) for k, v in net.state_dict().items())
    assert not torch.equal(kept[4]["out.weight"], kept[1]["out.weight"])


def test_a_loss_that_is_nan_stops_and_leaves_the_last_good_weights_and_file(tmp_path):
    path = tmp_path / "run.h5"

    def loss(net, batch):
        value = LOSS(net, batch)
        return value * float("nan") if len(seen) == 7 else value

    seen = []

    def batches(step, rng):
        seen.append(step)
        return TASK(step, rng)

    net = Net()
    with pytest.raises(TrainingDiverged, match="loss is nan at step 6; the step was not") as info:
        fit(net, batches, loss, steps=20, lr=1e-2, seed=3, save=path, save_every=1, progress=False)
    assert info.value.history.steps == 6
    good = Net()
    train(good, steps=6)
    same_bits(net, good)
    assert read_checkpoint(path).header["step"] == 6


def test_a_gradient_that_is_infinite_stops_before_the_step():
    net = Net()
    before = [p.detach().clone() for p in net.parameters()]

    def loss(net, batch):
        return torch.sqrt(LOSS(net, batch) * 0.0)

    with pytest.raises(TrainingDiverged, match="gradient norm is nan at step 0"):
        fit(net, TASK, loss, steps=2, lr=1e-2, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_metrics_of_the_loss_are_kept_each_step():
    def loss(net, batch):
        value = LOSS(net, batch)
        return value, {"double": 2 * value.item()}

    history = fit(Net(), TASK, loss, steps=3, lr=1e-2, progress=False)
    np.testing.assert_array_equal(history.metrics["double"], 2 * np.array(history.losses))


def test_epochs_are_lengths_of_the_source():
    class Finite:
        def __len__(self):
            return 3

        def __call__(self, step, rng):
            return TASK(step, rng)

    history = fit(Net(), Finite(), LOSS, epochs=2, lr=1e-2, validate=validate, progress=False)
    assert history.steps == 6
    assert history.validation_steps == [3, 6]


def test_evaluate_weighs_batches_by_their_sequences():
    sizes = [8, 2]

    class Uneven:
        def __len__(self):
            return 2

        def __call__(self, step, rng):
            x, y = TASK(step, rng)
            return Batch(x[:, : sizes[step]], y[: sizes[step]])

    net = Net()
    each = [evaluate(net, lambda s, rng, k=k: Uneven()(k, rng), LOSS, batches=1) for k in (0, 1)]
    want = (each[0]["loss"] * 8 + each[1]["loss"] * 2) / 10
    assert evaluate(net, Uneven(), LOSS)["loss"] == pytest.approx(want, rel=1e-14)
    assert net.training


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed = 3, this one has 4"),
        ({"lr": 1e-3}, "lr = 0.01"),
        ({"optimiser": "sgd"}, "optimiser = 'Adam'"),
        ({"clip_norm": 1.0}, "clip_norm = None"),
        ({"schedule": "cosine"}, "schedule = 'constant'"),
    ],
)
def test_a_file_of_another_run_is_refused_by_what_differs(tmp_path, change, named):
    path = tmp_path / "run.h5"
    train(Net(), steps=2, save=path)
    with pytest.raises(CheckpointMismatch, match=named):
        train(Net(), save=path, resume=True, **change)


def test_a_file_of_another_module_or_kind_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    train(Net(), steps=2, save=path)
    with pytest.raises(CheckpointMismatch, match=r"module\.tensors\.cell\.weight_ih_l0 = 'float64"):
        train(Net(torch.float32), save=path, resume=True)
    write_checkpoint(path, {"kind": "something else"}, {})
    with pytest.raises(CheckpointMismatch, match="not of a training run"):
        train(Net(), save=path, resume=True)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError):
        train(Net(), save=path, resume=True)


def test_resume_without_a_file_starts_unless_the_file_was_named(tmp_path):
    path = tmp_path / "run.h5"
    assert train(Net(), steps=2, save=path, resume=True).steps == 2
    with pytest.raises(FileNotFoundError):
        train(Net(), steps=2, resume=tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"lr": -1.0}, "lr must be finite and > 0"),
        ({"optimiser": "rprop"}, "optimiser must be one of"),
        ({"schedule": "linear"}, "schedule must be one of"),
        ({"clip_norm": 0.0}, "clip_norm must be > 0"),
        ({"steps": 0}, "must be >= 1"),
        ({"epochs": 1}, "give steps= or epochs="),
        ({"steps": None, "epochs": 1}, "no length"),
        ({"early_stopping": 3}, "early_stopping needs validate="),
        ({"validate_every": 0}, "validate_every must be an integer >= 1"),
        ({"save_every": 2.5}, "save_every must be an integer >= 1"),
        ({"threads": 0}, "threads must be an integer >= 1"),
        ({"resume": True}, "resume=True needs save="),
    ],
)
def test_bad_arguments_are_refused_by_name(options, named):
    with pytest.raises(ParameterError, match=named):
        train(Net(), **{"steps": 2, **options})


def test_a_module_without_parameters_and_a_wrong_metric_are_refused():
    with pytest.raises(ParameterError, match="no trainable parameters"):
        fit(nn.Identity(), TASK, LOSS, steps=1, lr=0.1)
    with pytest.raises(
        ParameterError, match=r"watches 'accuracy', but validate returned \['loss'\]"
    ):
        train(Net(), validate=validate, early_stopping=EarlyStopping("accuracy"))
    with pytest.raises(ParameterError, match=r"EarlyStopping\.mode"):
        EarlyStopping(mode="up")
    with pytest.raises(ParameterError, match="fractions must lie below 1"):
        step_drops([0.5, 1.5])


def test_the_file_holds_numbers_only(tmp_path):
    path = tmp_path / "run.h5"
    train(Net(), steps=3, save=path)
    file = read_checkpoint(path)
    assert file.header["kind"] == "biomem-training"
    assert all(a.dtype.kind in "fiu" for a in file.arrays.values())
    assert Path(path).stat().st_size < 200_000
