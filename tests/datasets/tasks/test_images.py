from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from biomem.datasets.tasks import NoisyCIFAR10, SequentialMNIST
from biomem.engine.random import Rng
from biomem.errors import DataError, ParameterError


@pytest.fixture
def mnist(tmp_path, rng) -> Path:
    """A file of the layout with 100 + 30 pictures whose first pixel is their number."""
    train = rng.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    test = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    train[:, 0, 0], test[:, 0, 0] = np.arange(100), np.arange(30)
    path = tmp_path / "mnist.npz"
    labels = np.arange(100, dtype=np.uint8) % 10
    np.savez(path, x_train=train, y_train=labels, x_test=test, y_test=labels[:30])
    return path


def numbers(task: SequentialMNIST, steps: range, seed: int = 0) -> list[int]:
    """First pixels of all pictures shown."""
    shown = [task(step, Rng(seed)).x[0, :, 0] * 255 for step in steps]
    return np.rint(np.concatenate(shown)).astype(int).tolist()


def test_the_splits_share_no_picture_and_miss_none(mnist):
    task = SequentialMNIST(path=mnist, batch_size=5)
    validation, test = task.replace(split="validation"), task.replace(split="test")
    assert [t.n_samples for t in (task, validation, test)] == [95, 5, 30]
    train = numbers(task, range(19))
    assert sorted(train + numbers(validation, range(1))) == list(range(100))
    assert numbers(test, range(6)) == list(range(30))


def test_every_epoch_of_training_has_an_order_of_its_own(mnist):
    task = SequentialMNIST(path=mnist, batch_size=10)
    assert len(task) == 9
    first, second = numbers(task, range(9)), numbers(task, range(9, 18))
    assert len(set(first)) == 90
    assert len(set(second)) == 90
    assert first != second
    assert first != numbers(task, range(9), seed=1)
    assert first == numbers(task, range(9))


def test_evaluation_is_in_order_and_keeps_its_last_batch(mnist):
    task = SequentialMNIST(path=mnist, batch_size=8, split="test")
    assert len(task) == 4
    assert numbers(task, range(4), seed=9) == list(range(30))
    assert task(3, Rng(0)).x.shape == (784, 6, 1)


def test_pixels_and_labels_are_those_of_the_file(mnist):
    task = SequentialMNIST(path=mnist, batch_size=10)
    x, y = task(4, Rng(2))
    with np.load(mnist) as file:
        for lane, number in enumerate(np.rint(x[0, :, 0] * 255).astype(int)):
            np.testing.assert_allclose(x[:, lane, 0] * 255, file["x_train"][number].ravel(), 1e-6)
            assert y[lane] == file["y_train"][number]


def test_the_permutation_is_fixed_by_its_own_seed(mnist):
    plain = SequentialMNIST(path=mnist, batch_size=3, split="test")
    mixed = plain.replace(permuted=True)
    order = mixed.order
    np.testing.assert_array_equal(np.sort(order), np.arange(784))
    assert not np.array_equal(order, plain.order)
    for seed in (0, 5):
        np.testing.assert_array_equal(mixed(1, Rng(seed)).x, plain(1, Rng(seed)).x[order])
    assert not np.array_equal(mixed.replace(permutation_seed=1).order, order)
    assert np.array_equal(mixed.replace(split="train").order, order)


@pytest.mark.skipif(not os.environ.get("BIOMEM_DATA"), reason="needs BIOMEM_DATA with mnist.npz")
def test_the_published_set_is_split_into_57000_3000_10000():
    sizes = [SequentialMNIST(split=s).n_samples for s in ("train", "validation", "test")]
    assert sizes == [57_000, 3_000, 10_000]
    assert len(SequentialMNIST()) == 445


def test_a_missing_or_other_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("BIOMEM_DATA", raising=False)
    with pytest.raises(DataError, match=r"no mnist\.npz: pass path=, or set BIOMEM_DATA"):
        SequentialMNIST()(0, Rng(0))
    with pytest.raises(DataError, match="is no MNIST archive"):
        SequentialMNIST(path=tmp_path / "none.npz")(0, Rng(0))
    np.savez(tmp_path / "odd.npz", x_train=np.zeros((3, 8, 8)), y_train=np.zeros(3))
    with pytest.raises(DataError, match=r"must have shape \(n, 28, 28\)"):
        SequentialMNIST(path=tmp_path / "odd.npz")(0, Rng(0))
    objects = np.array([{"code": 1}], dtype=object)
    np.savez(tmp_path / "objects.npz", x_train=objects, y_train=objects)
    with pytest.raises(DataError, match="is no MNIST archive"):
        SequentialMNIST(path=tmp_path / "objects.npz")(0, Rng(0))
    with pytest.raises(ParameterError, match=r"split must be one of"):
        SequentialMNIST(split="dev")


def cifar(folder: Path, *, pickled: bool) -> dict[str, np.ndarray]:
    """Write a small CIFAR-10 and return its pictures by file name."""
    folder.mkdir()
    draw = np.random.default_rng(1)
    written = {}
    for stem in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        pictures = draw.integers(0, 256, (10, 3072), dtype=np.uint8)
        labels = draw.integers(0, 10, 10, dtype=np.uint8)
        if pickled:
            content = {b"data": pictures, b"labels": labels.tolist(), b"batch_label": b"x"}
            (folder / stem).write_bytes(pickle.dumps(content, protocol=2))
        else:
            raw = np.concatenate([labels[:, None], pictures], axis=1)
            (folder / f"{stem}.bin").write_bytes(raw.tobytes())
        written[stem] = pictures
    return written


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar_rows_are_red_green_blue_with_noise_behind(tmp_path, pickled):
    written = cifar(tmp_path / "cifar", pickled=pickled)
    task = NoisyCIFAR10(folder=tmp_path / "cifar", split="test", batch_size=4, n_steps=40)
    x, y = task(1, Rng(0))
    assert x.shape == (40, 4, 96)
    assert y.shape == (4,)
    picture = written["test_batch"][4].reshape(3, 32, 32)
    for row in range(32):
        want = np.concatenate([picture[c, row] for c in range(3)])
        np.testing.assert_allclose(x[row, 0] * 255, want, rtol=1e-6)
    noise = x[32:]
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1


def test_noise_is_fresh_or_one_block(tmp_path):
    cifar(tmp_path / "cifar", pickled=False)
    fresh = NoisyCIFAR10(folder=tmp_path / "cifar", batch_size=4, n_steps=40)
    assert fresh.n_samples == 47
    assert fresh.replace(split="validation").n_samples == 3
    a, b = fresh(0, Rng(0)).x[32:], fresh(1, Rng(0)).x[32:]
    assert not np.array_equal(a, b)
    assert not np.array_equal(a[:, 0], a[:, 1])
    block = fresh.replace(noise="block")
    noise = block(0, Rng(0)).x[32:]
    np.testing.assert_array_equal(noise, block.replace(split="test")(1, Rng(7)).x[32:])
    np.testing.assert_array_equal(noise[:, 0], noise[:, 3])
    assert not np.array_equal(noise, block.replace(noise_seed=1)(0, Rng(0)).x[32:])


def test_cifar_files_of_another_form_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"neither .*data_batch_1\.bin nor data_batch_1"):
        NoisyCIFAR10(folder=tmp_path)(0, Rng(0))
    for stem, content, named in [
        ("odd", b"123", "size must be a multiple of 3073 bytes"),
        ("label", bytes([10]) + bytes(3072), r"labels must be in \[0, 10\), got 10"),
    ]:
        folder = tmp_path / stem
        folder.mkdir()
        (folder / "test_batch.bin").write_bytes(content)
        with pytest.raises(DataError, match=named):
            NoisyCIFAR10(folder=folder, split="test")(0, Rng(0))
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "test_batch").write_bytes(pickle.dumps({"data": np.zeros(3), "labels": [1]}))
    with pytest.raises(DataError, match="must be uint8 of shape"):
        NoisyCIFAR10(folder=folder, split="test")(0, Rng(0))
    with pytest.raises(ParameterError, match=r"n_steps must be an integer >= 32"):
        NoisyCIFAR10(folder=folder, n_steps=31)
    with pytest.raises(ParameterError, match=r"noise must be 'fresh' or 'block'"):
        NoisyCIFAR10(folder=folder, noise="pink")
