"""Jobs on a Ray cluster of two nodes on this machine: the same records, and nothing lost when workers die.

What the scheduler and a worker do on any cluster is tested without Ray beside this file.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from stampbench.errors import UserError
from stampbench.running.executors.ray import Ray, connected, fetched
from stampbench.running.progress import SilentProgress
from stampbench.store import Store
from tests.fixtures.tiny import JOBS, TINY

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'stampbench[ray]'")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a cluster of two nodes with one CPU each, which share one cache."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAMPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("STAMPBENCH_DATA", raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        yield nodes.address
        nodes.shutdown()


@pytest.fixture
def cluster(address):
    """The executor on that cluster."""
    return Ray(address=address, gpus_per_job=0)


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
    """Return where two sets of records of the same jobs disagree, apart from what may differ."""
    left, right = ({r.key: lasting(r) for r in found} for found in (records, others))
    assert left.keys() == right.keys()
    return [
        (key, name, left[key][name], right[key][name])
        for key in left
        for name in left[key]
        if left[key][name] != right[key][name]
    ]


@pytest.mark.slow  # 18 s, and as long to start the cluster
def test_two_nodes_make_the_records_that_one_process_makes(cluster, pool, tmp_path):
    store, watcher = Store(tmp_path), Watcher()
    records = cluster.run(JOBS, TINY, store, watcher)
    assert differences(records, pool[1].values()) == []
    assert {(r.provenance.executor, r.provenance.exclusive, r.provenance.threads) for r in records} == {
        ("ray", False, 1)
    }
    assert sorted(watcher.finished) == sorted(job.key for job in JOBS)
    assert len([line for line in watcher.lines if line.startswith("making")]) == 4
    assert {r.speed for r in records} == {path.stem for path in (tmp_path / "speed").iterdir()}
    assert differences(store.records(), records) == []
    assert cluster.run(JOBS, TINY, store, watcher) == []


@pytest.mark.slow  # 13 s
def test_what_a_dead_worker_was_at_is_done_again(cluster, pool, tmp_path):
    watcher = Watcher(kill_a_worker)
    records = cluster.run(JOBS[:4], TINY, Store(tmp_path), watcher)
    assert differences(records, [pool[1][job.key] for job in JOBS[:4]]) == []
    assert any("died" in line and "starts again" in line for line in watcher.lines)


@pytest.mark.slow  # 16 s
def test_ctrl_c_lets_the_jobs_in_flight_end_and_starts_no_more(cluster, tmp_path):
    store, watcher = Store(tmp_path), Watcher(lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        cluster.run(JOBS, TINY, store, watcher)
    assert any("Ctrl-C again" in line for line in watcher.lines)
    assert len(list(store.records())) == len(watcher.finished) < len(JOBS)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_job_that_no_node_can_take_is_refused(cluster, tmp_path):
    job = JOBS[0].model_copy(update={"protocol": JOBS[0].protocol.model_copy(update={"threads": 64})})
    with pytest.raises(UserError, match="no node of the cluster has the 64 CPU that"):
        cluster.run([job], TINY, Store(tmp_path), Watcher())
    with pytest.raises(UserError, match="no node of the cluster has the 1 CPU and 2 GPU that"):
        Ray(address=cluster.address, gpus_per_job=2).run(JOBS[:1], TINY, Store(tmp_path), Watcher())


def test_no_cluster_there(tmp_path):
    with pytest.raises(UserError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        Ray(address="127.0.0.1:1").run(JOBS[:1], TINY, Store(tmp_path), Watcher())


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'stampbench\[ray\]'"):
        Ray().run(JOBS[:1], TINY, Store(tmp_path), Watcher())


class Slow:
    """An actor whose artefact takes its time."""

    def artefact(self):
        time.sleep(3)
        return time.monotonic()


@pytest.mark.slow  # 11 s
def test_a_worker_that_waits_for_an_artefact_keeps_its_cpu(address):
    def wait(inside):
        return fetched(inside[0])

    def now():
        return time.monotonic()

    with connected(address):
        artefact = ray.remote(Slow).options(num_cpus=0).remote().artefact.remote()
        waiting = [ray.remote(wait).options(num_cpus=1).remote([artefact]) for _ in range(2)]
        time.sleep(2)
        next_in_line = ray.remote(now).options(num_cpus=1).remote()
        assert ray.get(next_in_line) > max(ray.get(waiting))
