from __future__ import annotations

import h5py
import numpy as np
import pytest

from biomem.datasets.tasks import SHD, SHDAdding, SpokenLikeAdding
from biomem.datasets.tasks.spoken import read_shd
from biomem.engine.random import Rng
from biomem.errors import DataError, ParameterError


def write(path, times, units, labels):
    with h5py.File(path, "w") as file:
        group = file.create_group("spikes")
        for name, rows, kind in (("times", times, np.float32), ("units", units, np.uint16)):
            data = group.create_dataset(name, (len(rows),), h5py.vlen_dtype(kind))
            for i, row in enumerate(rows):
                data[i] = np.asarray(row, kind)
        file["labels"] = np.asarray(labels, np.uint16)


@pytest.fixture
def folder(tmp_path, rng):
    """Forty recordings of the layout; unit 0 fires as often as the number of the recording."""
    for name in ("shd_train.h5", "shd_test.h5"):
        times, units = [], []
        for i in range(40):
            n = rng.integers(1, 30)
            times.append(np.concatenate([np.full(i, 0.005), rng.uniform(0, 1.2, n)]))
            units.append(np.concatenate([np.zeros(i), rng.integers(1, 700, n)]))
        write(tmp_path / name, times, units, np.arange(40) % 20)
    return tmp_path


def test_the_published_number_of_recordings_is_split_as_published():
    from biomem.datasets.tasks.spoken import _rows

    sizes = [len(_rows(8156, split)) for split in ("train", "validation", "test")]
    assert sizes == [6514, 1642, 8156]


@pytest.mark.parametrize("width", [1e-3, 2e-3, 4e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2])
def test_events_are_counted_in_their_bins_and_those_after_a_second_are_lost(tmp_path, width):
    times = [0.0, width / 2, width, width, 0.999, 1.0, 1.3]
    write(tmp_path / "shd_test.h5", [times], [[3, 3, 3, 3, 699, 5, 5]], [17])
    task = SHD(folder=tmp_path, split="test", width=width)
    assert task.n_steps == round(1 / width)
    x, y = task(0, Rng(0))
    assert x.shape == (task.n_steps, 1, 700)
    # Times are stored with eleven bits.
    tick, last = (int(float(np.float16(t)) // width) for t in (width, 0.999))
    want = np.zeros_like(x)
    np.add.at(want, ([0, 0, tick, tick, last], 0, [3, 3, 3, 3, 699]), 1)
    np.testing.assert_array_equal(x, want)
    assert y.tolist() == [17]


def test_the_splits_of_shd_share_no_recording(folder):
    def shown(split, seed=0):
        task = SHD(folder=folder, split=split, batch_size=4)
        batches = [task(step, Rng(seed)) for step in range(len(task))]
        for b in batches:
            np.testing.assert_array_equal(b.y, b.x[0, :, 0] % 20)
        return np.concatenate([b.x[0, :, 0] for b in batches]).astype(int).tolist()

    train, validation = shown("train"), shown("validation")
    assert not set(train) & set(validation)
    assert len(set(train)) == len(train) > 20
    assert sorted({*train, *shown("train", 1), *shown("train", 2)} | set(validation)) == list(
        range(40)
    )
    assert shown("test") == list(range(40))


def test_shd_adding_is_two_recordings_in_turn_and_the_sum_of_their_digits(folder):
    task = SHDAdding(folder=folder, split="test", batch_size=6)
    assert (task.n_steps, task.n_outputs, task.n_inputs) == (200, 19, 700)
    x, y = task(3, Rng(1))
    first, second = x[0, :, 0].astype(int), x[100, :, 0].astype(int)
    np.testing.assert_array_equal(y, first % 20 % 10 + second % 20 % 10)
    single = SHD(folder=folder, split="test", batch_size=40)(0, Rng(0)).x
    for lane in range(6):
        np.testing.assert_array_equal(x[:100, lane], single[:, first[lane]])
        np.testing.assert_array_equal(x[100:, lane], single[:, second[lane]])


def test_events_are_ordered_and_make_the_batch(folder):
    for task in (SHDAdding(folder=folder, batch_size=6), SpokenLikeAdding(batch_size=6)):
        events, batch = task.events(2, Rng(0)), task(2, Rng(0))
        keys = np.stack([events.tick, events.lane, events.channel], axis=1).tolist()
        assert keys == sorted(keys)
        assert len(keys) == batch.x.sum()
        assert all(batch.x[t, b, c] >= 1 for t, b, c in keys)
        np.testing.assert_array_equal(events.y, batch.y)


def test_files_of_another_form_are_refused(tmp_path):
    path = tmp_path / "shd_test.h5"
    with pytest.raises(DataError, match="is no file of the SHD layout"):
        read_shd(path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no file of the SHD layout"):
        read_shd(path)
    for times, units, labels, named in [
        ([[0.1]], [[700]], [1], r"units must be in \[0, 700\)"),
        ([[0.1]], [[1]], [20], r"labels in \[0, 20\)"),
        ([[-0.1]], [[1]], [2], r"times must be >= 0 s"),
        ([[0.1, 0.2]], [[1]], [2], "equally many"),
        ([[0.1]], [[1]], [2, 3], "equally many"),
    ]:
        path.unlink()
        write(path, times, units, labels)
        with pytest.raises(DataError, match=named):
            read_shd(path)
    with pytest.raises(ParameterError, match=r"width must be a whole fraction of a second"):
        SHD(folder=tmp_path, width=3e-3)


def test_drawn_digits_are_told_apart_by_their_templates_and_their_label_is_the_sum():
    task = SpokenLikeAdding(batch_size=300, n_channels=70, jitter_time=5e-3)
    x, y = task(0, Rng(0))
    digits = task.digits(0, Rng(0))
    np.testing.assert_array_equal(y, digits.sum(axis=0))
    assert set(np.unique(digits)) == set(range(10))
    assert x.shape == (100, 300, 70)
    # The nearest mean picture of a digit, from other batches, finds both digits.
    train = [task(step, Rng(0)) for step in (1, 2)]
    known = np.concatenate([task.digits(step, Rng(0))[0] for step in (1, 2)])
    pictures = np.concatenate([b.x[:50].transpose(1, 0, 2).reshape(300, -1) for b in train])
    means = np.stack([pictures[known == d].mean(axis=0) for d in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for half, want in ((x[:50], digits[0]), (x[50:], digits[1])):
        found = (half.transpose(1, 0, 2).reshape(300, -1) @ means.T).argmax(axis=1)
        assert (found == want).mean() > 0.9


def test_two_recordings_of_a_digit_differ():
    task = SpokenLikeAdding(batch_size=2, n_digits=2)
    batches = [task(step, Rng(0)) for step in range(20)]
    same = [b.x[:50, 0] for s, b in enumerate(batches) if task.digits(s, Rng(0))[0, 0] == 0]
    assert len(same) > 4
    assert not np.array_equal(same[0], same[1])


def test_the_templates_are_those_of_their_seed():
    task = SpokenLikeAdding(batch_size=2)
    np.testing.assert_array_equal(task(0, Rng(0)).x, task.replace(template_seed=0)(0, Rng(0)).x)
    assert not np.array_equal(task(0, Rng(0)).x, task.replace(template_seed=1)(0, Rng(0)).x)
    with pytest.raises(ParameterError, match=r"SpokenLikeAdding\.width must be > 0 s and <="):
        SpokenLikeAdding(width=1.0)
    with pytest.raises(ParameterError, match=r"SpokenLikeAdding\.warp must be below 1"):
        SpokenLikeAdding(warp=1.0)
