"""Where jobs run: in this process, one after another."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from stampbench.artefacts import Artefacts
from stampbench.data import packed
from stampbench.files import lock
from stampbench.job import Job
from stampbench.progress import Observer
from stampbench.record import Record
from stampbench.runner import Bench, run
from stampbench.store import Store
from stampbench.suite import Suite


def run_here(
    jobs: Sequence[Job],
    suite: Suite,
    store: Store,
    observer: Observer,
    retry: bool = False,
    seconds_left: float | None = None,
) -> list[Record]:
    """Runs the jobs that have no record, or with `retry` those whose record is not done, storing each as it ends.

    Jobs that another process is at are left to it, and looked at again last. `seconds_left` is only told.
    Returns the new records. Raises `UserError` for missing data; what is stored by then stays.
    """
    waiting = missing(jobs, store, retry)
    observer.suite_started(len(jobs), len(jobs) - len(waiting), seconds_left)
    bench = bench_of(suite, store, observer, "in-process")
    records = []
    for wait in (False, True):
        for job in list(waiting):
            with store.claim(job.key, wait) as mine:
                if not mine:
                    observer.note(f"another process is at {job.label}")
                    continue
                waiting.remove(job)
                if not missing([job], store, retry):
                    observer.job_finished(store.of([job])[job.key])
                    continue
                observer.job_started(job)
                with _whole_device(bench):
                    record = run(job, bench)
                store.put(record)
                observer.job_finished(record)
                records.append(record)
    return records


def missing(jobs: Sequence[Job], store: Store, retry: bool) -> list[Job]:
    """The jobs that have no record, or with `retry` none that is done."""
    found = store.of(jobs)
    return [job for job in jobs if job.key not in found or (retry and found[job.key].status != "done")]


def bench_of(suite: Suite, store: Store, observer: Observer, executor: str) -> Bench:
    """What jobs run on in this process: its first CUDA device, else the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    artefacts = Artefacts(store.artefacts, packed.cache_root() / "artefacts")
    return Bench(store, artefacts, suite.datasets, device, observer, executor)


@contextmanager
def _whole_device(bench: Bench) -> Iterator[None]:
    """Holds the device against other runs on this machine: two at once would spoil each other's times."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if bench.device.type == "cuda" else ""
    path = packed.cache_root() / ".locks" / f"{platform.node()}-{bench.device.type}{device}"
    with lock(path, wait=False) as mine:
        if mine:
            yield
            return
    bench.observer.note("waiting for the device, which another run holds")
    with lock(path):
        yield
