import errno
import os
import stat
import subprocess
import sys

import pytest

from biomem.engine import atomic
from biomem.engine.atomic import replace_file
from biomem.errors import OutputError


def test_writes_bytes_and_callables_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    replace_file(path, b"one")
    assert path.read_bytes() == b"one"
    replace_file(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_keeps_permissions_links_and_the_previous_file(tmp_path):
    path, link = tmp_path / "a.bin", tmp_path / "link"
    replace_file(path, b"one")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_file(link, b"two", keep_previous=True)
    assert link.is_symlink()
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (tmp_path / "a.bin.prev").read_bytes() == b"one"
    replace_file(path, b"three", keep_previous=True)
    assert (tmp_path / "a.bin.prev").read_bytes() == b"two"


def test_keeps_the_previous_file_without_hard_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a.bin"
    replace_file(path, b"one")
    replace_file(path, b"two", keep_previous=True)
    assert path.read_bytes() == b"two"
    assert (tmp_path / "a.bin.prev").read_bytes() == b"one"


def test_long_names_are_possible(tmp_path):
    path = tmp_path / ("n" * 250)
    replace_file(path, b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EACCES, "permission denied"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "put/output error"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_failing_system_call_leaves_the_old_file_and_no_temporary(
    tmp_path, monkeypatch, number, said, call
):
    path = tmp_path / "a.bin"
    replace_file(path, b"old")

    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, call, fail)
        with pytest.raises(OutputError, match=said) as error:
            replace_file(path, b"new")
    assert error.value.errno == number
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_interrupted_callable_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    replace_file(path, b"old")

    def interrupted(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, interrupted)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_refuses_folders_devices_and_missing_folders(tmp_path):
    with pytest.raises(OutputError, match="it is a folder"):
        replace_file(tmp_path, b"x")
    with pytest.raises(OutputError, match="not a regular file"):
        replace_file("/dev/null", b"x")
    with pytest.raises(OutputError, match=r"no folder .*absent.*create it first"):
        replace_file(tmp_path / "absent" / "a.bin", b"x")
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(OutputError, match="not a folder"):
        replace_file(tmp_path / "plain" / "a.bin", b"x")


def test_sweeps_what_killed_processes_left_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    code = (
        "import os, sys\n"
        "from biomem.engine import atomic\n"
        "atomic.os.replace = lambda *a: os._exit(9)\n"
        "atomic.replace_file(sys.argv[1], b'x')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    left = os.listdir(tmp_path)
    assert len(left) == 1
    assert left[0].endswith(".tmp")
    other = tmp_path / ".a.bin.someone-elses.tmp"
    other.write_bytes(b"")
    mine = tmp_path / atomic._temporary_name("a.bin")
    mine.write_bytes(b"")
    replace_file(path, b"y")
    assert sorted(os.listdir(tmp_path)) == sorted(["a.bin", other.name, mine.name])


def test_permission_denied_is_one_line(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"old")
    folder.chmod(0o555)
    code = (
        "import os, sys\n"
        "from biomem.engine.atomic import replace_file\n"
        "from biomem.errors import OutputError\n"
        "if os.geteuid() == 0:\n"
        "    os.setegid(65534); os.seteuid(65534)\n"
        "try:\n"
        "    replace_file('a.bin', b'new')\n"
        "except OutputError as exc:\n"
        "    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    folder.chmod(0o755)
    assert done.stdout == "cannot write 'a.bin': permission denied\n"
    assert (folder / "a.bin").read_bytes() == b"old"
