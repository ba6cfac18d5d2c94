"""Jobs on a Ray cluster of two nodes on this machine: the same records, and nothing lost when workers die."""

import os
import signal
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from stampbench import cluster
from stampbench.errors import UserError
from stampbench.executors import bench_of
from stampbench.job import LearningRates
from stampbench.measure.provenance import source_digest
from stampbench.progress import SilentProgress
from stampbench.record import Record
from stampbench.store import Store
from tests.tiny import JOBS, TINY

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'stampbench[ray]'")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a cluster of two nodes with one CPU each, which share one cache."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAMPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("STAMPBENCH_DATA", raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        yield nodes.address
        nodes.shutdown()


class Watcher(SilentProgress):
    """Remembers what it is told, and does something at the first epoch."""

    def __init__(self, deed=lambda: None) -> None:
        self.lines, self.finished, self._deed = [], [], deed

    def note(self, message):
        self.lines.append(message)

    def artefact_started(self, label):
        self.lines.append(f"making {label}")

    def epoch(self, label, epoch, epochs, loss, accuracy):
        if not any(line.startswith("epoch") for line in self.lines):
            self._deed()
        self.lines.append(f"epoch of {label}")

    def job_finished(self, record):
        self.finished.append(record.key)


def kill_a_worker() -> None:
    """kill -9 of a process that is at an order, as Ray names it."""
    for folder in Path("/proc").glob("[0-9]*"):
        if (folder / "cmdline").read_bytes().startswith(b"ray::_work"):
            os.kill(int(folder.name), signal.SIGKILL)
            return
    raise AssertionError("no worker is at work")


def lasting(record) -> dict:
    """A record without its times, its place, and who came first to an artefact."""
    times = {"seconds", "yardstick", "peak_memory_mib", "speed", "provenance", "artefacts"}
    return record.model_dump(exclude=times) | {"artefacts": [(use.kind, use.digest) for use in record.artefacts]}


def differences(records, others) -> list[tuple]:
    """What two sets of records of the same jobs disagree on, beside what may differ."""
    left, right = ({r.key: lasting(r) for r in found} for found in (records, others))
    assert left.keys() == right.keys()
    return [
        (key, name, left[key][name], right[key][name])
        for key in left
        for name in left[key]
        if left[key][name] != right[key][name]
    ]


def test_two_nodes_make_the_records_that_one_process_makes(address, pool, tmp_path):
    store, watcher = Store(tmp_path), Watcher()
    records = cluster.run_on_ray(JOBS, TINY, store, watcher, address=address)
    assert differences(records, pool[1].values()) == []
    assert {r.provenance.executor for r in records} == {"ray"} and {r.provenance.threads for r in records} == {1}
    assert sorted(watcher.finished) == sorted(job.key for job in JOBS)
    assert len([line for line in watcher.lines if line.startswith("making")]) == 4
    assert {r.speed for r in records} == {path.stem for path in (tmp_path / "speed").iterdir()}
    assert differences(store.records(), records) == []
    assert cluster.run_on_ray(JOBS, TINY, store, watcher, address=address) == []


def test_what_a_dead_worker_was_at_is_done_again(address, pool, tmp_path):
    watcher = Watcher(kill_a_worker)
    records = cluster.run_on_ray(JOBS[:4], TINY, Store(tmp_path), watcher, address=address)
    assert differences(records, [pool[1][job.key] for job in JOBS[:4]]) == []
    assert any("died" in line and "starts anew" in line for line in watcher.lines)


def diverging(rate: LearningRates):
    return [
        job.model_copy(update={"protocol": job.protocol.model_copy(update={"learning_rate": rate, "epochs": 2})})
        for job in JOBS[:2]
    ]


def test_a_job_that_raises_is_a_record_and_runs_again_on_request_alone(address, tmp_path):
    jobs, store = diverging(LearningRates(random=1e8, reference=0.05, target=0.05)), Store(tmp_path)
    records = cluster.run_on_ray(jobs[:1], TINY, store, Watcher(), address=address)
    assert [r.status for r in records] == ["failed"] and "DivergedError" in records[0].reason
    assert cluster.run_on_ray(jobs[:1], TINY, store, Watcher(), address=address) == []
    again = cluster.run_on_ray(jobs[:1], TINY, store, Watcher(), retry=True, address=address)
    assert [r.status for r in again] == ["failed"]


def test_ctrl_c_lets_the_jobs_in_flight_end_and_starts_no_more(address, tmp_path):
    store, watcher = Store(tmp_path), Watcher(lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        cluster.run_on_ray(JOBS, TINY, store, watcher, address=address)
    assert any("Ctrl-C again" in line for line in watcher.lines)
    assert len(list(store.records())) == len(watcher.finished) < len(JOBS)
    assert signal.getsignal(signal.SIGINT) == before


def test_jobs_of_another_process_are_left_to_it(address, tmp_path):
    store, watcher = Store(tmp_path), Watcher()
    with store.claim(JOBS[0].key, wait=False):
        assert cluster.run_on_ray(JOBS[:1], TINY, store, watcher, address=address) == []
    assert any("another process is at" in line for line in watcher.lines)


def test_a_job_that_no_node_can_take_is_refused(address, tmp_path):
    job = JOBS[0].model_copy(update={"protocol": JOBS[0].protocol.model_copy(update={"threads": 64})})
    with pytest.raises(UserError, match="no node of the Ray cluster has the 64 CPU"):
        cluster.run_on_ray([job], TINY, Store(tmp_path), Watcher(), address=address)


def test_missing_data_is_refused_before_a_job_runs(address, tmp_path):
    job = next(job for job in JOBS if job.start == "target").model_copy(update={"target": "cifar10"})
    with pytest.raises(UserError, match="data fetch cifar10"):
        cluster.run_on_ray([job], TINY, Store(tmp_path), Watcher(), address=address)


def test_no_cluster_there(tmp_path):
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        cluster.run_on_ray(JOBS[:1], TINY, Store(tmp_path), Watcher(), address="127.0.0.1:1")


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'stampbench\[ray\]'"):
        cluster.run_on_ray(JOBS[:1], TINY, Store(tmp_path), Watcher())


def test_a_node_with_other_sources_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path))
    setting = cluster.Setting({}, "other", 0, frozenset())
    outcome = cluster._work(cluster.Order(JOBS[0], None, ()), setting, None, {})
    assert "install the same on all" in outcome.refusal


def test_a_node_fetches_an_artefact_once(pool, tmp_path, monkeypatch):
    """And when it works at it: a task's arguments stay in a node's memory where its driver is killed (ray#64627)."""
    store, records = pool
    job = next(job for job in JOBS if job.start == "reference")
    (use,) = records[job.key].artefacts
    folder = bench_of(TINY, store, Watcher(), "ray").artefacts.held(use.digest)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    fetched = []
    monkeypatch.setattr(cluster, "_fetched", lambda reference: fetched.append(reference) or files)
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path))
    setting = cluster.Setting({}, source_digest(), 0, frozenset())
    for _ in range(2):
        order = cluster.Order(job, None, (use.digest,))
        outcome = cluster._work(order, setting, MagicMock(), {use.digest: "where the driver put it"})
        made = Record.model_validate_json(outcome.record)
        assert differences([made], [records[job.key]]) == [] and made.artefacts[0].reused
    assert fetched == ["where the driver put it"]


class Slow:
    """What takes its time to be there."""

    def artefact(self):
        time.sleep(3)
        return time.monotonic()


def test_a_worker_that_waits_for_an_artefact_keeps_its_cpu(address):
    def wait(inside):
        return cluster._fetched(inside[0])

    def now():
        return time.monotonic()

    with cluster._connected(address):
        artefact = ray.remote(Slow).options(num_cpus=0).remote().artefact.remote()
        waiting = [ray.remote(wait).options(num_cpus=1).remote([artefact]) for _ in range(2)]
        time.sleep(2)
        next_in_line = ray.remote(now).options(num_cpus=1).remote()
        assert ray.get(next_in_line) > max(ray.get(waiting))


class FakeRay:
    """As much of Ray as a driver needs to begin."""

    def remote(self, what=None):
        return self

    def options(self, **_):
        return self


def test_a_failed_artefact_takes_with_it_what_rests_on_it_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_this_node", lambda _: None)
    store, watcher = Store(tmp_path), Watcher()
    driver = cluster._Driver(FakeRay(), bench_of(TINY, store, watcher, "ray"), store, False, 0)
    first, second, third = JOBS[:3]
    making = cluster.Order(first, "a", ())
    resting = [
        cluster.Order(first, "b", ("a",)),
        cluster.Order(first, None, ("a", "b")),
        cluster.Order(second, None, ("b",)),
    ]
    driver.todo = [*resting, cluster.Order(third, None, ())]
    driver._lost(making, "it diverged")
    assert [order.job.key for order in driver.todo] == [third.key]
    assert {r.key: r.status for r in driver.records} == {first.key: "failed", second.key: "failed"}
    assert all("it diverged" in r.reason for r in driver.records)
