import json
import os
import resource
import struct
import subprocess
import sys
import zipfile

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomem.engine import checkpoint as module
from biomem.engine.checkpoint import read_checkpoint, write_checkpoint
from biomem.errors import CorruptFileError, InputError, MissingFileError, OutputError

HEADER = {"tick": 3, "params": {"tau": 0.02, "name": "Ωμ"}, "list": [1, None, True]}


def same(a, b):
    """Equal down to dtype, byte order, shape and the payload of every NaN."""
    a = np.asarray(a)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def arrays_of_every_kind():
    nan = np.array([0x7FC00001, 0xFFC12345, 0x7F800001], np.uint32).view(np.float32)
    found = {f"kind/{d}": np.arange(-3, 3).astype(d) for d in sorted(module.DTYPES)}
    return found | {
        "state/nan": nan,
        "state/big": np.array([2**64 - 1], np.uint64),
        "state/swapped": np.arange(5, dtype=">f8"),
        "scalar": np.float32(1.5),
        "flag": np.bool_(True),
        "empty": np.zeros((0, 3), np.uint16),
        "hollow": np.zeros((2, 0, 4)),
        "strided": np.arange(24).reshape(4, 6)[::2, ::-1],
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "large": np.arange(400_000, dtype=np.float64).reshape(4, 100, 1000),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.ckpt"


def test_every_kind_of_array_comes_back_bit_for_bit(path):
    arrays = arrays_of_every_kind()
    write_checkpoint(path, HEADER, arrays)
    read = read_checkpoint(path)
    assert read.header == HEADER
    assert list(read.arrays) == sorted(arrays)
    for name, array in arrays.items():
        assert same(array, read.arrays[name]), name
        assert read.arrays[name].flags.writeable


DTYPES = st.sampled_from(sorted(module.DTYPES)).map(np.dtype) | st.sampled_from([">i4", ">f8"]).map(
    np.dtype
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
PATHS = st.lists(NAMES.filter(lambda n: n not in (".", "..")), min_size=1, max_size=3).map("/".join)


@given(
    arrays=st.dictionaries(
        PATHS,
        DTYPES.flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    ),
    header=st.dictionaries(
        st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists), max_size=3
    ),
)
@settings(max_examples=60, deadline=None)
def test_round_trip(tmp_path_factory, arrays, header):
    path = tmp_path_factory.getbasetemp() / "round-trip.ckpt"
    lies_below = any(a != b and (b + "/").startswith(a + "/") for a in arrays for b in arrays)
    if lies_below:
        with pytest.raises(InputError, match="lies below"):
            write_checkpoint(path, header, arrays)
        return
    write_checkpoint(path, header, arrays)
    read = read_checkpoint(path)
    assert read.header == header
    assert set(read.arrays) == set(arrays)
    assert all(same(array, read.arrays[name]) for name, array in arrays.items())


def test_same_content_gives_the_same_bytes_in_any_order_and_process(path):
    arrays = {"b": np.arange(3.0), "a/x": np.ones(2, bool)}
    write_checkpoint(path, {"y": 1, "x": 2}, arrays)
    first = path.read_bytes()
    code = (
        "import sys, time, numpy as np\n"
        "from biomem.engine.checkpoint import write_checkpoint\n"
        "junk = [np.random.bytes(1000) for _ in range(99)]; del junk; time.sleep(1.1)\n"
        "write_checkpoint(sys.argv[1], {'x': 2, 'y': 1}, "
        "{'a/x': np.ones(2, bool), 'b': np.arange(3.0)})\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    assert path.read_bytes() == first


def test_plain_h5py_reads_it(path):
    write_checkpoint(path, HEADER, {"state/v": np.arange(6.0).reshape(2, 3)})
    with h5py.File(path) as file:
        assert file.userblock_size == 512
        assert json.loads(file["header"][:].tobytes()) == HEADER
        assert file["arrays/state/v"].fletcher32
        np.testing.assert_array_equal(file["arrays/state/v"][:], [[0, 1, 2], [3, 4, 5]])


def test_the_previous_checkpoint_can_be_kept(path):
    write_checkpoint(path, {"tick": 1}, {}, keep_previous=True)
    write_checkpoint(path, {"tick": 2}, {}, keep_previous=True)
    assert read_checkpoint(path).header == {"tick": 2}
    assert read_checkpoint(f"{path}.prev").header == {"tick": 1}


@pytest.mark.parametrize(
    ("header", "arrays", "said"),
    [
        ({"a": object()}, {}, "JSON"),
        ({}, {"s": np.array(["text"])}, "'s' must be boolean, integer, float or complex"),
        ({}, {"o": np.array([None, {}])}, "got dtype object"),
        ({}, {"t": np.zeros(1, "M8[s]")}, "datetime64"),
        ({}, {"/a": np.zeros(1)}, "no array path"),
        ({}, {"a//b": np.zeros(1)}, "no array path"),
        ({}, {"a/../b": np.zeros(1)}, "no array path"),
        ({}, {"": np.zeros(1)}, "no array path"),
        ({}, {"\udc80": np.zeros(1)}, "no array path"),
        ({}, {"a": np.zeros(1), "a/b": np.zeros(1)}, "'a/b' lies below the array 'a'"),
    ],
)
def test_refuses_what_it_could_not_give_back(path, header, arrays, said):
    with pytest.raises(InputError, match=said):
        write_checkpoint(path, header, arrays)
    assert not path.exists()


def plain_hdf5(path):
    with h5py.File(path, "w") as file:
        file["arrays/v"] = np.arange(3)


def npy_file(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def zip_file(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b" * 600)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.write_bytes(b""), "is empty, expected a biomem checkpoint"),
        (lambda p: p.write_text("timestamp,value\n1,2\n"), "a text file, expected"),
        (lambda p: p.write_text("é" * 500), "a text file, expected"),
        (lambda p: p.write_bytes(bytes(range(256)) * 8), "a file of another kind, expected"),
        (plain_hdf5, "a plain HDF5 file, expected"),
        (zip_file, "a zip archive"),
        (npy_file, "a NumPy .npy file"),
        (lambda p: p.mkdir(), "is a folder, expected"),
        (os.mkfifo, "not a regular file"),
    ],
)
def test_a_foreign_file_is_named_in_one_line(path, make, said):
    make(path)
    with pytest.raises(CorruptFileError, match=said) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_a_file_not_found_error(path):
    with pytest.raises(MissingFileError, match="does not exist, expected a biomem checkpoint"):
        read_checkpoint(path)
    assert issubclass(MissingFileError, FileNotFoundError)


def test_a_newer_version_is_named(path):
    write_checkpoint(path, HEADER, {"v": np.arange(3)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 24, 7)
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"format version 7, this biomem reads version 1"):
        read_checkpoint(path)


def resealed(path, change):
    """Change the HDF5 part of a checkpoint and give it a digest that is right again."""
    data = path.read_bytes()
    inner = path.with_suffix(".h5")
    inner.write_bytes(data)
    with h5py.File(inner, "r+") as file:
        change(file)
    data = bytearray(inner.read_bytes())
    struct.pack_into("<22sxxIIQ32s", data, 0, module.MAGIC, 1, 512, len(data) - 512, bytes(32))
    data[40:72] = module._digest(bytes(data))
    path.write_bytes(data)


def soft_link(file):
    file["arrays/soft"] = h5py.SoftLink("/header")


def external_link(file):
    file["arrays/outside"] = h5py.ExternalLink("/etc/passwd", "/x")


def circle(file):
    file["arrays/circle"] = file["arrays"]


def bomb(file):
    file.create_dataset("arrays/bomb", (2**40,), "f8", chunks=(1024,))


def strings(file):
    file["arrays/strings"] = ["a", "b"]


def reference(file):
    file["arrays/reference"] = file["header"].ref


def compressed(file):
    file.create_dataset("arrays/zip", data=np.zeros(1000), compression="gzip")


def no_header(file):
    del file["header"]


def bad_header(file):
    file["header"][...] = ord("x")


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("arrays/virtual", layout)


CRAFTED = [
    soft_link,
    external_link,
    circle,
    bomb,
    strings,
    reference,
    compressed,
    no_header,
    bad_header,
    virtual,
]


@pytest.mark.parametrize("change", CRAFTED, ids=lambda f: f.__name__)
def test_a_crafted_file_with_a_right_digest_is_refused(path, change):
    write_checkpoint(path, HEADER, {"v": np.arange(3)})
    resealed(path, lambda file: None)
    assert read_checkpoint(path).header == HEADER
    resealed(path, change)
    with pytest.raises(CorruptFileError, match="not laid out as a biomem checkpoint"):
        read_checkpoint(path)


def test_a_full_disk_leaves_the_old_checkpoint(path):
    write_checkpoint(path, {"tick": 1}, {"v": np.arange(1000.0)})
    old = path.read_bytes()

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    code = (
        "import sys, numpy as np\n"
        "from biomem.engine.checkpoint import write_checkpoint\n"
        "from biomem.errors import OutputError\n"
        "try:\n"
        "    write_checkpoint(sys.argv[1], {}, {'v': np.zeros(100_000)})\n"
        "except OutputError as exc:\n"
        "    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the file would pass the size limit" in done.stdout
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_no_space_left_is_said(path, monkeypatch):
    write_checkpoint(path, {"tick": 1}, {})

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left on the device"):
        write_checkpoint(path, {"tick": 2}, {})
    assert read_checkpoint(path).header == {"tick": 1}
