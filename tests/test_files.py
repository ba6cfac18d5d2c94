"""Disks that are full, forbidden or raced for."""

import errno
import os

import pytest

from stampbench.errors import UserError
from stampbench.files import lock, set_aside, whole_folder, write_atomically


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


def test_a_lock_ends_with_an_error_too(tmp_path):
    with pytest.raises(RuntimeError), lock(tmp_path / "lock"):
        raise RuntimeError
    with lock(tmp_path / "lock", wait=False) as mine:
        assert mine
