"""A worker carries out orders, on any cluster."""

import pytest
import torch

from stampbench.contract import Start
from stampbench.data import packed
from stampbench.job import LearningRates
from stampbench.measure.provenance import source_digest
from stampbench.record import Record, Speed
from stampbench.running.artefacts import Artefacts
from stampbench.running.executors import worker
from stampbench.running.executors.worker import Order, WorkerSettings, files_of, work
from stampbench.running.preparing import method_of, needed_artefacts
from stampbench.running.progress import SilentProgress
from tests.fixtures.quickly import quicken
from tests.fixtures.tiny import JOBS

CPU = torch.device("cpu")
REFERENCE = next(job for job in JOBS if job.start is Start.REFERENCE)


@pytest.fixture(autouse=True)
def cache(pool, tmp_path, monkeypatch):
    """A node's own cache, with the packed images and no artefact in it."""
    (tmp_path / "data").symlink_to(pool[0].root.parent / "cache" / "data")
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("STAMPBENCH_DATA", raising=False)
    monkeypatch.setattr(worker, "source_digest", lambda: "sources")
    quicken(monkeypatch.setattr)
    return tmp_path


def carry_out(order, fetch=None, **changes):
    settings = {"executor": "fake", "exclusive": False, "custom": {}, "source": "sources", "speeds": frozenset()}
    return work(order, WorkerSettings(**settings | changes), CPU, SilentProgress(), fetch)


def in_pool(pool, job):
    """The digest and the files of the one artefact that a job of the pool rests on."""
    store, records = pool
    (use,) = records[job.key].artefacts
    artefacts = Artefacts(store.artefacts, store.root.parent / "cache" / "artefacts")
    return use.digest, files_of(artefacts.held(use.digest))


def test_a_job_becomes_the_record_that_one_process_makes(pool):
    """Done twice, its artefact is fetched once, and a speed that the driver knows by then is not measured again."""
    (digest, files), before = in_pool(pool, REFERENCE), pool[1][REFERENCE.key]
    fetched, known = [], frozenset()
    for speeds in (1, 0):
        order = Order(REFERENCE, None, (digest,))
        outcome = carry_out(order, lambda wanted: fetched.append(wanted) or files, speeds=known)
        made = Record.model_validate_json(outcome.record)
        assert (made.accuracy, made.digests, made.cost) == (before.accuracy, before.digests, before.cost)
        assert [(use.digest, use.reused) for use in made.artefacts] == [(digest, True)]
        assert (made.provenance.executor, made.provenance.exclusive) == ("fake", False)
        found = [Speed.model_validate_json(text) for text in outcome.speeds]
        assert [(s.key, s.provenance.exclusive) for s in found] == [(made.speed, False)] * speeds
        known = frozenset({made.speed})
    assert fetched == [digest]
    assert made.speed != before.speed


def test_an_artefact_comes_back_as_its_files(pool, cache):
    digest, files = in_pool(pool, REFERENCE)
    outcome = carry_out(Order(REFERENCE, digest, ()))
    assert outcome.record is None and outcome.failure is None
    assert outcome.files["tensors.safetensors"] == files["tensors.safetensors"]


def test_an_artefact_that_cannot_be_made_is_a_failure_with_its_reason(cache):
    wild = LearningRates(random=1e8, reference=1e8, target=1e8)
    protocol = REFERENCE.protocol.model_copy(update={"learning_rate": wild, "epochs": 3})
    job = next(job for job in JOBS if job.start is Start.TARGET).model_copy(update={"protocol": protocol})
    (spec,) = needed_artefacts(job, method_of(job), {}, Artefacts(cache, cache))
    outcome = carry_out(Order(job, spec.digest, ()))
    assert "DivergedError" in outcome.failure and outcome.refusal is None and outcome.files == {}


def test_other_sources_are_refused():
    outcome = carry_out(Order(JOBS[0], None, ()), source=source_digest() + "x")
    assert "install the same version on all" in outcome.refusal and outcome.record is None


def test_missing_data_is_a_refusal(cache):
    job = JOBS[0].model_copy(update={"target": "cifar10"})
    assert packed.cache_root() == cache
    assert "data fetch cifar10" in carry_out(Order(job, None, ())).refusal
