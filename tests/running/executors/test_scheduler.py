"""The scheduler on a cluster that lies in memory and does at once what it is told; no Ray, no training."""

import errno
import os
import signal
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import torch

from stampbench import registry
from stampbench.contract import Start
from stampbench.data import packed
from stampbench.errors import DataError, UserError
from stampbench.measure.provenance import source_digest
from stampbench.running.artefacts import Artefacts
from stampbench.running.executors import scheduler
from stampbench.running.executors.scheduler import DEATHS, Death, Scheduler
from stampbench.running.executors.worker import Order, Outcome
from stampbench.running.workplace import Workplace
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.fake_cluster import FakeCluster, Watcher
from tests.fixtures.tiny import JOBS
from tests.fixtures.toy_methods import TARGETS

REFERENCE = [job for job in JOBS if job.start is Start.REFERENCE]
RANDOM = [JOBS[0].model_copy(update={"seed": seed}) for seed in range(5)]
PREPARED = REFERENCE[0].model_copy(update={"method": "prepared", "method_version": "1"})


@pytest.fixture(autouse=True)
def prepared_data_and_methods(monkeypatch):
    """Every dataset is at hand, and the toy methods are known."""
    monkeypatch.setattr(packed, "manifest", lambda name, custom: SimpleNamespace(digest=f"digest of {name}"))
    monkeypatch.setattr(registry, "METHODS", registry.Registry("method", registry.METHODS.targets() | TARGETS))


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def far(tmp_path):
    return tmp_path / "far"


@pytest.fixture
def schedule(tmp_path, store, watcher):
    """Runs jobs on a cluster; returns their records by key."""

    def run(cluster, jobs, retry=False):
        artefacts = Artefacts(store.artefacts, tmp_path / "cache")
        workplace = Workplace(store, artefacts, {}, torch.device("cpu"), watcher, "fake", exclusive=False)
        return {record.key: record for record in Scheduler(cluster, workplace, store, retry).run(jobs)}

    return run


def statuses(records):
    return {key: record.status for key, record in records.items()}


def free(store, job) -> bool:
    with store.claim(job.key, wait=False) as mine:
        return mine


@pytest.mark.parametrize("room", [1, 5, 100])
def test_artefacts_come_first_each_once_and_no_more_in_flight_than_fit(schedule, store, watcher, far, room):
    cluster = FakeCluster(far, room)
    records = schedule(cluster, JOBS)
    # Two seeds of a reference network, two of a target's.
    assert len(cluster.artefacts) == len(set(cluster.artefacts)) == 4
    assert [order.artefact is not None for order in cluster.submitted] == [True] * 4 + [False] * len(JOBS)
    assert cluster.most_in_flight <= room
    assert sorted(cluster.jobs) == sorted(watcher.started) == sorted(watcher.finished) == sorted(j.key for j in JOBS)
    assert {record.key for record in store.records()} == set(records) == {job.key for job in JOBS}
    assert all(free(store, job) for job in JOBS)


def test_jobs_without_needs_use_the_room_that_waiting_ones_leave(schedule, far):
    cluster = FakeCluster(far, 2)
    schedule(cluster, [*REFERENCE[:1], *RANDOM[:1]])
    assert [order.artefact is None for order in cluster.submitted] == [False, True, True]
    assert cluster.jobs == [RANDOM[0].key, REFERENCE[0].key]


def test_an_artefact_may_rest_on_another(schedule, far):
    cluster = FakeCluster(far, 5)
    assert statuses(schedule(cluster, [PREPARED])) == {PREPARED.key: "done"}
    first, second = cluster.artefacts
    assert [order.needs for order in cluster.submitted] == [(), (first,), (first, second)]


def test_an_artefact_at_hand_is_shared_and_not_made(schedule, far, tmp_path):
    schedule(FakeCluster(far, 1), REFERENCE[:1])
    again = FakeCluster(far, 1)
    schedule(again, [*REFERENCE[:1], PREPARED])
    # The reference network is there; the finished job is left out, the other's table is made.
    assert len(again.artefacts) == 1 and again.jobs == [PREPARED.key]


def test_workers_are_told_sources_executor_and_the_speeds_known_by_then(schedule, store, far):
    def end(order):
        if order.job == RANDOM[0]:
            return Outcome(factories.record(order.job).model_dump_json(), [factories.speed("5" * 16).model_dump_json()])
        return None

    cluster = FakeCluster(far, 1, end)
    store.put_speed(factories.speed("4" * 16))
    schedule(cluster, RANDOM[:2])
    assert [settings.speeds for settings in cluster.settings] == [{"4" * 16}, {"4" * 16, "5" * 16}]
    assert {(s.executor, s.exclusive, s.source) for s in cluster.settings} == {("fake", False, source_digest())}
    assert store.speed("5" * 16) == factories.speed("5" * 16)


def test_a_death_is_retried_up_to_the_limit(schedule, watcher, far):
    killer, other = RANDOM[:2]
    cluster = FakeCluster(far, 1, lambda order: Death("WorkerCrashed", suspect=True) if order.job == killer else None)
    records = schedule(cluster, [killer, other])
    assert cluster.jobs == [killer.key] * DEATHS + [other.key]
    assert statuses(records) == {killer.key: "failed", other.key: "done"}
    assert f"died {DEATHS} times, the last time of WorkerCrashed" in records[killer.key].reason
    assert len([note for note in watcher.notes if "starts again" in note]) == DEATHS - 1


def test_an_artefacts_maker_that_died_is_replaced(schedule, far):
    deaths = [Death("WorkerCrashed", suspect=True)] * (DEATHS - 1)
    cluster = FakeCluster(far, 1, lambda order: deaths.pop() if order.artefact and deaths else None)
    assert statuses(schedule(cluster, REFERENCE[:1])) == {REFERENCE[0].key: "done"}
    assert len(cluster.artefacts) == DEATHS and len(set(cluster.artefacts)) == 1


def test_a_node_that_dies_is_no_fault_of_its_orders(schedule, far):
    deaths = [Death("NodeDied", suspect=False)] * (3 * DEATHS)
    cluster = FakeCluster(far, 1, lambda order: deaths.pop() if deaths else None)
    assert statuses(schedule(cluster, RANDOM[:1])) == {RANDOM[0].key: "done"}
    assert len(cluster.jobs) == 3 * DEATHS + 1


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "given up"])
def test_jobs_that_another_process_holds_are_awaited_until_it_ends(
    schedule, store, watcher, far, monkeypatch, finished
):
    """What it has finished is taken from the pool; what it has given up is run here, and comes last."""
    held, others = REFERENCE[0], RANDOM[:2]
    cluster, waits = FakeCluster(far, 3), []
    claim = ExitStack()
    claim.enter_context(store.claim(held.key, wait=False))

    def sleep(seconds):
        assert sorted(watcher.finished) == sorted(job.key for job in others), "it waits while other jobs could run"
        waits.append(seconds)
        if len(waits) == 3:
            if finished:
                store.put(factories.record(held))
            claim.close()

    monkeypatch.setattr(scheduler.time, "sleep", sleep)
    records = schedule(cluster, [held, *others])
    assert len(waits) == 3
    assert cluster.jobs == [job.key for job in ([*others] if finished else [*others, held])]
    assert set(records) == set(cluster.jobs) and watcher.finished[-1] == held.key
    assert watcher.notes == [f"another process is running {held.label}"]
    assert statuses({r.key: r for r in store.records()}) == {job.key: "done" for job in [held, *others]}


def test_ctrl_c_ends_the_wait_for_another_process(schedule, store, far, monkeypatch):
    monkeypatch.setattr(scheduler.time, "sleep", lambda seconds: os.kill(os.getpid(), signal.SIGINT))
    with store.claim(RANDOM[0].key, wait=False), pytest.raises(KeyboardInterrupt):
        schedule(FakeCluster(far, 1), RANDOM[:1])


def test_an_observer_that_fails_fails_no_job(schedule, store, watcher, far, monkeypatch):
    monkeypatch.setattr(watcher, "job_started", lambda job: 1 / 0)
    assert set(statuses(schedule(FakeCluster(far, 2), RANDOM)).values()) == {"done"}


def test_without_room_for_a_record_no_job_starts(schedule, store, far, monkeypatch):
    def full(handle, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    cluster = FakeCluster(far, 2)
    with pytest.raises(UserError, match=r"results, where 1 MiB are needed, cannot be written: No space left"):
        schedule(cluster, RANDOM)
    assert cluster.submitted == []


def test_a_disk_that_fills_up_lets_the_jobs_in_flight_end(schedule, store, far, monkeypatch):
    allocate, full = os.posix_fallocate, []

    def fill(handle, start, size):
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(handle, start, size)

    monkeypatch.setattr(os, "posix_fallocate", fill)
    cluster = FakeCluster(far, 2, lambda order: full.append(order))
    with pytest.raises(UserError, match="No space left"):
        schedule(cluster, RANDOM)
    assert {record.key for record in store.records()} == {job.key for job in RANDOM[:2]} == set(cluster.jobs)


def test_an_artefact_that_is_lost_spoils_no_record_of_another_process(schedule, store, far):
    """The other process has done by then what rests on the artefact."""

    def end(order):
        store.put(factories.record(REFERENCE[0]))
        return Outcome(failure="it diverged")

    assert schedule(FakeCluster(far, 1, end), REFERENCE[:1]) == {}
    assert [record.status for record in store.records()] == ["done"]


def test_what_another_process_did_in_the_meantime_is_taken_from_the_pool(schedule, store, watcher, far):
    def end(order):
        store.put(factories.record(RANDOM[1]))

    cluster = FakeCluster(far, 1, end)
    records = schedule(cluster, RANDOM[:2])
    assert cluster.jobs == list(records) == [RANDOM[0].key]
    assert watcher.finished == [RANDOM[0].key, RANDOM[1].key]
    assert free(store, RANDOM[1])


@pytest.mark.parametrize("retry", [False, True])
def test_a_failed_record_is_made_again_on_request_alone(schedule, store, far, retry):
    store.put(factories.failed(RANDOM[0]))
    cluster = FakeCluster(far)
    records = schedule(cluster, RANDOM[:1], retry)
    assert statuses(records) == ({RANDOM[0].key: "done"} if retry else {})


@pytest.fixture(autouse=True)
def heard():
    """Ctrl-C is heard in every test, though a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c(times):
    """Ctrl-C as the first so many orders end."""
    presses = iter(range(times))

    def end(order):
        if next(presses, None) is not None:
            os.kill(os.getpid(), signal.SIGINT)

    return end


def test_ctrl_c_ends_the_jobs_in_flight_and_leaves_the_rest(schedule, store, watcher, far):
    cluster, before = FakeCluster(far, 2, press_ctrl_c(1)), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        schedule(cluster, RANDOM)
    assert cluster.jobs == watcher.finished == [job.key for job in RANDOM[:2]]
    assert {record.key for record in store.records()} == set(cluster.jobs)
    assert any("Ctrl-C again" in note for note in watcher.notes)
    assert signal.getsignal(signal.SIGINT) == before
    assert all(free(store, job) for job in RANDOM)


def test_ctrl_c_at_the_last_job_is_no_interruption(schedule, far):
    assert len(schedule(FakeCluster(far, 2, press_ctrl_c(1)), RANDOM[:2])) == 2


def test_a_second_ctrl_c_gives_the_jobs_in_flight_up(schedule, store, far):
    cluster, before = FakeCluster(far, 3, press_ctrl_c(2)), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        schedule(cluster, RANDOM)
    assert [record.key for record in store.records()] == [RANDOM[0].key]
    assert signal.getsignal(signal.SIGINT) == before
    assert all(free(store, job) for job in RANDOM)


def test_a_lost_artefact_fails_what_rests_on_it_and_nothing_else(schedule, store, far):
    seed = REFERENCE[0].seed
    of_seed = [job for job in REFERENCE if job.seed == seed]
    others = [job for job in JOBS if job not in of_seed]
    lost = REFERENCE[0].key

    def end(order):
        return Outcome(failure="it diverged") if order.artefact and order.job.key == lost else None

    cluster = FakeCluster(far, 3, end)
    records = schedule(cluster, [*JOBS, PREPARED])
    failed = {*(job.key for job in of_seed), PREPARED.key}
    assert {key for key, record in records.items() if record.status == "failed"} == failed
    assert {key for key, record in records.items() if record.status == "done"} == {job.key for job in others}
    assert all("it diverged" in records[key].reason and "artefact" in records[key].reason for key in failed)
    assert {record.key for record in store.records()} == set(records)
    # The table of the prepared job rests on the lost network too, so nobody is asked to make it.
    assert len(cluster.artefacts) == 4


def test_a_job_that_fits_nowhere_is_refused(schedule, far):
    with pytest.raises(UserError, match="no node of the cluster has the 8 CPU that a job takes"):
        schedule(FakeCluster(far, 0), RANDOM[:1])


def test_a_cluster_that_shrinks_is_refused_once_nothing_is_in_flight(schedule, store, far):
    def end(order):
        cluster.room = 0

    cluster = FakeCluster(far, 2, end)
    with pytest.raises(UserError, match="add one and run again"):
        schedule(cluster, RANDOM)
    assert {record.key for record in store.records()} == {job.key for job in RANDOM[:2]}
    assert all(free(store, job) for job in RANDOM)


def test_a_refusal_of_a_worker_ends_the_run(schedule, store, far):
    cluster = FakeCluster(far, 2, lambda order: Outcome(refusal="other sources"))
    with pytest.raises(UserError, match="other sources"):
        schedule(cluster, RANDOM)
    assert list(store.records()) == [] and all(free(store, job) for job in RANDOM)


def test_missing_data_is_refused_before_an_order_is_given(schedule, far, monkeypatch):
    def lacking(name, custom):
        raise DataError(f"run `python -m stampbench data fetch {name}`")

    monkeypatch.setattr(packed, "manifest", lacking)
    cluster = FakeCluster(far, 1)
    with pytest.raises(DataError, match="data fetch glyphs"):
        schedule(cluster, [*RANDOM, *REFERENCE])
    assert cluster.submitted == []


def test_an_orders_key_is_what_it_makes():
    assert Order(RANDOM[0], None, ()).key == RANDOM[0].key
    assert Order(RANDOM[0], "d" * 16, ()).key == "d" * 16
