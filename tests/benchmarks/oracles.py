"""Hold what the benchmarks of ceilings share: methods of their own, run in-process, judged on validation images."""

from __future__ import annotations

from collections.abc import Sequence

from stampbench import registry
from stampbench.contract import Method
from stampbench.job import Job
from stampbench.record import Record
from stampbench.running.executors.local import Local
from stampbench.running.progress import PlainProgress
from stampbench.store import Store
from stampbench.suite import Suite


def register(kind: type[Method]) -> None:
    """Let suites of this process name the method."""
    registry.METHODS._targets[kind.name] = f"{kind.__module__}:{kind.__qualname__}"


def ran(jobs: Sequence[Job], suite: Suite, store: Store) -> list[tuple[Job, Record]]:
    """Run the missing jobs, and return all with their records."""
    Local().run(jobs, suite, store, PlainProgress())
    records = store.of(jobs)
    return [(job, records[job.key]) for job in jobs]


def accuracy(record: Record) -> float:
    """Return the accuracy on validation images after the last epoch, in [0, 1]."""
    assert record.accuracy is not None, record.reason
    return record.accuracy.validation_top1[-1]
