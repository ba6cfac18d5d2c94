"""The protocol: same bits twice, shared draws, honest budgets, failures as records."""

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest
import torch

from stampbench import files, registry
from stampbench.contract import Budget, Start
from stampbench.data import packed
from stampbench.errors import DataError, UserError
from stampbench.job import Job, LearningRates, Protocol, Reference
from stampbench.running import runner
from stampbench.running.artefacts import Artefacts
from stampbench.running.executors.base import tidy
from stampbench.running.executors.local import Local
from stampbench.running.preparing import method_of, needed_artefacts, prepare
from stampbench.running.progress import SilentProgress
from stampbench.running.runner import run
from stampbench.running.workplace import Workplace
from stampbench.store import Store
from stampbench.training import Trainer
from tests.fixtures import factories
from tests.fixtures.quickly import quicken
from tests.fixtures.tiny import JOBS, TINY, tiny
from tests.fixtures.toy_methods import TARGETS

CPU = torch.device("cpu")


def workplace(folder: Path, executor: str = "test") -> Workplace:
    artefacts = Artefacts(folder / "artefacts", folder / "cached-artefacts")
    return Workplace(Store(folder), artefacts, {}, CPU, SilentProgress(), executor)


def test_every_job_is_done_and_within_its_budget(pool):
    _, records = pool
    assert len(records) == len(JOBS) == 12
    for record in records.values():
        assert record.status == "done", record.reason
        assert record.cost.macs + record.cost.budget_unused == int(record.job.budget.keep * record.cost.dense_macs)
        assert record.cost.budget_unused >= 0


def test_seconds_add_up_and_little_is_outside_the_phases(pool):
    """A busy machine may halt some of the jobs between two phases, but not most of them."""
    shares = [r.seconds.outside / (sum(r.seconds.phases.values()) + r.seconds.outside) for r in pool[1].values()]
    assert median(shares) <= 0.03
    for record in pool[1].values():
        seconds = record.seconds
        assert seconds.total == pytest.approx(seconds.pretrain + seconds.prune + seconds.train)
        assert seconds.train == pytest.approx(sum(seconds.epochs), rel=1e-6)
        assert (seconds.pretrain > 0) == (record.job.start is Start.TARGET)
        assert (seconds.reference > 0) == (record.job.start is Start.REFERENCE)


def test_methods_of_a_seed_share_their_draws_and_same_starts_their_weights(pool):
    for seed in (0, 1):
        records = [r for r in pool[1].values() if r.job.seed == seed]
        for name in ("batch_order", "augmentation", "split"):
            assert len({r.digests[name] for r in records}) == 1
        for start in Start:
            same = [r for r in records if r.job.start is start]
            for name in ("initial_weights", "head"):
                assert len({r.digests[name] for r in same}) == 1
    for name in ("batch_order", "augmentation", "split", "head", "initial_weights"):
        by_seed = [{r.digests[name] for r in pool[1].values() if r.job.seed == seed} for seed in (0, 1)]
        assert not by_seed[0] & by_seed[1]


def test_reference_and_random_starts_share_the_head(pool):
    heads = {r.digests["head"] for r in pool[1].values() if r.job.seed == 0 and r.job.start is not Start.TARGET}
    assert len(heads) == 1


def test_the_same_job_again_gives_the_same_bits(pool, tmp_path, monkeypatch):
    """Everything anew, pretrained networks too: digests, widths and accuracies are equal."""
    quicken(monkeypatch.setattr)
    for job in [j for j in JOBS if j.seed == 1 and j.start is not Start.RANDOM][1:4]:
        again = run(job, workplace(tmp_path))
        before = pool[1][job.key]
        assert again.accuracy == before.accuracy
        assert again.digests == before.digests
        assert again.cost == before.cost


def test_a_finished_suite_runs_nothing(pool, monkeypatch):
    store, records = pool
    monkeypatch.setattr(
        "stampbench.running.executors.local.run_job", lambda *_: pytest.fail("a finished job ran again")
    )
    assert Local().run(JOBS, TINY, store, SilentProgress()) == []
    assert {r.key for r in store.records()} == set(records)


def test_an_interrupted_suite_goes_on_where_it_stopped(pool, tmp_path, monkeypatch):
    """Stopped in its third job; the same call does that job and the rest, once each."""
    _, records = pool
    store, ran = Store(tmp_path), []

    def fake(job, _workplace):
        if len(ran) == 2 and job.key not in ran:
            ran.append(job.key)
            raise KeyboardInterrupt
        ran.append(job.key)
        return records[job.key]

    monkeypatch.setattr("stampbench.running.executors.local.run_job", fake)
    with pytest.raises(KeyboardInterrupt):
        Local().run(JOBS, TINY, store, SilentProgress())
    assert len(list(store.records())) == 2
    Local().run(JOBS, TINY, store, SilentProgress())
    assert {r.key for r in store.records()} == set(records)
    assert [ran.count(job.key) for job in JOBS] == [1, 1, 2] + [1] * (len(JOBS) - 3)


def made_job(**changes) -> Job:
    return JOBS[0].model_copy(update=changes)


def test_a_diverged_job_is_a_record_and_the_suite_goes_on(tmp_path, monkeypatch):
    quicken(monkeypatch.setattr)
    wild = JOBS[0].protocol.model_copy(update={"learning_rate": LearningRates(random=1e8, reference=1, target=1)})
    diverging = made_job(protocol=wild.model_copy(update={"epochs": 2}))
    store = Store(tmp_path)
    first, second = Local().run([diverging, JOBS[0]], TINY, store, SilentProgress())
    assert first.status == "failed"
    assert "DivergedError" in first.reason
    assert second.status == "done"
    assert Local().run([diverging], TINY, store, SilentProgress()) == []
    assert Local().run([diverging], TINY, store, SilentProgress(), retry=True)[0].status == "failed"


def test_a_job_without_memory_is_a_record_and_the_suite_goes_on(tmp_path, monkeypatch):
    quicken(monkeypatch.setattr)
    monkeypatch.setattr(registry, "METHODS", registry.Registry("method", registry.METHODS.targets() | TARGETS))
    first, second = Local().run([made_job(method="hungry"), JOBS[0]], TINY, Store(tmp_path), SilentProgress())
    assert (first.status, second.status) == ("failed", "done")
    assert "can't allocate memory" in first.reason


def test_a_full_disk_stops_the_run_and_loses_no_record(pool, tmp_path, monkeypatch):
    """It is nothing that a job did: no failed records, and what is stored stays."""
    store, left = Store(tmp_path), [2]

    def fill(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("stampbench.running.executors.local.run_job", lambda job, _workplace: pool[1][job.key])
    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        Local().run(JOBS, TINY, store, SilentProgress())
    assert [r.status for r in store.records()] == ["done", "done"]


def test_a_disk_without_room_for_a_record_stops_the_run_before_its_first_job(tmp_path, monkeypatch):
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("stampbench.running.executors.local.run_job", lambda *_: pytest.fail("a job ran"))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"where 1 MiB are needed, cannot be written: No space left"):
        Local().run(JOBS, TINY, Store(tmp_path), SilentProgress())


def test_a_disk_without_room_for_an_artefact_stops_the_run_before_it_is_trained(pool, tmp_path, monkeypatch):
    """The room is that of the network's tensors and of a checkpoint with its momentum, and some more."""
    allocate, asked = os.posix_fallocate, []

    def full(handle: int, start: int, size: int) -> None:
        asked.append(size)
        if size > 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(handle, start, size)

    monkeypatch.setattr(runner.pretraining, "pretrain", lambda *_: pytest.fail("a network was trained"))
    monkeypatch.setattr(os, "posix_fallocate", full)
    job = next(job for job in JOBS if job.start is Start.REFERENCE)
    with pytest.raises(UserError, match=r"cached-artefacts, where \d+ MiB are needed"):
        run(job, workplace(tmp_path))
    digest = pool[1][job.key].artefacts[0].digest
    saved = max(path.stat().st_size for path in (packed.cache_root() / "artefacts" / digest).iterdir())
    assert len(asked) == 1 and 3 * saved < asked[0] < 5 * saved + 2**20


def test_a_pretraining_that_was_stopped_goes_on_after_its_last_epoch(pool, tmp_path, monkeypatch):
    """The target's network takes three epochs here, and is stopped in the second."""
    job = next(job for job in tiny(epochs=3).jobs("tiny", "fp32") if job.start is Start.TARGET)
    _, undisturbed = prepare(job, workplace(tmp_path / "undisturbed"))
    epoch, begun, there = Trainer.epoch, [], workplace(tmp_path / "stopped")

    def stopped(trainer: Trainer) -> float:
        begun.append(trainer)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return epoch(trainer)

    monkeypatch.setattr(Trainer, "epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(job, there)
    saved = list((tmp_path / "stopped").rglob("checkpoints/*.safetensors"))
    _, resumed = prepare(job, there)
    assert len(begun) == 2 + 2 and len(saved) == 1 and not saved[0].exists()
    whole, again = undisturbed["pretrained"], resumed["pretrained"]
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in whole.tensors.items())
    assert again.notes == whole.notes and again.seconds > 0


def test_a_disk_that_fills_up_in_a_job_has_room_for_its_record(pool, tmp_path, monkeypatch):
    """A disk of 1.5 MiB, on which the job leaves nothing but what was held."""
    held = []
    real = files._allocate

    def allocate(handle: int, size: int) -> None:
        held.append(handle)
        real(handle, size)

    def fill(job, _workplace):
        os.fstat(held[-1])
        return pool[1][job.key]

    def put(store, record):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(held[-1])
        real_put(store, record)

    real_put = Store.put
    monkeypatch.setattr(files, "_allocate", allocate)
    monkeypatch.setattr("stampbench.running.executors.local.run_job", fill)
    monkeypatch.setattr(Store, "put", put)
    assert len(Local().run(JOBS[:3], TINY, Store(tmp_path), SilentProgress())) == len(held) == 3


def test_a_record_that_the_pool_refuses_is_kept_and_taken_over(pool, tmp_path, monkeypatch):
    """The folder of records becomes a file while the job runs."""
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    results, speed = tmp_path / "results", factories.speed("5" * 16)
    record = factories.record(JOBS[0], speed=speed.key)

    def spoil(job, workplace):
        workplace.speeds.put_speed(speed)
        (results / "records").write_text("in the way")
        return record

    monkeypatch.setattr("stampbench.running.executors.local.run_job", spoil)
    with pytest.raises(UserError, match=r"records.*cannot be written.*The finished job is not lost"):
        Local().run(JOBS[:1], TINY, Store(results), SilentProgress())
    (results / "records").unlink()
    tidy(Store(tmp_path / "other"))
    assert not list(Store(tmp_path / "other").records())
    tidy(Store(results))
    assert list(Store(results).records()) == [record] and Store(results).speed(speed.key) == speed
    assert list((tmp_path / "cache" / "unsaved").iterdir()) == []


@pytest.mark.parametrize("failing", ["suite_started", "job_started", "epoch", "job_finished"])
def test_an_observer_that_fails_fails_no_job(tmp_path, monkeypatch, failing):
    quicken(monkeypatch.setattr)

    def fail(*arguments):
        raise BrokenPipeError

    observer = SilentProgress()
    monkeypatch.setattr(observer, failing, fail)
    assert [r.status for r in Local().run(JOBS[:1], TINY, Store(tmp_path), observer)] == ["done"]


def test_jobs_that_another_process_is_at_come_last(pool, tmp_path, monkeypatch):
    """One of them it has done by then, one it has given up."""
    store, told, records = Store(tmp_path), [], pool[1]
    monkeypatch.setattr("stampbench.running.executors.local.run_job", lambda job, _workplace: records[job.key])

    class Watcher(SilentProgress):
        def note(self, message):
            told.append(message)

        def job_finished(self, record):
            if record.key == JOBS[-1].key:
                store.put(records[JOBS[0].key])
                others.close()

    with ExitStack() as others:
        for job in JOBS[:2]:
            others.enter_context(store.claim(job.key, wait=False))
        made = Local().run(JOBS, TINY, store, Watcher())
    assert [r.key for r in made] == [job.key for job in [*JOBS[2:], JOBS[1]]]
    assert told == [f"another process is running {job.label}" for job in JOBS[:2]]


def test_a_plan_over_budget_is_a_failed_job(tmp_path, monkeypatch):
    from stampbench.methods.dense import Dense

    job = made_job(budget=Budget(keep=0.5))
    monkeypatch.setattr(Dense, "prunes", True)
    record = run(job, workplace(tmp_path))
    assert record.status == "failed"
    assert "BudgetError" in record.reason


def test_an_impossible_budget_is_a_failed_job(tmp_path):
    job = next(j for j in JOBS if j.method == "random")
    job = job.model_copy(update={"budget": Budget(keep=0.0001)})
    record = run(job, workplace(tmp_path))
    assert record.status == "failed"
    assert "raise the budget" in record.reason


def test_an_impossible_budget_is_told_before_anything_is_trained(tmp_path):
    job = next(j for j in JOBS if j.start is Start.REFERENCE and j.method != "dense")
    job, empty = job.model_copy(update={"budget": Budget(keep=0.0001)}), workplace(tmp_path)
    (weights,) = needed_artefacts(job, method_of(job), {}, empty.artefacts)
    record = run(job, empty)
    assert record.status == "failed" and "raise the budget" in record.reason
    assert not empty.artefacts.held(weights.digest)
    # What is ordered by its digest is made: it serves other jobs too.
    prepare(job, empty, weights.digest)
    assert empty.artefacts.held(weights.digest)


def test_missing_data_is_no_failed_job(tmp_path, monkeypatch):
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("STAMPBENCH_DATA", raising=False)
    with pytest.raises(DataError, match="data fetch cifar10"):
        run(made_job(target="cifar10"), workplace(tmp_path))


def test_the_reference_artefact_is_shared_and_the_targets_is_charged(pool):
    uses = {(r.job.start, r.job.seed): r.artefacts for r in pool[1].values()}
    assert uses[Start.RANDOM, 0] == []
    reference = {r.artefacts[0].digest for r in pool[1].values() if r.job.start is Start.REFERENCE}
    assert len(reference) == 2
    for record in pool[1].values():
        if record.job.start is Start.TARGET:
            assert record.seconds.pretrain == record.artefacts[0].seconds > 0


def test_jobs_ignore_the_protocol_that_cannot_touch_them():
    assert all((job.protocol.reference is None) == (job.start is not Start.REFERENCE) for job in JOBS)
    longer = {"dataset": "glyphs", "epochs": 2, "images": 200}
    protocol = TINY.presets["tiny"].protocol.model_copy(update={"reference": Reference.model_validate(longer)})
    changed = TINY.model_copy(
        update={"presets": {"tiny": TINY.presets["tiny"].model_copy(update={"protocol": protocol})}}
    )
    same = {j.key for j in JOBS} & {j.key for j in changed.jobs("tiny", "fp32")}
    assert same == {j.key for j in JOBS if j.start is not Start.REFERENCE}
    assert isinstance(JOBS[0].protocol, Protocol)


def test_strict_mode_takes_deterministic_algorithms_alone(pool):
    job = JOBS[0]
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        for mode, strict in (("fast", False), ("strict", True)):
            runner.configure(job.model_copy(update={"protocol": job.protocol.model_copy(update={"mode": mode})}))
            assert torch.are_deterministic_algorithms_enabled() == strict
            assert torch.backends.cudnn.benchmark == (not strict)
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
    assert all(record.provenance.deterministic for record in pool[1].values())


def test_the_yardstick_is_timed_around_training_and_belongs_to_no_total(pool):
    for record in pool[1].values():
        assert len(record.yardstick) == 10 and min(record.yardstick) > 0
        assert record.seconds.phases["yardstick"] >= sum(record.yardstick)
