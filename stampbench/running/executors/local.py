"""The executor of one machine: jobs run in this process, one after another."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from stampbench.data import packed
from stampbench.files import lock, room
from stampbench.job import Job
from stampbench.measure import hardware
from stampbench.record import Record
from stampbench.running.executors.base import RECORD_BYTES, Executor, keep, missing, workplace_of
from stampbench.running.progress import Observer
from stampbench.running.runner import run as run_job
from stampbench.running.workplace import NewSpeeds, Workplace
from stampbench.store import Store
from stampbench.suite import Suite


class Local(Executor):
    """Run jobs in this process, one after another; each has the device to itself."""

    name = "in-process"
    exclusive = True

    @property
    def cuda(self) -> bool:
        """True if this machine has a CUDA device."""
        return hardware.cuda_device_count() > 0

    def run(
        self,
        jobs: Sequence[Job],
        suite: Suite,
        store: Store,
        observer: Observer,
        retry: bool = False,
        seconds_left: float | None = None,
    ) -> list[Record]:
        """Run the missing jobs; see `Executor`. Jobs that another process is running are checked again at the end."""
        waiting = missing(jobs, store, retry)
        speeds = NewSpeeds(store.has_speed)
        workplace = replace(workplace_of(suite, store, observer, self), speeds=speeds)
        observer = workplace.observer
        observer.suite_started(len(jobs), len(jobs) - len(waiting), seconds_left)
        records = []
        for wait in (False, True):
            for job in list(waiting):
                with store.claim(job.key, wait) as mine:
                    if not mine:
                        observer.note(f"another process is running {job.label}")
                        continue
                    waiting.remove(job)
                    if not missing([job], store, retry):
                        observer.job_finished(store.of([job])[job.key])
                        continue
                    observer.job_started(job)
                    with room(store.root, RECORD_BYTES), whole_device(workplace):
                        record = run_job(job, workplace)
                    keep(record, speeds.take(), store)
                    observer.job_finished(record)
                    records.append(record)
        return records


@contextmanager
def whole_device(workplace: Workplace) -> Iterator[None]:
    """Lock the device against other runs on this machine, as two at once would spoil each other's times."""
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if workplace.device.type == "cuda" else ""
    path = packed.cache_root() / ".locks" / f"{platform.node()}-{workplace.device.type}{device}"
    with lock(path, wait=False) as mine:
        if mine:
            _sign(path)
            yield
            return
    workplace.observer.note(f"waiting for the device, which another run holds{_holder(path)}")
    with lock(path):
        _sign(path)
        yield


def _sign(path: Path) -> None:
    """Leave word beside the lock of who holds it, for those who wait."""
    with suppress(OSError):
        _signature(path).write_text(f"process {os.getpid()}, {shlex.join(sys.argv)}", encoding="utf-8")


def _holder(path: Path) -> str:
    with suppress(OSError):
        return f": {_signature(path).read_text(encoding='utf-8', errors='replace')}"
    return ""


def _signature(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")
