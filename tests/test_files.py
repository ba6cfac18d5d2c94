"""Disks that are full, forbidden or raced for."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stampbench.errors import UserError
from stampbench.files import lock, room, set_aside, sweep, whole_folder, write_atomically


@pytest.fixture
def full_disk(monkeypatch):
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)


def test_a_full_disk_is_the_users_to_mend_and_leaves_no_trace(tmp_path, full_disk):
    with pytest.raises(UserError, match=r"record\.json cannot be written: No space left.*free some space"):
        write_atomically(tmp_path / "record.json", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "records").write_text("")
    with pytest.raises(UserError, match="records"):
        write_atomically(tmp_path / "records" / "a.json", "x")
    with pytest.raises(UserError, match="records"), lock(tmp_path / "records" / "a"):
        pass


def test_a_folder_is_whole_or_absent(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as working:
        (working / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_folder(tmp_path / "out") as working:
        (working / "all").write_text("x")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all"]


def test_of_two_that_fill_the_same_folder_the_first_wins(tmp_path):
    with whole_folder(tmp_path / "out") as slow:
        (slow / "file").write_text("slow")
        with whole_folder(tmp_path / "out") as fast:
            (fast / "file").write_text("fast")
    assert (tmp_path / "out" / "file").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_set_aside_never_replaces_what_was(tmp_path, caplog):
    for content in ("first", "second", "third"):
        (tmp_path / "a.json").write_text(content)
        set_aside(tmp_path / "a.json", "it is damaged")
    held = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert held == {"a.json.damaged": "first", "a.json.1.damaged": "second", "a.json.2.damaged": "third"}
    assert caplog.text.count("it is damaged; set aside as") == 3


def left_behind(folder: Path, kind: str, age: float) -> Path:
    """What a writer leaves that is killed in the middle of a file or a folder, so many seconds ago."""
    code = {
        "file": "files.os.fsync = lambda handle: os.kill(os.getpid(), 9); files.write_atomically(folder / 'a', 'x')",
        "folder": "with files.whole_folder(folder / 'a') as f: (f / 'b').write_text('x'); os.kill(os.getpid(), 9)",
    }[kind]
    head = f"import os; from pathlib import Path; from stampbench import files; folder = Path({str(folder)!r})"
    assert subprocess.run([sys.executable, "-c", f"{head}\n{code}"], check=False).returncode == -signal.SIGKILL
    (found,) = folder.iterdir()
    os.utime(found, (time.time() - age,) * 2)
    return found


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_is_swept_away_once_it_is_old(tmp_path, kind):
    found = left_behind(tmp_path, kind, age=30)
    sweep(tmp_path)
    assert found.exists()
    os.utime(found, (time.time() - 100,) * 2)
    sweep(tmp_path)
    assert not found.exists()


def test_what_a_living_writer_is_at_is_never_swept_away(tmp_path, monkeypatch):
    """However old it looks: a process may be stopped for days."""
    (tmp_path / "notes.part").write_text("the user's")
    (tmp_path / ".notes").write_text("the user's")
    looked = []

    def look(handle: int) -> None:
        found = [path for path in tmp_path.iterdir() if path.name.endswith(".part") and path.name.startswith(".")]
        for path in found:
            os.utime(path, (1, 1))
        sweep(tmp_path)
        looked.extend(path.exists() for path in found)

    monkeypatch.setattr(os, "fsync", look)
    write_atomically(tmp_path / "a.json", "x")
    with whole_folder(tmp_path / "out") as working:
        (working / "file").write_text("x")
        look(0)
    assert looked == [True, True]
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes", "a.json", "notes.part", "out"]


def test_a_link_is_not_followed_by_the_sweep(tmp_path):
    (tmp_path / "treasure").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".a.part").symlink_to(tmp_path / "treasure")
    os.utime(tmp_path / "treasure", (1, 1))
    sweep(tmp_path / "cache")
    assert (tmp_path / "treasure").is_dir()


def test_room_is_there_or_refused_before_it_is_used(tmp_path):
    """The limit on the size of files stands for a disk of that size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with room(tmp_path / "results", 2**20):
            assert list((tmp_path / "results").iterdir()) == []
        said = r"results, where 5 MiB are needed, cannot be written: File too large"
        with pytest.raises(UserError, match=said), room(tmp_path / "results", 5 * 2**20):
            raise AssertionError("there is no such room")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_room_is_taken_from_the_disk_and_given_back(tmp_path):
    def used() -> int:
        return sum(os.fstat(int(fd.name)).st_blocks * 512 for fd in Path("/proc/self/fd").iterdir() if is_open(fd))

    def is_open(fd: Path) -> bool:
        try:
            return str(tmp_path) in str(fd.readlink())
        except OSError:
            return False

    with room(tmp_path, 3 * 2**20):
        assert used() >= 3 * 2**20
    assert used() == 0


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_reserves_nothing_is_no_obstacle(tmp_path, monkeypatch, number):
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with room(tmp_path, 2**20):
        pass


def test_a_lock_ends_with_an_error_too(tmp_path):
    with pytest.raises(RuntimeError), lock(tmp_path / "lock"):
        raise RuntimeError
    with lock(tmp_path / "lock", wait=False) as mine:
        assert mine
