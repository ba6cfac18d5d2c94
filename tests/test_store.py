import json
import multiprocessing
import os
from pathlib import Path

import pytest

from stampbench.errors import UserError
from stampbench.files import write_atomically
from stampbench.store import Store
from tests.fixtures import factories


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def test_what_is_put_is_got(store):
    record = factories.record()
    assert store.get(record.key) is None
    store.put(record)
    assert store.get(record.key) == record
    assert [path.name for path in (store.root / "records").iterdir()] == [f"{record.key}.json"]


def test_records_come_by_key_whatever_the_order_of_writing(store):
    records = [factories.record(factories.job(seed=seed)) for seed in range(5)]
    for record in records:
        store.put(record)
    assert [record.key for record in store.records()] == sorted(record.key for record in records)


def test_a_record_is_replaced(store):
    job = factories.job()
    store.put(factories.failed(job))
    store.put(factories.record(job))
    assert [record.status for record in store.records()] == ["done"]


def test_the_same_record_is_the_same_bytes(store):
    path = store.root / "records" / f"{factories.job().key}.json"
    store.put(factories.record())
    first = path.read_bytes()
    store.put(factories.record())
    assert path.read_bytes() == first and first.endswith(b"\n")


def test_only_the_jobs_asked_for(store):
    jobs = [factories.job(seed=seed) for seed in range(3)]
    for job in jobs[:2]:
        store.put(factories.record(job))
    assert set(store.of(jobs[1:])) == {jobs[1].key}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "x"}', "\x00\x01"])
def test_garbage_is_named_with_what_to_do(store, content):
    path = store.root / "records" / "0123456789abcdef.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(UserError, match=r"0123456789abcdef\.json.*remove it to rerun"):
        store.get("0123456789abcdef")
    with pytest.raises(UserError, match="remove it to rerun"):
        list(store.records())


@pytest.mark.parametrize("content", ["", "{", '{"key": "x"}', "\x00\x01"])
def test_what_is_damaged_is_set_aside_and_told_the_rest_is_left(store, content, caplog):
    sound = factories.record()
    store.put(sound)
    store.put_speed(factories.speed())
    damaged = [store.root / "records" / "0123456789abcdef.json", store.root / "speed" / "fedcba9876543210.json"]
    for path in damaged:
        path.write_text(content)
    store.mend()
    assert list(store.records()) == [sound] and store.speed(factories.speed().key)
    for path in damaged:
        assert not path.exists() and path.with_name(f"{path.name}.damaged").read_text() == content
        assert f"{path} is no valid" in caplog.text
    damaged[0].write_text(content)
    store.mend()
    assert damaged[0].with_name(f"{damaged[0].name}.1.damaged").exists()


def test_a_record_of_another_job_is_set_aside(store):
    record = factories.record()
    store.put(record)
    (store.root / "records" / f"{record.key}.json").rename(store.root / "records" / "0123456789abcdef.json")
    store.mend()
    assert list(store.records()) == []


def test_a_claim_keeps_others_away_until_it_ends(store):
    with store.claim("a", wait=False) as mine, store.claim("b", wait=False) as other:
        assert mine and other
        with store.claim("a", wait=False) as again:
            assert not again
    with store.claim("a", wait=False) as mine:
        assert mine


def test_older_versions_are_stale(store):
    now = factories.job(method_version="2")
    for job in (factories.job(method_version="1"), now, factories.job(seed=1, method_version="1")):
        store.put(factories.record(job))
    assert [record.job.method_version for record in store.stale([now])] == ["1"]
    assert store.stale([now])[0].job.seed == 0


def test_speed_measurements_have_their_own_place(store):
    measurement = factories.speed()
    assert store.speed(measurement.key) is None
    store.put_speed(measurement)
    assert store.speed(measurement.key) == measurement
    assert list(store.records()) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomically(path, "old")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomically(path, "old")
    seen = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, other: (seen.append(path.read_text()), replace(self, other))[1])
    write_atomically(path, "new")
    assert seen == ["old"] and path.read_text() == "new"


def test_leftovers_of_a_killed_write_are_no_records(store):
    store.put(factories.record())
    (store.root / "records" / ".0123.json.abc").write_text("half a rec")
    assert len(list(store.records())) == 1


def no_files(path: Path) -> dict[str, object]:
    """What may lie where a file belongs."""
    return {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "dangling link": lambda: path.symlink_to("nowhere"),
        "loop": lambda: path.symlink_to(path.name),
        "large": lambda: (path.touch(), os.truncate(path, 100_000_000)),
    }


@pytest.mark.parametrize("folder", ["records", "speed"])
@pytest.mark.parametrize("kind", no_files(Path()))
def test_what_is_no_file_is_named_and_set_aside(store, folder, kind, caplog):
    path = store.root / folder / "0123456789abcdef.json"
    path.parent.mkdir(parents=True)
    no_files(path)[kind]()
    with pytest.raises(UserError, match=r"0123456789abcdef\.json is .*remove it to rerun"):
        store.get(path.stem) if folder == "records" else store.speed(path.stem)
    store.mend()
    assert not os.path.lexists(path) and os.path.lexists(f"{path}.damaged")
    assert store.get(path.stem) is None and store.speed(path.stem) is None


def test_what_may_not_be_read_stays_and_is_named(store, monkeypatch):
    store.put(factories.record())

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    for read in (store.mend, lambda: list(store.records())):
        with pytest.raises(UserError, match=r"\.json cannot be read: Permission denied; allow reading it"):
            read()
    monkeypatch.undo()
    assert store.get(factories.record().key) == factories.record()


def test_a_record_of_a_newer_version_is_not_set_aside(store):
    record = factories.record()
    store.put(record)
    path = store.root / "records" / f"{record.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99, "colour": "blue"}))
    with pytest.raises(UserError, match=r"newer stampbench: its schema_version is 99.*update stampbench"):
        store.mend()
    assert path.exists()


def mend(root: Path, start) -> None:
    """Mend at the same moment as others."""
    store = Store(root)
    start.wait()
    store.mend()


def test_any_number_of_runs_may_mend_one_pool_at_once(store):
    sound = factories.record()
    store.put(sound)
    damaged = [store.root / folder / f"{index:016x}.json" for folder in ("records", "speed") for index in range(40)]
    for path in damaged:
        write_atomically(path, "{")
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    runs = [context.Process(target=mend, args=(store.root, start)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 4
    assert all(path.with_name(f"{path.name}.damaged").read_text() == "{" for path in damaged)
    assert list(store.records()) == [sound] and not store.speed_keys()


def test_the_last_of_two_equal_keys_counts_as_in_every_json_reader(store):
    record = factories.record(top1=0.7)
    store.put(record)
    path = store.root / "records" / f"{record.key}.json"
    text = path.read_text().replace('"top1": 0.7', '"top1": 0.1, "top1": 0.2')
    path.write_text(text)
    assert store.get(record.key).accuracy.top1 == json.loads(text)["accuracy"]["top1"] == 0.2


def test_a_record_that_vanishes_while_the_pool_is_read_is_passed_over(store, monkeypatch):
    for seed in range(2):
        store.put(factories.record(factories.job(seed=seed)))
    gone, kept = sorted((store.root / "records").glob("*.json"))
    glob = Path.glob

    def vanishing(self: Path, pattern: str):
        found = list(glob(self, pattern))
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "glob", vanishing)
    assert [record.key for record in store.records()] == [kept.stem]
