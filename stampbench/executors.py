"""Where jobs run: in this process, one after another."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stampbench.artefacts import Artefacts
from stampbench.data import packed
from stampbench.estimate import estimate
from stampbench.job import Job
from stampbench.progress import Observer
from stampbench.record import Record
from stampbench.runner import Bench, run
from stampbench.store import Store
from stampbench.suite import Suite


def run_here(jobs: Sequence[Job], suite: Suite, store: Store, observer: Observer, retry: bool = False) -> list[Record]:
    """Runs the jobs that have no record, or with `retry` those whose record is not done, storing each as it ends.

    Returns the new records. Raises `UserError` for missing data; what is stored by then stays.
    """
    found = store.of(jobs)
    missing = [job for job in jobs if job.key not in found or (retry and found[job.key].status != "done")]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ahead = estimate(missing, store.records(), device.type == "cuda", again={job.key for job in missing})
    observer.suite_started(len(jobs), len(jobs) - len(missing), ahead.seconds)
    artefacts = Artefacts(store.artefacts, packed.cache_root() / "artefacts")
    bench = Bench(store, artefacts, suite.datasets, device, observer, executor="in-process")
    records = []
    for job in missing:
        observer.job_started(job)
        record = run(job, bench)
        store.put(record)
        observer.job_finished(record)
        records.append(record)
    return records
