"""What grows with a campaign: a job's way through Ray, and the pool of records: `nox -s benchmarks -- scaling`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stampbench.running.executors.base import Executor
from stampbench.running.executors.local import Local
from stampbench.running.executors.ray import Ray
from stampbench.running.progress import SilentProgress
from stampbench.store import Store
from stampbench.store import _parsed as parsed_files
from tests.benchmarks.interleaved import compare
from tests.fixtures import factories
from tests.fixtures.tiny import JOBS, TINY

# Jobs from random weights: no artefacts.
RANDOM = [job for job in JOBS if job.start == "random"]
RECORDS = 500


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a cluster of one node that holds one job."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield str(node.address)
    node.shutdown()


@pytest.mark.benchmark
def test_jobs_on_ray_against_one_process(address: str, tmp_path: Path, rounds: int, benchmark: Any) -> None:
    """The goal is two seconds a job, with what connecting to the cluster takes shared out over ten jobs."""
    jobs = [
        RANDOM[0].model_copy(update={"seed": seed, "protocol": RANDOM[0].protocol.model_copy(update={"epochs": 4})})
        for seed in range(10)
    ]

    def through(executor: Executor) -> Callable[[], None]:
        numbers = itertools.count()

        def work() -> None:
            store = Store(tmp_path / f"{executor.name}-{next(numbers)}")
            records = executor.run(jobs, TINY, store, SilentProgress())
            assert [record.status for record in records] == ["done"] * len(jobs)

        return work

    pair = through(Ray(address=address, gpus_per_job=0)), through(Local())
    compare(benchmark, *pair, rounds, what=f"{len(jobs)} jobs on Ray", reference="in one process", jobs=len(jobs))


@pytest.mark.benchmark
@pytest.mark.parametrize("what", ["put", "read"])
def test_records_against_bare_files(what: str, tmp_path: Path, rounds: int, benchmark: Any) -> None:
    """Validated, atomic and flushed to the disk against written and read as they come."""
    store, bare = Store(tmp_path / "pool"), tmp_path / "bare"
    bare.mkdir()
    records = [factories.record(factories.job(seed=seed)) for seed in range(RECORDS)]
    texts = [record.model_dump_json(indent=1) for record in records]

    def put() -> None:
        for record in records:
            store.put(record)

    def write() -> None:
        for index, text in enumerate(texts):
            (bare / f"{index}.json").write_text(text)

    def read() -> None:
        parsed_files.cache_clear()
        assert sum(1 for _ in store.records()) == RECORDS

    def parse() -> None:
        assert sum(1 for path in bare.iterdir() if json.loads(path.read_text())) == RECORDS

    put()
    write()
    pair = (put, write) if what == "put" else (read, parse)
    compare(benchmark, *pair, rounds, what=f"{what} {RECORDS:,} records", reference="bare files", records=RECORDS)
